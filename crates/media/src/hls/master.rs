//! The master playlist (RFC 8216 §4.3.4): one variant for each rung, and the languages to read along in.

use std::fmt::Write;

use playout_domain::config::SubtitleSetting;
use playout_domain::units::FrameRate;

use super::subtitles::subtitle_playlist;

/// The group of all languages that every variant refers to.
const SUBTITLES: &str = "subtitles";

/// One rung as viewers' players choose among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The rung's name; its playlist is `<name>.m3u8`.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The highest bit rate of any segment, in bits/s.
    pub peak_bandwidth: u64,
    /// The average bit rate, in bits/s.
    pub average_bandwidth: u64,
    /// RFC 6381 codec names.
    pub codecs: String,
    /// Frames a second.
    pub frame_rate: FrameRate,
}

/// The master playlist that offers `variants` and `subtitles`, in the order given.
pub fn master_playlist(variants: &[Variant], subtitles: &[SubtitleSetting]) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let group = match subtitles {
        [] => String::new(),
        _ => format!(",SUBTITLES=\"{SUBTITLES}\""),
    };
    for s in subtitles {
        let default = if s.default { "YES" } else { "NO" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{SUBTITLES}\",NAME=\"{}\",LANGUAGE=\"{}\",\
             DEFAULT={default},AUTOSELECT=YES,FORCED=NO,URI=\"{}\"",
            s.name,
            s.language,
            subtitle_playlist(&s.language),
        );
    }
    for v in variants {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",RESOLUTION={}x{},FRAME-RATE={:.3}{group}\n\
             {}.m3u8\n",
            v.peak_bandwidth,
            v.average_bandwidth,
            v.codecs,
            v.width,
            v.height,
            v.frame_rate.as_f64(),
            v.name,
        );
    }
    text
}

/// The CODECS of a stream with these parameter sets (as [`crate::gop::parameter_sets`] finds them):
/// profile, constraints and level of the SPS (RFC 6381 §3.3), and AAC-LC. `None` without an SPS.
pub fn codecs(parameter_sets: &[u8]) -> Option<String> {
    let at = parameter_sets
        .windows(5)
        .position(|w| w[..4] == [0, 0, 0, 1] && w[4] & 0x1f == 7)?;
    let [profile, constraints, level] = *parameter_sets.get(at + 5..at + 8)? else {
        return None;
    };
    Some(format!(
        "avc1.{profile:02x}{constraints:02x}{level:02x},mp4a.40.2"
    ))
}
