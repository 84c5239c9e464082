//! Events: what a kubelet tells people about a pod, as `kubectl describe` shows it.
//!
//! They are told, never relied on: they travel through a short queue to one writer, an event that
//! repeats only has its count raised, and one that cannot be written is dropped.

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::clock::Clock;

/// How many events may wait to be written; more are dropped.
const QUEUE: usize = 256;
/// Kubernetes allows 1024 characters in an event's message.
const LONGEST_MESSAGE: usize = 1024;

/// Tells events; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<Event>,
    clock: Clock,
    node: String,
}

/// Is it news or a worry?
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Normal,
    Warning,
}

/// Writes what [`Events`] were told.
pub(super) struct Writer {
    client: Client,
    queue: mpsc::Receiver<Event>,
}

/// Events told by the kubelet of `node`, and their writer.
pub(super) fn events(client: Client, clock: Clock, node: &str) -> (Events, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (
        Events {
            queue: sender,
            clock,
            node: node.to_owned(),
        },
        Writer { client, queue },
    )
}

impl Events {
    /// Tells one event about `pod`.
    pub(super) fn tell(&self, pod: &Pod, tone: Tone, reason: &str, message: &str) {
        let namespace = pod.namespace();
        let message: String = message.chars().take(LONGEST_MESSAGE).collect();
        let now = Time(self.clock.now());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name(pod, reason, &message)),
                namespace,
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                resource_version: None,
                ..pod.object_ref(&())
            },
            type_: Some(match tone {
                Tone::Normal => "Normal".to_owned(),
                Tone::Warning => "Warning".to_owned(),
            }),
            reason: Some(reason.to_owned()),
            message: Some(message),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::debug!(pod = pod.name_any(), reason, "too many events: one dropped");
        }
    }
}

/// The same for what is told again, so that it is counted and not repeated.
fn name(pod: &Pod, reason: &str, message: &str) -> String {
    const SHOWN: usize = 8;
    let mut hash = Sha256::new();
    for part in [pod.uid().unwrap_or_default().as_str(), reason, message] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    format!(
        "{}.{}",
        pod.name_any(),
        hex::encode(&hash.finalize()[..SHOWN])
    )
}

impl Writer {
    /// Writes until nobody is left who could tell.
    pub(super) async fn run(mut self) {
        while let Some(event) = self.queue.recv().await {
            let name = event.name_any();
            if let Err(error) = self.write(event).await {
                tracing::debug!(name, %error, "an event could not be written");
            }
        }
    }

    async fn write(&self, event: Event) -> Result<(), kube::Error> {
        let namespace = event.namespace().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams::default();
        match api.create(&params, &event).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => return other.map(drop),
        }
        let mut known = api.get(&event.name_any()).await?;
        known.count = Some(known.count.unwrap_or(1).saturating_add(1));
        known.last_timestamp = event.last_timestamp;
        api.replace(&known.name_any(), &params, &known)
            .await
            .map(drop)
    }
}
