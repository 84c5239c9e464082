//! One Rollout as a tree, once or again and again; one object of any kind as data.

use std::time::Duration;

use crds::{AnalysisRun, Experiment};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource};
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

use super::{Output, document};
use crate::tree::{self, Look, Paint, TreeInput};
use crate::verbs::cluster::Cluster;
use crate::verbs::console::Console;
use crate::verbs::failure::Failure;
use crate::verbs::follow::{Followed, News};

/// The least time between two drawings, so that the terminal does not flicker.
const REDRAW: Duration = Duration::from_millis(200);

/// How often ages are brought up to date.
const AGES: Duration = Duration::from_secs(1);

/// An object of the namespace as it was written.
pub(super) async fn data<K: Resource<DynamicType = ()>>(
    name: &str,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let resource = ApiResource::erase::<K>(&());
    let api = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    written(&api, (&resource, name), output, cluster, console).await
}

/// An object of the whole cluster as it was written.
pub(super) async fn cluster_data<K: Resource<DynamicType = ()>>(
    name: &str,
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let resource = ApiResource::erase::<K>(&());
    let api = Api::all_with(cluster.client.clone(), &resource);
    written(&api, (&resource, name), output, cluster, console).await
}

async fn written(
    api: &Api<DynamicObject>,
    (resource, name): (&ApiResource, &str),
    output: Output,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let object = match api.get(name).await {
        Ok(object) => object,
        Err(error) if resource.kind == "Rollout" => return Err(cluster.explain(error, name).await),
        Err(error) => {
            let kind = format!("{}.{}", resource.kind.to_lowercase(), resource.group);
            return Err(cluster.explain_other(error, &kind, name).await);
        }
    };
    let object =
        serde_json::to_value(object).map_err(|error| Failure::Strange(error.to_string()))?;
    console.print(&document(object, output)?)
}

/// The tree, once.
pub(super) async fn once(
    name: &str,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let input = TreeInput {
        rollout: cluster.rollout(name).await?,
        replica_sets: all::<ReplicaSet>(cluster).await,
        pods: all::<Pod>(cluster).await,
        experiments: all::<Experiment>(cluster).await,
        analysis_runs: all::<AnalysisRun>(cluster).await,
    };
    console.print(&tree::render(&input, look, console.clock.now()))
}

/// The tree, again whenever it changes.
pub(super) async fn watch(
    name: &str,
    look: Look,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    // What is plainly wrong is said at once; a watch would try again and again.
    cluster.rollout(name).await?;
    let followed = Followed::rollout(cluster, name);
    let gone = || Failure::Gone {
        kind: "rollout",
        name: name.to_owned(),
    };
    let draw = |followed: &Followed, look: Look, now: Timestamp| {
        let rollout = followed.the_rollout().ok_or_else(gone)?;
        let input = followed.surroundings(rollout);
        Ok(tree::render(&input, look, now))
    };
    redraw(followed, look, draw, console).await
}

/// Draws what is followed whenever it changes, and while a person looks on, its ages.
pub(super) async fn redraw(
    mut followed: Followed,
    look: Look,
    draw: impl Fn(&Followed, Look, Timestamp) -> Result<String, Failure>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let (mut redraw, mut ages) = (interval(REDRAW), interval(AGES));
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut screen = Screen {
        look,
        draw,
        shown: None,
    };
    let mut is_new = false;
    loop {
        tokio::select! {
            news = followed.next() => match news {
                News::Changed => is_new = true,
                News::Trouble(cause) => console.remark(&format!("trying again: {cause}")),
            },
            _ = redraw.tick(), if is_new && followed.is_settled() => {
                is_new = false;
                screen.draw(&followed, console)?;
            }
            _ = ages.tick(), if console.is_terminal && followed.is_settled() => {
                screen.draw(&followed, console)?;
            }
        }
    }
}

/// What is on the screen, or was last written to a file.
struct Screen<D> {
    look: Look,
    draw: D,
    /// The last tree without its ages.
    shown: Option<String>,
}

// === impl Screen ===

impl<D: Fn(&Followed, Look, Timestamp) -> Result<String, Failure>> Screen<D> {
    /// On a terminal in place of the last; elsewhere below it, and only what is new but for ages.
    fn draw(&mut self, followed: &Followed, console: &mut Console<'_>) -> Result<(), Failure> {
        let text = (self.draw)(followed, self.look, console.clock.now())?;
        if console.is_terminal {
            return console.redraw(&text);
        }
        let ageless = Look {
            paint: Paint::Plain,
            ..self.look
        };
        let ageless = (self.draw)(followed, ageless, Timestamp::UNIX_EPOCH)?;
        if self.shown.as_ref() == Some(&ageless) {
            return Ok(());
        }
        let gap = if self.shown.is_some() { "\n" } else { "" };
        self.shown = Some(ageless);
        console.print(&format!("{gap}{text}"))
    }
}

/// All of a kind in the namespace. What cannot be listed is left out: a cluster may have no
/// Experiments, and a person no right to see Pods.
pub(super) async fn all<K>(cluster: &Cluster) -> Vec<Arc<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let list = api.list(&ListParams::default()).await;
    list.into_iter().flatten().map(Arc::new).collect()
}
