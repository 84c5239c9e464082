//! An AnalysisRun alone: some lines about it, and what each of its metrics measured.

use crds::AnalysisRun;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::text::Text;
use super::{Detail, LABEL, Look, columns, heading, line, runs};

/// The lines about a run, and its tree of Jobs and metrics.
pub fn render(run: &AnalysisRun, look: Look, now: Timestamp) -> String {
    let status = run.status.as_ref();
    let state = runs::state(status.and_then(|status| status.phase.as_ref()));
    let mut lines = vec![
        ("Name:", Text::plain(run.name_any())),
        (
            "Namespace:",
            Text::plain(run.namespace().unwrap_or_default()),
        ),
        ("Status:", state.text()),
    ];
    let message = status.and_then(|status| status.message.as_ref());
    lines.extend(message.map(|message| ("Message:", Text::plain(message))));
    let owner = run.owner_references().first();
    lines.extend(owner.map(|owner| {
        let text = format!("{}/{}", owner.kind, owner.name);
        ("Started by:", Text::plain(text))
    }));
    let labels = std::iter::once("Arguments:").chain(std::iter::repeat(""));
    lines.extend(labels.zip(arguments(run)));
    let head: String = lines
        .into_iter()
        .map(|(label, text)| line(label, &text, LABEL, look.paint))
        .collect();
    let mut rows = vec![heading()];
    // Whoever asks for one run wants to know what it measured.
    rows.extend(runs::node(run, Detail::Wide, now).rows());
    format!("{head}\n{}", columns::aligned(&rows, look.paint))
}

/// `name=value`; where the value comes from a Secret only that is said.
fn arguments(run: &AnalysisRun) -> Vec<Text> {
    let shown = run.spec.args.iter().map(|argument| match &argument.value {
        Some(value) => format!("{}={value}", argument.name),
        None => format!("{} (from elsewhere)", argument.name),
    });
    shown.map(Text::plain).collect()
}
