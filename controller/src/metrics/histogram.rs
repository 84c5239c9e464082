//! How often something took how long.

use super::Text;

/// Counts of durations, by bounds in seconds that its owner names each time.
#[derive(Clone, Debug)]
pub(super) struct Histogram<const N: usize> {
    /// How many took no longer than each bound.
    buckets: [u64; N],
    count: u64,
    seconds: f64,
}

// === impl Histogram ===

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            buckets: [0; N],
            count: 0,
            seconds: 0.0,
        }
    }
}

impl<const N: usize> Histogram<N> {
    pub(super) fn add(&mut self, bounds: &[f64; N], seconds: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(bounds) {
            *bucket += u64::from(seconds <= *bound);
        }
        self.count += 1;
        self.seconds += seconds;
    }

    /// Its samples; the caller has begun the metric.
    pub(super) fn render(
        &self,
        text: &mut Text,
        name: &str,
        bounds: &[f64; N],
        labels: &[(&str, &str)],
    ) {
        let bucket = format!("{name}_bucket");
        let mut below = |bound: &str, count: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            text.sample(&bucket, &labels, count as f64);
        };
        for (count, bound) in self.buckets.iter().zip(bounds) {
            below(&bound.to_string(), *count);
        }
        below("+Inf", self.count);
        text.sample(&format!("{name}_sum"), labels, self.seconds);
        text.sample(&format!("{name}_count"), labels, self.count as f64);
    }
}
