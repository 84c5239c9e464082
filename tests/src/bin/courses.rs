//! `courses`: records what Argo's controller does in the scenarios of `tests/courses`, or plays
//! them with ours, on the control plane that KUBECONFIG leads to. `tests/courses/record` calls it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Parser};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_tests::courses::compare::{Difference, compare, told};
use sluice_tests::courses::course::Course;
use sluice_tests::courses::differences::{self, Deliberate};
use sluice_tests::courses::expected::Expected;
use sluice_tests::courses::real::{Program, Real};
use sluice_tests::courses::scenario::Scenario;
use sluice_tests::http::get;
use sluice_tests::real::rights::{self, Install};
use sluice_tests::real::{Plane, any_plane};
use tokio::process::Command;

/// How often a scenario is played before it counts as another than Argo's: its own recordings differ
/// among themselves.
const PLAYS: usize = 5;
/// The namespace of the controller that sees all of them.
const HOME: &str = "sluice";
/// What a controller must not log.
const BAD: [&str; 3] = [" ERROR ", "panicked", "forbidden"];
/// The first port for what controllers serve.
const FIRST_PORT: u16 = 20_000;
/// How often Argo's controller was started.
static STARTS: AtomicUsize = AtomicUsize::new(0);
/// The argument that makes this program our controller.
const CONTROLLER: &str = "controller";
/// The argument that makes it our proxy.
const PROXY: &str = "proxy";

#[derive(Debug, Parser)]
enum What {
    /// Records Argo's controller.
    Record(Record),
    /// Plays with ours and says what is different.
    Replay(Which),
}

#[derive(Debug, Args)]
struct Record {
    /// Argo's rollouts-controller.
    #[arg(long)]
    controller: PathBuf,
    /// How often each scenario is recorded.
    #[arg(long, default_value_t = 5)]
    times: usize,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// How many scenarios are played at the same time.
    #[arg(long, default_value_t = 20)]
    at_once: usize,
    /// Where logs go.
    #[arg(long)]
    logs: PathBuf,
    /// Which scenarios; a `*` at the end stands for any rest. All if none is named.
    names: Vec<String>,
}

struct Argo(PathBuf, PathBuf);

/// Ours, with the rights that `deploy/` gives it and no others.
struct Ours {
    plane: Plane,
    logs: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let first = arguments.get(1).cloned().unwrap_or_default();
    let as_typed = |name: &str| -> Vec<OsString> {
        let rest = arguments.iter().skip(2).cloned();
        std::iter::once(OsString::from(name)).chain(rest).collect()
    };
    if first == CONTROLLER {
        return controller::run::main_from(as_typed("sluice-controller"));
    }
    if first == PROXY {
        return proxy::run::main_from(as_typed("sluice-proxy"));
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    match What::parse() {
        What::Record(options) => runtime.block_on(record(&options)),
        What::Replay(which) => runtime.block_on(replay(&which)),
    }
}

// === impl Which ===

impl Which {
    fn scenarios(&self) -> Vec<Scenario> {
        let named = |scenario: &Scenario| {
            self.names.is_empty()
                || self.names.iter().any(|name| match name.strip_suffix('*') {
                    Some(begin) => scenario.name.starts_with(begin),
                    None => *name == scenario.name,
                })
        };
        Scenario::all().into_iter().filter(named).collect()
    }
}

async fn record(options: &Record) -> ExitCode {
    let scenarios = options.which.scenarios();
    let program = Argo(options.controller.clone(), options.which.logs.clone());
    let real = connect(Arc::new(program), &options.which).await;
    let mut recorded: Vec<Vec<Course>> = vec![Vec::new(); scenarios.len()];
    for round in 1..=options.times {
        let courses = real.play(&scenarios, round).await;
        for ((all, course), scenario) in recorded.iter_mut().zip(courses).zip(&scenarios) {
            keep(&options.which.logs, scenario, round, &course);
            all.push(course);
        }
        say(&format!("round {round} of {} is over", options.times));
    }
    let mut good = true;
    for (scenario, courses) in scenarios.iter().zip(&recorded) {
        let failures: Vec<&String> = courses.iter().filter_map(|c| c.failure.as_ref()).collect();
        if let Some(first) = failures.first() {
            good = false;
            say(&format!(
                "{}: {} failed: {first}",
                scenario.name,
                failures.len()
            ));
            continue;
        }
        let expected = Expected::of(scenario, courses);
        expected.save(scenario);
        let required: usize = expected.fields.values().map(|f| f.required.len()).sum();
        let allowed: usize = expected.fields.values().map(|f| f.allowed.len()).sum();
        say(&format!(
            "{}: {required} values required, {allowed} more allowed",
            scenario.name
        ));
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn replay(which: &Which) -> ExitCode {
    let what = std::env::var("SLUICE_REAL").unwrap_or_default();
    let Some(plane) = any_plane().await.filter(|_| what == "full") else {
        say(&format!(
            "no scenario was played: nothing pretends pods here (SLUICE_REAL={what:?}, see .ci/real)"
        ));
        return ExitCode::SUCCESS;
    };
    let ours = Ours {
        plane,
        logs: which.logs.clone(),
    };
    let real = connect(Arc::new(ours), which).await;
    let (deliberate, open) = (Deliberate::all(), differences::open());
    let all = which.scenarios();
    let mut left = all.clone();
    let mut found: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    for round in 0..PLAYS {
        let courses = real.play(&left, round).await;
        for (scenario, course) in left.iter().zip(&courses) {
            keep(&which.logs, scenario, round, course);
            let differs = judge(scenario, course, &deliberate);
            if !differs.is_empty() && round + 1 < PLAYS {
                say(&format!("{} differed in play {round}:", scenario.name));
                say(&told(&differs));
            }
            found.insert(scenario.name.clone(), differs);
        }
        left.retain(|it| !found[&it.name].is_empty() && !open.contains(&it.name));
        say(&format!("play {round} is over, {} differ", left.len()));
    }
    let known = found
        .iter()
        .filter(|(name, it)| !it.is_empty() && open.contains(*name));
    let known = known.count();
    for scenario in &left {
        let differs = &found[&scenario.name];
        say(&format!("{}: {} differences", scenario.name, differs.len()));
        say(&told(differs));
    }
    let complaints = real.complaints().await;
    for complaint in &complaints {
        say(complaint);
    }
    say(&format!(
        "{} scenarios played beside a real control plane: {} differ, {known} are known to differ \
         (tests/courses/open.txt), {} complaints",
        all.len(),
        left.len(),
        complaints.len(),
    ));
    if left.is_empty() && complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What is different and for no reason that the documentation gives.
fn judge(scenario: &Scenario, course: &Course, deliberate: &[Deliberate]) -> Vec<Difference> {
    let differs = match Expected::load(scenario) {
        Some(expected) => compare(&expected, course),
        None => vec![Difference::not_recorded()],
    };
    let mut differs = differences::undeliberate(deliberate, &scenario.name, differs);
    if scenario.restarts_controller() {
        // What was told in the moment of the kill never arrives; Argo's events are those of its log.
        differs.retain(|it| !it.field.starts_with("events["));
    }
    differs
}

/// Courses are kept beside the logs, for whoever looks into a difference.
fn keep(logs: &Path, scenario: &Scenario, round: usize, course: &Course) {
    let file = logs.join(format!("{}.{round}.json", scenario.name));
    let text = serde_json::to_string_pretty(course).expect("JSON");
    std::fs::write(file, text).expect("a writable file");
}

async fn connect(program: Arc<dyn Program>, which: &Which) -> Arc<Real> {
    Arc::new(Real::connect(program, which.logs.clone(), which.at_once).await)
}

#[expect(clippy::print_stdout, reason = "it is what people read")]
fn say(text: &str) {
    println!("{text}");
}

impl Program for Argo {
    fn prepare<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    fn command(&self, namespace: Option<&str>, number: u16) -> Command {
        // It unpacks its plugins where it stands, and never over others.
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        let place = self.1.join(format!("argo-{start}"));
        std::fs::create_dir_all(&place).expect("a directory");
        let port = FIRST_PORT + 2 * number;
        let mut command = Command::new(&self.0);
        command.current_dir(place).args([
            "--leader-elect=false",
            "--qps=1000",
            "--burst=2000",
            "--logformat=json",
        ]);
        command.arg("--kubeconfig").arg(kubeconfig());
        command
            .arg(format!("--metricsPort={port}"))
            .arg(format!("--healthzPort={}", port + 1));
        if let Some(namespace) = namespace {
            command.args(["--namespaced", "--namespace", namespace]);
        }
        command
    }

    fn proxy(&self, _: &str, _: u16) -> Option<Command> {
        None
    }

    fn events(&self, log: &Path, namespace: &str) -> Option<Vec<Value>> {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(namespace));
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_namespace = lines.filter(|line| line["namespace"] == namespace);
        Some(of_namespace.enumerate().filter_map(event).collect())
    }

    fn complaints<'a>(&'a self, _: &'a Path, _: u16) -> BoxFuture<'a, Vec<String>> {
        std::future::ready(Vec::new()).boxed()
    }
}

/// An event, from the line with which Argo's controller logs it.
fn event((number, line): (usize, Value)) -> Option<Value> {
    let kinds = [
        ("rollout", "Rollout"),
        ("analysisrun", "AnalysisRun"),
        ("experiment", "Experiment"),
    ];
    let kind = kinds.iter().find(|(key, _)| line.get(*key).is_some())?.1;
    let warning = line["level"] == "warning";
    Some(json!({
        "metadata": {"name": number.to_string()},
        "involvedObject": {"kind": kind},
        "reason": line.get("event_reason")?,
        "message": line["msg"],
        "type": if warning { "Warning" } else { "Normal" },
    }))
}

// === impl Ours ===

impl Ours {
    fn place(&self, namespace: Option<&str>) -> PathBuf {
        self.logs.join("rights").join(namespace.unwrap_or(HOME))
    }

    async fn grant(&self, namespace: Option<&str>) {
        let place = self.place(namespace);
        std::fs::create_dir_all(&place).expect("a directory");
        if namespace.is_none() {
            // It is there when there is another round.
            let make = ["create", "namespace", HOME];
            self.plane.kubectl.try_run(&make).await;
        }
        let install = match namespace {
            Some(namespace) => (Install::Namespaced, namespace),
            None => (Install::Cluster, HOME),
        };
        let server = std::env::var("KUBE_API").expect("KUBE_API");
        rights::grant(&self.plane, install, &place, &server).await;
    }

    /// What it was refused, by its own metrics. They are kept beside the log.
    async fn refused(&self, log: &Path, number: u16) -> Vec<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + 2 * number));
        let Some(metrics) = get(address, "/metrics").await else {
            return vec!["it does not serve its metrics".to_owned()];
        };
        let _ = std::fs::write(log.with_extension("metrics"), &metrics.body);
        let refused = ["status_code=\"401\"", "status_code=\"403\""];
        let is_refusal = |line: &&str| refused.iter().any(|label| line.contains(label));
        let lines = metrics.body.lines().filter(is_refusal);
        lines
            .map(|line| format!("deploy/ lacks a right: {line}"))
            .collect()
    }
}

impl Program for Ours {
    fn prepare<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, ()> {
        self.grant(namespace).boxed()
    }

    fn command(&self, namespace: Option<&str>, number: u16) -> Command {
        let program = std::env::current_exe().expect("this program");
        let port = FIRST_PORT + 2 * number;
        let mut command = Command::new(program);
        // As many requests as Argo's might send when it was recorded.
        command
            .arg(CONTROLLER)
            .args(["--leader-elect=false", "--qps=1000", "--burst=2000"])
            .arg("--kubeconfig")
            .arg(self.place(namespace).join("kubeconfig"));
        command
            .arg("--status-listen")
            .arg(format!("127.0.0.1:{port}"));
        command
            .arg("--uplink-listen")
            .arg(format!("127.0.0.1:{}", port + 1));
        if let Some(namespace) = namespace {
            command.args(["--namespaced", "--namespace", namespace]);
        }
        command
    }

    fn proxy(&self, namespace: &str, number: u16) -> Option<Command> {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([PROXY, "--workers=1", "--proxy-name=one"]);
        for listener in ["--listen", "--status", "--admin"] {
            command.arg(listener).arg("127.0.0.1:0");
        }
        command.arg("--fleet").arg(format!("{namespace}/web"));
        let uplink = FIRST_PORT + 2 * number + 1;
        command
            .arg("--controller")
            .arg(format!("http://127.0.0.1:{uplink}"));
        Some(command)
    }

    fn events(&self, _: &Path, _: &str) -> Option<Vec<Value>> {
        None
    }

    fn complaints<'a>(&'a self, log: &'a Path, number: u16) -> BoxFuture<'a, Vec<String>> {
        let look = async move {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let is_bad = |line: &&str| BAD.iter().any(|word| line.contains(word));
            let bad = text.lines().filter(is_bad).map(str::to_owned);
            let refused = self.refused(log, number).await;
            bad.chain(refused).collect()
        };
        look.boxed()
    }
}

fn kubeconfig() -> OsString {
    std::env::var_os("KUBECONFIG").expect("KUBECONFIG")
}
