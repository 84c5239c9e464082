use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::snapshot::{CompiledSplit, compile};
use crate::state::State;
use crate::testing::{checked, split_config};
use crate::tls::TlsSetup;
use crate::worker::{Limits, Shared};

/// A split in force.
fn split(settings: Value) -> Arc<CompiledSplit> {
    let address = "127.0.0.1:1".parse().expect("an address");
    let state = State::new(1, Clock.now());
    let config = checked(split_config(address, address, settings));
    let shared = Shared::new(
        state,
        crate::access_log::AccessLog::off(),
        Limits::default(),
    );
    shared.install(compile(
        &config,
        TlsSetup::default(),
        shared.state(),
        shared.clock().now(),
    ));
    Arc::clone(&shared.snapshot().splits[0])
}

fn ask(split: &CompiledSplit, pairs: &[(&'static str, &'static str)], peer: &str) -> Choice {
    let headers: HeaderMap = pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let peer = peer.parse().expect("an address");
    let asked = Asked {
        headers: &headers,
        peer,
        tls: true,
    };
    choose(split, &asked, &mut crate::random::generator())
}

/// Every kind of rule at once.
fn all_rules(weight: u32) -> Arc<CompiledSplit> {
    split(json!({
        "weight": weight,
        "override": {"header": "x-canary", "cookie": "canary"},
        "headerRoutes": [{"name": "beta", "headers": [{"name": "x-beta", "exact": "yes"}]}],
        "sticky": {"header": "x-user"}, "salt": "00112233445566778899aabbccddeeff",
    }))
}

#[test]
fn who_wins() {
    let (zero, full) = (all_rules(0), all_rules(100));
    let (stable, canary) = (Role::Stable, Role::Canary);
    let none: &[(&str, &str)] = &[];
    let rows = [
        (&full, none, canary, Rule::Random),
        (&zero, none, stable, Rule::Random),
        (&full, &[("x-user", "u")], canary, Rule::StickyHeader),
        (&zero, &[("x-user", "u")], stable, Rule::StickyHeader),
        (
            &full,
            &[("x-beta", "yes"), ("x-user", "u")],
            canary,
            Rule::HeaderRoute,
        ),
        (&full, &[("x-beta", "no")], canary, Rule::Random),
        (&zero, &[("x-beta", "yes")], stable, Rule::Random),
        (&zero, &[("x-canary", "always")], canary, Rule::Override),
        (
            &full,
            &[("x-canary", "never"), ("x-beta", "yes")],
            stable,
            Rule::Override,
        ),
        (&zero, &[("x-canary", "Always")], stable, Rule::Random),
        (
            &zero,
            &[("cookie", "canary=always")],
            canary,
            Rule::Override,
        ),
        (
            &full,
            &[("cookie", "a=1; canary=never")],
            stable,
            Rule::Override,
        ),
        (
            &full,
            &[("x-canary", "never"), ("cookie", "canary=always")],
            stable,
            Rule::Override,
        ),
        (
            &zero,
            &[("x-canary", "what"), ("cookie", "canary=always")],
            canary,
            Rule::Override,
        ),
    ];
    for (split, pairs, role, rule) in rows {
        let choice = ask(split, pairs, "10.0.0.1");
        assert_eq!((choice.role, choice.rule), (role, rule), "{pairs:?}");
        let drawn = matches!(rule, Rule::Random | Rule::StickyHeader);
        assert_eq!(
            choice.key != Key::None,
            drawn,
            "only draws are evidence: {pairs:?}"
        );
    }
}

#[test]
fn an_override_has_the_meaning_of_ingress_nginx() {
    let value = split(json!({"weight": 0, "override": {"header": "x-c", "value": "me"}}));
    let pattern = split(json!({"weight": 0, "override": {"header": "x-c", "pattern": "a+"}}));
    let rows = [
        (&value, "me", Role::Canary),
        (&value, "always", Role::Stable),
        (&pattern, "aaa", Role::Canary),
        (&pattern, "b", Role::Stable),
    ];
    for (split, sent, wanted) in rows {
        let headers = [("x-c", sent)].into_iter();
        let headers: HeaderMap = headers
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        let asked = Asked {
            headers: &headers,
            peer: [10, 0, 0, 1].into(),
            tls: false,
        };
        let choice = choose(split, &asked, &mut crate::random::generator());
        assert_eq!(choice.role, wanted, "{sent}");
    }
}

#[test]
fn an_override_is_believed_from_trusted_networks_only() {
    let trust = json!({"weight": 0, "override": {"header": "x-c", "trust": ["10.0.0.0/8"]}});
    let split = split(trust);
    assert_eq!(
        ask(&split, &[("x-c", "always")], "10.1.2.3").role,
        Role::Canary
    );
    assert_eq!(
        ask(&split, &[("x-c", "always")], "192.0.2.1").role,
        Role::Stable
    );
}

#[test]
fn a_trip_beats_an_override_and_is_no_evidence() {
    let split = split(json!({"override": {"header": "x-c"}}));
    split.state.trip("two");
    let choice = ask(&split, &[("x-c", "always")], "10.0.0.1");
    assert_eq!(
        (choice.role, choice.rule, choice.key),
        (Role::Stable, Rule::Fuse, Key::None)
    );
}

#[test]
fn an_issued_cookie_is_secure_on_tls() {
    let split = split(json!({
        "sticky": {"cookie": {"name": "side", "maxAge": "1h"}},
        "salt": "00112233445566778899aabbccddeeff",
    }));
    let issued = ask(&split, &[], "10.0.0.1").set_cookie.expect("a cookie");
    let issued = issued.to_str().expect("text");
    let end = "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure";
    assert!(
        issued.starts_with("side=") && issued.ends_with(end),
        "{issued}"
    );
}

#[test]
fn the_share_is_the_weight() {
    let split = split(json!({"weight": 30}));
    let mut random = fastrand::Rng::with_seed(7);
    let headers = HeaderMap::new();
    let asked = Asked {
        headers: &headers,
        peer: [10, 0, 0, 1].into(),
        tls: false,
    };
    let draws = 20_000;
    let canary = (0..draws)
        .filter(|_| choose(&split, &asked, &mut random).role == Role::Canary)
        .count();
    let sigma = (f64::from(draws) * 0.3 * 0.7).sqrt();
    assert!((canary as f64 - 6_000.0).abs() < 3.0 * sigma, "{canary}");
}
