//! How long a watch that broke is left alone: from 0.8 s to 30 s, twice as long each time, with jitter,
//! and from the beginning when it did not break for two minutes.
//!
//! The default of kube's watchers would be the same, but begins anew with whatever a watch tells, and
//! it tells that it begins to list before the list is refused: a kind that is not there, or may not
//! be read, would be asked for every second for ever.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The waits of one watch.
#[derive(Default)]
pub(crate) struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Patience {
    /// Only time begins it anew.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_begins_and_is_refused_again_and_again_is_asked_for_less_and_less() {
        let mut patience = Patience::default();
        let waits: Vec<Duration> = (0..8)
            .filter_map(|_| {
                patience.reset();
                patience.next()
            })
            .collect();
        assert!(waits[0] < Duration::from_secs(2), "{waits:?}");
        assert!(waits[7] >= Duration::from_secs(30), "{waits:?}");
    }
}
