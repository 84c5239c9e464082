//! Points in time and the spans between them.

use crds::duration::GoDuration;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::value::Value;
use super::text;

/// The formats that `date` tries without being told one, as strftime patterns.
const FORMATS: &[&str] = &["%Y-%m-%d", "%H:%M:%S", "%Y-%m-%d %H:%M:%S"];

/// Pieces of Go's reference time and what strftime calls them, longer ones first.
const PIECES: &[(&str, &str)] = &[
    ("2006", "%Y"),
    ("January", "%B"),
    ("Monday", "%A"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("-07:00", "%:z"),
    ("Z07:00", "%:z"),
    ("-0700", "%z"),
    ("MST", "%Z"),
    ("01", "%m"),
    ("02", "%d"),
    ("15", "%H"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("PM", "%p"),
];

pub(super) fn duration(arguments: &[Value]) -> Result<Value, String> {
    let duration = GoDuration::parse(text("duration", &arguments[0])?);
    duration
        .map(|duration| Value::Duration(duration.nanoseconds()))
        .map_err(|error| error.to_string())
}

/// `date(text)`, `date(text, format)`, `date(text, format, time zone)`; the format is Go's.
pub(super) fn date(arguments: &[Value]) -> Result<Value, String> {
    let written = text("date", &arguments[0])?;
    let zone = match arguments.get(2) {
        None => TimeZone::UTC,
        Some(name) => {
            let name = text("date", name)?;
            TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?
        }
    };
    let found = match arguments.get(1) {
        Some(format) => parsed(&strftime(text("date", format)?), written, &zone),
        None => written.parse::<Timestamp>().ok().or_else(|| {
            FORMATS
                .iter()
                .find_map(|format| parsed(format, written, &zone))
        }),
    };
    found
        .map(Value::Time)
        .ok_or_else(|| format!("invalid date {written}"))
}

fn parsed(format: &str, written: &str, zone: &TimeZone) -> Option<Timestamp> {
    let parsed = jiff::fmt::strtime::parse(format, written).ok()?;
    if parsed.offset().is_some() {
        return parsed.to_timestamp().ok();
    }
    let date = parsed.to_date().unwrap_or(jiff::civil::date(0, 1, 1));
    let time = parsed.to_time().unwrap_or(jiff::civil::Time::midnight());
    let zoned = DateTime::from_parts(date, time)
        .to_zoned(zone.clone())
        .ok()?;
    Some(zoned.timestamp())
}

/// Go's layout as a strftime pattern.
fn strftime(layout: &str) -> String {
    let mut pattern = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((piece, strftime)) = PIECES.iter().find(|(piece, _)| rest.starts_with(piece)) {
            pattern.push_str(strftime);
            rest = &rest[piece.len()..];
            continue;
        }
        if first == '%' {
            pattern.push('%');
        }
        pattern.push(first);
        rest = &rest[first.len_utf8()..];
    }
    pattern
}
