//! The store: every object, the number of the last change, the changes that watchers may still ask
//! for, and the watchers themselves. One lock guards all of it, and it is never held across an
//! await: that is what makes the order of changes the same for everybody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use super::belongings::Belongings;
use super::crd;
use super::journal::{Entry, Journal};
use super::kinds::{Kind, Kinds};
use super::object::{metadata_mut, name, namespace};
use super::refuse::{self, Refusal};
use super::select::Selector;

/// Changes that a watcher may lag behind before it is closed; it then starts again from where it
/// was, as long as the history reaches back.
const WATCHER_QUEUE: usize = 1024;

/// Namespace (empty for cluster-scoped kinds) and name.
pub(super) type Key = (String, String);

/// Everything behind the lock.
pub(super) struct State {
    pub(super) kinds: Kinds,
    pub(super) random: fastrand::Rng,
    objects: HashMap<Arc<str>, BTreeMap<Key, Arc<Value>>>,
    revision: u64,
    /// History holds every change after this one.
    oldest: u64,
    history: VecDeque<Arc<Change>>,
    history_limit: usize,
    watchers: Vec<Watcher>,
    journal: Option<Journal>,
    /// Who owns what, and what the collector is to look at.
    pub(super) belongings: Belongings,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Added,
    Modified,
    Deleted,
}

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    place: Arc<str>,
    action: Action,
    object: Arc<Value>,
    previous: Option<Arc<Value>>,
}

/// What a watcher wants to hear of.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    pub(super) place: Arc<str>,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
}

struct Watcher {
    interest: Interest,
    queue: mpsc::Sender<Arc<Change>>,
}

impl Interest {
    pub(super) fn wants(&self, object: &Value) -> bool {
        self.namespace
            .as_deref()
            .is_none_or(|wanted| wanted == namespace(object))
            && self.selector.matches(object)
    }

    /// How a change looks through this window: an object that begins to match is added, one that
    /// stops to match is deleted.
    pub(super) fn view(&self, change: &Change) -> Option<(Action, Arc<Value>)> {
        if change.place != self.place {
            return None;
        }
        let before = change.previous.as_ref().filter(|object| self.wants(object));
        let after = Some(&change.object)
            .filter(|object| change.action != Action::Deleted && self.wants(object));
        match (before, after) {
            (None, Some(object)) => Some((Action::Added, object.clone())),
            (Some(_), Some(object)) => Some((Action::Modified, object.clone())),
            (Some(_), None) if change.action == Action::Deleted => {
                Some((Action::Deleted, change.object.clone()))
            }
            (Some(object), None) => {
                let mut gone = Value::clone(object);
                stamp_revision(&mut gone, change.revision);
                Some((Action::Deleted, Arc::new(gone)))
            }
            (None, None) => None,
        }
    }
}

impl State {
    pub(super) fn new(history_limit: usize, random: fastrand::Rng) -> Self {
        Self {
            kinds: Kinds::built_in(),
            random,
            objects: HashMap::new(),
            revision: 0,
            oldest: 0,
            history: VecDeque::new(),
            history_limit,
            watchers: Vec::new(),
            journal: None,
            belongings: Belongings::default(),
        }
    }

    /// The same objects and kinds, for a server of its own.
    pub(super) fn fork(&self, random: fastrand::Rng) -> Self {
        Self {
            kinds: self.kinds.clone(),
            random,
            objects: self.objects.clone(),
            revision: self.revision,
            oldest: self.revision,
            history: VecDeque::new(),
            history_limit: self.history_limit,
            watchers: Vec::new(),
            journal: None,
            belongings: self.belongings.clone(),
        }
    }

    /// Takes over what a journal kept and keeps everything in it from now on.
    pub(super) fn restore(&mut self, entries: Vec<Entry>, revision: u64, journal: Journal) {
        for Entry {
            place, key, object, ..
        } in entries
        {
            let objects = self.objects.entry(Arc::from(place)).or_default();
            match object {
                Some(object) => objects.insert(key, Arc::new(object)),
                None => objects.remove(&key),
            };
        }
        for (place, objects) in &self.objects {
            for object in objects.values() {
                self.belongings.put(place, None, object);
            }
        }
        self.revision = revision;
        self.oldest = revision;
        self.journal = Some(journal);
        let crds: Vec<Arc<Value>> = self.all("customresourcedefinitions.apiextensions.k8s.io");
        for crd in crds {
            self.learn(&crd);
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(super) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects
            .get(&kind.place)?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn find(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<Value>, Refusal> {
        self.get(kind, namespace, name)
            .cloned()
            .ok_or_else(|| refuse::not_found(kind, name))
    }

    /// The objects of a place, in the order of namespace and name.
    pub(super) fn all(&self, place: &str) -> Vec<Arc<Value>> {
        self.objects
            .get(place)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Is there nothing at all in a namespace?
    pub(super) fn is_empty_namespace(&self, namespace: &str) -> bool {
        let first = (namespace.to_owned(), String::new());
        self.objects.values().all(|objects| {
            let next = objects.range(first.clone()..).next();
            next.is_none_or(|((of, _), _)| of != namespace)
        })
    }

    /// The places of all objects in a namespace.
    pub(super) fn contents(&self, namespace: &str) -> Vec<(Arc<str>, Key)> {
        let first = (namespace.to_owned(), String::new());
        let of_place = |(place, objects): (&Arc<str>, &BTreeMap<Key, Arc<Value>>)| {
            let here = objects.range(first.clone()..).map(|(key, _)| key);
            let here = here.take_while(|(of, _)| of == namespace);
            here.map(|key| (place.clone(), key.clone()))
                .collect::<Vec<_>>()
        };
        self.objects.iter().flat_map(of_place).collect()
    }

    /// What stands at a place, if anything does.
    pub(super) fn at(&self, place: &str, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(place)?.get(key)
    }

    /// The objects of a place in one namespace, in the order of their names.
    pub(super) fn in_namespace(&self, place: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(objects) = self.objects.get(place) else {
            return Vec::new();
        };
        let first = (namespace.to_owned(), String::new());
        objects
            .range(first..)
            .take_while(|((of, _), _)| of == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Stores an object, new or changed, under the next revision.
    pub(super) fn put(&mut self, kind: &Kind, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let key = (namespace(&object).to_owned(), name(&object).to_owned());
        let revision = self.revision + 1;
        stamp_revision(&mut object, revision);
        let object = Arc::new(object);
        self.keep(kind, &key, Some(&object), revision)?;
        let objects = self.objects.entry(kind.place.clone()).or_default();
        let previous = objects.insert(key, object.clone());
        self.belongings
            .put(&kind.place, previous.as_deref(), &object);
        let action = if previous.is_some() {
            Action::Modified
        } else {
            Action::Added
        };
        if kind.is_crd() {
            self.learn(&object);
        }
        self.tell(Change {
            revision,
            place: kind.place.clone(),
            action,
            object: object.clone(),
            previous,
        });
        Ok(object)
    }

    /// Takes an object away. The last sight of it carries the revision of its end.
    pub(super) fn remove(&mut self, kind: &Kind, object: &Value) -> Result<Arc<Value>, Refusal> {
        let key = (namespace(object).to_owned(), name(object).to_owned());
        let revision = self.revision + 1;
        self.keep(kind, &key, None, revision)?;
        let previous = self
            .objects
            .get_mut(&kind.place)
            .and_then(|objects| objects.remove(&key));
        let mut gone = object.clone();
        stamp_revision(&mut gone, revision);
        let gone = Arc::new(gone);
        self.belongings
            .remove(&kind.place, previous.as_deref().unwrap_or(&gone));
        if kind.is_crd() {
            self.kinds.forget(name(object));
        }
        self.tell(Change {
            revision,
            place: kind.place.clone(),
            action: Action::Deleted,
            object: gone.clone(),
            previous,
        });
        Ok(gone)
    }

    fn keep(
        &mut self,
        kind: &Kind,
        key: &Key,
        object: Option<&Arc<Value>>,
        revision: u64,
    ) -> Result<(), Refusal> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let mut kept = Ok(());
        if journal.wants_compaction() {
            let objects = self.objects.iter().flat_map(|(place, objects)| {
                objects
                    .iter()
                    .map(move |(key, object)| (place, key, object))
            });
            kept = journal.compact(self.revision, objects);
        }
        kept.and_then(|()| journal.append(revision, &kind.place, key, object.map(Arc::as_ref)))
            .map_err(|error| {
                tracing::error!(%error, "a change was refused because it cannot be kept");
                refuse::internal(&error.to_string())
            })
    }

    /// A stored definition takes effect: its kinds are served from this moment on.
    fn learn(&mut self, definition: &Value) {
        let crd = self
            .kinds
            .find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let Some(crd) = crd.cloned() else { return };
        match crd::kinds_of(&crd, definition) {
            Ok(kinds) if !crd::is_taken(definition, &self.kinds) => {
                self.kinds.define(name(definition), kinds);
                // An owner of a kind that nobody knew is now known to be gone, or not.
                self.belongings.suspect_all();
            }
            Ok(_) => {}
            Err(status) => {
                tracing::error!(name = name(definition), %status, "a definition is not served");
            }
        }
    }

    fn tell(&mut self, change: Change) {
        self.revision = change.revision;
        let change = Arc::new(change);
        self.watchers.retain(|watcher| {
            let wanted = watcher.interest.view(&change).is_some();
            !watcher.queue.is_closed()
                && (!wanted || watcher.queue.try_send(change.clone()).is_ok())
        });
        self.history.push_back(change);
        while self.history.len() > self.history_limit {
            self.oldest = self
                .history
                .pop_front()
                .map_or(self.oldest, |gone| gone.revision);
        }
    }

    /// Begins a watch after a revision: the changes since, and a queue for those to come.
    pub(super) fn subscribe(
        &mut self,
        interest: Interest,
        after: u64,
    ) -> (VecDeque<Arc<Change>>, mpsc::Receiver<Arc<Change>>) {
        let missed = self
            .history
            .iter()
            .filter(|change| change.revision > after && interest.view(change).is_some())
            .cloned()
            .collect();
        let (queue, changes) = mpsc::channel(WATCHER_QUEUE);
        self.watchers.push(Watcher { interest, queue });
        (missed, changes)
    }

    /// Closes every watch, as a server that restarts does.
    pub(super) fn drop_watches(&mut self) {
        self.watchers.clear();
    }
}

fn stamp_revision(object: &mut Value, revision: u64) {
    metadata_mut(object).insert(
        "resourceVersion".to_owned(),
        Value::String(revision.to_string()),
    );
}
