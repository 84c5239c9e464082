//! What was typed, and what it means: [`Typed`] is clap's view, [`Settings`] is what the proxy runs on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use thiserror::Error;
use uplink::endpoint::UplinkAddress;

/// Addresses, unless others are given.
const DEFAULT_LISTEN: &str = "0.0.0.0:8080";
const DEFAULT_STATUS: &str = "127.0.0.1:9090";
const DEFAULT_ADMIN: &str = "127.0.0.1:9091";

/// More workers than this share no machine that exists; a typo would start thousands of threads.
const MAX_WORKERS: usize = 1024;

const EXAMPLES: &str = "\
Examples:
  # A configuration file; changes of it are taken up while running.
  sluice-proxy --config /etc/sluice/routing.yaml

  # One proxy of the fleet shop/my-app, configured by the controller (docs/uplink.md).
  sluice-proxy --controller https://sluice-controller.sluice.svc:9190 --fleet shop/my-app \\
    --controller-ca /var/run/sluice/ca.crt --controller-token /var/run/sluice/token

  # What is wrong with a file, before anybody runs it.
  sluice-proxy check /etc/sluice/routing.yaml

  # A preStop hook: announce, finish what is in flight, stop.
  sluice-proxy drain

Listeners:
  data    --listen, --listen-tls   what users reach
  status  --status                 /metrics /livez /readyz; in Kubernetes give it 0.0.0.0:9090, for
                                   probes and scrapes come over the pod's address
  admin   --admin                  /config /clusters /drain /fuse/reset; loopback only

Exit codes: 0 drained or valid, 1 failed, 2 wrong usage.";

/// A reverse proxy that splits an application's traffic between stable and canary, measures what
/// each of them answers, and shuts the canary's gate by itself when it is plainly on fire.
#[derive(Debug, Parser)]
#[command(
    name = "sluice-proxy",
    version,
    after_long_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Typed {
    /// Without a subcommand the proxy serves.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask the proxy on this machine to drain, and wait until it has stopped (for preStop hooks).
    Drain(DrainArgs),
    /// Check a configuration file and rehearse its certificates; prints every error.
    Check {
        /// The file, YAML or JSON.
        file: PathBuf,
    },
}

/// Which proxy to drain.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The admin address of the running proxy.
    #[arg(long, env = "SLUICE_ADMIN", default_value = DEFAULT_ADMIN, value_name = "ADDR:PORT")]
    pub admin: SocketAddr,
    /// How long to wait until it has stopped.
    #[arg(long, env = "SLUICE_DRAIN_WAIT", default_value = "60s", value_parser = duration,
          value_name = "DURATION")]
    pub wait: Duration,
}

/// How to serve, as typed.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["config", "controller"]))]
pub struct ServeArgs {
    /// Where users are served in clear (HTTP/1.1, and HTTP/2 by prior knowledge).
    #[arg(long, env = "SLUICE_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Where users are served over TLS, with the configuration's certificates. Default: nowhere.
    #[arg(long, env = "SLUICE_LISTEN_TLS", value_name = "ADDR:PORT")]
    pub listen_tls: Option<SocketAddr>,
    /// Where /metrics, /livez and /readyz are.
    #[arg(long, env = "SLUICE_STATUS", default_value = DEFAULT_STATUS, value_name = "ADDR:PORT")]
    pub status: SocketAddr,
    /// Where /config, /clusters, /drain and /fuse/reset are; a loopback address.
    #[arg(long, env = "SLUICE_ADMIN", default_value = DEFAULT_ADMIN, value_name = "ADDR:PORT")]
    pub admin: SocketAddr,
    /// Worker threads. Default: one per core that this process may use.
    #[arg(long, env = "SLUICE_WORKERS", value_name = "N")]
    pub workers: Option<usize>,
    /// The routing configuration: a YAML or JSON file, watched for changes.
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How often the file and certificate files are looked at.
    #[arg(long, env = "SLUICE_CONFIG_POLL", default_value = "1s", value_parser = duration,
          value_name = "DURATION")]
    pub config_poll: Duration,
    /// The controller's uplink, such as https://sluice-controller.sluice.svc:9190; http:// is for
    /// loopback only.
    #[arg(
        long,
        env = "SLUICE_CONTROLLER",
        value_name = "URL",
        requires = "fleet"
    )]
    pub controller: Option<UplinkAddress>,
    /// The authorities (PEM) that the controller's certificate must come from; required with
    /// https://. Read again for each connection.
    #[arg(
        long,
        env = "SLUICE_CONTROLLER_CA",
        value_name = "FILE",
        requires = "controller"
    )]
    pub controller_ca: Option<PathBuf>,
    /// A ServiceAccount token for the controller's audience, as Kubernetes projects it into a file;
    /// read again for each connection.
    #[arg(
        long,
        env = "SLUICE_CONTROLLER_TOKEN",
        value_name = "FILE",
        requires = "controller"
    )]
    pub controller_token: Option<PathBuf>,
    /// The name that the controller's certificate must have. Default: the host of --controller.
    #[arg(
        long,
        env = "SLUICE_CONTROLLER_NAME",
        value_name = "NAME",
        requires = "controller"
    )]
    pub controller_name: Option<String>,
    /// The fleet that this proxy belongs to, as namespace/name.
    #[arg(long, env = "SLUICE_FLEET", value_name = "NAMESPACE/NAME", value_parser = fleet)]
    pub fleet: Option<String>,
    /// This proxy's name, unique within the fleet. Default: the host's (in Kubernetes the pod's).
    #[arg(long, env = "SLUICE_PROXY_NAME", value_name = "NAME")]
    pub proxy_name: Option<String>,
    /// Where the last good configuration and tripped fuses are kept over a restart (files of mode
    /// 0600; with TLS they contain keys: use a memory-backed volume). Default: nothing is kept.
    #[arg(long, env = "SLUICE_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How long a draining proxy still accepts connections after /readyz turned 503, so that
    /// load balancers notice before it closes.
    #[arg(long, env = "SLUICE_DRAIN_DELAY", default_value = "5s", value_parser = duration,
          value_name = "DURATION")]
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    #[arg(long, env = "SLUICE_DRAIN_TIMEOUT", default_value = "30s", value_parser = duration,
          value_name = "DURATION")]
    pub drain_timeout: Duration,
    /// `off`, `stdout`, or a file: one JSON object per request.
    #[arg(
        long,
        env = "SLUICE_ACCESS_LOG",
        default_value = "off",
        value_name = "off|stdout|PATH"
    )]
    pub access_log: AccessLog,
    /// Least severe events logged to stderr: error, warn, info, debug, trace, or directives such
    /// as `info,sluice_proxy::uplink_client=debug`.
    #[arg(
        long,
        env = "SLUICE_LOG_LEVEL",
        default_value = "info",
        value_name = "LEVEL"
    )]
    pub log_level: String,
    /// How events are written.
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Write the bound addresses to this file, as one JSON object, once all listeners are bound.
    #[arg(long, env = "SLUICE_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// Print the same as one line on stdout (for supervisors that give port 0).
    #[arg(long, env = "SLUICE_PRINT_ADDRESSES")]
    pub print_addresses: bool,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// Where one line per request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// What the proxy runs on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where users are served in clear.
    pub listen: SocketAddr,
    /// Where users are served over TLS.
    pub listen_tls: Option<SocketAddr>,
    /// Where the status endpoints are.
    pub status: SocketAddr,
    /// Where the admin endpoints are; a loopback address.
    pub admin: SocketAddr,
    /// Worker threads, at least one.
    pub workers: usize,
    /// Where the configuration comes from.
    pub source: Source,
    /// How often certificate files (and the configuration file) are looked at.
    pub poll: Duration,
    /// What is kept over a restart is kept here.
    pub state_dir: Option<PathBuf>,
    /// From the failing readiness to the closing of listeners.
    pub drain_delay: Duration,
    /// From then to the end of requests in flight.
    pub drain_timeout: Duration,
    /// Where one line per request goes.
    pub access_log: AccessLog,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The controller.
    Controller(Membership),
}

/// Which controller, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The uplink's address.
    pub controller: UplinkAddress,
    /// How both ends know each other; none on loopback in clear.
    pub credentials: Option<Credentials>,
    /// The fleet, as `namespace/name`.
    pub fleet: String,
    /// This proxy's name within the fleet.
    pub proxy: String,
}

/// By what this proxy knows the controller, and the controller it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// A PEM file with the authorities that the controller's certificate may come from.
    pub ca: PathBuf,
    /// The name that the controller's certificate has.
    pub name: String,
    /// A file with a ServiceAccount token; without one the controller refuses this proxy.
    pub token: Option<PathBuf>,
}

/// Arguments that are each well-formed and together make no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The admin address can be reached from elsewhere.
    #[error(
        "--admin {0} is not a loopback address; whoever reaches it can drain this proxy, so only \
         127.0.0.0/8 and [::1] are accepted"
    )]
    AdminBeyondLoopback(SocketAddr),
    /// No worker, or far too many.
    #[error("--workers {0} is out of range; 1 to {MAX_WORKERS} are accepted")]
    Workers(usize),
    /// A poll without a pause.
    #[error("--config-poll {0:?} is too often; at least 10ms is accepted")]
    Poll(Duration),
    /// TLS without anything to check it by.
    #[error(
        "--controller {0} needs --controller-ca FILE, the authorities that the controller's \
         certificate comes from; the controller publishes them as the ConfigMap sluice-uplink-ca"
    )]
    CaMissing(String),
    /// What only TLS protects would travel in clear, or be ignored.
    #[error("--{flag} is for https:// alone, and --controller is {address}; leave it out")]
    OnlyOverTls {
        /// The flag.
        flag: &'static str,
        /// The controller's address.
        address: String,
    },
    /// Neither a file nor a controller, or both.
    #[error("give exactly one of --config FILE and --controller URL with --fleet NAMESPACE/NAME")]
    Source,
}

/// Reading the file more often than this costs more than it gains.
const MIN_POLL: Duration = Duration::from_millis(10);

// === impl ServeArgs ===

impl ServeArgs {
    /// What the arguments mean together.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        if !self.admin.ip().is_loopback() {
            return Err(SettingsError::AdminBeyondLoopback(self.admin));
        }
        let workers = self.workers.unwrap_or_else(cores);
        if workers == 0 || workers > MAX_WORKERS {
            return Err(SettingsError::Workers(workers));
        }
        if self.config_poll < MIN_POLL {
            return Err(SettingsError::Poll(self.config_poll));
        }
        Ok(Settings {
            listen: self.listen,
            listen_tls: self.listen_tls,
            status: self.status,
            admin: self.admin,
            workers,
            source: self.source()?,
            poll: self.config_poll,
            state_dir: self.state_dir.clone(),
            drain_delay: self.drain_delay,
            drain_timeout: self.drain_timeout,
            access_log: self.access_log.clone(),
        })
    }

    fn source(&self) -> Result<Source, SettingsError> {
        match (&self.config, &self.controller, &self.fleet) {
            (Some(file), None, _) => Ok(Source::File(file.clone())),
            (None, Some(controller), Some(fleet)) => Ok(Source::Controller(Membership {
                credentials: self.credentials(controller)?,
                controller: controller.clone(),
                fleet: fleet.clone(),
                proxy: self.proxy_name.clone().unwrap_or_else(host_name),
            })),
            _ => Err(SettingsError::Source),
        }
    }

    fn credentials(
        &self,
        controller: &UplinkAddress,
    ) -> Result<Option<Credentials>, SettingsError> {
        let address = controller.as_str().to_owned();
        if controller.is_tls() {
            let ca = self.controller_ca.clone();
            let name = self.controller_name.clone();
            return Ok(Some(Credentials {
                ca: ca.ok_or(SettingsError::CaMissing(address))?,
                name: name.unwrap_or_else(|| controller.host().to_owned()),
                token: self.controller_token.clone(),
            }));
        }
        let typed = [
            ("controller-ca", self.controller_ca.is_some()),
            ("controller-token", self.controller_token.is_some()),
            ("controller-name", self.controller_name.is_some()),
        ];
        match typed.into_iter().find(|(_, typed)| *typed) {
            Some((flag, _)) => Err(SettingsError::OnlyOverTls { flag, address }),
            None => Ok(None),
        }
    }
}

// === impl AccessLog ===

impl std::str::FromStr for AccessLog {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" | "" => Self::Off,
            "stdout" => Self::Stdout,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// The cores that affinity and cgroup leave to this process.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Kubernetes makes the pod's name the host's.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "proxy".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    uplink::duration::parse(text).map_err(|error| error.to_string())
}

fn fleet(text: &str) -> Result<String, String> {
    let named = text.split_once('/').is_some_and(|(namespace, name)| {
        !namespace.is_empty() && !name.is_empty() && !name.contains('/')
    });
    if named {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "fleet {text:?} is not of the form namespace/name, such as shop/my-app"
        ))
    }
}

#[cfg(test)]
mod tests;
