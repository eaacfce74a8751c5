//! What the daemon decides by itself about channels, on its way into the audit of their clients: one after another, and in memory
//! while the database is away. What viewers and alerts show of it waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use playout_store::{NodeDecision, Store, StoreError};
use tokio::sync::{Mutex, mpsc};

use crate::supervise::{ChildSpec, Stopping};
use crate::tree;

/// How many wait at most.
const BACKLOG: usize = 10_000;
/// How soon that which could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Takes decisions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Decisions {
    store: Store,
    waiting: mpsc::Sender<NodeDecision>,
    /// One child after another takes from it.
    taken: Arc<Mutex<mpsc::Receiver<NodeDecision>>>,
}

impl Decisions {
    /// That are written to `store`.
    pub(crate) fn new(store: Store) -> Self {
        let (waiting, taken) = mpsc::channel(BACKLOG);
        Self {
            store,
            waiting,
            taken: Arc::new(Mutex::new(taken)),
        }
    }

    /// Takes one.
    pub(crate) fn note(&self, decision: NodeDecision) {
        if self.waiting.try_send(decision).is_err() {
            tracing::error!("more than {BACKLOG} decisions wait for the audit: one is not in it");
        }
    }

    /// What writes them, to be run by the root.
    pub(crate) fn child(&self) -> ChildSpec {
        let decisions = self.clone();
        tree::DECISIONS.task(move |stopping| decisions.clone().write(stopping))
    }

    async fn write(self, mut stopping: Stopping) -> Result<(), String> {
        let mut taken = self.taken.lock().await;
        loop {
            let decision = tokio::select! {
                () = stopping.asked() => break,
                Some(decision) = taken.recv() => decision,
            };
            while !written(&self.store, &decision).await {
                tokio::select! {
                    () = stopping.asked() => return Ok(()),
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
        // What was decided last.
        while let Ok(decision) = taken.try_recv() {
            if !written(&self.store, &decision).await {
                break;
            }
        }
        Ok(())
    }
}

/// Whether it need not be tried again.
async fn written(store: &Store, decision: &NodeDecision) -> bool {
    match store.audit_decision(decision).await {
        Ok(()) => true,
        Err(StoreError::Unavailable(_)) => false,
        Err(error) => {
            tracing::error!(%error, channel = %decision.channel, operation = decision.operation, "a decision is not in the audit");
            true
        }
    }
}
