//! Waiting until something is true. No test sleeps for any other reason.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How often it is looked.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Far longer than anything takes that has no limit of its own, on a slow machine too.
pub const LONG: Duration = Duration::from_mins(1);

/// Looks until there is something.
///
/// # Panics
///
/// When there still is nothing after `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let seen = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    let found = timeout(within, seen).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {within:?}"))
}
