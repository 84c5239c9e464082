//! Events: what people read in `kubectl describe`. They are told after the fact, once, and their
//! loss stops nothing. What was told lately and is told again only counts up, as the recorder of
//! client-go does it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use crds::Rollout;
use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::plan::EventNote;
use crate::clock::Clock;

/// Who tells.
const COMPONENT: &str = "rollouts-controller";
/// What Kubernetes accepts as the message of an event, in bytes.
const LONGEST_MESSAGE: usize = 1024;
/// Events that are remembered, so that the same one again counts up: client-go's number.
const REMEMBERED: usize = 4096;

/// Events that may wait to be written. A thousand releases at once tell some seven thousand.
const WAITING: usize = 8_192;

/// Tells people what happened to a Rollout.
pub(super) struct Teller {
    clock: Clock,
    count: AtomicU64,
    waiting: mpsc::Sender<(Same, Event)>,
}

/// Writes what was told, beside the looks: nobody waits for an event.
pub(super) struct Scribe {
    client: Client,
    waiting: mpsc::Receiver<(Same, Event)>,
    told: Told,
}

/// The same event: whose it is, its reason and its message.
type Same = (String, String, String);

/// What was told lately.
#[derive(Default)]
struct Told {
    /// The name of each event, and how often it was told.
    events: BTreeMap<Same, (String, i32)>,
    /// In the order in which they were told first.
    order: VecDeque<Same>,
}

// === impl Scribe ===

impl Scribe {
    /// Writes until nobody tells anything any more.
    pub(super) async fn write(mut self) {
        while let Some((same, event)) = self.waiting.recv().await {
            let about = event.involved_object.name.clone();
            if let Err(error) = self.write_one(same, event).await {
                tracing::debug!(about, %error, "an event was lost");
            }
        }
    }

    async fn write_one(&mut self, same: Same, event: Event) -> Result<(), kube::Error> {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Some((name, count)) = self.told.again(&same) {
            let patch = json!({"count": count, "lastTimestamp": event.last_timestamp});
            let patched = events
                .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            match patched {
                // It was too old for the API server: told anew.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        events.create(&PostParams::default(), &event).await?;
        self.told.remember(same, event.name_any());
        Ok(())
    }
}

// === impl Teller ===

impl Teller {
    pub(super) fn new(client: Client, clock: Clock) -> (Self, Scribe) {
        let (told, waiting) = mpsc::channel(WAITING);
        let teller = Self {
            clock,
            count: AtomicU64::new(0),
            waiting: told,
        };
        let scribe = Scribe {
            client,
            waiting,
            told: Told::default(),
        };
        (teller, scribe)
    }

    pub(super) fn tell(&self, rollout: &Rollout, notes: &[EventNote]) {
        let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
        for note in notes {
            tracing::info!(namespace, name, reason = note.reason, "{}", note.message);
            let same = (
                rollout.uid().unwrap_or_default(),
                note.reason.clone(),
                note.message.clone(),
            );
            let told = (same, self.event(rollout, note));
            if self.waiting.try_send(told).is_err() {
                tracing::debug!(namespace, name, "an event was lost: too many wait");
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

// === impl Told ===

impl Told {
    /// The name of an event that was told lately, and how often it is told now.
    fn again(&mut self, same: &Same) -> Option<(String, i32)> {
        let (name, count) = self.events.get_mut(same)?;
        *count = count.saturating_add(1);
        Some((name.clone(), *count))
    }

    fn remember(&mut self, same: Same, name: String) {
        if self.events.insert(same.clone(), (name, 1)).is_none() {
            self.order.push_back(same);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.events.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(number: usize) -> Same {
        ("uid".to_owned(), "Reason".to_owned(), number.to_string())
    }

    #[test]
    fn what_is_told_again_counts_up_until_it_is_forgotten() {
        let mut told = Told::default();
        assert_eq!(told.again(&same(0)), None);
        told.remember(same(0), "first".to_owned());
        assert_eq!(told.again(&same(0)), Some(("first".to_owned(), 2)));
        assert_eq!(told.again(&same(0)), Some(("first".to_owned(), 3)));
        told.remember(same(0), "anew".to_owned());
        assert_eq!(told.again(&same(0)), Some(("anew".to_owned(), 2)));
        for number in 1..=REMEMBERED {
            told.remember(same(number), number.to_string());
        }
        assert_eq!(told.again(&same(0)), None);
        assert_eq!(
            (told.events.len(), told.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
