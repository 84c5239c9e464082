//! Argo's CRDs and ours: what one keeps the other keeps.

use sluice_tests::real::argo::Argo;
use sluice_tests::real::schemas::{Copy, lost};
use sluice_tests::real::{REPOSITORY, plane};

use crate::program;

/// A kind's file among Argo's and among ours.
const KINDS: [(&str, &str); 5] = [
    ("rollout-crd", "rollout"),
    ("analysis-run-crd", "analysisrun"),
    ("analysis-template-crd", "analysistemplate"),
    ("cluster-analysis-template-crd", "clusteranalysistemplate"),
    ("experiment-crd", "experiment"),
];
/// What only ours has: Argo has these too, in releases after 1.10.1.
const ONLY_OURS: [&str; 7] = [
    "analysisrun.spec.metrics[].provider.prometheus.authentication.basicAuth",
    "analysisrun.spec.metrics[].provider.web.authentication.basicAuth",
    "analysistemplate.spec.metrics[].provider.prometheus.authentication.basicAuth",
    "analysistemplate.spec.metrics[].provider.web.authentication.basicAuth",
    "clusteranalysistemplate.spec.metrics[].provider.prometheus.authentication.basicAuth",
    "clusteranalysistemplate.spec.metrics[].provider.web.authentication.basicAuth",
    "rollout.status.duration",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_argos_crds_keep_ours_keep_and_the_other_way_round() {
    let (Some(plane), Some(argo)) = (plane(program()).await, Argo::found()) else {
        return;
    };
    let (mut lost_by_ours, mut lost_by_argos) = (Vec::new(), Vec::new());
    for (argos, ours) in KINDS {
        let file = argo.crds().join(format!("{argos}.yaml"));
        let argos = Copy::install(&plane, file.to_str().unwrap(), "argos.test").await;
        let file = format!("{REPOSITORY}/deploy/crds/{ours}.yaml");
        let own = Copy::install(&plane, &file, "ours.test").await;
        let named = |paths: Vec<String>| paths.into_iter().map(move |path| format!("{ours}{path}"));
        let (theirs, mine) = (argos.maximal(), own.maximal());
        lost_by_ours.extend(named(lost(&theirs, &own.keeps(&theirs).await)));
        lost_by_argos.extend(named(lost(&mine, &argos.keeps(&mine).await)));
        // And each keeps what is its own: the objects are no nonsense.
        assert_eq!(lost(&theirs, &argos.keeps(&theirs).await), [""; 0]);
        assert_eq!(lost(&mine, &own.keeps(&mine).await), [""; 0]);
        argos.remove().await;
        own.remove().await;
    }
    assert_eq!(lost_by_ours, [""; 0]);
    lost_by_argos.sort();
    assert_eq!(lost_by_argos, ONLY_OURS);
}
