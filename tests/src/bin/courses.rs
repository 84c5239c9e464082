//! `courses`: records what Argo's controller does in the scenarios of `tests/courses`, or plays
//! them with ours, on the control plane that KUBECONFIG leads to. `tests/courses/record` calls it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Parser};
use serde_json::{Value, json};
use sluice_tests::courses::compare::{compare, told};
use sluice_tests::courses::course::Course;
use sluice_tests::courses::differences::{self, Deliberate};
use sluice_tests::courses::expected::Expected;
use sluice_tests::courses::real::{Program, Real};
use sluice_tests::courses::scenario::Scenario;
use tokio::process::Command;

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

struct Ours;

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
            let file = options
                .which
                .logs
                .join(format!("{}.{round}.json", scenario.name));
            let text = serde_json::to_string_pretty(&course).expect("JSON");
            std::fs::write(file, text).expect("a writable file");
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
    let scenarios = which.scenarios();
    let real = connect(Arc::new(Ours), which).await;
    real.install_kinds().await;
    let courses = real.play(&scenarios, 0).await;
    let (deliberate, open) = (Deliberate::all(), differences::open());
    let mut good = true;
    for (scenario, course) in scenarios.iter().zip(&courses) {
        let Some(expected) = Expected::load(scenario) else {
            say(&format!("{}: not recorded", scenario.name));
            good = false;
            continue;
        };
        let found = compare(&expected, course);
        let found = differences::undeliberate(&deliberate, &scenario.name, found);
        let is_open = open.contains(&scenario.name);
        if !found.is_empty() {
            good &= is_open;
            let open = if is_open { " (known, in open.txt)" } else { "" };
            say(&format!(
                "{}: {} differences{open}",
                scenario.name,
                found.len()
            ));
            say(&told(&found));
        }
    }
    say(&format!(
        "{} scenarios played beside a real control plane",
        scenarios.len()
    ));
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn connect(program: Arc<dyn Program>, which: &Which) -> Arc<Real> {
    Arc::new(Real::connect(program, which.logs.clone(), which.at_once).await)
}

#[expect(clippy::print_stdout, reason = "it is what people read")]
fn say(text: &str) {
    println!("{text}");
}

impl Program for Argo {
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

impl Program for Ours {
    fn command(&self, namespace: Option<&str>, number: u16) -> Command {
        let program = std::env::current_exe().expect("this program");
        let port = FIRST_PORT + 2 * number;
        let mut command = Command::new(program);
        command
            .arg(CONTROLLER)
            .arg("--leader-elect=false")
            .arg("--kubeconfig")
            .arg(kubeconfig());
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
}

fn kubeconfig() -> OsString {
    std::env::var_os("KUBECONFIG").expect("KUBECONFIG")
}
