//! From the sound of any file to that of a profile: 48 kHz, stereo, beside the right pictures, as loud as it is to be,
//! without end, so that sound never runs out before the pictures do.
//!
//! Several channels are brought to two by the coefficients of ITU-R BS.775 (centre and surround 3 dB down, no
//! low-frequency effects), all of them made smaller by what keeps their sum below full scale. One channel goes to both
//! sides, 3 dB down, which is as loud as before. Channels that have no place are left out but for the first two.

use std::ops::Range;

use playout_domain::loudness::Gain;
use playout_domain::units::{AUDIO_UNIT_TICKS, FrameRate};

use super::Invocation;
use super::filter::Chain;
use crate::probe::{AudioStream, Sound};

/// Samples of one AAC access unit.
const UNIT_SAMPLES: u64 = 1024;
/// So many channels have places that everybody knows.
const PLACED: u32 = 8;
/// What is done so that the sum of channels is never above full scale.
const NEVER_CLIPS: &str = "rematrix_maxval=1";

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

/// How a file's sound is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The time in front of the filters, in seconds, at which the pictures begin. Gaps are filled with silence, overlaps
    /// cut.
    pub(super) zero: f64,
    /// The first sample that is wanted.
    pub(super) start: u64,
    /// The sound begins noticeably after that one, so silence goes before it. (Not otherwise: when a stream changes
    /// its sample rate or channels on the way, FFmpeg makes these filters anew.)
    pub(super) late: bool,
}

impl Head {
    pub(super) fn of(samples: &Samples, zero: f64, late: bool) -> Self {
        Self {
            zero,
            start: samples.start,
            late,
        }
    }

    /// A stream, brought to stereo.
    fn stereo(&self, stream: &AudioStream) -> Chain {
        let fill = match self.late {
            true => format!(":first_pts={}", self.start),
            false => String::new(),
        };
        self.on_time()
            .maybe((stream.channels > PLACED).then_some("pan=stereo|c0=c0|c1=c1"))
            .then(format_args!("aresample=48000:async=1:{NEVER_CLIPS}{fill}"))
            .then("aformat=sample_fmts=fltp:channel_layouts=stereo")
    }

    /// A stream that is one side of it. Both sides begin with the same sample; `ending`: they end with their file.
    fn side(&self, ending: bool) -> Chain {
        let chain = self
            .on_time()
            .then(format_args!(
                "aresample=48000:async=1:first_pts={}",
                self.start
            ))
            .then("aformat=sample_fmts=fltp:channel_layouts=mono");
        match ending {
            true => chain,
            false => chain.then("apad").then(timed(self.start)),
        }
    }

    fn on_time(&self) -> Chain {
        let zero = self.zero;
        Chain::default().then(format_args!("asetpts=round(PTS-({zero:.9})/TB)"))
    }
}

/// Where there is no sound left at all, what is padded has no time.
fn timed(start: u64) -> String {
    format!("asetpts='if(isnan(PTS),{start}+N,PTS)'")
}

/// What all of a sound in stereo goes through: `gain`, and on without end.
pub(super) fn tail(samples: &Samples, gain: &Gain) -> Chain {
    Chain::default()
        .maybe(volume(gain))
        .maybe(limiter(gain))
        .then("apad")
        .then(timed(samples.start))
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

/// Meters a sound in stereo, after `gain`, up to `length` seconds.
pub(super) fn meter(length: Option<f64>, gain: &Gain) -> Chain {
    Chain::default()
        .then("atrim=start=0")
        .maybe(length.map(|seconds| format!("atrim=end={seconds:.6}")))
        .maybe(volume(gain))
        .maybe(limiter(gain))
        .then(METER)
}

impl Invocation {
    /// Maps a sound of input number `input`, read as `head` says, through `tail`; `ending`: it ends with its file.
    pub(super) fn sound(
        self,
        input: usize,
        sound: &Sound<'_>,
        head: Head,
        tail: Chain,
        ending: bool,
    ) -> Self {
        let first = sound.first.index;
        let Some(right) = sound.right else {
            return self
                .set("-map", format_args!("{input}:{first}"))
                .set("-af", head.stereo(sound.first).then(tail));
        };
        let (right, side) = (right.index, head.side(ending));
        let graph = format!(
            "[{input}:{first}]{side}[left];[{input}:{right}]{side}[right];\
             [left][right]join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR,aformat=sample_fmts=fltp,{tail}[sound]"
        );
        self.set("-filter_complex", graph).set("-map", "[sound]")
    }
}

/// A source of silence, as an input.
pub(super) const SILENCE: [&str; 4] = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo"];

/// The filters for [`SILENCE`].
pub(super) fn silent_chain(samples: &Samples) -> Chain {
    Chain::default()
        .then(format_args!("asetpts=PTS+{}", samples.start))
        .then(samples.trim())
}
