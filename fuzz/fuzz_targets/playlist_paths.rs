//! Whatever is asked for below a channel's playlists: a name means one segment at most, and is the one name of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use playout_media::hls::{segment_name, segment_number, subtitle_name, subtitle_number};

fuzz_target!(|name: &str| {
    if let Some((rung, sequence)) = segment_number(name) {
        assert_eq!(segment_name(rung, sequence), name);
    }
    if let Some((language, sequence)) = subtitle_number(name) {
        assert_eq!(subtitle_name(&language, sequence), name);
    }
});
