//! The latency buckets that every part of Sluice shares.
//!
//! One fixed table means that histograms of any proxy can be added up by index, and that an
//! exceedance test can freeze a bound in one epoch and find it again in the next. The bounds are
//! round numbers (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8 of each decade), so the limits that
//! people write (`100ms`, `250ms`, `500ms`, `1s`) are bounds themselves and no limit is off by more
//! than a third. That is coarse on purpose: the tests count requests above a bound, they do not
//! estimate quantiles, and a table that fits one cache line per arm and kind is cheap to report.

/// Number of bounds; a histogram has one count more, for what is slower than the last bound.
pub const LATENCY_BOUNDS: usize = 57;

/// Number of counts in a histogram over [`LATENCY_BOUNDS_US`], overflow included.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS + 1;

/// Upper bounds in microseconds, inclusive (Prometheus' `le`), from 0.5 ms to 60 s.
#[rustfmt::skip]
pub const LATENCY_BOUNDS_US: [u64; LATENCY_BOUNDS] = [
    500, 600, 800,
    1_000, 1_250, 1_500, 1_750, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 8_000,
    10_000, 12_500, 15_000, 17_500, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000, 80_000,
    100_000, 125_000, 150_000, 175_000, 200_000, 250_000, 300_000, 400_000, 500_000, 600_000, 800_000,
    1_000_000, 1_250_000, 1_500_000, 1_750_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000, 5_000_000,
    6_000_000, 8_000_000,
    10_000_000, 12_500_000, 15_000_000, 17_500_000, 20_000_000, 25_000_000, 30_000_000, 40_000_000,
    50_000_000, 60_000_000,
];

/// The bucket of a latency or an age of `us` microseconds; [`LATENCY_BOUNDS`] is the overflow.
/// Six comparisons, no allocation: fit for the request path.
pub fn bucket_of(us: u64) -> usize {
    LATENCY_BOUNDS_US.partition_point(|&bound| bound < us)
}

/// The largest bound that is not above `us`, as an index; the first bound when `us` is below all.
/// A limit is snapped *down* only when it lies between two bounds, so a test never overlooks what
/// the limit forbids, and says which bound it used.
pub fn bound_at_or_below(us: u64) -> usize {
    LATENCY_BOUNDS_US
        .partition_point(|&bound| bound <= us)
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise() {
        assert!(LATENCY_BOUNDS_US.windows(2).all(|pair| pair[0] < pair[1]));
        const { assert!(LATENCY_BUCKETS <= 64) };
    }

    #[test]
    fn a_latency_falls_into_the_bucket_that_contains_it() {
        let rows = [
            (0, 0),
            (500, 0),
            (501, 1),
            (1_000, 3),
            (1_001, 4),
            (60_000_000, 56),
        ];
        for (us, bucket) in rows {
            assert_eq!(bucket_of(us), bucket, "{us} µs");
        }
        assert_eq!(bucket_of(60_000_001), LATENCY_BOUNDS);
        assert_eq!(bucket_of(u64::MAX), LATENCY_BOUNDS);
    }

    #[test]
    fn a_limit_snaps_to_the_bound_at_or_below_it() {
        for (us, bound) in [
            (1, 500),
            (500_000, 500_000),
            (550_000, 500_000),
            (90_000_000, 60_000_000),
        ] {
            assert_eq!(LATENCY_BOUNDS_US[bound_at_or_below(us)], bound, "{us} µs");
        }
    }
}
