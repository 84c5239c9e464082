//! The caches: what the watches have seen, and what of it concerns one Rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::plugin::ProxyRouting;
use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Rollout};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};

use super::observe::{Claim, Observed, ReplicaSetView, Rival, ServiceView, is_controlled_by};
use super::workload::Workloads;
use super::{hash, names, observe, plan};
use crate::analysis::compose::Templates;
use crate::traffic::{RolloutKey, Traffic};

/// An object that may be of the wrong shape, so that one such object stops no watch.
pub(super) type Guarded<K> = DeserializeGuard<K>;

/// What the watches have seen.
pub(super) struct Caches {
    pub(super) rollouts: Store<Guarded<Rollout>>,
    pub(super) replica_sets: Store<ReplicaSet>,
    pub(super) services: Store<Service>,
    pub(super) runs: Store<Guarded<AnalysisRun>>,
    pub(super) templates: Store<Guarded<AnalysisTemplate>>,
    pub(super) cluster_templates: Store<Guarded<ClusterAnalysisTemplate>>,
    pub(super) workloads: Workloads,
}

// === impl Caches ===

impl Caches {
    /// A Rollout that exists and is of the right shape.
    pub(super) fn rollout(&self, key: &RolloutKey) -> Option<Arc<Rollout>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        let found = self.rollouts.get(&reference)?;
        match &found.0 {
            Ok(rollout) => Some(Arc::new(rollout.clone())),
            Err(error) => {
                tracing::warn!(namespace = key.namespace, name = key.name, %error, "a Rollout cannot be read");
                None
            }
        }
    }

    /// Whether there is such a Rollout, readable or not.
    pub(super) fn has_rollout(&self, key: &RolloutKey) -> bool {
        self.rollouts
            .get(&ObjectRef::new(&key.name).within(&key.namespace))
            .is_some()
    }

    /// All that concerns a Rollout.
    pub(super) fn observe(&self, rollout: &Rollout, traffic: &dyn Traffic) -> Observed {
        let namespace = rollout.namespace().unwrap_or_default();
        let replica_sets = self.replica_sets(rollout, &namespace);
        let (runs, foreign_runs) = self.runs(rollout, &namespace);
        let template = rollout.spec.template.clone().unwrap_or_default();
        let collisions = rollout
            .status
            .as_ref()
            .and_then(|status| status.collision_count);
        let computed = hash::of_template(&template, collisions);
        let canary = plan::newest(&replica_sets, &template, &computed)
            .map_or(computed.clone(), |set| set.hash.clone());
        let key = RolloutKey {
            namespace: namespace.clone(),
            name: rollout.name_any(),
        };
        Observed {
            claims: self.claims(rollout, &namespace),
            pods: Vec::new(),
            services: self.services(rollout, &namespace),
            templates: self.templates(&namespace),
            traffic: traffic.view(&key, &canary),
            rival: self.rival(rollout, &namespace),
            workload: None,
            replica_sets,
            runs,
            foreign_runs,
        }
    }

    fn replica_sets(&self, rollout: &Rollout, namespace: &str) -> Vec<ReplicaSetView> {
        let ours = self.replica_sets.state_filter(|set: &ReplicaSet| {
            set.namespace().as_deref() == Some(namespace)
                && is_controlled_by(set, rollout)
                && set.metadata.deletion_timestamp.is_none()
        });
        let mut views: Vec<_> = ours
            .iter()
            .map(|set| ReplicaSetView::from(set.as_ref()))
            .collect();
        views.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        views
    }

    fn claims(&self, rollout: &Rollout, namespace: &str) -> Vec<Claim> {
        let alive = self.replica_sets.state_filter(|set: &ReplicaSet| {
            set.namespace().as_deref() == Some(namespace)
                && set.metadata.deletion_timestamp.is_none()
        });
        alive
            .iter()
            .filter_map(|set| observe::claim(rollout, set))
            .collect()
    }

    fn services(&self, rollout: &Rollout, namespace: &str) -> BTreeMap<String, ServiceView> {
        let names = service_names(rollout);
        let found = names.into_iter().filter_map(|name| {
            let service = self
                .services
                .get(&ObjectRef::new(&name).within(namespace))?;
            let mut view = ServiceView::from(service.as_ref());
            view.managed_by = view
                .managed_by
                .filter(|owner| self.manages(owner, namespace, &name));
            Some((name, view))
        });
        found.collect()
    }

    /// The Services that say that this Rollout manages them.
    pub(super) fn managed_by(&self, key: &RolloutKey) -> Vec<Arc<Service>> {
        self.services.state_filter(|service: &Service| {
            service.namespace().as_deref() == Some(key.namespace.as_str())
                && service.annotations().get(names::MANAGED_BY) == Some(&key.name)
        })
    }

    /// Whether a Rollout is there and still names that Service; a claim outlives its owner.
    fn manages(&self, owner: &str, namespace: &str, service: &str) -> bool {
        let found = self.rollouts.get(&ObjectRef::new(owner).within(namespace));
        found.is_some_and(|owner| {
            let names_it =
                |owner: &Rollout| service_names(owner).iter().any(|name| name == service);
            owner.0.as_ref().is_ok_and(names_it)
        })
    }

    fn runs(&self, rollout: &Rollout, namespace: &str) -> (Vec<AnalysisRun>, BTreeSet<String>) {
        let (mut ours, mut foreign) = (Vec::new(), BTreeSet::new());
        for guarded in self
            .runs
            .state()
            .iter()
            .filter(|run| run.namespace().as_deref() == Some(namespace))
        {
            match &guarded.0 {
                Ok(run) if is_controlled_by(run, rollout) => ours.push(run.clone()),
                _ => {
                    foreign.insert(guarded.name_any());
                }
            }
        }
        ours.sort_by_key(AnalysisRun::name_any);
        (ours, foreign)
    }

    fn templates(&self, namespace: &str) -> Templates {
        let namespaced = self
            .templates
            .state()
            .into_iter()
            .filter(|template| template.namespace().as_deref() == Some(namespace));
        Templates {
            namespaced: namespaced
                .filter_map(|template| {
                    Some((
                        template.name_any(),
                        Arc::new(template.0.as_ref().ok()?.spec.clone()),
                    ))
                })
                .collect(),
            cluster: self
                .cluster_templates
                .state()
                .into_iter()
                .filter_map(|template| {
                    let spec = template.0.as_ref().ok()?.spec.clone();
                    Some((template.name_any(), Arc::new(spec.into())))
                })
                .collect(),
        }
    }

    /// An older Rollout of the same fleet that claims the same hostname.
    fn rival(&self, rollout: &Rollout, namespace: &str) -> Option<Rival> {
        let (fleet, hostnames) = claim(rollout)?;
        let age = |rollout: &Rollout| {
            (
                rollout.creation_timestamp().map(|time| time.0),
                rollout.name_any(),
            )
        };
        let mut others = self.rollouts.state();
        others.sort_by_key(|other| {
            let created = other.creation_timestamp().map(|time| time.0);
            (created, other.name_any())
        });
        others
            .iter()
            .filter_map(|other| other.0.as_ref().ok())
            .find_map(|other| {
                let elder = other.uid() != rollout.uid() && age(other) < age(rollout);
                if !elder || other.namespace().as_deref() != Some(namespace) {
                    return None;
                }
                let (its_fleet, its_hostnames) = claim(other)?;
                let both_all = hostnames.is_empty() && its_hostnames.is_empty();
                let hostname = hostnames
                    .iter()
                    .find(|name| its_hostnames.contains(name))
                    .cloned();
                (fleet == its_fleet && (both_all || hostname.is_some())).then(|| Rival {
                    rollout: format!("{namespace}/{}", other.name_any()),
                    hostname,
                })
            })
    }
}

/// The fleet and the hostnames that a Rollout claims.
fn claim(rollout: &Rollout) -> Option<(String, Vec<String>)> {
    let routing = ProxyRouting::of(rollout)?.ok()?;
    Some((
        routing.fleet.unwrap_or_else(|| rollout.name_any()),
        routing.hostnames,
    ))
}

/// The Services that a Rollout names.
pub(super) fn service_names(rollout: &Rollout) -> Vec<String> {
    let strategy = rollout.spec.strategy.as_ref();
    let canary = strategy.and_then(|strategy| strategy.canary.as_ref());
    let blue_green = strategy.and_then(|strategy| strategy.blue_green.as_ref());
    let canary = canary
        .into_iter()
        .flat_map(|canary| {
            let turns = canary.ping_pong.as_ref();
            [
                canary.stable_service.as_ref(),
                canary.canary_service.as_ref(),
                turns.map(|services| &services.ping_service),
                turns.map(|services| &services.pong_service),
            ]
        })
        .flatten();
    let blue_green = blue_green
        .into_iter()
        .flat_map(|way| [Some(&way.active_service), way.preview_service.as_ref()])
        .flatten();
    canary.chain(blue_green).cloned().collect()
}
