//! What stands in where the plan has nothing or its item does not come: the channel's fallback video,
//! and behind it the slate.
//!
//! Which GOP of the fallback stands at a frame is a function of that frame, so it goes on where it was
//! after any interruption. Pieces of the slate fill whatever is too short for it.

use std::fs::File;
use std::sync::Arc;

use playout_domain::ids::MediaId;
use playout_domain::media::Profile;
use playout_domain::units::Frame;
use playout_media::gop::Gop;
use playout_media::splice::SourceId;

use super::queue::{Fed, Shows};
use super::slate::Slate;
use super::source::read_gop;
use crate::channels::OnAirKind;
use crate::library::{Library, Prepared};

const FALLBACK: SourceId = SourceId { content: u64::MAX - 1, run: 0 };
const SLATE: SourceId = SourceId { content: u64::MAX, run: 0 };

/// See the module's head.
pub(super) struct Filler {
    library: Library,
    profile: Profile,
    slate: Arc<Slate>,
    /// The channel's fallback video.
    fallback: Option<MediaId>,
    /// The fallback's file, once it was needed.
    open: Option<Open>,
}

struct Open {
    prepared: Prepared,
    file: Arc<File>,
}

impl Filler {
    pub(super) fn new(library: Library, profile: Profile, slate: Arc<Slate>) -> Self {
        Self { library, profile, slate, fallback: None, open: None }
    }

    /// Uses `fallback` from now on.
    pub(super) fn use_fallback(&mut self, fallback: Option<MediaId>) {
        if self.fallback != fallback {
            self.fallback = fallback;
            self.open = None;
        }
    }

    /// What stands at frame `at`, of at most `room` frames (one at least).
    pub(super) async fn piece(&mut self, at: Frame, room: u64) -> Fed {
        if let Some((media, gop)) = self.fallback_at(at, room).await {
            return fed(at, gop, FALLBACK, OnAirKind::Fallback, Some(media));
        }
        fed(at, self.slate.piece(room).clone(), SLATE, OnAirKind::Slate, None)
    }

    async fn fallback_at(&mut self, at: Frame, room: u64) -> Option<(MediaId, Gop)> {
        let media = self.fallback?;
        if self.open.is_none() {
            self.open = self.open(media).await;
        }
        let open = self.open.as_ref()?;
        let full = self.profile.frame_rate.gop_frames();
        // A short last GOP is left out of the loop, unless there is no other.
        let last_is_short = open.prepared.index.frames % full != 0;
        let gops = open.prepared.index.gops.len();
        let looped = if last_is_short { gops - 1 } else { gops }.max(1);
        let place = open.prepared.index.gop((at.get() / full) as usize % looped)?;
        if place.frames > room {
            return None;
        }
        let file = Arc::clone(&open.file);
        let read = tokio::task::spawn_blocking(move || read_gop(&file, place)).await.ok()?;
        match read.map_err(|e| e.to_string()).and_then(|gop| gop.map_err(|e| e.to_string())) {
            Ok(gop) => Some((media, gop)),
            Err(error) => {
                tracing::warn!(%media, %error, "the fallback video cannot be read");
                self.open = None;
                None
            }
        }
    }

    async fn open(&self, media: MediaId) -> Option<Open> {
        let Some(prepared) = self.library.prepared(media, &self.profile) else {
            self.library.want(media, &self.profile);
            return None;
        };
        let path = prepared.path.clone();
        match tokio::task::spawn_blocking(move || File::open(path)).await.ok()? {
            Ok(file) => Some(Open { prepared, file: Arc::new(file) }),
            Err(error) => {
                tracing::warn!(%media, %error, "the fallback video cannot be opened");
                None
            }
        }
    }
}

fn fed(at: Frame, gop: Gop, source: SourceId, kind: OnAirKind, media: Option<MediaId>) -> Fed {
    Fed { at, gop, source, shows: Shows { kind, media, entry: None, until: None } }
}
