//! Walks over plans: what is on air in a month is found by going there entry by entry. That takes seconds where items are short, so
//! the walks of one client take turns, no more walk at once than half the processors, and a walk ends when nobody waits for it:
//! the channels on air and other clients notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use playout_domain::ClientId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::OpError;
use crate::turns::{Turns, permit};

/// How long a walk waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who walks, and who waits for a turn.
#[derive(Debug)]
pub(super) struct Walks {
    all: Arc<Semaphore>,
    clients: Turns,
}

/// A turn to walk; dropped, what walks by it ends, and then the turn is over.
#[derive(Debug)]
pub struct Turn {
    left: Arc<Left>,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    _of_client: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Whether nobody waits for a walk any more.
#[derive(Debug, Default)]
pub(super) struct Left(AtomicBool);

impl Left {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Walks {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            all: Arc::new(Semaphore::new((cores / 2).max(1))),
            clients: Turns::new(1),
        }
    }
}

impl Walks {
    /// Waits for the turn of a client, behind its own and then behind those of others.
    ///
    /// # Errors
    /// There are too many.
    pub(super) async fn turn(&self, client: ClientId) -> Result<Turn, OpError> {
        let places = async {
            Places {
                _of_client: self.clients.turn(client).await,
                _of_all: permit(Arc::clone(&self.all)).await,
            }
        };
        let places = timeout(PATIENCE, places).await.map_err(|_| {
            OpError::unavailable("too many plans and guides are asked for at the moment")
        })?;
        Ok(Turn {
            left: Arc::default(),
            places: Arc::new(places),
        })
    }
}

impl Turn {
    /// Walks, beside everything else. `walk` looks now and then whether somebody still waits for it.
    ///
    /// # Errors
    /// It panicked.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&Left) -> T + Send + 'static,
    ) -> Result<T, OpError> {
        let (left, places) = (Arc::clone(&self.left), Arc::clone(&self.places));
        let walking = tokio::task::spawn_blocking(move || {
            let found = walk(&left);
            drop(places);
            found
        });
        walking.await.map_err(OpError::internal)
    }

    /// Does what takes as long, and does not ask who waits.
    ///
    /// # Errors
    /// It panicked.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OpError> {
        self.walk(|_| work()).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.left.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    /// What is there without waiting.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            there = future => Some(there),
            () = std::future::ready(()) => None,
        }
    }

    fn client(n: u128) -> ClientId {
        ClientId::from(Uuid::from_u128(n))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_walks_once_at_a_time_and_lets_others_walk() {
        let walks = Walks {
            all: Arc::new(Semaphore::new(2)),
            clients: Turns::new(1),
        };
        let first = walks.turn(client(1)).await.unwrap();
        let second = walks.turn(client(1));
        let mut second = std::pin::pin!(second);
        assert!(at_once(second.as_mut()).await.is_none());
        let other = walks.turn(client(2)).await.unwrap();
        let third = at_once(walks.turn(client(3))).await;
        assert!(third.is_none(), "two walk");
        // Nobody waits for long.
        assert!(walks.turn(client(3)).await.is_err());
        drop((first, other));
        drop(second.await);
        walks.turn(client(3)).await.unwrap();
    }

    #[tokio::test]
    async fn a_walk_ends_when_nobody_waits_for_it() {
        let walks = Walks::default();
        let turn = walks.turn(client(1)).await.unwrap();
        let (ended, hears) = tokio::sync::oneshot::channel();
        let walk = turn.walk(move |left| {
            while !left.is_so() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
        });
        assert!(at_once(walk).await.is_none());
        drop(turn);
        hears.await.unwrap();
    }
}
