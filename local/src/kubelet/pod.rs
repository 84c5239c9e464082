//! One pod of this node, from the first sight of it until it is gone.
//!
//! Two things go on at once: the pod *lives* (init containers one by one, then all the others until
//! they have ended for good or the pod is ended), and it is *reported* (whenever the status that
//! follows from what the containers do differs from the one written last). When a deleted pod has
//! ended, its last status is written and the object is deleted without grace, which is how a
//! kubelet says that nothing is left.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateWaiting, ContainerStatus, Pod, PodStatus,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    address::{Addresses, Lease},
    container::{Life, Shared, Which, Why},
    events::Tone,
    status::{Ground, View, status},
};

/// The pause before a status that could not be written is tried again.
const RETRY_WRITE: Duration = Duration::from_secs(1);
/// The pause before another look for a free address.
const RETRY_ADDRESS: Duration = Duration::from_secs(5);

/// What runs one pod.
pub(super) struct Worker {
    pub(super) client: Client,
    pub(super) shared: Shared,
    pub(super) host_ip: Ipv4Addr,
    pub(super) addresses: Arc<Addresses>,
    /// The pod as it was last seen.
    pub(super) seen: watch::Receiver<Arc<Pod>>,
}

impl Worker {
    /// Until the pod is gone or the kubelet stops.
    pub(super) async fn run(self) {
        let address = watch::Sender::new(None);
        let lease = tokio::select! {
            biased;
            lease = self.live(&address) => lease,
            () = self.report_changes(&address) => None,
        };
        let why = self.shared.ending.borrow().map(|ending| ending.why);
        if why == Some(Why::Deleted) {
            self.bury(&address).await;
        }
        if why != Some(Why::Shutdown) {
            self.shared.runtime.forget(&self.shared.pod);
        }
        // Only now may another pod have the address.
        drop(lease);
    }

    /// Runs the containers and then waits for the end of the pod.
    async fn live(&self, address: &watch::Sender<Option<Ipv4Addr>>) -> Option<Lease> {
        // A pod that is being deleted when it is first seen is not begun any more.
        let nothing_to_run = is_finished(&self.shared.pod) || self.shared.ending.borrow().is_some();
        let lease = if nothing_to_run {
            None
        } else {
            self.admit().await
        };
        if let Some(lease) = &lease {
            address.send_replace(Some(lease.address()));
            self.containers(lease.address()).await;
            self.shared.view.send_modify(|view| view.over = true);
        }
        let mut ending = self.shared.ending.clone();
        // Whoever ends pods outlives them; if it does not, that is an end too.
        let _ = ending.wait_for(Option::is_some).await;
        lease
    }

    /// An address, unless the pod asks for what cannot be done.
    async fn admit(&self) -> Option<Lease> {
        let pod = &self.shared.pod;
        if let Some(refusal) = self.shared.runtime.refuse(pod) {
            self.refuse("NotSupported", &refusal);
            return None;
        }
        let kept = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_deref());
        let kept = kept.and_then(|ip| ip.parse().ok());
        let mut ending = self.shared.ending.clone();
        loop {
            match self.addresses.lease(kept) {
                Ok(lease) => return Some(lease),
                Err(error) => self.refuse("NoPodAddress", &error.to_string()),
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(RETRY_ADDRESS) => {}
                _ = ending.wait_for(Option::is_some) => return None,
            }
        }
    }

    /// Says in every container's state, and in an event, why nothing runs.
    fn refuse(&self, reason: &str, message: &str) {
        self.shared
            .events
            .tell(&self.shared.pod, Tone::Warning, reason, message);
        self.shared.view.send_modify(|view| {
            for status in view.inits.iter_mut().chain(&mut view.mains) {
                status.state = Some(waiting(reason, Some(message)));
            }
        });
    }

    async fn containers(&self, pod_ip: Ipv4Addr) {
        let Some(spec) = &self.shared.pod.spec else {
            return;
        };
        let life = |which, container: &Container| Life {
            shared: &self.shared,
            which,
            container: Arc::new(container.clone()),
            pod_ip,
        };
        for (at, container) in spec.init_containers.iter().flatten().enumerate() {
            if !life(Which::Init(at), container).live().await {
                return;
            }
        }
        let lives: Vec<Life<'_>> = spec
            .containers
            .iter()
            .enumerate()
            .map(|(at, container)| life(Which::Main(at), container))
            .collect();
        join_all(lives.iter().map(Life::live)).await;
    }

    /// Writes the status whenever it differs from what was written last. Never ends.
    async fn report_changes(&self, address: &watch::Sender<Option<Ipv4Addr>>) {
        let mut view = self.shared.view.subscribe();
        let mut seen = self.seen.clone();
        let mut ending = self.shared.ending.clone();
        let mut written = self.shared.pod.status.clone();
        loop {
            view.borrow_and_update();
            let pod = Arc::clone(&seen.borrow_and_update());
            ending.borrow_and_update();
            let retry = self.report(&pod, address, &mut written).await.is_err();
            let pause = if retry { RETRY_WRITE } else { Duration::MAX };
            tokio::select! {
                biased;
                changed = view.changed() => if changed.is_err() { return std::future::pending().await },
                changed = seen.changed() => if changed.is_err() { return std::future::pending().await },
                changed = ending.changed() => if changed.is_err() { return std::future::pending().await },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn report(
        &self,
        pod: &Pod,
        address: &watch::Sender<Option<Ipv4Addr>>,
        written: &mut Option<PodStatus>,
    ) -> Result<(), kube::Error> {
        let view = self.shared.view.borrow().clone();
        let view = View {
            ending: self.shared.ending.borrow().is_some(),
            ..view
        };
        if is_finished(pod) && !view.over {
            return Ok(());
        }
        // Conditions of others come from what was seen, the times of ours from what was written.
        let base = Pod {
            status: merged(pod.status.as_ref(), written.as_ref()),
            ..pod.clone()
        };
        let now = self.shared.clock.now();
        let ground = Ground {
            pod_ip: *address.borrow(),
            host_ip: self.host_ip,
            started: now,
        };
        let new = status(&base, &view, ground, now);
        if written.as_ref() == Some(&new) {
            return Ok(());
        }
        // With its uid, so that a pod that has taken the name in the meantime is not touched.
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": new});
        let pods = self.pods();
        let wrote = pods
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await;
        match wrote {
            Ok(_) => {}
            // The watch will tell that it is gone.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::warn!(pod = pod.name_any(), %error, "cannot write a pod's status");
                return Err(error);
            }
        }
        *written = Some(new);
        Ok(())
    }

    /// The last status, and the object's end.
    async fn bury(&self, address: &watch::Sender<Option<Ipv4Addr>>) {
        let pod = Arc::clone(&self.seen.borrow());
        // Deleting matters more than the last words.
        let _ = self.report(&pod, address, &mut None).await;
        let only = Preconditions {
            uid: pod.uid(),
            resource_version: None,
        };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let params = params.preconditions(only);
        let mut ending = self.shared.ending.clone();
        loop {
            match self.pods().delete(&pod.name_any(), &params).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 404 => return,
                Err(error) => tracing::warn!(pod = pod.name_any(), %error, "cannot delete a pod"),
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(RETRY_WRITE) => {}
                _ = ending.wait_for(|ending| ending.is_none_or(|e| e.why != Why::Deleted)) => return,
            }
        }
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(
            self.client.clone(),
            &self.shared.pod.namespace().unwrap_or_default(),
        )
    }
}

/// What was written, with the conditions of others as they were seen last.
fn merged(seen: Option<&PodStatus>, written: Option<&PodStatus>) -> Option<PodStatus> {
    let mut merged = written.or(seen)?.clone();
    let conditions = merged.conditions.get_or_insert_default();
    for theirs in seen
        .iter()
        .flat_map(|seen| seen.conditions.iter().flatten())
    {
        let is_ours = ["Initialized", "Ready", "ContainersReady", "PodScheduled"];
        if is_ours.contains(&theirs.type_.as_str()) {
            continue;
        }
        match conditions
            .iter_mut()
            .find(|condition| condition.type_ == theirs.type_)
        {
            Some(known) => *known = theirs.clone(),
            None => conditions.push(theirs.clone()),
        }
    }
    Some(merged)
}

/// What is known of a pod's containers before any of them runs. A container that had run before
/// this kubelet was started counts one restart more, because its process died with the last one.
pub(super) fn first_view(pod: &Pod) -> View {
    let spec = pod.spec.clone().unwrap_or_default();
    let old = pod.status.clone().unwrap_or_default();
    let initial = |containers: Vec<Container>, old: Option<Vec<ContainerStatus>>| {
        let old = old.unwrap_or_default();
        containers
            .iter()
            .map(|container| {
                let before = old.iter().find(|status| status.name == container.name);
                first_status(container, before)
            })
            .collect()
    };
    View {
        inits: initial(
            spec.init_containers.unwrap_or_default(),
            old.init_container_statuses,
        ),
        mains: initial(spec.containers, old.container_statuses),
        ending: false,
        over: false,
    }
}

fn first_status(container: &Container, before: Option<&ContainerStatus>) -> ContainerStatus {
    let state = before.and_then(|before| before.state.as_ref());
    let ran = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        restart_count: before.map_or(0, |before| before.restart_count + i32::from(ran)),
        last_state: before.and_then(|before| before.last_state.clone()),
        state: Some(waiting("ContainerCreating", None)),
        started: Some(false),
        ..ContainerStatus::default()
    }
}

fn waiting(reason: &str, message: Option<&str>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: message.map(str::to_owned),
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

fn is_finished(pod: &Pod) -> bool {
    crate::controllers::pods::is_finished(pod)
}
