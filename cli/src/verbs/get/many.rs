//! All Rollouts as a table; all objects of a kind as data.

use std::collections::BTreeMap;
use std::pin::pin;

use crds::Rollout;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde_json::{Value, json};

use super::{Output, document};
use crate::tree::Detail;
use crate::tree::list::{self, Columns};
use crate::verbs::cluster::Cluster;
use crate::verbs::console::Console;
use crate::verbs::failure::{Failure, chain};

/// Which Rollouts a table has, and how.
#[derive(Clone, Debug)]
pub(in crate::verbs) struct Wanted {
    /// Those of all namespaces.
    pub(in crate::verbs) everywhere: bool,
    /// The one of that name only.
    pub(in crate::verbs) name: Option<String>,
    /// Each line again when it changes.
    pub(in crate::verbs) watch: bool,
    /// How much of each.
    pub(in crate::verbs) detail: Detail,
    /// Each line begins with the time at which it was printed.
    pub(in crate::verbs) timestamps: bool,
}

/// The objects of a kind as they were written, in a `List` as kubectl makes it.
pub(super) async fn data<K: Resource<DynamicType = ()>>(
    everywhere: bool,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = if everywhere {
        Api::all_with(cluster.client.clone(), &resource)
    } else {
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
    };
    let objects = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => return Err(cluster.explain(error, "").await),
    };
    // The API server names the type of a list's items only once, for the list.
    let typed = |mut object: DynamicObject| {
        object.types.get_or_insert_with(TypeMeta::resource::<K>);
        serde_json::to_value(object).map_err(|error| Failure::Strange(error.to_string()))
    };
    let items: Vec<Value> = objects.into_iter().map(typed).collect::<Result<_, _>>()?;
    let list = json!({"apiVersion": "v1", "items": items, "kind": "List",
                      "metadata": {"resourceVersion": ""}});
    console.print(&document(list, output)?)
}

/// The table; with a watch, each line again when it changes.
pub(in crate::verbs) async fn table(
    wanted: &Wanted,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let api = if wanted.everywhere {
        Api::all(cluster.client.clone())
    } else {
        cluster.rollouts()
    };
    let field = wanted
        .name
        .as_ref()
        .map(|name| format!("metadata.name={name}"));
    let params = ListParams {
        field_selector: field.clone(),
        ..ListParams::default()
    };
    let rollouts = match api.list(&params).await {
        Ok(list) => list.items,
        Err(error) => return Err(cluster.explain(error, "").await),
    };
    if rollouts.is_empty() && !wanted.watch {
        none(wanted.everywhere, cluster, console);
        return Ok(());
    }
    let mut lines = Lines::new(wanted);
    let now = console.clock.now();
    console.print(&lines.first(rollouts, now))?;
    if wanted.watch {
        let config = watcher::Config {
            field_selector: field,
            ..watcher::Config::default()
        };
        lines.watch(watcher(api, config), console).await
    } else {
        Ok(())
    }
}

/// Says that there is nothing to list.
pub(in crate::verbs) fn none(everywhere: bool, cluster: &Cluster, console: &mut Console<'_>) {
    let place = if everywhere {
        String::new()
    } else {
        format!(" in {} namespace", cluster.namespace)
    };
    console.remark(&format!("No resources found{place}."));
}

/// The table as it was last printed.
struct Lines {
    rollouts: BTreeMap<(Option<String>, String), Rollout>,
    columns: Columns,
    timestamps: bool,
}

// === impl Wanted ===

impl Default for Wanted {
    fn default() -> Self {
        Self {
            everywhere: false,
            name: None,
            watch: false,
            detail: Detail::Usual,
            timestamps: false,
        }
    }
}

// === impl Lines ===

impl Lines {
    fn new(wanted: &Wanted) -> Self {
        Self {
            rollouts: BTreeMap::new(),
            columns: Columns {
                namespace: wanted.everywhere,
                detail: wanted.detail,
            },
            timestamps: wanted.timestamps,
        }
    }

    fn first(&mut self, rollouts: Vec<Rollout>, now: Timestamp) -> String {
        self.rollouts = rollouts
            .into_iter()
            .map(|rollout| (key(&rollout), rollout))
            .collect();
        let table = list::table(self.rollouts.values(), self.columns);
        let mut lines = table.lines();
        let headings = lines.next().map(|line| self.stamped("TIMESTAMP", line));
        let rest = lines.map(|line| self.stamped(&stamp(now), line));
        headings.into_iter().chain(rest).collect()
    }

    async fn watch(
        &mut self,
        events: impl Stream<Item = Result<watcher::Event<Rollout>, watcher::Error>>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let mut events = pin!(events.default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(rollout) | watcher::Event::InitApply(rollout)) => {
                    if let Some(line) = self.change(rollout) {
                        console.print(&self.stamped(&stamp(console.clock.now()), &line))?;
                    }
                }
                Ok(watcher::Event::Delete(rollout)) => drop(self.rollouts.remove(&key(&rollout))),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => console.remark(&format!("trying again: {}", chain(&error))),
            }
        }
        Ok(())
    }

    /// The line of a Rollout, if it is another than before.
    fn change(&mut self, rollout: Rollout) -> Option<String> {
        let key = key(&rollout);
        let index = |all: &BTreeMap<_, _>| all.keys().position(|known| *known == key);
        let before = index(&self.rollouts).and_then(|index| self.line(index));
        self.rollouts.insert(key.clone(), rollout);
        let after = index(&self.rollouts).and_then(|index| self.line(index));
        after.filter(|after| Some(after) != before.as_ref())
    }

    /// A line as it stands in the whole table, so that it stands below the headings.
    fn line(&self, index: usize) -> Option<String> {
        let table = list::table(self.rollouts.values(), self.columns);
        table.lines().nth(index + 1).map(str::to_owned)
    }

    fn stamped(&self, stamp: &str, line: &str) -> String {
        if self.timestamps {
            format!("{stamp:<20}  {line}\n")
        } else {
            format!("{line}\n")
        }
    }
}

/// In whole seconds, as Argo prints it.
fn stamp(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

fn key(rollout: &Rollout) -> (Option<String>, String) {
    (rollout.namespace(), rollout.name_any())
}
