//! Changes whose fate is not known: PostgreSQL went away, or thought for too long, after it was asked. What it has is
//! read when it can be, before anything else is changed, and taken up; so memory and PostgreSQL never stay apart.

use std::time::Duration;

use playout_store::StoreError;
use ractor::ActorRef;
use tokio::time::timeout;

use super::{Msg, Room};
use crate::error::OpError;

/// How long an order waits for that; it is tried again.
const PATIENCE: Duration = Duration::from_secs(2);

impl Room {
    /// Finds out what became of a change that was given up, if there was one; and takes up what was left for this
    /// actor.
    ///
    /// # Errors
    /// That cannot be found out yet; the channel turned out to be deleted, or stored damaged.
    pub(super) async fn settle(&mut self, me: &ActorRef<Msg>) -> Result<(), OpError> {
        let handle = std::sync::Arc::clone(&self.args.handle);
        if let Some(stored) = handle.take_left() {
            self.take_up(me, stored).await;
        }
        let mut pen = handle.pen.lock().await;
        if !pen.in_doubt || pen.gone {
            return Ok(());
        }
        let store = self.args.environment.store.clone();
        store.recordable()?;
        let client = handle.snapshot().channel.client_id;
        let settled = store.settled_channel(client, handle.id, &pen.refused);
        let settled = timeout(PATIENCE, settled).await;
        let settled = settled.map_err(|_| OpError::unavailable("PostgreSQL thinks for long"))??;
        pen.in_doubt = false;
        pen.refused.clear();
        drop(pen);
        match settled {
            Some(stored) => {
                self.take_up(me, stored).await;
                Ok(())
            }
            None => {
                tracing::warn!(channel = %handle.id, "a channel turned out to be deleted");
                store.end_lease(handle.id);
                store.forget_copy(handle.id).await;
                self.deleted().await;
                Err(OpError::NotFound("channel"))
            }
        }
    }

    /// Notes that it is not known what became of a change, where that is so; nothing has changed in memory.
    pub(super) fn given_up<T>(
        &self,
        done: Result<T, StoreError>,
        pen: &mut super::Pen,
    ) -> Result<T, OpError> {
        if let Err(StoreError::Unavailable(_)) = done {
            pen.doubt();
            self.args.handle.touch();
        }
        Ok(done?)
    }
}
