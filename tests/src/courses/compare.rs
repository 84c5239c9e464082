//! Our course beside the expected one.

use std::collections::BTreeSet;

use super::course::Course;
use super::expected::{Expected, Field, in_common};
use super::fields::ABSENT;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub field: String,
    /// How it differs.
    pub how: How,
    /// What was expected of the field.
    pub expected: Vec<String>,
    /// What there was.
    pub ours: Vec<String>,
}

/// How a field differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// A value did not come, at least not after those before it.
    Missing(String),
    /// A value came that never came in a recording.
    Unexpected(String),
    /// It ended otherwise.
    Ends {
        /// As Argo's ended.
        expected: String,
        /// As ours did.
        ours: String,
    },
    /// The scenario was not played to its end.
    Failed(String),
}

// === impl Difference ===

impl Difference {
    /// Of a scenario of which nothing was recorded.
    pub fn not_recorded() -> Self {
        let how = How::Failed("it was not recorded: tests/courses/record".to_owned());
        Self::of("failure", how, &Field::default(), &[])
    }

    fn of(field: &str, how: How, expected: &Field, ours: &[String]) -> Self {
        Self {
            field: field.to_owned(),
            how,
            expected: expected.required.clone(),
            ours: ours.to_vec(),
        }
    }
}

impl Difference {
    fn what(&self) -> String {
        let field = &self.field;
        match &self.how {
            How::Missing(value) => format!("  {field}: missing: {value}\n"),
            How::Unexpected(value) => format!("  {field}: not in Argo's: {value}\n"),
            How::Ends { expected, ours } => {
                format!("  {field}: ends otherwise\n      Argo: {expected}\n      ours: {ours}\n")
            }
            How::Failed(why) => format!("  not played to its end: {why}\n"),
        }
    }

    fn courses(&self) -> String {
        let list = |values: &[String]| -> String {
            let lines = values.iter().map(|value| format!("        {value}\n"));
            lines.collect::<Vec<_>>().concat()
        };
        if self.expected.is_empty() && self.ours.is_empty() {
            return String::new();
        }
        format!(
            "      Argo's course:\n{}      ours:\n{}",
            list(&self.expected),
            list(&self.ours)
        )
    }
}

/// All differences of a scenario, for people: those of one field together.
pub fn told(differences: &[Difference]) -> String {
    let mut text = String::new();
    for (at, difference) in differences.iter().enumerate() {
        let next = differences.get(at + 1);
        let more = next.is_some_and(|next| next.field == difference.field);
        text.push_str(&difference.what());
        if !more {
            text.push_str(&difference.courses());
        }
    }
    text
}

/// Every difference.
pub fn compare(expected: &Expected, ours: &Course) -> Vec<Difference> {
    if let Some(why) = &ours.failure {
        let how = How::Failed(why.clone());
        return vec![Difference::of("failure", how, &Field::default(), &[])];
    }
    let mut differences = Vec::new();
    let names: BTreeSet<&String> = expected
        .fields
        .keys()
        .chain(ours.sequences.keys())
        .chain(ours.end.keys())
        .collect();
    let (unknown, empty) = (Field::default(), Vec::new());
    for name in names {
        let field = expected.fields.get(name).unwrap_or(&unknown);
        let sequence = ours.sequences.get(name).unwrap_or(&empty);
        let mut add = |how| differences.push(Difference::of(name, how, field, sequence));
        for value in missing(&field.required, sequence) {
            add(How::Missing(value));
        }
        for value in unexpected(field, sequence) {
            if !names_the_namespace(name, field, expected.recordings) {
                add(How::Unexpected(value));
            }
        }
        let counted = is_counted(name, expected);
        let end = ours.end.get(name);
        match (&field.end, end) {
            (Some(expected), Some(ours)) if !counted && distinct(expected) == distinct(ours) => {}
            (Some(expected), ours) if ours.is_none_or(|ours| differ(expected, ours)) => {
                add(How::Ends {
                    expected: expected.clone(),
                    ours: ours.cloned().unwrap_or_else(|| "nothing".to_owned()),
                });
            }
            (None, Some(ours)) if !expected.fields.contains_key(name) => add(How::Ends {
                expected: "nothing".to_owned(),
                ours: ours.clone(),
            }),
            _ => {}
        }
    }
    differences
}

/// Whether a field's value is another one in each namespace: the hash of steps that name it.
fn names_the_namespace(name: &str, field: &Field, recordings: usize) -> bool {
    name.ends_with(".stepHash") && recordings > 1 && field.allowed.len() == recordings
}

/// Whether how many measurements there are at the end is the same in all recordings. Where it is not,
/// it depends on how long things took, and only which ones there are counts.
fn is_counted(name: &str, expected: &Expected) -> bool {
    let Some(metric) = name.strip_suffix(".measurements") else {
        return true;
    };
    let count = expected.fields.get(&format!("{metric}.count"));
    count.is_none_or(|count| count.end.is_some())
}

/// The measurements that differ from the one before.
fn distinct(measurements: &str) -> Vec<&str> {
    let mut all: Vec<&str> = measurements.split("; ").collect();
    all.dedup();
    all
}

/// Whether two ends differ; nothing and an empty object are the same.
fn differ(one: &str, other: &str) -> bool {
    let is_nothing = |value: &str| matches!(value, ABSENT | "{}");
    one != other && !(is_nothing(one) && is_nothing(other))
}

/// The required values that are not part of a longest common subsequence: as few as possible, so that
/// a deliberate difference hides no other.
fn missing(required: &[String], sequence: &[String]) -> Vec<String> {
    let common = in_common(required, sequence);
    let mut common = common.iter().peekable();
    let is_missing = |value: &&String| common.next_if(|next| next == value).is_none();
    required.iter().filter(is_missing).cloned().collect()
}

fn unexpected(field: &Field, sequence: &[String]) -> BTreeSet<String> {
    let known = |value: &&String| field.required.contains(value) || field.allowed.contains(*value);
    sequence
        .iter()
        .filter(|value| !known(value))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn differences_are_what_is_missing_what_is_too_much_and_another_end() {
        let field = Field {
            required: words("a b c"),
            allowed: words("x").into_iter().collect(),
            end: Some("c".to_owned()),
            end_only: false,
        };
        let expected = Expected {
            scenario: String::new(),
            recordings: 5,
            fields: BTreeMap::from([("f".to_owned(), field)]),
        };
        let differ = |text: &str| {
            let sequence = words(text);
            let end = sequence.last().cloned().unwrap_or_default();
            let ours = Course {
                sequences: BTreeMap::from([("f".to_owned(), sequence)]),
                end: BTreeMap::from([("f".to_owned(), end)]),
                failure: None,
            };
            let found = compare(&expected, &ours);
            found
                .into_iter()
                .map(|difference| difference.how)
                .collect::<Vec<_>>()
        };
        let (missing, much) = (
            |value: &str| How::Missing(value.to_owned()),
            |value: &str| How::Unexpected(value.to_owned()),
        );
        let ends = |ours: &str| How::Ends {
            expected: "c".to_owned(),
            ours: ours.to_owned(),
        };
        let table = [
            ("a b c", vec![]),
            ("a x b x c", vec![]),
            ("a c", vec![missing("b")]),
            ("b a c", vec![missing("a")]),
            ("c", vec![missing("a"), missing("b")]),
            ("a b y c", vec![much("y")]),
            ("a b c x", vec![ends("x")]),
        ];
        for (text, expected) in table {
            assert_eq!(differ(text), expected, "{text}");
        }
    }

    #[test]
    fn how_many_measurements_there_are_counts_where_recordings_agree_on_it() {
        let end = |text: &str| Field {
            end: Some(text.to_owned()),
            end_only: true,
            ..Field::default()
        };
        let differ = |count: Field, ours: &str| {
            let fields = [
                ("m.count", count),
                ("m.measurements", end("good; good; bad")),
            ];
            let fields = fields.map(|(name, field)| (name.to_owned(), field));
            let expected = Expected {
                scenario: String::new(),
                recordings: 5,
                fields: BTreeMap::from(fields),
            };
            let ends = [("m.count", "3"), ("m.measurements", ours)];
            let ends = ends.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let ours = Course {
                end: BTreeMap::from(ends),
                ..Course::default()
            };
            compare(&expected, &ours).len()
        };
        assert_eq!(differ(end("3"), "good; bad"), 1);
        assert_eq!(differ(Field::default(), "good; bad"), 0);
        assert_eq!(differ(Field::default(), "bad; good"), 1);
        assert_eq!(differ(Field::default(), "good"), 1);
    }
}
