//! A request, taken apart: where its path leads, what its query asks, which form the answer wants.

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;

use super::refuse::{self, Refusal};

/// A request with its whole body.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) accept: String,
    pub(super) content_type: String,
    pub(super) body: Bytes,
    /// Who asks, for the write hook: the name that the door was opened with, or the user agent.
    pub(super) client: String,
    pub(super) now: Timestamp,
}

/// Where a path under `/api` or `/apis` leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Path {
    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…` as far as they name a resource.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/').map(decode);
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<String> = parts.collect();
        let (namespace, rest) = namespace_of(&rest);
        let plural = rest.first()?.clone();
        if rest.len() > 4 || rest.iter().any(String::is_empty) {
            return None;
        }
        let subresource = (rest.len() > 2).then(|| rest[2..].join("/"));
        Some(Self {
            group,
            version,
            plural,
            namespace,
            name: rest.get(1).cloned(),
            subresource,
        })
    }
}

/// `namespaces/x/pods` is a path to pods; `namespaces/x` and its subresources are the namespace.
fn namespace_of(rest: &[String]) -> (Option<String>, &[String]) {
    match rest {
        [first, _, third, ..]
            if first == "namespaces" && third != "status" && third != "finalize" =>
        {
            (Some(rest[1].clone()), &rest[2..])
        }
        _ => (None, rest),
    }
}

/// The query of a URL.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (
                    decode(&key.replace('+', " ")),
                    decode(&value.replace('+', " ")),
                )
            });
        Self(pairs.collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// True for `true` and `1`, as in Go's `strconv.ParseBool`.
    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(
            self.get(key),
            Some("true" | "1" | "t" | "T" | "TRUE" | "True")
        )
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(key).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            refuse::bad_request(&format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        })
    }
}

/// Percent-decoding. What is no escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten();
        let value = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Path, Query};

    #[test]
    fn paths_lead_to_resources() {
        for (path, wanted) in [
            ("/api/v1/pods", Some("/v1/pods//-/-")),
            ("/api/v1/namespaces/a/pods/p", Some("/v1/pods/a/p/-")),
            ("/api/v1/namespaces/a/pods/p/log", Some("/v1/pods/a/p/log")),
            ("/api/v1/namespaces/a", Some("/v1/namespaces//a/-")),
            (
                "/api/v1/namespaces/a/status",
                Some("/v1/namespaces//a/status"),
            ),
            (
                "/apis/apps/v1/namespaces/a/replicasets/r/scale",
                Some("apps/v1/replicasets/a/r/scale"),
            ),
            (
                "/api/v1/namespaces/a/pods/p/proxy/x",
                Some("/v1/pods/a/p/proxy/x"),
            ),
            ("/apis/x.io/v1/cats/a%2Fb", Some("x.io/v1/cats//a/b/-")),
            ("/api/v1/pods//log", None),
            ("/apis/apps", None),
            ("/metrics", None),
        ] {
            let told = Path::parse(path).map(|path| {
                let or_dash = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
                let namespace = path.namespace.unwrap_or_default();
                let (name, subresource) = (or_dash(path.name), or_dash(path.subresource));
                format!(
                    "{}/{}/{}/{namespace}/{name}/{subresource}",
                    path.group, path.version, path.plural
                )
            });
            assert_eq!(told.as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in+(d)&watch=true&limit=5&bad=x%zz");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch") && !query.flag("limit"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(query.number("bad").is_err());
        assert_eq!(query.get("bad"), Some("x%zz"));
    }
}
