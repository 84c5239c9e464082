//! A certificate that does not match its key, in the middle of traffic and of a release.

use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use sluice_tests::load::Load;
use sluice_tests::shop::{FLEET, Shop, Version};
use sluice_tests::site::Site;
use sluice_tests::wait::{LONG, eventually};

use crate::{number, program};

const HOST: &str = "shop";
const SECRET: &str = "/api/v1/namespaces/default/secrets/shop-tls";
const RATE: u32 = 1_000;
/// Three seconds of it.
const REQUESTS: u64 = RATE as u64 * 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_refused_and_disturbs_nobody() {
    let ledgers = tempfile::tempdir().unwrap();
    let site = Site::start(program(), number::CERTIFICATES, 2).await;
    let steps = json!([{"setWeight": 40}, {"pause": {}}]);
    let shop = Shop {
        proxy: json!({"hostnames": [HOST], "tls": {"secretName": "shop-tls"}}),
        ..Shop::new(program(), ledgers.path(), steps)
    };
    let good = pair();
    site.apply([secret(&good.cert.pem(), &good.signing_key.serialize_pem())])
        .await;
    site.open(&shop, Version::good(1)).await;
    site.proxies_ready(2).await;
    site.release(&shop, Version::good(2)).await;
    site.weight_verified(40).await;
    let before = certificates(&site).await;

    let load = Load::start(site.fleet(FLEET).await, RATE);
    let other = pair();
    let wrong_key = other.signing_key.serialize_pem();
    let broken = secret(&good.cert.pem(), &wrong_key);
    site.patch(SECRET, &json!({"stringData": broken["stringData"]}))
        .await;
    for proxy in site.proxies(FLEET) {
        let config = eventually("a refusal in /config", LONG, async || {
            let config = proxy.config().await?;
            says_why(&config["refused"].to_string()).then_some(config)
        })
        .await;
        assert!(shows_no_key(&config.to_string(), &wrong_key), "{config:#}");
    }
    for log in site.cluster.fleets().logs().await {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(says_why(&text), "{} does not say why", log.display());
        assert!(
            shows_no_key(&text, &wrong_key),
            "{} shows a key",
            log.display()
        );
    }
    assert_eq!(
        certificates(&site).await,
        before,
        "the last good one stays in force"
    );

    // While the Secret is broken, an abort is as fast as ever.
    let proxies = site.proxies(FLEET);
    let at_zero = async {
        site.abort().await;
        for proxy in &proxies {
            proxy.weight_is(0).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(1), at_zero).await;
    assert!(
        in_time.is_ok(),
        "the abort did not reach weight 0 within a second"
    );

    let enough = async || (load.so_far().requests >= REQUESTS).then_some(());
    eventually("enough requests", LONG, enough).await;
    let ledger = load.stop().await;
    assert_eq!(ledger.failures, 0, "{ledger:?}");
    site.stop().await;
}

fn pair() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed([HOST.to_owned()]).expect("a pair")
}

fn secret(certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-tls", "namespace": "default"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    })
}

/// What each proxy serves.
async fn certificates(site: &Site) -> Vec<Value> {
    let mut shown = Vec::new();
    for proxy in site.proxies(FLEET) {
        let config = proxy.config().await.expect("an answer");
        let certificates = config["inForce"]["certificates"].clone();
        assert_eq!(certificates.as_array().map(Vec::len), Some(1), "{config:#}");
        shown.push(certificates[0]["fingerprintSha256"].clone());
    }
    shown
}

fn says_why(text: &str) -> bool {
    text.contains("certificate and key do not belong together")
}

/// No line of the key's PEM, its header included.
fn shows_no_key(text: &str, key: &str) -> bool {
    key.lines().all(|line| !text.contains(line))
}
