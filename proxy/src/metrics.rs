//! `/metrics`: what the workers counted and what the control side knows, in families named here and
//! in no other module.
//!
//! Every series of the configuration in force exists, at zero, from the first scrape after it came
//! into force: a rate over a series that appears with its first error shows no error. Label values
//! are closed sets: names of the configuration, and words of the code. The cost of a scrape is
//! bounded by the configuration, and it blocks no request.
//!
//! [`gather`] reads what there is, [`Scrape::text`] writes it down. The second is pure, and a golden
//! file holds it to its names.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use uplink::proto;

use crate::control::Control;
use crate::exposition::Exposition;
use crate::observe::series::{ProcessTotals, SeriesTotals};
use crate::process_stats::{self, ProcessStats};
use crate::state::{ClusterTotals, SplitEvidence};
use crate::worker::DrainPhase;

mod configuration;
mod process;
mod splits;
mod traffic;
mod upstreams;

use configuration::ConfigurationFacts;

/// Everything that a scrape shows.
#[derive(Debug)]
struct Scrape {
    series: Vec<SeriesTotals>,
    splits: Vec<SplitFacts>,
    clusters: Vec<ClusterFacts>,
    process: ProcessTotals,
    drain: DrainPhase,
    configuration: ConfigurationFacts,
    uplink: UplinkFacts,
    stats: Option<ProcessStats>,
}

#[derive(Debug)]
struct SplitFacts {
    evidence: SplitEvidence,
    fuse: Option<proto::Fuse>,
    trips: u64,
}

/// A cluster, without the endpoints that the configuration no longer has.
#[derive(Debug)]
struct ClusterFacts {
    totals: ClusterTotals,
    healthy: usize,
    ejected: usize,
}

#[derive(Debug, Default)]
struct UplinkFacts {
    connected: bool,
    connects: u64,
}

/// The text of a scrape, now.
pub(crate) fn scrape(control: &Control) -> String {
    gather(control).text()
}

fn gather(control: &Control) -> Scrape {
    let state = control.shared.state();
    let splits = state.collect().into_iter().map(|evidence| SplitFacts {
        fuse: control.fuses.view(&evidence),
        trips: control.fuses.trips_total(&evidence.split),
        evidence,
    });
    let uplink = control.uplink.as_ref().map(|uplink| UplinkFacts {
        connected: uplink.is_connected(),
        connects: uplink.connects(),
    });
    Scrape {
        series: state.series_totals(),
        splits: splits.collect(),
        clusters: clusters(control),
        process: state.process_totals(),
        drain: drain_phase(control),
        configuration: configuration::gather(control),
        uplink: uplink.unwrap_or_default(),
        stats: process_stats::read(),
    }
}

fn clusters(control: &Control) -> Vec<ClusterFacts> {
    let configured = configured_endpoints(control);
    let totals = control.shared.state().cluster_totals(control.clock.now());
    let facts = totals.into_iter().map(|totals| {
        let count = |ejected: bool| {
            let there = totals.endpoints.iter().filter(|endpoint| {
                let key = (
                    totals.cluster.clone(),
                    totals.revision.clone(),
                    endpoint.address,
                );
                endpoint.ejected == ejected && configured.contains(&key)
            });
            there.count()
        };
        ClusterFacts {
            healthy: count(false),
            ejected: count(true),
            totals,
        }
    });
    facts.collect()
}

/// Cluster, revision and address of each endpoint of the configuration in force; the state remembers
/// more of them.
pub(crate) fn configured_endpoints(control: &Control) -> BTreeSet<(String, String, SocketAddr)> {
    let snapshot = control.shared.snapshot();
    let clusters = snapshot.clusters.iter();
    let endpoints = clusters.flat_map(|cluster| {
        let key = (&cluster.name, &cluster.config.revision);
        cluster
            .config
            .endpoints
            .iter()
            .map(move |at| (key.0.clone(), key.1.clone(), *at))
    });
    endpoints.collect()
}

/// Draining begins with the wish, a moment before the workers hear of it.
fn drain_phase(control: &Control) -> DrainPhase {
    match control.shared.drain().phase() {
        DrainPhase::Serving if control.drain.has_begun() => DrainPhase::Leaving,
        phase => phase,
    }
}

// === impl Scrape ===

impl Scrape {
    fn text(&self) -> String {
        let mut exposition = Exposition::default();
        traffic::expose(&self.series, &mut exposition);
        splits::expose(&self.splits, &mut exposition);
        upstreams::expose(&self.clusters, &mut exposition);
        configuration::expose(&self.configuration, &self.uplink, &mut exposition);
        process::expose(&self.process, self.drain, &mut exposition);
        if let Some(stats) = &self.stats {
            process_stats::expose(stats, &mut exposition);
        }
        exposition.finish()
    }
}

#[cfg(test)]
mod tests;
