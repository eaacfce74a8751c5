//! Turns of clients: so much of each at once, whatever the others do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use playout_domain::ClientId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of every client.
#[derive(Debug)]
pub struct Turns {
    of_each: usize,
    clients: Mutex<HashMap<ClientId, Weak<Semaphore>>>,
}

impl Turns {
    /// So many of each client at once.
    pub fn new(of_each: usize) -> Self {
        Self {
            of_each,
            clients: Mutex::default(),
        }
    }

    /// Waits for a turn of a client, behind those that it has asked for before; over when it is dropped.
    pub async fn turn(&self, client: ClientId) -> OwnedSemaphorePermit {
        permit(self.of(client)).await
    }

    fn of(&self, client: ClientId) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = clients.get(&client).and_then(Weak::upgrade) {
            return there;
        }
        clients.retain(|_, one| one.strong_count() > 0);
        let one = Arc::new(Semaphore::new(self.of_each));
        clients.insert(client, Arc::downgrade(&one));
        one
    }
}

/// Waits for a permit of a semaphore that nobody closes.
pub(crate) async fn permit(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    match semaphore.acquire_owned().await {
        Ok(permit) => permit,
        Err(_closed) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn each_client_has_its_turns_and_nobody_is_remembered() {
        let turns = Turns::new(2);
        let client = |n| ClientId::from(Uuid::from_u128(n));
        let first = turns.turn(client(1)).await;
        let second = turns.turn(client(1)).await;
        let third = turns.turn(client(1));
        let mut third = std::pin::pin!(third);
        tokio::select! {
            biased;
            _ = third.as_mut() => panic!("three at once"),
            _other = turns.turn(client(2)) => {}
        }
        drop(first);
        let third = third.await;
        drop((second, third));
        drop(turns.turn(client(3)).await);
        assert_eq!(turns.clients.lock().unwrap().len(), 1);
    }
}
