use uplink::weight::EpochWeight;

use super::configuration::InForceFacts;
use super::*;
use crate::observe::Role;
use crate::observe::evidence::{ArmEvidence, Counts, EpochCounts};
use crate::observe::series::{PoolTotals, SeriesKey};
use crate::state::EndpointTotals;

fn series(role: Role, revision: &str) -> SeriesTotals {
    let key = SeriesKey {
        route: "web".into(),
        split: "shop/app".into(),
        role,
        revision: revision.into(),
    };
    SeriesTotals {
        key,
        responses: Default::default(),
        decisions: Default::default(),
        retries: Default::default(),
        failures: Default::default(),
        in_flight: 0,
        duration: [0; judgement::LATENCY_BUCKETS],
        duration_sum_us: 0,
    }
}

fn arm(role: Role, revision: &str, exposed: u64) -> ArmEvidence {
    let drawn = Counts { exposed, bad: 0 };
    let epoch = EpochCounts {
        epoch: 4,
        drawn,
        ..EpochCounts::default()
    };
    ArmEvidence {
        role,
        revision: revision.into(),
        in_flight: 0,
        epochs: vec![epoch],
    }
}

fn split(tripped: bool) -> SplitFacts {
    let evidence = SplitEvidence {
        split: "shop/app".into(),
        rollout_uid: "uid".into(),
        stable_revision: "r1".into(),
        canary_revision: Some("r2".into()),
        weight: EpochWeight {
            weight: 25,
            epoch: 4,
        },
        max_weight: 100,
        tripped,
        arms: vec![arm(Role::Stable, "r1", 3), arm(Role::Canary, "r2", 1)],
    };
    let fuse = proto::Fuse {
        e_value: 1.0,
        tripped,
        ..proto::Fuse::default()
    };
    SplitFacts {
        evidence,
        fuse: Some(fuse),
        trips: u64::from(tripped),
    }
}

fn cluster() -> ClusterFacts {
    let endpoint = EndpointTotals {
        address: "127.0.0.1:1".parse().expect("an address"),
        active: 1,
        consecutive_failures: 0,
        ejected: true,
        ejections: 2,
    };
    let totals = ClusterTotals {
        cluster: "app-r2".into(),
        revision: "r2".into(),
        pool: PoolTotals {
            opened: 5,
            connect_failures: 1,
            reused: 7,
            open: 3,
        },
        endpoints: vec![endpoint],
    };
    ClusterFacts {
        totals,
        healthy: 0,
        ejected: 1,
    }
}

fn scrape() -> Scrape {
    let mut canary = series(Role::Canary, "r2");
    canary.responses[4][0] = 2;
    canary.failures[0] = 2;
    canary.duration[judgement::bucket_of(700)] = 2;
    canary.duration_sum_us = 1_400;
    Scrape {
        series: vec![series(Role::Stable, "r1"), canary],
        splits: vec![split(false)],
        clusters: vec![cluster()],
        process: ProcessTotals {
            accepted: 9,
            connections: 2,
            ..ProcessTotals::default()
        },
        drain: DrainPhase::Serving,
        configuration: ConfigurationFacts {
            in_force: Some(InForceFacts {
                source: "kept",
                version: "1.2".into(),
                digest: "sha256:00".into(),
                since_ms: 1_500,
                kept_age_ms: Some(2_500),
            }),
            applied: 1,
            rejected: 2,
            refused_now: true,
            last_apply_us: 1_250,
            certificates: vec![("b".into(), 9), ("a".into(), 7), ("a".into(), 7)],
        },
        uplink: UplinkFacts {
            connected: true,
            connects: 3,
        },
        stats: None,
    }
}

/// Names and labels are an interface: dashboards and alerts of other people stand on them. After a
/// deliberate change: `SLUICE_UPDATE_GOLDEN=1 cargo test -p sluice-proxy metrics`.
#[test]
fn the_exposition_is_the_golden_one() {
    let text = scrape().text();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    if std::env::var_os("SLUICE_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file");
    for (number, (line, wanted)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, wanted, "line {} of the golden file", number + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn a_tripped_fuse_shows_the_desired_weight_and_applies_none() {
    let tripped = Scrape {
        splits: vec![split(true)],
        ..scrape()
    }
    .text();
    for line in [
        "sluice_weight_desired{split=\"shop/app\"} 25",
        "sluice_weight_applied{split=\"shop/app\"} 0",
        "sluice_fuse_state{split=\"shop/app\",state=\"tripped\"} 1",
        "sluice_fuse_state{split=\"shop/app\",state=\"armed\"} 0",
        "sluice_fuse_trips_total{split=\"shop/app\"} 1",
    ] {
        assert!(tripped.lines().any(|it| it == line), "{line} in\n{tripped}");
    }
}

#[test]
fn no_series_stands_twice() {
    let text = scrape().text();
    let mut names: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
