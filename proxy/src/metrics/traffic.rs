//! Requests, by route and arm.

use judgement::LATENCY_BOUNDS_US;

use crate::exposition::{Exposition, Kind, Label};
use crate::observe::series::{Origin, RetryResult, Rule, SeriesKey, SeriesTotals};
use crate::observe::{FailureClass, Role};

/// Prometheus gets a coarser histogram than the verdicts: each bound is a series per route and arm.
const DURATION_BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 25_000_000, 60_000_000,
];

const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub(super) fn expose(series: &[SeriesTotals], into: &mut Exposition) {
    requests(series, into);
    durations(series, into);
    let mut in_flight = into.family(
        "sluice_requests_in_flight",
        Kind::Gauge,
        "Requests that are open now, by the arm that answers them.",
    );
    for totals in series {
        in_flight.sample(&labels(&totals.key), totals.in_flight);
    }
    let failures = "First attempts that an arm failed, whoever answered in the end.";
    let classes = FailureClass::ALL.map(FailureClass::as_str);
    counted(
        into,
        ("sluice_first_attempt_failures_total", failures),
        "class",
        series,
        |totals| classes.iter().copied().zip(totals.failures).collect(),
    );
    let retries = "Wishes to retry what an arm failed, by what came of them.";
    let results = RetryResult::ALL.map(RetryResult::as_str);
    counted(
        into,
        ("sluice_retries_total", retries),
        "result",
        series,
        |totals| results.iter().copied().zip(totals.retries).collect(),
    );
    let decisions = "Requests by the rule that sent them to the arm.";
    let rules = Rule::ALL.map(Rule::as_str);
    counted(
        into,
        ("sluice_route_decisions_total", decisions),
        "rule",
        series,
        |totals| rules.iter().copied().zip(totals.decisions).collect(),
    );
}

fn requests(series: &[SeriesTotals], into: &mut Exposition) {
    let mut family = into.family(
        "sluice_requests_total",
        Kind::Counter,
        "Responses to users, by the arm that was asked last, status class and who made them.",
    );
    for totals in series {
        for (class, origins) in CODE_CLASSES.iter().zip(&totals.responses) {
            for (origin, count) in Origin::ALL.iter().zip(origins) {
                let [route, split, role, revision] = labels(&totals.key);
                let how = [("code_class", *class), ("origin", origin.as_str())];
                family.sample(&[route, split, role, revision, how[0], how[1]], count);
            }
        }
    }
}

fn durations(series: &[SeriesTotals], into: &mut Exposition) {
    let mut family = into.family(
        "sluice_request_duration_seconds",
        Kind::Histogram,
        "From the request's head to the end of the response.",
    );
    for totals in series {
        let counts = coarse(&totals.duration);
        let sum = totals.duration_sum_us as f64 / 1e6;
        family.histogram(&labels(&totals.key), &DURATION_BOUNDS_US, &counts, sum);
    }
}

/// A counter with one label more.
fn counted<'a>(
    into: &mut Exposition,
    (name, help): (&'static str, &str),
    label: &'static str,
    series: &'a [SeriesTotals],
    counts: impl Fn(&'a SeriesTotals) -> Vec<(&'static str, u64)>,
) {
    let mut family = into.family(name, Kind::Counter, help);
    for totals in series {
        for (word, count) in counts(totals) {
            let [route, split, role, revision] = labels(&totals.key);
            family.sample(&[route, split, role, revision, (label, word)], count);
        }
    }
}

fn labels(key: &SeriesKey) -> [Label<'_>; 4] {
    let role: Role = key.role;
    [
        ("route", &key.route),
        ("split", &key.split),
        ("role", role.as_str()),
        ("revision", &key.revision),
    ]
}

/// Every coarse bound is one of the fine ones, so nothing is estimated.
fn coarse(fine: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; DURATION_BOUNDS_US.len() + 1];
    for (index, count) in fine.iter().enumerate() {
        let place = LATENCY_BOUNDS_US
            .get(index)
            .map_or(DURATION_BOUNDS_US.len(), |bound| {
                DURATION_BOUNDS_US.partition_point(|coarse| coarse < bound)
            });
        counts[place] += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_bounds_are_among_the_fine_ones() {
        for bound in DURATION_BOUNDS_US {
            assert!(LATENCY_BOUNDS_US.contains(&bound), "{bound}");
        }
        let mut fine = [0; LATENCY_BOUNDS_US.len() + 1];
        fine[judgement::bucket_of(500)] = 1;
        fine[judgement::bucket_of(501)] = 2;
        fine[judgement::bucket_of(61_000_000)] = 4;
        let coarse = coarse(&fine);
        assert_eq!((coarse[0], coarse[1], coarse[16]), (1, 2, 4));
    }
}
