//! Durations as Go writes them: `1h30m`, `1.5s`, `-1s`.
//!
//! What is accepted is exactly what Go's `time.ParseDuration` accepts, overflow included, so that a
//! manifest means the same here as under Argo. The errors are better: they say what was meant.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use thiserror::Error;

const SECOND: i64 = 1_000_000_000;

/// A signed duration in nanoseconds, as Go has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Why a text is not a duration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing at all.
    #[error(
        "invalid duration \"\": write a number with a unit, as in \"30s\", \"10m\" or \"1h30m\""
    )]
    Empty,
    /// A number that is followed by no unit.
    #[error("invalid duration {text:?}: missing unit after {before:?}; did you mean {meant:?}?")]
    MissingUnit {
        /// The whole text.
        text: String,
        /// What was understood up to there.
        before: String,
        /// What was probably meant.
        meant: String,
    },
    /// A number that is followed by something else.
    #[error("invalid duration {text:?}: unknown unit {unit:?}{}; units are ns, us, ms, s, m and h", suggest(meant.as_deref()))]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unit.
        unit: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// Something where a number should be.
    #[error("invalid duration {text:?}: unexpected {unexpected:?}{}{}", after(before), suggest(meant.as_deref()))]
    Unexpected {
        /// The whole text.
        text: String,
        /// What is not a number.
        unexpected: String,
        /// What was understood up to there.
        before: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// More than Go can hold.
    #[error("invalid duration {text:?}: longer than {limit}")]
    TooLong {
        /// The whole text.
        text: String,
        /// The longest that would be accepted.
        limit: &'static str,
    },
}

// === impl DurationError ===

impl DurationError {
    /// What Go says of it, for where people know Argo's sentence.
    pub fn in_go(&self) -> String {
        let invalid = |text: &str| format!("time: invalid duration {}", go_quoted(text));
        match self {
            Self::Empty => invalid(""),
            Self::MissingUnit { text, .. } => {
                format!("time: missing unit in duration {}", go_quoted(text))
            }
            Self::UnknownUnit { text, unit, .. } => {
                let (unit, text) = (go_quoted(unit), go_quoted(text));
                format!("time: unknown unit {unit} in duration {text}")
            }
            Self::Unexpected { text, .. } | Self::TooLong { text, .. } => invalid(text),
        }
    }
}

/// A text as Go's package `time` quotes it: what is not plain ASCII byte by byte.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => quoted.push(char::from(byte)),
            other => quoted = format!("{quoted}\\x{other:02x}"),
        }
    }
    quoted + "\""
}

/// The seconds of a pause: an integer, a string with an integer, or a Go duration cut to whole
/// seconds. A negative one is not an error here; the Rollout that has it is invalid.
pub fn pause_seconds(duration: &IntOrString) -> Result<i64, DurationError> {
    let text = match duration {
        IntOrString::Int(seconds) => return Ok(i64::from(*seconds)),
        IntOrString::String(text) => text,
    };
    if let Ok(seconds) = text.parse::<i32>() {
        return Ok(i64::from(seconds));
    }
    let seconds = GoDuration::parse(text)?.whole_seconds();
    // Argo keeps the seconds in 32 bits.
    if i32::try_from(seconds).is_err() {
        return Err(DurationError::TooLong {
            text: text.clone(),
            limit: "2147483647s",
        });
    }
    Ok(seconds)
}

fn suggest(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}

fn after(before: &str) -> String {
    if before.is_empty() {
        String::new()
    } else {
        format!(" after {before:?}")
    }
}

// === impl GoDuration ===

impl GoDuration {
    /// The longest duration that Go can hold.
    const LIMIT: &'static str = "2562047h47m16.854775807s";

    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        nanoseconds(text)
            .map(Self)
            .map_err(|fault| explained(text, fault))
    }

    /// From nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// From seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// In nanoseconds.
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// In seconds, cut towards zero.
    pub const fn whole_seconds(self) -> i64 {
        self.0 / SECOND
    }

    /// As a standard duration; `None` when it is negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// As Go prints it: `1h30m0s`, `1.5s`, `250ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let total = self.0.unsigned_abs();
        let (scale, unit) = match total {
            0 => return f.pad("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => return f.pad(&format!("{sign}{}", clock(total))),
        };
        f.pad(&format!("{sign}{}{unit}", decimal(total, scale)))
    }
}

fn clock(total: u64) -> String {
    let minute = 60 * SECOND as u64;
    let (hours, minutes) = (total / (60 * minute), total / minute % 60);
    let seconds = decimal(total % minute, SECOND as u64);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale` without trailing zeros; `scale` is a power of ten.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = scale.ilog10() as usize;
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

// === reading ===

/// Where reading stopped, and why. The explanation is made apart from the reading, because it
/// tries what else the text may have meant.
enum Fault<'a> {
    Empty,
    MissingUnit { left: &'a str },
    UnknownUnit { unit: &'a str, left: &'a str },
    Unexpected { rest: &'a str },
    TooLong,
}

fn nanoseconds(text: &str) -> Result<i64, Fault<'_>> {
    let (negative, mut rest) = match text.as_bytes().first() {
        None => return Err(Fault::Empty),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(Fault::Unexpected { rest });
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (part, left) = segment(rest)?;
        rest = left;
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= 1 << 63)
            .ok_or(Fault::TooLong)?;
    }
    if negative {
        // -2^63 is the one value whose negation does not exist.
        return Ok(total.cast_signed().wrapping_neg());
    }
    i64::try_from(total).map_err(|_| Fault::TooLong)
}

/// One number with its unit: its nanoseconds (`None` on overflow) and what is left of the text.
fn segment(rest: &str) -> Result<(Option<u64>, &str), Fault<'_>> {
    let (whole, after_whole) = digits(rest);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(tail) => digits(tail),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(Fault::Unexpected { rest });
    }
    let unit_length = after_number.find(|c: char| c == '.' || c.is_ascii_digit());
    let (unit, left) = after_number.split_at(unit_length.unwrap_or(after_number.len()));
    if unit.is_empty() {
        return Err(Fault::MissingUnit { left });
    }
    match unit_nanoseconds(unit) {
        Some(scale) => Ok((scaled(whole, fraction, scale), left)),
        None => Err(Fault::UnknownUnit { unit, left }),
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn unit_nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5, the micro sign, and U+03BC, the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND as u64,
        "m" => 60 * SECOND as u64,
        "h" => 3600 * SECOND as u64,
        _ => return None,
    })
}

fn scaled(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    let whole = whole
        .checked_mul(scale)
        .filter(|nanoseconds| *nanoseconds <= 1 << 63)?;
    // Go computes the fraction in floating point and cuts it.
    let (value, power) = leading_fraction(fraction);
    let fraction = (value as f64 * (scale as f64 / power)) as u64;
    whole
        .checked_add(fraction)
        .filter(|nanoseconds| *nanoseconds <= 1 << 63)
}

/// The digits of a fraction and their power of ten; digits beyond 63 bits are ignored as in Go.
fn leading_fraction(digits: &str) -> (u64, f64) {
    let (mut value, mut power) = (0_u64, 1.0);
    for digit in digits.bytes() {
        let next = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')));
        match next.filter(|next| *next <= 1 << 63) {
            Some(next) => (value, power) = (next, power * 10.0),
            None => break,
        }
    }
    (value, power)
}

// === what was meant ===

fn explained(text: &str, fault: Fault<'_>) -> DurationError {
    match fault {
        Fault::Empty => DurationError::Empty,
        Fault::MissingUnit { left } => missing_unit(text, left),
        Fault::UnknownUnit { unit, left } => unknown_unit(text, unit, left),
        Fault::Unexpected { rest } => unexpected(text, rest),
        Fault::TooLong => DurationError::TooLong {
            text: text.to_owned(),
            limit: GoDuration::LIMIT,
        },
    }
}

fn missing_unit(text: &str, left: &str) -> DurationError {
    let before = text[..text.len() - left.len()].to_owned();
    let meant = format!("{}s", before.trim_end_matches('.'));
    DurationError::MissingUnit {
        text: text.to_owned(),
        before,
        meant,
    }
}

fn unexpected(text: &str, rest: &str) -> DurationError {
    let before = text[..text.len() - rest.len()].to_owned();
    let meant = nanoseconds(&before).is_ok().then(|| before.clone());
    DurationError::Unexpected {
        text: text.to_owned(),
        unexpected: rest.to_owned(),
        before,
        meant: meant.or_else(|| without_spaces(text)),
    }
}

fn unknown_unit(text: &str, unit: &str, left: &str) -> DurationError {
    let before = &text[..text.len() - left.len() - unit.len()];
    let spelled = match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Some("s"),
        "m" | "min" | "mins" | "minute" | "minutes" => Some("m"),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some("h"),
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => Some("ms"),
        _ => None,
    };
    let respelled = spelled.map(|unit| format!("{before}{unit}{left}"));
    let days = ["d", "day", "days"]
        .contains(&unit)
        .then(|| in_hours(before, left))
        .flatten();
    let meant = respelled
        .or(days)
        .filter(|meant| nanoseconds(meant).is_ok());
    DurationError::UnknownUnit {
        text: text.to_owned(),
        unit: unit.to_owned(),
        meant: meant.or_else(|| without_spaces(text)),
    }
}

/// Go has no days, because a day is not always 24 hours; people mean 24 hours.
fn in_hours(before: &str, left: &str) -> Option<String> {
    let hours = before.parse::<u32>().ok()?.checked_mul(24)?;
    Some(format!("{hours}h{left}"))
}

fn without_spaces(text: &str) -> Option<String> {
    let squeezed: String = text.split_whitespace().collect();
    (squeezed != text && nanoseconds(&squeezed).is_ok()).then_some(squeezed)
}

#[cfg(test)]
mod tests;
