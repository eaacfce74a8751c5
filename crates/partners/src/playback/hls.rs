//! What a playlist (RFC 8216) says about whether it moves.

use std::time::Duration;

use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};
use playout_domain::far_end::{Look, Newest};

/// Seconds of a target duration at most: what is longer is no live stream's.
const LONGEST_TARGET: u64 = 120;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// A master playlist, and where one of its variants is.
    Master(String),
    /// A media playlist, or nothing that can be used: what it says.
    Media(Look),
}

pub(super) fn read(body: &[u8]) -> Manifest {
    match m3u8_rs::parse_playlist_res(body) {
        Ok(Playlist::MasterPlaylist(master)) => match variant(master) {
            Some(uri) => Manifest::Master(uri),
            None => Manifest::Media(Look::Still("the master playlist lists nothing".to_owned())),
        },
        Ok(Playlist::MediaPlaylist(media)) => Manifest::Media(look(&media)),
        Err(_) => Manifest::Media(no_playlist()),
    }
}

/// The first one: what moves moves in all of them.
fn variant(master: MasterPlaylist) -> Option<String> {
    let mut variants = master.variants.into_iter();
    let playable = variants.find(|variant| !variant.is_i_frame && !variant.uri.is_empty())?;
    Some(playable.uri)
}

fn look(media: &MediaPlaylist) -> Look {
    if media.target_duration == 0 && media.segments.is_empty() {
        return no_playlist();
    }
    if media.end_list {
        return Look::Still("the playlist has ended (EXT-X-ENDLIST)".to_owned());
    }
    let Some(last) = media.segments.last() else {
        return Look::Still("the playlist lists no segment".to_owned());
    };
    let segment = last.uri.split('?').next().unwrap_or_default();
    Look::Playlist(Newest {
        next: media
            .media_sequence
            .saturating_add(media.segments.len() as u64),
        numbered: media.media_sequence > 0,
        segment: segment.to_owned(),
        target: Duration::from_secs(media.target_duration.clamp(1, LONGEST_TARGET)),
    })
}

fn no_playlist() -> Look {
    Look::Unknown("what answers is no HLS playlist".to_owned())
}
