//! The checks of `workloadRef` itself; its pods are checked like any others.

use crds::Rollout;
use serde_json::json;

use super::{ScaleDown, SpecError};
use crate::rollout::workload::WorkloadKind;

const WORDS: [(&str, ScaleDown); 4] = [
    ("", ScaleDown::Never),
    ("never", ScaleDown::Never),
    ("onsuccess", ScaleDown::OnSuccess),
    ("progressively", ScaleDown::Progressively),
];

pub(super) fn check(rollout: &Rollout, errors: &mut Vec<SpecError>) {
    let Some(reference) = &rollout.spec.workload_ref else {
        return;
    };
    let path = "spec.workloadRef.scaleDown";
    let word = reference.scale_down.as_deref().unwrap_or_default();
    let Some((_, meaning)) = WORDS.iter().find(|(known, _)| *known == word) else {
        let text = "must be never, onsuccess or progressively";
        errors.push(SpecError::invalid(path, json!(word), text));
        return;
    };
    let kind = WorkloadKind::of(
        reference.api_version.as_deref().unwrap_or_default(),
        reference.kind.as_deref().unwrap_or_default(),
    );
    if *meaning != ScaleDown::Never && kind.is_some_and(|kind| kind != WorkloadKind::Deployment) {
        let text = "only a Deployment can be scaled down";
        errors.push(SpecError::invalid(path, json!(word), text));
    }
}

/// When the Deployment goes to zero.
pub(super) fn scale_down(rollout: &Rollout) -> ScaleDown {
    let reference = rollout.spec.workload_ref.as_ref();
    let word = reference.and_then(|reference| reference.scale_down.as_deref());
    let known = WORDS
        .iter()
        .find(|(known, _)| *known == word.unwrap_or_default());
    known.map(|(_, meaning)| *meaning).unwrap_or_default()
}
