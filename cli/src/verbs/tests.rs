//! The verbs as they are typed, against an API server in this process.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Parser, Subcommand as _};
use crds::Rollout;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use local::api::{ApiServer, Config};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;

mod others;

/// What is typed after `sluice`.
#[derive(Debug, Parser)]
struct Typed {
    #[command(subcommand)]
    verb: Verb,
}

/// A cluster with a Rollout `web` in the middle of an update.
struct Place {
    server: Arc<ApiServer>,
    cluster: Cluster,
    paper: Paper,
}

/// What verbs have printed, for those who wait for a line of it.
#[derive(Clone, Default)]
struct Paper {
    text: Arc<Mutex<Vec<u8>>>,
    written: Arc<Notify>,
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    async fn until(&self, line: &str) {
        while !self.text().contains(line) {
            self.written.notified().await;
        }
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        self.written.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long a verb may take here.
const PATIENCE: Duration = Duration::from_secs(30);

const ORIGIN: &str = "2026-01-08T00:00:00Z";

fn clock() -> Clock {
    Clock::starting_at(ORIGIN.parse::<Timestamp>().unwrap())
}

fn spec() -> Value {
    let containers = json!([{"name": "web", "image": "web:2"}]);
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}});
    json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template,
           "strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]}}})
}

fn paused() -> Value {
    json!({"observedGeneration": "1", "phase": "Paused", "message": "CanaryPauseStep",
           "currentStepIndex": 1, "controllerPause": true, "currentPodHash": "bbb",
           "stableRS": "aaa", "replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
           "updatedReplicas": 1,
           "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-07T23:59:00Z"}]})
}

async fn place() -> Place {
    let server = ApiServer::new(Config {
        clock: clock(),
        data_dir: None,
        seed: 7,
        history: 500,
    });
    let server = server.unwrap();
    server.install_crds(&crds::all()).unwrap();
    let client = server.client();
    let cluster = Cluster {
        client,
        namespace: "default".to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
        origin: "a test".to_owned(),
    };
    let place = Place {
        server,
        cluster,
        paper: Paper::default(),
    };
    let rollout = json!({"metadata": {"name": "web"}, "spec": spec()});
    let rollout: Rollout = serde_json::from_value(rollout).unwrap();
    let made = place
        .cluster
        .rollouts()
        .create(&PostParams::default(), &rollout)
        .await
        .unwrap();
    place.status(paused()).await;
    for (revision, hash, image) in [(1, "aaa", "web:1"), (2, "bbb", "web:2")] {
        place.replica_set(&made, revision, hash, image).await;
    }
    place
}

impl Place {
    async fn status(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let rollouts = self.cluster.rollouts();
        rollouts
            .patch_status("web", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn replica_set(&self, rollout: &Rollout, revision: i32, hash: &str, image: &str) {
        let labels = json!({"app": "web", "rollouts-pod-template-hash": hash});
        let template = json!({"metadata": {"labels": labels},
                              "spec": {"containers": [{"name": "web", "image": image}]}});
        let owner = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web",
                           "uid": rollout.metadata.uid, "controller": true});
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": format!("web-{hash}"), "labels": labels, "ownerReferences": [owner],
                "annotations": {"rollout.argoproj.io/revision": revision.to_string()}},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }))
        .unwrap();
        let sets: Api<ReplicaSet> = Api::default_namespaced(self.cluster.client.clone());
        sets.create(&PostParams::default(), &set).await.unwrap();
    }

    async fn seen(&self) -> Value {
        serde_json::to_value(self.cluster.rollouts().get("web").await.unwrap()).unwrap()
    }

    /// Types a verb; what it prints, or why it fails.
    async fn types(&self, line: &str) -> Result<String, String> {
        let words = std::iter::once("sluice").chain(line.split_whitespace());
        let verb = Typed::try_parse_from(words)
            .map_err(|error| error.to_string())?
            .verb;
        self.paper.text.lock().unwrap().clear();
        let (mut out, mut err) = (self.paper.clone(), self.paper.clone());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            is_terminal: false,
            clock: clock(),
        };
        let done = tokio::time::timeout(PATIENCE, verb.run(&self.cluster, &mut console)).await;
        let done = done.expect("the verb ended in time");
        let printed = self.paper.text();
        done.map(|()| printed.clone())
            .map_err(|failure| format!("{printed}{failure}"))
    }
}

#[test]
fn every_verb_is_well_formed() {
    Verb::augment_subcommands(clap::Command::new("sluice")).debug_assert();
}

#[tokio::test]
async fn promoting_a_pause_takes_its_conditions_away() {
    let place = place().await;
    assert_eq!(
        place.types("promote web").await.unwrap(),
        "rollout 'web' promoted\n"
    );
    let status = place.seen().await["status"].clone();
    assert_eq!(status.get("pauseConditions"), None);
    assert_eq!(
        (&status["controllerPause"], &status["currentStepIndex"]),
        (&json!(true), &json!(1))
    );
    let waiting = place.types("status web --watch=false").await.unwrap();
    assert_eq!(waiting, "Progressing - waiting for rollout to unpause\n");
}

#[tokio::test]
async fn promoting_fully_promotes_only_what_is_under_way() {
    let place = place().await;
    assert_eq!(
        place.types("promote web --full").await.unwrap(),
        "rollout 'web' fully promoted\n"
    );
    assert_eq!(place.seen().await["status"]["promoteFull"], true);
}

#[tokio::test]
async fn a_release_that_went_on_is_not_set_back() {
    let place = place().await;
    place
        .status(json!({"pauseConditions": null, "controllerPause": false}))
        .await;
    // Between our look and our write the controller finishes the step.
    let server = place.server.client();
    let rollouts: Api<Rollout> = Api::default_namespaced(server);
    let stale = rollouts.get("web").await.unwrap();
    place.status(json!({"currentStepIndex": 3})).await;
    let patches = promote::patches(&stale, promote::Promotion::Next);
    let mut status = patches.status.unwrap();
    status["metadata"] = json!({"resourceVersion": stale.metadata.resource_version});
    let refused = rollouts
        .patch_status("web", &PatchParams::default(), &Patch::Merge(&status))
        .await;
    assert!(failure::is_conflict(&refused.unwrap_err()));
    assert_eq!(place.seen().await["status"]["currentStepIndex"], 3);
}

#[tokio::test]
async fn abort_retry_and_pause_set_their_field() {
    let place = place().await;
    assert_eq!(
        place.types("abort web").await.unwrap(),
        "rollout 'web' aborted\n"
    );
    assert_eq!(place.seen().await["status"]["abort"], true);
    assert_eq!(
        place.types("retry rollout web").await.unwrap(),
        "rollout 'web' retried\n"
    );
    assert_eq!(place.seen().await["status"]["abort"], false);
    assert_eq!(
        place.types("pause web").await.unwrap(),
        "rollout 'web' paused\n"
    );
    assert_eq!(place.seen().await["spec"]["paused"], true);
    assert_eq!(
        place.types("promote web").await.unwrap(),
        "rollout 'web' promoted\n"
    );
    assert_eq!(place.seen().await["spec"]["paused"], false);
}

#[tokio::test]
async fn set_image_and_undo_change_the_template() {
    let place = place().await;
    let image =
        async || place.seen().await["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let updated = place.types("set image web web=web:3").await.unwrap();
    assert_eq!(updated, "rollout \"web\" image updated\n");
    assert_eq!(image().await, "web:3");
    assert_eq!(
        place.types("undo web").await.unwrap(),
        "rollout 'web' undo\n"
    );
    assert_eq!(image().await, "web:1");
    let skipped = place.types("undo web --to-revision 1").await.unwrap();
    assert_eq!(
        skipped,
        "skipped rollback (current template already matches revision 1)\n"
    );
    let missing = place.types("set image web sidecar=x:1").await.unwrap_err();
    assert_eq!(
        missing,
        "unable to find container named \"sidecar\"\n  web has: web"
    );
}

#[tokio::test]
async fn get_shows_one_or_all() {
    let place = place().await;
    let tree = place.types("get rollout web").await.unwrap();
    assert!(
        tree.starts_with("Name:            web\nNamespace:       default\n"),
        "{tree}"
    );
    assert!(
        tree.contains("├──# revision:2\n│  └──⧉ web-bbb  ReplicaSet"),
        "{tree}"
    );
    let table = place.types("get ro").await.unwrap();
    assert!(
        table.contains("\nweb         Canary     Paused        1/3   20          3/3"),
        "{table}"
    );
    let json: Value =
        serde_json::from_str(&place.types("get rollout web -o json").await.unwrap()).unwrap();
    assert_eq!(
        (&json["kind"], &json["metadata"]["name"]),
        (&json!("Rollout"), &json!("web"))
    );
    let yaml = crds::read::documents(&place.types("get rollouts -o yaml").await.unwrap()).unwrap();
    assert_eq!(
        (yaml.len(), &yaml[0]["kind"], &yaml[0]["spec"]["replicas"]),
        (1, &json!("Rollout"), &json!(2))
    );
}

#[tokio::test]
async fn status_ends_with_the_release() {
    let place = place().await;
    let followed = place.types("status web");
    let release = async {
        place.paper.until("Paused").await;
        let aborted = json!({"phase": "Degraded", "message": "RolloutAborted: m"});
        place.status(aborted).await;
    };
    let (printed, ()) = tokio::join!(followed, release);
    let expected = "Paused - CanaryPauseStep\nDegraded - RolloutAborted: m\n\
                    The rollout is in a degraded state with message: RolloutAborted: m";
    assert_eq!(printed.unwrap_err(), expected);
    let once = place.types("status web --watch=false").await.unwrap_err();
    assert_eq!(once.lines().next(), Some("Degraded"));
}

#[tokio::test]
async fn status_gives_up_in_time() {
    let place = place().await;
    let printed = place.types("status web -t 300ms").await.unwrap_err();
    assert_eq!(
        printed,
        "Paused - CanaryPauseStep\nRollout status watch exceeded timeout"
    );
}

#[tokio::test]
async fn a_watched_tree_is_printed_again_when_it_changes() {
    let place = place().await;
    let watched = place.types("get rollout web -w");
    let deleted = async {
        place.paper.until("Paused").await;
        place.status(json!({"phase": "Healthy", "message": null, "pauseConditions": null, "controllerPause": false})).await;
        place.paper.until("Healthy").await;
        place
            .cluster
            .rollouts()
            .delete("web", &kube::api::DeleteParams::default())
            .await
            .unwrap();
    };
    let (printed, ()) = tokio::join!(watched, deleted);
    let printed = printed.unwrap_err();
    let statuses: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("Status:"))
        .collect();
    assert_eq!(
        statuses,
        ["Status:          ॥ Paused", "Status:          ✔ Healthy"],
        "{printed}"
    );
    assert!(
        printed.ends_with("rollout \"web\" was deleted"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_wrong_name_is_answered_with_the_right_one() {
    let place = place().await;
    let expected = "rollout.argoproj.io \"wep\" not found in namespace \"default\"\n  \
                    did you mean \"web\"? there are: web";
    let verbs = [
        "get rollout wep",
        "get rollout wep -w",
        "status wep",
        "promote wep",
        "abort wep",
        "retry ro wep",
        "pause wep",
        "set image wep a=b",
        "undo wep",
    ];
    for line in verbs {
        let failure = place.types(line).await.unwrap_err();
        assert!(
            failure.contains("\"wep\" not found in namespace \"default\"\n  "),
            "{line}: {failure}"
        );
        if !line.starts_with("set") {
            assert_eq!(failure, expected, "{line}");
        }
    }
}

#[tokio::test]
async fn a_cluster_without_our_definitions_is_told_from_one_without_the_rollout() {
    let bare = ApiServer::new(Config {
        clock: clock(),
        data_dir: None,
        seed: 7,
        history: 50,
    })
    .unwrap();
    let mut place = place().await;
    place.cluster.client = bare.client();
    for line in ["get rollout web", "get rollouts", "abort web"] {
        let failure = place.types(line).await.unwrap_err();
        assert!(
            failure.contains("CustomResourceDefinitions of argoproj.io are missing"),
            "{line}: {failure}"
        );
    }
}

#[tokio::test]
async fn a_cluster_that_is_away_is_named_with_its_kubeconfig() {
    // A port that was ours a moment ago: nobody listens on it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    std::fs::write(file.path(), local::api::kubeconfig(&url)).unwrap();
    let args = ClusterArgs {
        kubeconfig: Some(file.path().to_owned()),
        ..ClusterArgs::default()
    };
    let cluster = Cluster::reach(&args).await.unwrap();
    let failure = cluster.rollout("web").await.unwrap_err().to_string();
    let place = file.path().display();
    assert!(
        failure.starts_with(&format!(
            "the cluster at {url} (from {place}) does not answer: "
        )),
        "{failure}"
    );
    let missing = ClusterArgs {
        kubeconfig: Some("/nowhere/config".into()),
        ..args
    };
    let failure = Cluster::reach(&missing).await.err().unwrap().to_string();
    assert!(
        failure.starts_with("the kubeconfig /nowhere/config cannot be used: "),
        "{failure}"
    );
}
