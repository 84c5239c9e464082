use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::testing::checked;

fn pair(names: &[&str], years: (i32, i32)) -> KeyPairBytes {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    KeyPairBytes {
        certificate_pem: certificate.pem().into_bytes(),
        key_pem: key.serialize_pem().into_bytes(),
    }
}

fn tried(names: serde_json::Value, pair: KeyPairBytes) -> Result<TlsSetup, Vec<ConfigError>> {
    let reference = format!("ns/cert@sha256:{}", "0".repeat(64));
    let config = checked(json!({
        "certificates": [{"names": names, "secret": reference}],
        "routes": [], "clusters": {},
    }));
    rehearse(&config, &HashMap::from([(reference, pair)]), Clock.wall())
}

#[test]
fn a_good_certificate_is_described_without_its_key() {
    let setup = tried(
        json!(["a.test", "x.b.test"]),
        pair(&["a.test", "*.b.test"], (2020, 2090)),
    );
    let setup = setup.expect("everything is right");
    let described = &setup.describe()[0];
    assert_eq!(described.names, ["a.test", "x.b.test"]);
    assert_eq!(described.fingerprint.len(), 64);
    assert!(described.not_after_unix > 3_000_000_000);
    assert_eq!(
        (setup.names.place("x.b.test"), setup.names.place("b.test")),
        (Some(0), None)
    );
}

#[test]
fn a_bad_certificate_is_refused_with_its_reason_and_place() {
    let good = || pair(&["a.test"], (2020, 2090));
    let mismatched = KeyPairBytes {
        key_pem: good().key_pem,
        ..good()
    };
    let no_key = KeyPairBytes {
        key_pem: b"secret words".to_vec(),
        ..good()
    };
    let no_chain = KeyPairBytes {
        certificate_pem: b"nothing".to_vec(),
        ..good()
    };
    let rows = [
        (json!(["a.test"]), mismatched, "do not belong together"),
        (json!(["a.test"]), no_key, "no private key"),
        (json!(["a.test"]), no_chain, "no certificate"),
        (
            json!(["a.test"]),
            pair(&["a.test"], (2001, 2002)),
            "expired",
        ),
        (
            json!(["a.test"]),
            pair(&["a.test"], (2080, 2090)),
            "not valid before",
        ),
        (json!(["b.test"]), good(), "does not cover \"b.test\""),
        (
            json!(["x.y.b.test"]),
            pair(&["*.b.test"], (2020, 2090)),
            "does not cover",
        ),
    ];
    for (names, pair, reason) in rows {
        let errors = tried(names, pair).expect_err(reason);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path, "certificates[0]");
        assert!(
            errors[0].message.contains(reason),
            "{:?} lacks {reason:?}",
            errors[0].message
        );
        assert!(!errors[0].message.contains("secret words"));
    }
}

#[test]
fn a_wildcard_is_tried_too() {
    assert!(tried(json!([]), pair(&["*.b.test"], (2020, 2090))).is_ok());
}

#[test]
fn a_secret_that_did_not_come_is_an_error() {
    let reference = format!("ns/cert@sha256:{}", "0".repeat(64));
    let config = checked(json!({
        "certificates": [{"secret": reference}], "routes": [], "clusters": {},
    }));
    let errors = rehearse(&config, &HashMap::new(), Clock.wall() + Duration::ZERO);
    assert!(
        errors.expect_err("nothing came")[0]
            .message
            .contains("no certificate ns/cert")
    );
}
