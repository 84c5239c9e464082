//! Sticky by arithmetic: which side a key is on, the same on every proxy and without a store.
//!
//! A key (a header's value, a cookie's id) is hashed to 64 bits with SipHash-2-4 under the split's
//! salt. The hash is a fraction of 2^64, and the key is on the canary when that fraction is below
//! weight / maxWeight. So growing the weight only ever adds keys to the canary, and another salt
//! picks another set of keys. The hash is keyed so that nobody without the salt can choose a side.
//! `docs/sticky.md` has the arithmetic for other implementations, with test vectors.

use std::fmt;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

use crate::check::Salt;
use crate::limits::USER_BUCKET_BITS;

/// The key's hash: SipHash-2-4, the salt's bytes as the key.
pub fn bucket(salt: &Salt, key: &[u8]) -> u64 {
    SipHasher24::new_with_key(&salt.0).hash(key)
}

/// Whether this hash is on the canary at `weight` of `max_weight`: floor(hash × max / 2^64) < weight,
/// in whole numbers, so that 0 is nobody and `max_weight` is everybody.
pub fn is_canary(hash: u64, weight: u32, max_weight: u32) -> bool {
    (u128::from(hash) * u128::from(max_weight)) >> 64 < u128::from(weight)
}

/// Which of the user buckets this hash is counted in: its top 14 bits.
pub fn user_bucket(hash: u64) -> u32 {
    (hash >> (u64::BITS - USER_BUCKET_BITS)) as u32
}

/// The salt of a Rollout's revision: a retry of the same revision keeps its users, another
/// revision picks others. The first 16 bytes of SHA-256(UID, NUL, pod-template hash).
pub fn rollout_salt(rollout_uid: &str, pod_template_hash: &str) -> Salt {
    derived(rollout_uid, pod_template_hash)
}

/// The salt of a split in a file that gives none: the first 16 bytes of SHA-256(split's name, NUL,
/// canary's revision); the revision of no canary is empty.
pub fn split_salt(split: &str, canary_revision: &str) -> Salt {
    derived(split, canary_revision)
}

/// NUL separates because neither part can contain one.
fn derived(owner: &str, revision: &str) -> Salt {
    let digest = Sha256::new()
        .chain_update(owner)
        .chain_update([0])
        .chain_update(revision)
        .finalize();
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    Salt(salt)
}

// === impl Salt ===

impl fmt::Display for Salt {
    /// 32 hexadecimal digits, as a document has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests;
