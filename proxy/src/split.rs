//! Split: which side of a split a request goes to, and why.
//!
//! Who wins: a tripped fuse beats everything (an abort too, which takes the canary out of the
//! configuration or its weight to 0); then the override `never`, the override `always`, a managed
//! header route, stickiness, chance. Weight 0 beats all but an override.
//!
//! Stickiness is arithmetic: the side is a function of salt, key and weight, the same on every proxy.
//! In cookie mode a request without the cookie is given an id, and that id already decides the
//! request that it is issued on, so that the user's first page is from the side of all his others.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue};
use uplink::check::{CheckedOverride, CheckedSticky, OverrideRule};
use uplink::sticky;

use crate::observe::Role;
use crate::observe::series::Rule;
use crate::random::hex_id;
use crate::route::all_match;
use crate::snapshot::CompiledSplit;
use crate::state::WeightWord;

/// What the split looks at.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: IpAddr,
    pub(crate) tls: bool,
}

/// Which side, and why.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) role: Role,
    pub(crate) rule: Rule,
    pub(crate) key: Key,
    /// The epoch in which the side was chosen.
    pub(crate) sequence: u64,
    /// The cookie to issue.
    pub(crate) set_cookie: Option<HeaderValue>,
}

/// What the side was drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Not drawn: chosen by the request or forced. No evidence.
    None,
    /// Drawn for this request alone.
    Unkeyed,
    /// Drawn by the user in this bucket.
    User(u16),
}

/// Chooses a side of a split that has a canary.
pub(crate) fn choose(
    split: &CompiledSplit,
    asked: &Asked<'_>,
    random: &mut fastrand::Rng,
) -> Choice {
    let word = split.canary.word();
    if !split.has_canary {
        return drawn_at_random(split, word, random, Rule::Only);
    }
    if word.tripped {
        return chosen(Role::Stable, Rule::Fuse, word);
    }
    if let Some(role) = split
        .override_
        .as_ref()
        .and_then(|it| overridden(it, asked))
    {
        return chosen(role, Rule::Override, word);
    }
    let routed = || {
        split
            .header_routes
            .iter()
            .any(|it| all_match(&it.headers, asked.headers))
    };
    if word.weight > 0 && routed() {
        return chosen(Role::Canary, Rule::HeaderRoute, word);
    }
    let drawn = match &split.sticky {
        None => None,
        Some(CheckedSticky::Header(name)) => {
            let key = asked.headers.get(name);
            key.map(|key| drawn_by_key(split, word, key.as_bytes(), Rule::StickyHeader))
        }
        Some(CheckedSticky::Cookie { name, max_age }) => {
            let key = cookie(asked.headers, name);
            let drawn = |key: &str| drawn_by_key(split, word, key.as_bytes(), Rule::StickyCookie);
            Some(key.map(drawn).unwrap_or_else(|| {
                let id = hex_id(random);
                let set_cookie = issue(name, &id, max_age.as_secs(), asked.tls);
                Choice {
                    set_cookie,
                    ..drawn(&id)
                }
            }))
        }
    };
    drawn.unwrap_or_else(|| drawn_at_random(split, word, random, Rule::Random))
}

fn chosen(role: Role, rule: Rule, word: WeightWord) -> Choice {
    Choice {
        role,
        rule,
        key: Key::None,
        sequence: word.sequence,
        set_cookie: None,
    }
}

fn drawn_at_random(
    split: &CompiledSplit,
    word: WeightWord,
    random: &mut fastrand::Rng,
    rule: Rule,
) -> Choice {
    let to_canary = split.has_canary && random.u32(..split.max_weight.max(1)) < word.weight;
    let role = if to_canary {
        Role::Canary
    } else {
        Role::Stable
    };
    Choice {
        key: Key::Unkeyed,
        ..chosen(role, rule, word)
    }
}

fn drawn_by_key(split: &CompiledSplit, word: WeightWord, key: &[u8], rule: Rule) -> Choice {
    let hash = sticky::bucket(&split.salt, key);
    let to_canary = sticky::is_canary(hash, word.weight, split.max_weight);
    let role = if to_canary {
        Role::Canary
    } else {
        Role::Stable
    };
    let key = Key::User(sticky::user_bucket(hash) as u16);
    Choice {
        key,
        ..chosen(role, rule, word)
    }
}

/// ingress-nginx's canary-by-header, -value, -pattern and canary-by-cookie. A header that does not
/// say anything that is known leaves the decision to the cookie, and that to the split.
fn overridden(rules: &CheckedOverride, asked: &Asked<'_>) -> Option<Role> {
    if let Some(trust) = &rules.trust
        && !trust.iter().any(|network| network.contains(&asked.peer))
    {
        return None;
    }
    let header = rules.header.as_ref();
    let by_header = header.and_then(|(name, rule)| by_header(asked.headers, name, rule));
    let by_cookie = || {
        let name = rules.cookie.as_deref()?;
        always_never(cookie(asked.headers, name)?)
    };
    by_header.or_else(by_cookie)
}

fn by_header(headers: &HeaderMap, name: &HeaderName, rule: &OverrideRule) -> Option<Role> {
    let value = headers.get(name)?.to_str().ok()?;
    let to_canary = match rule {
        OverrideRule::AlwaysNever => return always_never(value),
        OverrideRule::Value(wanted) => value == wanted,
        OverrideRule::Pattern(pattern) => pattern.is_match(value),
    };
    to_canary.then_some(Role::Canary)
}

fn always_never(value: &str) -> Option<Role> {
    match value {
        "always" => Some(Role::Canary),
        "never" => Some(Role::Stable),
        _ => None,
    }
}

/// The first cookie of this name that has a value.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='));
    let mut values = pairs
        .filter(|(it, _)| it.trim() == name)
        .map(|(_, value)| value.trim());
    values.find(|value| !value.is_empty())
}

/// The checker keeps names to cookie tokens, so the value is always a legal header.
fn issue(name: &str, id: &str, max_age: u64, tls: bool) -> Option<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let cookie = format!("{name}={id}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).ok()
}

#[cfg(test)]
mod tests;
