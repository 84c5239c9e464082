//! A controller whose uplink is protected, proxies that try to join it, and what they are told. On any
//! API server that knows tokens: `local`'s or a real one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use controller::authority::{CA_LEAD, CA_RENEW_BEFORE, CA_VALIDITY, Material, Place};
use controller::clock::Clock;
use controller::run::{Options, UplinkTls};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use proxy::args::{AccessLog, Credentials, Membership, Settings, Source};
use proxy::run::Signals;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::get;
use crate::wait::{LONG, eventually};

/// What tokens are for.
pub const AUDIENCE: &str = "sluice-uplink";
/// The name of the uplink's certificate.
const NAME: &str = "sluice-controller.sluice.svc";
const SECRET: &str = "sluice-uplink";
const CONFIG_MAP: &str = "sluice-uplink-ca";
/// The ServiceAccount of proxies.
const ACCOUNT: &str = "proxy";

/// A controller of the whole cluster, in this process.
pub struct Secured {
    client: Client,
    namespace: String,
    running: controller::run::Running,
    dir: tempfile::TempDir,
}

/// A proxy in this process.
pub struct Joining {
    running: Option<proxy::run::Running>,
    status: SocketAddr,
    admin: SocketAddr,
}

// === impl Secured ===

impl Secured {
    /// A namespace, and a controller in it that reaches the API server with `own`, everything else with
    /// `client`.
    ///
    /// # Panics
    ///
    /// When anything of it is refused.
    pub async fn start((client, own): (Client, Client), namespace: &str) -> Self {
        make_namespace(&client, namespace).await;
        let clock = Clock::system();
        let names = BTreeSet::from([NAME.to_owned()]);
        let tls = UplinkTls {
            place: Place {
                namespace: namespace.to_owned(),
                secret: SECRET.to_owned(),
                config_map: CONFIG_MAP.to_owned(),
                names,
            },
            audience: AUDIENCE.to_owned(),
        };
        let options = Options {
            uplink_tls: Some(tls),
            ..Options::local(namespace, "secured")
        };
        let running = controller::run::start(own, clock, options).await;
        let running = running.expect("a controller that starts");
        assert!(running.serves().await, "it serves");
        Self {
            client,
            namespace: namespace.to_owned(),
            running,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Puts an authority into the namespace whose successor may sign in `left`.
    pub async fn age(client: &Client, namespace: &str, left: Duration) {
        make_namespace(client, namespace).await;
        let now = Clock::system().now();
        let names = BTreeSet::from([NAME.to_owned()]);
        let old = Material::begin(&names, now - (CA_VALIDITY - CA_RENEW_BEFORE) - CA_LEAD);
        let yesterday = now - CA_LEAD + left;
        let aged = Material::renewed(Some(&old.expect("made")), &names, yesterday);
        let aged = aged.expect("made").expect("a successor was due");
        let secret = json!({"metadata": {"name": SECRET}, "type": "Opaque"});
        let mut secret: Secret = serde_json::from_value(secret).expect("a Secret");
        secret.data = Some(aged.write());
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .expect("created");
    }

    /// A Rollout that claims a hostname of the fleet `web`.
    pub async fn roll_out(&self, name: &str, hostname: &str) {
        let client = &self.client;
        let canary = format!("{name}-canary");
        for service in [name, &canary] {
            let service = json!({"metadata": {"name": service}, "spec": {
                "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}});
            create::<Service>(client, &self.namespace, service).await;
        }
        let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": name}, "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}},
                             "spec": {"containers": [{"name": "app", "image": "app"}]}},
                "strategy": {"canary": {"stableService": name, "canaryService": canary, "trafficRouting": {
                    "plugins": {"sluice/proxy": {"fleet": "web", "hostnames": [hostname]}}}}}}});
        create::<crds::Rollout>(client, &self.namespace, rollout).await;
    }

    /// Waits until a Rollout is InvalidSpec, and gives the message.
    pub async fn invalid(&self, name: &str) -> String {
        let rollouts: Api<crds::Rollout> = Api::namespaced(self.client.clone(), &self.namespace);
        eventually("InvalidSpec", LONG, async || {
            let rollout = rollouts.get(name).await.ok()?;
            let status = serde_json::to_value(rollout.status?).ok()?;
            let conditions = status["conditions"].as_array()?.clone();
            let invalid = conditions.iter().find(|it| it["type"] == "InvalidSpec")?;
            invalid["message"].as_str().map(str::to_owned)
        })
        .await
    }

    /// Waits until the ConfigMap is there and `wanted`, and writes it where proxies read it.
    pub async fn authorities(&self, wanted: impl Fn(&str) -> bool) -> String {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        // The controller looks at its Secret once a minute.
        let patience = LONG + Duration::from_mins(1);
        let bundle = eventually("the authorities", patience, async || {
            let map = maps.get_opt(CONFIG_MAP).await.ok()??;
            let bundle = map.data?.remove("ca.crt")?;
            wanted(&bundle).then_some(bundle)
        })
        .await;
        std::fs::write(self.ca(), &bundle).expect("written");
        bundle
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A token of a ServiceAccount that is made for it.
    pub async fn token(&self, namespace: &str, audience: &str) -> PathBuf {
        make_namespace(&self.client, namespace).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = json!({"metadata": {"name": ACCOUNT}});
        let account = serde_json::from_value(account).expect("an account");
        let parameters = PostParams::default();
        let _ = accounts.create(&parameters, &account).await;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let given = accounts.create_token_request(ACCOUNT, &parameters, &request);
        let token = given.await.expect("a token").status.expect("given").token;
        let file = format!("{namespace}-{}", audience.replace(['/', ':'], "_"));
        let path = self.dir.path().join(file);
        std::fs::write(&path, token).expect("written");
        path
    }

    /// A proxy of the fleet `web` that tries to join.
    pub fn join(&self, proxy: &str, token: Option<&Path>) -> Joining {
        let address = format!("https://{}", self.running.uplink_addr);
        let membership = Membership {
            controller: address.parse().expect("an address"),
            credentials: Some(Credentials {
                ca: self.ca(),
                name: NAME.to_owned(),
                token: token.map(Path::to_owned),
            }),
            fleet: format!("{}/web", self.namespace),
            proxy: proxy.to_owned(),
        };
        Joining::start(membership)
    }

    /// How many proxies are connected.
    pub fn connected(&self) -> usize {
        self.running.fleets.connected().values().sum()
    }

    /// Ends it, and removes the namespace; first the Rollouts, with which a next controller would go on
    /// while nothing can be made in the namespace any more.
    pub async fn stop(self) {
        self.running.stop.cancel();
        self.running
            .join
            .await
            .expect("no panic")
            .expect("ended well");
        let rollouts: Api<crds::Rollout> = Api::namespaced(self.client.clone(), &self.namespace);
        let (how, all) = (DeleteParams::background(), ListParams::default());
        let deleted = rollouts.delete_collection(&how, &all).await;
        deleted.expect("Rollouts that can be deleted");
        let namespaces: Api<Namespace> = Api::all(self.client);
        let _ = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
    }
}

async fn make_namespace(client: &Client, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = json!({"metadata": {"name": namespace}});
    let object = serde_json::from_value(object).expect("a namespace");
    match namespaces.create(&PostParams::default(), &object).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("{error}"),
    }
}

async fn create<K>(client: &Client, namespace: &str, object: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let object = serde_json::from_value(object).expect("an object");
    let created = api.create(&PostParams::default(), &object).await;
    created.expect("created");
}

// === impl Joining ===

impl Joining {
    fn start(membership: Membership) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            listen: any,
            listen_tls: None,
            status: any,
            admin: any,
            workers: 1,
            source: Source::Controller(membership),
            poll: Duration::from_secs(1),
            state_dir: None,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(1),
            access_log: AccessLog::Off,
        };
        let running = proxy::run::start(settings, Signals::Ignore).expect("started");
        let (status, admin) = (running.addresses().status, running.addresses().admin);
        Self {
            running: Some(running),
            status,
            admin,
        }
    }

    /// Waits until it says so, where people look when it is not ready.
    pub async fn says(&self, sentence: &str) {
        eventually(sentence, LONG, async || {
            let answer = get(self.status, "/readyz").await?;
            let config = get(self.admin, "/config").await?;
            let both = answer.body.contains(sentence) && config.body.contains(sentence);
            (answer.status == 503 && both).then_some(())
        })
        .await;
    }

    /// Waits until it has its routes.
    pub async fn ready(&self) {
        eventually("a proxy that is ready", LONG, async || {
            let answer = get(self.status, "/readyz").await?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// What is in force, as people see it.
    pub async fn config(&self) -> Value {
        let answer = get(self.admin, "/config").await.expect("an answer");
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// How many streams it opened so far.
    pub async fn streams(&self) -> u64 {
        let answer = get(self.status, "/metrics").await.expect("a scrape");
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix("sluice_uplink_connects_total "));
        line.and_then(|value| value.parse().ok()).expect("a count")
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain().hurry();
            let _ = running.wait();
        }
    }
}
