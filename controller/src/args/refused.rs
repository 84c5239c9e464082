//! Flags of Argo's controller that mean nothing here, and why. They are not taken in silence: somebody
//! set them for a purpose.

use std::ffi::OsString;

const RESYNC: &str = "nothing is polled here: watches bring every change; remove it";
const THREADS: &str = "this work needs no threads of its own; --rollout-threads says how many Rollouts are looked at at once";
const ROUTER: &str = "that traffic router is none of this controller's: it routes by sluice-proxy (docs/argo-compatibility.md); \
                      Rollouts with another router are left to Argo's controller";
const NOTIFICATIONS: &str = "notifications are not sent by this version; remove it";

/// Flag, and what to say.
const REFUSED: [(&str, &str); 24] = [
    ("rollout-resync", RESYNC),
    ("analysis-threads", THREADS),
    (
        "experiment-threads",
        "experiments are not run by this version; remove it",
    ),
    ("service-threads", THREADS),
    ("ingress-threads", ROUTER),
    ("ephemeral-metadata-threads", THREADS),
    (
        "ephemeral-metadata-update-pod-retries",
        "a conflict makes the Rollout be looked at again; remove it",
    ),
    ("istio-api-version", ROUTER),
    ("ambassador-api-version", ROUTER),
    ("traffic-split-api-version", ROUTER),
    ("traefik-api-group", ROUTER),
    ("traefik-api-version", ROUTER),
    ("ingress-api-version", ROUTER),
    ("appmesh-crd-version", ROUTER),
    ("aws-target-group-binding-api-version", ROUTER),
    ("alb-tag-key-resource-id", ROUTER),
    ("alb-ingress-classes", ROUTER),
    ("nginx-ingress-classes", ROUTER),
    ("aws-verify-target-group", ROUTER),
    ("alb-verify-weight", ROUTER),
    ("self-service-notification-enabled", NOTIFICATIONS),
    (
        "controllers",
        "this controller always runs all of its parts; use --instance-id to leave Rollouts to another one",
    ),
    (
        "enable-pprof-address",
        "there is no pprof here; use `perf record -p` on the process, and /metrics",
    ),
    (
        "kloglevel",
        "there is no second log; use --loglevel, for the client's lines --loglevel info,kube=debug",
    ),
];

/// The first such flag, with the reason.
pub(super) fn find(typed: &[OsString]) -> Option<String> {
    let flags = typed.iter().skip(1).filter_map(|text| text.to_str());
    let names = flags.filter_map(|text| text.strip_prefix("--"));
    let names = names.map(|text| text.split('=').next().unwrap_or(text));
    names
        .filter_map(|name| REFUSED.iter().find(|(flag, _)| *flag == name))
        .map(|(flag, reason)| format!("--{flag} of Argo's controller: {reason}"))
        .next()
}
