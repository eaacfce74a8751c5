//! HTTP Live Streaming (RFC 8216): GOPs into segments, segments into playlists.

mod master;
mod playlist;
mod segment;
mod subtitles;
mod variants;

pub use master::{Variant, codecs, master_playlist};
pub use playlist::{MediaPlaylist, PlaylistState, segment_name, segment_number};
pub use segment::{Segment, SegmentInfo, Segmenter};
pub use subtitles::{
    Airing, Stretch, subtitle_name, subtitle_number, subtitle_playlist, subtitle_segment,
};
pub use variants::variants;
