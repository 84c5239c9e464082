//! The uplink over TLS, with tokens: who gets in, who does not, and what a rotation changes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use uplink::proto::controller_message::Kind as Told;

use super::*;
use crate::authority::{CA_LEAD, CA_RENEW_BEFORE, CA_VALIDITY, Material, Served};
use crate::fleets::Published;
use crate::publish::Plan;

const AUDIENCE: &str = "sluice-uplink";
const NAME: &str = "sluice-controller.sluice.svc";

/// An API server that knows nothing but tokens: it accepts what [`token`] makes for its audience.
#[derive(Debug, Default)]
struct Api {
    away: AtomicBool,
    asked: AtomicUsize,
}

// === impl Api ===

impl Api {
    fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        Client::new(service, "default")
    }

    async fn answer(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, std::io::Error> {
        assert_eq!(
            request.uri().path(),
            "/apis/authentication.k8s.io/v1/tokenreviews"
        );
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let body = request.into_body().collect_bytes().await;
        let mut review: Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        review["status"] = status(&review["spec"]);
        let body = Body::from(serde_json::to_vec(&review).expect("JSON"));
        Ok(http::Response::new(body))
    }
}

/// As the real one answers.
fn status(spec: &Value) -> Value {
    let claims = spec["token"]
        .as_str()
        .and_then(|token| token.split('.').nth(1));
    let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let Some(claims) = claims else {
        return json!({"authenticated": false, "error": "invalid bearer token"});
    };
    if claims["aud"] != spec["audiences"] {
        let error = format!(
            "token audiences {} is invalid for the target audiences",
            claims["aud"]
        );
        return json!({"authenticated": false, "error": error});
    }
    json!({"authenticated": true, "audiences": claims["aud"], "user": {
        "username": format!("system:serviceaccount:{}:proxy", claims["namespace"].as_str().unwrap_or("")),
        "extra": {"authentication.kubernetes.io/pod-name": ["web-1"]}}})
}

fn token(namespace: &str, audience: &str) -> String {
    let claims = json!({"aud": [audience], "namespace": namespace, "exp": 4_000_000_000_i64});
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// A controller's uplink over TLS, without the controller.
struct Secured {
    fleets: Arc<Fleets>,
    served: Arc<Served>,
    address: SocketAddr,
    stop: CancellationToken,
    _serving: watch::Sender<Serving>,
    _task: tokio::task::JoinHandle<()>,
}

// === impl Secured ===

impl Secured {
    async fn start(material: &Material) -> Self {
        let (api, stop) = (Arc::<Api>::default(), CancellationToken::new());
        let clock = Clock::system();
        let (fleets, served) = (Arc::new(Fleets::new(clock)), Arc::<Served>::default());
        served.adopt(material).expect("usable");
        let (told, serving) = watch::channel(Serving::Serves);
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), true).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let protection = Protection::Tls {
            config: served.server_config().expect("a configuration"),
            reviewer: Arc::new(Reviewer::new(api.client(), AUDIENCE, clock)),
        };
        let serve = serve(
            (listener, protection),
            fleets.clone(),
            serving,
            stop.clone(),
        );
        Self {
            _task: tokio::spawn(async move { serve.await.expect("served") }),
            _serving: told,
            fleets,
            served,
            address,
            stop,
        }
    }

    async fn channel(&self, bundle: &str) -> Result<Channel, String> {
        let tls = ClientTlsConfig::new()
            .domain_name(NAME)
            .ca_certificate(Certificate::from_pem(bundle));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address));
        let endpoint = endpoint.and_then(|it| it.tls_config(tls)).expect("valid");
        endpoint
            .connect()
            .await
            .map_err(|error| format!("{error:?}"))
    }

    async fn join(
        &self,
        bundle: &str,
        fleet: &str,
        token: Option<&str>,
    ) -> Result<Scripted, Status> {
        let channel = self.channel(bundle).await.expect("trusts");
        let hello = Hello {
            fleet: fleet.to_owned(),
            ..hello("web-1", "x")
        };
        Scripted::over(channel, Kind::Hello(hello), token).await
    }

    /// A new document for `shop/web`, so that whoever is connected hears something.
    fn publish(&self, route: &str) {
        let mut published = Published::default();
        published.document.fleet = Some("shop/web".to_owned());
        let document = json!({"routes": [{"name": route, "backend": {"cluster": "c"}}]});
        let document = uplink::document::read_yaml_or_json(&document.to_string());
        published.document.routes = document.expect("a document").routes;
        let plan = Plan {
            fleets: [("shop/web".to_owned(), published)].into(),
            ..Plan::default()
        };
        self.fleets.install(plan);
    }
}

async fn hears(proxy: &mut Scripted) {
    let Ok(Some(Told::Snapshot(snapshot))) = proxy.hear().await else {
        panic!("the stream is open and brings a snapshot");
    };
    let ack = Ack {
        version: snapshot.version,
    };
    proxy.say(Kind::Ack(ack)).await;
}

fn names() -> BTreeSet<String> {
    [NAME.to_owned()].into()
}

fn now() -> Timestamp {
    Clock::system().now()
}

#[tokio::test]
async fn without_the_right_token_a_proxy_gets_nothing_and_is_told_why() {
    let material = Material::begin(&names(), now()).expect("made");
    let uplink = Secured::start(&material).await;
    uplink.publish("secret-route");
    let (good, bundle) = (token("shop", AUDIENCE), material.bundle());
    let rows = [
        (
            "shop/web",
            None,
            Code::Unauthenticated,
            "the proxy sent no token",
        ),
        (
            "shop/web",
            Some("nonsense".to_owned()),
            Code::Unauthenticated,
            "invalid bearer token",
        ),
        (
            "shop/web",
            Some(String::new()),
            Code::Unauthenticated,
            "no bearer token",
        ),
        (
            "shop/web",
            Some(token("shop", "https://kubernetes.default.svc")),
            Code::Unauthenticated,
            "is invalid for the target audiences; accepted are ServiceAccount tokens for the audience sluice-uplink",
        ),
        (
            "bank/web",
            Some(good.clone()),
            Code::PermissionDenied,
            "joins only fleets of its own namespace, not bank/web",
        ),
    ];
    for (fleet, token, code, sentence) in rows {
        let refused = uplink.join(&bundle, fleet, token.as_deref()).await;
        let refused = refused.err().expect(sentence);
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(sentence), "{refused:?}");
    }
    assert_eq!(uplink.fleets.connected().values().sum::<usize>(), 0);
    let mut proxy = uplink
        .join(&bundle, "shop/web", Some(&good))
        .await
        .expect("joins");
    hears(&mut proxy).await;
    uplink.stop.cancel();
}

#[tokio::test]
async fn who_does_not_trust_the_authority_or_expects_another_name_does_not_connect() {
    let material = Material::begin(&names(), now()).expect("made");
    let uplink = Secured::start(&material).await;
    let stranger = Material::begin(&names(), now()).expect("made").bundle();
    let refused = uplink.channel(&stranger).await.expect_err("a stranger");
    assert!(refused.contains("InvalidCertificate"), "{refused}");
    let renamed = Material::begin(&["elsewhere.svc".to_owned()].into(), now()).expect("made");
    uplink.served.adopt(&renamed).expect("usable");
    let refused = uplink
        .channel(&renamed.bundle())
        .await
        .expect_err("another name");
    assert!(refused.contains("InvalidCertificate"), "{refused}");
    // In clear it is no HTTP/2 at all.
    let plain = Endpoint::from_shared(format!("http://{}", uplink.address)).expect("valid");
    let plain = plain.connect().await.expect("TCP connects");
    let refused = Scripted::over(plain, Kind::Hello(hello("web-1", "x")), None).await;
    assert!(refused.is_err());
    uplink.stop.cancel();
}

#[tokio::test]
async fn a_known_token_is_asked_about_once_and_is_good_while_the_api_server_is_away() {
    let api = Arc::<Api>::default();
    tokio::time::pause();
    let reviewer = Reviewer::new(api.client(), AUDIENCE, Clock::system());
    let metadata = |token: &str| {
        let mut metadata = tonic::metadata::MetadataMap::new();
        metadata.insert(
            "authorization",
            format!("Bearer {token}").parse().expect("ASCII"),
        );
        metadata
    };
    let (known, unknown) = (token("shop", AUDIENCE), token("bank", AUDIENCE));
    for _ in 0..3 {
        reviewer.caller(&metadata(&known)).await.expect("good");
    }
    assert_eq!(api.asked.load(Ordering::Relaxed), 1);
    api.away.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_hours(1)).await;
    reviewer
        .caller(&metadata(&known))
        .await
        .expect("known, and not expired");
    assert_eq!(api.asked.load(Ordering::Relaxed), 2, "it was asked again");
    let status = reviewer
        .caller(&metadata(&unknown))
        .await
        .expect_err("unknown");
    assert_eq!(status.code(), Code::Unavailable);
    api.away.store(false, Ordering::Relaxed);
    reviewer.caller(&metadata(&unknown)).await.expect("good");
    let shown = format!("{reviewer:?}");
    assert!(!shown.contains("e30"), "{shown}");
}

#[tokio::test]
async fn a_rotation_of_the_authority_drops_no_stream_and_old_bundles_still_connect() {
    // A day more than a year less the renewal, so that all of it happens by now.
    let before = |left: SignedDuration| now() - (CA_VALIDITY - CA_RENEW_BEFORE) - left;
    let first = Material::begin(&names(), before(CA_LEAD)).expect("made");
    let renew = |kept: &Material, at: Timestamp| {
        let renewed = Material::renewed(Some(kept), &names(), at).expect("made");
        renewed.expect("due")
    };
    // A successor is published, and the serving certificate renewed meanwhile.
    let second = renew(&first, now() - CA_LEAD + SignedDuration::from_secs(1));
    let uplink = Secured::start(&second).await;
    let good = token("shop", AUDIENCE);
    let mut proxy = uplink
        .join(&first.bundle(), "shop/web", Some(&good))
        .await
        .expect("the first authority still signs");
    uplink.publish("one");
    hears(&mut proxy).await;
    let third = renew(&second, now() + SignedDuration::from_secs(2));
    uplink.served.adopt(&third).expect("usable");
    uplink.publish("two");
    hears(&mut proxy).await;
    assert!(
        uplink.channel(&first.bundle()).await.is_err(),
        "that bundle is older than a day"
    );
    for bundle in [second.bundle(), third.bundle()] {
        let mut other = uplink
            .join(&bundle, "shop/web", Some(&good))
            .await
            .expect("trusts");
        hears(&mut other).await;
    }
    uplink.stop.cancel();
}
