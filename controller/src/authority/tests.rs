//! An authority through its life, on a clock of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const NAME: &str = "sluice-controller.sluice.svc";

fn names() -> BTreeSet<String> {
    [NAME.to_owned(), "10.0.0.7".to_owned()].into()
}

fn start() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("in range")
}

fn day(number: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * number)
}

/// What a proxy with that bundle makes of what is served.
fn trusts(bundle: &str, served: &Material, name: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .expect("authorities");
    let certified = served.certified().expect("usable");
    let at = std::time::Duration::from_secs(at.as_second().unsigned_abs());
    let (end, chain) = certified.cert.split_first().expect("a certificate");
    let name = ServerName::try_from(name).expect("a name");
    verifier
        .verify_server_cert(end, chain, &name, &[], UnixTime::since_unix_epoch(at))
        .is_ok()
}

fn renewed(kept: &Material, now: Timestamp) -> Option<Material> {
    Material::renewed(Some(kept), &names(), now).expect("made")
}

#[test]
fn the_first_certificate_is_for_the_names_and_tolerates_clocks_that_differ() {
    let made = Material::renewed(None, &names(), start())
        .expect("made")
        .expect("due");
    let bundle = made.bundle();
    for name in [NAME, "10.0.0.7"] {
        assert!(trusts(&bundle, &made, name, start()), "{name}");
    }
    assert!(!trusts(&bundle, &made, "elsewhere.svc", start()));
    let slow = start() - CLOCK_SKEW + SignedDuration::from_secs(1);
    assert!(trusts(&bundle, &made, NAME, slow));
    assert!(!trusts(
        &bundle,
        &made,
        NAME,
        slow - SignedDuration::from_secs(2)
    ));
    assert_eq!(renewed(&made, start()), None, "nothing is due");
    assert_eq!(Material::read(&made.write()), Ok(made));
}

#[test]
fn in_three_years_a_proxy_with_the_bundle_of_a_day_ago_can_always_connect() {
    let mut kept = Material::begin(&names(), start()).expect("made");
    let (mut bundles, mut signers) = (vec![kept.bundle()], BTreeSet::new());
    for today in 0..3 * 365 {
        let now = day(today);
        if let Some(next) = renewed(&kept, now) {
            kept = Material::read(&next.write()).expect("what was written");
            signers.insert(kept.signer.certificate.clone());
        }
        bundles.push(kept.bundle());
        let yesterday = &bundles[bundles.len().saturating_sub(2)];
        assert!(trusts(yesterday, &kept, NAME, now), "day {today}");
        let left = kept.serving.not_after.duration_since(now);
        assert!(left >= SERVING_RENEW_BEFORE, "day {today}");
        assert!(kept.former.len() <= 1);
    }
    assert!(signers.len() >= 4, "it rotated: {}", signers.len());
}

#[test]
fn after_a_long_time_without_a_controller_everything_begins_anew() {
    let old = Material::begin(&names(), start()).expect("made");
    let new = renewed(&old, day(400)).expect("due");
    assert_ne!(new.signer.certificate, old.signer.certificate);
    assert!(trusts(&new.bundle(), &new, NAME, day(400)));
    // A successor that was published in time takes over at once.
    let waiting = renewed(&old, day(300)).expect("due");
    let next = waiting.next.clone().expect("a successor");
    let taken = renewed(&waiting, day(370)).expect("due");
    assert_eq!(taken.signer.certificate, next.certificate);
    assert!(trusts(&waiting.bundle(), &taken, NAME, day(370)));
}

#[test]
fn replicas_with_other_names_add_theirs_and_agree() {
    let ours = Material::begin(&names(), start()).expect("made");
    let others = BTreeSet::from(["renamed.sluice.svc".to_owned()]);
    let theirs = Material::renewed(Some(&ours), &others, start()).expect("made");
    let both = theirs.expect("their name was missing");
    assert_eq!(both.signer.certificate, ours.signer.certificate);
    assert!(trusts(&ours.bundle(), &both, NAME, start()));
    assert!(trusts(&ours.bundle(), &both, "renamed.sluice.svc", start()));
    assert_eq!(renewed(&both, start()), None, "each has what it needs");
}

#[test]
fn a_damaged_secret_is_named_and_keys_are_never_shown() {
    let made = Material::begin(&names(), start()).expect("made");
    let shown = format!("{made:?}");
    assert!(
        shown.contains("valid until") && !shown.contains("PRIVATE"),
        "{shown}"
    );
    let other = Material::begin(&names(), start()).expect("made");
    let damaged = |key: &str, value: Option<Vec<u8>>| {
        let mut data = made.write();
        match value {
            Some(value) => drop(data.insert(key.to_owned(), k8s_openapi::ByteString(value))),
            None => drop(data.remove(key)),
        }
        Material::read(&data).expect_err(key).to_string()
    };
    assert_eq!(damaged("tls.key", None), "the Secret has no tls.key");
    let foreign = other.serving.key.clone().into_bytes();
    assert_eq!(
        damaged("tls.key", Some(foreign)),
        "tls.key of the Secret is not the key of tls.crt"
    );
    let odd = damaged(
        "ca.crt",
        Some(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----".to_vec()),
    );
    assert_eq!(
        odd,
        "ca.crt of the Secret is no list of certificates in PEM"
    );
}
