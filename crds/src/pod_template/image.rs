//! The name of an image, as far as Kubernetes looks at it: is its tag `latest`?

/// When the kubelet pulls an image that says nothing about it: always where the tag is `latest` or
/// missing, else only if it has none.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if tag(image) == Some("latest") {
        "Always"
    } else {
        "IfNotPresent"
    }
}

/// The tag; none where a digest names the image, or where the name is no image at all.
fn tag(image: &str) -> Option<&str> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    // A colon before a slash begins a port.
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    let path = match repository.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => repository,
    };
    let is_name = !path.is_empty()
        && path
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c));
    match (tag, digest) {
        _ if !is_name => None,
        (Some(tag), _) => Some(tag),
        (None, Some(_)) => None,
        (None, None) => Some("latest"),
    }
}

/// Whether what stands before the first slash is a registry.
fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.chars().any(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latest_is_pulled_always() {
        let always = [
            "web",
            "web:latest",
            "example.com/team/web",
            "localhost:5000/web",
            "localhost:5000/web:latest",
            "Registry.Example/web",
        ];
        let once = [
            "web:1",
            "example.com:443/team/web:1.2-rc",
            "web@sha256:0123",
            "web:1@sha256:0123",
            "",
            "Web",
            "Web:latest",
        ];
        for image in always {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in once {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
        assert_eq!(pull_policy("web:latest@sha256:0123"), "Always");
    }
}
