//! Objects that have every field that a CRD's schema knows, and what another CRD keeps of them.
//!
//! Both CRDs are installed as copies under groups of their own, where no controller looks.

use ::http::{Method, Request};
use serde_json::{Map, Value, json};

use super::Plane;
use crate::wait::{LONG, eventually};

/// A copy of a CRD.
pub struct Copy {
    plane: Plane,
    crd: Value,
}

// === impl Copy ===

impl Copy {
    /// Installs the CRD of a file as one of `group`.
    ///
    /// # Panics
    ///
    /// When it is not served in time.
    pub async fn install(plane: &Plane, file: &str, group: &str) -> Self {
        let read = ["create", "--dry-run=client", "-o", "json", "-f", file];
        let mut crd: Value = serde_json::from_str(&plane.kubectl.run(&read).await).expect("JSON");
        let plural = crd["spec"]["names"]["plural"].as_str().expect("a plural");
        crd["metadata"] = json!({"name": format!("{plural}.{group}")});
        crd["spec"]["group"] = json!(group);
        let copy = Self {
            plane: plane.clone(),
            crd,
        };
        let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        copy.ask(Method::POST, crds, &copy.crd)
            .await
            .expect("a CRD");
        eventually("a CRD that is served", LONG, async || {
            let list = copy.ask(Method::GET, &copy.path(), &Value::Null).await;
            list.ok().map(|_| ())
        })
        .await;
        copy
    }

    /// An object with every field that it knows, spec and status.
    pub fn maximal(&self) -> Value {
        let schema = &self.crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let parts = ["spec", "status"].into_iter();
        let known = parts.filter(|part| schema["properties"][part].is_object());
        let of = |part: &str| maximal(&schema["properties"][part]);
        known
            .map(|part| (part.to_owned(), of(part)))
            .collect::<Map<_, _>>()
            .into()
    }

    /// What it keeps of an object's spec and status.
    ///
    /// # Panics
    ///
    /// When it refuses the object.
    pub async fn keeps(&self, object: &Value) -> Value {
        let group = self.crd["spec"]["group"].as_str().expect("a group");
        let mut object = object.clone();
        object["apiVersion"] = json!(format!("{group}/v1alpha1"));
        object["kind"] = self.crd["spec"]["names"]["kind"].clone();
        object["metadata"] = json!({"name": "maximal"});
        let made = self.ask(Method::POST, &self.path(), &object).await;
        let mut kept = made.unwrap_or_else(|error| panic!("{group}: {error}"));
        let own = format!("{}/maximal", self.path());
        if self.crd["spec"]["versions"][0]["subresources"]["status"].is_object() {
            let status = json!({"status": object["status"]});
            let path = format!("{own}/status");
            let patched = self.ask(Method::PATCH, &path, &status).await;
            kept = patched.unwrap_or_else(|error| panic!("{group}: {error}"));
        }
        self.ask(Method::DELETE, &own, &Value::Null)
            .await
            .expect("gone");
        json!({"spec": kept["spec"], "status": kept["status"]})
    }

    /// Removes it.
    pub async fn remove(self) {
        let name = self.crd["metadata"]["name"].as_str().expect("a name");
        let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let path = format!("{crds}/{name}");
        self.ask(Method::DELETE, &path, &Value::Null)
            .await
            .expect("gone");
    }

    fn path(&self) -> String {
        let spec = &self.crd["spec"];
        let word = |of: &Value| of.as_str().expect("a word").to_owned();
        let place = if spec["scope"] == "Cluster" {
            ""
        } else {
            "namespaces/default/"
        };
        format!(
            "/apis/{}/v1alpha1/{place}{}",
            word(&spec["group"]),
            word(&spec["names"]["plural"])
        )
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind);
        self.plane
            .client
            .request(request.body(body).expect("a path"))
            .await
    }
}

/// Argo's schema says nothing at all of volumes, and ours not which words Datadog has.
fn field(name: &str, schema: &Value) -> Value {
    match name {
        "aggregator" => json!("avg"),
        "apiVersion" if schema["type"] == "string" => json!("v1"),
        "volumes" if schema["type"].is_null() => json!([{"name": "a", "emptyDir": {}}]),
        _ => maximal(schema),
    }
}

/// A value with everything that a schema allows.
fn maximal(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    let named = schema["properties"].as_object();
    match schema["type"].as_str() {
        Some("object") if named.is_some_and(|named| !named.is_empty()) => {
            let named = named.into_iter().flatten();
            named
                .map(|(name, of)| (name.clone(), field(name, of)))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("object") if schema["additionalProperties"].is_object() => {
            json!({"key": maximal(&schema["additionalProperties"])})
        }
        Some("object") if schema["x-kubernetes-preserve-unknown-fields"] == true => {
            json!({"unknown": {"of": ["any", 1]}})
        }
        Some("object") => json!({}),
        Some("array") => json!([maximal(&schema["items"])]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("string") if schema["format"] == "date-time" => json!("2026-01-01T00:00:00Z"),
        // Also a quantity, a duration and a percentage.
        Some("string") => json!("1"),
        _ if schema["x-kubernetes-int-or-string"] == true => json!("1"),
        _ => json!({"unknown": {"of": ["any", 1]}}),
    }
}

/// The paths that `sent` has and `kept` has not, or has otherwise.
pub fn lost(sent: &Value, kept: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(sent, kept, String::new(), &mut paths);
    paths
}

fn compare(sent: &Value, kept: &Value, path: String, lost: &mut Vec<String>) {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            for (name, value) in sent {
                let kept = kept.get(name).unwrap_or(&Value::Null);
                compare(value, kept, format!("{path}.{name}"), lost);
            }
        }
        (Value::Array(sent), Value::Array(kept)) if sent.len() == kept.len() => {
            for (value, kept) in sent.iter().zip(kept) {
                compare(value, kept, format!("{path}[]"), lost);
            }
        }
        (sent, kept) if sent == kept => {}
        _ => lost.push(path),
    }
}
