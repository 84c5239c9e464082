//! Cluster: which endpoint of a revision answers.
//!
//! Power of two choices: of two endpoints drawn at random the less busy one, which avoids the herd
//! that "the least busy" makes and needs no shared queue. Ejected endpoints, and those that this
//! request has tried, are left out. Ejection only moves load within a revision, never away from it:
//! the last usable endpoint is not ejected, and where all are ejected they are all used. What an
//! ejected endpoint still answers counts as before; a bad revision must not look good because its
//! worst endpoints are rested.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uplink::check::OutlierPolicy;
use uplink::document::Protocol;

use crate::state::ClusterState;
use crate::upstream::LocalEndpoint;

/// Draws before every endpoint is looked at.
const DRAWS: usize = 4;

/// A cluster as one worker uses it.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) protocol: Protocol,
    pub(crate) state: Arc<ClusterState>,
    pub(crate) endpoints: Vec<Rc<LocalEndpoint>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) outlier: Option<OutlierPolicy>,
}

// === impl LocalCluster ===

impl LocalCluster {
    /// An endpoint that this request has not tried; none where it has tried them all.
    pub(crate) fn pick(
        &self,
        random: &mut fastrand::Rng,
        tried: &[SocketAddr],
        now: Instant,
    ) -> Option<&Rc<LocalEndpoint>> {
        let usable = |it: &&Rc<LocalEndpoint>| {
            !it.state.is_ejected(now) && !tried.contains(&it.state.address())
        };
        if let [only] = self.endpoints.as_slice() {
            return (!tried.contains(&only.state.address())).then_some(only);
        }
        let mut drawn = None;
        for _ in 0..DRAWS {
            if self.endpoints.is_empty() {
                return None;
            }
            let one = &self.endpoints[random.usize(..self.endpoints.len())];
            match drawn {
                _ if !usable(&one) => {}
                None => drawn = Some(one),
                Some(other) if Rc::ptr_eq(one, other) => {}
                Some(other) => return Some(less_busy(one, other)),
            }
        }
        let fresh = |it: &&Rc<LocalEndpoint>| !tried.contains(&it.state.address());
        drawn
            .or_else(|| self.endpoints.iter().find(usable))
            .or_else(|| self.endpoints.iter().find(fresh))
    }

    /// An endpoint failed a request: eject it, if it has failed often enough and others remain.
    pub(crate) fn endpoint_failed(&self, endpoint: &LocalEndpoint, now: Instant) {
        let Some(policy) = &self.outlier else { return };
        if !endpoint.state.failed(policy) || endpoint.state.is_ejected(now) {
            return;
        }
        let ejected = self
            .endpoints
            .iter()
            .filter(|it| it.state.is_ejected(now))
            .count();
        if ejected < ejectable(self.endpoints.len(), policy.max_percent) {
            endpoint.state.eject(policy, now);
        }
    }
}

fn less_busy<'a>(
    one: &'a Rc<LocalEndpoint>,
    other: &'a Rc<LocalEndpoint>,
) -> &'a Rc<LocalEndpoint> {
    if one.state.active() <= other.state.active() {
        one
    } else {
        other
    }
}

/// How many of `endpoints` may be ejected at once: the share, at least one, never all.
fn ejectable(endpoints: usize, max_percent: u32) -> usize {
    if max_percent == 0 {
        return 0;
    }
    let share = endpoints * max_percent as usize / 100;
    share.max(1).min(endpoints.saturating_sub(1))
}

#[cfg(test)]
mod tests;
