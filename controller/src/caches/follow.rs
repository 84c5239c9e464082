//! One watch: it fills a part of a [`Kept`], keeps it up to date, and outlives whatever happens to
//! the API server. A list that begins again replaces nothing before it has ended; then what it did
//! not name is gone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::kept::{Keep, Kept, Key};
use crate::patience::Patience;

/// Objects that one answer to a list brings: with more, reading a large cluster needs more memory at once.
const PAGE: u32 = 500;

/// A watch of one kind, or of a part of it.
pub(super) struct Follow<K, V: Keep> {
    /// What is read.
    pub(super) api: Api<K>,
    /// Which of it, by labels.
    pub(super) labels: Option<String>,
    /// Which of it, by fields.
    pub(super) fields: Option<String>,
    /// What is kept of it.
    pub(super) keep: fn(K) -> V,
    /// Where.
    pub(super) kept: Arc<Kept<V>>,
    /// Whether an object that is kept there is this watch's.
    pub(super) covers: Box<dyn Fn(&Key) -> bool + Send + Sync>,
}

// === impl Follow ===

impl<K, V> Follow<K, V>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Keep,
{
    /// Watches until `stop`; `synced` becomes true with the end of the first list.
    pub(super) async fn run(self, synced: watch::Sender<bool>, stop: CancellationToken) {
        let config = Config {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            page_size: Some(PAGE),
            ..Config::default()
        };
        // With jitter, so that a server that comes back is not met by all of its clients at once.
        let events = watcher(self.api.clone(), config).backoff(Patience::default());
        let mut events = pin!(events);
        let mut listed = BTreeSet::new();
        let mut broken = false;
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event {
                Ok(event) => {
                    broken = false;
                    self.saw(event, &mut listed, &synced);
                }
                Err(error) => {
                    Self::tell(&error, broken);
                    broken = true;
                }
            }
        }
    }

    fn saw(&self, event: Event<K>, listed: &mut BTreeSet<Key>, synced: &watch::Sender<bool>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(Key::of(object.meta()));
                self.kept.put((self.keep)(object));
            }
            Event::InitDone => {
                let listed = std::mem::take(listed);
                self.kept
                    .remove_where(|key| (self.covers)(key) && !listed.contains(key));
                synced.send_replace(true);
            }
            Event::Apply(object) => self.kept.put((self.keep)(object)),
            Event::Delete(object) => self.kept.remove(&Key::of(object.meta())),
        }
    }

    /// The first error of an outage is for people; those after it say the same.
    fn tell(error: &watcher::Error, again: bool) {
        let kind = K::plural(&K::DynamicType::default()).into_owned();
        if again {
            tracing::debug!(kind, %error, "a watch is still broken");
        } else {
            tracing::warn!(kind, %error, "a watch broke; it is started again");
        }
    }
}
