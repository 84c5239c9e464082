//! `lint`: what is wrong with manifests, without a cluster: every error with its file and line.
//!
//! Each object of our kinds is looked at in this order: fields that its definition does not have,
//! fields of the wrong type, then what the controller itself would refuse ([`rollout`],
//! [`template`]). Services and templates that stand in the same files are cross-checked; those that
//! do not are taken to be somewhere else.

mod rollout;
mod template;

use clap::Args;
use crds::read::ReadError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::console::Console;
use super::failure::Failure;
use super::get::Output;
use super::manifest::{self, Document};
use super::{cluster::ClusterArgs, fields};

/// What to look at.
#[derive(Args, Clone, Debug)]
pub struct LintArgs {
    /// Files with manifests; `-` is the standard input
    #[arg(short, long, required = true, value_name = "FILE")]
    pub filename: Vec<String>,
    /// As data: json or yaml, a list of problems
    #[arg(short, long)]
    pub output: Option<Output>,
    /// Not used: nothing is asked of a cluster. Here so that every verb takes the same flags.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The object, as `Kind/name`.
    pub object: String,
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// Looks at the files.
pub fn run(args: &LintArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut documents = Vec::new();
    for file in &args.filename {
        documents.extend(manifest::read(file)?);
    }
    let problems = lint(&documents);
    match args.output {
        None | Some(Output::Wide) => {
            let lines: String = problems.iter().map(Problem::line).collect();
            console.print(&lines)?;
        }
        Some(output) => {
            let value = serde_json::json!(problems);
            console.print(&super::get::document(value, output)?)?;
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::Lint(one.message.clone())),
        [first, rest @ ..] => Err(Failure::Lint(format!(
            "{} (and {} more)",
            first.message,
            rest.len()
        ))),
    }
}

/// All that is wrong with some objects, in their order.
pub fn lint(documents: &[Document]) -> Vec<Problem> {
    let ours = |document: &&Document| {
        let group = document.text("/apiVersion").split('/').next();
        group == Some(crds::GROUP)
    };
    let mut problems = Vec::new();
    for document in documents.iter().filter(ours) {
        unknown_fields(document, &mut problems);
        match document.text("/kind") {
            "Rollout" => rollout::check(document, documents, &mut problems),
            "AnalysisTemplate" => {
                typed::<crds::AnalysisTemplate>(document, &mut problems, |template, problems| {
                    template::check(document, &template.spec, problems);
                });
            }
            "ClusterAnalysisTemplate" => {
                typed::<crds::ClusterAnalysisTemplate>(
                    document,
                    &mut problems,
                    |template, problems| {
                        template::check(document, &template.spec.into(), problems);
                    },
                );
            }
            "AnalysisRun" => {
                typed::<crds::AnalysisRun>(document, &mut problems, |run, problems| {
                    template::check_metrics(document, &run.spec.metrics, problems);
                });
            }
            "Experiment" => typed::<crds::Experiment>(document, &mut problems, |_, _| {}),
            other => problems.push(unknown_kind(document, other)),
        }
    }
    problems
}

/// Reads an object as its type; a field of another type is a problem, and ends the look at it.
fn typed<T: DeserializeOwned>(
    document: &Document,
    problems: &mut Vec<Problem>,
    check: impl FnOnce(T, &mut Vec<Problem>),
) {
    match crds::read::read::<T>(document.value.clone()) {
        Ok(object) => check(object, problems),
        Err(ReadError::Field { path, message }) => {
            problems.push(Problem::at(document, &path, message));
        }
        Err(other) => problems.push(Problem::at(document, "", other.to_string())),
    }
}

fn unknown_fields(document: &Document, problems: &mut Vec<Problem>) {
    for field in fields::unknown(&document.value) {
        let message = format!("unknown field {:?}", field.path);
        problems.push(Problem {
            suggestion: field.near.map(|near| format!("did you mean {near}?")),
            ..Problem::at(document, &field.path, message)
        });
    }
}

fn unknown_kind(document: &Document, kind: &str) -> Problem {
    let known = crds::all();
    let kinds: Vec<_> = known
        .iter()
        .map(|crd| crd.spec.names.kind.as_str())
        .collect();
    let message = format!("{} has no kind {kind:?}", crds::GROUP);
    Problem {
        suggestion: Some(format!("there are: {}", kinds.join(", "))),
        ..Problem::at(document, "kind", message)
    }
}

// === impl Problem ===

impl Problem {
    /// At a field of an object.
    fn at(document: &Document, path: &str, message: impl Into<String>) -> Self {
        Self {
            file: document.file.clone(),
            line: document.line(path),
            object: document.title(),
            path: path.to_owned(),
            message: message.into(),
            suggestion: None,
        }
    }

    /// As compilers print it, so that editors find the place.
    fn line(&self) -> String {
        let (file, line, object) = (&self.file, self.line, &self.object);
        let hint = self.suggestion.as_ref().map(|hint| format!("\n  {hint}"));
        let hint = hint.unwrap_or_default();
        format!("{file}:{line}: {object}: {}{hint}\n", self.message)
    }
}

#[cfg(test)]
mod tests;
