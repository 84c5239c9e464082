//! What is seen of the cluster: one watch for each kind, shared by all who look.
//!
//! A watch ([`follow`]) fills a store ([`kept`]) in which objects are found by what is asked of
//! them, so that a look at one Rollout reads nothing of the others ([`kinds`]). Objects are made
//! small before they are kept ([`wire`]). Pods and Secrets are watched only where a Rollout needs
//! them ([`demand`]). Followers watch too: whoever becomes the leader has read the cluster already.

mod demand;
mod follow;
pub mod kept;
pub mod kinds;
mod wire;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Rollout};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use demand::Demands;
use follow::Follow;
use kept::{Keep, Kept};
use kinds::{Indexed, KeptSet, Parsed, Plain, trim_service};
use wire::Wire;

use crate::grants::{self, Grants};

pub use kept::Key;

/// The label of objects that a controller with an instance id is responsible for.
pub const INSTANCE_LABEL: &str = "argo-rollouts.argoproj.io/controller-instance-id";

/// How long anybody waits for pods or Secrets that were never read before.
const SETTLE_WAIT: Duration = Duration::from_secs(5);

/// Which namespaces are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    Cluster,
    /// This one.
    Namespace(String),
}

/// Whose objects are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Where.
    pub scope: Scope,
    /// Of these only what carries this value of [`INSTANCE_LABEL`]; `None`: what does not carry the
    /// label at all. Argo's rule, by which several controllers share a cluster.
    pub instance_id: Option<String>,
}

/// What is seen of the cluster.
pub struct Caches {
    scope: Scope,
    /// Rollouts.
    pub rollouts: Arc<Kept<Parsed<Rollout>>>,
    /// ReplicaSets of Rollouts.
    pub replica_sets: Arc<Kept<KeptSet>>,
    /// Services.
    pub services: Arc<Kept<Plain<Service>>>,
    /// AnalysisRuns.
    pub runs: Arc<Kept<Parsed<AnalysisRun>>>,
    /// AnalysisTemplates.
    pub templates: Arc<Kept<Parsed<AnalysisTemplate>>>,
    /// ClusterAnalysisTemplates; none are seen by a controller of one namespace.
    pub cluster_templates: Arc<Kept<Parsed<ClusterAnalysisTemplate>>>,
    grants: watch::Receiver<Option<Arc<Grants>>>,
    demands: Demands,
    synced: Vec<watch::Receiver<bool>>,
}

/// What watches are started with.
struct Start<'a> {
    client: &'a Client,
    reach: &'a Reach,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
    synced: Vec<watch::Receiver<bool>>,
}

// === impl Reach ===

impl Reach {
    /// A selector of labels for Argo's kinds.
    fn labels(&self) -> String {
        match &self.instance_id {
            Some(id) => format!("{INSTANCE_LABEL}={id}"),
            None => format!("!{INSTANCE_LABEL}"),
        }
    }
}

// === impl Caches ===

impl Caches {
    /// Begins to watch; the tasks belong to `tasks` and end with `stop`.
    pub fn start(
        client: &Client,
        reach: &Reach,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let mut start = Start {
            client,
            reach,
            tasks,
            stop,
            synced: Vec::new(),
        };
        let rollouts = start.ours::<Rollout>();
        let demands = Demands::new(
            client.clone(),
            rollouts.clone(),
            (tasks.clone(), stop.clone()),
        );
        let caches = Arc::new(Self {
            scope: reach.scope.clone(),
            rollouts,
            replica_sets: start.replica_sets(),
            services: start.services(),
            runs: start.ours::<AnalysisRun>(),
            templates: start.ours::<AnalysisTemplate>(),
            cluster_templates: start.cluster_templates(),
            grants: start.grants(),
            demands,
            synced: start.synced,
        });
        let (needed, kept) = (Arc::downgrade(&caches), caches.rollouts.clone());
        kept.listen(move |change| {
            let needs = |rollout: &Parsed<Rollout>| rollout.indexed().iter().any(is_demand);
            let caches = needed.upgrade().filter(|_| change.versions().any(needs));
            if let Some(caches) = caches {
                drop(caches.demands.meet());
            }
        });
        caches
    }

    /// Of a cluster in which there is nothing.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        let rollouts = Arc::<Kept<Parsed<Rollout>>>::default();
        let never = tower::util::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no server"))
        });
        let client = Client::new(never, "default");
        let life = (TaskTracker::new(), CancellationToken::new());
        Self {
            scope: Scope::Cluster,
            demands: Demands::new(client, rollouts.clone(), life),
            rollouts,
            replica_sets: Arc::default(),
            services: Arc::default(),
            runs: Arc::default(),
            templates: Arc::default(),
            cluster_templates: Arc::default(),
            grants: watch::channel(Some(Arc::default())).1,
            synced: Vec::new(),
        }
    }

    /// Of a cluster in which there are these Rollouts and grants.
    #[cfg(test)]
    pub(crate) fn of(rollouts: Vec<Rollout>, grants: Grants) -> Self {
        let mut caches = Self::empty();
        for rollout in rollouts {
            let meta = rollout.metadata.clone();
            caches.rollouts.put(Parsed::new(meta, Ok(rollout)));
        }
        caches.grants = watch::channel(Some(Arc::new(grants))).1;
        caches
    }

    /// Waits until every watch has been read to its end once. Before that nothing may be decided.
    pub async fn synced(&self) {
        for synced in &self.synced {
            // A watch that ended was stopped, and so is whoever waits here.
            let _ = synced.clone().wait_for(|synced| *synced).await;
        }
        let _ = self.grants.clone().wait_for(Option::is_some).await;
        self.settled().await;
    }

    /// Waits until the pods and Secrets that Rollouts need now have been read once, or for
    /// [`SETTLE_WAIT`]: one Secret that may not be read holds up nobody else.
    pub async fn settled(&self) {
        let settled = async {
            for mut synced in self.demands.meet() {
                let _ = synced.wait_for(|synced| *synced).await;
            }
        };
        if tokio::time::timeout(SETTLE_WAIT, settled).await.is_err() {
            self.demands.give_up();
        }
    }

    /// Whether the pods of a namespace have been read. Before that nobody knows a Rollout's endpoints.
    pub fn has_pods(&self, namespace: &str) -> bool {
        self.demands.has_pods(namespace)
    }

    /// Where it is seen.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Which fleets of other namespaces Rollouts may use.
    pub fn grants(&self) -> Arc<Grants> {
        self.grants.borrow().clone().unwrap_or_default()
    }

    /// The same, for who waits for a change.
    pub fn granted(&self) -> watch::Receiver<Option<Arc<Grants>>> {
        self.grants.clone()
    }

    /// Pods of Rollouts that our proxies route.
    pub fn pods(&self) -> &Arc<Kept<Plain<Pod>>> {
        self.demands.pods()
    }

    /// Secrets that Rollouts name.
    pub fn secrets(&self) -> &Arc<Kept<Plain<Secret>>> {
        self.demands.secrets()
    }
}

fn is_demand(index: &kinds::RolloutIndex) -> bool {
    matches!(
        index,
        kinds::RolloutIndex::Routed(_) | kinds::RolloutIndex::Secret(..)
    )
}

impl Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caches")
            .field("rollouts", &self.rollouts.len())
            .field("replica_sets", &self.replica_sets.len())
            .finish_non_exhaustive()
    }
}

// === impl Start ===

impl Start<'_> {
    fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.reach.scope {
            Scope::Cluster => Api::all(self.client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(self.client.clone(), namespace),
        }
    }

    fn follow<K, V>(
        &mut self,
        api: Api<K>,
        labels: Option<String>,
        keep: fn(K) -> V,
    ) -> Arc<Kept<V>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        V: Keep,
    {
        let kept = Arc::<Kept<V>>::default();
        let (told, synced) = watch::channel(false);
        self.synced.push(synced);
        let follow = Follow {
            api,
            labels,
            fields: None,
            keep,
            kept: kept.clone(),
            covers: Box::new(|_| true),
        };
        self.tasks.spawn(follow.run(told, self.stop.clone()));
        kept
    }

    /// A kind of `argoproj.io`, of which a controller sees its share.
    fn ours<K>(&mut self) -> Arc<Kept<Parsed<K>>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Indexed,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let labels = Some(self.reach.labels());
        self.follow(self.namespaced::<Wire<K>>(), labels, parsed)
    }

    /// They belong to the whole cluster: a Role cannot allow them.
    fn cluster_templates(&mut self) -> Arc<Kept<Parsed<ClusterAnalysisTemplate>>> {
        if self.reach.scope != Scope::Cluster {
            return Arc::default();
        }
        let labels = Some(self.reach.labels());
        let api: Api<Wire<ClusterAnalysisTemplate>> = all(self.client);
        self.follow(api, labels, parsed)
    }

    /// A controller of one namespace cannot read what others grant.
    fn grants(&self) -> watch::Receiver<Option<Arc<Grants>>> {
        let (told, known) = watch::channel(None);
        let client = (self.reach.scope == Scope::Cluster).then(|| self.client.clone());
        let follow = grants::follow(client, told, self.stop.clone());
        self.tasks.spawn(follow);
        known
    }

    /// Those of Rollouts, known by the label of their hash.
    fn replica_sets(&mut self) -> Arc<Kept<KeptSet>> {
        let labels = Some(crds::pod_template::POD_TEMPLATE_HASH_LABEL.to_owned());
        self.follow(self.namespaced::<wire::SetWire>(), labels, |set| {
            KeptSet::new(set.set, set.template)
        })
    }

    fn services(&mut self) -> Arc<Kept<Plain<Service>>> {
        self.follow(self.namespaced::<Service>(), None, |mut service| {
            service.metadata.managed_fields = None;
            trim_service(&mut service);
            Plain(Arc::new(service))
        })
    }
}

fn all<K>(client: &Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
{
    Api::all(client.clone())
}

fn parsed<K: Resource>(wire: Wire<K>) -> Parsed<K> {
    let (meta, object) = wire.take();
    Parsed::new(meta, object)
}

#[cfg(test)]
mod tests;
