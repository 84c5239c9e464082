//! `status`: follow a Rollout until nothing more happens by itself. Scripts wait on it, so its exit
//! code is its point: 0 Healthy, 1 Degraded or out of time.

use std::pin::pin;
use std::time::Duration;

use clap::{ArgAction, Args};
use crds::Rollout;
use crds::duration::GoDuration;
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::{Failure, chain};
use crate::tree::phase::Phase;

/// Which Rollout, and how long.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// The Rollout
    pub name: String,
    /// Follow it until it is Healthy or Degraded
    #[arg(short, long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub watch: bool,
    /// Give up after this long, as in 90s or 5m; 0 is never
    #[arg(short, long, default_value = "0s", value_parser = timeout, value_name = "DURATION")]
    pub timeout: Duration,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Shows the status.
pub async fn run(
    args: &StatusArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let phase = Phase::of(&cluster.rollout(&args.name).await?);
    if !args.watch {
        console.print(&once(&phase))?;
        return verdict(&phase);
    }
    let until_final = until_final(&args.name, cluster, console);
    let last = if args.timeout.is_zero() {
        until_final.await
    } else {
        let timed = tokio::time::timeout(args.timeout, until_final).await;
        timed.unwrap_or(Err(Failure::TimedOut))
    }?;
    verdict(&last)
}

/// Prints each change of the phase; returns the final one.
async fn until_final(
    name: &str,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<Phase, Failure> {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(cluster.rollouts(), only).default_backoff());
    let (mut shown, mut seen) = (String::new(), false);
    while let Some(event) = events.next().await {
        let rollout: Rollout = match event {
            Ok(watcher::Event::Init) => {
                seen = false;
                continue;
            }
            Ok(watcher::Event::Apply(rollout) | watcher::Event::InitApply(rollout)) => rollout,
            Ok(watcher::Event::InitDone) if seen => continue,
            Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => break,
            Err(error) => {
                console.remark(&format!(
                    "the watch was lost, trying again: {}",
                    chain(&error)
                ));
                continue;
            }
        };
        seen = true;
        let phase = Phase::of(&rollout);
        let line = line(&phase);
        if line != shown {
            console.print(&line)?;
            shown = line;
        }
        if phase.is_final() {
            return Ok(phase);
        }
    }
    Err(Failure::Gone {
        kind: "rollout",
        name: name.to_owned(),
    })
}

/// A line of a watch.
fn line(phase: &Phase) -> String {
    match phase.message.as_str() {
        "" => format!("{}\n", phase.word),
        message => format!("{} - {message}\n", phase.word),
    }
}

/// The only line without a watch: final phases stand alone there.
fn once(phase: &Phase) -> String {
    if phase.is_final() {
        format!("{}\n", phase.word)
    } else {
        format!("{} - {}\n", phase.word, phase.message)
    }
}

fn verdict(phase: &Phase) -> Result<(), Failure> {
    match phase.word.as_str() {
        "Degraded" => Err(Failure::Degraded(phase.message.clone())),
        _ => Ok(()),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).map_err(|error| error.to_string())?;
    duration
        .to_std()
        .ok_or_else(|| format!("{text} is negative; 0s is for ever"))
}
