//! What a request is about, read from its path.

use http::{Method, Uri};

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// The API group; empty for the core.
    pub(super) group: String,
    /// The plural of the kind, with its subresource: `rollouts/status`.
    pub(super) resource: String,
    /// The namespace; empty where there is none.
    pub(super) namespace: String,
    /// The verb, in the words of Argo's metric.
    verb: &'static str,
}

// === impl Target ===

impl Target {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let group = match parts.next() {
            Some("apis") => parts.next().unwrap_or_default(),
            _ => "",
        };
        let rest: Vec<&str> = parts.skip(1).collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let resource = match rest {
            [] => String::new(),
            [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
            [resource, ..] => (*resource).to_owned(),
        };
        let query = uri.query().unwrap_or_default();
        let watches = query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"));
        Self {
            group: group.to_owned(),
            resource,
            namespace: namespace.to_owned(),
            verb: verb(method, watches, rest.len() > 1),
        }
    }

    /// Kind, namespace, verb.
    pub(super) fn labels(&self) -> [&str; 3] {
        [&self.resource, &self.namespace, self.verb]
    }
}

fn verb(method: &Method, watches: bool, has_name: bool) -> &'static str {
    match (method.as_str(), has_name) {
        ("GET", _) if watches => "Watch",
        ("GET", true) => "Get",
        ("GET", false) => "List",
        ("POST", _) => "Create",
        ("PUT", _) => "Update",
        ("PATCH", _) => "Patch",
        ("DELETE", true) => "Delete",
        ("DELETE", false) => "DeleteCollection",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_a_request_is_about() {
        let table = [
            (
                "GET",
                "/api/v1/services?watch=true",
                "",
                "services",
                "",
                "Watch",
            ),
            ("GET", "/api/v1/namespaces/a", "", "namespaces", "", "Get"),
            (
                "POST",
                "/api/v1/namespaces/a/events",
                "",
                "events",
                "a",
                "Create",
            ),
            (
                "PATCH",
                "/apis/argoproj.io/v1alpha1/namespaces/a/rollouts/web/status",
                "argoproj.io",
                "rollouts/status",
                "a",
                "Patch",
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/replicasets/web-1",
                "apps",
                "replicasets",
                "a",
                "Delete",
            ),
            ("GET", "/version", "", "", "", "List"),
        ];
        for (method, uri, group, resource, namespace, verb) in table {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let target = Target::of(&method, &uri.parse().expect("a URI"));
            assert_eq!(target.group, group, "{uri}");
            assert_eq!(target.labels(), [resource, namespace, verb], "{uri}");
        }
    }
}
