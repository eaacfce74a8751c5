//! A channel's HLS output as the facade serves it: playlists and segments in memory, replaced as a
//! whole at each publication, so a reader never waits and never sees half a change.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use playout_domain::Language;
use playout_domain::config::SubtitleSetting;
use playout_media::hls::{
    MediaPlaylist, Segment, Variant, master_playlist, segment_number, subtitle_number,
    subtitle_playlist, subtitle_segment,
};

const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
const SEGMENT_TYPE: &str = "video/mp2t";
const SUBTITLES_TYPE: &str = "text/vtt; charset=utf-8";
/// A segment's name stands for the same bytes for ever.
const SEGMENT_CACHE: &str = "public, max-age=86400, immutable";

/// An answer ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The bytes.
    pub body: Bytes,
    /// A strong entity tag, quotes included.
    pub etag: String,
    /// The media type.
    pub content_type: &'static str,
    /// The `Cache-Control` header.
    pub cache_control: String,
}

#[derive(Debug)]
struct Kept {
    sequence: u64,
    /// One for each rung.
    bodies: Vec<Served>,
    subtitles: Vec<(Language, Served)>,
    /// The subtitles in a language that was not offered when it was made.
    silent: Served,
}

#[derive(Debug, Clone, Default)]
struct Published {
    master: Option<Served>,
    /// The rungs' names, in the order of the streams.
    rungs: Vec<String>,
    playlists: Vec<Served>,
    /// The playlists of subtitles.
    subtitles: Vec<(Language, Served)>,
    /// Oldest first; more than the window, because players may still ask for what has left it.
    segments: VecDeque<Arc<Kept>>,
}

/// What viewers can fetch of one channel.
#[derive(Debug)]
pub struct HlsOutput {
    /// `Cache-Control` of playlists: half the target duration, so that a cache never holds a
    /// playlist that a player would already reload.
    playlist_cache: String,
    /// Segments kept: the window, and as many again plus one after they left it (RFC 8216 §6.2.2).
    keep: usize,
    published: RwLock<Arc<Published>>,
}

impl HlsOutput {
    /// An output with nothing published yet, for a window of so many segments of `target` seconds.
    pub fn new(target: u32, window: usize) -> Self {
        let playlist_cache = format!("public, max-age={}", (target / 2).max(1));
        Self {
            playlist_cache,
            keep: 2 * window + 1,
            published: RwLock::default(),
        }
    }

    /// The master playlist; `None` before the first publication.
    pub fn master(&self) -> Option<Served> {
        self.current().master.clone()
    }

    /// The media playlist of a rung.
    pub fn media(&self, rung: &str) -> Option<Served> {
        let current = self.current();
        match current.rungs.iter().position(|name| name == rung) {
            Some(index) => current.playlists.get(index).cloned(),
            None => {
                let name = format!("{rung}.m3u8");
                let mut playlists = current.subtitles.iter();
                let found = playlists.find(|(language, _)| subtitle_playlist(language) == name)?;
                Some(found.1.clone())
            }
        }
    }

    /// A segment by its name.
    pub fn segment(&self, name: &str) -> Option<Served> {
        let current = self.current();
        if let Some((language, sequence)) = subtitle_number(name) {
            let mut offered = current.subtitles.iter();
            offered.find(|(offered, _)| *offered == language)?;
            let kept = current.kept(sequence)?;
            let written = kept.subtitles.iter().find(|(known, _)| *known == language);
            return Some(written.map_or(&kept.silent, |(_, served)| served).clone());
        }
        let (rung, sequence) = segment_number(name)?;
        let index = current.rungs.iter().position(|name| name == rung)?;
        current.kept(sequence)?.bodies.get(index).cloned()
    }

    /// How many segments are kept, those in the playlist and those before it.
    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// How many segments a full playlist lists.
    pub(super) fn window(&self) -> usize {
        self.keep / 2
    }

    /// Publishes `segments` (newest last), with their subtitles in these languages, and the playlists that name them. A playout that follows
    /// another publishes again what that one left: a number is kept once.
    pub(super) fn publish(
        &self,
        variants: &[Variant],
        subtitles: &[SubtitleSetting],
        playlist: &MediaPlaylist,
        segments: &[Segment],
    ) {
        let mut next = Published::clone(&self.current());
        next.rungs = variants.iter().map(|v| v.name.clone()).collect();
        if let Some(first) = segments.first() {
            next.segments
                .retain(|kept| kept.sequence < first.info.sequence);
        }
        next.segments.extend(
            segments
                .iter()
                .map(|segment| Arc::new(keep(segment, playlist))),
        );
        let surplus = next.segments.len().saturating_sub(self.keep);
        next.segments.drain(..surplus);
        next.playlists = next
            .rungs
            .iter()
            .filter_map(|rung| playlist.render(rung))
            .map(|text| self.playlist(text))
            .collect();
        let languages = subtitles.iter().map(|setting| &setting.language);
        next.subtitles = languages
            .filter_map(|language| Some((language.clone(), playlist.render_subtitles(language)?)))
            .map(|(language, text)| (language, self.playlist(text)))
            .collect();
        next.master = (!next.playlists.is_empty())
            .then(|| self.playlist(master_playlist(variants, subtitles)));
        *self
            .published
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(next);
    }

    fn playlist(&self, text: String) -> Served {
        Served {
            etag: tag(text.as_bytes()),
            body: Bytes::from(text),
            content_type: PLAYLIST_TYPE,
            cache_control: self.playlist_cache.clone(),
        }
    }

    fn current(&self) -> Arc<Published> {
        Arc::clone(
            &self
                .published
                .read()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

impl Published {
    fn kept(&self, sequence: u64) -> Option<&Kept> {
        let at = self
            .segments
            .binary_search_by_key(&sequence, |kept| kept.sequence)
            .ok()?;
        self.segments.get(at).map(|kept| &**kept)
    }
}

/// A tag of what has no name of its own.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn keep(segment: &Segment, playlist: &MediaPlaylist) -> Kept {
    let info = &segment.info;
    let text = |body: &Bytes| Served {
        etag: tag(body),
        body: body.clone(),
        content_type: SUBTITLES_TYPE,
        cache_control: SEGMENT_CACHE.to_owned(),
    };
    let subtitles = segment.subtitles.iter();
    let silent = Bytes::from(subtitle_segment(playlist.timeline(), info, &[]));
    let served = |body: &Bytes| Served {
        // A number is never used for other bytes, so number, place and length name them.
        etag: format!(
            "\"{:x}-{:x}-{:x}\"",
            info.sequence,
            info.start.get(),
            body.len()
        ),
        body: body.clone(),
        content_type: SEGMENT_TYPE,
        cache_control: SEGMENT_CACHE.to_owned(),
    };
    Kept {
        sequence: info.sequence,
        bodies: segment.streams.iter().map(served).collect(),
        subtitles: subtitles
            .map(|(language, body)| (language.clone(), text(body)))
            .collect(),
        silent: text(&silent),
    }
}
