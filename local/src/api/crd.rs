//! CustomResourceDefinitions: what a definition that is stored makes of the server. A definition is
//! refused as a whole, with the reason, rather than obeyed in part.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::Path;
use super::kinds::{Kind, Kinds, Origin, Scale};
use super::object::{list, name, set_path, text};
use super::refuse::{self, Cause, Refusal};
use super::schema::{Schema, SchemaError};

/// What the server knows of a custom kind beyond what every kind has.
#[derive(Clone, Debug)]
pub(super) struct Custom {
    /// The name of the definition.
    pub(super) definition: String,
    pub(super) schema: Arc<Schema>,
    /// The schema as it was written, for OpenAPI.
    pub(super) written: Arc<Value>,
    pub(super) columns: Vec<Column>,
}

/// One printer column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) format: String,
    pub(super) description: String,
    pub(super) priority: i64,
    pub(super) path: Path,
}

/// Fills in the names that may be left out.
pub(super) fn default_names(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind").to_owned();
    for (key, default) in [
        ("singular", kind.to_lowercase()),
        ("listKind", format!("{kind}List")),
    ] {
        if text(definition, &format!("/spec/names/{key}")).is_empty() {
            set_path(definition, &["spec", "names", key], Value::String(default));
        }
    }
    if definition.pointer("/spec/conversion").is_none() {
        set_path(
            definition,
            &["spec", "conversion"],
            json!({"strategy": "None"}),
        );
    }
}

/// The kinds that a definition defines, one for each served version.
pub(super) fn kinds_of(kind: &Kind, definition: &Value) -> Result<Vec<Kind>, Refusal> {
    let mut causes = check_names(definition);
    if list(definition, "/spec/versions").is_empty() {
        causes.push(Cause::required("spec.versions", "at least one version"));
    }
    if text(definition, "/spec/conversion/strategy") == "Webhook" {
        let sentence = "conversion webhooks are not built; conversion strategy None is";
        return Err(refuse::not_done(sentence));
    }
    let mut kinds = Vec::new();
    for (index, version) in list(definition, "/spec/versions").iter().enumerate() {
        match of_version(definition, version, &format!("spec.versions[{index}]")) {
            Ok(one) if version["served"] == json!(true) => kinds.push(one),
            Ok(_) => {}
            Err(SchemaError::Wrong(cause)) => causes.push(cause),
            Err(SchemaError::NotDone(sentence)) => return Err(refuse::not_done(&sentence)),
        }
    }
    if causes.is_empty() {
        Ok(kinds)
    } else {
        Err(refuse::invalid(kind, name(definition), causes))
    }
}

fn check_names(definition: &Value) -> Vec<Cause> {
    let (plural, group) = (
        text(definition, "/spec/names/plural"),
        text(definition, "/spec/group"),
    );
    let mut causes = Vec::new();
    for (field, value) in [
        ("spec.group", group),
        ("spec.names.plural", plural),
        ("spec.names.kind", text(definition, "/spec/names/kind")),
    ] {
        if value.is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if name(definition) != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid(
            "metadata.name",
            &definition["metadata"]["name"],
            why,
        ));
    }
    let scope = &definition["spec"]["scope"];
    if !matches!(scope.as_str(), Some("Cluster" | "Namespaced")) {
        causes.push(Cause::unsupported(
            "spec.scope",
            scope,
            "\"Cluster\", \"Namespaced\"",
        ));
    }
    causes
}

fn of_version(definition: &Value, version: &Value, at: &str) -> Result<Kind, SchemaError> {
    let names = &definition["spec"]["names"];
    let written = version
        .pointer("/schema/openAPIV3Schema")
        .cloned()
        .ok_or_else(|| {
            SchemaError::Wrong(Cause::required(&format!("{at}.schema.openAPIV3Schema"), ""))
        })?;
    let schema = Schema::compile(&written, &format!("{at}.schema.openAPIV3Schema"))?;
    let words = |key: &str| -> Vec<String> {
        let listed = names[key].as_array().into_iter().flatten();
        listed
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let word = |key: &str| names[key].as_str().unwrap_or_default().to_owned();
    let subresources = &version["subresources"];
    Ok(Kind {
        group: text(definition, "/spec/group").to_owned(),
        version: text(version, "/name").to_owned(),
        kind: word("kind"),
        list_kind: word("listKind"),
        plural: word("plural"),
        singular: word("singular"),
        short: words("shortNames"),
        categories: words("categories"),
        namespaced: text(definition, "/spec/scope") == "Namespaced",
        status: subresources
            .get("status")
            .is_some_and(|status| !status.is_null()),
        scale: subresources
            .get("scale")
            .filter(|scale| !scale.is_null())
            .map(scale_of),
        generation: true,
        place: Arc::from(name(definition)),
        origin: Origin::Custom(Custom {
            definition: name(definition).to_owned(),
            schema: Arc::new(schema),
            written: Arc::new(written),
            columns: columns_of(version, at)?,
        }),
    })
}

fn scale_of(scale: &Value) -> Scale {
    let keys = |field: &str| -> Option<Vec<String>> {
        let path = scale.get(field)?.as_str()?;
        Some(
            path.trim_start_matches('.')
                .split('.')
                .map(str::to_owned)
                .collect(),
        )
    };
    Scale {
        spec: keys("specReplicasPath").unwrap_or_default(),
        status: keys("statusReplicasPath").unwrap_or_default(),
        selector: keys("labelSelectorPath"),
    }
}

fn columns_of(version: &Value, at: &str) -> Result<Vec<Column>, SchemaError> {
    let written = list(version, "/additionalPrinterColumns");
    written
        .iter()
        .enumerate()
        .map(|(index, column)| column_of(column, at, index))
        .collect()
}

fn column_of(column: &Value, at: &str, index: usize) -> Result<Column, SchemaError> {
    let word = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
    let path = Path::parse(&word("jsonPath")).map_err(|why| {
        let field = format!("{at}.additionalPrinterColumns[{index}].jsonPath");
        SchemaError::Wrong(Cause::invalid(&field, &column["jsonPath"], &why))
    })?;
    Ok(Column {
        name: word("name"),
        kind: word("type"),
        format: word("format"),
        description: word("description"),
        priority: column["priority"].as_i64().unwrap_or(0),
        path,
    })
}

/// Writes the status that Kubernetes' naming and establishing controllers would: at once, as this
/// server serves the kind from the same moment on.
pub(super) fn establish(definition: &mut Value, kinds: &Kinds, now: Timestamp) {
    let taken = is_taken(definition, kinds);
    let accepted = if taken { "False" } else { "True" };
    let reason = if taken { "KindConflict" } else { "NoConflicts" };
    let established = if taken {
        "NotAccepted"
    } else {
        "InitialNamesAccepted"
    };
    let since = definition
        .pointer("/status/conditions/0/lastTransitionTime")
        .cloned()
        .unwrap_or_else(|| Value::String(stamp(now)));
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": accepted, "reason": reason, "message": message,
               "lastTransitionTime": since.clone()})
    };
    let stored: Vec<&Value> = list(definition, "/spec/versions")
        .iter()
        .filter(|version| version["storage"] == json!(true))
        .map(|version| &version["name"])
        .collect();
    definition["status"] = json!({
        "conditions": [
            condition("NamesAccepted", reason, "no conflicts found"),
            condition("Established", established, "the initial names have been accepted"),
        ],
        "acceptedNames": definition["spec"]["names"].clone(),
        "storedVersions": stored,
    });
}

/// Another definition already has this kind or plural in this group.
pub(super) fn is_taken(definition: &Value, kinds: &Kinds) -> bool {
    let group = text(definition, "/spec/group");
    let (kind, plural) = (
        text(definition, "/spec/names/kind"),
        text(definition, "/spec/names/plural"),
    );
    kinds
        .iter()
        .filter(|one| {
            one.custom()
                .is_none_or(|custom| custom.definition != name(definition))
        })
        .any(|one| one.group == group && (one.kind == kind || one.plural == plural))
}

/// A time as Kubernetes writes it: UTC, whole seconds.
pub(super) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
