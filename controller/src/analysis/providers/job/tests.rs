use super::*;

fn run() -> AnalysisRun {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "team", "uid": "1f6e5b60-3c52-4a39-a4d3-7d2f1f2b9d11"},
        "spec": {"metrics": []},
    }))
    .unwrap()
}

fn job(spec: &Value) -> JobMetric {
    serde_json::from_value(json!({
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": spec,
    }))
    .unwrap()
}

#[test]
fn a_job_is_made_as_argo_makes_it() {
    let spec = json!({"template": {"metadata": {"labels": {"x": "y"}}, "spec": {"new": 1}}, "backoffLimit": 0});
    let made = manifest(&run(), ("smoke", &job(&spec), 3), &JobHome::default());
    let made = serde_json::to_value(&made).unwrap();
    let uid = "1f6e5b60-3c52-4a39-a4d3-7d2f1f2b9d11";
    let expected = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": format!("{uid}.smoke.3"), "namespace": "team",
            "labels": {"a": "b", "analysisrun.argoproj.io/uid": uid},
            "annotations": {
                "c": "d", "analysisrun.argoproj.io/name": "run",
                "analysisrun.argoproj.io/namespace": "team",
                "analysisrun.argoproj.io/metric-name": "smoke",
            },
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "name": "run", "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"x": "y", "analysisrun.argoproj.io/uid": uid}},
                "spec": {"new": 1},
            },
            "backoffLimit": 0,
        },
    });
    let sorted = |value: &Value| -> Value { serde_json::from_str(&value.to_string()).unwrap() };
    assert_eq!(sorted(&made), sorted(&expected));
    let elsewhere = JobHome {
        namespace: Some("jobs".to_owned()),
        cluster: None,
    };
    let made = manifest(&run(), ("smoke", &job(&json!({})), 1), &elsewhere);
    assert_eq!(made.namespace().as_deref(), Some("jobs"));
    assert_eq!(made.metadata.owner_references, None);
    assert_eq!(
        made.data["spec"]["template"]["metadata"]["labels"][RUN_UID],
        uid
    );
}

#[test]
fn a_name_fits_a_label() {
    let uid = "1f6e5b60-3c52-4a39-a4d3-7d2f1f2b9d11";
    let long = name(uid, &"é".repeat(40), 12);
    assert!(
        long.len() <= LONGEST_NAME && long.ends_with(".12"),
        "{long}"
    );
    assert_eq!(name(uid, "m", 1), format!("{uid}.m.1"));
    assert_eq!(
        name(&"x".repeat(80), "m", 1),
        format!("{}..1", "x".repeat(80))
    );
}

#[test]
fn the_end_of_a_job_is_its_phase() {
    let of = |conditions: Value| -> Option<AnalysisPhase> {
        let job =
            json!({"metadata": {}, "spec": {"template": {}}, "status": {"conditions": conditions}});
        ended(&serde_json::from_value(job).unwrap())
    };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    assert_eq!(of(json!([])), None);
    assert_eq!(of(json!([condition("Suspended", "True")])), None);
    assert_eq!(of(json!([condition("Complete", "False")])), None);
    let complete = json!([
        condition("SuccessCriteriaMet", "True"),
        condition("Complete", "True")
    ]);
    assert_eq!(of(complete), Some(AnalysisPhase::Successful));
    let failed = json!([
        condition("FailureTarget", "True"),
        condition("Failed", "True")
    ]);
    assert_eq!(of(failed), Some(AnalysisPhase::Failed));
}

#[test]
fn a_container_that_never_starts_is_told() {
    let of = |list: &str, reason: &str| {
        let state = json!({"waiting": {"reason": reason, "message": "no such image"}});
        let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod = json!({"metadata": {"name": "p"}, "status": {list: [container]}});
        stuck(&serde_json::from_value(pod).unwrap())
    };
    for list in ["containerStatuses", "initContainerStatuses"] {
        let expected = "Pod p, container c has terminal error (ImagePullBackOff): no such image\n";
        assert_eq!(of(list, "ImagePullBackOff").as_deref(), Some(expected));
        assert_eq!(of(list, "ContainerCreating"), None);
    }
}
