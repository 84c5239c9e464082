//! The arithmetic by Argo's worked values, and by its invariants over many random releases.

use proptest::prelude::*;

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table of uniform entries")]
fn the_closest_share_is_taken() {
    // replicas, weight, surge → canary, stable
    let table = [
        (0, 0, 0, 0, 0),
        (0, 50, 0, 0, 0),
        (0, 100, 0, 0, 0),
        (0, 0, 1, 0, 0),
        (0, 50, 1, 0, 0),
        (0, 100, 1, 0, 0),
        (1, 0, 0, 0, 1),
        (1, 1, 0, 0, 1),
        (1, 49, 0, 0, 1),
        (1, 50, 0, 1, 0),
        (1, 99, 0, 1, 0),
        (1, 100, 0, 1, 0),
        (1, 0, 1, 0, 1),
        (1, 1, 1, 1, 1),
        (1, 49, 1, 1, 1),
        (1, 50, 1, 1, 1),
        (1, 99, 1, 1, 1),
        (1, 100, 1, 1, 0),
        (2, 0, 0, 0, 2),
        (2, 1, 0, 1, 1),
        (2, 50, 0, 1, 1),
        (2, 99, 0, 1, 1),
        (2, 100, 0, 2, 0),
        (2, 0, 1, 0, 2),
        (2, 1, 1, 1, 2),
        (2, 50, 1, 1, 1),
        (2, 99, 1, 2, 1),
        (2, 100, 1, 2, 0),
        (3, 10, 0, 1, 2),
        (3, 25, 0, 1, 2),
        (3, 33, 0, 1, 2),
        (3, 34, 0, 1, 2),
        (3, 49, 0, 1, 2),
        (3, 50, 0, 2, 1),
        (3, 10, 1, 1, 3),
        (3, 25, 1, 1, 3),
        (3, 33, 1, 1, 2),
        (3, 34, 1, 1, 2),
        (3, 49, 1, 2, 2),
        (3, 50, 1, 2, 2),
        (10, 0, 1, 0, 10),
        (10, 1, 0, 1, 9),
        (10, 14, 0, 1, 9),
        (10, 15, 0, 2, 8),
        (10, 16, 0, 2, 8),
        (10, 99, 0, 9, 1),
        (10, 100, 1, 10, 0),
        (10, 1, 1, 1, 10),
        (10, 18, 1, 2, 9),
        (10, 19, 1, 2, 9),
        (10, 20, 1, 2, 8),
        (10, 23, 1, 2, 8),
        (10, 24, 1, 3, 8),
        (10, 25, 1, 3, 8),
        (10, 99, 1, 10, 1),
    ];
    for (replicas, weight, surge, canary, stable) in table {
        assert_eq!(
            approximate(replicas, weight, 100, surge),
            Desired { canary, stable },
            "{weight} of {replicas}, surge {surge}"
        );
    }
    // Another weight that means everything: half of it is half of the pods.
    let half = Desired {
        canary: 5,
        stable: 5,
    };
    assert_eq!(approximate(10, 500, 1000, 0), half);
}

fn pods(
    (replicas, weight, max_surge, max_unavailable): (i32, i32, i32, i32),
    new: (i32, i32),
    stable: (i32, i32),
) -> Pods {
    let side = |(desired, available)| Some(Side { desired, available });
    Pods {
        replicas,
        weight,
        max_weight: 100,
        max_surge,
        max_unavailable,
        new: side(new),
        stable: side(stable),
        apart: true,
        others: 0,
    }
}

#[test]
fn a_pass_goes_as_far_as_surge_and_availability_allow() {
    // (replicas, weight, surge, unavailable), (canary, available), (stable, available) → canary, stable
    let table = [
        ((10, 100, 3, 0), (6, 3), (7, 8), (6, 7)),
        ((10, 20, 2, 0), (0, 0), (10, 10), (2, 10)),
        ((10, 20, 2, 0), (0, 0), (10, 10), (2, 10)),
        ((10, 20, 2, 0), (2, 2), (10, 10), (2, 8)),
        ((10, 30, 2, 0), (0, 0), (10, 10), (2, 10)),
        ((10, 20, 0, 2), (0, 0), (10, 10), (0, 8)),
        ((10, 20, 0, 2), (0, 0), (10, 10), (0, 8)),
        ((10, 30, 0, 2), (0, 0), (10, 10), (0, 8)),
        ((10, 50, 2, 1), (0, 0), (10, 10), (2, 9)),
        ((10, 0, 1, 1), (1, 1), (10, 10), (0, 10)),
        ((10, 100, 1, 1), (10, 10), (1, 1), (10, 0)),
        ((1, 20, 1, 0), (0, 0), (1, 1), (1, 1)),
        ((1, 90, 1, 0), (0, 0), (1, 1), (1, 1)),
        ((1, 49, 0, 1), (0, 0), (1, 1), (0, 1)),
        ((1, 51, 0, 1), (0, 0), (1, 1), (0, 0)),
        ((1, 51, 0, 1), (0, 0), (0, 0), (1, 0)),
        ((10, 30, 0, 3), (4, 4), (8, 5), (3, 7)),
        ((10, 100, 1, 0), (10, 8), (10, 2), (9, 2)),
        ((10, 5, 0, 1), (0, 0), (10, 10), (0, 9)),
        ((10, 5, 0, 1), (0, 0), (9, 9), (1, 9)),
        ((10, 10, 0, 1), (0, 0), (10, 10), (0, 9)),
        ((4, 100, 1, 0), (0, 0), (4, 1), (1, 4)),
        ((3, 99, 0, 2), (0, 0), (3, 3), (0, 1)),
        ((3, 99, 0, 2), (0, 0), (1, 1), (2, 1)),
        ((4, 0, 1, 0), (4, 4), (0, 0), (4, 1)),
        ((4, 0, 1, 0), (4, 4), (1, 0), (4, 1)),
        ((4, 0, 1, 0), (4, 4), (1, 1), (3, 1)),
    ];
    for (limits, new, stable, (canary, expected)) in table {
        assert_eq!(
            sizes(&pods(limits, new, stable)),
            Desired {
                canary,
                stable: expected
            },
            "{limits:?} {new:?} {stable:?}"
        );
    }
}

#[test]
fn other_revisions_go_before_anything_shrinks_and_stable_grows_before_the_canary() {
    let mut world = pods((10, 40, 1, 0), (0, 0), (4, 4));
    world.others = 4;
    let grown = Desired {
        canary: 1,
        stable: 6,
    };
    assert_eq!(sizes(&world), grown);
    let mut world = pods((10, 10, 0, 3), (2, 2), (8, 8));
    world.others = 3;
    let kept = Desired {
        canary: 2,
        stable: 8,
    };
    assert_eq!(sizes(&world), kept);
}

#[test]
fn without_a_stable_side_the_newest_revision_gets_everything() {
    for stable in [
        None,
        Some(Side {
            desired: 10,
            available: 10,
        }),
    ] {
        // Shrinking from 10 to 5, with stable being the newest revision or not there.
        let world = Pods {
            apart: false,
            stable,
            ..pods((5, 100, 2, 1), (10, 10), (0, 0))
        };
        let all = Desired {
            canary: 5,
            stable: 0,
        };
        assert_eq!(sizes(&world), all, "{stable:?}");
    }
}

/// Lets pods follow the sizes, until nothing changes; the sizes and how often they changed.
fn settle(mut world: Pods, check: impl Fn(&Pods, Desired)) -> Option<Desired> {
    for _ in 0..500 {
        let next = sizes(&world);
        check(&world, next);
        let (new, stable) = (world.new?, world.stable?);
        let still = next.canary == new.desired
            && next.stable == stable.desired
            && new.available == new.desired
            && stable.available == stable.desired;
        if still {
            return Some(next);
        }
        // One change for each pass, stable first, and then the pods of both.
        let side = |desired| {
            Some(Side {
                desired,
                available: desired,
            })
        };
        if next.stable == stable.desired {
            world.new = side(next.canary);
            world.stable = side(stable.desired);
        } else {
            world.stable = side(next.stable);
            world.new = side(new.desired);
        }
    }
    None
}

proptest! {
    #[test]
    fn a_share_is_never_further_off_than_rounding_and_never_nothing(
        replicas in 0..200_i32, weight in 0..=100_i32, surge in 0..3_i32,
    ) {
        let Desired { canary, stable } = approximate(replicas, weight, 100, surge);
        prop_assert!(canary >= 0 && stable >= 0);
        let extra = i32::from(surge > 0 && replicas > 0);
        prop_assert!(canary + stable == replicas || canary + stable == replicas + extra);
        if (1..100).contains(&weight) && replicas > 1 {
            prop_assert!(canary > 0 && stable > 0, "{canary}/{stable}");
        }
    }

    #[test]
    fn every_release_ends_at_its_share_within_surge_and_availability(
        replicas in 1..40_i32,
        weight in 0..=100_i32,
        (surge, unavailable) in (0..6_i32, 0..6_i32),
        start in 0..=40_i32,
    ) {
        let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable }.min(replicas);
        let canary = start.min(replicas);
        let world = pods(
            (replicas, weight, surge, unavailable),
            (canary, canary),
            (replicas - canary, replicas - canary),
        );
        let ended = settle(world, |world, next| {
            let (new, stable) = (world.new.unwrap(), world.stable.unwrap());
            let most = (replicas + surge).max(new.desired + stable.desired);
            assert!(next.canary + next.stable <= most, "{world:?} to {next:?}");
            let left = next.canary.min(new.available) + next.stable.min(stable.available);
            let least = (replicas - unavailable).min(new.available + stable.available);
            assert!(left >= least, "{world:?} to {next:?}");
        });
        prop_assert_eq!(ended, Some(approximate(replicas, weight, 100, surge)));
    }
}
