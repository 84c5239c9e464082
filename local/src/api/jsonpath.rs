//! The small JSONPath that printer columns use: `.a.b`, `['a.b']`, `.a\.b`, `[0]`, `[*]` and
//! `[?(@.type=="Ready")]`. Anything else makes the definition invalid, with the reason.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    All,
    /// Elements whose key has this text.
    Where(String, String),
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
                let end = inner
                    .find(']')
                    .ok_or_else(|| format!("no ']' in {text:?}"))?;
                (bracket(&inner[..end])?, &inner[end + 1..])
            } else if let Some(inner) = rest.strip_prefix('.') {
                key(inner)?
            } else {
                return Err(format!(
                    "{text:?}: a path begins with '.', such as .spec.replicas"
                ));
            };
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() {
            Err("is empty".to_owned())
        } else {
            Ok(Self(steps))
        }
    }

    /// The values that the path finds.
    pub(super) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| step.find(value))
                .collect();
        }
        found
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Key(key) => value.get(key).into_iter().collect(),
            Self::Index(index) => value.get(*index).into_iter().collect(),
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where(key, wanted) => {
                let items = value.as_array().into_iter().flatten();
                items
                    .filter(|item| item[key.as_str()].as_str() == Some(wanted))
                    .collect()
            }
        }
    }
}

/// A key after a dot; a backslash takes the next dot into the key.
fn key(text: &str) -> Result<(Step, &str), String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return finished(name, &text[at..]),
            other => name.push(other),
        }
    }
    finished(name, "")
}

fn finished(name: String, rest: &str) -> Result<(Step, &str), String> {
    match name.as_str() {
        "" => Err("a key is missing after '.'".to_owned()),
        "*" => Ok((Step::All, rest)),
        _ => Ok((Step::Key(name), rest)),
    }
}

fn bracket(inner: &str) -> Result<Step, String> {
    let quoted = |text: &str| -> Option<String> {
        let text = text.trim();
        let bare = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
            .or_else(|| {
                text.strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'))
            });
        bare.map(|bare| bare.replace('\\', ""))
    };
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Ok(index) = inner.parse() {
        return Ok(Step::Index(index));
    }
    if let Some(key) = quoted(inner) {
        return Ok(Step::Key(key));
    }
    inner
        .strip_prefix("?(@.")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|test| test.split_once("=="))
        .and_then(|(key, wanted)| Some(Step::Where(key.trim().to_owned(), quoted(wanted)?)))
        .ok_or_else(|| {
            format!("[{inner}] is not supported; [0], [*], ['key'] and [?(@.key==\"text\")] are")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Path;

    #[test]
    fn paths_find_what_printer_columns_name() {
        let object =
            json!({"a": {"b": 1, "x.y": 2, "l": [{"t": "p", "v": 3}, {"t": "q", "v": 4}]}});
        for (path, wanted) in [
            (".a.b", json!([1])),
            ("$.a.b", json!([1])),
            (".a.x\\.y", json!([2])),
            (".a['x.y']", json!([2])),
            (".a.l[1].v", json!([4])),
            (".a.l[*].v", json!([3, 4])),
            (".a.l[?(@.t==\"q\")].v", json!([4])),
            (".a.none.v", json!([])),
        ] {
            let found = Path::parse(path).unwrap();
            assert_eq!(json!(found.find(&object)), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for path in ["", "a", ".a[", ".a[1:2]", ".a[?(@.b>1)]", ".a..b"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
