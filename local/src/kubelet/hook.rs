//! The preStop hook: what a container wants done before it is told to end.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::api::core::v1::Container;

use super::{probe::Check, runtime::Exec};

/// Runs the hook of `container`, if it has one. The pod's grace is its only limit: the caller stops
/// waiting when that is over.
pub(super) async fn pre_stop(
    container: &Container,
    pod_ip: Ipv4Addr,
    exec: &Exec,
) -> Result<(), String> {
    let lifecycle = container.lifecycle.as_ref();
    let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref()) else {
        return Ok(());
    };
    if let Some(sleep) = &hook.sleep {
        let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    let check = match (&hook.exec, &hook.http_get) {
        (Some(command), _) => Check::exec(command),
        (_, Some(get)) => Check::http(get, container, pod_ip)?,
        _ => return Ok(()),
    };
    check.run(exec, LONGEST_HOOK).await
}

/// Longer than any grace that makes sense.
const LONGEST_HOOK: Duration = Duration::from_hours(1);
