//! Watches every write, in all namespaces, and tells each to the course that it belongs to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{ListParams, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, WatchEvent};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::course::{Course, Happening};
use super::symbols::Symbols;

/// How long one watch lasts; the next one goes on where it ended.
const WATCH: Duration = Duration::from_secs(280);
/// How long until a broken watch is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Every course that happens in a cluster.
#[derive(Debug, Default)]
pub struct Recorder {
    /// By namespace. Guards in-memory work only.
    courses: Mutex<BTreeMap<String, Followed>>,
}

#[derive(Debug)]
struct Followed {
    happening: Happening,
    news: watch::Sender<u64>,
}

/// What is watched: group, version, kind and plural.
const WATCHED: &[(&str, &str, &str, &str)] = &[
    ("argoproj.io", "v1alpha1", "Rollout", "rollouts"),
    ("argoproj.io", "v1alpha1", "AnalysisRun", "analysisruns"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("apps", "v1", "Deployment", "deployments"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Event", "events"),
];

/// What a kind is called in the API.
///
/// # Panics
///
/// When it is none that scenarios use.
pub fn resource(kind: &str) -> ApiResource {
    let more = [
        (
            "argoproj.io",
            "v1alpha1",
            "AnalysisTemplate",
            "analysistemplates",
        ),
        (
            "argoproj.io",
            "v1alpha1",
            "ClusterAnalysisTemplate",
            "clusteranalysistemplates",
        ),
        ("", "v1", "PodTemplate", "podtemplates"),
        ("", "v1", "Secret", "secrets"),
        ("", "v1", "ConfigMap", "configmaps"),
        ("batch", "v1", "Job", "jobs"),
    ];
    let known = WATCHED.iter().chain(&more).find(|known| known.2 == kind);
    let (group, version, kind, plural) =
        known.unwrap_or_else(|| panic!("a scenario uses the kind {kind}"));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

// === impl Recorder ===

impl Recorder {
    /// Begins to watch; everything from now on is heard of. The watches end with `tasks`.
    ///
    /// # Panics
    ///
    /// When the cluster cannot be read.
    pub async fn start(client: &Client, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        for known in WATCHED {
            let resource = resource(known.2);
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let list = api.list(&ListParams::default().limit(1)).await;
            let version = list.expect("a list").metadata.resource_version;
            let version = version.expect("a version");
            tasks.spawn(recorder.clone().follow(api, known.2, version));
        }
        recorder
    }

    async fn follow(self: Arc<Self>, api: Api<DynamicObject>, kind: &'static str, from: String) {
        let mut version = from;
        let seconds = u32::try_from(WATCH.as_secs()).expect("less than an hour");
        loop {
            let params = WatchParams::default().timeout(seconds);
            let Ok(events) = api.watch(&params, &version).await else {
                tokio::time::sleep(RETRY).await;
                continue;
            };
            let mut events = events.boxed();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => self.tell(kind, event, &mut version),
                    Err(error) => {
                        tracing::warn!(kind, %error, "a watch broke");
                        break;
                    }
                }
            }
        }
    }

    fn tell(&self, kind: &str, event: WatchEvent<DynamicObject>, version: &mut String) {
        let (object, deleted) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                return;
            }
            WatchEvent::Error(error) => {
                tracing::warn!(kind, %error, "a watch ended");
                return;
            }
        };
        if let Some(now) = &object.metadata.resource_version {
            *version = now.clone();
        }
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let object = serde_json::to_value(object).expect("an object is JSON");
        self.happened(&namespace, kind, &object, deleted);
    }

    fn happened(&self, namespace: &str, kind: &str, object: &Value, deleted: bool) {
        let mut courses = self.courses();
        let Some(followed) = courses.get_mut(namespace) else {
            return;
        };
        if deleted {
            followed.happening.deleted(kind, object);
        } else {
            followed.happening.written(kind, object);
        }
        followed.news.send_modify(|count| *count += 1);
    }

    /// Listens to a namespace from now on.
    pub fn listen(&self, namespace: &str, symbols: Symbols) -> watch::Receiver<u64> {
        let news = watch::Sender::new(0);
        let receiver = news.subscribe();
        let happening = Happening::new(symbols);
        self.courses()
            .insert(namespace.to_owned(), Followed { happening, news });
        receiver
    }

    /// Looks at what has happened in a namespace so far.
    ///
    /// # Panics
    ///
    /// When nobody listens to it.
    pub fn look<T>(&self, namespace: &str, look: impl FnOnce(&Happening) -> T) -> T {
        let courses = self.courses();
        look(&courses.get(namespace).expect("listened to").happening)
    }

    /// These are a namespace's events, not those that were seen.
    pub fn replace_events(&self, namespace: &str, events: &[Value]) {
        if let Some(followed) = self.courses().get_mut(namespace) {
            followed.happening.replace_events(events);
        }
    }

    /// What happened in a namespace; listens no longer.
    pub fn finish(&self, namespace: &str) -> Course {
        let followed = self.courses().remove(namespace);
        followed.map_or_else(Course::default, |followed| followed.happening.course())
    }

    fn courses(&self) -> MutexGuard<'_, BTreeMap<String, Followed>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
