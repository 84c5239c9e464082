//! Who may have which hostnames of a fleet. Pure.
//!
//! Of two Rollouts that claim the same hostname of a fleet, the older has it. Within a namespace a
//! wildcard and a name below it go together: the most specific one wins each request, and both are
//! the same people's. Between namespaces the wildcard protects the names below it, for who has
//! `*.example.com` was given every one of them. A Rollout without hostnames takes what nobody named:
//! it protects nothing, and there is one of them in a fleet.

use std::collections::BTreeMap;

use crds::Rollout;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::traffic::RolloutKey;

/// What a Rollout without hostnames claims.
pub const EVERY_REQUEST: &str = "";

/// The hostnames of one fleet, and who has them.
#[derive(Clone, Debug, Default)]
pub struct Claims(BTreeMap<String, RolloutKey>);

/// Something that another one's claim may stand against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// The claim that would be in the way.
    pub claim: String,
    /// Whether it is only in the way where it is another namespace's.
    pub foreign: bool,
}

// === impl Claims ===

impl Claims {
    /// The claim that is in the way of `hostnames` for a Rollout of that namespace, and whose it is.
    pub fn rival(&self, namespace: &str, hostnames: &[String]) -> Option<(String, &RolloutKey)> {
        contested(hostnames).into_iter().find_map(|contested| {
            let rival = self.0.get(&contested.claim)?;
            let stands = !contested.foreign || rival.namespace != namespace;
            stands.then_some((contested.claim, rival))
        })
    }

    /// From now on `rollout` has them.
    pub fn add(&mut self, rollout: &RolloutKey, hostnames: &[String]) {
        for claim in claims(hostnames) {
            self.0.entry(claim).or_insert_with(|| rollout.clone());
        }
    }
}

/// How old a Rollout is, for who was first; equal ages are decided by name, the same on every look.
pub fn age(rollout: &Rollout) -> (Timestamp, RolloutKey) {
    let created = rollout.creation_timestamp().map(|time| time.0);
    let key = RolloutKey {
        namespace: rollout.namespace().unwrap_or_default(),
        name: rollout.name_any(),
    };
    (created.unwrap_or(Timestamp::MAX), key)
}

/// What a Rollout with these hostnames claims.
pub fn claims(hostnames: &[String]) -> Vec<String> {
    if hostnames.is_empty() {
        return vec![EVERY_REQUEST.to_owned()];
    }
    let lower = hostnames.iter().map(|name| name.to_ascii_lowercase());
    lower.collect()
}

/// All claims that may stand against these hostnames: themselves, and each wildcard above them.
pub fn contested(hostnames: &[String]) -> Vec<Contested> {
    let mut contested = Vec::new();
    for claim in claims(hostnames) {
        let bare = claim.strip_prefix("*.").unwrap_or(&claim).to_owned();
        contested.push(Contested {
            claim,
            foreign: false,
        });
        let mut rest = bare.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            contested.push(Contested {
                claim: format!("*.{above}"),
                foreign: true,
            });
            rest = above;
        }
    }
    contested
}

/// What a message calls a claim.
pub fn shown(claim: &str) -> &str {
    if claim == EVERY_REQUEST {
        "every request"
    } else {
        claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(text: &str) -> RolloutKey {
        let (namespace, name) = text.split_once('/').expect("namespace/name");
        RolloutKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What the older one has; who comes, with what; what is in the way.
    type Row = (
        &'static [&'static str],
        &'static str,
        &'static [&'static str],
        Option<&'static str>,
    );

    const A: &[&str] = &["a.example"];
    const BELOW_A: &[&str] = &["*.a.example"];

    const ROWS: &[Row] = &[
        (A, "shop/new", A, Some("a.example")),
        (
            A,
            "shop/new",
            &["b.example", "A.example"],
            Some("a.example"),
        ),
        (A, "bank/new", A, Some("a.example")),
        (A, "bank/new", &["b.example"], None),
        (BELOW_A, "shop/new", BELOW_A, Some("*.a.example")),
        (BELOW_A, "shop/new", &["x.a.example"], None),
        (BELOW_A, "bank/new", &["x.a.example"], Some("*.a.example")),
        (BELOW_A, "bank/new", &["x.y.a.example"], Some("*.a.example")),
        (BELOW_A, "bank/new", &["*.x.a.example"], Some("*.a.example")),
        (BELOW_A, "bank/new", A, None),
        (&["x.a.example"], "bank/new", BELOW_A, None),
        (&[], "shop/new", &[], Some(EVERY_REQUEST)),
        (&[], "bank/new", &[], Some(EVERY_REQUEST)),
        (&[], "bank/new", A, None),
        (A, "bank/new", &[], None),
    ];

    #[test]
    fn the_older_has_a_hostname_and_a_wildcard_protects_it_from_other_namespaces() {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|it| (*it).to_owned()).collect() };
        for (has, who, wants, expected) in ROWS {
            let mut claims = Claims::default();
            claims.add(&rollout("shop/old"), &owned(has));
            let rival = claims.rival(&rollout(who).namespace, &owned(wants));
            let rival = rival.map(|(claim, rival)| (claim, rival.clone()));
            let expected = expected.map(|claim| (claim.to_owned(), rollout("shop/old")));
            assert_eq!(rival, expected, "{has:?} {who} {wants:?}");
        }
    }
}
