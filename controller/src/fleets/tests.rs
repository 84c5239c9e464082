use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use uplink::proto::controller_message::Kind;

use super::*;
use crate::traffic::Traffic as _;

fn plan(route: &str) -> Plan {
    let document =
        format!("{{routes: [{{name: {route}, backend: {{cluster: c}}}}], fleet: shop/web}}");
    let published = Published {
        document: uplink::document::read_yaml_or_json(&document).expect("a document"),
        ..Published::default()
    };
    Plan {
        fleets: [("shop/web".to_owned(), published)].into(),
        ..Plan::default()
    }
}

fn connect(fleets: &Fleets, proxy: &str) -> Receiver<ControllerMessage> {
    let (messages, heard) = mpsc::channel(16);
    let outbox = Outbox {
        messages,
        close: CancellationToken::new(),
    };
    let hello = proto::Hello {
        fleet: "shop/web".to_owned(),
        proxy: proxy.to_owned(),
        process_id: "x".to_owned(),
        ..proto::Hello::default()
    };
    fleets.connect(&hello, outbox).expect("joins");
    heard
}

/// The first route of the snapshot that comes next; none where nothing comes.
fn route(heard: &mut Receiver<ControllerMessage>) -> Option<String> {
    let Kind::Snapshot(snapshot) = heard.try_recv().ok()?.kind? else {
        panic!("not a snapshot");
    };
    let text = String::from_utf8(snapshot.document).expect("text");
    let document = uplink::document::read_yaml_or_json(&text).expect("a document");
    Some(document.routes.first()?.name.clone())
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_its_lease_serves_streams_and_changes_nothing_until_it_can() {
    let (clock, gate, stop) = (Clock::system(), Gate::default(), CancellationToken::new());
    gate.open_until(Timestamp::MAX);
    let fleets = Arc::new(Fleets::gated(clock, gate.clone()));
    let watched = tokio::spawn({
        let (fleets, stop) = (fleets.clone(), stop.clone());
        async move { fleets.watch_deadlines(stop).await }
    });
    fleets.install(plan("one"));
    let mut one = connect(&fleets, "p-1");
    assert_eq!(route(&mut one).as_deref(), Some("one"));
    gate.shut();
    let mut changed = fleets.changed();
    let order = TrafficOrder {
        rollout: RolloutKey {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        },
        uid: "uid".to_owned(),
        stable: "aaa".to_owned(),
        canary: None,
        weight: 0,
        max_weight: 100,
        header_routes: Vec::new(),
    };
    fleets.install(plan("two"));
    fleets.order(order.clone());
    assert!(fleets.orders().is_empty());
    assert_eq!(route(&mut one), None, "nothing is changed");
    let mut two = connect(&fleets, "p-2");
    assert_eq!(route(&mut two).as_deref(), Some("one"), "as before");
    gate.open_until(Timestamp::MAX);
    let soon = Duration::from_secs(1);
    let again = tokio::time::timeout(soon, changed.recv()).await;
    assert_eq!(
        again.expect("in time"),
        Ok(order.rollout),
        "it is asked for again"
    );
    let replan = tokio::time::timeout(soon, fleets.replan()).await;
    replan.expect("documents are made again");
    stop.cancel();
    watched.await.expect("no panic");
}
