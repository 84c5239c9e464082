//! The spec of a Job, passed on exactly as it was written.

use std::borrow::Cow;

use k8s_openapi::api::batch::v1 as batch;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// A JobSpec as raw JSON: whatever the cluster's version of Jobs knows is preserved.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(transparent)]
pub struct JobSpec(pub Map<String, Value>);

impl JsonSchema for JobSpec {
    fn schema_name() -> Cow<'static, str> {
        "JobSpec".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let job = generator.subschema_for::<batch::JobSpec>();
        schema::embedded(job, "/properties/template")
    }
}
