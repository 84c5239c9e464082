//! A release judged by a real Prometheus, with the queries of docs/prometheus.md.

use serde_json::{Value, json};
use sluice_tests::load::Load;
use sluice_tests::prometheus::Prometheus;
use sluice_tests::shop::{FLEET, Shop, Version};
use sluice_tests::site::Site;

use crate::{number, program};

const RATE: u32 = 200;
const TEMPLATE: &str = include_str!("../../../docs/examples/prometheus-health-check.yaml");

/// The template of the documentation, with times that a test can wait for.
fn steps(prometheus: &str) -> Value {
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    let analysis = json!({
        "templates": [{"templateName": "prometheus-health-check", "clusterScope": true}],
        "args": [
            value("split", FLEET),
            {"name": "revision", "valueFrom": {"podTemplateHashValue": "Latest"}},
            value("address", prometheus),
            value("window", "5s"),
            value("delay", "6s"),
            value("interval", "1s"),
            value("count", "5"),
            value("error-limit", "1"),
        ],
    });
    json!([{"setWeight": 50}, {"analysis": analysis}])
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_promotes_a_good_release_aborts_a_bad_one_and_its_death_is_no_success() {
    let ledgers = tempfile::tempdir().unwrap();
    let site = Site::start(program(), number::PROMETHEUS, 2).await;
    let mut shop = Shop {
        // Nobody but Prometheus is to judge here.
        proxy: json!({"fuse": {"enabled": false}}),
        ..Shop::new(program(), ledgers.path(), json!([]))
    };
    site.open(&shop, Version::good(1)).await;
    let proxies = site.proxies_ready(2).await;
    let targets: Vec<_> = proxies.iter().map(|proxy| proxy.status).collect();
    let Some(mut prometheus) = Prometheus::start(&targets).await else {
        return skipped("there is no prometheus on this machine");
    };
    let file = std::path::Path::new("prometheus-health-check.yaml");
    let template = cli::up::manifests::parse(file, TEMPLATE).unwrap();
    site.apply(template.into_iter().map(|it| it.object)).await;
    shop.steps = steps(&prometheus.url());
    let load = Load::start(site.fleet(FLEET).await, RATE);
    prometheus.has("sluice_requests_total").await;

    site.release(&shop, Version::good(2)).await;
    let promoted = site.phase("Healthy").await;
    let stable = promoted["status"]["stableRS"].clone();
    assert_eq!(stable, promoted["status"]["currentPodHash"]);
    let run = newest(&site).await;
    assert_eq!(run["status"]["phase"], "Successful", "{run:#}");
    let results = run["status"]["metricResults"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{run:#}");
    for result in results {
        assert_eq!(result["successful"], 5, "{run:#}");
        let query = &result["metadata"]["ResolvedPrometheusQuery"];
        assert!(query.as_str().unwrap().contains(stable.as_str().unwrap()));
    }

    site.release(&shop, Version::bad(3)).await;
    let aborted = site.phase("Degraded").await;
    assert_eq!(aborted["status"]["abort"], true, "{:#}", aborted["status"]);
    assert_eq!(aborted["status"]["stableRS"], stable);
    let failed = newest(&site).await;
    assert_eq!(failed["status"]["phase"], "Failed", "{failed:#}");
    let message = failed["status"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "Metric \"success-rate\" assessed Failed due to failed (4) > failureLimit (3)"
    );
    for proxy in site.proxies(FLEET) {
        proxy.weight_is(0).await;
    }

    prometheus.kill().await;
    site.release(&shop, Version::good(4)).await;
    let is = |it: &Value| {
        it["status"]["phase"] == "Degraded"
            && it["status"]["currentPodHash"] != aborted["status"]["currentPodHash"]
    };
    let dead = site.rollout_is("an abort without Prometheus", is).await;
    assert_eq!(dead["status"]["stableRS"], stable);
    let run = newest(&site).await;
    assert_refused(&run, &prometheus.url());
    load.stop().await;
    site.stop().await;
}

/// Both metrics err; which of them is first to have erred too often is chance.
fn assert_refused(run: &Value, url: &str) {
    assert_eq!(run["status"]["phase"], "Error", "{run:#}");
    let message = run["status"]["message"].as_str().unwrap_or_default();
    let possible = ["success-rate", "p95-latency"].map(|metric| refused_by(url, metric));
    assert!(possible.iter().any(|it| it == message), "{message}");
}

/// What a run says that ended because nobody listens there, as `metric` found.
fn refused_by(url: &str, metric: &str) -> String {
    let host = url.trim_start_matches("http://");
    format!(
        "Metric \"{metric}\" assessed Error due to consecutiveErrors (2) > consecutiveErrorLimit (1): \
         \"Error Message: Post \"{url}/api/v1/query\": dial tcp {host}: connect: connection refused\""
    )
}

/// The run that began last.
async fn newest(site: &Site) -> Value {
    let runs = site.runs().await;
    let begun = |run: &Value| {
        run["metadata"]["creationTimestamp"]
            .as_str()
            .map(str::to_owned)
    };
    runs.into_iter().max_by_key(begun).expect("a run")
}

#[expect(
    clippy::print_stderr,
    reason = "a test that proves nothing must say so"
)]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
