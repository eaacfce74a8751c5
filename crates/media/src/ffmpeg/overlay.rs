//! What is written over an item: a lower third, always or for a while, and a clock, at each rung's scale.
//!
//! Texts are strangers' words: they reach FFmpeg's `drawtext` escaped for each of the readers that they pass, and are
//! expanded only where this module says so.

use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use playout_domain::overlay::{Caption, ClockFace, LowerThird, Overlay};
use playout_domain::resolution::Resolution;
use playout_domain::units::{Frame, FrameRate, Ticks90k, Timeline};

use super::Invocation;
use super::filter::Chain;

/// The part of the picture's width and height at its edges that is kept free: what EBU R 95 calls safe for graphics
/// lies within.
const SAFE: f64 = 0.05;
/// What lies behind a text.
const BAR: &str = "black@0.6";
/// How wide most letters are drawn at most, in parts of their size, by the usual fonts.
const LETTER: f64 = 0.65;

/// An overlay that is drawn while frames are transcoded.
#[derive(Debug, Clone)]
pub struct Drawn<'a> {
    /// What is drawn.
    pub overlay: &'a Overlay,
    /// The file of the font.
    pub font: &'a Path,
    /// The frames of the item that it is drawn on.
    pub frames: Range<u64>,
    /// When the item's frame 0 is on air, or would be.
    pub zero: Timestamp,
}

/// The filters that draw it on pictures of `size`, at `rate`, that are counted from the item's beginning.
pub(super) fn drawn(drawn: &Drawn<'_>, size: Resolution, rate: FrameRate) -> Chain {
    let brush = Brush::new(drawn.font, size, rate);
    let mut chain = Chain::default();
    if let Some(LowerThird { title, subtitle }) = &drawn.overlay.lower_third {
        let enable = format!(":{}", brush.enable(&drawn.frames));
        chain = brush.lower_third(chain, title, subtitle.as_deref(), &enable);
    }
    if let Some(face) = &drawn.overlay.clock {
        for (frames, ahead) in offsets(face, drawn, rate) {
            chain = chain.then(brush.clock(face, &frames, drawn.zero, ahead));
        }
    }
    chain
}

/// The filters that draw the text of a profile on all pictures of `size`.
pub(super) fn standing(text: &Caption, font: &Path, size: Resolution, rate: FrameRate) -> Chain {
    let brush = Brush::new(font, size, rate);
    brush.lower_third(Chain::default(), text.title(), text.subtitle(), "")
}

/// Draws in a font, and tells on standard output that there was a picture; any fault in it is a failure or a message.
pub fn try_font(font: &Path) -> Invocation {
    let font = escaped(&font.to_string_lossy());
    Invocation::ffmpeg()
        .with(["-f", "lavfi", "-i"])
        .with([format!(
            "color=black:s=64x64,drawtext=fontfile={font}:fontcolor=white:expansion=none:text=Ag"
        )])
        .with(["-frames:v", "1", "-flush_packets", "0"])
        .with(["-f", "framemd5", "pipe:1"])
}

/// The frames of each stretch in which the face's clocks are so many seconds ahead of UTC.
fn offsets(face: &ClockFace, drawn: &Drawn<'_>, rate: FrameRate) -> Vec<(Range<u64>, i64)> {
    let timeline = Timeline {
        epoch: drawn.zero,
        frame_rate: rate,
        clock_origin: Ticks90k::default(),
    };
    let Range { mut start, end } = drawn.frames;
    let mut offsets = Vec::new();
    while start < end {
        let at = timeline.wall(Frame::new(start));
        let change = face.time_zone.next_change(at);
        // A frame shows the time at which it begins.
        let over = change.map_or(end, |change| timeline.first_frame_from(change).get());
        let over = over.clamp(start + 1, end);
        offsets.push((start..over, face.time_zone.ahead(at)));
        start = over;
    }
    offsets
}

/// What all filters of one picture have in common.
struct Brush {
    /// The font's file, escaped.
    font: String,
    size: Resolution,
    rate: FrameRate,
}

impl Brush {
    fn new(font: &Path, size: Resolution, rate: FrameRate) -> Self {
        Self {
            font: escaped(&font.to_string_lossy()),
            size,
            rate,
        }
    }

    /// One or two lines on a bar; `enable` is behind each filter's options.
    fn lower_third(
        &self,
        chain: Chain,
        title: &str,
        subtitle: Option<&str>,
        enable: &str,
    ) -> Chain {
        let (width, height) = self.pixels();
        let (title_size, subtitle_size, pad) = (0.055 * height, 0.037 * height, 0.022 * height);
        let second = subtitle.map(|text| (text, 1.4 * subtitle_size));
        let tall = 2.0 * pad + title_size + second.map_or(0.0, |(_, line)| line);
        let (left, bottom) = (width * SAFE, height * (1.0 - SAFE));
        let (top, wide) = (bottom - tall, width - 2.0 * left);
        let room = wide - 2.0 * pad;
        let bar = format!(
            "drawbox=x={left:.0}:y={top:.0}:w={wide:.0}:h={tall:.0}:color={BAR}:t=fill{enable}"
        );
        let line = |text: &str, size: f64, baseline: f64| {
            let size = size.min(room / breadth(text)).floor().max(1.0);
            let x = left + pad;
            format!(
                "{}:expansion=none:text={}:fontsize={size:.0}:x={x:.0}:y={baseline:.0}-ascent{enable}",
                self.text(),
                escaped(text),
            )
        };
        chain
            .then(bar)
            .then(line(title, title_size, top + pad + 0.9 * title_size))
            .maybe(
                second
                    .map(|(text, _)| line(text, subtitle_size, bottom - pad - 0.2 * subtitle_size)),
            )
    }

    /// A clock on `frames`, of which frame 0 is on air at `zero`, and which is `ahead` seconds ahead of UTC.
    fn clock(&self, face: &ClockFace, frames: &Range<u64>, zero: Timestamp, ahead: i64) -> String {
        let (width, height) = self.pixels();
        let (size, edge) = (0.055 * height, 0.014 * height);
        // Half a frame more, so that rounding in the stamps does not matter.
        let half = self.rate.duration(1).as_micros() as i64 / 2;
        let base = zero.as_microsecond() + ahead * 1_000_000 + half;
        let (seconds, micros) = (base.div_euclid(1_000_000), base.rem_euclid(1_000_000));
        let mut shown = String::from(if face.twelve_hours { "%I" } else { "%H" });
        shown += r"\:%M";
        shown += if face.seconds { r"\:%S" } else { "" };
        shown += if face.twelve_hours { " %p" } else { "" };
        let text = format!("%{{pts:gmtime:{seconds}.{micros:06}:{shown}}}");
        let (top, left) = face.position.sides();
        let (side, inset) = (width * SAFE + edge, height * SAFE + edge);
        let x = match left {
            true => format!("{side:.0}"),
            false => format!("w-{side:.0}-tw"),
        };
        let y = match top {
            true => format!("{inset:.0}"),
            false => format!("h-{inset:.0}-th"),
        };
        format!(
            "{}:text={}:fontsize={size:.0}:x={x}:y={y}:box=1:boxcolor={BAR}:boxborderw={edge:.0}:{}",
            self.text(),
            escaped(&text),
            self.enable(frames)
        )
    }

    fn text(&self) -> String {
        format!("drawtext=fontfile={}:fontcolor=white", self.font)
    }

    /// The frames that a filter draws on: its clock is in seconds, and halves of a frame tell frames apart.
    fn enable(&self, frames: &Range<u64>) -> String {
        let seconds = |frame: u64| (frame as f64 - 0.5) / self.rate.as_f64();
        let (from, until) = (seconds(frames.start), seconds(frames.end));
        format!("enable='gte(t,{from:.6})*lt(t,{until:.6})'")
    }

    fn pixels(&self) -> (f64, f64) {
        (self.size.width().into(), self.size.height().into())
    }
}

/// How wide a text is at most, in parts of its size.
fn breadth(text: &str) -> f64 {
    let letter = |c: char| match c {
        'W' | 'M' | 'm' | '@' | '%' | 'æ' | 'œ' | 'ж' | 'ф' | 'ш' | 'щ' | 'ю' | '—' | '…' => {
            1.05
        }
        'A'..='Z' | 'w' | '#' | '&' | '+' | '<' | '=' | '>' | '^' | '~' => 0.85,
        '\0'..='\x7f' => LETTER,
        '\u{80}'..='\u{5ff}' if c.is_uppercase() => 1.1,
        '\u{80}'..='\u{5ff}' => 0.8,
        '\u{600}'..='\u{6ff}' => 1.25,
        _ => 1.1,
    };
    text.chars().map(letter).sum::<f64>().max(LETTER)
}

/// `value` for an option of a filter in a graph: escaped for whoever reads the filter's options, and then for whoever
/// reads the graph.
fn escaped(value: &str) -> String {
    let escape = |text: &str, special: &str| {
        let mut escaped = String::new();
        for c in text.chars() {
            if special.contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    };
    escape(&escape(value, r"\':"), r"\'[],;")
}
