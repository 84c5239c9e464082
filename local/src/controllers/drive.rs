//! What calls a controller. Watches put names into a queue, and objects are looked at in the order
//! in which they came there, some at the same time, none twice at the same time. Nothing of it
//! depends on chance: under virtual time the same happenings bring the same looks in the same order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{Context, ReconcileError};

/// How long to wait before another look after an error.
const RETRY: Duration = Duration::from_millis(500);
/// How many objects are looked at at the same time.
const AT_ONCE: usize = 16;

/// Namespace and name.
pub(super) type Key = (String, String);

/// What a look comes to: how long until the next one, though nothing changes.
pub(super) type Looked = Result<Option<Duration>, ReconcileError>;

/// The objects of a controller's own kind, as its watch has shown them.
pub(super) struct Known<K>(Arc<Mutex<BTreeMap<Key, Arc<K>>>>);

/// A controller before it runs: what it acts on, and what else wakes it.
pub(super) struct Controller<K> {
    known: Known<K>,
    sources: SelectAll<BoxStream<'static, Vec<Key>>>,
}

/// Which object is to be looked at when.
#[derive(Default)]
struct Queue {
    due: BTreeMap<Key, (Timestamp, u64)>,
    order: BTreeMap<(Timestamp, u64), Key>,
    /// Those that are being looked at.
    busy: BTreeSet<Key>,
    /// Those of them that something happened to meanwhile.
    again: BTreeSet<Key>,
    /// Numbers those that come at the same time.
    count: u64,
}

/// A kind that can be watched.
pub(super) trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// The key of an object.
pub(super) fn key_of<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Everything that a watch shows, until the end of time.
fn watch<K: Watched>(api: Api<K>) -> impl futures::Stream<Item = Event<K>> + Send + 'static {
    let events = watcher(api, watcher::Config::default()).default_backoff();
    events.filter_map(|event| async move {
        event
            .inspect_err(|error| tracing::warn!(%error, "a watch broke: starting it again"))
            .ok()
    })
}

/// The keys of an object's owners that are of the kind.
fn owners<K: Watched>(object: &impl Resource) -> Vec<Key> {
    let (kind, version) = (K::kind(&()), K::api_version(&()));
    let namespace = object.namespace().unwrap_or_default();
    let owners = object.owner_references().iter();
    owners
        .filter(|owner| owner.kind == kind && owner.api_version == version)
        .map(|owner| (namespace.clone(), owner.name.clone()))
        .collect()
}

// === impl Known ===

impl<K> Clone for Known<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Watched> Known<K> {
    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.map().values().cloned().collect()
    }

    fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.map().get(key).cloned()
    }

    /// Keeps what the watch shows; what is to be looked at after that.
    fn saw(&self, event: Event<K>, listed: &mut BTreeSet<Key>) -> Vec<Key> {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                let key = key_of(&object);
                listed.insert(key.clone());
                self.map().insert(key.clone(), Arc::new(object));
                return vec![key];
            }
            Event::InitDone => self.map().retain(|key, _| listed.contains(key)),
            Event::Apply(object) => {
                let key = key_of(&object);
                self.map().insert(key.clone(), Arc::new(object));
                return vec![key];
            }
            Event::Delete(object) => {
                self.map().remove(&key_of(&object));
            }
        }
        Vec::new()
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Controller ===

impl<K: Watched> Controller<K> {
    /// A controller of these objects.
    pub(super) fn new(api: Api<K>) -> Self {
        let known = Known(Arc::default());
        let mut sources = SelectAll::new();
        let (mine, mut listed) = (known.clone(), BTreeSet::new());
        sources.push(
            watch(api)
                .map(move |event| mine.saw(event, &mut listed))
                .boxed(),
        );
        Self { known, sources }
    }

    /// The objects that it acts on.
    pub(super) fn known(&self) -> Known<K> {
        self.known.clone()
    }

    /// A change of one of these concerns its owners.
    pub(super) fn owns<O: Watched>(self, api: Api<O>) -> Self {
        self.watches(api, |object| owners::<K>(object))
    }

    /// A change of one of these concerns those that `concerned` names.
    pub(super) fn watches<O: Watched>(
        mut self,
        api: Api<O>,
        concerned: impl Fn(&O) -> Vec<Key> + Send + 'static,
    ) -> Self {
        let changes = watch(api).map(move |event| match event {
            Event::InitApply(object) | Event::Apply(object) | Event::Delete(object) => {
                concerned(&object)
            }
            Event::Init | Event::InitDone => Vec::new(),
        });
        self.sources.push(changes.boxed());
        self
    }

    /// Looks at what changes until `stop`; looks that are under way come to their end.
    pub(super) async fn run<F>(
        self,
        look: impl Fn(Arc<K>, Arc<Context>) -> F,
        context: Arc<Context>,
        stop: CancellationToken,
    ) where
        F: Future<Output = Looked>,
    {
        let Self { known, mut sources } = self;
        let (mut queue, mut looks) = (Queue::default(), FuturesUnordered::new());
        let one = async |key: Key| {
            let Some(object) = known.get(&key) else {
                return (key, None);
            };
            let looked = look(Arc::clone(&object), Arc::clone(&context)).await;
            let again = looked.unwrap_or_else(|error| Some(after(&*object, &error)));
            (key, again)
        };
        while !stop.is_cancelled() {
            let now = context.clock.now();
            if looks.len() < AT_ONCE
                && let Some(key) = queue.take(now)
            {
                looks.push(one(key));
                continue;
            }
            let wait = queue.wait(now);
            tokio::select! {
                biased; // Looks make room for others; the rest in any order that is always the same.
                Some((key, again)) = looks.next() => queue.done(key, again, context.clock.now()),
                Some(keys) = sources.next() => for key in keys {
                    queue.add(key, context.clock.now());
                },
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        while looks.next().await.is_some() {}
    }
}

/// What to do about an error: a conflict is nothing but news, so look again without ado.
fn after<K: Watched>(object: &K, error: &ReconcileError) -> Duration {
    let (namespace, name) = key_of(object);
    let kind = K::kind(&());
    if error.is_conflict() {
        tracing::debug!(%kind, namespace, name, "somebody was faster: looking again");
    } else {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(%kind, namespace, name, %error, source, "cannot act: trying again");
    }
    RETRY
}

// === impl Queue ===

impl Queue {
    /// It is to be looked at then, or before.
    fn add(&mut self, key: Key, at: Timestamp) {
        if self.busy.contains(&key) {
            self.again.insert(key);
            return;
        }
        if let Some(due) = self.due.get(&key).copied() {
            if due.0 <= at {
                return;
            }
            self.order.remove(&due);
        }
        self.count += 1;
        self.due.insert(key.clone(), (at, self.count));
        self.order.insert((at, self.count), key);
    }

    /// The one that has been due for longest.
    fn take(&mut self, now: Timestamp) -> Option<Key> {
        let first = self.order.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let key = first.remove();
        self.due.remove(&key);
        self.busy.insert(key.clone());
        Some(key)
    }

    /// A look is over.
    fn done(&mut self, key: Key, again: Option<Duration>, now: Timestamp) {
        self.busy.remove(&key);
        if self.again.remove(&key) {
            return self.add(key, now);
        }
        let Some(wait) = again else { return };
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        self.add(key, now.saturating_add(wait).unwrap_or(Timestamp::MAX));
    }

    /// How long until one is due that is not yet.
    fn wait(&self, now: Timestamp) -> Duration {
        let due = self.order.keys().map(|(at, _)| *at).find(|at| *at > now);
        due.and_then(|at| Duration::try_from(at.duration_since(now)).ok())
            .unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("n".to_owned(), name.to_owned())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn objects_are_looked_at_in_the_order_in_which_they_are_due() {
        let mut queue = Queue::default();
        queue.add(key("b"), at(1));
        queue.add(key("a"), at(1));
        queue.add(key("c"), at(0));
        queue.add(key("b"), at(5));
        assert_eq!(queue.take(at(0)), Some(key("c")));
        assert_eq!(queue.take(at(0)), None);
        assert_eq!(queue.wait(at(0)), Duration::from_secs(1));
        let taken = [queue.take(at(1)), queue.take(at(1)), queue.take(at(1))];
        assert_eq!(taken, [Some(key("b")), Some(key("a")), None]);
    }

    #[test]
    fn what_happens_during_a_look_brings_another_one() {
        let mut queue = Queue::default();
        queue.add(key("a"), at(0));
        assert_eq!(queue.take(at(0)), Some(key("a")));
        queue.add(key("a"), at(0));
        assert_eq!(queue.take(at(9)), None);
        queue.done(key("a"), Some(Duration::from_mins(1)), at(1));
        assert_eq!(queue.take(at(1)), Some(key("a")));
        queue.done(key("a"), Some(Duration::from_secs(3)), at(2));
        assert_eq!(
            (queue.take(at(4)), queue.take(at(5))),
            (None, Some(key("a")))
        );
        queue.done(key("a"), None, at(5));
        assert_eq!(
            (queue.take(at(99)), queue.wait(at(99))),
            (None, Duration::MAX)
        );
    }
}
