//! The three versions and their manifests.

use std::path::Path;

use crds::read::ReadError;
use serde_json::{Value, json};

use crate::up::manifests::{self, Manifest, ManifestError};

/// The image that has the app's command.
pub const IMAGE: &str = "sluice-demo";
/// The Rollout.
pub const ROLLOUT: &str = "demo";
/// Its namespace.
pub const NAMESPACE: &str = "default";
/// Its fleet.
pub const FLEET: &str = "default/demo";

const MANIFESTS: &str = include_str!("release.yaml");

/// A version of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The one that runs already.
    First,
    /// A good one.
    Good,
    /// One that fails 30 % of its requests and is slow.
    Bad,
}

/// The manifests could not be read, which a test excludes.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// As a file.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// As YAML.
    #[error(transparent)]
    Read(#[from] ReadError),
}

// === impl Release ===

impl Release {
    /// Its number.
    pub fn version(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Good => 2,
            Self::Bad => 3,
        }
    }

    /// What is said about it.
    pub fn title(self) -> &'static str {
        match self {
            Self::First => "version 1 is up",
            Self::Good => "release 2: a good one",
            Self::Bad => "release 3: fails 30 % of its requests, and 80 ms slower",
        }
    }

    fn args(self) -> Vec<String> {
        let version = self.version().to_string();
        let faults: &[&str] = match self {
            Self::First | Self::Good => &[],
            Self::Bad => &["--failure-rate", "0.3", "--delay-ms", "80"],
        };
        let own = ["--version", &version];
        own.iter().chain(faults).map(ToString::to_string).collect()
    }

    /// The manifests with this version in them.
    pub fn manifests(self) -> Result<Vec<Manifest>, ReleaseError> {
        let mut manifests = manifests::parse(Path::new("demo.yaml"), MANIFESTS)?;
        for manifest in &mut manifests {
            if let Some(container) = manifest
                .object
                .pointer_mut("/spec/template/spec/containers/0")
            {
                self.put_into(container);
            }
        }
        Ok(manifests)
    }

    fn put_into(self, container: &mut Value) {
        container["image"] = json!(format!("{IMAGE}:{}", self.version()));
        container["args"] = json!(self.args());
    }
}

#[cfg(test)]
mod tests {
    use crds::plugin::{ProxyMetric, ProxyRouting, Sticky};
    use crds::{AnalysisTemplate, PLUGIN_NAME, Rollout, read};

    use super::*;

    fn find(release: Release, kind: &str) -> Value {
        let manifests = release.manifests().unwrap();
        manifests
            .into_iter()
            .find(|m| m.object["kind"] == kind)
            .unwrap()
            .object
    }

    #[test]
    fn the_rollout_is_a_valid_one() {
        let object = find(Release::First, "Rollout");
        assert_eq!(object["metadata"]["name"], ROLLOUT);
        let block =
            object["spec"]["strategy"]["canary"]["trafficRouting"]["plugins"][PLUGIN_NAME].clone();
        let routing = ProxyRouting::parse(&block, "plugin").unwrap();
        assert_eq!(routing.sticky, Some(Sticky::Header("X-User-Id".to_owned())));
        assert!(routing.fallback_to_stable && routing.fuse.enabled);
        read::read::<Rollout>(object).unwrap();
    }

    #[test]
    fn the_analysis_compares_errors_and_latency() {
        let object = find(Release::First, "AnalysisTemplate");
        for metric in object["spec"]["metrics"].as_array().unwrap() {
            ProxyMetric::parse(&metric["provider"]["plugin"][PLUGIN_NAME], "plugin").unwrap();
        }
        read::read::<AnalysisTemplate>(object).unwrap();
    }

    #[test]
    fn releases_differ_in_their_container_only() {
        let container =
            |release| find(release, "Rollout")["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(container(Release::Good)["image"], "sluice-demo:2");
        assert_eq!(
            container(Release::Bad)["args"],
            json!([
                "--version",
                "3",
                "--failure-rate",
                "0.3",
                "--delay-ms",
                "80"
            ])
        );
        let services = |release| find(release, "Service");
        assert_eq!(services(Release::First), services(Release::Bad));
    }
}
