//! Servers that are nothing but a function, for tests in virtual time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use super::{Answer, Fetch, FetchError, Request};

/// What a pretended server does with a request.
type Serve = dyn Fn(&Request) -> Result<Answer, FetchError> + Send + Sync;

/// A pretended network: one function answers every request.
#[derive(Clone)]
pub struct Pretended {
    serve: Arc<Serve>,
    takes: Duration,
    asked: Arc<Mutex<Vec<Request>>>,
}

// === impl Pretended ===

impl Pretended {
    /// Every request is answered by `serve`, at once.
    pub fn new(
        serve: impl Fn(&Request) -> Result<Answer, FetchError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            serve: Arc::new(serve),
            takes: Duration::ZERO,
            asked: Arc::default(),
        }
    }

    /// Nobody listens anywhere.
    pub fn nobody() -> Self {
        Self::new(|_| Err(FetchError::Refused))
    }

    /// The same, and every answer takes that long; a request that allows less times out.
    #[must_use]
    pub fn taking(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    fn note(&self, request: &Request) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request.clone());
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Fetch for Pretended {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            self.note(&request);
            tokio::time::sleep(self.takes.min(request.timeout)).await;
            if self.takes >= request.timeout && !self.takes.is_zero() {
                return Err(FetchError::TimedOut);
            }
            (self.serve)(&request)
        })
    }
}

impl fmt::Debug for Pretended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pretended").finish_non_exhaustive()
    }
}
