use proptest::prelude::*;

use super::*;
use crate::limits::USER_BUCKETS;

const SALT: Salt = Salt([7; 16]);

/// Keys over which a share is measured.
const KEYS: u32 = 20_000;

fn canary(salt: &Salt, key: u32, weight: u32, max: u32) -> bool {
    is_canary(bucket(salt, key.to_string().as_bytes()), weight, max)
}

#[test]
fn siphash_is_the_one_of_its_paper() {
    // Appendix A of "SipHash: a fast short-input PRF": key 00..0f, message 00..0e.
    let salt = Salt(std::array::from_fn(|index| index as u8));
    let message: Vec<u8> = (0..15).collect();
    assert_eq!(bucket(&salt, &message), 0xa129_ca61_49be_45e5);
}

#[test]
fn the_ends_of_the_scale_are_exact() {
    for (hash, weight, max, expected) in [
        (0, 0, 100, false),
        (u64::MAX, 0, 100, false),
        (0, 1, 100, true),
        (u64::MAX, 99, 100, false),
        (u64::MAX, 100, 100, true),
        (u64::MAX, 1, 1, true),
        (u64::MAX, 999_999, 1_000_000, false),
        (u64::MAX, u32::MAX, u32::MAX, true),
        ((1 << 63) - 1, 1, 2, true),
        (1 << 63, 1, 2, false),
    ] {
        assert_eq!(
            is_canary(hash, weight, max),
            expected,
            "{hash} {weight}/{max}"
        );
    }
}

#[test]
fn user_buckets_are_the_top_bits() {
    assert_eq!(user_bucket(0), 0);
    assert_eq!(user_bucket(1 << 50), 1);
    assert_eq!(user_bucket(u64::MAX), USER_BUCKETS - 1);
}

#[test]
fn another_revision_picks_other_users() {
    let first = rollout_salt("4e6e7f1c", "5b7d9c");
    assert_eq!(
        first,
        rollout_salt("4e6e7f1c", "5b7d9c"),
        "a retry keeps its users"
    );
    let second = rollout_salt("4e6e7f1c", "66c8f4");
    let both = (0..KEYS)
        .filter(|key| canary(&first, *key, 10, 100) && canary(&second, *key, 10, 100))
        .count();
    // Independent choices share 1 % of 20,000; 3σ is 42.
    assert!(
        (158..=242).contains(&both),
        "{both} keys on the canary by both salts"
    );
}

/// Every row of the tables in docs/sticky.md, so that other implementations may trust them.
#[test]
fn the_documented_vectors_hold() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sticky.md");
    let page = std::fs::read_to_string(file).expect("docs/sticky.md can be read");
    let mut salts = 0;
    let mut sides = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        match cells[..] {
            [owner, revision, salt] => {
                assert_eq!(rollout_salt(owner, revision).to_string(), salt, "{line}");
                salts += 1;
            }
            [salt, key, hash, user, weight, max, side] => {
                let mut bytes = [0; 16];
                hex::decode_to_slice(salt, &mut bytes).expect(line);
                let hashed = bucket(&Salt(bytes), key.as_bytes());
                assert_eq!(format!("{hashed:016x}"), hash, "{line}");
                assert_eq!(user_bucket(hashed).to_string(), user, "{line}");
                let weight = weight.parse().expect(line);
                let canary = is_canary(hashed, weight, max.parse().expect(line));
                assert_eq!(if canary { "canary" } else { "stable" }, side, "{line}");
                sides += 1;
            }
            _ => panic!("neither table has such a row: {line}"),
        }
    }
    assert!(salts >= 4 && sides >= 10, "{salts} salts, {sides} sides");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn growing_the_weight_never_moves_a_key_back(
        salt: [u8; 16],
        key: Vec<u8>,
        max in 1_u32..=1_000_000,
        weights: (u32, u32),
    ) {
        let hash = bucket(&Salt(salt), &key);
        let (a, b) = (weights.0 % (max + 1), weights.1 % (max + 1));
        prop_assert!(!is_canary(hash, a.min(b), max) || is_canary(hash, a.max(b), max));
    }

    #[test]
    fn the_same_fraction_of_another_scale_is_the_same_side(hash: u64, percent in 0_u32..=100) {
        prop_assert_eq!(is_canary(hash, percent, 100), is_canary(hash, percent * 1000, 100_000));
    }
}

/// Fixed seeds: at 3σ one random salt in 370 would fail for no fault of the arithmetic.
#[test]
fn the_share_is_within_three_sigma() {
    for (seed, weight, max) in [
        (1, 1, 100),
        (2, 5, 100),
        (3, 10, 100),
        (4, 50, 100),
        (5, 999, 1000),
    ] {
        let salt = rollout_salt("uid", &format!("revision-{seed}"));
        let count = (0..KEYS)
            .filter(|key| canary(&salt, *key, weight, max))
            .count();
        let p = f64::from(weight) / f64::from(max);
        let n = f64::from(KEYS);
        let sigma = (n * p * (1.0 - p)).sqrt();
        let off = (count as f64 - n * p).abs();
        assert!(
            off <= 3.0 * sigma,
            "{weight}/{max}: {count} of {KEYS}, {off} off, σ {sigma}"
        );
    }
}

#[test]
fn nobody_without_the_salt_can_tell_the_side() {
    let other = Salt([8; 16]);
    let differ = (0..KEYS)
        .filter(|key| canary(&SALT, *key, 50, 100) != canary(&other, *key, 50, 100))
        .count();
    // Half of 20,000; 3σ is 212.
    assert!(
        (9_788..=10_212).contains(&differ),
        "{differ} keys changed side with the salt"
    );
}
