//! Manifests as files have them: each object with where it stands, so that whatever is wrong with
//! it can be said with file and document.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crds::read;
use serde_json::Value;

/// Names of files in a directory that are manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// A directory with more files than this is not one of manifests.
const MAX_FILES: usize = 1000;

/// An object to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands.
    pub place: Place,
    /// The object.
    pub object: Value,
}

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Which object of it, counted from 1.
    pub document: usize,
}

/// Why manifests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A path cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is nothing in a directory.
    #[error("{0} holds no manifest: expected files named *.yaml, *.yml or *.json")]
    Empty(PathBuf),
    /// There is too much in a directory.
    #[error("{0} holds more than {MAX_FILES} manifests: name those that are meant")]
    TooMany(PathBuf),
    /// A file is not YAML.
    #[error("{file}")]
    Text {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: read::ReadError,
    },
    /// An object lacks what every object has.
    #[error("{place}: {field}: required: {wanted}")]
    Nameless {
        /// Where.
        place: Place,
        /// What is missing.
        field: &'static str,
        /// What would be accepted.
        wanted: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}", self.file.display(), self.document)
    }
}

/// Reads files and directories (their manifests by name, not those of directories below).
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    for path in paths {
        for file in files(path)? {
            let text = std::fs::read_to_string(&file).map_err(unreadable(&file))?;
            manifests.extend(parse(&file, &text)?);
        }
    }
    Ok(manifests)
}

/// Reads the objects of one file.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let documents = read::documents(text).map_err(|source| ManifestError::Text {
        file: file.to_owned(),
        source,
    })?;
    let placed = documents
        .into_iter()
        .enumerate()
        .map(|(at, object)| Manifest {
            place: Place {
                file: file.to_owned(),
                document: at + 1,
            },
            object,
        });
    placed.map(named).collect()
}

fn named(manifest: Manifest) -> Result<Manifest, ManifestError> {
    let wanted = [
        ("apiVersion", "/apiVersion", "as in argoproj.io/v1alpha1"),
        ("kind", "/kind", "as in Rollout"),
        ("metadata.name", "/metadata/name", "a name"),
    ];
    let text = |pointer| manifest.object.pointer(pointer).and_then(Value::as_str);
    let missing = wanted
        .into_iter()
        .find(|(_, at, _)| text(at).is_none_or(str::is_empty));
    match missing {
        Some((field, _, wanted)) => Err(ManifestError::Nameless {
            place: manifest.place,
            field,
            wanted,
        }),
        None => Ok(manifest),
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable(path))? {
        let file = entry.map_err(unreadable(path))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|known| EXTENSIONS.contains(&known)) && file.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(ManifestError::TooMany(path.to_owned()));
        }
    }
    files.sort();
    if files.is_empty() {
        Err(ManifestError::Empty(path.to_owned()))
    } else {
        Ok(files)
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ManifestError + use<> {
    let path = path.to_owned();
    move |source| ManifestError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_files_by_name_and_their_documents_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let object = |name: &str| format!("apiVersion: v1\nkind: X\nmetadata: {{name: {name}}}\n");
        let write = |file: &str, text: String| std::fs::write(dir.path().join(file), text).unwrap();
        write(
            "b.yml",
            format!("---\n{}---\n{}", object("b1"), object("b2")),
        );
        write("a.yaml", object("a"));
        write("notes.txt", "not: [yaml".to_owned());
        let read = read_all(&[dir.path().to_owned()]).unwrap();
        let seen: Vec<_> = read
            .iter()
            .map(|m| {
                (
                    m.object["metadata"]["name"].as_str().unwrap(),
                    m.place.document,
                )
            })
            .collect();
        assert_eq!(seen, [("a", 1), ("b1", 1), ("b2", 2)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let table = [
            (
                "kind: X\nmetadata: {name: a}",
                "f.yaml: document 1: apiVersion: required",
            ),
            (
                "apiVersion: v1\nkind: X",
                "f.yaml: document 1: metadata.name: required",
            ),
            ("apiVersion: v1\nkind: [", "f.yaml"),
        ];
        for (text, expected) in table {
            let error = parse(Path::new("f.yaml"), text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = read_all(&[PathBuf::from("/no/such.yaml")]).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such.yaml");
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            read_all(&[dir.path().to_owned()]),
            Err(ManifestError::Empty(_))
        ));
    }
}
