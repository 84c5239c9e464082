//! What only this server has: a data directory, a hook before writes, faults, logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams, LogParams, PostParams};
use kube::core::Status;
use serde_json::json;
use sluice_local::api::{
    ApiServer, Config, Faults, LogOptions, LogSource, LogStream, StartError, Verdict,
};

use super::support::{config, config_map, definition, refusal, server};

fn kept_in(directory: &std::path::Path) -> Config {
    Config {
        data_dir: Some(directory.to_owned()),
        ..config()
    }
}

#[tokio::test]
async fn state_and_revisions_outlive_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let first = ApiServer::new(kept_in(directory.path())).unwrap();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    first
        .install_crds(&[definition("kept.example.com", schema)])
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(first.client());
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "v"})))
        .await
        .unwrap();
    let revision = first.revision();
    drop((maps, first));
    let second = eventually_open(directory.path()).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(second.client());
    assert_eq!(maps.get("a").await.unwrap(), made);
    assert_eq!(second.revision(), revision);
    let other = maps
        .create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    assert_ne!(other.uid(), made.uid());
    let discovered = second.client().list_api_groups().await.unwrap();
    assert!(
        discovered
            .groups
            .iter()
            .any(|group| group.name == "kept.example.com")
    );
}

/// The client's worker lets go of the first server a moment after the client is dropped.
async fn eventually_open(directory: &std::path::Path) -> Arc<ApiServer> {
    for _ in 0..1000 {
        if let Ok(server) = ApiServer::new(kept_in(directory)) {
            return server;
        }
        tokio::task::yield_now().await;
    }
    panic!("the data directory stayed locked");
}

#[tokio::test]
async fn a_fork_begins_with_the_same_and_goes_its_own_way() {
    let first = server();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    first
        .install_crds(&[definition("kept.example.com", schema)])
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(first.client());
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let second = first.fork(config().clock, 3);
    let theirs: Api<ConfigMap> = Api::default_namespaced(second.client());
    assert_eq!(theirs.get("a").await.unwrap(), made);
    theirs
        .create(&PostParams::default(), &config_map("b", json!({})))
        .await
        .unwrap();
    assert!(maps.get_opt("b").await.unwrap().is_none());
    let groups = second.client().list_api_groups().await.unwrap().groups;
    assert!(groups.iter().any(|group| group.name == "kept.example.com"));
}

#[tokio::test]
async fn a_data_directory_has_one_server() {
    let directory = tempfile::tempdir().unwrap();
    let _first = ApiServer::new(kept_in(directory.path())).unwrap();
    let second = ApiServer::new(kept_in(directory.path())).unwrap_err();
    assert!(matches!(second, StartError::Journal(_)), "{second:?}");
}

#[tokio::test]
async fn a_damaged_file_is_named_and_an_unfinished_line_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    drop(ApiServer::new(kept_in(directory.path())).unwrap());
    let server = eventually_open(directory.path()).await;
    let revision = server.revision();
    drop(server);
    let journal = directory.path().join("journal.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, format!("{whole}{{\"revision\":99,\"pla")).unwrap();
    tokio::task::yield_now().await;
    let server = eventually_open(directory.path()).await;
    assert_eq!(server.revision(), revision);
    drop(server);
    std::fs::write(&journal, format!("{whole}nonsense\n")).unwrap();
    let error = loop {
        tokio::task::yield_now().await;
        match ApiServer::new(kept_in(directory.path())).unwrap_err() {
            StartError::Journal(sluice_local::api::JournalError::Held { .. }) => {}
            StartError::Journal(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    let told = error.to_string();
    assert!(
        told.contains("journal.jsonl is damaged at line 4"),
        "{told}"
    );
}

#[tokio::test]
async fn the_hook_sees_each_write_and_can_stop_a_client_for_good() {
    let server = server();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    server.on_write(move |write| {
        if write.client != "doomed" {
            return Verdict::Proceed;
        }
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Verdict::Proceed,
            _ => Verdict::Refuse(
                Status::failure("it was killed", "Killed")
                    .with_code(503)
                    .boxed(),
            ),
        }
    });
    let doomed: Api<ConfigMap> = Api::default_namespaced(server.client_named("doomed"));
    doomed
        .create(&PostParams::default(), &config_map("a", json!({})))
        .await
        .unwrap();
    let second = doomed
        .create(&PostParams::default(), &config_map("b", json!({})))
        .await;
    assert_eq!(refusal(second).code, 503);
    let other: Api<ConfigMap> = Api::default_namespaced(server.client());
    other
        .create(&PostParams::default(), &config_map("c", json!({})))
        .await
        .unwrap();
    let names: Vec<String> = other
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(
        (names, seen.load(Ordering::Relaxed)),
        (vec!["a".to_owned(), "c".to_owned()], 2)
    );
}

#[tokio::test]
async fn faults_come_by_their_seed() {
    let outcomes = async || {
        let server = server();
        server.set_faults(Faults {
            seed: 3,
            errors: 0.5,
            ..Faults::default()
        });
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        let mut outcomes = Vec::new();
        for number in 0..20 {
            let name = format!("m{number}");
            let made = maps
                .create(&PostParams::default(), &config_map(&name, json!({})))
                .await;
            outcomes.push(made.is_ok());
        }
        outcomes
    };
    let first = outcomes().await;
    assert_eq!(first, outcomes().await);
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
}

struct Echo;

impl LogSource for Echo {
    fn open(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, Box<Status>>> {
        let text = format!(
            "{namespace} {pod} {container:?} {:?} {}",
            options.tail_lines, options.follow
        );
        let lines: LogStream = stream::iter([Ok(Bytes::from(text))]).boxed();
        std::future::ready(Ok(lines)).boxed()
    }
}

#[tokio::test]
async fn logs_come_from_the_source_that_is_registered() {
    let server = server();
    let pods: Api<Pod> = Api::default_namespaced(server.client());
    let params = LogParams {
        container: Some("c".to_owned()),
        tail_lines: Some(3),
        ..LogParams::default()
    };
    assert_eq!(refusal(pods.logs("p", &params).await).code, 501);
    server.set_log_source(Arc::new(Echo));
    assert_eq!(
        pods.logs("p", &params).await.unwrap(),
        "default p Some(\"c\") Some(3) false"
    );
}
