//! May a pod be evicted? What Kubernetes asks of PodDisruptionBudgets before it lets a pod go
//! (`pkg/registry/core/pod/storage/eviction.go`). The numbers come from the budget's status, which a
//! controller keeps.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::crd::stamp;
use crate::api::kinds::Kind;
use crate::api::object::{child_mut, is_deleting, list, map_mut, name, namespace, number, text};
use crate::api::refuse::{self, Refusal};
use crate::api::scale::selector_text;
use crate::api::select::Selector;
use crate::api::store::State;

/// The budget with one disruption fewer, if there is a budget that the eviction counts against.
pub(super) fn permit(
    state: &State,
    pod: &Value,
    now: Timestamp,
) -> Result<Option<(Arc<Kind>, Value)>, Refusal> {
    let gone_already = matches!(
        text(pod, "/status/phase"),
        "Pending" | "Succeeded" | "Failed"
    );
    if gone_already || is_deleting(pod) {
        return Ok(None);
    }
    let Some(kind) = state.kinds.find("policy", "v1", "poddisruptionbudgets") else {
        return Ok(None);
    };
    let kind = kind.clone();
    let budgets = state.in_namespace(&kind.place, namespace(pod));
    let mut covering = budgets.into_iter().filter(|budget| covers(budget, pod));
    let Some(budget) = covering.next() else {
        return Ok(None);
    };
    if covering.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(refuse::internal_as_said(why));
    }
    if goes_for_free(&budget, pod) {
        return Ok(None);
    }
    let spent = spend(&budget, name(pod), now)?;
    Ok(Some((kind, spent)))
}

/// A budget without a selector covers nothing, one with an empty selector everything.
fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    let parsed = Selector::of_labels(&selector_text(selector));
    selector.is_object() && parsed.is_ok_and(|selector| selector.matches(pod))
}

/// A pod that is not ready serves nobody: it may go where the others suffice.
fn goes_for_free(budget: &Value, pod: &Value) -> bool {
    let conditions = list(pod, "/status/conditions");
    let ready = conditions
        .iter()
        .any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True");
    let count = |pointer: &str| number(budget, pointer).unwrap_or(0);
    let (healthy, desired) = (
        count("/status/currentHealthy"),
        count("/status/desiredHealthy"),
    );
    let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
    !ready && (always || (healthy >= desired && desired > 0))
}

fn spend(budget: &Value, pod: &str, now: Timestamp) -> Result<Value, Refusal> {
    let count = |pointer: &str| number(budget, pointer).unwrap_or(0);
    if count("/status/observedGeneration") < count("/metadata/generation") {
        let why = "is still being processed by the server.";
        return Err(refuse::disrupts(name(budget), why));
    }
    let allowed = count("/status/disruptionsAllowed");
    if allowed <= 0 {
        let why = format!(
            "needs {} healthy pods and has {} currently",
            count("/status/desiredHealthy"),
            count("/status/currentHealthy")
        );
        return Err(refuse::disrupts(name(budget), &why));
    }
    let mut spent = budget.clone();
    let status = child_mut(&mut spent, "status");
    status.insert("disruptionsAllowed".to_owned(), json!(allowed - 1));
    let disrupted = status.entry("disruptedPods").or_insert(json!({}));
    map_mut(disrupted).insert(pod.to_owned(), json!(stamp(now)));
    Ok(spent)
}
