//! What of the caches concerns one Rollout. Everything is found by index: what a look costs does not
//! depend on how many others there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::plugin::ProxyRouting;
use crds::{AnalysisRun, Rollout};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;

use super::observe::{Claim, Observed, ReplicaSetView, Rival, ServiceView, is_controlled_by};
use super::workload::Workloads;
use super::{hash, observe, plan};
use crate::analysis::compose::Templates;
use crate::caches::kept::Keep as _;
use crate::caches::kinds::{RolloutIndex, SetIndex, is_analysed, service_names};
use crate::publish::claims;
use crate::traffic::{RolloutKey, Traffic};

/// What the watches have seen.
pub(super) struct Caches {
    pub(super) seen: Arc<crate::caches::Caches>,
    pub(super) workloads: Workloads,
}

// === impl Caches ===

impl Caches {
    /// A Rollout that exists and is of the right shape.
    pub(super) fn rollout(&self, key: &RolloutKey) -> Option<Arc<Rollout>> {
        let found = self.seen.rollouts.get(&key.namespace, &key.name)?;
        match &found.object {
            Ok(rollout) => Some(rollout.clone()),
            Err(error) => {
                tracing::warn!(namespace = key.namespace, name = key.name, %error, "a Rollout cannot be read");
                None
            }
        }
    }

    /// Whether there is such a Rollout, readable or not.
    pub(super) fn has_rollout(&self, key: &RolloutKey) -> bool {
        self.seen.rollouts.get(&key.namespace, &key.name).is_some()
    }

    /// All that concerns a Rollout.
    pub(super) fn observe(&self, rollout: &Rollout, traffic: &dyn Traffic) -> Observed {
        let namespace = rollout.namespace().unwrap_or_default();
        let replica_sets = self.replica_sets(rollout);
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
            templates: self.templates(rollout, &namespace),
            traffic: traffic.view(&key, &canary),
            ungranted: self.ungranted(rollout, &namespace),
            rival: self.rival(rollout),
            workload: None,
            replica_sets,
            runs,
            foreign_runs,
        }
    }

    fn replica_sets(&self, rollout: &Rollout) -> Vec<ReplicaSetView> {
        let uid = rollout.uid().unwrap_or_default();
        let ours = self.seen.replica_sets.by(&SetIndex::Owner(uid));
        let here = ours
            .iter()
            .filter(|set| set.is_controlled_by(rollout) && !set.is_leaving());
        let mut views: Vec<_> = here.map(|set| set.view.clone()).collect();
        views.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        views
    }

    /// Nobody's ReplicaSets of the namespace are few: whoever deletes a Rollout and keeps its pods has some.
    fn claims(&self, rollout: &Rollout, namespace: &str) -> Vec<Claim> {
        let uid = SetIndex::Owner(rollout.uid().unwrap_or_default());
        let sets = &self.seen.replica_sets;
        let orphans = sets.by(&SetIndex::Orphan(namespace.to_owned()));
        let alive = orphans.into_iter().chain(sets.by(&uid));
        alive
            .filter(|set| !set.is_leaving())
            .filter_map(|set| observe::claim(rollout, set.meta()))
            .collect()
    }

    fn services(&self, rollout: &Rollout, namespace: &str) -> BTreeMap<String, ServiceView> {
        let names = service_names(rollout);
        let found = names.into_iter().filter_map(|name| {
            let service = self.seen.services.get(namespace, &name)?;
            let mut view = ServiceView::from(service.0.as_ref());
            view.managed_by = view
                .managed_by
                .filter(|owner| self.manages(owner, namespace, &name));
            Some((name, view))
        });
        found.collect()
    }

    /// The Services that say that this Rollout manages them.
    pub(super) fn managed_by(&self, key: &RolloutKey) -> Vec<Arc<Service>> {
        let manager = (key.namespace.clone(), key.name.clone());
        let found = self.seen.services.by(&manager);
        found.iter().map(|service| service.0.clone()).collect()
    }

    /// Whether a Rollout is there and still names that Service; a claim outlives its owner.
    fn manages(&self, owner: &str, namespace: &str, service: &str) -> bool {
        let found = self.seen.rollouts.get(namespace, owner);
        found.is_some_and(|owner| {
            let names_it =
                |owner: &Rollout| service_names(owner).iter().any(|name| name == service);
            owner.object.as_ref().is_ok_and(|owner| names_it(owner))
        })
    }

    /// Its runs, and the names of others that look like one of its own.
    fn runs(&self, rollout: &Rollout, namespace: &str) -> (Vec<AnalysisRun>, BTreeSet<String>) {
        let uid = rollout.uid().unwrap_or_default();
        let ours = self.seen.runs.by(&uid);
        let ours = ours.iter().filter_map(|run| run.object.as_ref().ok());
        let mut ours: Vec<_> = ours
            .filter(|run| is_controlled_by(run.as_ref(), rollout))
            .map(|run| run.as_ref().clone())
            .collect();
        ours.sort_by_key(AnalysisRun::name_any);
        // The name of a run begins with its Rollout's.
        let alike = self
            .seen
            .runs
            .named(namespace, &format!("{}-", rollout.name_any()));
        let foreign = alike.iter().filter(|run| {
            let object = run.object.as_ref().ok();
            !object.is_some_and(|run| is_controlled_by(run.as_ref(), rollout))
        });
        let foreign = foreign.filter_map(|run| run.meta().name.clone()).collect();
        (ours, foreign)
    }

    fn templates(&self, rollout: &Rollout, namespace: &str) -> Templates {
        if !is_analysed(rollout) {
            return Templates::default();
        }
        let namespaced = self.seen.templates.by(&namespace.to_owned());
        let cluster = self.seen.cluster_templates.all();
        Templates {
            namespaced: namespaced
                .iter()
                .filter_map(|template| {
                    let template = template.object.as_ref().ok()?;
                    Some((template.name_any(), Arc::new(template.spec.clone())))
                })
                .collect(),
            cluster: cluster
                .iter()
                .filter_map(|template| {
                    let template = template.object.as_ref().ok()?;
                    Some((template.name_any(), Arc::new(template.spec.clone().into())))
                })
                .collect(),
        }
    }

    /// Why it may not use its fleet, where that is of another namespace.
    fn ungranted(&self, rollout: &Rollout, namespace: &str) -> Option<String> {
        let (fleet, _) = claim(rollout)?;
        self.seen.grants().refusal(namespace, &fleet)
    }

    /// An older Rollout of the same fleet that has one of the hostnames.
    fn rival(&self, rollout: &Rollout) -> Option<Rival> {
        let (fleet, hostnames) = claim(rollout)?;
        let (ours, grants) = (claims::age(rollout), self.seen.grants());
        let granted = |key: &RolloutKey| grants.refusal(&key.namespace, &fleet).is_none();
        claims::contested(&hostnames)
            .into_iter()
            .find_map(|contested| {
                let index = RolloutIndex::Claim(fleet.clone(), contested.claim.clone());
                let others = self.seen.rollouts.by(&index);
                let others = others.iter().filter_map(|other| other.object.as_ref().ok());
                let elders = others.map(|other| claims::age(other)).filter(|age| {
                    let foreign = age.1.namespace != ours.1.namespace;
                    *age < ours && (foreign || !contested.foreign) && granted(&age.1)
                });
                let (_, elder) = elders.min()?;
                Some(Rival {
                    rollout: format!("{}/{}", elder.namespace, elder.name),
                    hostname: Some(contested.claim).filter(|claim| claim != claims::EVERY_REQUEST),
                })
            })
    }
}

/// The fleet, as `namespace/name`, and the hostnames that a Rollout claims.
fn claim(rollout: &Rollout) -> Option<(String, Vec<String>)> {
    let routing = ProxyRouting::of(rollout)?.ok()?;
    let namespace = rollout.namespace().unwrap_or_default();
    let fleet = routing.fleet_of(&namespace, &rollout.name_any());
    Some((fleet, routing.hostnames))
}

#[cfg(test)]
mod tests;
