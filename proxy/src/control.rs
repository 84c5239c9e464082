//! The control thread: one single-threaded runtime beside the workers, on which everything happens
//! that is not a request.
//!
//! Its tasks, in the order of a configuration's life: a **source** (a file, or the controller) brings
//! candidates and applies them; the **uplink** takes weights and resets and reports; the **fuses**
//! look; the **keeper** writes down what a restart needs; **status** and **admin** answer people,
//! probes and scrapers; the **drain** ends it all. What they share is in [`Control`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uplink::document::{self, RoutingConfig};

use crate::apply::{Applier, Board, Candidate, InForce, Origin, WeightBook, number_epochs};
use crate::clock::Clock;
use crate::config_file::ConfigFile;
use crate::drain::Drain;
use crate::fuse::Fuses;
use crate::kept::{Kept, KeptKeyPair, KeptWeight, Store};
use crate::uplink_client::Uplink;
use crate::worker::Shared;

pub(crate) mod backoff;
pub(crate) mod door;

/// How often what nobody uses any more is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What the tasks of the control thread share.
#[derive(Debug)]
pub(crate) struct Control {
    /// What is shared with the workers.
    pub(crate) shared: Arc<Shared>,
    /// The clock.
    pub(crate) clock: Clock,
    /// What survives a restart.
    pub(crate) store: Store,
    /// Configurations in force and refused.
    pub(crate) board: Arc<Board>,
    /// Weights that came by themselves.
    pub(crate) weights: Arc<WeightBook>,
    /// The fuses.
    pub(crate) fuses: Arc<Fuses>,
    /// The uplink, where a controller is the source.
    pub(crate) uplink: Option<Arc<Uplink>>,
    /// How this process ends.
    pub(crate) drain: Drain,
    /// Cancelled when nobody needs to wait for this proxy any more.
    pub(crate) leaving: CancellationToken,
}

// === impl Control ===

impl Control {
    /// An applier; the one source of configurations gets it.
    pub(crate) fn applier(&self) -> Applier {
        Applier::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.fuses),
            Arc::clone(&self.board),
            Arc::clone(&self.weights),
        )
    }

    /// The highest epoch that a split of this name was ever given.
    fn newest_epoch(&self, split: &str) -> u64 {
        let splits = self.shared.state().splits_named(split);
        splits
            .iter()
            .map(|split| split.newest_epoch())
            .max()
            .unwrap_or(0)
    }
}

/// Applies a file, whenever its content changes, until `stop`.
pub(crate) async fn follow_file(
    control: &Control,
    path: PathBuf,
    poll: Duration,
    stop: &CancellationToken,
) {
    let mut applier = control.applier();
    let mut file = ConfigFile::new(path);
    let mut polls = tokio::time::interval(poll);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = polls.tick() => {}
            () = stop.cancelled() => return,
        }
        match file.news().await {
            Some(text) => take_file(control, &mut applier, &file, text).await,
            None => applier.reload_certificates().await,
        }
    }
}

/// A refusal is logged and shown by the applier; there is nobody else to tell.
async fn take_file(
    control: &Control,
    applier: &mut Applier,
    file: &ConfigFile,
    text: Result<String, uplink::check::ConfigError>,
) {
    let origin = Origin::File(file.path().to_owned());
    let read = text.map_err(|error| vec![error]);
    match read.and_then(|text| document::read_yaml_or_json(&text)) {
        Ok(mut document) => {
            let before = control.board.in_force();
            let before = before.as_ref().map(|it| &it.candidate.document);
            number_epochs(&mut document, before, |split| control.newest_epoch(split));
            let secrets = Arc::default();
            let _ = applier
                .apply(Candidate {
                    document,
                    origin,
                    secrets,
                    fleet_size: 1,
                })
                .await;
        }
        Err(errors) => {
            applier.refuse(&origin, errors);
        }
    }
}

/// Keeps the controller's configuration and weights for a restart, until `stop` and once more then.
pub(crate) async fn keep(control: &Control, stop: &CancellationToken) {
    loop {
        let stopped = tokio::select! {
            biased; // What changed before the stop is still to be written.
            () = control.board.changed() => false,
            () = stop.cancelled() => true,
        };
        if stopped {
            return;
        }
        let Some(kept) = control
            .board
            .in_force()
            .and_then(|it| to_be_kept(control, &it))
        else {
            continue;
        };
        let store = control.store.clone();
        let written = tokio::task::spawn_blocking(move || store.keep_configuration(&kept)).await;
        if let Ok(Err(problem)) = written {
            error!(error = %problem, cause = ?std::error::Error::source(&problem),
                   "the configuration is not kept and would not survive a restart");
        }
    }
}

/// `None` for what came from a file: the file is kept already.
fn to_be_kept(control: &Control, in_force: &InForce) -> Option<Kept> {
    let version = in_force.candidate.origin.version()?;
    let uplink = control.uplink.as_ref()?;
    let secrets = in_force.candidate.secrets.iter();
    let pairs = secrets.filter_map(|(reference, pair)| KeptKeyPair::of(reference, pair));
    Some(Kept {
        saved_at_ms: i64::try_from(control.clock.unix_ms()).unwrap_or(i64::MAX),
        fleet: uplink.membership().fleet.clone(),
        version,
        fleet_size: in_force.candidate.fleet_size,
        document: in_force.candidate.document.clone(),
        key_pairs: pairs.collect(),
        weights: newest_weights(&in_force.candidate.document, control.weights.all()),
    })
}

/// Those that the document does not outdate.
fn newest_weights(
    document: &RoutingConfig,
    mut weights: BTreeMap<String, KeptWeight>,
) -> BTreeMap<String, KeptWeight> {
    weights.retain(|split, weight| {
        let split = document.splits.get(split);
        split.is_none_or(|split| weight.weight.epoch >= split.epoch)
    });
    weights
}

/// Drops what nothing has used for long, until `stop`.
pub(crate) async fn sweep(control: &Control, stop: &CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => control.shared.state().sweep(control.clock.now()),
            () = stop.cancelled() => return,
        }
    }
}
