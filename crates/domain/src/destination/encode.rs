//! How a destination wants the stream: a rung of it as it is on air, or encoded anew within the channel's profile.

use crate::ladder::LowerRungs;
use crate::profile::Profile;
use crate::resolution::Resolution;
use crate::units::{BitsPerSecond, FrameRate};
use crate::violation::{Fields, Violations, describe};
use serde_json::{Map, Value};

/// The least bitrate of sound that can be asked for; the most is the channel's own.
pub const LEAST_AUDIO: BitsPerSecond = BitsPerSecond(32_000);
/// What sound takes at a lower quality, at most.
const LOWER_AUDIO: BitsPerSecond = BitsPerSecond(96_000);

/// What is done to a stream on its way to a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encode {
    /// Nothing: its highest rung is copied, which costs next to nothing.
    #[default]
    Copy,
    /// The rung of this size is copied.
    Rung(Resolution),
    /// It is encoded for this destination alone, which costs as much as a live transcode.
    Transcode(EncodeSettings),
}

/// What a stream is encoded to; what is not named is the channel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeSettings {
    /// The video bitrate, constant as far as it goes.
    pub video_bitrate: BitsPerSecond,
    /// The size of the picture.
    pub resolution: Option<Resolution>,
    /// Frames per second.
    pub frame_rate: Option<FrameRate>,
    /// The audio bitrate.
    pub audio_bitrate: Option<BitsPerSecond>,
}

/// What a destination gets of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// Which rung of the ladder, counted from the highest.
    pub rung: usize,
    /// What that is encoded to; nothing: it is copied.
    pub encode: Option<Profile>,
}

impl Feed {
    /// What arrives, of a channel of `profile`.
    pub fn profile(&self, profile: &Profile) -> Profile {
        self.encode.unwrap_or_else(|| profile.alone(self.rung))
    }
}

impl Encode {
    /// What a destination gets of a channel of `profile`.
    pub fn feed(&self, profile: &Profile) -> Feed {
        match self {
            Self::Copy => Feed {
                rung: 0,
                encode: None,
            },
            Self::Rung(size) => Feed {
                rung: place(profile, *size).unwrap_or(0),
                encode: None,
            },
            Self::Transcode(settings) => Feed {
                rung: 0,
                encode: Some(Profile {
                    resolution: settings.resolution.unwrap_or(profile.resolution),
                    frame_rate: settings.frame_rate.unwrap_or(profile.frame_rate),
                    video_bitrate: settings.video_bitrate,
                    audio_bitrate: settings.audio_bitrate.unwrap_or(profile.audio_bitrate),
                    lower: LowerRungs::NONE,
                    treatment: profile.treatment,
                }),
            },
        }
    }

    /// What a weak connection may still take: the next lower rung where one is copied and there is a lower one; else
    /// half the video bitrate, in a picture that it is enough for.
    pub fn lowered(&self, profile: &Profile) -> Feed {
        let feed = self.feed(profile);
        if feed.encode.is_none() && profile.rungs().nth(feed.rung + 1).is_some() {
            return Feed {
                rung: feed.rung + 1,
                encode: None,
            };
        }
        let full = feed.profile(profile);
        let least = *Resolution::P240.bitrates().start();
        let video_bitrate = BitsPerSecond(full.video_bitrate.0 / 2).max(least);
        let fits = |resolution: &Resolution| {
            *resolution <= full.resolution && *resolution.bitrates().start() <= video_bitrate
        };
        let resolution = Resolution::ALL.into_iter().rfind(fits);
        Feed {
            rung: feed.rung,
            encode: Some(Profile {
                resolution: resolution.unwrap_or(Resolution::P240),
                video_bitrate: video_bitrate.min(full.video_bitrate),
                audio_bitrate: full.audio_bitrate.min(LOWER_AUDIO),
                ..full
            }),
        }
    }

    /// As the API answers it and the database keeps it: `"copy"`, or what was named.
    pub fn to_json(&self) -> Value {
        let settings = match self {
            Self::Copy => return "copy".into(),
            Self::Rung(size) => return serde_json::json!({ "rung": size }),
            Self::Transcode(settings) => settings,
        };
        let mut json = Map::new();
        json.insert("videoBitrate".into(), settings.video_bitrate.0.into());
        if let Some(resolution) = settings.resolution {
            json.insert("resolution".into(), resolution.name().into());
        }
        if let Some(rate) = settings.frame_rate {
            json.insert("fps".into(), serde_json::json!(rate));
        }
        if let Some(bitrate) = settings.audio_bitrate {
            json.insert("audioBitrate".into(), bitrate.0.into());
        }
        json.into()
    }

    /// What the database keeps of it.
    ///
    /// # Errors
    /// Every violation: what is stored is not what was written.
    pub fn from_stored(value: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let whole = serde_json::json!({ "encode": value });
        let read = Self::read(&mut Fields::open(&whole, "", &mut violations), None);
        violations.or(read)
    }

    /// Reads the field `encode`, bounded by the profile of the channel where there is one to bound it.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, bounds: Option<&Profile>) -> Self {
        let value = match fields.value("encode") {
            None | Some(Value::Null) => return Self::Copy,
            Some(Value::String(text)) if text == "copy" => return Self::Copy,
            Some(value) if value.is_object() => value,
            Some(other) => {
                let given = describe(other);
                let message = format!(
                    "encode is {given}; \"copy\" or an object with rung or videoBitrate is needed"
                );
                fields.refuse("encode", message);
                return Self::Copy;
            }
        };
        let pointer = fields.pointer_to("encode");
        let mut settings = Fields::open(value, pointer, fields.violations());
        if settings.value("rung").is_some() {
            let rung = read_rung(&mut settings, bounds);
            settings.finish();
            return rung;
        }
        let resolution = read_resolution(&mut settings, bounds);
        let frame_rate = read_frame_rate(&mut settings, bounds);
        let size = resolution.or(bounds.map(|profile| profile.resolution));
        settings.required("videoBitrate");
        let least = size.map_or(BitsPerSecond(0), |size| *size.bitrates().start());
        let most = bounds.map(|profile| profile.video_bitrate);
        let video_bitrate = read_bitrate(&mut settings, "videoBitrate", least, most);
        let most = bounds.map(|profile| profile.audio_bitrate);
        let audio_bitrate = read_bitrate(&mut settings, "audioBitrate", LEAST_AUDIO, most);
        settings.finish();
        Self::Transcode(EncodeSettings {
            // Where it is missing that has been noted.
            video_bitrate: video_bitrate.unwrap_or(least),
            resolution,
            frame_rate,
            audio_bitrate,
        })
    }
}

/// The place of a size in the ladder, counted from the highest.
fn place(profile: &Profile, size: Resolution) -> Option<usize> {
    profile.rungs().position(|rung| rung.resolution == size)
}

/// A rung is copied as it is, so nothing else can be said of it.
fn read_rung(fields: &mut Fields<'_, '_>, bounds: Option<&Profile>) -> Encode {
    for name in ["resolution", "fps", "videoBitrate", "audioBitrate"] {
        if fields.value(name).is_some() {
            let message = format!("{name} does not go with rung: a rung is copied as it is");
            fields.refuse(name, message);
        }
    }
    let Some(size) = fields.parsed("rung", str::parse::<Resolution>) else {
        return Encode::Copy;
    };
    if let Some(profile) = bounds.filter(|profile| place(profile, size).is_none()) {
        let rungs = profile.rungs().map(|rung| rung.resolution.name());
        let there = rungs.collect::<Vec<_>>().join(", ");
        fields.refuse(
            "rung",
            format!("rung is {size}; the channel's ladder has {there}"),
        );
    }
    Encode::Rung(size)
}

fn read_resolution(fields: &mut Fields<'_, '_>, bounds: Option<&Profile>) -> Option<Resolution> {
    let resolution = fields.parsed("resolution", str::parse::<Resolution>)?;
    match bounds.map(|profile| profile.resolution) {
        Some(most) if resolution > most => {
            let message = format!(
                "resolution is {resolution}; the channel's own is {most}, and no more is possible"
            );
            fields.refuse("resolution", message);
            None
        }
        _ => Some(resolution),
    }
}

fn read_frame_rate(fields: &mut Fields<'_, '_>, bounds: Option<&Profile>) -> Option<FrameRate> {
    let value = fields.value("fps")?;
    let refusal = match value.as_f64().map(FrameRate::from_number) {
        Some(Ok(rate)) => match bounds.map(|profile| profile.frame_rate) {
            Some(most) if rate.as_f64() > most.as_f64() => {
                format!("fps is {rate}; the channel's own is {most}, and no more is possible")
            }
            _ => return Some(rate),
        },
        Some(Err(unknown)) => unknown.to_string(),
        None => format!(
            "fps is {}; a number such as 25 or 29.97 is needed",
            describe(value)
        ),
    };
    fields.refuse("fps", refusal);
    None
}

fn read_bitrate(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    least: BitsPerSecond,
    most: Option<BitsPerSecond>,
) -> Option<BitsPerSecond> {
    let bitrate = BitsPerSecond(fields.whole_number(name)?);
    let Some(most) = most else {
        return Some(bitrate);
    };
    if (least..=most).contains(&bitrate) {
        return Some(bitrate);
    }
    let message = match least <= most {
        true => format!(
            "{name} is {bitrate}; {} to {most} are allowed here",
            least.0
        ),
        false => format!(
            "{name} is {bitrate}; at this size {least} is the least, and the channel's own {most} the most: a smaller resolution is needed"
        ),
    };
    fields.refuse(name, message);
    None
}
