//! What can go wrong, in words for the person who typed: what happened, where, and what to do next.

use std::error::Error as _;
use std::io;

use kube::Error as KubeError;
use kube::api::ListParams;
use kube::core::Status;
use thiserror::Error;

use super::cluster::Cluster;

/// How many names an error lists.
const NAMES_SHOWN: usize = 5;

/// How alike two names must be, from 0 to 1, for the one to be offered for the other first.
const ALIKE: f64 = 0.6;

/// Why a verb failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// The kubeconfig says no cluster.
    #[error(
        "the kubeconfig {origin} cannot be used: {cause}\n  say which one with --kubeconfig or \
         KUBECONFIG; `sluice up` prints the one of its cluster"
    )]
    Kubeconfig {
        /// Where it was looked for.
        origin: String,
        /// Why not.
        cause: String,
    },
    /// The API server does not answer.
    #[error(
        "the cluster at {url} (from {origin}) does not answer: {cause}\n  check that it runs, or \
         choose another with --context, --kubeconfig or KUBECONFIG"
    )]
    Unreachable {
        /// Its URL.
        url: String,
        /// Where the URL comes from.
        origin: String,
        /// Why not.
        cause: String,
    },
    /// The cluster does not know Rollouts.
    #[error(
        "the cluster at {url} does not know Rollouts: the CustomResourceDefinitions of argoproj.io \
         are missing\n  install them: kubectl apply -f deploy/crds"
    )]
    NoRollouts {
        /// Its URL.
        url: String,
    },
    /// There is no such object.
    #[error("{kind} \"{name}\" not found in namespace \"{namespace}\"\n  {hint}")]
    NotFound {
        /// Kind and group.
        kind: String,
        /// The name.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// What there is.
        hint: String,
    },
    /// We may not.
    #[error("the cluster at {url} does not allow it: {message}\n  {hint}")]
    Forbidden {
        /// Its URL.
        url: String,
        /// What it says.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The API server refused.
    #[error("the cluster at {url} refused: {message}")]
    Refused {
        /// Its URL.
        url: String,
        /// What it says.
        message: String,
    },
    /// The object changed whenever we wanted to write it.
    #[error("\"{name}\" changed {attempts} times while it was being changed here\n  try again")]
    Busy {
        /// The object.
        name: String,
        /// How often we tried.
        attempts: u32,
    },
    /// The Rollout went on while we wanted to move it.
    #[error(
        "rollout \"{name}\" went on by itself in the meantime, from step {before} to {after}\n  \
         look at it with `sluice get rollout {name}`, then promote again if it still is to go on"
    )]
    Moved {
        /// The Rollout.
        name: String,
        /// The step that was seen first.
        before: i32,
        /// The step that it is at.
        after: i32,
    },
    /// There is no such container.
    #[error("unable to find container named \"{container}\"\n  {name} has: {known}")]
    NoContainer {
        /// The one that was asked for.
        container: String,
        /// The object.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no such revision.
    #[error("{what}\n  {hint}")]
    NoRevision {
        /// What was not found.
        what: String,
        /// What there is.
        hint: String,
    },
    /// What was looked at was deleted meanwhile.
    #[error("{kind} \"{name}\" was deleted")]
    Gone {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A file cannot be read, or is not what it should be.
    #[error("{file}: {cause}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Manifests have errors; they have been printed.
    #[error("{0}")]
    Lint(String),
    /// The Rollout is Degraded.
    #[error("The rollout is in a degraded state with message: {0}")]
    Degraded(String),
    /// It took too long.
    #[error("Rollout status watch exceeded timeout")]
    TimedOut,
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// An object cannot be read or written as what it should be.
    #[error("the answer of the cluster is not understood: {0}")]
    Strange(String),
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

/// An error with all its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// Whether somebody else wrote the object first.
pub(super) fn is_conflict(error: &KubeError) -> bool {
    matches!(error, KubeError::Api(status) if status.code == 409)
}

/// Whether the object, its subresource or its kind is not there.
pub(super) fn is_missing(error: &KubeError) -> bool {
    matches!(error, KubeError::Api(status) if status.code == 404)
}

// === impl Cluster ===

impl Cluster {
    /// Says what an error about Rollout `name` means (`""`: about no single one).
    pub async fn explain(&self, error: KubeError, name: &str) -> Failure {
        match error {
            KubeError::Api(status) => self.explain_status(&status, name).await,
            KubeError::Service(cause) => self.unreachable(chain(cause.as_ref())),
            KubeError::HyperError(cause) => self.unreachable(chain(&cause)),
            KubeError::ReadEvents(cause) => self.unreachable(chain(&cause)),
            KubeError::SerdeError(cause) => Failure::Strange(cause.to_string()),
            other => {
                let causes = other.source().map(chain);
                let message = causes.unwrap_or_else(|| other.to_string());
                Failure::Refused {
                    url: self.url.clone(),
                    message,
                }
            }
        }
    }

    /// That a named object of another kind is not there, or what else is wrong.
    pub(super) async fn explain_other(&self, error: KubeError, kind: &str, name: &str) -> Failure {
        if is_missing(&error) {
            let hint = format!("look with `kubectl get {kind} -n {}`", self.namespace);
            let (name, namespace) = (name.to_owned(), self.namespace.clone());
            return Failure::NotFound {
                kind: kind.to_owned(),
                name,
                namespace,
                hint,
            };
        }
        self.explain(error, "").await
    }

    async fn explain_status(&self, status: &Status, name: &str) -> Failure {
        let (url, message) = (self.url.clone(), status.message.clone());
        match status.code {
            401 => Failure::Forbidden {
                url,
                message,
                hint: "the credentials of the kubeconfig are not valid, or no longer",
            },
            403 => Failure::Forbidden {
                url,
                message,
                hint: "choose another --context, or ask for the right named above",
            },
            404 if is_about_an_object(status) && !name.is_empty() => self.not_found(name).await,
            404 if !is_about_an_object(status) => Failure::NoRollouts { url },
            _ => Failure::Refused { url, message },
        }
    }

    async fn not_found(&self, name: &str) -> Failure {
        let list = self.rollouts().list(&ListParams::default()).await;
        let names: Vec<String> = list
            .iter()
            .flatten()
            .map(kube::ResourceExt::name_any)
            .collect();
        Failure::NotFound {
            kind: "rollout.argoproj.io".to_owned(),
            name: name.to_owned(),
            namespace: self.namespace.clone(),
            hint: near(name, names),
        }
    }

    fn unreachable(&self, cause: String) -> Failure {
        Failure::Unreachable {
            url: self.url.clone(),
            origin: self.origin.clone(),
            cause,
        }
    }
}

/// A 404 about an object names it; one about an unknown kind does not.
fn is_about_an_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty())
}

/// What there is instead of `name`, the likeliest first.
fn near(name: &str, mut names: Vec<String>) -> String {
    if names.is_empty() {
        return "there are no rollouts in it; look elsewhere with `sluice get rollouts -A`"
            .to_owned();
    }
    names.sort_by(|a, b| {
        let alike = |other: &str| strsim::jaro_winkler(name, other);
        alike(b).total_cmp(&alike(a)).then_with(|| a.cmp(b))
    });
    let is_near = strsim::jaro_winkler(name, &names[0]) >= ALIKE;
    let more = names.len().saturating_sub(NAMES_SHOWN);
    names.truncate(NAMES_SHOWN);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    if is_near {
        format!(
            "did you mean \"{}\"? there are: {}{rest}",
            names[0],
            names.join(", ")
        )
    } else {
        format!("there are: {}{rest}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_comes_first() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let table = [
            (
                "web",
                names(&[]),
                "there are no rollouts in it; look elsewhere with `sluice get rollouts -A`",
            ),
            (
                "my-ap",
                names(&["shop", "my-app"]),
                "did you mean \"my-app\"? there are: my-app, shop",
            ),
            ("zzz", names(&["shop", "app"]), "there are: app, shop"),
            (
                "q",
                names(&["a", "b", "c", "d", "e", "f", "g"]),
                "there are: a, b, c, d, e and 2 more",
            ),
        ];
        for (name, names, expected) in table {
            assert_eq!(near(name, names), expected);
        }
    }
}
