//! Tells the as-run log what goes out: GOP by GOP into memory, and with each segment into the log.
//!
//! Where the channel is served as HLS, what goes out is what is published: a GOP whose segment was never published goes out again
//! after a crash, and is told once. Where it is not, it is told as often as a segment would be.

use std::sync::Arc;

use playout_domain::as_run::{Kind, Reason, Seen, Shown};
use playout_domain::plan::PlanEntry;
use playout_domain::units::Frame;

use super::blocking::blocking;
use super::queue::Fed;
use crate::as_run::{Book, Session};
use crate::channels::OnAirKind;

/// What a GOP is, for the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct About {
    /// What the plan has at its first frame.
    pub(super) planned: Option<PlanEntry>,
    /// Why it is on air, where it is not the plan's item.
    pub(super) reason: Reason,
    /// More about that.
    pub(super) detail: Option<Arc<str>>,
    /// Whether it was encoded while it was on air.
    pub(super) encoded: bool,
    /// The last entry that had nothing more to show before its end, by its first frame, and why.
    pub(super) gone: Option<(Frame, Reason)>,
}

/// See the module's head.
pub(super) struct Reporter {
    book: Arc<Book>,
    session: Session,
    /// What went out and was not told yet.
    pending: Vec<Seen>,
    /// So many frames are told at once where there are no segments.
    every: u64,
}

impl Reporter {
    pub(super) fn new(book: Arc<Book>, session: Session, every: u64) -> Self {
        Self {
            book,
            session,
            pending: Vec::new(),
            every,
        }
    }

    /// A GOP goes out.
    pub(super) fn goes_out(&mut self, fed: &Fed) {
        let About {
            planned,
            reason,
            detail,
            encoded,
            gone,
        } = &fed.about;
        let shown = match fed.shows.kind {
            OnAirKind::Scheduled => Shown::Planned,
            OnAirKind::Fallback => Shown::Instead(Kind::Fallback, fed.shows.media),
            OnAirKind::Slate => Shown::Instead(Kind::Slate, None),
        };
        self.pending.push(Seen {
            at: fed.at,
            frames: fed.end().since(fed.at),
            shown,
            planned: *planned,
            reason: *reason,
            detail: detail.as_deref().map(str::to_owned),
            encoded: *encoded,
            gone: *gone,
        });
    }

    /// Everything before `end` is about to be published.
    pub(super) async fn note(&mut self, end: Frame) {
        let upto = self
            .pending
            .partition_point(|seen| seen.at + seen.frames <= end);
        let seen: Vec<Seen> = self.pending.drain(..upto).collect();
        let (book, session) = (Arc::clone(&self.book), self.session);
        blocking(move || book.note(session, &seen)).await;
    }

    /// What was noted last is published.
    pub(super) fn published(&self) {
        self.book.published(self.session);
    }

    /// Tells what went out without being published, when it is enough.
    pub(super) async fn note_unpublished(&mut self) {
        let frames = self.pending.iter().map(|seen| seen.frames).sum::<u64>();
        if let Some(last) = self.pending.last()
            && frames >= self.every
        {
            let end = last.at + last.frames;
            self.note(end).await;
            self.published();
        }
    }
}
