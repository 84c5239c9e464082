//! `manage`: who manages which fields of an object. Every write leaves its trace in
//! `metadata.managedFields`; a server-side apply is decided by the traces of others.
//!
//! The rules are those of Kubernetes' structured-merge-diff, in the order of its steps: lay the
//! configuration over the object, take away what its writer applied before and does not any more,
//! see whose fields that changes. Types come through a [`form`], objects are walked by [`walk`],
//! fields are kept in a [`set`] and managers in [`entries`].

use jiff::Timestamp;
use serde_json::{Value, json};

use self::entries::{APPLY, Entries, Entry, UPDATE, Who};
use self::form::Node;
use self::set::Set;
use self::walk::{Difference, difference, fields_of, merged, misfit, without};
use super::crd::stamp;
use super::kinds::Kind;
use super::object::{metadata_mut, text, uid};
use super::refuse::{self, Cause, Refusal};
use super::request::Request;

mod entries;
mod form;
mod set;
mod walk;

/// Metadata that is nobody's: it says which object this is, not what it should be.
const NOBODYS: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// Whose the fields are that an object had before anybody applied to it.
const BEFORE: &str = "before-first-apply";
const LAST_APPLIED: &str =
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
/// The longest name of a manager.
const LONGEST_NAME: usize = 128;

/// Who writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    name: String,
    subresource: String,
    now: Timestamp,
}

impl Writer {
    /// The query's `fieldManager`, or what the client calls itself.
    pub(super) fn of(request: &Request, subresource: &str) -> Result<Self, Refusal> {
        let given = request.query.get("fieldManager").unwrap_or_default();
        if given.len() > LONGEST_NAME {
            let why = format!("may not be more than {LONGEST_NAME} bytes");
            let cause = Cause::too_long("fieldManager", &why);
            return Err(refuse::invalid_options(&request.method, cause));
        }
        let name = match given {
            "" => request.client.split('/').next().unwrap_or_default(),
            given => given,
        };
        let name = match name {
            "" => "unknown".to_owned(),
            name => name.chars().take(LONGEST_NAME).collect(),
        };
        Ok(Self {
            name,
            subresource: subresource.to_owned(),
            now: request.now,
        })
    }

    fn who(&self, operation: &'static str, kind: &Kind) -> Who {
        Who {
            manager: self.name.clone(),
            operation,
            version: if kind.is_new_event() {
                "v1".to_owned()
            } else {
                kind.api_version()
            },
            subresource: self.subresource.clone(),
        }
    }
}

/// Writes into `new` who manages it now that `writer` has made it of `old` (of nothing, if it is
/// created), by any way but an apply. `given` are the managers that the client sent along.
pub(super) fn track(
    kind: &Kind,
    old: Option<&Value>,
    new: &mut Value,
    given: Value,
    writer: &Writer,
) {
    let nothing = json!({});
    let change = difference(Node::of(kind), old.unwrap_or(&nothing), new);
    let kept = || old.map_or(Value::Null, |old| old["metadata"]["managedFields"].clone());
    let untouched = given.is_null() || given == kept();
    if old.is_some() && untouched && change.changed.is_empty() && change.removed.is_empty() {
        put(new, kept());
        return;
    }
    // Whoever sends an empty list wants to begin anew; whoever sends none knows nothing of managers.
    let is_reset = given == json!([]) || given == json!([{}]);
    let entries = match Entries::read(&given) {
        _ if is_reset => Entries::default(),
        Some(entries) if !entries.0.is_empty() && writer.subresource.is_empty() => entries,
        _ => Entries::read(&kept()).unwrap_or_default(),
    };
    if old.is_some() && entries.0.is_empty() {
        // Nobody kept count so far, and nobody begins in the middle.
        metadata_mut(new).shift_remove("managedFields");
        return;
    }
    put(new, updated(kind, change, entries, writer).written());
}

/// Is `new` what `old` was, but for when who managed it last?
pub(super) fn is_same(new: &Value, old: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut managed = object["metadata"]["managedFields"].clone();
        for entry in managed.as_array_mut().into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.shift_remove("time");
            }
        }
        managed
    };
    let fields = |object: &Value| object.as_object().map_or(0, serde_json::Map::len);
    let rest = |key: &String, of: &Value| match (key.as_str(), new.get(key), of.get(key)) {
        ("metadata", Some(new), Some(old)) => same_metadata(new, old),
        (_, new, old) => new == old,
    };
    fields(new) == fields(old)
        && new
            .as_object()
            .is_some_and(|fields| fields.keys().all(|key| rest(key, old)))
        && timeless(new) == timeless(old)
}

fn same_metadata(new: &Value, old: &Value) -> bool {
    let without = |metadata: &Value| {
        let fields = metadata.as_object().into_iter().flatten();
        fields.filter(|(key, _)| *key != "managedFields").count()
    };
    let mut fields = new.as_object().into_iter().flatten();
    without(new) == without(old)
        && fields.all(|(key, value)| key == "managedFields" || old.get(key) == Some(value))
}

fn put(object: &mut Value, managed: Value) {
    let metadata = metadata_mut(object);
    metadata.shift_remove("managedFields");
    if managed
        .as_array()
        .is_some_and(|managed| !managed.is_empty())
    {
        metadata.insert("managedFields".to_owned(), managed);
    }
}

fn updated(kind: &Kind, mut change: Difference, mut entries: Entries, writer: &Writer) -> Entries {
    if change.changed.is_empty() && change.removed.is_empty() {
        return entries;
    }
    strip(&mut change.changed);
    for entry in &mut entries.0 {
        entry.fields.take(&change.changed);
        entry.fields.take(&change.removed);
    }
    if !change.changed.is_empty() {
        entries.give(&writer.who(UPDATE, kind), change.changed, writer.now);
    }
    entries.0.retain(|entry| !entry.fields.is_empty());
    entries.cap();
    entries
}

fn strip(fields: &mut Set) {
    for path in NOBODYS {
        fields.forget(path);
    }
}

/// A configuration that is applied.
pub(super) struct Application<'a> {
    pub(super) kind: &'a Kind,
    /// The object as it is, if it is.
    pub(super) live: Option<&'a Value>,
    pub(super) config: &'a Value,
    pub(super) force: bool,
    pub(super) writer: &'a Writer,
}

/// The object after an apply, its managers included.
pub(super) fn apply(application: &Application<'_>) -> Result<Value, Refusal> {
    let kind = application.kind;
    let nothing = json!({"apiVersion": kind.api_version(), "kind": kind.kind});
    let live = application.live.unwrap_or(&nothing);
    let mut before = live.clone();
    let managed = metadata_mut(&mut before).shift_remove("managedFields");
    let mut entries = Entries::read(&managed.unwrap_or_default()).unwrap_or_default();
    if entries.0.is_empty() && application.live.is_some() {
        let first = Writer {
            name: BEFORE.to_owned(),
            ..application.writer.clone()
        };
        let all = difference(Node::of(kind), &nothing, &before);
        entries = updated(kind, all, entries, &first);
    }
    let (mut after, mut entries) = laid_over(application, &before, entries)?;
    let who = application.writer.who(APPLY, kind);
    if after != before
        && let Some(entry) = entries.of(&who)
    {
        entry.time = Some(stamp(application.writer.now));
    }
    put(&mut after, entries.written());
    Ok(after)
}

/// What stands against applying a configuration, whatever is there.
pub(super) fn check(kind: &Kind, config: &Value) -> Result<(), Refusal> {
    let named = |version: &str, kind: &str| match version.split_once('/') {
        Some(_) => format!("{version}, Kind={kind}"),
        None => format!("/{version}, Kind={kind}"),
    };
    let (version, given) = (text(config, "/apiVersion"), text(config, "/kind"));
    if version != kind.api_version() || given != kind.kind {
        let why = format!("invalid object type: {}", named(version, given));
        return Err(refuse::bad_request(&why));
    }
    if config["metadata"]
        .get("managedFields")
        .is_some_and(|managed| !managed.is_null())
    {
        return Err(refuse::bad_request("metadata.managedFields must be nil"));
    }
    let Some(why) = misfit(Node::of(kind), config, "") else {
        return Ok(());
    };
    Err(refuse::plain(&format!(
        "failed to create typed patch object ({}/{}; {}): {why}",
        text(config, "/metadata/namespace"),
        text(config, "/metadata/name"),
        named(version, given),
    )))
}

fn laid_over(
    application: &Application<'_>,
    live: &Value,
    mut entries: Entries,
) -> Result<(Value, Entries), Refusal> {
    let (kind, writer) = (application.kind, application.writer);
    let node = Node::of(kind);
    let who = writer.who(APPLY, kind);
    let mut applied = fields_of(node, application.config);
    ignore_the_other_door(kind, &writer.subresource, &mut applied);
    let last = entries.of(&who).map(|entry| entry.fields.clone());
    let time = entries.of(&who).and_then(|entry| entry.time.clone());
    entries.0.retain(|entry| !entry.who.is(&who));
    let mut after = merged(node, live, application.config);
    if let Some(last) = last {
        let mut owned = applied.with_structs(node);
        for entry in &entries.0 {
            owned.add(entry.fields.with_structs(node));
        }
        let mut gone = last.with_structs(node);
        gone.take(&owned);
        after = without(node, &after, &gone);
    }
    let mut change = difference(node, live, &after);
    ignore_the_other_door(kind, &writer.subresource, &mut change.changed);
    ignore_the_other_door(kind, &writer.subresource, &mut change.removed);
    let conflicts = conflicts(&entries, &change);
    if !conflicts.is_empty()
        && !application.force
        && !are_from_kubectl(application, live, &conflicts)
    {
        return Err(refuse::apply_conflict(&told(&conflicts)));
    }
    for entry in &mut entries.0 {
        entry.fields.take(&change.changed);
        entry.fields.take(&change.removed);
    }
    strip(&mut applied);
    entries.0.push(Entry {
        who,
        time,
        fields: applied,
    });
    Ok((after, entries))
}

/// What this door does not write, it does not manage.
fn ignore_the_other_door(kind: &Kind, subresource: &str, fields: &mut Set) {
    match subresource {
        "" if kind.status => fields.cut("f:status"),
        "status" => fields.cut("f:spec"),
        _ => {}
    }
}

fn conflicts(entries: &Entries, change: &Difference) -> Vec<(Who, Set)> {
    let of = |entry: &Entry| (entry.who.clone(), entry.fields.shared(&change.changed));
    let mut conflicts: Vec<(Who, Set)> = entries.0.iter().map(of).collect();
    conflicts.retain(|(_, fields)| !fields.is_empty());
    conflicts.sort_by_key(|(who, _)| who.told());
    conflicts
}

fn told(conflicts: &[(Who, Set)]) -> Vec<(String, Vec<String>)> {
    let told = conflicts
        .iter()
        .map(|(who, fields)| (who.told(), fields.paths()));
    told.collect()
}

/// kubectl takes over without a word what kubectl applied from the client's side before and nobody
/// has changed since.
fn are_from_kubectl(application: &Application<'_>, live: &Value, conflicts: &[(Who, Set)]) -> bool {
    if application.writer.name != "kubectl" {
        return false;
    }
    let last: Option<Value> = serde_json::from_str(text(live, LAST_APPLIED)).ok();
    let Some(last) =
        last.filter(|last| text(last, "/apiVersion") == application.kind.api_version())
    else {
        return false;
    };
    let node = Node::of(application.kind);
    let mut allowed = fields_of(node, &last);
    let change = difference(node, &last, live);
    allowed.take(&change.changed);
    allowed.take(&change.removed);
    conflicts.iter().all(|(_, fields)| {
        let mut left = fields.clone();
        left.take(&allowed);
        left.is_empty()
    })
}

/// What stands against applying to an object that is or is not there.
pub(super) fn check_applied(request: &Request) -> Result<(), Refusal> {
    match request.query.get("fieldManager").unwrap_or_default() {
        "" => {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            Err(refuse::invalid_options(&request.method, cause))
        }
        _ => Ok(()),
    }
}

/// An object that is to be created by an apply has no uid yet.
pub(super) fn check_new(kind: &Kind, name: &str, config: &Value) -> Result<(), Refusal> {
    match uid(config) {
        "" => Ok(()),
        given => {
            let why = format!(
                "uid mismatch: the provided object specified uid {given}, and no existing object was found"
            );
            Err(refuse::conflict(kind, name, &why))
        }
    }
}
