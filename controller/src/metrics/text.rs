//! Prometheus' text format.

use std::fmt::Write as _;

/// Metrics as they are written.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

// === impl Text ===

impl Text {
    /// Begins a metric.
    pub(crate) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if number == 0 { '{' } else { ',' });
            self.escape(text);
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.metric("a", "gauge", "Help.");
        text.sample("a", &[], 1.0);
        text.sample("a", &[("x", "b\"c\\\n"), ("y", "z")], 0.5);
        let expected = "# HELP a Help.\n# TYPE a gauge\na 1\na{x=\"b\\\"c\\\\\\n\",y=\"z\"} 0.5\n";
        assert_eq!(text.into_string(), expected);
    }
}
