//! One subscriber's end of the hub.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::event::Published;

/// Events for one subscriber, in order. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    /// What it missed before it subscribed.
    missed: VecDeque<Arc<Published>>,
    queue: mpsc::Receiver<Arc<Published>>,
}

impl Subscription {
    pub(super) fn new(missed: Vec<Arc<Published>>, queue: mpsc::Receiver<Arc<Published>>) -> Self {
        Self {
            missed: missed.into(),
            queue,
        }
    }

    /// The next event that was missed; nothing when there is no other.
    pub fn missed(&mut self) -> Option<Arc<Published>> {
        self.missed.pop_front()
    }

    /// The next event; nothing when the subscriber was dropped because it did not keep up (it may
    /// come back with the last id it saw). Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        match self.missed.pop_front() {
            Some(event) => Some(event),
            None => self.queue.recv().await,
        }
    }
}
