//! Probes: is a container started, ready, alive?
//!
//! [`Count`] is the pure part: how many successes or failures in a row change the answer.
//! [`Check`] is one look: an HTTP request, a connection, or a command. [`watch`] runs all probes
//! of a container: the startup probe first and the others only after it, as a kubelet does.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::{
    api::core::v1::{Container, ExecAction, HTTPGetAction, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::sync::mpsc;

use super::runtime::Exec;

mod http;

/// How many pieces of news may wait for the container's loop.
pub(super) const NEWS: usize = 8;

/// Which question a probe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

/// What probes found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The startup probe succeeded, or there is none.
    Started,
    /// The readiness probe's answer changed.
    Ready(bool),
    /// One look failed.
    Unhealthy(Kind, String),
    /// The container is to be restarted.
    Restart(Kind),
}

/// One way to look at a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Http {
        host: String,
        port: u16,
        path: String,
        headers: Vec<(String, String)>,
    },
    Tcp {
        host: String,
        port: u16,
    },
    Exec {
        argv: Vec<String>,
    },
}

/// The probes of one container's run.
pub(super) struct Probes<'a> {
    pub(super) container: &'a Container,
    pub(super) pod_ip: Ipv4Addr,
    pub(super) exec: Exec,
    pub(super) news: mpsc::Sender<News>,
}

/// Answers in a row, and when they change the verdict.
#[derive(Clone, Copy, Debug)]
struct Count {
    success: i32,
    failure: i32,
    last: bool,
    row: i32,
}

impl Kind {
    /// The word for it in events.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

impl Probes<'_> {
    /// Probes until dropped.
    pub(super) async fn watch(self) {
        if let Some(probe) = &self.container.startup_probe
            && !self.started(probe).await
        {
            self.tell(News::Restart(Kind::Startup)).await;
            return std::future::pending().await;
        }
        self.tell(News::Started).await;
        tokio::join!(self.readiness(), self.liveness());
        std::future::pending::<()>().await;
    }

    async fn started(&self, probe: &Probe) -> bool {
        self.verdict(Kind::Startup, probe, &mut Count::of(probe))
            .await
    }

    async fn readiness(&self) {
        let Some(probe) = &self.container.readiness_probe else {
            return self.tell(News::Ready(true)).await;
        };
        let mut count = Count::of(probe);
        let mut told = false;
        loop {
            let ready = self.verdict(Kind::Readiness, probe, &mut count).await;
            if ready != told {
                told = ready;
                self.tell(News::Ready(ready)).await;
            }
            tokio::time::sleep(period(probe)).await;
        }
    }

    async fn liveness(&self) {
        let Some(probe) = &self.container.liveness_probe else {
            return;
        };
        let mut count = Count::of(probe);
        while self.verdict(Kind::Liveness, probe, &mut count).await {
            tokio::time::sleep(period(probe)).await;
        }
        self.tell(News::Restart(Kind::Liveness)).await;
    }

    /// Looks once a period until enough answers in a row decide.
    async fn verdict(&self, kind: Kind, probe: &Probe, count: &mut Count) -> bool {
        if count.row == 0 {
            tokio::time::sleep(seconds(probe.initial_delay_seconds, 0, 0)).await;
        }
        loop {
            let answer = self.look(probe).await;
            let good = answer.is_ok();
            if let Err(message) = answer {
                self.tell(News::Unhealthy(kind, message)).await;
            }
            if let Some(verdict) = count.saw(good) {
                return verdict;
            }
            tokio::time::sleep(period(probe)).await;
        }
    }

    async fn look(&self, probe: &Probe) -> Result<(), String> {
        let actions = (&probe.http_get, &probe.tcp_socket, &probe.exec);
        let check = match actions {
            (Some(get), _, _) => Check::http(get, self.container, self.pod_ip)?,
            (_, Some(socket), _) => Check::tcp(socket, self.container, self.pod_ip)?,
            (_, _, Some(exec)) => Check::exec(exec),
            _ => return Err("the probe says neither httpGet, tcpSocket nor exec".to_owned()),
        };
        check
            .run(&self.exec, seconds(probe.timeout_seconds, 1, 1))
            .await
    }

    async fn tell(&self, news: News) {
        // The container's loop ends before its probes do.
        let _ = self.news.send(news).await;
    }
}

impl Check {
    /// The request of an httpGet.
    pub(super) fn http(
        get: &HTTPGetAction,
        container: &Container,
        pod_ip: Ipv4Addr,
    ) -> Result<Self, String> {
        let path = get.path.clone().unwrap_or_default();
        let path = if path.starts_with('/') {
            path
        } else {
            format!("/{path}")
        };
        let headers = get.http_headers.iter().flatten();
        Ok(Self::Http {
            host: host(get.host.as_deref(), pod_ip),
            port: port(&get.port, container)?,
            path,
            headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
        })
    }

    /// The connection of a tcpSocket.
    pub(super) fn tcp(
        socket: &TCPSocketAction,
        container: &Container,
        pod_ip: Ipv4Addr,
    ) -> Result<Self, String> {
        let host = host(socket.host.as_deref(), pod_ip);
        Ok(Self::Tcp {
            host,
            port: port(&socket.port, container)?,
        })
    }

    /// The command of an exec.
    pub(super) fn exec(exec: &ExecAction) -> Self {
        Self::Exec {
            argv: exec.command.clone().unwrap_or_default(),
        }
    }

    /// Looks, for at most `limit`; the error says what was wrong.
    pub(super) async fn run(&self, exec: &Exec, limit: Duration) -> Result<(), String> {
        let look = async {
            match self {
                Self::Http {
                    host,
                    port,
                    path,
                    headers,
                } => http::get((host, *port), path, headers).await,
                Self::Tcp { host, port } => {
                    let connected = tokio::net::TcpStream::connect((host.as_str(), *port)).await;
                    connected
                        .map(drop)
                        .map_err(|error| format!("dial {host}:{port}: {error}"))
                }
                Self::Exec { argv } => return exec(argv.clone(), limit).await,
            }
        };
        let late = |_| Err(format!("no answer within {limit:?}"));
        tokio::time::timeout(limit, look).await.unwrap_or_else(late)
    }
}

fn host(given: Option<&str>, pod_ip: Ipv4Addr) -> String {
    given
        .filter(|host| !host.is_empty())
        .map_or_else(|| pod_ip.to_string(), str::to_owned)
}

/// A port by number, or by its name among the container's ports.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok().filter(|number| *number != 0))
        .ok_or_else(|| format!("port {port:?}: expected 1 to 65535 or the name of a port"))
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds, 10, 1)
}

fn seconds(given: Option<i32>, default: i32, least: i32) -> Duration {
    let given = given
        .filter(|n| *n != 0 || least == 0)
        .unwrap_or(default)
        .max(least);
    Duration::from_secs(u64::try_from(given).unwrap_or(0))
}

impl Count {
    fn of(probe: &Probe) -> Self {
        Self {
            success: probe.success_threshold.unwrap_or(1).max(1),
            failure: probe.failure_threshold.filter(|n| *n > 0).unwrap_or(3),
            last: false,
            row: 0,
        }
    }

    /// The verdict, once there are enough equal answers in a row.
    fn saw(&mut self, good: bool) -> Option<bool> {
        self.row = if good == self.last {
            self.row.saturating_add(1)
        } else {
            1
        };
        self.last = good;
        let enough = if good { self.success } else { self.failure };
        (self.row >= enough).then_some(good)
    }
}

#[cfg(test)]
mod tests;
