//! HTTP Live Streaming (RFC 8216): GOPs into segments, segments into playlists.

mod master;
mod playlist;
mod segment;
mod variants;

pub use master::{Variant, codecs, master_playlist};
pub use playlist::{MediaPlaylist, PlaylistState, segment_name, segment_number};
pub use segment::{Segment, SegmentInfo, Segmenter};
pub use variants::variants;
