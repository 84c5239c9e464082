//! Watches against the local API server, in virtual time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use kube::api::{DeleteParams, PostParams};
use kube::client::Body;
use local::api::{ApiServer, Config};
use serde_json::{Value, json};

use super::*;

/// How much virtual time a cache may take to be as the cluster is: the longest wait between two
/// tries, and something for the answers.
const PATIENCE: Duration = Duration::from_mins(1);

/// An API server that keeps little history, and the way to it.
struct Stage {
    server: Arc<ApiServer>,
    /// Nothing gets through.
    cut: Arc<AtomicBool>,
    /// What was asked.
    asked: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
}

impl Stage {
    fn set() -> Self {
        let config = Config {
            clock: local::clock::Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()),
            data_dir: None,
            seed: 1,
            history: 5,
        };
        let server = ApiServer::new(config).unwrap();
        server.install_crds(&crds::all()).unwrap();
        Self {
            server,
            cut: Arc::default(),
            asked: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    fn start(&self, reach: &Reach) -> Arc<Caches> {
        let (client, cut, asked) = (self.server.client(), self.cut.clone(), self.asked.clone());
        let service = tower::util::service_fn(move |request: Request<Body>| {
            let (client, cut) = (client.clone(), cut.clone());
            let uri = request.uri().to_string();
            asked.lock().unwrap().push(uri);
            async move {
                if cut.load(Ordering::Relaxed) {
                    return Err(std::io::Error::other("cut off").into());
                }
                let answer: Response<Body> = client.send(request).await?;
                Ok::<_, tower::BoxError>(answer)
            }
        });
        let client = Client::new(service, "default");
        Caches::start(&client, reach, &TaskTracker::new(), &self.stop)
    }

    async fn rollout(&self, namespace: &str, name: &str, labels: Value, strategy: Value) {
        let rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": name, "labels": labels}, "spec": {"strategy": strategy},
        });
        let rollout = serde_json::from_value(rollout).unwrap();
        let rollouts: Api<Rollout> = Api::namespaced(self.server.client(), namespace);
        rollouts
            .create(&PostParams::default(), &rollout)
            .await
            .unwrap();
    }

    async fn namespace(&self, name: &str) {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.server.client());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    fn asked_for(&self, what: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|uri| uri.contains(what))
            .cloned()
            .collect()
    }
}

fn names(caches: &Caches) -> Vec<String> {
    let all = caches.rollouts.all();
    all.iter().filter_map(|it| it.meta().name.clone()).collect()
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !wanted() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_survives_hours_without_the_api_server_and_a_history_that_is_gone() {
    let stage = Stage::set();
    stage
        .rollout("default", "first", json!({}), json!({}))
        .await;
    let caches = stage.start(&Reach::default());
    caches.synced().await;
    assert_eq!(names(&caches), ["first"]);
    stage.cut.store(true, Ordering::Relaxed);
    // What is open breaks, too: the server forgets where the watch was.
    for number in 0..20 {
        stage
            .rollout(
                "default",
                &format!("later-{number:02}"),
                json!({}),
                json!({}),
            )
            .await;
    }
    let rollouts: Api<Rollout> = Api::namespaced(stage.server.client(), "default");
    rollouts
        .delete("first", &DeleteParams::default())
        .await
        .unwrap();
    let before = stage.asked_for("/rollouts?").len();
    tokio::time::sleep(Duration::from_hours(3)).await;
    let tries = stage.asked_for("/rollouts?").len() - before;
    assert!(tries < 3 * 3600 / 10, "{tries} tries in three hours");
    stage.cut.store(false, Ordering::Relaxed);
    until("it is as the cluster is", || {
        names(&caches).len() == 20 && !names(&caches).contains(&"first".to_owned())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_sees_its_namespace_and_its_instance_and_nothing_else() {
    let stage = Stage::set();
    stage.namespace("team").await;
    let blue = json!({INSTANCE_LABEL: "blue"});
    stage
        .rollout("default", "plain", json!({}), json!({}))
        .await;
    stage
        .rollout("default", "blue", blue.clone(), json!({}))
        .await;
    stage
        .rollout("team", "team-plain", json!({}), json!({}))
        .await;
    stage.rollout("team", "team-blue", blue, json!({})).await;
    let team = Scope::Namespace("team".to_owned());
    let table = [
        (Scope::Cluster, None, vec!["plain", "team-plain"]),
        (Scope::Cluster, Some("blue"), vec!["blue", "team-blue"]),
        (team.clone(), None, vec!["team-plain"]),
        (team, Some("blue"), vec!["team-blue"]),
    ];
    for (scope, instance, expected) in table {
        stage.asked.lock().unwrap().clear();
        let reach = Reach {
            scope: scope.clone(),
            instance_id: instance.map(str::to_owned),
        };
        let caches = stage.start(&reach);
        caches.synced().await;
        assert_eq!(names(&caches), expected, "{reach:?}");
        if scope != Scope::Cluster {
            let beyond = stage.asked.lock().unwrap();
            let beyond: Vec<_> = beyond
                .iter()
                .filter(|uri| !uri.contains("/namespaces/team/"))
                .collect();
            assert!(beyond.is_empty(), "{beyond:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_and_secrets_are_read_only_where_a_rollout_needs_them() {
    let stage = Stage::set();
    stage.namespace("team").await;
    stage
        .rollout("default", "plain", json!({}), json!({"canary": {}}))
        .await;
    let caches = stage.start(&Reach::default());
    caches.synced().await;
    assert_eq!(stage.asked_for("/pods"), Vec::<String>::new());
    assert_eq!(stage.asked_for("/secrets"), Vec::<String>::new());
    assert!(!caches.has_pods("team"));
    let routed = json!({"canary": {"stableService": "web", "trafficRouting": {"plugins": {
        "sluice/proxy": {"tls": {"secretName": "web-tls"}, "hostnames": ["web.example.com"]},
    }}}});
    stage.rollout("team", "routed", json!({}), routed).await;
    until("its pods are read", || caches.has_pods("team")).await;
    caches.settled().await;
    assert!(stage.asked_for("/pods").iter().all(|uri| {
        uri.contains("/namespaces/team/pods")
            && uri.contains("labelSelector=rollouts-pod-template-hash")
    }));
    let secrets = stage.asked_for("/secrets");
    assert!(!secrets.is_empty());
    assert!(
        secrets.iter().all(|uri| {
            uri.contains("/namespaces/team/secrets") && uri.contains("metadata.name%3Dweb-tls")
        }),
        "{secrets:?}"
    );
    let rollouts: Api<Rollout> = Api::namespaced(stage.server.client(), "team");
    rollouts
        .delete("routed", &DeleteParams::default())
        .await
        .unwrap();
    until("nobody needs them any more", || !caches.has_pods("team")).await;
}
