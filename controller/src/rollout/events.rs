//! Events: what people read in `kubectl describe`. They are told after the fact, once, and their
//! loss stops nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crds::Rollout;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client, Resource as _, ResourceExt as _};

use super::plan::EventNote;
use crate::clock::Clock;

/// Who tells.
const COMPONENT: &str = "rollouts-controller";
/// What Kubernetes accepts as the message of an event, in bytes.
const LONGEST_MESSAGE: usize = 1024;

/// Tells people what happened to a Rollout.
pub(super) struct Teller {
    client: Client,
    clock: Clock,
    count: AtomicU64,
}

// === impl Teller ===

impl Teller {
    pub(super) fn new(client: Client, clock: Clock) -> Self {
        Self {
            client,
            clock,
            count: AtomicU64::new(0),
        }
    }

    pub(super) async fn tell(&self, rollout: &Rollout, notes: &[EventNote]) {
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        for note in notes {
            tracing::info!(namespace, name, reason = note.reason, "{}", note.message);
            if let Err(error) = events
                .create(&PostParams::default(), &self.event(rollout, note))
                .await
            {
                tracing::debug!(namespace, name, %error, "an event was lost");
            }
        }
    }

    fn event(&self, rollout: &Rollout, note: &EventNote) -> Event {
        let now = self.clock.now();
        // Unique over restarts by the time, within a run by the count.
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unique = (now.as_nanosecond() as u64).wrapping_add(count);
        let mut end = note.message.len().min(LONGEST_MESSAGE);
        while !note.message.is_char_boundary(end) {
            end -= 1;
        }
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{unique:x}", rollout.name_any())),
                namespace: rollout.namespace(),
                ..ObjectMeta::default()
            },
            involved_object: rollout.object_ref(&()),
            reason: Some(note.reason.clone()),
            message: Some(note.message[..end].to_owned()),
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
}
