//! What is watched only where it is needed: pods of namespaces with a Rollout that our proxies
//! route, and the Secrets that such Rollouts name. A controller without proxies reads no pod and no
//! Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::pod_template::POD_TEMPLATE_HASH_LABEL;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::follow::Follow;
use super::kept::{Kept, Key};
use super::kinds::{Parsed, Plain, RolloutIndex, trim_pod};

/// Something that is to be watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    /// The pods of Rollouts in a namespace.
    Pods(String),
    /// One Secret.
    Secret(Key),
}

/// What is watched because somebody needs it.
pub(super) struct Demands {
    client: Client,
    rollouts: Arc<Kept<Parsed<crds::Rollout>>>,
    pods: Arc<Kept<Plain<Pod>>>,
    secrets: Arc<Kept<Plain<Secret>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Held while watches are started and stopped; never across an await.
    running: Mutex<BTreeMap<Demand, Running>>,
}

struct Running {
    stop: CancellationToken,
    synced: watch::Receiver<bool>,
    /// Nobody waits for it any more.
    given_up: bool,
}

// === impl Demands ===

impl Demands {
    pub(super) fn new(
        client: Client,
        rollouts: Arc<Kept<Parsed<crds::Rollout>>>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        Self {
            client,
            rollouts,
            pods: Arc::default(),
            secrets: Arc::default(),
            tasks,
            stop,
            running: Mutex::default(),
        }
    }

    pub(super) fn pods(&self) -> &Arc<Kept<Plain<Pod>>> {
        &self.pods
    }

    pub(super) fn secrets(&self) -> &Arc<Kept<Plain<Secret>>> {
        &self.secrets
    }

    /// Begins what is needed, ends what is not; what is to be waited for.
    pub(super) fn meet(&self) -> Vec<watch::Receiver<bool>> {
        let wanted = self.wanted();
        let mut running = self.running();
        let over: Vec<_> = running
            .keys()
            .filter(|demand| !wanted.contains(*demand))
            .cloned()
            .collect();
        for demand in over {
            if let Some(running) = running.remove(&demand) {
                running.stop.cancel();
                self.forget(&demand);
            }
        }
        for demand in wanted {
            let running = running.entry(demand);
            running.or_insert_with_key(|demand| self.begin(demand));
        }
        let awaited = running.values().filter(|it| !it.given_up);
        awaited.map(|it| it.synced.clone()).collect()
    }

    /// What could not be read so far is waited for no longer, until it is needed anew.
    pub(super) fn give_up(&self) {
        for (demand, running) in self.running().iter_mut() {
            if !running.given_up && !*running.synced.borrow() {
                running.given_up = true;
                tracing::warn!(?demand, "cannot be read; going on without it");
            }
        }
    }

    /// Whether the pods of a namespace have been read once.
    pub(super) fn has_pods(&self, namespace: &str) -> bool {
        let running = self.running();
        let found = running.get(&Demand::Pods(namespace.to_owned()));
        found.is_some_and(|running| *running.synced.borrow())
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Demand, Running>> {
        // A panic in between leaves a map that the next call brings up to date.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> BTreeSet<Demand> {
        let first = RolloutIndex::Routed(String::new());
        let is_demand = |index: &RolloutIndex| {
            matches!(index, RolloutIndex::Routed(_) | RolloutIndex::Secret(..))
        };
        let wanted = self.rollouts.indexes(&first, is_demand).into_iter();
        let demand = |index| match index {
            RolloutIndex::Routed(namespace) => Some(Demand::Pods(namespace)),
            RolloutIndex::Secret(namespace, name) => Some(Demand::Secret(Key { namespace, name })),
            _ => None,
        };
        wanted.filter_map(demand).collect()
    }

    fn begin(&self, demand: &Demand) -> Running {
        let (told, synced) = watch::channel(false);
        let stop = self.stop.child_token();
        match demand.clone() {
            Demand::Pods(namespace) => {
                let pods = self.pods_of(namespace);
                self.tasks.spawn(pods.run(told, stop.clone()));
            }
            Demand::Secret(key) => {
                let secret = self.secret(key);
                self.tasks.spawn(secret.run(told, stop.clone()));
            }
        }
        Running {
            stop,
            synced,
            given_up: false,
        }
    }

    fn forget(&self, demand: &Demand) {
        match demand {
            Demand::Pods(namespace) => self.pods.remove_where(|key| key.namespace == *namespace),
            Demand::Secret(key) => self.secrets.remove(key),
        }
    }

    fn pods_of(&self, namespace: String) -> Follow<Pod, Plain<Pod>> {
        Follow {
            api: Api::namespaced(self.client.clone(), &namespace),
            labels: Some(POD_TEMPLATE_HASH_LABEL.to_owned()),
            fields: None,
            keep: |mut pod| {
                trim_pod(&mut pod);
                Plain(Arc::new(pod))
            },
            kept: self.pods.clone(),
            covers: Box::new(move |key| key.namespace == namespace),
        }
    }

    /// By its name: a Role may then allow just that one.
    fn secret(&self, wanted: Key) -> Follow<Secret, Plain<Secret>> {
        Follow {
            api: Api::namespaced(self.client.clone(), &wanted.namespace),
            labels: None,
            fields: Some(format!("metadata.name={}", wanted.name)),
            keep: |mut secret| {
                secret.metadata.managed_fields = None;
                secret.metadata.annotations = None;
                Plain(Arc::new(secret))
            },
            kept: self.secrets.clone(),
            covers: Box::new(move |key| *key == wanted),
        }
    }
}
