//! The pause before a container that ended is started again: none the first time, then ten seconds,
//! doubling to five minutes, and all forgotten once a run has lasted ten minutes, as a kubelet does.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);
const FORGOTTEN: Duration = Duration::from_mins(10);

/// The pauses of one container.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The pause after a run that lasted `ran`.
    pub(super) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= FORGOTTEN {
            self.next = Duration::ZERO;
        }
        let pause = self.next;
        self.next = (self.next * 2).clamp(FIRST, LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_minutes_and_a_long_run_resets_them() {
        let mut backoff = Backoff::default();
        let table = [
            (0, 0),
            (1, 10),
            (1, 20),
            (1, 40),
            (1, 80),
            (1, 160),
            (1, 300),
            (599, 300),
            (600, 0),
            (1, 10),
        ];
        for (at, (ran, expected)) in table.into_iter().enumerate() {
            let pause = backoff.after(Duration::from_secs(ran));
            assert_eq!(pause, Duration::from_secs(expected), "run {at}");
        }
    }
}
