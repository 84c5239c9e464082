//! `provider.plugin.sluice/proxy`: how the traffic that the proxies measured is judged.

use serde_json::Value;

use super::FieldError;
use super::block::{Block, Errors};
use crate::duration::GoDuration;

/// How a metric is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyMetric {
    /// What is tested.
    pub test: ProxyTest,
    /// The chance of a false alarm over the whole run; a default applies when unset.
    pub alpha: Option<f64>,
    /// How many times as many failures as stable the canary may have; a default when unset.
    pub ratio: Option<f64>,
    /// The requests to the canary below which nothing is said; a default when unset.
    pub min_evidence: Option<u64>,
    /// What too little evidence at the end means; by the kind of run when unset.
    pub on_insufficient: Option<OnInsufficient>,
}

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProxyTest {
    /// The canary against stable.
    Compare(Comparison),
    /// The canary's share of successful requests against a floor.
    SuccessRate {
        /// The floor, above 0 and below 1.
        min: f64,
    },
    /// A quantile of the canary's latency against a ceiling.
    Latency {
        /// The quantile, above 0 and below 1.
        quantile: f64,
        /// The ceiling.
        max: GoDuration,
    },
}

/// What is compared between canary and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The shares of failed requests.
    Errors,
    /// The latencies.
    Latency,
}

/// What too little evidence at the end of a run means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInsufficient {
    /// The measurement is Successful.
    Success,
    /// The measurement is Inconclusive.
    Inconclusive,
}

const TESTS: &[&str] = &["compare", "successRate", "latency"];

const KEYS: &[&str] = &[
    "compare",
    "successRate",
    "latency",
    "alpha",
    "ratio",
    "minEvidence",
    "onInsufficient",
];

// === impl ProxyMetric ===

impl ProxyMetric {
    /// Reads a block that stands at `path`; every error of it at once.
    pub fn parse(value: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let mut errors = Errors::default();
        let parsed = Block::open(value, path, KEYS, &mut errors)
            .and_then(|block| metric(&block, &mut errors));
        errors.or(parsed)
    }
}

fn metric(block: &Block<'_>, errors: &mut Errors) -> Option<ProxyMetric> {
    let test = test(block, errors);
    let alpha = alpha(block, errors);
    let ratio = ratio(block, errors);
    let min_evidence = block.wanted("minEvidence", "a whole number from 1", positive, errors);
    let words = [
        ("success", OnInsufficient::Success),
        ("inconclusive", OnInsufficient::Inconclusive),
    ];
    let on_insufficient = block.word("onInsufficient", &words, errors);
    Some(ProxyMetric {
        test: test?,
        alpha,
        ratio,
        min_evidence,
        on_insufficient,
    })
}

/// A chance of error: below one half, or the test would be worse than a coin.
pub(super) fn alpha(block: &Block<'_>, errors: &mut Errors) -> Option<f64> {
    let accept = |value: &Value| value.as_f64().filter(|alpha| *alpha > 0.0 && *alpha < 0.5);
    block.wanted("alpha", "a number above 0 and below 0.5", accept, errors)
}

pub(super) fn ratio(block: &Block<'_>, errors: &mut Errors) -> Option<f64> {
    let accept = |value: &Value| value.as_f64().filter(|ratio| *ratio >= 1.0);
    block.wanted("ratio", "a number of at least 1", accept, errors)
}

pub(super) fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}

fn test(block: &Block<'_>, errors: &mut Errors) -> Option<ProxyTest> {
    let present = block.present(TESTS);
    if present.len() != 1 {
        let message = if present.is_empty() {
            "must have exactly one of compare, successRate and latency".to_owned()
        } else {
            format!("must have exactly one of {}", present.join(" and "))
        };
        errors.push(block.own_path(), &block.value(), message);
    }
    let mut tests = present.into_iter().map(|key| match key {
        "compare" => compare(block, errors),
        "successRate" => success_rate(block, errors),
        _ => latency(block, errors),
    });
    let first = tests.next().flatten();
    // The others are read for their errors.
    tests.for_each(drop);
    first
}

fn compare(block: &Block<'_>, errors: &mut Errors) -> Option<ProxyTest> {
    let words = [
        ("errors", Comparison::Errors),
        ("latency", Comparison::Latency),
    ];
    block
        .word("compare", &words, errors)
        .map(ProxyTest::Compare)
}

fn success_rate(block: &Block<'_>, errors: &mut Errors) -> Option<ProxyTest> {
    let inner = inner(block, "successRate", &["min"], errors)?;
    Some(ProxyTest::SuccessRate {
        min: share(&inner, "min", errors)?,
    })
}

fn latency(block: &Block<'_>, errors: &mut Errors) -> Option<ProxyTest> {
    let inner = inner(block, "latency", &["quantile", "max"], errors)?;
    let quantile = share(&inner, "quantile", errors);
    let max = inner.duration("max", errors);
    required(&inner, "max", "a duration, as in \"500ms\"", errors);
    Some(ProxyTest::Latency {
        quantile: quantile?,
        max: max?,
    })
}

fn inner<'a>(
    block: &Block<'a>,
    key: &str,
    known: &[&str],
    errors: &mut Errors,
) -> Option<Block<'a>> {
    Block::open(block.get(key)?, &block.path(key), known, errors)
}

fn share(block: &Block<'_>, key: &str, errors: &mut Errors) -> Option<f64> {
    let wanted = "a number above 0 and below 1";
    required(block, key, wanted, errors);
    let accept = |value: &Value| value.as_f64().filter(|share| *share > 0.0 && *share < 1.0);
    block.wanted(key, wanted, accept, errors)
}

pub(super) fn required(block: &Block<'_>, key: &str, wanted: &str, errors: &mut Errors) {
    if block.get(key).is_none() {
        errors.push(
            &block.path(key),
            &Value::Null,
            format!("required: {wanted}"),
        );
    }
}
