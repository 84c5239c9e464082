//! Manifests as they were typed: the objects of a file, and on which line each of their fields
//! stands.

use std::collections::BTreeMap;
use std::io::Read as _;

use granit_parser::{Event, Parser};
use serde_json::Value;

use super::failure::Failure;

/// The largest file that is read, in bytes; etcd takes no object that is larger than 1.5 MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// An object of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// The object.
    pub value: Value,
    lines: BTreeMap<String, usize>,
    first: usize,
}

/// All objects of a file, empty documents left out; `-` is the standard input.
pub fn read(file: &str) -> Result<Vec<Document>, Failure> {
    let failed = |cause: String| Failure::File {
        file: file.to_owned(),
        cause,
    };
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin()
            .lock()
            .take(LARGEST)
            .read_to_string(&mut text)
    } else {
        let open = std::fs::File::open(file).map_err(|error| failed(error.to_string()))?;
        open.take(LARGEST).read_to_string(&mut text)
    };
    read.map_err(|error| failed(error.to_string()))?;
    documents(file, &text).map_err(failed)
}

/// All objects of a text.
pub fn documents(file: &str, text: &str) -> Result<Vec<Document>, String> {
    let values: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    let mut places = places(text).into_iter();
    let mut documents = Vec::new();
    for value in values.into_iter().filter(|value| !value.is_null()) {
        let place = places.next().unwrap_or_default();
        documents.push(Document {
            file: file.to_owned(),
            value,
            lines: place.lines,
            first: place.first,
        });
    }
    Ok(documents)
}

// === impl Document ===

impl Document {
    /// A text of the object, or nothing where it is not there.
    pub fn text(&self, pointer: &str) -> &str {
        let value = self.value.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    /// `Kind/name`, for people.
    pub fn title(&self) -> String {
        format!("{}/{}", self.text("/kind"), self.text("/metadata/name"))
    }

    /// The line of a field, or of the nearest one around it that is there.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.first,
            }
        }
    }
}

/// Where the fields of a document stand.
#[derive(Default)]
struct Places {
    lines: BTreeMap<String, usize>,
    first: usize,
}

/// What is open while a document is walked.
enum Open {
    /// An object at a path, and the key whose value comes next.
    Object { path: String, key: Option<String> },
    /// A list at a path, and the index of what comes next.
    List { path: String, next: usize },
}

/// The places of all documents that are not empty, in order. Ends where the text is not YAML.
fn places(text: &str) -> Vec<Places> {
    let mut parser = Parser::new_from_str(text);
    let mut all = Vec::new();
    let mut current = Places::default();
    let mut open: Vec<Open> = Vec::new();
    while let Some(Ok((event, span))) = parser.next_event() {
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => current = Places::default(),
            Event::DocumentEnd if current.first > 0 => all.push(std::mem::take(&mut current)),
            Event::Scalar(text, ..) => {
                let is_null = open.is_empty() && matches!(text.as_ref(), "" | "~" | "null");
                if !is_null && !take_key(&mut open, &text, line, &mut current) {
                    value(&mut open, line, &mut current);
                }
            }
            Event::Alias(_) => drop(value(&mut open, line, &mut current)),
            Event::MappingStart(..) => {
                let path = value(&mut open, line, &mut current);
                open.push(Open::Object { path, key: None });
            }
            Event::SequenceStart(..) => {
                let path = value(&mut open, line, &mut current);
                open.push(Open::List { path, next: 0 });
            }
            Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
            _ => {}
        }
    }
    all
}

/// Takes a scalar as a key where one is due: its line is the field's.
fn take_key(open: &mut [Open], text: &str, line: usize, places: &mut Places) -> bool {
    let Some(Open::Object { path, key }) = open.last_mut() else {
        return false;
    };
    if key.is_some() {
        return false;
    }
    places.lines.insert(joined(path, text), line);
    *key = Some(text.to_owned());
    true
}

/// The path of a value that begins here.
fn value(open: &mut [Open], line: usize, places: &mut Places) -> String {
    if places.first == 0 {
        places.first = line;
    }
    match open.last_mut() {
        None => String::new(),
        Some(Open::Object { path, key }) => {
            let key = key.take().unwrap_or_default();
            joined(path, &key)
        }
        Some(Open::List { path, next }) => {
            let item = format!("{path}[{next}]");
            *next += 1;
            places.lines.insert(item.clone(), line);
            item
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
---
---
kind: Rollout
metadata: {name: web}
spec:
  steps:
    - setWeight: 10
    - pause:
        duration: 5
---
kind: Service
metadata:
  name: a
";

    #[test]
    fn every_field_knows_its_line() {
        let all = documents("web.yaml", TEXT).unwrap();
        let titles: Vec<_> = all.iter().map(Document::title).collect();
        assert_eq!(titles, ["Rollout/web", "Service/a"]);
        let lines = [
            ("kind", 4),
            ("metadata.name", 5),
            ("spec.steps[0].setWeight", 8),
            ("spec.steps[1].pause.duration", 10),
            // Not there: the nearest one around it.
            ("spec.steps[1].pause.other", 9),
            ("spec.steps[7].setWeight", 7),
            ("spec.strategy.canary", 6),
            ("nowhere", 4),
        ];
        for (path, line) in lines {
            assert_eq!(all[0].line(path), line, "{path}");
        }
        assert_eq!(all[1].line("metadata.name"), 14);
    }

    #[test]
    fn what_is_not_yaml_is_an_error_with_its_place() {
        let error = documents("x", "a: [1, 2\nb: 3\n").unwrap_err();
        assert!(error.contains('2') || error.contains("line"), "{error}");
        let twice = documents("x", "a: 1\na: 2\n").unwrap_err();
        assert!(twice.contains("duplicate"), "{twice}");
    }
}
