//! The objects of one kind that were seen, by name and by what they are looked up by; whoever
//! listens is told of each change, with what there was before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Names an object within its kind. The namespace is empty where the kind has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// What is kept of a kind.
pub trait Keep: Send + Sync + 'static {
    /// What it is looked up by, beside its name.
    type Index: Clone + Ord + Send + Sync + 'static;

    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// What it is found by; the same on each call.
    fn indexed(&self) -> Vec<Self::Index>;
}

/// A change of one object.
#[derive(Debug)]
pub struct Change<'a, V> {
    /// Its name.
    pub key: &'a Key,
    /// What it was; `None` where it is new.
    pub old: Option<&'a Arc<V>>,
    /// What it is; `None` where it is gone.
    pub new: Option<&'a Arc<V>>,
}

type Listener<V> = Box<dyn Fn(&Change<'_, V>) + Send + Sync>;

/// The objects of one kind.
pub struct Kept<V: Keep> {
    /// Held for lookups and for one change at a time; never across an await.
    state: RwLock<State<V>>,
    /// Told outside the lock of the state, in the order of the changes.
    listeners: RwLock<Vec<Listener<V>>>,
}

struct State<V: Keep> {
    objects: BTreeMap<String, BTreeMap<String, Arc<V>>>,
    index: BTreeMap<V::Index, BTreeSet<Key>>,
    count: usize,
}

// === impl Key ===

impl Key {
    /// The name of that object.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

// === impl Change ===

impl<V> Change<'_, V> {
    /// What it was and what it is, as far as there is either.
    pub fn versions(&self) -> impl Iterator<Item = &V> {
        self.old.into_iter().chain(self.new).map(AsRef::as_ref)
    }
}

// === impl Kept ===

impl<V: Keep> Default for Kept<V> {
    fn default() -> Self {
        Self {
            state: RwLock::new(State {
                objects: BTreeMap::new(),
                index: BTreeMap::new(),
                count: 0,
            }),
            listeners: RwLock::default(),
        }
    }
}

impl<V: Keep> std::fmt::Debug for Kept<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("count", &self.len()).finish()
    }
}

impl<V: Keep> Kept<V> {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<V>> {
        self.state().objects.get(namespace)?.get(name).cloned()
    }

    /// Those that are found by that, in the order of their names.
    pub fn by(&self, index: &V::Index) -> Vec<Arc<V>> {
        let state = self.state();
        let keys = state.index.get(index).into_iter().flatten();
        keys.filter_map(|key| state.get(key).cloned()).collect()
    }

    /// The names of those that are found by that.
    pub fn keys_by(&self, index: &V::Index) -> Vec<Key> {
        let state = self.state();
        state
            .index
            .get(index)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Whether anything is found by that.
    pub fn has(&self, index: &V::Index) -> bool {
        self.state().index.contains_key(index)
    }

    /// What objects are found by, from `from` on, while `wanted`.
    pub fn indexes(&self, from: &V::Index, wanted: impl Fn(&V::Index) -> bool) -> Vec<V::Index> {
        let state = self.state();
        let after = state.index.range(from..).map(|(index, _)| index);
        after.take_while(|index| wanted(index)).cloned().collect()
    }

    /// Those of a namespace whose names begin with `prefix`.
    pub fn named(&self, namespace: &str, prefix: &str) -> Vec<Arc<V>> {
        let state = self.state();
        let Some(here) = state.objects.get(namespace) else {
            return Vec::new();
        };
        let after = here.range::<str, _>((
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        ));
        after
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<V>> {
        let state = self.state();
        let objects = state.objects.values().flat_map(BTreeMap::values);
        objects.cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.state().count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From now on `listener` is told of each change; it must not wait.
    pub fn listen(&self, listener: impl Fn(&Change<'_, V>) + Send + Sync + 'static) {
        let mut listeners = self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(Box::new(listener));
    }

    /// Puts an object in, unless it is the version that is there already.
    pub(crate) fn put(&self, object: V) {
        let (key, object) = (Key::of(object.meta()), Arc::new(object));
        let old = {
            let mut state = self.state_mut();
            let old = state.get(&key).cloned();
            if old
                .as_ref()
                .is_some_and(|old| is_same(old.meta(), object.meta()))
            {
                return;
            }
            state.replace(&key, Some(object.clone()));
            old
        };
        self.tell(&key, old.as_ref(), Some(&object));
    }

    /// Takes an object out.
    pub(crate) fn remove(&self, key: &Key) {
        let old = self.state_mut().replace(key, None);
        if old.is_some() {
            self.tell(key, old.as_ref(), None);
        }
    }

    /// Takes out what `is_gone` says, by name.
    pub(super) fn remove_where(&self, is_gone: impl Fn(&Key) -> bool) {
        let gone: Vec<Key> = {
            let state = self.state();
            let keys = state.objects.values().flat_map(BTreeMap::values);
            keys.map(|object| Key::of(object.meta()))
                .filter(is_gone)
                .collect()
        };
        for key in &gone {
            self.remove(key);
        }
    }

    fn tell(&self, key: &Key, old: Option<&Arc<V>>, new: Option<&Arc<V>>) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let change = Change { key, old, new };
        listeners.iter().for_each(|listener| listener(&change));
    }

    fn state(&self) -> RwLockReadGuard<'_, State<V>> {
        // No operation leaves the maps half changed.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State<V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    new.resource_version.is_some()
        && old.resource_version == new.resource_version
        && old.uid == new.uid
}

// === impl State ===

impl<V: Keep> State<V> {
    fn get(&self, key: &Key) -> Option<&Arc<V>> {
        self.objects.get(&key.namespace)?.get(&key.name)
    }

    /// What was there.
    fn replace(&mut self, key: &Key, new: Option<Arc<V>>) -> Option<Arc<V>> {
        let after = new.as_ref().map(|new| new.indexed()).unwrap_or_default();
        let old = match new {
            Some(new) => {
                let here = self.objects.entry(key.namespace.clone()).or_default();
                here.insert(key.name.clone(), new)
            }
            None => self.take(key),
        };
        let before = old.as_ref().map(|old| old.indexed()).unwrap_or_default();
        self.count = self.count + usize::from(old.is_none()) - usize::from(self.get(key).is_none());
        for index in before.iter().filter(|index| !after.contains(index)) {
            if let Some(keys) = self.index.get_mut(index) {
                keys.remove(key);
                if keys.is_empty() {
                    self.index.remove(index);
                }
            }
        }
        for index in after.into_iter().filter(|index| !before.contains(index)) {
            self.index.entry(index).or_default().insert(key.clone());
        }
        old
    }

    fn take(&mut self, key: &Key) -> Option<Arc<V>> {
        let here = self.objects.get_mut(&key.namespace)?;
        let old = here.remove(&key.name);
        if here.is_empty() {
            self.objects.remove(&key.namespace);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Something with an owner.
    struct Thing(ObjectMeta, &'static str);

    impl Keep for Thing {
        type Index = &'static str;

        fn meta(&self) -> &ObjectMeta {
            &self.0
        }

        fn indexed(&self) -> Vec<&'static str> {
            vec![self.1]
        }
    }

    fn thing(name: &str, version: &str, owner: &'static str) -> Thing {
        let meta = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("a".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        Thing(meta, owner)
    }

    fn names(found: &[Arc<Thing>]) -> Vec<&str> {
        found
            .iter()
            .map(|thing| thing.0.name.as_deref().unwrap_or_default())
            .collect()
    }

    #[test]
    fn objects_are_found_by_what_they_are_now_and_by_nothing_else() {
        let kept = Kept::default();
        for (name, owner) in [("x-1", "one"), ("x-2", "two"), ("y-1", "one")] {
            kept.put(thing(name, "1", owner));
        }
        assert_eq!(names(&kept.by(&"one")), ["x-1", "y-1"]);
        assert_eq!(names(&kept.named("a", "x-")), ["x-1", "x-2"]);
        assert_eq!(kept.indexes(&"one", |_| true), ["one", "two"]);
        kept.put(thing("x-1", "2", "two"));
        assert_eq!(names(&kept.by(&"one")), ["y-1"]);
        assert_eq!(kept.len(), 3);
        kept.remove_where(|key| key.name.starts_with('x'));
        assert!(!kept.has(&"two"));
        assert_eq!(kept.len(), 1);
        kept.remove(&Key {
            namespace: "a".to_owned(),
            name: "y-1".to_owned(),
        });
        assert!(kept.is_empty() && kept.all().is_empty());
    }

    #[test]
    fn a_listener_is_told_of_each_change_once_with_what_there_was_before() {
        let kept = Kept::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let version =
            |thing: Option<&Arc<Thing>>| thing.and_then(|it| it.0.resource_version.clone());
        kept.listen(move |change| {
            let both = (version(change.old), version(change.new));
            heard.lock().expect("not poisoned").push(both);
        });
        kept.put(thing("x", "1", "one"));
        kept.put(thing("x", "1", "one"));
        kept.put(thing("x", "2", "one"));
        let key = Key {
            namespace: "a".to_owned(),
            name: "x".to_owned(),
        };
        kept.remove(&key);
        kept.remove(&key);
        let at = |version: &str| Some(version.to_owned());
        let expected = [(None, at("1")), (at("1"), at("2")), (at("2"), None)];
        assert_eq!(told.lock().expect("not poisoned")[..], expected);
    }
}
