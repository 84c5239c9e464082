use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::state::State;

fn cluster(endpoints: u16, max_percent: u32) -> (LocalCluster, Instant) {
    let now = Clock.now();
    let state = State::new(1, now).cluster("c", "r");
    let policy = OutlierPolicy {
        consecutive_failures: 3,
        base_time: Duration::from_secs(10),
        max_percent,
    };
    let addresses = (0..endpoints).map(|port| SocketAddr::from(([127, 0, 0, 1], 1000 + port)));
    let cluster = LocalCluster {
        name: "c".to_owned(),
        revision: "r".to_owned(),
        protocol: Protocol::Http1,
        endpoints: addresses
            .map(|at| Rc::new(LocalEndpoint::new(state.endpoint(at), Protocol::Http1)))
            .collect(),
        state,
        connect_timeout: Duration::from_secs(1),
        outlier: Some(policy),
    };
    (cluster, now)
}

fn fail(cluster: &LocalCluster, place: usize, times: u32, now: Instant) {
    for _ in 0..times {
        cluster.endpoint_failed(&cluster.endpoints[place], now);
    }
}

fn ejected(cluster: &LocalCluster, now: Instant) -> Vec<usize> {
    let places = 0..cluster.endpoints.len();
    places
        .filter(|place| cluster.endpoints[*place].state.is_ejected(now))
        .collect()
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    let (cluster, now) = cluster(4, 50);
    fail(&cluster, 0, 2, now);
    cluster.endpoints[0].state.succeeded();
    fail(&cluster, 0, 2, now);
    assert!(ejected(&cluster, now).is_empty());
    fail(&cluster, 0, 1, now);
    assert_eq!(ejected(&cluster, now), [0]);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        let picked = cluster.pick(&mut random, &[], now).expect("one of four");
        assert!(!Rc::ptr_eq(picked, &cluster.endpoints[0]));
    }
}

#[test]
fn each_ejection_is_longer_up_to_ten_times() {
    let (cluster, mut now) = cluster(4, 50);
    for factor in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
        fail(&cluster, 0, 3, now);
        assert_eq!(
            ejected(&cluster, now + Duration::from_secs(10 * factor - 1)),
            [0]
        );
        now += Duration::from_secs(10 * factor + 1);
        assert!(ejected(&cluster, now).is_empty());
    }
}

#[test]
fn ejection_is_bounded_and_never_empties_a_pool() {
    for (endpoints, max_percent, wanted) in [
        (1, 100, 0),
        (2, 100, 1),
        (2, 50, 1),
        (4, 50, 2),
        (4, 100, 3),
        (3, 10, 1),
        (4, 0, 0),
    ] {
        let (cluster, now) = cluster(endpoints, max_percent);
        (0..usize::from(endpoints)).for_each(|place| fail(&cluster, place, 3, now));
        assert_eq!(
            ejected(&cluster, now).len(),
            wanted,
            "{endpoints} at {max_percent} %"
        );
        assert!(
            cluster
                .pick(&mut fastrand::Rng::with_seed(1), &[], now)
                .is_some()
        );
    }
}

#[test]
fn of_two_the_less_busy_one_is_picked() {
    let (cluster, now) = cluster(2, 50);
    cluster.endpoints[0].state.begin();
    let mut random = fastrand::Rng::with_seed(3);
    let busy = (0..1000)
        .filter_map(|_| cluster.pick(&mut random, &[], now))
        .filter(|picked| Rc::ptr_eq(picked, &cluster.endpoints[0]));
    // The busy one is picked only when all draws are of it: 1 in 2^4 (either all the same).
    assert!(busy.count() < 120);
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let (cluster, now) = cluster(3, 50);
    let at: Vec<_> = cluster
        .endpoints
        .iter()
        .map(|it| it.state.address())
        .collect();
    let mut random = fastrand::Rng::with_seed(1);
    let picked = cluster
        .pick(&mut random, &at[..2], now)
        .expect("one is left");
    assert_eq!(picked.state.address(), at[2]);
    assert!(cluster.pick(&mut random, &at, now).is_none());
}
