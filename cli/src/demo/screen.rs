//! What the demo shows, as text: pure, so that it can be held against a golden page.
//!
//! Two forms of the same [`View`]: a block of lines that is redrawn in place on a terminal, and
//! plain lines for a log file. Neither is wider than [`WIDTH`] columns.

use std::time::Duration;

/// The narrowest terminal that everybody has.
pub const WIDTH: usize = 80;
/// Where the text begins behind a label.
const INDENT: usize = 12;
/// The width of a full bar.
const BAR: usize = 40;
/// More lines of a message are not shown on the screen; the summary has all of it.
const MESSAGE_LINES: usize = 3;

/// What there is to be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Since the demo began.
    pub elapsed: Duration,
    /// Which release is on its way, and a word on it.
    pub release: u8,
    /// What kind of release it is.
    pub title: String,
    /// The steps that set a weight, and how far they are.
    pub steps: Vec<Step>,
    /// The weight that is in force, and what the proxies say about it.
    pub weight: Option<Weight>,
    /// The share of each version's answers in the last two seconds, in per cent.
    pub shares: [f64; 3],
    /// Requests so far.
    pub requests: u64,
    /// Those that no user got a good answer to.
    pub failures: u64,
    /// Those that stable answered in place of the canary.
    pub fallbacks: u64,
    /// The Rollout's phase and message.
    pub state: String,
    /// The analysis: its phase and message.
    pub analysis: String,
}

/// A step that sets a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The weight.
    pub weight: i32,
    /// How far it is.
    pub progress: Progress,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Behind us.
    Done,
    /// The present one.
    Now,
    /// Not yet.
    Ahead,
}

/// A weight in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The canary's share.
    pub canary: i32,
    /// Whether every proxy has acknowledged it; unknown where nobody can say.
    pub verified: Option<bool>,
}

/// Whether colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// No.
    Plain,
    /// ANSI sequences.
    Colour,
}

// === impl View ===

impl View {
    /// The lines of the block.
    pub fn block(&self, paint: Paint) -> Vec<String> {
        let title = format!("SLUICE DEMO  {}   {}", clock(self.elapsed), self.title);
        let mut lines = vec![paint.bold(&fit(&title)), String::new()];
        lines.push(labelled("steps", &self.steps_text()));
        lines.push(labelled("weight", &self.weight_text()));
        for (at, share) in self.shares.iter().enumerate() {
            let label = if at == 0 { "answers" } else { "" };
            lines.push(labelled(label, &bar(at + 1, *share)));
        }
        let failed = format!("{} failed", grouped(self.failures));
        let failed = if self.failures > 0 {
            paint.red(&failed)
        } else {
            failed
        };
        lines.push(labelled(
            "users",
            &format!(
                "{} requests   {failed}   {} saved by stable",
                grouped(self.requests),
                grouped(self.fallbacks),
            ),
        ));
        lines.extend(message("state", &self.state, paint));
        lines.extend(message("analysis", &self.analysis, paint));
        lines
    }

    /// One line for a log file.
    pub fn line(&self) -> String {
        let shares = self
            .shares
            .iter()
            .enumerate()
            .filter(|(_, share)| **share > 0.0);
        let shares: Vec<_> = shares
            .map(|(at, share)| format!("v{} {share:.0} %", at + 1))
            .collect();
        let weight = self
            .weight
            .map_or("-".to_owned(), |weight| format!("{} %", weight.canary));
        fit(&format!(
            "{:>5}  release {}  weight {weight:>5}  {:<20}  {:>6} requests, {} failed",
            clock(self.elapsed),
            self.release,
            shares.join("  "),
            self.requests,
            self.failures,
        ))
    }

    /// The lines for a log file that say what changed since `before`, as words.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let told = [
            (&self.title, &before.title, ""),
            (&self.state, &before.state, ""),
            (&self.analysis, &before.analysis, "analysis: "),
        ];
        told.into_iter()
            .filter(|(now, before, _)| now != before && !now.is_empty())
            .flat_map(|(now, _, prefix)| wrapped(&format!("{prefix}{now}"), WIDTH - 7))
            .map(|line| format!("       {line}"))
            .collect()
    }

    /// Whether the line for a log file is worth writing at once.
    pub fn moved(&self, before: &Self) -> bool {
        self.release != before.release || self.weight != before.weight || self.steps != before.steps
    }

    fn steps_text(&self) -> String {
        let steps = self.steps.iter().map(|step| match step.progress {
            Progress::Done => format!("{} % done", step.weight),
            Progress::Now => format!("[{} %]", step.weight),
            Progress::Ahead => format!("{} %", step.weight),
        });
        steps.collect::<Vec<_>>().join("   ")
    }

    fn weight_text(&self) -> String {
        let Some(weight) = self.weight else {
            return "-".to_owned();
        };
        let proxies = match weight.verified {
            Some(true) => ", acknowledged by every proxy",
            Some(false) => ", not yet acknowledged by every proxy",
            None => "",
        };
        format!("{} % to the new version{proxies}", weight.canary)
    }
}

fn message(label: &str, text: &str, paint: Paint) -> Vec<String> {
    let mut lines = wrapped(text, WIDTH - INDENT);
    lines.truncate(MESSAGE_LINES);
    let bad = ["Degraded", "Failed", "Error"]
        .iter()
        .any(|word| text.starts_with(word));
    let good = ["Healthy", "Successful"]
        .iter()
        .any(|word| text.starts_with(word));
    let painted = |line: &String| match (bad, good) {
        (true, _) => paint.red(line),
        (_, true) => paint.green(line),
        _ => line.clone(),
    };
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| labelled(if at == 0 { label } else { "" }, &painted(line)))
        .collect()
}

fn labelled(label: &str, text: &str) -> String {
    format!("  {label:<width$}{text}", width = INDENT - 2)
}

fn bar(version: usize, share: f64) -> String {
    let length = (share / 100.0 * BAR as f64).round() as usize;
    let length = length.clamp(usize::from(share > 0.0), BAR);
    format!(
        "version {version}  {:<BAR$} {share:>3.0} %",
        "█".repeat(length)
    )
}

fn clock(elapsed: Duration) -> String {
    format!("{}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

/// `12345` as `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Breaks at blanks; a word that is too long is cut.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word: String = word.chars().take(width).collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

fn fit(text: &str) -> String {
    text.chars()
        .take(WIDTH)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

// === impl Paint ===

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// For what is bad.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// For what is good.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests;
