//! What FFprobe found in a file, read from its JSON, and whether it can be played.
//!
//! Every refusal is a sentence about the file for the person who sent it.

mod glance;
mod json;
mod judge;
mod refusal;
mod sound;
#[cfg(test)]
mod tests;

use std::time::Duration;

use playout_domain::Details;
use playout_domain::media::ProbeSummary;
use playout_domain::units::FrameRate;
use serde::{Deserialize, Serialize};

pub use glance::{GLANCE, glance};
pub use json::parse;
pub use judge::{Judged, judge};
pub use refusal::Refusal;
pub use sound::Sound;

/// What is in a file. Of several streams of a kind, the one that is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The container, as its demuxer is called.
    pub format: String,
    /// Where the container's clock begins, in microseconds.
    pub start: i64,
    /// How long the container says it is; nothing when it does not say.
    pub duration: Option<Duration>,
    /// The size of the file in bytes.
    pub size: u64,
    /// What the file says about itself.
    #[serde(default)]
    pub details: Details,
    /// The video that is played.
    pub video: Option<VideoStream>,
    /// The audio that is played where no language is preferred.
    pub audio: Option<AudioStream>,
    /// All the audio that belongs to the video, in the order of the file; empty where an earlier version looked.
    #[serde(default)]
    pub sounds: Vec<AudioStream>,
}

/// A video stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoStream {
    /// Its number in the file.
    pub index: u32,
    /// The codec; empty when unknown.
    pub codec: String,
    /// Pixels across, as stored.
    pub width: u32,
    /// Pixels down, as stored.
    pub height: u32,
    /// A pixel's width over its height.
    pub pixel_aspect: (u32, u32),
    /// By how many degrees the picture is to be turned clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
    /// The unit of the stream's time stamps in seconds, as a fraction.
    pub time_base: (u32, u32),
    /// The time stamp of its first picture, in that unit.
    pub start: i64,
    /// How long it is; nothing when the file does not say.
    pub duration: Option<Duration>,
    /// Frames per second on average; nothing when unknown.
    pub frame_rate: Option<f64>,
    /// Whether frames hold two fields.
    pub interlaced: bool,
    /// How brightness and colour are coded.
    pub colour: Colour,
    /// Whether the stream is encrypted.
    pub encrypted: bool,
}

/// The colour coding of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Colour {
    /// The matrix as FFmpeg calls it; nothing when the stream does not say.
    pub matrix: Option<String>,
    /// The transfer characteristic as FFmpeg calls it; nothing when the stream does not say.
    pub transfer: Option<String>,
}

/// An audio stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioStream {
    /// Its number in the file.
    pub index: u32,
    /// The codec; empty when unknown.
    pub codec: String,
    /// How many channels.
    pub channels: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// The unit of the stream's time stamps in seconds, as a fraction.
    pub time_base: (u32, u32),
    /// Its first time stamp, in that unit; nothing when the file does not say.
    pub start: Option<i64>,
    /// How long it is; nothing when the file does not say.
    pub duration: Option<Duration>,
    /// The language, as the file has it.
    #[serde(default)]
    pub language: Option<String>,
    /// Whether the file wants it to be heard where nothing else is asked for.
    #[serde(default)]
    pub default: bool,
    /// Whether it is beside the programme: made for the blind or the hard of hearing, or somebody talks about it.
    #[serde(default)]
    pub aside: bool,
}

impl VideoStream {
    /// When its first picture is shown, in seconds of the file's clock.
    pub fn begins(&self) -> f64 {
        let (num, den) = self.time_base;
        self.start as f64 * f64::from(num) / f64::from(den)
    }

    /// The size of the picture as it is shown, in square pixels, turned upright.
    pub fn shown(&self) -> (u32, u32) {
        let (num, den) = self.pixel_aspect;
        let wide = (u64::from(self.width) * u64::from(num) / u64::from(den.max(1))).max(1) as u32;
        match self.rotation {
            90 | 270 => (self.height, wide),
            _ => (wide, self.height),
        }
    }
}

impl AudioStream {
    /// When its sound begins, in seconds of the file's clock; nothing when the file does not say.
    pub fn begins(&self) -> Option<f64> {
        let (num, den) = self.time_base;
        self.start
            .map(|start| start as f64 * f64::from(num) / f64::from(den))
    }

    /// When its sound ends, in seconds of the file's clock; nothing when the file does not say.
    pub fn ends(&self) -> Option<f64> {
        Some(self.begins()? + self.duration?.as_secs_f64())
    }
}

impl Probed {
    /// How long the item is: as long as its video.
    pub fn length(&self) -> Option<Duration> {
        let video = self.video.as_ref()?;
        video.duration.or_else(|| {
            // A container is as long as everything in it, from whatever begins first.
            let earlier = Duration::try_from_secs_f64(video.begins() - self.start as f64 / 1e6)
                .unwrap_or_default();
            self.duration.map(|all| all.saturating_sub(earlier))
        })
    }

    /// About how many frames the item has at `rate`; at least one. Nothing when its length is unknown.
    /// The exact number is known when it has been prepared.
    pub fn frames(&self, rate: FrameRate) -> Option<u64> {
        self.length()
            .map(|length| rate.frames_at(length + rate.duration(1) / 2).max(1))
    }

    /// What people want to know of it.
    pub fn summary(&self) -> ProbeSummary {
        let video = self.video.as_ref();
        let (width, height) = video.map_or((0, 0), VideoStream::shown);
        ProbeSummary {
            format: self.format.clone(),
            video_codec: video.map(|v| v.codec.clone()).unwrap_or_default(),
            width,
            height,
            frame_rate: video.and_then(|v| v.frame_rate),
            interlaced: video.is_some_and(|v| v.interlaced),
            audio_codec: self.audio.as_ref().map(|a| a.codec.clone()),
            audio_channels: self.audio.as_ref().map(|a| a.channels),
            sample_rate: self.audio.as_ref().map(|a| a.sample_rate),
        }
    }
}
