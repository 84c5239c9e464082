//! Sets of user buckets, as bits: who was exposed, who saw something bad.
//!
//! A user counts once per epoch however many requests he makes, or the draws would not be
//! independent. Bits make the union over workers a bitwise or, and the count a popcount.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of user buckets; the uplink's reports speak of `0..16384`.
pub const USER_BUCKETS: usize = 16_384;

const WORDS: usize = USER_BUCKETS / 64;

/// A set of user buckets that nobody writes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSet(Box<[u64; WORDS]>);

/// A set of user buckets with one writer.
#[derive(Debug)]
pub(crate) struct BucketBits([AtomicU64; WORDS]);

// === impl BucketSet ===

impl BucketSet {
    /// How many buckets are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether the bucket is in it.
    pub fn contains(&self, bucket: u16) -> bool {
        let (word, bit) = place(bucket);
        self.0[word] & bit != 0
    }

    /// Puts a bucket into it.
    pub fn insert(&mut self, bucket: u16) {
        let (word, bit) = place(bucket);
        self.0[word] |= bit;
    }

    /// The buckets that are in this set and not in `before`, rising.
    pub fn added_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let words = self.0.iter().zip(before.0.iter()).enumerate();
        words.flat_map(|(index, (now, then))| ones(index, now & !then))
    }

    /// All buckets in it, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(index, word)| ones(index, *word))
    }
}

impl Default for BucketSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

// === impl BucketBits ===

impl BucketBits {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Puts a bucket into it and says whether it is new there.
    pub(crate) fn insert(&self, bucket: u16) -> bool {
        let (word, bit) = place(bucket);
        let before = self.0[word].load(Ordering::Relaxed);
        if before & bit != 0 {
            return false;
        }
        self.0[word].store(before | bit, Ordering::Relaxed);
        true
    }

    pub(crate) fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Adds its buckets to `sum`.
    pub(crate) fn union_into(&self, sum: &mut BucketSet) {
        for (sum, word) in sum.0.iter_mut().zip(&self.0) {
            *sum |= word.load(Ordering::Relaxed);
        }
    }
}

/// The word and the bit of a bucket; buckets wrap, so no caller can reach beyond the set.
fn place(bucket: u16) -> (usize, u64) {
    let bucket = usize::from(bucket) % USER_BUCKETS;
    (bucket / 64, 1 << (bucket % 64))
}

fn ones(index: usize, word: u64) -> impl Iterator<Item = u32> {
    (0..64u32)
        .filter(move |bit| word >> bit & 1 == 1)
        .map(move |bit| index as u32 * 64 + bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_once_over_all_workers() {
        let (one, two) = (BucketBits::new(), BucketBits::new());
        assert!(one.insert(7));
        assert!(!one.insert(7));
        assert!(two.insert(7) && two.insert(16_383));
        let mut sum = BucketSet::default();
        one.union_into(&mut sum);
        two.union_into(&mut sum);
        assert_eq!(sum.count(), 2);
        assert!(sum.contains(7) && sum.contains(16_383) && !sum.contains(8));
    }

    #[test]
    fn what_is_new_since_the_last_report_is_named_once() {
        let mut before = BucketSet::default();
        before.insert(3);
        let mut now = before.clone();
        now.insert(64);
        now.insert(200);
        assert_eq!(now.added_since(&before).collect::<Vec<_>>(), [64, 200]);
        assert_eq!(now.iter().collect::<Vec<_>>(), [3, 64, 200]);
    }
}
