//! Verbs about what stands around Rollouts: runs, Experiments, templates, files.

use std::io::Write as _;

use crds::{AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment};
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

impl Place {
    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let api = self.cluster.api::<K>();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    async fn with_analysis(&self) {
        let metrics = json!([{"name": "rate", "interval": "30s", "count": 3,
            "successCondition": "result[0] >= 0.95", "failureLimit": 1,
            "provider": {"prometheus": {"query": "q"}}}]);
        let spec = json!({"args": [{"name": "service"}, {"name": "limit", "value": "5"}], "metrics": metrics});
        self.create::<AnalysisTemplate>(json!({"metadata": {"name": "success"}, "spec": spec}))
            .await;
        let everywhere: ClusterAnalysisTemplate =
            serde_json::from_value(json!({"metadata": {"name": "all"}, "spec": spec})).unwrap();
        let api: Api<ClusterAnalysisTemplate> = Api::all(self.cluster.client.clone());
        api.create(&PostParams::default(), &everywhere)
            .await
            .unwrap();
        let results = json!([{"name": "rate", "phase": "Failed", "successful": 1, "failed": 2, "count": 3,
            "message": "failed (2) > failureLimit (1)",
            "measurements": [{"phase": "Failed", "value": "[0.5]", "startedAt": "2026-01-07T23:59:30Z"}]}]);
        self.create::<AnalysisRun>(json!({"metadata": {"name": "web-1"},
            "spec": {"metrics": metrics, "args": [{"name": "service", "value": "web"}]},
            "status": {"phase": "Failed", "message": "Metric \"rate\" assessed Failed", "metricResults": results}}))
            .await;
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}});
        self.create::<Experiment>(json!({"metadata": {"name": "trial"},
            "spec": {"duration": "5m", "templates": [{"name": "base", "template": template,
                "selector": {"matchLabels": {"app": "x"}}}]},
            "status": {"phase": "Running", "availableAt": "2026-01-07T23:59:00Z"}}))
            .await;
    }
}

#[tokio::test]
async fn runs_experiments_and_templates_are_shown_one_or_all() {
    let place = place().await;
    assert_eq!(
        place.types("get analysisruns").await.unwrap(),
        "No resources found in default namespace.\n"
    );
    place.with_analysis().await;
    let shown = [
        ("get ar", "web-1       Failed        ✔ 1,✖ 2"),
        ("get analysisrun web-1", "Status:          ✖ Failed"),
        ("get ar web-1", "service=web"),
        ("get ar web-1", "└──≈ rate  Metric"),
        ("get experiments", "trial       Running  5m        4m"),
        ("list exp", "trial       Running  5m        4m"),
        ("get experiment trial", "Σ trial  Experiment  ◌ Running"),
        ("get templates", "success     AnalysisTemplate"),
        ("get templates", "all         ClusterAnalysisTemplate"),
        ("get template success", "service (required)"),
        (
            "get template all",
            "rate    prometheus  30s       3      failure 1",
        ),
    ];
    for (line, text) in shown {
        let printed = place.types(line).await.unwrap();
        assert!(printed.contains(text), "{line}: {text}\n{printed}");
    }
    for line in [
        "get ar web-1 -o json",
        "get template all -o json",
        "get exp trial -o json",
    ] {
        let printed = place.types(line).await.unwrap();
        let object: Value = serde_json::from_str(&printed).unwrap();
        assert!(object["metadata"]["name"].is_string(), "{line}");
    }
    let missing = place.types("get ar wep").await.unwrap_err();
    assert!(
        missing.starts_with("analysisrun.argoproj.io \"wep\" not found"),
        "{missing}"
    );
}

#[tokio::test]
async fn a_list_is_of_one_name_and_may_have_times() {
    let place = place().await;
    let table = place.types("list rollouts --timestamps").await.unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[0].starts_with("TIMESTAMP             NAME"),
        "{table}"
    );
    assert!(lines[1].starts_with("2026-01-08T00:00:00Z  web"), "{table}");
    assert_eq!(
        place.types("list ro --name other").await.unwrap(),
        "No resources found in default namespace.\n"
    );
    assert!(
        place
            .types("list exp -w")
            .await
            .unwrap_err()
            .contains("get experiment")
    );
}

#[tokio::test]
async fn a_restart_and_an_end_are_asked_for() {
    let place = place().await;
    place.with_analysis().await;
    assert_eq!(
        place.types("restart web -i 10s").await.unwrap(),
        "rollout 'web' restarts in 10s\n"
    );
    assert_eq!(
        place.seen().await["spec"]["restartAt"],
        "2026-01-08T00:00:10Z"
    );
    assert_eq!(
        place.types("terminate analysisrun web-1").await.unwrap(),
        "analysisRun 'web-1' terminated\n"
    );
    let run = place
        .cluster
        .api::<AnalysisRun>()
        .get("web-1")
        .await
        .unwrap();
    assert_eq!(run.spec.terminate, Some(true));
    assert_eq!(
        place.types("retry experiment trial").await.unwrap(),
        "experiment 'trial' retried\n"
    );
    let trial = place
        .cluster
        .api::<Experiment>()
        .get("trial")
        .await
        .unwrap();
    assert!(trial.status.is_none_or(|status| status.phase.is_none()));
    assert_eq!(
        place.types("terminate exp trial").await.unwrap(),
        "experiment 'trial' terminated\n"
    );
    let missing = place.types("terminate ar wep").await.unwrap_err();
    assert!(
        missing.starts_with("analysisrun.argoproj.io \"wep\" not found"),
        "{missing}"
    );
}

#[tokio::test]
async fn objects_are_created_from_files_or_not_at_all() {
    let place = place().await;
    place.with_analysis().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: NAME}\nspec:\n  metrics: []\n";
    let both = format!(
        "{}---\n{}",
        template.replace("NAME", "one"),
        template.replace("NAME", "two").replace("metrics", "metric")
    );
    file.write_all(both.as_bytes()).unwrap();
    let path = file.path().display().to_string();
    let refused = place.types(&format!("create -f {path}")).await.unwrap_err();
    let expected = format!("{path}:11: unknown field \"spec.metric\"; did you mean metrics?");
    assert_eq!(refused, expected);
    let none = place.cluster.api::<AnalysisTemplate>().get_opt("one").await;
    assert!(none.unwrap().is_none(), "half of a file was created");
    std::fs::write(file.path(), template.replace("NAME", "one")).unwrap();
    assert_eq!(
        place.types(&format!("create -f {path}")).await.unwrap(),
        "analysistemplate.argoproj.io/one created\n"
    );
    let made = place
        .types("create analysisrun --from success -a service=web --name mine")
        .await;
    assert_eq!(made.unwrap(), "analysisrun.argoproj.io/mine created\n");
    let run = place
        .cluster
        .api::<AnalysisRun>()
        .get("mine")
        .await
        .unwrap();
    assert_eq!(run.spec.args[0].value.as_deref(), Some("web"));
    let global = place
        .types("create ar --global --from all -a service=x")
        .await;
    assert!(global.unwrap().starts_with("analysisrun.argoproj.io/all-"));
}

#[tokio::test]
async fn pods_of_a_workload_are_set_back_there() {
    let place = place().await;
    let template = json!({"metadata": {"labels": {"app": "web"}},
                          "spec": {"containers": [{"name": "web", "image": "web:2"}]}});
    place
        .create::<k8s_openapi::api::core::v1::PodTemplate>(
            json!({"metadata": {"name": "pods"}, "template": template}),
        )
        .await;
    let refer = json!({"spec": {"template": null,
        "workloadRef": {"apiVersion": "v1", "kind": "PodTemplate", "name": "pods"}}});
    let params = PatchParams::default();
    let patched = place
        .cluster
        .rollouts()
        .patch("web", &params, &Patch::Merge(&refer))
        .await;
    patched.unwrap();
    assert_eq!(
        place.types("undo web").await.unwrap(),
        "rollout 'web' undo\n"
    );
    let pods = place
        .cluster
        .api::<k8s_openapi::api::core::v1::PodTemplate>();
    let image = pods
        .get("pods")
        .await
        .unwrap()
        .template
        .unwrap()
        .spec
        .unwrap()
        .containers[0]
        .image
        .clone();
    assert_eq!(image.as_deref(), Some("web:1"));
}
