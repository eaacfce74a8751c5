//! From the hub into memory: does nothing else, so that the hub never finds it slow.

use std::convert::Infallible;
use std::sync::Arc;

use super::{Inner, lock};
use crate::hub::{Filter, Published, kind};

/// Collects for ever. Whoever comes after it goes on where it was.
pub(super) async fn run(inner: &Inner) -> Infallible {
    loop {
        let seen = lock(&inner.seen).clone();
        let mut events = inner.hub.subscribe(Filter::default(), Some(&seen));
        // The hub lets go of whoever does not keep up; what it remembers comes again.
        while let Some(event) = events.next().await {
            inner.take(event);
        }
    }
}

/// Takes what the hub has and was not collected.
pub(super) fn take_what_is_there(inner: &Inner) {
    let seen = lock(&inner.seen).clone();
    let mut events = inner.hub.subscribe(Filter::default(), Some(&seen));
    while let Some(event) = events.missed() {
        inner.take(event);
    }
}

impl Inner {
    fn take(&self, event: Arc<Published>) {
        *lock(&self.seen) = event.id.to_string();
        let mut backlog = lock(&self.backlog);
        match event.kind {
            kind::RESET => backlog.missed(event.at),
            _ => backlog.push(event),
        }
        drop(backlog);
        self.to_write.notify_one();
    }
}
