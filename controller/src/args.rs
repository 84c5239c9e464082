//! What was typed, under Argo's names where Argo has one.

mod refused;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, ValueEnum};

use crate::authority::Place;
use crate::caches::{Reach, Scope};
use crate::client::Limits;
use crate::kit::Kit;
use crate::leader::LEASE_NAME;
use crate::run::{Options, UplinkTls};

/// Looks at once: each may hold a connection to the API server.
const MOST_THREADS: usize = 256;

const EXAMPLES: &str = "\
Examples:
  # In a cluster, with the pod's own account; proxies connect over TLS (docs/uplink.md).
  sluice-controller --uplink-listen 0.0.0.0:9190

  # In a cluster, for the namespace `team` alone.
  sluice-controller --namespaced --namespace team

  # On this machine, for whatever the kubeconfig leads to, alone.
  sluice-controller --kubeconfig ./kubeconfig --leader-elect=false --uplink-listen 127.0.0.1:0 \\
    --status-listen 127.0.0.1:0

When it serves, one line of JSON on stdout says where:
  {\"uplink\":\"http://127.0.0.1:9190\",\"status\":\"http://127.0.0.1:8090\"}

Exit codes: 0 stopped, 1 failed or no longer the leader, 2 wrong usage.";

/// Takes Rollouts through their steps, and tells the proxies which traffic goes where.
#[derive(Clone, Debug, Parser)]
#[command(name = "sluice-controller", version, after_long_help = EXAMPLES)]
pub struct Args {
    /// The namespace of the lease, and with --namespaced of everything. Default: the kubeconfig's, or the pod's.
    #[arg(long, short = 'n')]
    pub namespace: Option<String>,
    /// Look at one namespace only. A Role is enough then; ClusterAnalysisTemplates are not seen.
    #[arg(long)]
    pub namespaced: bool,
    /// Look only at objects whose label argo-rollouts.argoproj.io/controller-instance-id is this.
    /// Default: only at those without that label.
    #[arg(long, value_parser = label_value)]
    pub instance_id: Option<String>,
    /// How to reach the API server. Default: the pod's account, or as kubectl does.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use.
    #[arg(long)]
    pub context: Option<String>,
    /// The cluster of the kubeconfig to use.
    #[arg(long)]
    pub cluster: Option<String>,
    /// The user of the kubeconfig to be.
    #[arg(long)]
    pub user: Option<String>,
    /// Requests a second to the API server, for argoproj.io's kinds and for all others each; 0: any number.
    #[arg(long, default_value_t = Limits::default().qps)]
    pub qps: f32,
    /// Requests at once, after a rest.
    #[arg(long, default_value_t = Limits::default().burst)]
    pub burst: u32,
    /// Rollouts that are looked at at the same time.
    #[arg(long, default_value_t = Kit::LOOKS_AT_ONCE, value_parser = threads)]
    pub rollout_threads: usize,
    /// Where proxies connect; in clear on loopback only.
    #[arg(long, default_value = "127.0.0.1:9190")]
    pub uplink_listen: SocketAddr,
    /// Serve proxies over TLS, and only those with a ServiceAccount token. Default: true, but false on
    /// loopback.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub uplink_tls: Option<bool>,
    /// The Service that leads proxies here: the uplink's certificate is for its DNS names.
    #[arg(long, default_value = "sluice-controller")]
    pub uplink_service: String,
    /// A further DNS name or IP address of the uplink's certificate; may be given several times.
    #[arg(long, value_parser = host_name)]
    pub uplink_name: Vec<String>,
    /// The Secret in which the uplink's certificates are kept.
    #[arg(long, default_value = "sluice-uplink")]
    pub uplink_secret: String,
    /// The ConfigMap that tells proxies which authorities to trust, in the namespace of each fleet.
    #[arg(long, default_value = "sluice-uplink-ca")]
    pub uplink_ca_config_map: String,
    /// The audience that proxies' tokens must be for.
    #[arg(long, default_value = "sluice-uplink")]
    pub uplink_audience: String,
    /// The port of /metrics, on every address.
    #[arg(
        long = "metricsPort",
        visible_alias = "metrics-port",
        alias = "metricsport",
        default_value_t = 8090
    )]
    pub metrics_port: u16,
    /// The port of /healthz, /livez and /readyz, on every address.
    #[arg(
        long = "healthzPort",
        visible_alias = "healthz-port",
        default_value_t = 8080
    )]
    pub healthz_port: u16,
    /// One address for /metrics, /healthz, /livez and /readyz, instead of the two ports.
    #[arg(long, conflicts_with_all = ["metrics_port", "healthz_port"])]
    pub status_listen: Option<SocketAddr>,
    /// Work only while holding the lease; false takes it from whoever has it.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// How long others wait for a leader that is silent.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub leader_election_lease_duration: Duration,
    /// How long after its last renewal a leader writes.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub leader_election_renew_deadline: Duration,
    /// How long between two tries.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub leader_election_retry_period: Duration,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,sluice_controller=debug`.
    #[arg(long, default_value = "info")]
    pub loglevel: String,
    /// How it is logged, on stderr.
    #[arg(long, default_value = "text")]
    pub logformat: LogFormat,
    /// A file for the line of JSON that says where this serves, beside stdout.
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

// === impl Args ===

impl Args {
    /// Reads what was typed; the first is the program's name. A flag of Argo's that means nothing here
    /// is refused with the reason.
    pub fn read(typed: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let typed: Vec<OsString> = typed.into_iter().collect();
        if let Some(reason) = refused::find(&typed) {
            return Err(Self::command().error(ErrorKind::UnknownArgument, reason));
        }
        Self::try_parse_from(typed)
    }

    /// What the controller runs on, with the client's own namespace as default.
    pub fn options(&self, default_namespace: &str, identity: String) -> Options {
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| default_namespace.to_owned());
        let mut options = Options::local(&namespace, &identity);
        options.uplink_listen = self.uplink_listen;
        options.uplink_tls = self.serves_tls().then(|| self.uplink_tls(&namespace));
        options.status_listen = self.status_addresses();
        options.limits = Limits {
            qps: self.qps,
            burst: self.burst,
        };
        options.looks_at_once = self.rollout_threads;
        options.reach = Reach {
            scope: if self.namespaced {
                Scope::Namespace(namespace)
            } else {
                Scope::Cluster
            },
            instance_id: self.instance_id.clone(),
        };
        if let Some(id) = &self.instance_id {
            options.election.name = format!("{LEASE_NAME}-{id}");
        }
        options.election.competes = self.leader_elect;
        options.election.lease_duration = self.leader_election_lease_duration;
        options.election.renew_deadline = self.leader_election_renew_deadline;
        options.election.retry_period = self.leader_election_retry_period;
        options
    }

    /// Whether the uplink is served over TLS.
    pub fn serves_tls(&self) -> bool {
        let beyond = !self.uplink_listen.ip().is_loopback();
        self.uplink_tls.unwrap_or(beyond)
    }

    fn uplink_tls(&self, namespace: &str) -> UplinkTls {
        let service = &self.uplink_service;
        let of_service = [
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        let names = of_service.into_iter().chain(self.uplink_name.clone());
        UplinkTls {
            place: Place {
                namespace: namespace.to_owned(),
                secret: self.uplink_secret.clone(),
                config_map: self.uplink_ca_config_map.clone(),
                names: names.collect(),
            },
            audience: self.uplink_audience.clone(),
        }
    }

    /// Every port answers everything; two of them because Argo has two.
    fn status_addresses(&self) -> Vec<SocketAddr> {
        if let Some(address) = self.status_listen {
            return vec![address];
        }
        let anywhere = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let mut addresses = vec![anywhere(self.metrics_port), anywhere(self.healthz_port)];
        addresses.dedup();
        addresses
    }

    /// What cannot be, before anything starts.
    pub fn check(&self) -> Result<(), String> {
        let (lease, renew, retry) = (
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        );
        if lease <= renew || renew <= retry || retry.is_zero() {
            return Err(format!(
                "--leader-election-lease-duration {lease:?} must be longer than \
                 --leader-election-renew-deadline {renew:?}, and that longer than \
                 --leader-election-retry-period {retry:?}"
            ));
        }
        Ok(())
    }
}

fn host_name(text: &str) -> Result<String, String> {
    match rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(format!("{text:?} is neither a DNS name nor an IP address")),
    }
}

/// What may be the value of a label, and is not empty.
fn label_value(text: &str) -> Result<String, String> {
    let edge = |character: Option<char>| character.is_some_and(|it| it.is_ascii_alphanumeric());
    let inner = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let chars = || text.chars();
    if text.len() <= 63 && edge(chars().next()) && edge(chars().last()) && chars().all(inner) {
        return Ok(text.to_owned());
    }
    Err("must be the value of a label: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit".to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    let wanted = text
        .parse::<usize>()
        .ok()
        .filter(|it| (1..=MOST_THREADS).contains(it));
    wanted.ok_or_else(|| format!("must be a number from 1 to {MOST_THREADS}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = crds::duration::GoDuration::parse(text).map_err(|error| error.to_string())?;
    parsed
        .to_std()
        .ok_or_else(|| format!("{text:?} is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_argos_where_argo_has_one() {
        let typed = "x -n team --leader-elect=false --loglevel debug --logformat json \
                     --leader-election-lease-duration 1m --uplink-listen 127.0.0.1:0";
        let args = Args::try_parse_from(typed.split_whitespace()).expect("valid");
        assert_eq!(args.check(), Ok(()));
        let options = args.options("default", "me".to_owned());
        assert_eq!(options.reach, Reach::default());
        assert_eq!(options.election.namespace, "team");
        assert!(!options.election.competes);
        assert_eq!(options.election.lease_duration, Duration::from_mins(1));
        let plain = Args::try_parse_from(["x"]).expect("valid");
        assert!(plain.leader_elect);
        assert_eq!(
            plain.options("ns", "me".to_owned()).election.namespace,
            "ns"
        );
    }

    #[test]
    fn the_uplink_is_served_over_tls_unless_it_is_on_loopback() {
        let options = |line: &str| {
            let words = std::iter::once("x").chain(line.split_whitespace());
            let args = Args::try_parse_from(words).expect("valid");
            args.options("sluice", "me".to_owned()).uplink_tls
        };
        assert_eq!(options(""), None);
        assert!(options("--uplink-tls").is_some());
        assert_eq!(
            options("--uplink-listen 0.0.0.0:1 --uplink-tls=false"),
            None
        );
        let tls = options("--uplink-listen 0.0.0.0:1 --uplink-service up --uplink-name 10.0.0.7");
        let tls = tls.expect("TLS");
        let names: Vec<_> = tls.place.names.iter().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "10.0.0.7",
                "up",
                "up.sluice",
                "up.sluice.svc",
                "up.sluice.svc.cluster.local"
            ]
        );
        assert_eq!(tls.audience, "sluice-uplink");
        assert!(Args::try_parse_from(["x", "--uplink-name", "a b"]).is_err());
    }

    #[test]
    fn an_instance_has_its_own_lease_and_sees_its_own_objects() {
        let args = [
            "x",
            "--namespaced",
            "-n",
            "team",
            "--instance-id",
            "blue",
            "--qps",
            "7",
        ];
        let args = Args::try_parse_from(args).expect("valid");
        let options = args.options("default", "me".to_owned());
        assert_eq!(options.election.name, "argo-rollouts-controller-lock-blue");
        assert_eq!(options.reach.scope, Scope::Namespace("team".to_owned()));
        assert_eq!(options.reach.instance_id.as_deref(), Some("blue"));
        assert_eq!(
            options.limits,
            Limits {
                qps: 7.0,
                burst: 400
            }
        );
        let ports: Vec<_> = options.status_listen.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [8090, 8080]);
        assert!(Args::try_parse_from(["x", "--instance-id", "a/b"]).is_err());
        assert!(Args::try_parse_from(["x", "--rollout-threads", "0"]).is_err());
        let both = ["x", "--status-listen", "127.0.0.1:0", "--metricsPort", "1"];
        assert!(Args::try_parse_from(both).is_err());
    }

    #[test]
    fn flags_of_argo_that_mean_nothing_here_are_refused_with_the_reason() {
        let read = |flag: &str| {
            Args::read(["x".into(), flag.into()])
                .expect_err("refused")
                .to_string()
        };
        let refused = read("--rollout-resync=900");
        assert!(
            refused.contains("--rollout-resync") && refused.contains("watch"),
            "{refused}"
        );
        assert!(read("--istio-api-version").contains("traffic router"));
        assert!(read("--nonsense").contains("unexpected argument"));
    }

    #[test]
    fn periods_that_would_let_two_lead_are_refused() {
        let args = ["x", "--leader-election-renew-deadline", "15s"];
        let refused = Args::try_parse_from(args)
            .expect("parses")
            .check()
            .expect_err("refused");
        assert!(refused.contains("renew-deadline 15s"), "{refused}");
    }
}
