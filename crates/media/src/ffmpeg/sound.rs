//! From the sound of any file to that of a profile: 48 kHz, stereo, beside the right pictures, without
//! end, so that sound never runs out before the pictures do.

use std::ops::Range;

use playout_domain::loudness::Gain;
use playout_domain::units::{AUDIO_UNIT_TICKS, FrameRate};

use super::filter::Chain;

/// Samples of one AAC access unit.
const UNIT_SAMPLES: u64 = 1024;

/// Samples of item time, 48 000 a second, on the grid of access units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Samples {
    start: u64,
    end: Option<u64>,
}

impl Samples {
    /// All of an item's.
    pub(super) const ALL: Self = Self {
        start: 0,
        end: None,
    };

    /// Those beside `frames`, and one access unit more on either side: a decoder needs the unit before
    /// the one that it is to play, and the encoder's very first unit is never published.
    pub(super) fn beside(frames: &Range<u64>, rate: FrameRate) -> Self {
        let first = (rate.ticks(frames.start).get() / AUDIO_UNIT_TICKS).saturating_sub(1);
        let end = rate.ticks(frames.end).get().div_ceil(AUDIO_UNIT_TICKS) + 1;
        Self {
            start: first * UNIT_SAMPLES,
            end: Some(end * UNIT_SAMPLES),
        }
    }

    /// When they begin, in seconds of item time.
    pub(super) fn begin(&self) -> f64 {
        self.start as f64 / 48_000.0
    }

    fn trim(&self) -> String {
        match self.end {
            Some(end) => format!("atrim=start_pts={}:end_pts={end}", self.start),
            None => format!("atrim=start_pts={}", self.start),
        }
    }
}

/// The filters for a file's sound; `zero` is the time in front of the filters, in seconds, at which the
/// pictures begin. Gaps are filled with silence, overlaps cut. `late`: the sound begins noticeably
/// after the first of `samples`, so silence goes before it. (Not otherwise: when a stream changes its
/// sample rate or channels on the way, FFmpeg makes these filters anew.) `gain` is done to all of it.
pub(super) fn chain(zero: f64, samples: &Samples, late: bool, gain: &Gain) -> Chain {
    let fill = if late {
        format!(":first_pts={}", samples.start)
    } else {
        String::new()
    };
    Chain::default()
        .then(format_args!("asetpts=round(PTS-({zero:.9})/TB)"))
        .then(format_args!("aresample=48000:async=1{fill}"))
        .then("aformat=sample_fmts=fltp:channel_layouts=stereo")
        .maybe(volume(gain))
        .maybe(limiter(gain))
        .then("apad")
        // Where there is no sound left at all, what is padded has no time.
        .then(format_args!(
            "asetpts='if(isnan(PTS),{}+N,PTS)'",
            samples.start
        ))
        .then(samples.trim())
}

/// Makes it louder or quieter as a whole.
fn volume(gain: &Gain) -> Option<String> {
    (gain.decibels != 0.0).then(|| format!("volume={:.2}dB", gain.decibels))
}

/// Keeps its peaks below a level. Between two samples a sound may be higher than at either: so at four times as many.
fn limiter(gain: &Gain) -> Option<String> {
    let limit = 10_f64.powf(gain.limit? / 20.0);
    Some(format!(
        "aresample=192000,alimiter=limit={limit:.6}:attack=5:release=50:level=false:latency=true,\
         aresample=48000,aformat=sample_fmts=fltp"
    ))
}

/// The meter of loudness and true peak, whose summary is for [`crate::loudness::Meter`]. It hears no more than what
/// the encoder's bandwidth lets through: noise above it would be counted, and be heard by nobody.
const METER: &str = "aresample=34000,aresample=48000,ebur128=peak=true:framelog=verbose";

/// Meters what passes, and lets it go on as it is.
pub(super) fn metered(chain: Chain) -> Chain {
    chain.then(format_args!(
        "asplit[on][aside];[aside]{METER},anullsink;[on]anull"
    ))
}

/// Meters a file's sound in stereo, after `gain`, up to `length` seconds.
pub(super) fn measured(zero: f64, length: Option<f64>, gain: &Gain) -> Chain {
    Chain::default()
        .then(format_args!("asetpts=round(PTS-({zero:.9})/TB)"))
        .then("aresample=48000:async=1")
        .then("aformat=sample_fmts=fltp:channel_layouts=stereo")
        .then("atrim=start=0")
        .maybe(length.map(|seconds| format!("atrim=end={seconds:.6}")))
        .maybe(volume(gain))
        .maybe(limiter(gain))
        .then(METER)
}

/// A source of silence, as an input.
pub(super) const SILENCE: [&str; 4] = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo"];

/// The filters for [`SILENCE`].
pub(super) fn silent_chain(samples: &Samples) -> Chain {
    Chain::default()
        .then(format_args!("asetpts=PTS+{}", samples.start))
        .then(samples.trim())
}
