//! Bounds how many source processes begin at the same time. Starting, not running, is what costs: where a
//! hundred want to start at once, those whose media is on air soonest go first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

/// See the module's head. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StartGate {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// How many more may be starting.
    free: usize,
    /// Who waits, by when their media is due, then by when they came.
    waiting: BTreeMap<(Instant, u64), oneshot::Sender<Permit>>,
    /// Numbers those who come.
    came: u64,
}

/// Leave to start; the next one's turn comes when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: StartGate,
}

impl StartGate {
    /// A gate that lets `most` start at the same time; one at least.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                free: most.max(1),
                waiting: BTreeMap::new(),
                came: 0,
            })),
        }
    }

    /// Waits for leave to start a source whose first media is due at `due`.
    pub(crate) async fn enter(&self, due: Instant) -> Permit {
        let turn = {
            let mut inner = self.lock();
            if inner.free > 0 {
                inner.free -= 1;
                return self.permit();
            }
            let (turn, comes) = oneshot::channel();
            inner.came += 1;
            let place = (due, inner.came);
            inner.waiting.insert(place, turn);
            comes
        };
        match turn.await {
            Ok(permit) => permit,
            // The gate holds every sender until it is used.
            Err(_) => self.permit(),
        }
    }

    fn permit(&self) -> Permit {
        Permit { gate: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut inner = self.gate.lock();
            // Whoever went away while waiting is passed over.
            let next = std::iter::from_fn(|| inner.waiting.pop_first())
                .map(|(_, turn)| turn)
                .find(|turn| !turn.is_closed());
            if next.is_none() {
                inner.free += 1;
            }
            next
        };
        if let Some(turn) = next {
            // Should it have gone away this instant, its permit comes back and is dropped in its turn.
            drop(turn.send(self.gate.permit()));
        }
    }
}
