//! The differential test: in every scenario ours does what Argo's controller was recorded to do, and
//! it does so as well when it dies between any two of its writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_tests::courses::compare::{compare, told};
use sluice_tests::courses::differences::{self, Deliberate};
use sluice_tests::courses::expected::Expected;
use sluice_tests::courses::pretended::{Played, play_pretended};
use sluice_tests::courses::scenario::Scenario;

/// Scenarios that Show 2 of the design asks for.
const AT_LEAST: usize = 60;
/// Threads that play; each scenario is an island.
const THREADS: usize = 2;
/// Names scenarios to play, for people: `canary-steps,blue-*`.
const ONLY: &str = "SLUICE_COURSES";
/// How many cuts of each scenario are played; `all` for every one.
const CUTS: &str = "SLUICE_COURSES_CUTS";
/// How many that is when nobody says.
const FEW_CUTS: usize = 2;
/// Scenarios that are played twice, when nobody chooses others: the first is held against the second.
const SAME: [&str; 3] = ["analysis-dry-run", "blue-abort", "routed-third-midway"];
/// Which cuts are played when not all are.
const SEED: u64 = 4;

/// Plays in virtual time, on a runtime of its own.
fn played(scenario: &Scenario, cut: Option<usize>) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(play_pretended(scenario, cut))
}

fn chosen() -> Vec<Scenario> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let patterns: Vec<&str> = only.split(',').filter(|part| !part.is_empty()).collect();
    let is_chosen = |scenario: &Scenario| {
        let fits = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(begin) => scenario.name.starts_with(begin),
            None => *pattern == scenario.name,
        };
        patterns.is_empty() || patterns.iter().any(fits)
    };
    Scenario::all().into_iter().filter(is_chosen).collect()
}

/// Does something with every scenario, some at the same time; what came of each, by name.
fn with_each<T: Send>(
    scenarios: &[Scenario],
    each: impl Fn(&Scenario) -> T + Sync,
) -> BTreeMap<String, T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = each(scenario);
                    let mut done = done.lock().expect("no panic");
                    done.insert(scenario.name.clone(), result);
                }
            });
        }
    });
    done.into_inner().expect("no panic")
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "people are told what is known to differ"
)]
fn every_scenario_goes_as_argos_controller_took_it() {
    let (deliberate, open) = (Deliberate::all(), differences::open());
    let scenarios = chosen();
    let found = with_each(&scenarios, |scenario| {
        let Some(expected) = Expected::load(scenario) else {
            return Vec::new();
        };
        let found = compare(&expected, &played(scenario, None).course);
        differences::undeliberate(&deliberate, &scenario.name, found)
    });
    let (mut wrong, mut known, mut mended) = (String::new(), 0, Vec::new());
    for (name, differences) in &found {
        let is_open = open.contains(name);
        match (differences.is_empty(), is_open) {
            (true, true) => mended.push(name),
            (true, false) => {}
            (false, true) => {
                known += 1;
                // Whoever asks for some of them works on them.
                if std::env::var_os(ONLY).is_some() {
                    eprintln!("\n{name}: {} differences", differences.len());
                    eprintln!("{}", told(differences));
                }
            }
            (false, false) => {
                let _ = writeln!(wrong, "\n{name}: {} differences", differences.len());
                wrong.push_str(&told(differences));
            }
        }
    }
    eprintln!(
        "{} scenarios, {known} known to differ (tests/courses/open.txt)",
        found.len()
    );
    assert!(wrong.is_empty(), "ours differs from Argo's:\n{wrong}");
    assert!(
        mended.is_empty(),
        "take them out of tests/courses/open.txt: {mended:?}"
    );
}

#[test]
fn recordings_are_of_the_scenarios_as_they_are() {
    let (scenarios, open) = (Scenario::all(), differences::open());
    assert!(scenarios.len() >= AT_LEAST, "{} scenarios", scenarios.len());
    let stale: Vec<&str> = scenarios
        .iter()
        .filter(|scenario| {
            let recorded = Expected::load(scenario);
            let is_stale = recorded.is_none_or(|recorded| recorded.scenario != scenario.digest);
            is_stale && !open.contains(&scenario.name)
        })
        .map(|scenario| scenario.name.as_str())
        .collect();
    assert!(
        stale.is_empty(),
        "record them again with tests/courses/record: {stale:?}"
    );
    let names: BTreeSet<String> = scenarios
        .into_iter()
        .map(|scenario| scenario.name)
        .collect();
    let unknown: Vec<String> = open.difference(&names).cloned().collect();
    assert!(
        unknown.is_empty(),
        "open.txt names what is not there: {unknown:?}"
    );
}

#[test]
fn every_deliberate_difference_stands_in_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/argo-compatibility.md");
    let page = std::fs::read_to_string(page).expect("the page");
    for deliberate in Deliberate::all() {
        let cell = format!("| {} |", deliberate.id);
        assert!(
            page.contains(&cell),
            "no row {:?} in docs/argo-compatibility.md",
            deliberate.id
        );
    }
}

#[test]
fn a_controller_that_dies_before_any_write_comes_to_the_same_end() {
    let wanted = std::env::var(CUTS).unwrap_or_default();
    let open = differences::open();
    let mut scenarios = chosen();
    scenarios.retain(|scenario| !open.contains(&scenario.name));
    let found = with_each(&scenarios, |scenario| {
        let whole = played(scenario, None);
        let mut cuts: Vec<usize> = (0..whole.writes).collect();
        if wanted != "all" {
            let few = wanted.parse().unwrap_or(FEW_CUTS);
            let seed = scenario.digest.bytes().fold(SEED, |seed: u64, byte| {
                seed.wrapping_mul(31) ^ u64::from(byte)
            });
            fastrand::Rng::with_seed(seed).shuffle(&mut cuts);
            cuts.truncate(few);
        }
        let mut wrong = String::new();
        for cut in cuts {
            wrong.push_str(&ends_otherwise(&whole, scenario, cut));
        }
        wrong
    });
    let wrong: String = found.into_values().collect();
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is otherwise at the end when the controller dies before that write.
fn ends_otherwise(whole: &Played, scenario: &Scenario, cut: usize) -> String {
    let name = &scenario.name;
    let again = played(scenario, Some(cut)).course;
    if let Some(failure) = again.failure {
        return format!("{name} before write {cut}: {failure}\n");
    }
    let mut wrong = String::new();
    let fields = whole.course.end.keys().chain(again.end.keys());
    for field in fields.collect::<BTreeSet<_>>() {
        let (one, other) = (whole.course.end.get(field), again.end.get(field));
        if one != other && !counts_what_was(field) {
            let _ = writeln!(
                wrong,
                "{name} before write {cut}: {field}\n  uncut: {one:?}\n  cut:   {other:?}"
            );
        }
    }
    wrong
}

/// How often something was measured, which depends on how long it took.
fn counts_what_was(field: &str) -> bool {
    field.starts_with("analysisrun[") && field.contains("].metric[")
        || field.ends_with("runSummary")
}

#[test]
fn a_scenario_goes_the_same_way_every_time() {
    let mut scenarios = chosen();
    if scenarios.len() > SAME.len() {
        scenarios.retain(|scenario| SAME.contains(&scenario.name.as_str()));
    }
    let found = with_each(&scenarios, |scenario| {
        let courses = [(); 2].map(|()| played(scenario, None).course);
        courses[0] == courses[1]
    });
    let differ: Vec<_> = found.iter().filter(|(_, same)| !**same).collect();
    assert!(differ.is_empty(), "they depend on chance: {differ:?}");
}
