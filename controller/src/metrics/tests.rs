use super::*;

fn key(name: &str) -> Key {
    Key {
        namespace: "a".to_owned(),
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn looks_and_requests_are_counted_and_forgotten_when_their_object_is_gone() {
    let (metrics, caches) = (Metrics::default(), Caches::empty());
    metrics.looked(Kind::Rollout, &key("web"), Duration::from_millis(200));
    metrics.failed(Kind::Rollout, &key("web"));
    metrics.told(&key("web"), false, "RolloutCompleted");
    metrics.requested(&["rollouts/status", "a", "Patch"], 200);
    metrics.responded(Duration::from_millis(60));
    let at = |second| Timestamp::from_second(second).expect("a time");
    let text = metrics.render(Text::default(), Some(&caches), at(0));
    for line in [
        "rollout_reconcile_bucket{namespace=\"a\",name=\"web\",le=\"0.15\"} 0",
        "rollout_reconcile_bucket{namespace=\"a\",name=\"web\",le=\"0.25\"} 1",
        "rollout_reconcile_count{namespace=\"a\",name=\"web\"} 1",
        "rollout_reconcile_error{namespace=\"a\",name=\"web\"} 1",
        "rollout_events_total{namespace=\"a\",name=\"web\",type=\"Normal\",reason=\"RolloutCompleted\"} 1",
        "controller_clientset_k8s_request_total{kind=\"rollouts/status\",namespace=\"a\",verb=\"Patch\",status_code=\"200\"} 1",
        "sluice_controller_response_seconds_bucket{le=\"0.05\"} 0",
        "sluice_controller_response_seconds_bucket{le=\"0.1\"} 1",
        "sluice_controller_response_seconds_count 1",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(
        metrics
            .render(Text::default(), Some(&caches), at(64))
            .contains("name=\"web\"")
    );
    assert!(
        !metrics
            .render(Text::default(), Some(&caches), at(65))
            .contains("name=\"web\"")
    );
}

#[test]
fn requests_have_so_many_series_and_no_more() {
    let metrics = Metrics::default();
    for number in 0..2 * MOST_REQUESTS {
        metrics.requested(&["pods", &number.to_string(), "Get"], 200);
    }
    let text = metrics.render(Text::default(), None, Timestamp::UNIX_EPOCH);
    let series = text
        .lines()
        .filter(|line| line.starts_with("controller_clientset"));
    assert_eq!(series.count(), MOST_REQUESTS + 1);
    assert!(text.contains(&format!(
        "verb=\"other\",status_code=\"200\"}} {MOST_REQUESTS}"
    )));
}

#[tokio::test]
async fn a_rollout_that_is_left_to_another_controller_is_shown() {
    let caches = Caches::empty();
    let canary = |routing| {
        let rollout = serde_json::json!({
            "metadata": {"name": "web", "namespace": "a", "resourceVersion": "1"},
            "spec": {"strategy": {"canary": {"trafficRouting": routing}}},
        });
        let rollout: crds::Rollout = serde_json::from_value(rollout).expect("a Rollout");
        crate::caches::kinds::Parsed::new(rollout.metadata.clone(), Ok(rollout))
    };
    caches
        .rollouts
        .put(canary(serde_json::json!({"nginx": {}})));
    let shown = || Metrics::default().render(Text::default(), Some(&caches), Timestamp::UNIX_EPOCH);
    let line = "sluice_rollout_left{namespace=\"a\",name=\"web\",traffic_router=\"nginx\"} 1";
    assert!(shown().contains(line), "{}", shown());
    let ours = canary(serde_json::json!({"plugins": {"sluice/proxy": {}}}));
    caches.rollouts.remove(&key("web"));
    caches.rollouts.put(ours);
    assert!(!shown().contains("sluice_rollout_left{"), "{}", shown());
}
