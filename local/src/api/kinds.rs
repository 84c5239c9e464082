//! The kinds that the server knows: a table of built-in ones, and whatever the stored
//! CustomResourceDefinitions define. Looked up by what a path says: group, version, plural.

use std::sync::Arc;

use serde_json::Value;

use super::crd::Custom;

mod built_in;

/// One kind in one version.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) short: Vec<String>,
    pub(super) categories: Vec<String>,
    pub(super) namespaced: bool,
    /// Has a status subresource.
    pub(super) status: bool,
    pub(super) scale: Option<Scale>,
    /// The server counts `metadata.generation`.
    pub(super) generation: bool,
    /// Where its objects are kept: several versions (and both Event kinds) share a place.
    pub(super) place: Arc<str>,
    pub(super) origin: Origin,
}

/// Who defines a kind, and with it how its objects are checked.
#[derive(Debug)]
pub(super) enum Origin {
    /// Reads an object into its Go-like type and back: wrong types are errors, unknown fields go.
    BuiltIn(fn(Value) -> Result<Value, serde_json::Error>),
    /// A CustomResourceDefinition.
    Custom(Custom),
}

/// Where the scale subresource finds its numbers, as paths of keys.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) spec: Vec<String>,
    pub(super) status: Vec<String>,
    pub(super) selector: Option<Vec<String>>,
}

impl Kind {
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    pub(super) fn is_pod(&self) -> bool {
        self.is("", "Pod")
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.is("", "Namespace")
    }

    pub(super) fn is_crd(&self) -> bool {
        self.is("apiextensions.k8s.io", "CustomResourceDefinition")
    }

    /// An `Event` in its newer dress (`events.k8s.io`), kept as the older one.
    pub(super) fn is_new_event(&self) -> bool {
        self.is("events.k8s.io", "Event")
    }

    pub(super) fn custom(&self) -> Option<&Custom> {
        match &self.origin {
            Origin::Custom(custom) => Some(custom),
            Origin::BuiltIn(_) => None,
        }
    }
}

/// All kinds of the moment.
#[derive(Clone, Debug)]
pub(super) struct Kinds {
    all: Vec<Arc<Kind>>,
}

impl Kinds {
    pub(super) fn built_in() -> Self {
        Self {
            all: built_in::table().into_iter().map(Arc::new).collect(),
        }
    }

    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.all
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind that an owner reference or an `apiVersion` and `kind` name.
    pub(super) fn named(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.all
            .iter()
            .find(|one| one.kind == kind && one.api_version() == api_version)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }

    /// The first kind of a storage place.
    pub(super) fn of_place(&self, place: &str) -> Option<&Arc<Kind>> {
        self.all.iter().find(|kind| &*kind.place == place)
    }

    /// Replaces the kinds of one definition. An empty list forgets them.
    pub(super) fn define(&mut self, definition: &str, kinds: Vec<Kind>) {
        self.forget(definition);
        self.all.extend(kinds.into_iter().map(Arc::new));
    }

    pub(super) fn forget(&mut self, definition: &str) {
        self.all.retain(|kind| {
            kind.custom()
                .is_none_or(|custom| custom.definition != definition)
        });
    }
}
