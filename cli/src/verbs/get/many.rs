//! All Rollouts: as a table, or as data.

use std::collections::BTreeMap;
use std::pin::pin;

use crds::Rollout;
use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{GetArgs, Output, document};
use crate::tree::Detail;
use crate::tree::list::{self, Columns};
use crate::verbs::cluster::Cluster;
use crate::verbs::console::Console;
use crate::verbs::failure::{Failure, chain};

/// The Rollouts as they were written, in a `List` as kubectl makes it.
pub(super) async fn data(
    everywhere: bool,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let resource = ApiResource::erase::<Rollout>(&());
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
        object
            .types
            .get_or_insert_with(TypeMeta::resource::<Rollout>);
        serde_json::to_value(object).map_err(|error| Failure::Strange(error.to_string()))
    };
    let items: Vec<Value> = objects.into_iter().map(typed).collect::<Result<_, _>>()?;
    let list = json!({"apiVersion": "v1", "items": items, "kind": "List",
                      "metadata": {"resourceVersion": ""}});
    console.print(&document(list, output)?)
}

/// The table; with a watch, each line again when it changes.
pub(super) async fn table(
    args: &GetArgs,
    detail: Detail,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let everywhere = args.all_namespaces;
    let api = if everywhere {
        Api::all(cluster.client.clone())
    } else {
        cluster.rollouts()
    };
    let rollouts = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => return Err(cluster.explain(error, "").await),
    };
    if rollouts.is_empty() && !args.watch {
        let place = if everywhere {
            String::new()
        } else {
            format!(" in {} namespace", cluster.namespace)
        };
        console.remark(&format!("No resources found{place}."));
        return Ok(());
    }
    let columns = Columns {
        namespace: everywhere,
        detail,
    };
    let mut lines = Lines::default();
    console.print(&lines.first(rollouts, columns))?;
    if args.watch {
        lines.watch(api, columns, console).await
    } else {
        Ok(())
    }
}

/// The table as it was last printed.
#[derive(Default)]
struct Lines {
    rollouts: BTreeMap<(Option<String>, String), Rollout>,
}

// === impl Lines ===

impl Lines {
    fn first(&mut self, rollouts: Vec<Rollout>, columns: Columns) -> String {
        self.rollouts = rollouts
            .into_iter()
            .map(|rollout| (key(&rollout), rollout))
            .collect();
        list::table(self.rollouts.values(), columns)
    }

    async fn watch(
        &mut self,
        api: Api<Rollout>,
        columns: Columns,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(rollout) | watcher::Event::InitApply(rollout)) => {
                    if let Some(line) = self.change(rollout, columns) {
                        console.print(&line)?;
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
    fn change(&mut self, rollout: Rollout, columns: Columns) -> Option<String> {
        let key = key(&rollout);
        let index = |all: &BTreeMap<_, _>| all.keys().position(|known| *known == key);
        let before = index(&self.rollouts).and_then(|index| self.line(index, columns));
        self.rollouts.insert(key.clone(), rollout);
        let after = index(&self.rollouts).and_then(|index| self.line(index, columns));
        after.filter(|after| Some(after) != before.as_ref())
    }

    /// A line as it stands in the whole table, so that it stands below the headings.
    fn line(&self, index: usize, columns: Columns) -> Option<String> {
        let table = list::table(self.rollouts.values(), columns);
        table.lines().nth(index + 1).map(|line| format!("{line}\n"))
    }
}

fn key(rollout: &Rollout) -> (Option<String>, String) {
    (rollout.namespace(), rollout.name_any())
}
