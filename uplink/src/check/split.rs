//! Splits: two clusters, and what decides between them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    CheckedFuse, CheckedHeaderRoute, CheckedOverride, CheckedSplit, CheckedSticky, Faults,
    OverrideRule, Path, Salt, address, exactly_one, route, shown, value,
};
use crate::document::{Fuse, HeaderRoute, Override, RoutingConfig, Split, Sticky};
use crate::limits::MAX_MAX_WEIGHT;
use crate::sticky;

const DEFAULT_COOKIE_AGE: Duration = Duration::from_hours(24);
const MIN_COOKIE_AGE: Duration = Duration::from_secs(1);
const MAX_COOKIE_AGE: Duration = Duration::from_hours(8760);
const DEFAULT_WARM_UP: Duration = Duration::from_secs(10);
const MAX_WARM_UP: Duration = Duration::from_hours(1);
const MIN_AGE_THRESHOLD: Duration = Duration::from_millis(10);
const MAX_AGE_THRESHOLD: Duration = Duration::from_hours(1);
/// At half and above a coin would do as well as the fuse.
const ALPHA_BELOW: f64 = 0.5;

pub(super) fn check(
    faults: &mut Faults,
    path: &Path<'_>,
    name: &str,
    document: &RoutingConfig,
) -> Option<CheckedSplit> {
    let raw = &document.splits[name];
    let rollout_uid = match &raw.rollout_uid {
        Some(uid) => faults.take(&path.field("rolloutUid"), value::name(uid)),
        None => Some(name.to_owned()),
    };
    clusters(faults, path, raw, document);
    weights(faults, path, raw);
    let salt = match &raw.salt {
        Some(text) => faults.take(&path.field("salt"), value::salt(text)),
        None => Some(derived_salt(name, raw, document)),
    };
    let sticky = raw
        .sticky
        .as_ref()
        .and_then(|raw| check_sticky(faults, &path.field("sticky"), raw));
    let override_ = raw
        .override_
        .as_ref()
        .map(|raw| check_override(faults, &path.field("override"), raw));
    cookies_apart(faults, path, raw);
    let header_routes = header_routes(faults, &path.field("headerRoutes"), &raw.header_routes);
    let warm_up = match &raw.warm_up {
        Some(text) => faults.take(
            &path.field("warmUp"),
            value::duration_in(text, Duration::ZERO..=MAX_WARM_UP),
        ),
        None => Some(DEFAULT_WARM_UP),
    };
    let (fuse, age_threshold) = fuse(faults, &path.field("fuse"), &raw.fuse)?;
    Some(CheckedSplit {
        rollout_uid: rollout_uid?,
        stable: raw.stable.clone(),
        canary: raw.canary.clone(),
        weight: raw.epoch_weight(),
        max_weight: raw.max_weight,
        sticky,
        salt: salt?,
        override_,
        header_routes,
        fallback_to_stable: raw.fallback.is_some(),
        fuse,
        age_threshold,
        warm_up: warm_up?,
    })
}

fn clusters(faults: &mut Faults, path: &Path<'_>, raw: &Split, document: &RoutingConfig) {
    route::known(
        faults,
        &path.field("stable"),
        &raw.stable,
        &document.clusters,
        "cluster",
    );
    let Some(canary) = &raw.canary else {
        return;
    };
    let canary_path = path.field("canary");
    route::known(faults, &canary_path, canary, &document.clusters, "cluster");
    if *canary == raw.stable {
        let shown = shown(canary);
        faults.add(
            &canary_path,
            format!("cluster {shown} is the stable one too: expected another cluster or none"),
        );
    }
}

fn weights(faults: &mut Faults, path: &Path<'_>, raw: &Split) {
    let max = faults.take(
        &path.field("maxWeight"),
        value::number_in(raw.max_weight, 1..=MAX_MAX_WEIGHT),
    );
    if let Some(max) = max {
        faults.take(&path.field("weight"), value::number_in(raw.weight, 0..=max));
    }
}

fn derived_salt(name: &str, raw: &Split, document: &RoutingConfig) -> Salt {
    let revision = raw.canary.as_deref().map(|canary| {
        document
            .clusters
            .get(canary)
            .and_then(|cluster| cluster.revision.as_deref())
            .unwrap_or(canary)
    });
    sticky::split_salt(name, revision.unwrap_or_default())
}

fn check_sticky(faults: &mut Faults, path: &Path<'_>, raw: &Sticky) -> Option<CheckedSticky> {
    let one = exactly_one(
        faults,
        path,
        &[
            ("header", raw.header.is_some()),
            ("cookie", raw.cookie.is_some()),
        ],
    );
    let header = raw.header.as_deref().and_then(|text| {
        faults
            .take(&path.field("header"), value::header_name(text))
            .map(CheckedSticky::Header)
    });
    let cookie = raw.cookie.as_ref().and_then(|cookie| {
        let path = path.field("cookie");
        let name = faults.take(&path.field("name"), value::cookie_name(&cookie.name));
        let max_age = match &cookie.max_age {
            Some(text) => faults.take(
                &path.field("maxAge"),
                value::duration_in(text, MIN_COOKIE_AGE..=MAX_COOKIE_AGE),
            ),
            None => Some(DEFAULT_COOKIE_AGE),
        };
        Some(CheckedSticky::Cookie {
            name: name?,
            max_age: max_age?,
        })
    });
    header.or(cookie).filter(|_| one)
}

fn check_override(faults: &mut Faults, path: &Path<'_>, raw: &Override) -> CheckedOverride {
    if raw.header.is_none() && raw.cookie.is_none() {
        faults.add(
            path,
            "at least one of `header`, `cookie` is required, none is given",
        );
    }
    let header = raw
        .header
        .as_deref()
        .and_then(|text| faults.take(&path.field("header"), value::header_name(text)));
    let rule = override_rule(faults, path, raw);
    let cookie = raw
        .cookie
        .as_deref()
        .and_then(|text| faults.take(&path.field("cookie"), value::cookie_name(text)));
    let trust_path = path.field("trust");
    let trust = raw.trust.as_ref().map(|networks| {
        networks
            .iter()
            .enumerate()
            .filter_map(|(index, text)| {
                faults.take(&trust_path.index(index), address::network(text))
            })
            .collect()
    });
    CheckedOverride {
        header: header.zip(rule),
        cookie,
        trust,
    }
}

fn override_rule(faults: &mut Faults, path: &Path<'_>, raw: &Override) -> Option<OverrideRule> {
    for (field, given) in [
        ("value", raw.value.is_some()),
        ("pattern", raw.pattern.is_some()),
    ] {
        if given && raw.header.is_none() {
            faults.add(
                &path.field(field),
                format!("`{field}` is about a header's value: expected `header` beside it"),
            );
        }
    }
    if raw.value.is_some() && raw.pattern.is_some() {
        faults.add(
            path,
            "only one of `value`, `pattern` may be given, both are",
        );
    }
    let value = raw
        .value
        .as_deref()
        .map(|text| faults.take(&path.field("value"), value::header_value(text)));
    let pattern = raw
        .pattern
        .as_deref()
        .map(|text| faults.take(&path.field("pattern"), value::regex(text)));
    match (value, pattern) {
        (Some(value), _) => value.map(OverrideRule::Value),
        (None, Some(pattern)) => pattern.map(OverrideRule::Pattern),
        (None, None) => Some(OverrideRule::AlwaysNever),
    }
}

/// One cookie cannot hold both an id that the proxy issues and a side that the client chooses.
fn cookies_apart(faults: &mut Faults, path: &Path<'_>, raw: &Split) {
    let sticky = raw
        .sticky
        .as_ref()
        .and_then(|sticky| sticky.cookie.as_ref());
    let chosen = raw
        .override_
        .as_ref()
        .and_then(|chosen| chosen.cookie.as_ref());
    if let (Some(sticky), Some(chosen)) = (sticky, chosen)
        && sticky.name == *chosen
    {
        let chosen = shown(chosen);
        faults.add(
            &path.field("override").field("cookie"),
            format!("cookie {chosen} is the sticky one too: expected another name"),
        );
    }
}

fn header_routes(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &[HeaderRoute],
) -> Vec<CheckedHeaderRoute> {
    let mut taken = BTreeSet::new();
    let mut checked = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = path.index(index);
        let name = faults.take(&path.field("name"), value::name(&raw.name));
        if !taken.insert(&raw.name) {
            let name = shown(&raw.name);
            faults.add(
                &path.field("name"),
                format!("name {name} is taken: names of header routes must be unique in a split"),
            );
        }
        let headers_path = path.field("headers");
        if raw.headers.is_empty() {
            faults.add(
                &headers_path,
                "at least one header is required, none is given",
            );
        }
        let headers = value::header_conditions(faults, &headers_path, &raw.headers);
        checked.extend(name.map(|name| CheckedHeaderRoute { name, headers }));
    }
    checked
}

/// A fuse that is off is checked too: it will be on again.
fn fuse(
    faults: &mut Faults,
    path: &Path<'_>,
    raw: &Fuse,
) -> Option<(Option<CheckedFuse>, Duration)> {
    if !(raw.alpha > 0.0 && raw.alpha < ALPHA_BELOW) {
        let alpha = raw.alpha;
        faults.add(
            &path.field("alpha"),
            format!("{alpha} is out of range: expected above 0 and below {ALPHA_BELOW}"),
        );
    }
    let ratio = faults.take(
        &path.field("ratio"),
        value::number_in(raw.ratio, 1.0..=1000.0),
    );
    let min_errors = faults.take(
        &path.field("minErrors"),
        value::number_in(raw.min_errors, 1..=1000),
    );
    let age_threshold = faults.take(
        &path.field("ageThreshold"),
        value::duration_in(&raw.age_threshold, MIN_AGE_THRESHOLD..=MAX_AGE_THRESHOLD),
    );
    let fuse = CheckedFuse {
        alpha: raw.alpha,
        ratio: ratio?,
        min_errors: min_errors?,
    };
    Some((raw.enabled.then_some(fuse), age_threshold?))
}
