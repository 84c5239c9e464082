//! What the API server said of tokens, by their digest. Pure.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{Account, Verdict};

/// How long an accepted token is not asked about again: so long one outlives its account.
pub(super) const ACCEPTED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How long a refused one is not: a proxy with a wrong token tries every two seconds.
pub(super) const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(10);

/// A token that does not say when it expires is not believed for longer without the API server.
pub(super) const UNDATED_FOR: SignedDuration = SignedDuration::from_secs(3_600);

/// Tokens that are remembered. Refused ones make room first, then those seen longest ago.
pub(super) const MAX_KNOWN: usize = 8_192;

/// Verdicts that are remembered.
#[derive(Default)]
pub(super) struct Known(HashMap<[u8; 32], Remembered>);

struct Remembered {
    verdict: Verdict,
    reviewed: Timestamp,
    expires: Timestamp,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The API server need not be asked.
    Fresh(Verdict),
    /// It was good, has not expired, and should be asked about.
    Stale(Account),
    /// Nothing.
    Unknown,
}

// === impl Known ===

impl Known {
    pub(super) fn look(&self, digest: &[u8; 32], now: Timestamp) -> Look {
        let Some(known) = self.0.get(digest) else {
            return Look::Unknown;
        };
        let age = now.duration_since(known.reviewed);
        match &known.verdict {
            Err(_) if age < REFUSED_FOR => Look::Fresh(known.verdict.clone()),
            Err(_) => Look::Unknown,
            Ok(_) if now >= known.expires => Look::Unknown,
            Ok(_) if age < ACCEPTED_FOR => Look::Fresh(known.verdict.clone()),
            Ok(account) => Look::Stale(account.clone()),
        }
    }

    pub(super) fn learn(
        &mut self,
        digest: [u8; 32],
        verdict: Verdict,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) {
        if self.0.len() >= MAX_KNOWN && !self.0.contains_key(&digest) {
            self.make_room(now);
        }
        let remembered = Remembered {
            verdict,
            reviewed: now,
            expires: expires.unwrap_or(now + UNDATED_FOR),
        };
        self.0.insert(digest, remembered);
    }

    fn make_room(&mut self, now: Timestamp) {
        self.0.retain(|_, known| now < known.expires);
        if self.0.len() < MAX_KNOWN {
            return;
        }
        let least = self
            .0
            .iter()
            .min_by_key(|(_, known)| (known.verdict.is_ok(), known.reviewed));
        if let Some(digest) = least.map(|(digest, _)| *digest) {
            self.0.remove(&digest);
        }
    }
}

/// When a token says that it expires. Only of use for one that the API server accepts: nothing here
/// checks the signature.
pub(super) fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: [u8; 32] = [1; 32];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("in range")
    }

    fn account(name: &str) -> Account {
        Account {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            pod: None,
        }
    }

    #[test]
    fn an_accepted_token_is_fresh_then_stale_and_forgotten_when_it_expires() {
        let mut known = Known::default();
        let proxy = account("proxy");
        known.learn(DIGEST, Ok(proxy.clone()), Some(at(600)), at(0));
        assert_eq!(known.look(&DIGEST, at(59)), Look::Fresh(Ok(proxy.clone())));
        assert_eq!(known.look(&DIGEST, at(60)), Look::Stale(proxy.clone()));
        assert_eq!(known.look(&DIGEST, at(599)), Look::Stale(proxy.clone()));
        assert_eq!(known.look(&DIGEST, at(600)), Look::Unknown);
        known.learn(DIGEST, Ok(proxy.clone()), None, at(0));
        assert_eq!(known.look(&DIGEST, at(3_599)), Look::Stale(proxy));
        assert_eq!(known.look(&DIGEST, at(3_600)), Look::Unknown);
    }

    #[test]
    fn a_refused_token_is_asked_about_again_soon() {
        let mut known = Known::default();
        known.learn(DIGEST, Err("no".to_owned()), Some(at(600)), at(0));
        assert_eq!(
            known.look(&DIGEST, at(9)),
            Look::Fresh(Err("no".to_owned()))
        );
        assert_eq!(known.look(&DIGEST, at(10)), Look::Unknown);
    }

    #[test]
    fn refused_tokens_make_room_before_accepted_ones() {
        let mut known = Known::default();
        let digest = |index: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&index.to_le_bytes());
            digest
        };
        known.learn(DIGEST, Ok(account("proxy")), Some(at(10_000)), at(0));
        for index in 0..2 * MAX_KNOWN {
            known.learn(digest(index), Err("no".to_owned()), None, at(1));
        }
        assert_eq!(known.0.len(), MAX_KNOWN);
        assert!(matches!(known.look(&DIGEST, at(2)), Look::Fresh(Ok(_))));
    }

    #[test]
    fn the_expiry_is_read_from_the_claims() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"aud":["sluice-uplink"],"exp":1700000600}"#);
        assert_eq!(expiry(&format!("e30.{claims}.c2ln")), Some(at(600)));
        for odd in [
            "",
            "a.b",
            "e30.e30.e30",
            "e30.!.e30",
            "e30.eyJleHAiOiJ4In0.e30",
        ] {
            assert_eq!(expiry(odd), None, "{odd}");
        }
    }
}
