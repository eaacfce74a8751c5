//! Encodes a file into a profile: all of it, to be kept, or some of its frames, to be aired at once.

use std::ops::Range;
use std::path::Path;

use playout_domain::media::Profile;

use super::encode::Effort;
use super::filter::Chain;
use super::picture::{self, Over, Take};
use super::sound::{self, Head, Samples};
use super::{Invocation, Means};
use crate::probe::{AudioStream, Probed, VideoStream};

/// No item is longer, whatever its time stamps say.
const LONGEST_HOURS: u64 = 24;
/// How far before the wanted frame reading begins. The picture that is shown at a frame may have begun
/// before it.
const PREROLL_INDEXED: f64 = 0.5;
/// The same in files without an index, where a seek lands anywhere in a GOP and the rest of that GOP
/// cannot be decoded.
const PREROLL_BLIND: f64 = 10.0;

/// Sound that is missing for so many seconds beside pictures is taken care of here; a shorter hole is
/// filled by the splicer.
const NOTICEABLE: f64 = 0.5;

/// Encodes the whole of `input` to `profile`, as a transport stream on standard output, with
/// `-progress` lines among the messages on standard error, where it also says what may be damage, and at the end for
/// [`crate::loudness::Meter`] how loud it has become. Sound goes on as long as the pictures do.
pub fn prepare(input: &Path, probed: &Probed, profile: &Profile, means: Means) -> Invocation {
    let rate = profile.frame_rate;
    let longest = rate.gop_frames() * LONGEST_HOURS * 3600 / 2;
    let frames = 0..longest;
    let take = |video: &VideoStream| Take {
        zero: zero_from_start(probed, video),
        frames: frames.clone(),
        from_start: true,
        hold: 0,
    };
    let zero = probed.begin() - probed.start as f64 / 1e6;
    let source = Source {
        input,
        probed,
        seek: None,
        silent: probed.audio.is_none(),
        means,
        metered: true,
    };
    Invocation::ffmpeg()
        .with(["-loglevel", "level+info"])
        .with(["-progress", "pipe:2", "-stats_period", "0.5"])
        .transcode(&source, profile, take, zero, &Samples::ALL)
        .with(["-shortest"])
        .encode(profile, Effort::Prepare)
}

/// Encodes frames `frames` of the item to `profile` in real time or faster. The frame numbers are
/// those of the prepared item; frame k is shown at `ITEM_START` + k / frame rate. Sound begins up to
/// two access units before the first frame. If the file ends up to a second too early, the last
/// picture stands still; if it ends earlier, the pictures end and silence goes on to the end asked for.
pub fn live(
    input: &Path,
    probed: &Probed,
    profile: &Profile,
    means: Means<'_>,
    frames: Range<u64>,
) -> Invocation {
    let rate = profile.frame_rate;
    let position = frames.start as f64 / rate.as_f64();
    let preroll = if has_index(&probed.format) {
        PREROLL_INDEXED
    } else {
        PREROLL_BLIND
    };
    let into = probed.begin() - probed.start as f64 / 1e6 + position - preroll;
    let seek = (into > 0.0).then_some(into);
    let take = |video: &VideoStream| Take {
        zero: video.start,
        frames: frames.clone(),
        from_start: seek.is_none(),
        hold: rate.gop_frames() / 2,
    };
    let samples = Samples::beside(&frames, rate);
    let end = frames.end as f64 / rate.as_f64();
    let sound = probed.sound(&profile.treatment.languages);
    let silent = sound.is_none_or(|sound| {
        let audio = sound.first;
        let over = audio
            .ends()
            .is_some_and(|over| over - probed.begin() <= position);
        let later = audio
            .begins()
            .is_some_and(|start| start - probed.begin() >= end);
        over || later
    });
    let source = Source {
        input,
        probed,
        seek,
        silent,
        means,
        metered: false,
    };
    Invocation::ffmpeg()
        .with(["-copyts"])
        .transcode(&source, profile, take, probed.begin(), &samples)
        .encode(profile, Effort::Live)
}

/// What is read, and from where.
struct Source<'a> {
    input: &'a Path,
    probed: &'a Probed,
    /// Seconds into the container.
    seek: Option<f64>,
    /// Whether silence is played instead of the file's sound.
    silent: bool,
    means: Means<'a>,
    /// Whether the sound that comes out is measured.
    metered: bool,
}

impl Invocation {
    fn transcode(
        self,
        source: &Source<'_>,
        profile: &Profile,
        take: impl Fn(&VideoStream) -> Take,
        zero: f64,
        samples: &Samples,
    ) -> Self {
        let probed = source.probed;
        let mut line = self.open(source);
        let sound = match source.silent {
            true => None,
            false => probed.sound(&profile.treatment.languages),
        };
        let lags = sound.is_some_and(|sound| probed.may_lag(sound.first));
        if lags {
            line = line.open(source);
        } else if sound.is_none() {
            line = line.with(sound::SILENCE);
        }
        if let Some(video) = &probed.video {
            let chain = picture::chain(video, profile, &take(video));
            // Behind the file, and what stands in for its sound or is read by itself.
            let logo = source
                .means
                .logo
                .filter(|_| profile.treatment.logo.is_some());
            let number = 1 + usize::from(lags || sound.is_none());
            if let Some(png) = logo {
                line = line.png(png);
            }
            let input = format!("0:{}", video.index);
            let over = Over {
                logo: logo.map(|_| number),
                font: source
                    .means
                    .font
                    .filter(|_| profile.treatment.caption.is_some()),
                overlay: source.means.overlay,
            };
            line = line.pictures(&input, &chain, profile, over);
        }
        line = match &sound {
            Some(sound) => {
                let begins = sound.first.begins();
                let late = begins
                    .is_some_and(|start| start - probed.begin() > samples.begin() + NOTICEABLE);
                let tail = sound::tail(samples, &source.means.gain);
                let tail = match source.metered {
                    true => sound::metered(tail),
                    false => tail,
                };
                let head = Head::of(samples, zero, late);
                line.sound(usize::from(lags), sound, head, tail, false)
            }
            None => line
                .set("-map", "1:a")
                .set("-af", sound::silent_chain(samples)),
        };
        line.with([
            "-max_muxing_queue_size",
            "100000",
            "-max_interleave_delta",
            "2000000",
        ])
    }

    /// Maps the pictures of stream `input`, brought to the highest rung by `chain`, to every rung, with what is drawn
    /// `over` them.
    pub(super) fn pictures(
        self,
        input: &str,
        chain: &Chain,
        profile: &Profile,
        over: Over<'_>,
    ) -> Self {
        if profile.lower.is_none() && over.is_nothing() {
            return self.set("-map", input).set("-vf", chain);
        }
        let graph = picture::ladder(&format!("[{input}]"), chain, profile, over);
        let maps = (0..profile.rungs().count()).map(|n| format!("[r{n}]"));
        maps.fold(self.set("-filter_complex", graph), |line, map| {
            line.set("-map", map)
        })
    }

    /// Adds the file as the next input. Frames reach the filters as they are: they are turned upright
    /// there, and the filters are not made anew when the picture's size changes.
    fn open(self, source: &Source<'_>) -> Self {
        let mut line = self;
        if let Some(into) = source.seek {
            line = line
                .with(["-noaccurate_seek"])
                .set("-ss", format_args!("{into:.6}"));
        }
        line.with(["-autorotate", "0", "-reinit_filter:v", "0"])
            .stranger(source.input)
    }
}

impl Probed {
    /// When the first picture is shown, in seconds of the file's clock.
    pub(super) fn begin(&self) -> f64 {
        let video = self.video.as_ref();
        video.map_or(self.start as f64 / 1e6, VideoStream::begins)
    }

    /// Whether sound may be missing for a while beside pictures: then it is read by itself. Otherwise
    /// FFmpeg would wait for it, and with it whoever reads the output.
    fn may_lag(&self, audio: &AudioStream) -> bool {
        let Some(video) = &self.video else {
            return false;
        };
        let video_end = video
            .duration
            .map(|length| self.begin() + length.as_secs_f64());
        match (audio.begins(), audio.ends(), video_end) {
            (Some(start), Some(end), Some(video_end)) => {
                start > self.begin() + NOTICEABLE || end < video_end - NOTICEABLE
            }
            _ => true,
        }
    }
}

/// The time stamp of item time 0 where a file is read from its start. Without `-copyts` FFmpeg shifts its clock to
/// begin at zero, and mends a clock that jumps.
pub(super) fn zero_from_start(probed: &Probed, video: &VideoStream) -> i64 {
    video.start - rescaled(probed.start, video.time_base)
}

/// Microseconds in units of a time base, to the nearest, halves away from zero: as FFmpeg does it.
fn rescaled(micros: i64, (num, den): (u32, u32)) -> i64 {
    let (scaled, unit) = (
        i128::from(micros) * i128::from(den),
        1_000_000 * i128::from(num),
    );
    ((scaled.abs() + unit / 2) / unit * scaled.signum()) as i64
}

/// Demuxers that find the key frame before a time.
fn has_index(format: &str) -> bool {
    ["mov", "matroska", "avi", "mxf", "gxf", "nut"]
        .iter()
        .any(|known| format.split(',').any(|name| name == *known))
}
