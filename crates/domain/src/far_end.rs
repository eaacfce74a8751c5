//! Whether what an output sends is shown at the other end: from looks at its playback URL to a state, and when to
//! raise and to close "sending but not showing".
//!
//! Decides only; the actors' tier looks and performs the [`Effect`]s. The clock is an argument.
//!
//! Invariants: only so many looks in a row that saw nothing move say that nothing is shown; a look that could
//! not be made says nothing; what was seen before an interruption is not compared with what is seen after it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// A playlist that stands still for so many of its target durations does not move: each adds a segment (RFC 8216
/// §6.2.1), and caches on the way may be one behind.
const PATIENCE: u32 = 3;

/// After so many looks in a row that could not be made, what was known is not known any more.
const FORGOTTEN_AFTER: u32 = 3;

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Media that goes on.
    Moving,
    /// A playlist, which moves when the next look finds another one.
    Playlist(Newest),
    /// Nothing goes on: a sentence says why.
    Still(String),
    /// It could not be made, or what it found says nothing: a sentence says why.
    Unknown(String),
}

/// The newest media of a live playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The sequence number after the last segment's.
    pub next: u64,
    /// Whether the playlist numbers its segments: without `EXT-X-MEDIA-SEQUENCE` only the last one's name tells.
    pub numbered: bool,
    /// The URI of the last segment, without a query, which may be signed anew each time.
    pub segment: String,
    /// The target duration.
    pub target: Duration,
}

impl Newest {
    fn is_other_than(&self, before: &Self) -> bool {
        self.next != before.next || (!self.numbered && self.segment != before.segment)
    }
}

/// What is known of the far end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Nothing yet, or nothing any more.
    #[default]
    Unknown,
    /// What is sent is shown.
    Showing,
    /// It is sent and not shown.
    NotShowing,
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Raise the alert; a sentence says why.
    Raise(String),
    /// Close it, if it is open.
    Close,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarEnd {
    /// So many looks in a row without movement say that nothing is shown.
    after: u32,
    state: State,
    /// Why: of the latest look that did not see it moving.
    why: Option<String>,
    checked_at: Option<Timestamp>,
    /// The newest media, and when it was first seen.
    newest: Option<(Newest, Timestamp)>,
    /// Looks in a row that saw nothing move.
    still: u32,
    /// Looks in a row that could not be made.
    unknown: u32,
}

impl FarEnd {
    /// One that is not shown after so many looks in a row without movement, one at least.
    pub fn after(looks: u32) -> Self {
        Self {
            after: looks.max(1),
            state: State::Unknown,
            why: None,
            checked_at: None,
            newest: None,
            still: 0,
            unknown: 0,
        }
    }

    /// What is known.
    pub const fn state(&self) -> State {
        self.state
    }

    /// A sentence about the latest look, unless it saw media going on.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// When it was last looked at.
    pub const fn checked_at(&self) -> Option<Timestamp> {
        self.checked_at
    }

    /// What follows from a look at `now`.
    pub fn looked(&mut self, look: Look, now: Timestamp) -> Option<Effect> {
        self.checked_at = Some(now);
        match look {
            Look::Moving => self.moves(),
            Look::Playlist(newest) => self.playlist(newest, now),
            Look::Still(why) => self.stands_still(why),
            Look::Unknown(why) => {
                self.why = Some(why);
                self.unknown = self.unknown.saturating_add(1);
                // An alert stays open until it is seen that it is over.
                if self.unknown >= FORGOTTEN_AFTER && self.state == State::Showing {
                    self.state = State::Unknown;
                }
                None
            }
        }
    }

    /// The output does not deliver for a while.
    pub fn interrupted(&mut self) {
        self.newest = None;
        self.still = 0;
    }

    fn playlist(&mut self, newest: Newest, now: Timestamp) -> Option<Effect> {
        let Some((before, since)) = &self.newest else {
            self.unknown = 0;
            self.newest = Some((newest, now));
            return None;
        };
        if newest.is_other_than(before) {
            self.newest = Some((newest, now));
            return self.moves();
        }
        let stood = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
        if stood < newest.target * PATIENCE {
            self.unknown = 0;
            return None;
        }
        self.stands_still(format!(
            "the playlist has stood still for {} s, and its target duration is {} s",
            stood.as_secs(),
            newest.target.as_secs()
        ))
    }

    fn moves(&mut self) -> Option<Effect> {
        (self.still, self.unknown, self.why) = (0, 0, None);
        let before = std::mem::replace(&mut self.state, State::Showing);
        // An alert may be open that an earlier run of the daemon has raised.
        (before != State::Showing).then_some(Effect::Close)
    }

    fn stands_still(&mut self, why: String) -> Option<Effect> {
        self.unknown = 0;
        self.still = self.still.saturating_add(1);
        self.why = Some(why.clone());
        if self.still < self.after || self.state == State::NotShowing {
            return None;
        }
        self.state = State::NotShowing;
        Some(Effect::Raise(why))
    }
}
