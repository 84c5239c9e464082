//! Keeps the authorities as a ConfigMap in the namespace of each fleet, where proxies mount it.
//!
//! One watch by name sees them all, so what is there costs nothing, and what somebody deletes comes
//! back. It needs no right to read any other ConfigMap. One that is not labelled as ours is left
//! alone and said so: whoever made it publishes the authorities in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CA_KEY, MANAGED_BY};
use crate::patience::Patience;

/// How long after a write that failed there is another try.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The authorities, as they are to be and as they are.
struct Publisher {
    client: Client,
    name: String,
    /// By namespace.
    there: BTreeMap<String, ConfigMap>,
    /// Namespaces that were complained about.
    foreign: BTreeSet<String>,
}

/// What is to be done about one namespace. Pure.
#[derive(Clone, Debug, PartialEq)]
enum Todo {
    Nothing,
    Foreign,
    Create(Box<ConfigMap>),
    Replace(Box<ConfigMap>),
}

/// Publishes what `bundle` says in the namespaces that `wanted` says, and where it was published
/// before, until `stop`. Call it on the leader only. `namespace` bounds what is watched.
pub async fn publish(
    (client, name, namespace): (Client, String, Option<String>),
    mut bundle: watch::Receiver<Option<Arc<str>>>,
    mut wanted: watch::Receiver<BTreeSet<String>>,
    stop: CancellationToken,
) {
    let api: Api<ConfigMap> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), &namespace),
        None => Api::all(client.clone()),
    };
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api, config).backoff(Patience::default()));
    let mut publisher = Publisher {
        client,
        name,
        there: BTreeMap::new(),
        foreign: BTreeSet::new(),
    };
    let (mut listed, mut well) = (false, true);
    loop {
        tokio::select! {
            Some(event) = events.next() => listed |= publisher.saw(event),
            Ok(()) = bundle.changed() => {}
            Ok(()) = wanted.changed() => {}
            () = tokio::time::sleep(RETRY_INTERVAL), if !well => {}
            () = stop.cancelled() => return,
        }
        let now = bundle.borrow_and_update().clone();
        let namespaces = wanted.borrow_and_update().clone();
        if let (true, Some(bundle)) = (listed, now) {
            tokio::select! {
                done = publisher.bring_up_to_date(&bundle, &namespaces) => well = done,
                () = stop.cancelled() => return,
            }
        }
    }
}

// === impl Publisher ===

impl Publisher {
    /// True once all of them were listed.
    fn saw(&mut self, event: Result<Event<ConfigMap>, watcher::Error>) -> bool {
        match event {
            Ok(Event::Init) => self.there.clear(),
            Ok(Event::InitApply(map) | Event::Apply(map)) => {
                let namespace = map.namespace().unwrap_or_default();
                self.there.insert(namespace, map);
            }
            Ok(Event::Delete(map)) => {
                let namespace = map.namespace().unwrap_or_default();
                self.there.remove(&namespace);
                self.foreign.remove(&namespace);
            }
            Ok(Event::InitDone) => return true,
            Err(error) => {
                tracing::warn!(%error, name = self.name, "the ConfigMaps with the uplink's authorities cannot be watched");
            }
        }
        false
    }

    /// False where something is to be tried again.
    async fn bring_up_to_date(&mut self, bundle: &str, wanted: &BTreeSet<String>) -> bool {
        let there = self.there.keys().cloned();
        let namespaces: BTreeSet<String> = there.chain(wanted.iter().cloned()).collect();
        let mut well = true;
        for namespace in namespaces {
            match todo(&self.name, bundle, self.there.get(&namespace)) {
                Todo::Nothing => {}
                Todo::Foreign => self.complain(namespace),
                Todo::Create(map) => well &= self.write(&namespace, *map, Write::Create).await,
                Todo::Replace(map) => well &= self.write(&namespace, *map, Write::Replace).await,
            }
        }
        well
    }

    fn complain(&mut self, namespace: String) {
        if self.foreign.insert(namespace.clone()) {
            let (label, value) = MANAGED_BY;
            tracing::warn!(
                namespace,
                name = self.name,
                "a ConfigMap without the label {label}={value} is left alone; proxies that mount it \
                 trust what it says"
            );
        }
    }

    async fn write(&mut self, namespace: &str, map: ConfigMap, how: Write) -> bool {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let parameters = PostParams::default();
        let written = match how {
            Write::Create => api.create(&parameters, &map).await,
            Write::Replace => api.replace(&self.name, &parameters, &map).await,
        };
        match written {
            Ok(map) => {
                tracing::info!(
                    namespace,
                    name = self.name,
                    "published the uplink's authorities"
                );
                self.there.insert(namespace.to_owned(), map);
                true
            }
            // Somebody was faster; the watch brings what is there.
            Err(kube::Error::Api(status)) if status.code == 409 => true,
            Err(error) => {
                tracing::warn!(namespace, name = self.name, %error, "the uplink's authorities are not published");
                false
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Write {
    Create,
    Replace,
}

fn todo(name: &str, bundle: &str, there: Option<&ConfigMap>) -> Todo {
    let (label, value) = MANAGED_BY;
    let data = Some([(CA_KEY.to_owned(), bundle.to_owned())].into());
    let Some(there) = there else {
        let mut map = ConfigMap {
            data,
            ..ConfigMap::default()
        };
        map.metadata.name = Some(name.to_owned());
        map.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
        return Todo::Create(Box::new(map));
    };
    if there.labels().get(label).map(String::as_str) != Some(value) {
        return Todo::Foreign;
    }
    if there.data == data {
        return Todo::Nothing;
    }
    let mut map = there.clone();
    map.data = data;
    Todo::Replace(Box::new(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_map_is_made_renewed_and_left_alone_where_it_is_not_ours() {
        let Todo::Create(made) = todo("ca", "one", None) else {
            panic!("there is none");
        };
        assert_eq!(made.data.as_ref().expect("data")[CA_KEY], "one");
        assert_eq!(todo("ca", "one", Some(&made)), Todo::Nothing);
        let mut kept = *made.clone();
        kept.metadata.resource_version = Some("7".to_owned());
        let Todo::Replace(renewed) = todo("ca", "two", Some(&kept)) else {
            panic!("it is old");
        };
        assert_eq!(renewed.data.as_ref().expect("data")[CA_KEY], "two");
        assert_eq!(renewed.metadata.resource_version.as_deref(), Some("7"));
        let mut foreign = *made;
        foreign.metadata.labels = None;
        assert_eq!(todo("ca", "two", Some(&foreign)), Todo::Foreign);
    }
}
