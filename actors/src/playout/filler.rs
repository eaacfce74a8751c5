//! What stands in where the plan has nothing or its item does not come: the channel's fallback video,
//! and behind it the slate.
//!
//! Which GOP of the fallback stands at a frame is a function of that frame, so it goes on where it was
//! after any interruption. Pieces of the slate fill whatever is too short for it.

use std::sync::Arc;

use playout_domain::ids::MediaId;
use playout_domain::media::Profile;
use playout_domain::units::Frame;
use playout_media::gop::Gop;
use playout_media::index::GopIndex;
use playout_media::splice::SourceId;

use super::queue::{Fed, Shows};
use super::reporter::About;
use super::slate::Slate;
use super::source::{DirectSource, SourceError};
use crate::channels::OnAirKind;
use crate::library::Library;

const FALLBACK: SourceId = SourceId {
    content: u64::MAX - 1,
    run: 0,
};
const SLATE: SourceId = SourceId {
    content: u64::MAX,
    run: 0,
};

/// See the module's head.
pub(super) struct Filler {
    library: Library,
    profile: Profile,
    slate: Arc<Slate>,
    /// The channel's fallback video.
    fallback: Option<MediaId>,
    /// The fallback, read up to where it stood last.
    open: Option<DirectSource>,
}

impl Filler {
    pub(super) fn new(library: Library, profile: Profile, slate: Arc<Slate>) -> Self {
        Self {
            library,
            profile,
            slate,
            fallback: None,
            open: None,
        }
    }

    /// Uses `fallback` from now on.
    pub(super) fn use_fallback(&mut self, fallback: Option<MediaId>) {
        if self.fallback != fallback {
            self.fallback = fallback;
            self.open = None;
        }
    }

    /// What stands at frame `at`, of at most `room` frames (one at least).
    pub(super) async fn piece(&mut self, at: Frame, room: u64, about: About) -> Fed {
        if let Some((media, gop)) = self.fallback_at(at, room).await {
            return fed(at, gop, FALLBACK, (OnAirKind::Fallback, Some(media)), about);
        }
        fed(
            at,
            self.slate.piece(room).clone(),
            SLATE,
            (OnAirKind::Slate, None),
            about,
        )
    }

    async fn fallback_at(&mut self, at: Frame, room: u64) -> Option<(MediaId, Gop)> {
        let media = self.fallback?;
        let Some(prepared) = self.library.prepared(media, &self.profile) else {
            self.library.want(media, &self.profile);
            return None;
        };
        let (number, frames) = place_at(&prepared.index, at)?;
        if frames > room {
            return None;
        }
        let kept = self
            .open
            .take()
            .filter(|source| source.position() == number);
        let read = async {
            let mut source = match kept {
                Some(source) => source,
                None => DirectSource::open(prepared, number).await?,
            };
            let gop = source.next().await?;
            Ok::<_, SourceError>((source, gop))
        };
        match read.await {
            Ok((source, gop)) => {
                self.open = Some(source);
                gop.map(|gop| (media, gop))
            }
            Err(error) => {
                tracing::warn!(%media, %error, "the fallback video cannot be read");
                None
            }
        }
    }
}

/// Which GOP of the fallback stands at a frame, and its length. A short last GOP is left out of the loop,
/// unless there is no other.
fn place_at(index: &GopIndex, at: Frame) -> Option<(usize, u64)> {
    let full = index.frame_rate.gop_frames();
    let last_is_short = !index.frames.is_multiple_of(full);
    let gops = index.gops.len();
    let looped = if last_is_short { gops - 1 } else { gops }.max(1);
    let place = index.gop((at.get() / full) as usize % looped)?;
    Some((place.number, place.frames))
}

fn fed(
    at: Frame,
    gop: Gop,
    source: SourceId,
    (kind, media): (OnAirKind, Option<MediaId>),
    about: About,
) -> Fed {
    Fed {
        at,
        gop,
        source,
        shows: Shows {
            kind,
            media,
            entry: None,
            until: None,
        },
        drawn: None,
        bare: false,
        about,
    }
}
