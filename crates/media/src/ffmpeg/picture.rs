//! From the pictures of any file to those of a profile: which picture is frame k, and how it looks.
//!
//! Frame k is the picture shown at k / frame rate after the first time stamp of the video stream. That
//! holds for every frame rate and for pictures at uneven distances, because FFmpeg's `fps` filter
//! rounds each picture's own time to the grid, wherever in the file it began to read.

use std::ops::Range;
use std::path::Path;

use playout_domain::media::Profile;
use playout_domain::resolution::Resolution;
use playout_domain::treatment::Fit;
use playout_domain::units::FrameRate;

use super::filter::Chain;
use super::logo;
use super::overlay::{self, Drawn};
use crate::probe::VideoStream;

/// How frames are taken from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Take {
    /// The time stamp that item time 0 has in front of the filters, in units of the stream.
    pub(super) zero: i64,
    /// The frames that are wanted.
    pub(super) frames: Range<u64>,
    /// Whether reading begins at the file's beginning, so that what is missing there is known to be
    /// missing and is filled with the first picture there is.
    pub(super) from_start: bool,
    /// For so many frames the last picture stands still if the file ends too early.
    pub(super) hold: u64,
}

/// The filters for `video`, to the highest rung of `profile`. They are made for the size and pixel format in the probe; the first one
/// brings every frame to it, so a change on the way neither rebuilds them nor surprises them.
pub(super) fn chain(video: &VideoStream, profile: &Profile, take: &Take) -> Chain {
    let Take {
        zero,
        frames,
        from_start,
        hold,
    } = take;
    let rate = profile.frame_rate;
    let fill = if *from_start { ":start_time=0" } else { "" };
    Chain::default()
        .then(format_args!("scale={}:{}", video.width, video.height))
        .then(format_args!("setpts=PTS-({zero})"))
        .maybe(deinterlace(video, rate))
        .then(format_args!("fps={}/{}{fill}", rate.num(), rate.den()))
        .maybe((*hold > 0).then(|| format!("tpad=stop_mode=clone:stop={hold}")))
        .then(format_args!(
            "trim=start_pts={}:end_pts={}",
            frames.start, frames.end
        ))
        .maybe(upright(video))
        .then(fit(video, profile))
        .then(finish(profile.resolution))
}

/// What is drawn over the pictures of every rung.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Over<'a> {
    /// The number of the input that is the profile's logo, where it has one.
    pub(super) logo: Option<usize>,
    /// The font of the profile's text, where it has one.
    pub(super) font: Option<&'a Path>,
    /// What is drawn over these.
    pub(super) overlay: Option<&'a Drawn<'a>>,
}

impl Over<'_> {
    pub(super) fn is_nothing(&self) -> bool {
        self.logo.is_none() && self.font.is_none() && self.overlay.is_none()
    }
}

/// The graph that makes the pictures of every rung of `profile` of those of `input` (a stream's name in brackets),
/// which `chain` brings to the highest; they come out as `[r0]`, `[r1]` and so on. So they are the same pictures at
/// the same times. What is `over` them is drawn on each, at its own scale.
pub(super) fn ladder(input: &str, chain: &Chain, profile: &Profile, over: Over<'_>) -> String {
    let count = profile.rungs().count();
    let logo = profile.treatment.logo.zip(over.logo);
    let caption = profile.treatment.caption.zip(over.font);
    // What is a rung, but for what is drawn over it.
    let bare = if over.is_nothing() { "r" } else { "b" };
    let taps: String = (1..count).map(|n| format!("[t{n}]")).collect();
    let lower = profile.lower.iter().zip(1..).map(|(rung, n)| {
        let (width, height) = (rung.resolution.width(), rung.resolution.height());
        let finish = finish(rung.resolution);
        format!(
            ";[t{n}]scale={width}:{height}:out_color_matrix=bt709:out_range=tv,{finish}[{bare}{n}]"
        )
    });
    let lower: String = lower.collect();
    let mut graph = format!("{input}{chain},split={count}[{bare}0]{taps}{lower}");
    if over.is_nothing() {
        return graph;
    }
    if let Some((_, number)) = logo {
        let copies: String = (0..count).map(|n| format!("[c{n}]")).collect();
        graph += &format!(";[{number}:v]split={count}{copies}");
    }
    for (n, rung) in profile.rungs().enumerate() {
        let (size, rate) = (rung.resolution, profile.frame_rate);
        let mut draw = Chain::default();
        let mut onto = format!("[b{n}]");
        if let Some((logo, _)) = logo {
            graph += &format!(";[c{n}]{}[l{n}]", logo::scaled(&logo, size, rate));
            onto += &format!("[l{n}]");
            draw = draw.then(logo::drawn(&logo, size));
        }
        let caption = caption.as_ref();
        draw = draw.maybe(caption.map(|(text, font)| overlay::standing(text, font, size, rate)));
        draw = draw.maybe(over.overlay.map(|drawn| overlay::drawn(drawn, size, rate)));
        graph += &format!(";{onto}{draw}[r{n}]");
    }
    graph
}

/// What every picture of a profile ends with, whatever it was made from.
pub(super) fn finish(size: Resolution) -> String {
    let (width, height) = (size.width(), size.height());
    format!(
        "pad={width}:{height}:-1:-1:black,setsar=1,setfield=prog,\
         setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=yuv420p"
    )
}

/// Only frames that are marked as interlaced are changed. Where the channel is fast enough, each field
/// becomes a frame.
fn deinterlace(video: &VideoStream, rate: FrameRate) -> Option<String> {
    let fields_fit = video
        .frame_rate
        .is_some_and(|source| rate.as_f64() > 1.5 * source);
    let mode = if fields_fit {
        "send_field"
    } else {
        "send_frame"
    };
    video
        .interlaced
        .then(|| format!("bwdif=mode={mode}:deint=interlaced"))
}

fn upright(video: &VideoStream) -> Option<&'static str> {
    match video.rotation {
        90 => Some("transpose=clock"),
        180 => Some("hflip,vflip"),
        270 => Some("transpose=cclock"),
        _ => None,
    }
}

/// Scales it to the profile's size, in BT.709 and video range: to the largest that keeps its shape, or, where the
/// profile crops, all of it, once what is too much is cut off.
fn fit(video: &VideoStream, profile: &Profile) -> Chain {
    let frame = (profile.resolution.width(), profile.resolution.height());
    let (cut, (width, height)) = match profile.treatment.fit {
        Fit::Letterbox => (None, fitted(video.shown(), frame)),
        Fit::Crop => {
            let (width, height) = cropped(video, frame);
            (Some(format!("crop={width}:{height}:exact=1")), frame)
        }
    };
    let scaled = match video.colour.transfer.as_deref() {
        Some(hdr @ ("smpte2084" | "arib-std-b67")) => format!(
            "zscale=w={width}:h={height}:tin={hdr}:pin=2020:min=2020_ncl:t=linear:npl=203,format=gbrpf32le,\
             zscale=p=709,tonemap=mobius:desat=0,zscale=t=709:m=709:r=limited,format=yuv420p"
        ),
        _ => {
            let matrix = matrix(video)
                .map(|name| format!("in_color_matrix={name}:"))
                .unwrap_or_default();
            format!("scale={width}:{height}:{matrix}out_color_matrix=bt709:out_range=tv")
        }
    };
    Chain::default().maybe(cut).then(scaled)
}

/// The largest part of a picture, in its own pixels and upright, that is shown in the shape of `frame`.
fn cropped(video: &VideoStream, frame: (u32, u32)) -> (u32, u32) {
    let (width, height) = match video.rotation {
        90 | 270 => (video.height, video.width),
        _ => (video.width, video.height),
    };
    let shown = video.shown();
    let (shown_w, shown_h) = (u64::from(shown.0.max(1)), u64::from(shown.1.max(1)));
    let (frame_w, frame_h) = (u64::from(frame.0), u64::from(frame.1));
    // a × b / c, to the nearest; one pixel at least.
    let part =
        |of: u32, a: u64, b: u64| ((u64::from(of) * a + b / 2) / b).clamp(1, of.into()) as u32;
    if shown_w * frame_h > frame_w * shown_h {
        (part(width, frame_w * shown_h, shown_w * frame_h), height)
    } else {
        (width, part(height, shown_w * frame_h, frame_w * shown_h))
    }
}

/// The matrix where a stream does not tell it: by its size, as everybody guesses it. (RGB has none and
/// ignores it.)
fn matrix(video: &VideoStream) -> Option<&'static str> {
    let guess = if video.width >= 1280 || video.height > 576 {
        "bt709"
    } else {
        "smpte170m"
    };
    video.colour.matrix.is_none().then_some(guess)
}

/// The largest even size of the shape `shown` within `frame`.
fn fitted(shown: (u32, u32), frame: (u32, u32)) -> (u32, u32) {
    let (shown_w, shown_h) = (u64::from(shown.0.max(1)), u64::from(shown.1.max(1)));
    let (frame_w, frame_h) = (u64::from(frame.0), u64::from(frame.1));
    // The nearest even number to a / b.
    let even = |a: u64, b: u64| (a + b) / (2 * b) * 2;
    let (width, height) = if shown_w * frame_h > frame_w * shown_h {
        (frame_w, even(shown_h * frame_w, shown_w))
    } else {
        (even(shown_w * frame_h, shown_h), frame_h)
    };
    (
        width.clamp(2, frame_w) as u32,
        height.clamp(2, frame_h) as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape_and_never_leaves_the_frame() {
        assert_eq!(fitted((1920, 1080), (1280, 720)), (1280, 720));
        assert_eq!(fitted((1920, 1080), (426, 240)), (426, 240));
        assert_eq!(fitted((1080, 1920), (1280, 720)), (406, 720));
        assert_eq!(fitted((640, 480), (1280, 720)), (960, 720));
        assert_eq!(fitted((2048, 858), (1280, 720)), (1280, 536));
        assert_eq!(fitted((1, 8192), (426, 240)), (2, 240));
        assert_eq!(fitted((8192, 1), (426, 240)), (426, 2));
    }
}
