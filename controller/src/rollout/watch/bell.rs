//! The bell: a change of an object brings the Rollouts that it concerns into the queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crds::{AnalysisRun, Rollout};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;

use crate::caches::Key;
use crate::caches::kept::{Change, Keep as _};
use crate::caches::kinds::{KeptSet, Parsed, Plain, RolloutIndex, owner_of};
use crate::clock::Clock;
use crate::queue::Queue;
use crate::rollout::names;
use crate::traffic::RolloutKey;

/// Rollouts that were deleted, until somebody has been told.
pub(super) type Gone = Arc<Mutex<BTreeMap<RolloutKey, Arc<Rollout>>>>;

/// Brings changes to the queue.
pub(super) struct Bell {
    gone: Gone,
    clock: Clock,
    queue: Arc<Queue<RolloutKey>>,
    caches: Weak<crate::caches::Caches>,
}

// === impl Bell ===

impl Bell {
    /// From now on every change brings the Rollouts that it concerns into the queue.
    pub(super) fn hang(
        clock: Clock,
        queue: &Arc<Queue<RolloutKey>>,
        gone: &Gone,
        caches: &Arc<crate::caches::Caches>,
    ) {
        let bell = || Self {
            gone: gone.clone(),
            clock,
            queue: queue.clone(),
            caches: Arc::downgrade(caches),
        };
        let it = bell();
        caches
            .rollouts
            .listen(move |change| it.rollout_changed(change));
        let it = bell();
        caches
            .replica_sets
            .listen(move |change| it.owned_changed(change, KeptSet::owner));
        let it = bell();
        caches
            .runs
            .listen(move |change| it.owned_changed(change, run_owner));
        let it = bell();
        caches
            .services
            .listen(move |change| it.service_changed(change));
        let it = bell();
        caches
            .templates
            .listen(move |change| it.template_changed(&change.key.namespace));
        let it = bell();
        caches
            .cluster_templates
            .listen(move |_| it.template_changed(""));
    }

    fn soon(&self, key: &Key) {
        self.queue.add(rollout_key(key), self.clock.now());
    }

    fn all_soon(&self, index: &RolloutIndex) {
        let Some(caches) = self.caches.upgrade() else {
            return;
        };
        let keys = caches.rollouts.keys_by(index);
        for key in &keys {
            self.soon(key);
        }
    }

    fn rollout_changed(&self, change: &Change<'_, Parsed<Rollout>>) {
        let old = change.old.and_then(|old| old.object.as_ref().ok());
        if let (None, Some(gone)) = (change.new, old) {
            let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(rollout_key(change.key), gone.clone());
        }
        self.soon(change.key);
        // Whoever was refused because of what this one claims may now be fine.
        let claims = |rollout: Option<&Arc<Parsed<Rollout>>>| -> Vec<_> {
            let all = rollout.map(|rollout| rollout.indexed()).unwrap_or_default();
            let claim = |index: &RolloutIndex| {
                matches!(index, RolloutIndex::Service(..) | RolloutIndex::Claim(..))
            };
            all.into_iter().filter(claim).collect()
        };
        let (old, new) = (claims(change.old), claims(change.new));
        if old == new {
            return;
        }
        self.all_soon(&RolloutIndex::Invalid(change.key.namespace.clone()));
        for claim in old.into_iter().chain(new) {
            self.claim_changed(&claim);
        }
    }

    /// Whoever else claims it may be of any namespace.
    fn claim_changed(&self, claim: &RolloutIndex) {
        let RolloutIndex::Claim(fleet, _) = claim else {
            return;
        };
        let home = fleet.split('/').next().unwrap_or_default();
        self.all_soon(claim);
        self.all_soon(&RolloutIndex::Invalid(home.to_owned()));
        self.all_soon(&RolloutIndex::Guest(fleet.clone()));
    }

    fn owned_changed<V>(&self, change: &Change<'_, V>, owner: fn(&V) -> Option<&str>) {
        for name in change.versions().filter_map(owner) {
            self.soon(&Key {
                namespace: change.key.namespace.clone(),
                name: name.to_owned(),
            });
        }
    }

    fn service_changed(&self, change: &Change<'_, Plain<Service>>) {
        let owner = |service: &Plain<Service>| {
            let owner = service.0.annotations().get(names::MANAGED_BY)?;
            Some(owner.clone())
        };
        // It may be gone, or have named this Service before.
        for name in change.versions().filter_map(owner) {
            let namespace = change.key.namespace.clone();
            self.soon(&Key { namespace, name });
        }
        let Key { namespace, name } = change.key.clone();
        self.all_soon(&RolloutIndex::Service(namespace, name));
    }

    /// A template without namespace is for all of them.
    fn template_changed(&self, namespace: &str) {
        if !namespace.is_empty() {
            return self.all_soon(&RolloutIndex::Analysed(namespace.to_owned()));
        }
        let Some(caches) = self.caches.upgrade() else {
            return;
        };
        let (first, is_it) = (
            RolloutIndex::Analysed(String::new()),
            |index: &RolloutIndex| matches!(index, RolloutIndex::Analysed(_)),
        );
        for index in caches.rollouts.indexes(&first, is_it) {
            self.all_soon(&index);
        }
    }
}

fn run_owner(run: &Parsed<AnalysisRun>) -> Option<&str> {
    owner_of(&run.object.as_ref().ok()?.metadata)
}

pub(super) fn rollout_key(key: &Key) -> RolloutKey {
    RolloutKey {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}
