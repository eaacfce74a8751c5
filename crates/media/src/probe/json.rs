//! Reads FFprobe's JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use playout_domain::Details;
use serde::Deserialize;

use super::sound::best;
use super::{AudioStream, Colour, Probed, Refusal, VideoStream};

#[derive(Deserialize)]
struct Output {
    error: Option<Failure>,
    format: Option<Format>,
    #[serde(default)]
    programs: Vec<Program>,
    #[serde(default)]
    streams: Vec<Stream>,
}

/// Streams that belong together, where a file holds several channels.
#[derive(Deserialize)]
struct Program {
    #[serde(default)]
    streams: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    index: u32,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    string: String,
}

#[derive(Deserialize)]
struct Format {
    #[serde(default)]
    format_name: String,
    start_time: Option<String>,
    duration: Option<String>,
    size: Option<String>,
    /// Containers differ in how they write the names.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Tags {
    language: Option<String>,
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    index: u32,
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    codec_tag_string: String,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    sample_aspect_ratio: Option<String>,
    field_order: Option<String>,
    color_space: Option<String>,
    color_transfer: Option<String>,
    time_base: Option<String>,
    start_pts: Option<i64>,
    duration: Option<String>,
    avg_frame_rate: Option<String>,
    #[serde(default)]
    channels: u32,
    sample_rate: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    default: u8,
    #[serde(default)]
    attached_pic: u8,
    #[serde(default)]
    comment: u8,
    #[serde(default)]
    hearing_impaired: u8,
    #[serde(default)]
    visual_impaired: u8,
}

impl Disposition {
    fn is_aside(&self) -> bool {
        self.comment + self.hearing_impaired + self.visual_impaired > 0
    }
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Reads what `ffprobe` wrote to its standard output. `said` is what it wrote to standard error; it
/// tells refusals apart and may be empty.
///
/// # Errors
/// The reason why the file is no media.
pub fn parse(json: &[u8], said: &str) -> Result<Probed, Refusal> {
    let output: Output = serde_json::from_slice(&valid_utf8(json))
        .map_err(|_| Refusal::Unreadable(first_line(said)))?;
    if let Some(failure) = output.error {
        return Err(refusal(&failure.string, said));
    }
    let format = output
        .format
        .ok_or_else(|| Refusal::Unreadable(first_line(said)))?;
    let picture = output
        .streams
        .iter()
        .filter(|s| s.codec_type == "video" && s.disposition.attached_pic == 0);
    let picture = picture.max_by_key(|s| s.rank());
    let beside = |sound: &Stream| {
        let has =
            |program: &&Program, index| program.streams.iter().any(|member| member.index == index);
        let own =
            picture.and_then(|p| output.programs.iter().find(|program| has(program, p.index)));
        own.is_none_or(|program| has(&program, sound.index))
    };
    let sound = output
        .streams
        .iter()
        .filter(|s| s.codec_type == "audio" && s.channels > 0 && !s.codec_name.is_empty());
    let sounds: Vec<AudioStream> = sound.filter(|s| beside(s)).map(audio).collect();
    let sound = best(sounds.iter()).cloned();
    Ok(Probed {
        format: format.format_name,
        start: format.start_time.as_deref().and_then(micros).unwrap_or(0),
        duration: format.duration.as_deref().and_then(seconds),
        size: format.size.and_then(|size| size.parse().ok()).unwrap_or(0),
        details: details(&format.tags, sound.as_ref()),
        video: picture.map(video),
        audio: sound,
        sounds,
    })
}

/// What the file says about itself: MP4 and Matroska have different names for the same things.
fn details(tags: &BTreeMap<String, String>, sound: Option<&AudioStream>) -> Details {
    let tag = |names: &[&str]| {
        names.iter().find_map(|name| {
            let mut tags = tags.iter();
            let (_, value) = tags.find(|(given, _)| given.eq_ignore_ascii_case(name))?;
            Some(value.clone()).filter(|value| !value.trim().is_empty())
        })
    };
    let number = |names: &[&str]| tag(names).and_then(|text| text.trim().parse().ok());
    let spoken = sound.and_then(|sound| sound.language.clone());
    let listed = |text: String| text.split([',', ';']).map(str::to_owned).collect();
    Details {
        title: tag(&["title"]),
        description: tag(&["description", "synopsis", "summary", "comment"]),
        tags: tag(&["keywords"]).map(listed).unwrap_or_default(),
        genre: tag(&["genre"]),
        language: spoken,
        rating: tag(&["law_rating"]),
        series: tag(&["show"]),
        season: number(&["season_number"]),
        episode: number(&["episode_sort"]),
    }
    .tidy()
}

/// Tags are as the file has them, which need not be UTF-8.
fn valid_utf8(json: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(json).into_owned().into_bytes()
}

fn first_line(said: &str) -> String {
    said.lines()
        .next()
        .unwrap_or("the examination was broken off")
        .to_owned()
}

/// The sentence for FFmpeg's error. A demuxer that is not allowed is named in what it said:
/// `[hls @ 0x…] Format not on whitelist …`.
fn refusal(error: &str, said: &str) -> Refusal {
    if let Some(line) = said
        .lines()
        .find(|line| line.contains("Format not on whitelist"))
    {
        let demuxer = line
            .trim_start_matches('[')
            .split([' ', ','])
            .next()
            .unwrap_or_default();
        return match demuxer {
            "image2" => Refusal::Image,
            "hls" | "applehttp" | "dash" | "concat" | "sdp" | "imf" | "rtsp" | "redir" => {
                Refusal::Playlist
            }
            other => Refusal::Format(other.to_owned()),
        };
    }
    match error {
        _ if said.contains("moov atom not found") => Refusal::NoIndex,
        "No such file or directory" => Refusal::NotOpened("there is no such file".into()),
        "Is a directory" => Refusal::NotOpened("it is a folder".into()),
        "Permission denied" => Refusal::NotOpened("reading it is not allowed".into()),
        _ => Refusal::NotMedia,
    }
}

impl Stream {
    /// Which of several streams of a kind is played: the one marked as default, else the largest, else
    /// the first.
    fn rank(&self) -> (u8, u64, Reverse<u32>) {
        (
            self.disposition.default,
            u64::from(self.width) * u64::from(self.height),
            Reverse(self.index),
        )
    }
}

fn video(stream: &Stream) -> VideoStream {
    let rotation = stream
        .side_data_list
        .iter()
        .find_map(|side| side.rotation)
        .unwrap_or(0.0);
    VideoStream {
        index: stream.index,
        codec: known(&stream.codec_name),
        width: stream.width,
        height: stream.height,
        pixel_aspect: stream
            .sample_aspect_ratio
            .as_deref()
            .and_then(|r| ratio(r, ':'))
            .unwrap_or((1, 1)),
        // FFmpeg counts anticlockwise.
        rotation: ((-rotation / 90.0).round() as i32).rem_euclid(4) as u16 * 90,
        time_base: time_base(stream),
        start: stream.start_pts.unwrap_or(0),
        duration: duration(stream),
        frame_rate: stream
            .avg_frame_rate
            .as_deref()
            .and_then(|r| ratio(r, '/'))
            .map(|(num, den)| f64::from(num) / f64::from(den)),
        interlaced: matches!(
            stream.field_order.as_deref(),
            Some("tt" | "bb" | "tb" | "bt")
        ),
        colour: Colour {
            matrix: stream.color_space.clone().filter(|name| name != "unknown"),
            transfer: stream
                .color_transfer
                .clone()
                .filter(|name| name != "unknown"),
        },
        encrypted: matches!(stream.codec_tag_string.as_str(), "encv" | "drmi"),
    }
}

fn audio(stream: &Stream) -> AudioStream {
    AudioStream {
        index: stream.index,
        codec: known(&stream.codec_name),
        channels: stream.channels,
        sample_rate: stream
            .sample_rate
            .as_deref()
            .and_then(|rate| rate.parse().ok())
            .unwrap_or(0),
        time_base: time_base(stream),
        start: stream.start_pts,
        duration: duration(stream),
        // Undetermined is none.
        language: stream
            .tags
            .language
            .clone()
            .filter(|language| language != "und"),
        default: stream.disposition.default > 0,
        aside: stream.disposition.is_aside(),
    }
}

fn time_base(stream: &Stream) -> (u32, u32) {
    stream
        .time_base
        .as_deref()
        .and_then(|text| ratio(text, '/'))
        .unwrap_or((1, 90_000))
}

fn duration(stream: &Stream) -> Option<Duration> {
    let told = stream.duration.as_deref().and_then(seconds);
    // Matroska's tag tells when the stream ends.
    let end = || stream.tags.duration.as_deref().and_then(clock);
    told.or_else(|| {
        let (num, den) = time_base(stream);
        let begins = stream.start_pts.unwrap_or(0).max(0) as f64 * f64::from(num) / f64::from(den);
        end().map(|end| end.saturating_sub(Duration::try_from_secs_f64(begins).unwrap_or_default()))
    })
}

fn known(codec: &str) -> String {
    if codec == "unknown" {
        String::new()
    } else {
        codec.to_owned()
    }
}

/// `num/den`, both above zero.
fn ratio(text: &str, between: char) -> Option<(u32, u32)> {
    let (num, den) = text.split_once(between)?;
    let (num, den) = (num.parse().ok()?, den.parse().ok()?);
    (num > 0 && den > 0).then_some((num, den))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| !length.is_zero())
}

/// Seconds with six decimals, as microseconds.
fn micros(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    seconds.is_finite().then(|| (seconds * 1e6).round() as i64)
}

/// `hours:minutes:seconds`, as Matroska files have it.
fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.splitn(3, ':');
    let hours: u32 = parts.next()?.parse().ok()?;
    let minutes: u32 = parts.next()?.parse().ok()?;
    let length = seconds(parts.next()?).unwrap_or_default()
        + Duration::from_secs(60 * u64::from(minutes) + 3600 * u64::from(hours));
    (!length.is_zero()).then_some(length)
}
