//! Durations in Go's syntax (`1h30m`, `500ms`), as every Kubernetes document has them.
//!
//! Read as Go's `time.ParseDuration` reads them, except that a negative one is an error: nothing
//! in a routing configuration lasts less than no time.

use std::time::Duration;

use thiserror::Error;

use crate::check::shown;

/// A duration that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "invalid duration {}: expected numbers with units (h, m, s, ms, us, ns) such as \"1h30m\" or \
     \"500ms\"{}",
    shown(.text),
    .meant.as_ref().map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default()
)]
pub struct DurationError {
    /// What was given.
    pub text: String,
    /// What was probably meant.
    pub meant: Option<String>,
}

/// Units from the largest, with their nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Digits after the point that count; below a nanosecond of an hour there is nothing.
const MAX_FRACTION_DIGITS: usize = 15;

/// Go's durations are 64-bit signed nanoseconds.
const MAX_NANOS: u128 = i64::MAX as u128;

/// Reads a Go duration.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    nanos(text).map(from_nanos).ok_or_else(|| DurationError {
        text: text.to_owned(),
        meant: meant(text),
    })
}

/// Writes a Go duration in its shortest form: `1h30m`, `500ms`, `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS.iter().filter(|(unit, _)| unit.is_ascii()) {
        if rest >= *size {
            text.push_str(&(rest / size).to_string());
            text.push_str(unit);
            rest %= size;
        }
    }
    text
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::new(
        (nanos / 1_000_000_000) as u64,
        (nanos % 1_000_000_000) as u32,
    )
}

fn nanos(text: &str) -> Option<u128> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = one_part(rest)?;
        total += part;
        if total > MAX_NANOS {
            return None;
        }
        rest = after;
    }
    Some(total)
}

/// One number with its unit, and what follows it.
fn one_part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction = &fraction[..fraction.len().min(MAX_FRACTION_DIGITS)];
    let tenths: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let below = tenths * size / 10_u128.pow(fraction.len() as u32);
    Some((u128::from(whole) * size + below, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// What a slip of the fingers was probably meant to be.
fn meant(text: &str) -> Option<String> {
    let tidy: String = text
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase();
    if let Some(days) = tidy
        .strip_suffix('d')
        .and_then(|days| days.parse::<u64>().ok())
    {
        return days
            .checked_mul(24)
            .map(|hours| format!("{hours}h"))
            .filter(|hours| nanos(hours).is_some());
    }
    [
        tidy.clone(),
        format!("{tidy}s"),
        tidy.replace("min", "m"),
        tidy.replace("sec", "s"),
    ]
    .into_iter()
    .find(|candidate| nanos(candidate).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("10m", 600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("+5s", 5_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("1m1m", 120_000_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("2562047h47m16.854775807s", i64::MAX as u64),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses_and_says_what_was_meant() {
        for (text, meant) in [
            ("10m.", Some("10m")),
            ("300", Some("300s")),
            ("10 m", Some("10m")),
            ("10M", Some("10m")),
            ("10min", Some("10m")),
            ("10sec", Some("10s")),
            ("2d", Some("48h")),
            ("-5s", Some("5s")),
            ("", None),
            (".", None),
            ("s", None),
            ("ten", None),
            ("2562048h", None),
            ("99999999999999999999h", None),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.meant.as_deref(), meant, "{text}");
        }
        assert_eq!(
            parse("10m.").expect_err("a point too much").to_string(),
            "invalid duration \"10m.\": expected numbers with units (h, m, s, ms, us, ns) such as \
             \"1h30m\" or \"500ms\"; did you mean \"10m\"?"
        );
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0s", "1h30m", "500ms", "1s1ms1us1ns", "8760h"] {
            assert_eq!(format(parse(text).expect(text)), text);
        }
    }
}
