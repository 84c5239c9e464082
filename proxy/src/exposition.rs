//! Prometheus' text format 0.0.4, written straight into one string.
//!
//! A family is begun once and gets all its samples, because the format forbids to come back to it.

use std::fmt::{Display, Write};

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A scrape in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

/// A family that takes samples.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only ever rises within a process.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

/// One label.
pub(crate) type Label<'a> = (&'static str, &'a str);

// === impl Exposition ===

impl Exposition {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(kind.word());
        self.text.push('\n');
        Family {
            text: &mut self.text,
            name,
        }
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

// === impl Family ===

impl Family<'_> {
    /// One sample.
    pub(crate) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// One histogram. `counts` has one entry per bound in microseconds and one for the overflow.
    pub(crate) fn histogram(
        &mut self,
        labels: &[Label<'_>],
        bounds_us: &[u64],
        counts: &[u64],
        sum_seconds: f64,
    ) {
        let mut below = 0;
        for (index, bound) in bounds_us.iter().enumerate() {
            below += counts.get(index).copied().unwrap_or(0);
            let le = (*bound as f64 / 1e6).to_string();
            self.line("_bucket", labels, Some(("le", &le)), below);
        }
        below += counts.get(bounds_us.len()).copied().unwrap_or(0);
        self.line("_bucket", labels, Some(("le", "+Inf")), below);
        self.line("_sum", labels, None, sum_seconds);
        self.line("_count", labels, None, below);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[Label<'_>],
        last: Option<Label<'_>>,
        value: impl Display,
    ) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, content) in labels.iter().chain(last.as_ref()) {
            self.text.push(separator);
            separator = ',';
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, content, true);
            self.text.push('"');
        }
        if separator == ',' {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("writing to a String cannot fail");
    }
}

// === impl Kind ===

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Backslash and line feed everywhere, the quote in label values only.
fn escape(into: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '"' if quoted => into.push_str("\\\""),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_lines_with_escaped_labels() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("sluice_a_total", Kind::Counter, "A \"help\".\nMore.");
        family.sample(&[("name", "q\"b\\n\nl")], 3);
        family.sample(&[], 0.5);
        assert_eq!(
            exposition.finish(),
            "# HELP sluice_a_total A \"help\".\\nMore.\n# TYPE sluice_a_total counter\n\
             sluice_a_total{name=\"q\\\"b\\\\n\\nl\"} 3\nsluice_a_total 0.5\n"
        );
    }

    #[test]
    fn histogram_buckets_are_cumulative_and_missing_counts_are_zero() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("d_seconds", Kind::Histogram, "D.");
        family.histogram(&[("role", "stable")], &[500, 1_000_000], &[2, 1, 4], 9.25);
        family.histogram(&[], &[500], &[], 0.0);
        assert_eq!(
            exposition.finish(),
            "# HELP d_seconds D.\n# TYPE d_seconds histogram\n\
             d_seconds_bucket{role=\"stable\",le=\"0.0005\"} 2\n\
             d_seconds_bucket{role=\"stable\",le=\"1\"} 3\n\
             d_seconds_bucket{role=\"stable\",le=\"+Inf\"} 7\n\
             d_seconds_sum{role=\"stable\"} 9.25\nd_seconds_count{role=\"stable\"} 7\n\
             d_seconds_bucket{le=\"0.0005\"} 0\nd_seconds_bucket{le=\"+Inf\"} 0\n\
             d_seconds_sum 0\nd_seconds_count 0\n"
        );
    }
}
