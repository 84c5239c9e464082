//! The story of the demo: version 1 comes up, users come, release 2, release 3, the end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::StatusCode;
use kube::Client;
use local::clock::Clock;
use local::kubelet::images::ImageCommands;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::app::{self, ledger};
use super::ledger::{Exchange, Ledger};
use super::load::Load;
use super::releases::{FLEET, IMAGE, Release};
use super::screen::View;
use super::summary::{Fate, Summary};
use super::terminal::Terminal;
use super::watch::{Seen, Standing};
use crate::part::{Exe, Part};
use crate::up::cluster::range_of_process;
use crate::up::{Cluster, Options, Signals, apply, ask};

/// The story takes no longer than this; the end has limits of its own.
const DEADLINE: Duration = Duration::from_secs(100);
/// How long the end of the cluster may take.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(8);
/// How long users see only one version before a release, and after the last.
const QUIET: Duration = Duration::from_secs(4);
/// How often the Rollout is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Apps write their ledgers more often than this.
const LAST_LEDGERS: Duration = Duration::from_millis(200);

/// The directory of one demo.
#[derive(Debug)]
pub struct Place(TempDir);

/// One demo.
pub struct Stage {
    dir: PathBuf,
    clock: Clock,
    began: jiff::Timestamp,
    terminal: Terminal,
    cluster: Option<Cluster>,
    load: Option<Load>,
    release: Release,
    fate: Fate,
}

// === impl Place ===

impl Place {
    /// A new directory, under the given one if any.
    pub fn make(under: Option<&Path>) -> anyhow::Result<Self> {
        let builder = &mut tempfile::Builder::new();
        let named = builder.prefix("sluice-demo-");
        let made = match under {
            Some(dir) => std::fs::create_dir_all(dir).and_then(|()| named.tempdir_in(dir)),
            None => named.tempdir(),
        };
        Ok(Self(made.context("cannot make a directory for the demo")?))
    }

    /// Leaves it where it is.
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }

    fn ledgers(dir: &Path) -> PathBuf {
        dir.join("ledgers")
    }
}

// === impl Stage ===

impl Stage {
    /// Nothing has begun yet.
    pub fn new(place: &Place, clock: Clock, terminal: Terminal) -> Self {
        Self {
            dir: place.0.path().to_owned(),
            clock,
            began: clock.now(),
            terminal,
            cluster: None,
            load: None,
            release: Release::First,
            fate: Fate::default(),
        }
    }

    /// Plays the story, as far as it goes.
    pub async fn play(&mut self, mut signals: Signals) {
        let told = tokio::select! {
            told = timeout(DEADLINE, self.tell()) => told,
            () = signals.next() => Ok(Err(anyhow::anyhow!("interrupted"))),
        };
        let told = told.unwrap_or_else(|_| {
            let title = self.release.title();
            Err(anyhow::anyhow!(
                "not over after {DEADLINE:?}, in the middle of {title:?}"
            ))
        });
        if let Err(error) = told {
            let stood = std::mem::take(&mut self.fate.verdict);
            let stood = if stood.is_empty() {
                stood
            } else {
                format!(" (the Rollout: {stood})")
            };
            self.fate.verdict = format!("{error:#}{stood}");
        }
    }

    async fn tell(&mut self) -> anyhow::Result<()> {
        self.say("starting a cluster: API server, controller, proxies, version 1 of an app");
        let (client, address) = self.begin().await?;
        self.load = Some(Load::start(address, self.clock));
        self.quiet(&client).await?;
        let promoted = self.roll_out(&client, Release::Good).await?;
        self.fate.promoted = promoted == Standing::Promoted;
        if !self.fate.promoted {
            bail!("release 2 is good and was not promoted");
        }
        self.quiet(&client).await?;
        let aborted = self.roll_out(&client, Release::Bad).await?;
        self.fate.aborted = aborted == Standing::Aborted;
        self.quiet(&client).await?;
        if !self.fate.aborted {
            bail!("release 3 is bad and was not aborted");
        }
        Ok(())
    }

    /// Starts the cluster and brings version 1 up; a client of the API, and where users go.
    async fn begin(&mut self) -> anyhow::Result<(Client, SocketAddr)> {
        let ledgers = Place::ledgers(&self.dir);
        std::fs::create_dir_all(&ledgers).context("cannot make a directory for ledgers")?;
        let exe = Exe::current();
        let mut images = ImageCommands::default();
        let to = [
            "--ledger-dir".to_owned(),
            ledgers.to_string_lossy().into_owned(),
        ];
        images.insert(IMAGE, exe.command(Part::App, to));
        let cluster = Cluster::start(Options {
            exe,
            data_dir: Some(self.dir.clone()),
            pod_range: range_of_process(std::process::id()),
            images,
            ..Options::default()
        });
        let cluster = self.cluster.insert(cluster.await?);
        let client = cluster.client();
        for manifest in Release::First.manifests()? {
            apply::apply(&client, &manifest).await?;
        }
        let fleets = cluster.ready().await?;
        let address = *fleets.get(FLEET).context("the demo's fleet is not there")?;
        self.watch_until(&client, |seen| seen.standing("") != Standing::UnderWay)
            .await?;
        while !serves(address).await {
            sleep(LOOK_EVERY).await;
        }
        Ok((client, address))
    }

    /// Brings a release in as a user would, and watches until it is promoted or aborted.
    async fn roll_out(&mut self, client: &Client, release: Release) -> anyhow::Result<Standing> {
        let before = Seen::look(client).await?;
        let old = before.stable_hash();
        self.release = release;
        for manifest in release.manifests()? {
            apply::apply(client, &manifest).await?;
        }
        let under_way = |seen: &Seen| seen.standing(old) == Standing::UnderWay;
        let seen = self.watch_until(client, |seen| !under_way(seen)).await?;
        Ok(seen.standing(old))
    }

    async fn quiet(&mut self, client: &Client) -> anyhow::Result<()> {
        let until = self.clock.now() + QUIET;
        let clock = self.clock;
        self.watch_until(client, |_| clock.now() >= until).await?;
        Ok(())
    }

    async fn watch_until(
        &mut self,
        client: &Client,
        over: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Seen> {
        loop {
            let seen = Seen::look(client)
                .await
                .context("cannot read the Rollout")?;
            let view = self.view(&seen);
            self.terminal.show(view);
            self.fate.verdict = seen.verdict();
            if over(&seen) {
                return Ok(seen);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn view(&self, seen: &Seen) -> View {
        let elapsed = self.clock.now().duration_since(self.began);
        let view = View {
            elapsed: elapsed.unsigned_abs(),
            release: self.release.version(),
            title: self.release.title().to_owned(),
            steps: seen.steps(),
            weight: seen.weight(),
            state: seen.state(),
            analysis: seen.analysis(),
            ..View::default()
        };
        let Some(load) = &self.load else { return view };
        let ledger = load.ledger();
        View {
            shares: ledger.recent(),
            requests: ledger.requests(),
            failures: ledger.failures(),
            fallbacks: ledger.fallbacks(),
            ..view
        }
    }

    /// The users go, everything is counted, then the cluster ends.
    pub async fn end(mut self) -> Summary {
        let users = match self.load.take() {
            Some(load) => load.stop().await,
            None => Ledger::default(),
        };
        sleep(LAST_LEDGERS).await;
        let [good, bad] = [Release::Good, Release::Bad].map(|release| {
            let read = ledger::of_version(&Place::ledgers(&self.dir), release.version());
            read.unwrap_or_else(|error| {
                self.fate.promoted = false;
                self.fate.verdict = format!("the app's ledgers cannot be read: {error}");
                app::ledger::Ledger::default()
            })
        });
        self.write_incidents(&users);
        let summary = Summary::of(self.fate.clone(), &users, &good, &bad);
        let paint = self.terminal.paint();
        self.terminal
            .say(&summary.in_words(&users.failures_in_words(), paint));
        if let Some(cluster) = self.cluster.take() {
            // Whatever is left then is ended by its supervisor.
            let _ = timeout(SHUTDOWN_WITHIN, cluster.shutdown()).await;
        }
        summary
    }

    /// What users should not have seen, beside the logs, for who looks into it.
    fn write_incidents(&self, users: &Ledger) {
        let lines = users.incidents().iter().map(|incident| {
            let Exchange {
                user,
                sent,
                ended,
                outcome,
            } = &incident.exchange;
            format!(
                "{}: user {user}, sent {sent}, ended {ended}, {outcome:?}\n",
                incident.what
            )
        });
        // The counts are in the summary; these are only the details.
        let _ = std::fs::write(self.dir.join("incidents.log"), lines.collect::<String>());
    }

    fn say(&mut self, line: &str) {
        self.terminal.say(&[line.to_owned()]);
    }
}

/// Whether the app answers through the proxies.
async fn serves(address: SocketAddr) -> bool {
    matches!(ask::get(address, "/").await, Ok((StatusCode::OK, _)))
}
