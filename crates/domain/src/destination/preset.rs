//! What is known of platforms: where they take streams, and what they ask of them.
//!
//! Figures are those of the platforms' own documents, and change: they are told as warnings, and refuse nothing.

use super::{Platform, ServerUrl};
use crate::profile::Profile;
use crate::resolution::Resolution;
use crate::units::{BitsPerSecond, FrameRate};
use serde::Serialize;
use std::time::Duration;

/// A platform as it is documented.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// The platform.
    pub platform: Platform,
    /// Where it takes streams: the first unless the client says otherwise, the others in its place when that
    /// fails. None: it has to be said.
    pub servers: &'static [&'static str],
    /// What it asks of a stream; nothing where nothing is known.
    pub limits: Option<Limits>,
}

/// What a platform asks of a stream, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Video, bits/s.
    pub video_bitrate: BitsPerSecond,
    /// Sound, bits/s.
    pub audio_bitrate: BitsPerSecond,
    /// The size of the picture.
    pub resolution: Resolution,
    /// Frames per second.
    pub frame_rate: FrameRate,
    /// From one key frame to the next.
    pub key_frames: Duration,
}

/// A profile asks more of a platform than it is documented to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// Which of the limits, by its name in JSON.
    pub limit: &'static str,
    /// A sentence for people.
    pub message: String,
}

const YOUTUBE: Preset = Preset {
    platform: Platform::Youtube,
    servers: &[
        "rtmps://a.rtmps.youtube.com:443/live2",
        "rtmps://b.rtmps.youtube.com:443/live2?backup=1",
    ],
    limits: Some(Limits {
        video_bitrate: BitsPerSecond(40_000_000),
        audio_bitrate: BitsPerSecond(256_000),
        resolution: Resolution::P2160,
        frame_rate: FrameRate::F60,
        key_frames: Duration::from_secs(4),
    }),
};

const FACEBOOK: Preset = Preset {
    platform: Platform::Facebook,
    servers: &["rtmps://live-api-s.facebook.com:443/rtmp/"],
    limits: Some(Limits {
        video_bitrate: BitsPerSecond(9_000_000),
        audio_bitrate: BitsPerSecond(256_000),
        resolution: Resolution::P1080,
        frame_rate: FrameRate::F60,
        key_frames: Duration::from_secs(4),
    }),
};

const TWITCH: Preset = Preset {
    platform: Platform::Twitch,
    servers: &["rtmps://ingest.global-contribute.live-video.net:443/app"],
    limits: Some(Limits {
        video_bitrate: BitsPerSecond(6_000_000),
        audio_bitrate: BitsPerSecond(320_000),
        resolution: Resolution::P1080,
        frame_rate: FrameRate::F60,
        key_frames: Duration::from_secs(2),
    }),
};

const CUSTOM: Preset = Preset {
    platform: Platform::Custom,
    servers: &[],
    limits: None,
};

impl Platform {
    /// What is known of it.
    pub const fn preset(self) -> &'static Preset {
        match self {
            Self::Youtube => &YOUTUBE,
            Self::Facebook => &FACEBOOK,
            Self::Twitch => &TWITCH,
            Self::Custom => &CUSTOM,
        }
    }
}

impl Preset {
    /// Where it takes streams unless the client says otherwise.
    pub fn server(&self) -> Option<ServerUrl> {
        let first = self.servers.first()?;
        ServerUrl::parse(first, false).ok()
    }

    /// `chosen`, and where else a stream may go when that fails: only from one server of the platform's own to
    /// another.
    pub fn alternatives(&self, chosen: &ServerUrl) -> Vec<ServerUrl> {
        let of = |text: &&str| ServerUrl::parse(text, false).ok();
        let mut all = vec![chosen.clone()];
        if self.servers.contains(&chosen.as_str()) {
            let others = self.servers.iter().filter_map(of);
            all.extend(others.filter(|other| other != chosen));
        }
        all
    }

    /// What of `profile` is more than the platform is documented to take.
    pub fn warnings(&self, profile: &Profile) -> Vec<Warning> {
        let Some(limits) = &self.limits else {
            return Vec::new();
        };
        let platform = self.platform;
        let mut warnings = Vec::new();
        let mut check = |limit, exceeded: bool, given: String, most: String| {
            if exceeded {
                let message = format!("the stream has {given}; {platform} takes {most} at most");
                warnings.push(Warning { limit, message });
            }
        };
        let key_frames = profile.frame_rate.duration(profile.frame_rate.gop_frames());
        check(
            "maxVideoBitrate",
            profile.video_bitrate > limits.video_bitrate,
            format!("video of {}", profile.video_bitrate),
            limits.video_bitrate.to_string(),
        );
        check(
            "maxAudioBitrate",
            profile.audio_bitrate > limits.audio_bitrate,
            format!("sound of {}", profile.audio_bitrate),
            limits.audio_bitrate.to_string(),
        );
        check(
            "maxResolution",
            profile.resolution > limits.resolution,
            format!("a picture of {}", profile.resolution),
            limits.resolution.to_string(),
        );
        check(
            "maxFrameRate",
            profile.frame_rate.as_f64() > limits.frame_rate.as_f64(),
            format!("{} frames a second", profile.frame_rate),
            limits.frame_rate.to_string(),
        );
        check(
            "maxKeyFrameInterval",
            // The rates of NTSC are a thousandth slower than they are called.
            key_frames > limits.key_frames.mul_f64(1.01),
            format!("a key frame every {} s", key_frames.as_secs_f64()),
            format!("{} s", limits.key_frames.as_secs_f64()),
        );
        warnings
    }
}
