//! `restart`: every pod that is older than a moment is replaced, a few at a time.

use clap::Args;
use crds::duration::GoDuration;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::{Cluster, ClusterArgs};
use super::console::Console;
use super::failure::Failure;

/// Which Rollout, and when.
#[derive(Args, Clone, Debug)]
pub struct RestartArgs {
    /// The Rollout
    pub name: String,
    /// How long until then, such as 30s, 5m or 1h; by default now
    #[arg(short = 'i', long = "in", value_name = "DURATION", value_parser = wait)]
    pub wait: Option<Wait>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// A length of time, and how it was typed: the answer repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    seconds: i64,
    typed: String,
}

/// Asks for it.
pub async fn run(
    args: &RestartArgs,
    cluster: &Cluster,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let at = moment(console.clock.now(), args.wait.as_ref());
    let patch = Patch::Merge(json!({"spec": {"restartAt": at.to_string()}}));
    let patched = cluster
        .rollouts()
        .patch(&args.name, &PatchParams::default(), &patch)
        .await;
    match patched {
        Ok(rollout) => {
            let wait = args.wait.as_ref().map_or("0s", |wait| &wait.typed);
            let name = rollout.name_any();
            console.print(&format!("rollout '{name}' restarts in {wait}\n"))
        }
        Err(error) => Err(cluster.explain(error, &args.name).await),
    }
}

/// In whole seconds, as the field has them.
fn moment(now: Timestamp, wait: Option<&Wait>) -> Timestamp {
    let seconds = wait.map_or(0, |wait| wait.seconds);
    Timestamp::from_second(now.as_second().saturating_add(seconds)).unwrap_or(now)
}

fn wait(typed: &str) -> Result<Wait, String> {
    let duration = GoDuration::parse(typed).map_err(|error| error.to_string())?;
    let whole = duration.to_std().ok_or_else(|| {
        format!("{typed:?} is negative; a restart lies in the future, such as 30s")
    })?;
    Ok(Wait {
        seconds: i64::try_from(whole.as_secs()).unwrap_or(i64::MAX),
        typed: typed.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_now_or_later_in_whole_seconds() {
        let now: Timestamp = "2026-01-08T00:00:00.75Z".parse().unwrap();
        assert_eq!(moment(now, None).to_string(), "2026-01-08T00:00:00Z");
        let later = wait("1m30s").unwrap();
        assert_eq!(
            moment(now, Some(&later)).to_string(),
            "2026-01-08T00:01:30Z"
        );
        assert!(wait("-1s").unwrap_err().contains("negative"));
        assert!(wait("soon").is_err());
    }
}
