use local::api::{ApiServer, Config};

use super::*;

fn election(identity: &str) -> Election {
    Election::new("default", identity)
}

fn held_by(holder: &str, transitions: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

#[test]
fn a_lease_is_free_when_it_was_silent_for_its_duration_by_our_own_clock() {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let after = |seconds| start + SignedDuration::from_secs(seconds);
    let (a, mut seen) = (election("a"), Seen::default());
    let held = Look::Held("b".to_owned());
    assert_eq!(a.look(&held_by("b", 4), &mut seen, start), held);
    assert_eq!(a.look(&held_by("b", 4), &mut seen, after(14)), held);
    let mut renewed = held_by("b", 4);
    renewed.renew_time = Some(MicroTime(start));
    assert_eq!(
        a.look(&renewed, &mut seen, after(15)),
        held,
        "it was renewed, whatever time it says"
    );
    let Look::Free(taken) = a.look(&renewed, &mut seen, after(30)) else {
        panic!("15 s of silence")
    };
    assert_eq!(taken.lease_transitions, Some(5));
    assert_eq!(taken.holder_identity.as_deref(), Some("a"));
}

#[test]
fn what_was_given_up_is_free_and_its_transitions_go_on() {
    let (now, mut seen) = (Timestamp::UNIX_EPOCH, Seen::default());
    let given_up = LeaseSpec {
        holder_identity: None,
        ..held_by("", 7)
    };
    let Look::Free(taken) = election("a").look(&given_up, &mut seen, now) else {
        panic!("free")
    };
    assert_eq!(taken.lease_transitions, Some(8));
    let alone = Election {
        competes: false,
        ..election("a")
    };
    let Look::Free(taken) = alone.look(&held_by("b", 7), &mut seen, now) else {
        panic!("no contest")
    };
    assert_eq!(taken.lease_transitions, Some(8));
}

fn cluster() -> (std::sync::Arc<ApiServer>, Clock) {
    let clock = local::clock::Clock::starting_at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let config = Config {
        clock,
        data_dir: None,
        seed: 1,
        history: 100,
    };
    let origin = clock.now();
    (
        ApiServer::new(config).expect("starts"),
        Clock::starting_at(origin),
    )
}

#[tokio::test(start_paused = true)]
async fn terms_rise_from_holder_to_holder_and_a_lost_lease_is_told() {
    let (server, clock) = cluster();
    let acquire = |election: Election| {
        let client = server.client();
        async move {
            election
                .acquire(client, clock, Gate::default(), |_| {})
                .await
        }
    };
    let mut first = acquire(election("a")).await;
    assert_eq!(first.term, 1);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let keeping = tokio::spawn(async move {
        first.keep(&stopped).await.expect("given up, not lost");
        first.release().await;
    });
    let followed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = followed.clone();
    let follow = move |holder| seen.lock().expect("not poisoned").push(holder);
    let waiting = election("b").acquire(server.client(), clock, Gate::default(), follow);
    let waited = tokio::time::timeout(Duration::from_mins(2), waiting).await;
    assert!(waited.is_err(), "a keeps renewing");
    assert!(
        followed
            .lock()
            .expect("not poisoned")
            .iter()
            .all(|holder| holder == "a")
    );
    stop.cancel();
    keeping.await.expect("no panic");
    let mut second = acquire(election("b")).await;
    assert_eq!(second.term, 2);
    let thief = Election {
        competes: false,
        ..election("c")
    };
    let third = acquire(thief).await;
    assert_eq!(third.term, 3);
    let lost = second
        .keep(&CancellationToken::new())
        .await
        .expect_err("c has it");
    assert!(!second.gate.is_open(clock.now()));
    let lease = "default/argo-rollouts-controller-lock".to_owned();
    assert_eq!(
        lost,
        Lost::Taken {
            lease,
            holder: "c".to_owned()
        }
    );
}
