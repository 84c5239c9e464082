//! Who owns what, by uid, and the objects that the collector is to look at because something has
//! changed that may concern them. Kept with every write, so that collecting costs what there is to
//! collect and not what there is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::object::{finalizers, is_deleting, list, name, namespace, text, uid};
use super::store::Key;

/// Where an object is kept.
pub(super) type Spot = (Arc<str>, Key);

/// The index.
#[derive(Clone, Debug, Default)]
pub(super) struct Belongings {
    /// Where the object with a uid is.
    spots: HashMap<String, Spot>,
    /// What names the object with a uid as its owner.
    owned: BTreeMap<String, BTreeSet<Spot>>,
    suspects: VecDeque<Spot>,
    known: HashSet<Spot>,
}

impl Belongings {
    /// An object was stored.
    pub(super) fn put(&mut self, place: &Arc<str>, previous: Option<&Value>, object: &Value) {
        let spot = (place.clone(), key(object));
        let owners = list(object, "/metadata/ownerReferences");
        let before = previous.map(|previous| list(previous, "/metadata/ownerReferences"));
        if before != Some(owners) {
            self.disown(&spot, before.unwrap_or_default());
            for owner in owners {
                let owned = self.owned.entry(text(owner, "/uid").to_owned());
                owned.or_default().insert(spot.clone());
            }
            if !owners.is_empty() {
                self.suspect(spot.clone());
            }
        }
        if previous.map(uid) != Some(uid(object)) {
            self.spots.insert(uid(object).to_owned(), spot.clone());
        }
        if !is_deleting(object) {
            return;
        }
        let held = |object: &Value| finalizers(object).map(str::to_owned).collect::<Vec<_>>();
        let begins = previous
            .is_none_or(|previous| !is_deleting(previous) || held(previous) != held(object));
        if begins {
            self.suspect(spot);
            self.suspect_owned(uid(object));
        }
    }

    /// An object was taken away.
    pub(super) fn remove(&mut self, place: &Arc<str>, object: &Value) {
        let spot = (place.clone(), key(object));
        let owners = list(object, "/metadata/ownerReferences");
        self.disown(&spot, owners);
        self.spots.remove(uid(object));
        self.suspect_owned(uid(object));
        // An owner may have waited for this one.
        for owner in owners {
            if let Some(spot) = self.spots.get(text(owner, "/uid")) {
                self.suspect(spot.clone());
            }
        }
        let namespace = namespace(object);
        if !namespace.is_empty() {
            let key = (String::new(), namespace.to_owned());
            self.suspect((Arc::from("namespaces"), key));
        }
    }

    fn disown(&mut self, spot: &Spot, owners: &[Value]) {
        for owner in owners {
            let owner = text(owner, "/uid");
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(spot);
                if owned.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
    }

    pub(super) fn suspect(&mut self, spot: Spot) {
        if self.known.insert(spot.clone()) {
            self.suspects.push_back(spot);
        }
    }

    fn suspect_owned(&mut self, owner: &str) {
        let owned = self.owned.get(owner).into_iter().flatten();
        for spot in owned.cloned().collect::<Vec<_>>() {
            self.suspect(spot);
        }
    }

    /// Everything that has an owner is to be looked at.
    pub(super) fn suspect_all(&mut self) {
        let owned: Vec<Spot> = self.owned.values().flatten().cloned().collect();
        for spot in owned {
            self.suspect(spot);
        }
    }

    /// Is there anything to look at?
    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// The next to look at.
    pub(super) fn next(&mut self) -> Option<Spot> {
        let spot = self.suspects.pop_front()?;
        self.known.remove(&spot);
        Some(spot)
    }

    /// Where the object with a uid is, if it is.
    pub(super) fn spot_of(&self, uid: &str) -> Option<&Spot> {
        self.spots.get(uid)
    }

    /// Where the objects are that name one as their owner.
    pub(super) fn owned_by(&self, uid: &str) -> Vec<Spot> {
        self.owned.get(uid).into_iter().flatten().cloned().collect()
    }
}

fn key(object: &Value) -> Key {
    (namespace(object).to_owned(), name(object).to_owned())
}
