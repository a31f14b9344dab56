//! Gates and pauses that hold an answer back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// A barrier that a test opens when it has seen enough; clones are the same gate.
///
/// A gate that is never opened holds until the client leaves or the registry is dropped.
#[derive(Debug, Clone)]
pub struct Gate {
    /// A permit lets one waiter through; closed means open to all.
    permits: Arc<Semaphore>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
        }
    }

    /// Lets all waiters through, now and later.
    pub fn open(&self) {
        self.permits.close();
    }

    /// Lets the next `count` waiters through: steps of a trickle, or held answers.
    pub fn pass(&self, count: usize) {
        self.permits.add_permits(count);
    }

    pub(crate) async fn wait(&self) {
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// What is waited for.
#[derive(Debug, Clone)]
pub enum Pause {
    /// Time.
    For(Duration),
    /// The test.
    At(Gate),
}

impl Pause {
    pub(crate) async fn over(self) {
        match self {
            Self::For(time) => tokio::time::sleep(time).await,
            Self::At(gate) => gate.wait().await,
        }
    }
}
