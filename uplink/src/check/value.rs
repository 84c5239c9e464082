//! Scalar values: each function reads one text or says what would be accepted.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use regex::{Regex, RegexBuilder};

use super::{Faults, HeaderCondition, Path, Salt, ValueCondition, exactly_one};
use crate::document::HeaderMatch;
use crate::duration;
use crate::limits::{MAX_NAME_BYTES, MAX_REGEX_BYTES};

/// A value in an error: longer ones are cut, because errors go to logs and over the wire.
const MAX_SHOWN_CHARS: usize = 100;

/// The value, quoted and cut to a length that a log line bears.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

/// A name of a route, split, cluster, revision or managed route.
pub(super) fn name(text: &str) -> Result<String, String> {
    let clean = !text.chars().any(char::is_control) && text.trim() == text;
    if !text.is_empty() && text.len() <= MAX_NAME_BYTES && clean {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid name {}: expected 1 to {MAX_NAME_BYTES} bytes without control characters and \
         without spaces around",
        shown(text)
    ))
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| text.len() <= MAX_NAME_BYTES)
        .ok_or_else(|| {
            format!(
                "invalid header name {}: expected an HTTP token such as \"X-User-Id\"",
                shown(text)
            )
        })
}

pub(super) fn header_value(text: &str) -> Result<String, String> {
    HeaderValue::from_bytes(text.as_bytes())
        .map(|_| text.to_owned())
        .map_err(|_| {
            format!(
                "invalid header value {}: control characters can never match",
                shown(text)
            )
        })
}

/// RFC 6265 §4.1.1: a cookie's name is a token of RFC 2616.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.chars().all(token) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid cookie name {}: expected a token of RFC 6265 such as \"canary_id\" (letters, digits \
         and !#$%&'*+-.^_`|~)",
        shown(text)
    ))
}

/// A pattern for the whole value. It must stand by itself before it is anchored, so that an
/// unbalanced `a)|(b` cannot slip out of the anchors.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .build()
    };
    compile(text)
        .and_then(|_| compile(&format!("\\A(?:{text})\\z")))
        .map_err(|error| {
            let reason = match error {
                regex::Error::CompiledTooBig(_) => {
                    "it needs more than 1 MiB compiled; use smaller repetitions".to_owned()
                }
                // The library draws the pattern with a marker over several lines; its last one says why.
                other => {
                    let text = other.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    last.trim_start_matches("error: ").to_owned()
                }
            };
            format!("invalid regular expression {}: {reason}", shown(text))
        })
}

/// The whole path of requests, without query.
pub(super) fn path(text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '?' || c == '#';
    if text.starts_with('/') && !text.contains(odd) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid path {}: expected a path that begins with `/`, without spaces, query (`?`) and \
         fragment (`#`)",
        shown(text)
    ))
}

/// A prefix of whole path elements; its trailing slash means nothing and goes.
pub(super) fn path_prefix(text: &str) -> Result<String, String> {
    let path = path(text)?;
    let prefix = path.strip_suffix('/').unwrap_or(&path);
    if prefix.ends_with('/') {
        return Err(format!(
            "invalid path prefix {}: it ends with an empty path element; did you mean {}?",
            shown(text),
            shown(&format!("{}/", text.trim_end_matches('/')))
        ));
    }
    Ok(prefix.to_owned())
}

pub(super) fn salt(text: &str) -> Result<Salt, String> {
    let mut salt = [0; 16];
    hex::decode_to_slice(text, &mut salt)
        .map(|()| Salt(salt))
        .map_err(|_| {
            format!(
                "invalid salt {}: expected 32 hexadecimal digits",
                shown(text)
            )
        })
}

/// A duration between two others.
pub(super) fn duration_in(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let value = duration::parse(text).map_err(|error| error.to_string())?;
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "{} is out of range: expected {} to {}",
        shown(text),
        duration::format(*range.start()),
        duration::format(*range.end())
    ))
}

/// A number between two others (NaN is between none).
pub(super) fn number_in<N: PartialOrd + Display>(
    value: N,
    range: RangeInclusive<N>,
) -> Result<N, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "{value} is out of range: expected {} to {}",
        range.start(),
        range.end()
    ))
}

/// Conditions on headers, all of them.
pub(super) fn header_conditions(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &[HeaderMatch],
) -> Vec<HeaderCondition> {
    raw.iter()
        .enumerate()
        .filter_map(|(index, header)| header_condition(faults, &path.index(index), header))
        .collect()
}

fn header_condition(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &HeaderMatch,
) -> Option<HeaderCondition> {
    let name = faults.take(&path.field("name"), header_name(&raw.name));
    let one = exactly_one(
        faults,
        path,
        &[
            ("exact", raw.exact.is_some()),
            ("prefix", raw.prefix.is_some()),
            ("regex", raw.regex.is_some()),
        ],
    );
    let exact = raw.exact.as_deref().and_then(|text| {
        faults
            .take(&path.field("exact"), header_value(text))
            .map(ValueCondition::Exact)
    });
    let prefix = raw.prefix.as_deref().and_then(|text| {
        faults
            .take(&path.field("prefix"), header_value(text))
            .map(ValueCondition::Prefix)
    });
    let regex = raw.regex.as_deref().and_then(|text| {
        faults
            .take(&path.field("regex"), regex(text))
            .map(ValueCondition::Regex)
    });
    Some(HeaderCondition {
        name: name?,
        value: exact.or(prefix).or(regex).filter(|_| one)?,
    })
}
