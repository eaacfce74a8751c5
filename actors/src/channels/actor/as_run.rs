//! What the as-run log cannot see for itself: who has asked for what, and why the channel is off air.

use std::sync::Arc;

use playout_domain::as_run::{Order, Planned, Reason};
use playout_domain::channel::{ChannelStatus, Desired};
use playout_domain::plan::PlanEntry;
use playout_domain::units::Frame;

use super::Room;
use crate::as_run::Book;

impl Room {
    /// What the channel has aired.
    pub(super) fn book(&self) -> Arc<Book> {
        self.args.environment.as_run.book(self.args.handle.id)
    }

    /// Tells the as-run log that `entry` was ended at `at`, or left out where it had not begun.
    pub(super) fn tell_skipped(&self, entry: Option<PlanEntry>, at: Frame, reason: Reason) {
        let by = self.orderer.clone();
        let book = self.book();
        match (entry.filter(|entry| entry.start == at), by) {
            (Some(entry), by) => book.order(Order::Drop {
                planned: Planned::of(&entry),
                reason,
                by,
            }),
            (None, Some(by)) => book.order(Order::Skip { at, by }),
            // The playout tells by itself what has ended.
            (None, None) => {}
        }
    }

    /// Tells the as-run log that the playout has ended, where that was by order: with the daemon nobody says why.
    pub(super) async fn tell_off_air(&self) {
        let life = self.life.state();
        let book = self.book();
        if life.desired == Desired::Live {
            if life.status != ChannelStatus::Stopped {
                // It begins anew at once.
                book.away(Reason::OffAir);
            }
            return;
        }
        let left = tokio::task::spawn_blocking(move || book.leave(Reason::OffAir));
        if let Err(error) = left.await {
            tracing::error!(channel = %self.args.handle.id, %error, "the as-run log does not say that the channel is off air");
        }
    }

    /// Nothing is written about the channel any more.
    pub(super) async fn close_book(&self) {
        let book = self.book();
        if let Err(error) = tokio::task::spawn_blocking(move || book.close()).await {
            tracing::error!(channel = %self.args.handle.id, %error, "the as-run log of a deleted channel stays open");
        }
    }
}
