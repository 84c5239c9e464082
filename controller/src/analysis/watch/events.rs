//! Events of a run: what people read in `kubectl describe`. Their loss stops nothing.

use crds::AnalysisRun;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client, Resource as _, ResourceExt as _};

use crate::analysis::plan::Note;

/// Who tells.
const COMPONENT: &str = "rollouts-controller";

/// Tells people about a run; `unique` is the time, and a number that no other event at it has.
pub(super) async fn tell(
    client: &Client,
    run: &AnalysisRun,
    note: &Note,
    unique: (Timestamp, u64),
) {
    let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
    tracing::info!(namespace, name, reason = note.reason, "{}", note.message);
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let created = events
        .create(&PostParams::default(), &event(run, note, unique))
        .await;
    if let Err(error) = created {
        tracing::debug!(namespace, name, %error, "an event was lost");
    }
}

fn event(run: &AnalysisRun, note: &Note, (now, count): (Timestamp, u64)) -> Event {
    let unique = (now.as_nanosecond() as u64).wrapping_add(count);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{unique:x}", run.name_any())),
            namespace: run.namespace(),
            ..ObjectMeta::default()
        },
        involved_object: run.object_ref(&()),
        reason: Some(note.reason.clone()),
        message: Some(note.message.clone()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: None,
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(String::new()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
