//! From JSON to a configuration: everything is read, and every violation is listed.

use super::{
    ChannelConfig, FeatureFlags, InteractionFeature, InteractionSetting, MonetizationSettings,
    RecoverySettings, ResourceSettings, Rung, SubtitleSetting,
};
use crate::destination::{
    DestinationConfig, Encode, Platform, PlaybackUrl, ServerUrl, StreamKey, StreamKeySetting,
};
use crate::ids::{DestinationId, MediaId};
use crate::labels::Labels;
use crate::ladder::MAX_RUNGS;
use crate::languages::Languages;
use crate::logo::Logo;
use crate::loudness::{Loudness, Target};
use crate::overlay::{Font, Overlay};
use crate::profile::Profile;
use crate::resolution::Resolution;
use crate::units::{BitsPerSecond, FrameRate};
use crate::violation::{Fields, Violations, describe, member};
use serde_json::Value;
use std::sync::Arc;

/// Characters of a channel's name at most.
pub const MAX_NAME_LENGTH: usize = 100;

/// Destinations of a channel at most, whatever its client's plan says.
pub const MAX_DESTINATIONS: usize = 32;

/// What the operator allows, and what channels get that do not say what they want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether RTMP destinations may be loopback, private or link-local addresses.
    pub allow_private_destinations: bool,
    /// What is made of the loudness of what is played.
    pub loudness: Loudness,
    /// The languages that are preferred, where a file has its sound in several.
    pub languages: Languages,
}

impl Policy {
    /// Destinations anywhere, and the defaults of the house.
    pub const ANYWHERE: Self = Self {
        allow_private_destinations: true,
        loudness: Loudness::To(Target::EBU),
        languages: Languages::NONE,
    };
    /// Destinations in public only, and the defaults of the house.
    pub const PUBLIC: Self = Self {
        allow_private_destinations: false,
        ..Self::ANYWHERE
    };
}

impl ChannelConfig {
    /// Reads the configuration of a channel that is to be created.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse(value: &Value, policy: &Policy) -> Result<Self, Violations> {
        Self::parse_with(value, policy, &[])
    }

    /// Reads the whole configuration of a channel whose destinations so far are `known`: one that
    /// names a known id and gives no key keeps its key.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse_with(
        value: &Value,
        policy: &Policy,
        known: &[DestinationConfig],
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let mut config = read(&mut fields, policy, check_name);
        if let Some(list) = fields.list("rtmpDestinations", MAX_DESTINATIONS) {
            let violations = fields.violations();
            let context = Context {
                policy,
                known,
                bounds: picture(&config, violations),
            };
            config.rtmp_destinations = read_destinations(list, &context, violations);
        }
        fields.finish();
        violations.or(config)
    }

    /// What is wrong with a patch whatever channel it is for: it is none, or names what no channel has.
    pub fn foreign_to_all(patch: &Value, pointer: &str) -> Violations {
        let Some(changes) = patch.as_object() else {
            let message = format!(
                "an object of changes is needed here, not {}",
                describe(patch)
            );
            return Violations::one(pointer, message);
        };
        // What goes need not be known; what is wrong with the fields that there are hangs on the channel.
        let stays = changes.iter().filter(|(_, change)| !change.is_null());
        let stays = stays
            .map(|(name, change)| (name.clone(), change.clone()))
            .collect();
        let (stays, mut elsewhere) = (Value::Object(stays), Violations::default());
        let mut fields = Fields::open(&stays, pointer, &mut elsewhere);
        read(&mut fields, &Policy::default(), check_length);
        fields.value("rtmpDestinations");
        fields.unknown()
    }

    /// Reads what the store keeps; `destinations` come from rows of their own.
    ///
    /// # Errors
    /// Every violation: what is stored is not what was written.
    pub fn from_stored(
        value: &Value,
        destinations: Vec<DestinationConfig>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        // A name that was taken by older rules keeps no channel from being loaded.
        let mut config = read(&mut fields, &Policy::default(), check_length);
        config.rtmp_destinations = destinations;
        fields.finish();
        violations.or(config)
    }
}

/// Everything but the destinations; where a violation is noted, a default stands in.
fn read(
    fields: &mut Fields<'_, '_>,
    policy: &Policy,
    check_name: impl FnOnce(&str) -> Result<String, String>,
) -> ChannelConfig {
    let name = fields.required_parsed("name", check_name);
    let mut config = ChannelConfig::named(name.unwrap_or_default());
    config.resolution = fields.parsed("resolution", str::parse).unwrap_or_default();
    config.frame_rate = read_frame_rate(fields);
    config.bitrate = read_bitrate(fields, config.resolution, config.frame_rate);
    config.ladder = read_ladder(
        fields,
        Rung {
            resolution: config.resolution,
            bitrate: config.bitrate,
        },
    );
    config.fallback_video = match fields.value("fallbackVideo") {
        None | Some(Value::Null) => None,
        Some(_) => fields.parsed("fallbackVideo", str::parse::<MediaId>),
    };
    config.hls_enabled = fields.boolean("hlsEnabled", true);
    config.monetization = read_monetization(fields);
    config.analytics_enabled = fields.boolean("analyticsEnabled", true);
    config.interaction_features = read_interaction(fields);
    config.features = FeatureFlags {
        monetization: fields.boolean("monetizationEnabled", false),
        ai_optimization: fields.boolean("aiOptimizationEnabled", false),
        multi_platform: fields.boolean("multiPlatformEnabled", false),
        interaction: fields.boolean("interactionEnabled", false),
    };
    config.recovery = RecoverySettings::read(fields);
    config.resources = ResourceSettings::read(fields);
    config.loudness = Loudness::read(fields, policy.loudness);
    config.audio_languages = Languages::read(fields, policy.languages);
    config.fit = fields.parsed("fit", str::parse).unwrap_or_default();
    config.logo = Logo::read(fields);
    config.overlay = Overlay::read(fields).map(Arc::new);
    config.subtitles = SubtitleSetting::read_all(fields);
    config.labels = Labels::read(fields);
    config
}

fn check_name(name: &str) -> Result<String, String> {
    can_be_read(name)?;
    check_length(name)
}

/// Whether people can tell a name from others by looking at it.
///
/// # Errors
/// A sentence without its full stop.
pub fn can_be_read(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err("name has no character that can be seen; one at least is needed".to_owned());
    }
    match name.chars().find(|c| turns(*c)) {
        Some(mark) => Err(format!(
            "name holds the mark {mark:?}, which turns the order of what follows; only text is allowed"
        )),
        None => Ok(()),
    }
}

/// Embeds, overrides or isolates a direction of text: what follows is shown in another order (UAX #9).
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Takes part in text without being seen.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn check_length(name: &str) -> Result<String, String> {
    let length = name.chars().count();
    if name.trim().is_empty() {
        return Err(format!(
            "name is empty; 1 to {MAX_NAME_LENGTH} characters are needed"
        ));
    }
    if length > MAX_NAME_LENGTH {
        return Err(format!(
            "name has {length} characters; 1 to {MAX_NAME_LENGTH} are allowed"
        ));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!(
            "name holds the control character {control:?}; only text is allowed"
        )),
        None => Ok(name.to_owned()),
    }
}

fn read_frame_rate(fields: &mut Fields<'_, '_>) -> FrameRate {
    let Some(value) = fields.value("frameRate") else {
        return FrameRate::default();
    };
    let refusal = match value.as_f64().map(FrameRate::from_number) {
        Some(Ok(frame_rate)) => return frame_rate,
        Some(Err(unknown)) => unknown.to_string(),
        None => format!(
            "frameRate is {}; a number such as 25 or 29.97 is needed",
            describe(value)
        ),
    };
    fields.refuse("frameRate", refusal);
    FrameRate::default()
}

fn read_bitrate(
    fields: &mut Fields<'_, '_>,
    resolution: Resolution,
    frame_rate: FrameRate,
) -> BitsPerSecond {
    let default = resolution.default_bitrate(frame_rate);
    let Some(bitrate) = fields.whole_number("bitrate").map(BitsPerSecond) else {
        return default;
    };
    let allowed = resolution.bitrates();
    if allowed.contains(&bitrate) {
        return bitrate;
    }
    let (least, most) = allowed.into_inner();
    let message = format!(
        "bitrate is {bitrate}; at {resolution} {} to {most} are allowed",
        least.0
    );
    fields.refuse("bitrate", message);
    default
}

/// Where a rung is refused the channel's own stands alone; so has been noted.
fn read_ladder(fields: &mut Fields<'_, '_>, own: Rung) -> Vec<Rung> {
    let Some(list) = fields.list("ladder", usize::MAX) else {
        return vec![own];
    };
    if list.is_empty() || list.len() > MAX_RUNGS {
        let given = list.len();
        let message = format!(
            "ladder has {given} rungs; 1 to {MAX_RUNGS} are allowed, the channel's own resolution and bitrate first"
        );
        fields.refuse("ladder", message);
        return vec![own];
    }
    let pointer = fields.pointer_to("ladder");
    let mut ladder = Vec::new();
    // What the next one has to stay below; what was refused bounds nothing.
    let (mut smaller_than, mut less_than) = (None, None);
    for (n, value) in list.iter().enumerate() {
        let mut rung = Fields::open(value, member(&pointer, n), fields.violations());
        let resolution = rung.required_parsed("resolution", str::parse::<Resolution>);
        rung.required("bitrate");
        let bitrate = rung.whole_number("bitrate").map(BitsPerSecond);
        let sized = resolution.map(|given| check_size(given, own.resolution, smaller_than));
        let rated = bitrate.map(|given| check_rate(given, own.bitrate, resolution, less_than));
        if let Some(Err(refusal)) = &sized {
            rung.refuse("resolution", refusal);
        }
        if let Some(Err(refusal)) = &rated {
            rung.refuse("bitrate", refusal);
        }
        rung.finish();
        let (sized, rated) = (sized.and_then(Result::ok), rated.and_then(Result::ok));
        smaller_than = sized.or(smaller_than).or(Some(own.resolution));
        less_than = rated.or(less_than).or(Some(own.bitrate));
        if let (Some(resolution), Some(bitrate)) = (sized, rated) {
            ladder.push(Rung {
                resolution,
                bitrate,
            });
        }
    }
    match ladder.first() {
        Some(first) if *first == own && ladder.len() == list.len() => ladder,
        _ => vec![own],
    }
}

/// The size of a rung: the first is the channel's own, each further one is smaller than the one `above`.
fn check_size(
    given: Resolution,
    own: Resolution,
    above: Option<Resolution>,
) -> Result<Resolution, String> {
    match above {
        None if given != own => Err(format!(
            "resolution is {given}; the first rung is the channel's own, {own}"
        )),
        Some(above) if given >= above => Err(format!(
            "resolution is {given}; the rung above has {above}, and each has to be smaller"
        )),
        _ => Ok(given),
    }
}

/// The same of its bitrate, which has to fit its size besides.
fn check_rate(
    given: BitsPerSecond,
    own: BitsPerSecond,
    size: Option<Resolution>,
    above: Option<BitsPerSecond>,
) -> Result<BitsPerSecond, String> {
    match (above, size) {
        (None, _) if given != own => Err(format!(
            "bitrate is {given}; the first rung is the channel's own, {own}"
        )),
        (Some(above), _) if given >= above => Err(format!(
            "bitrate is {given}; the rung above has {above}, and each has to have less"
        )),
        (Some(_), Some(size)) if !size.bitrates().contains(&given) => {
            let (least, most) = size.bitrates().into_inner();
            let least = least.0;
            Err(format!(
                "bitrate is {given}; at {size} {least} to {most} are allowed"
            ))
        }
        _ => Ok(given),
    }
}

fn read_monetization(fields: &mut Fields<'_, '_>) -> MonetizationSettings {
    let default = MonetizationSettings::default();
    let Some(value) = fields.value("monetizationSettings") else {
        return default;
    };
    let pointer = fields.pointer_to("monetizationSettings");
    let mut settings = Fields::open(value, pointer, fields.violations());
    let read = MonetizationSettings {
        enabled: settings.boolean("enabled", default.enabled),
        currency: settings
            .parsed("currency", str::parse)
            .unwrap_or(default.currency),
    };
    settings.finish();
    read
}

fn read_interaction(fields: &mut Fields<'_, '_>) -> Vec<InteractionSetting> {
    let mut read: Vec<InteractionSetting> = Vec::new();
    let list = fields.list("interactionFeatures", 4).unwrap_or(&[]);
    let pointer = fields.pointer_to("interactionFeatures");
    for (n, value) in list.iter().enumerate() {
        let mut setting = Fields::open(value, member(&pointer, n), fields.violations());
        let feature = setting.required_parsed("feature", str::parse::<InteractionFeature>);
        let enabled = setting.boolean("enabled", true);
        if let Some(feature) = feature {
            if read.iter().any(|other| other.feature == feature) {
                let message = "feature comes a second time; each is allowed once";
                setting.refuse("feature", message);
            }
            read.push(InteractionSetting { feature, enabled });
        }
        setting.finish();
    }
    read
}

/// What a destination is read against.
pub(super) struct Context<'a> {
    pub(super) policy: &'a Policy,
    /// The destinations so far.
    pub(super) known: &'a [DestinationConfig],
    /// The channel's own picture and sound, which nothing may exceed; none where they cannot be told.
    pub(super) bounds: Option<Profile>,
}

/// The profile, unless what it is made of was refused.
fn picture(config: &ChannelConfig, violations: &Violations) -> Option<Profile> {
    let made_of = ["/resolution", "/frameRate", "/bitrate"];
    let mut pointers = violations.0.iter().map(|wrong| wrong.pointer.as_str());
    let refused =
        pointers.any(|pointer| made_of.contains(&pointer) || pointer.starts_with("/ladder"));
    (!refused).then(|| Profile::of(config, Font::default()))
}

fn read_destinations(
    list: &[Value],
    context: &Context<'_>,
    violations: &mut Violations,
) -> Vec<DestinationConfig> {
    let mut read: Vec<DestinationConfig> = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let mut fields = Fields::open(value, member("/rtmpDestinations", n), violations);
        let destination = read_destination(&mut fields, context);
        let id = destination.as_ref().and_then(|destination| destination.id);
        if id.is_some() && read.iter().any(|other| other.id == id) {
            fields.refuse(
                "id",
                "id comes a second time; each destination is allowed once",
            );
        }
        fields.finish();
        read.extend(destination);
    }
    read
}

pub(super) fn read_destination(
    fields: &mut Fields<'_, '_>,
    context: &Context<'_>,
) -> Option<DestinationConfig> {
    let Context { policy, known, .. } = context;
    let id = match fields.value("id") {
        None | Some(Value::Null) => None,
        Some(_) => fields.parsed("id", str::parse::<DestinationId>),
    };
    let stored = known
        .iter()
        .find(|destination| id.is_some() && destination.id == id);
    if let (Some(id), None) = (id, stored) {
        let message = format!("id {id} is no destination of this channel; leave it out to add one");
        fields.refuse("id", message);
    }
    // A URL that was accepted once stays so, should the operator's policy be narrower since.
    let url = |text: &str| match stored.map(|known| &known.server_url) {
        Some(before) if before.as_str() == text => Ok(before.clone()),
        _ => ServerUrl::parse(text, policy.allow_private_destinations),
    };
    let given = fields.parsed("platform", str::parse::<Platform>);
    let platform = given.unwrap_or_default();
    let server_url = match fields.value("serverUrl") {
        None | Some(Value::Null) if platform.preset().server().is_some() => {
            platform.preset().server()
        }
        // Whether it needs one depends on the platform, which was refused.
        None if given.is_none() && fields.value("platform").is_some() => None,
        _ => fields.required_parsed("serverUrl", url),
    };
    let enabled = fields.boolean("enabled", true);
    let stream_key = read_key(fields, platform, stored);
    let playback_url = read_playback_url(fields, policy, stored);
    let encode = Encode::read(fields, context.bounds.as_ref());
    let allow_lower_quality = fields.boolean("allowLowerQuality", false);
    Some(DestinationConfig {
        id,
        server_url: server_url?,
        stream_key,
        platform,
        enabled,
        playback_url,
        encode,
        allow_lower_quality,
    })
}

fn read_playback_url(
    fields: &mut Fields<'_, '_>,
    policy: &Policy,
    stored: Option<&DestinationConfig>,
) -> Option<PlaybackUrl> {
    if let None | Some(Value::Null) = fields.value("playbackUrl") {
        return None;
    }
    fields.parsed("playbackUrl", |text| {
        match stored.and_then(|known| known.playback_url.as_ref()) {
            Some(before) if before.as_str() == text => Ok(before.clone()),
            _ => PlaybackUrl::parse(text, policy.allow_private_destinations),
        }
    })
}

fn read_key(
    fields: &mut Fields<'_, '_>,
    platform: Platform,
    stored: Option<&DestinationConfig>,
) -> StreamKeySetting {
    let had = stored.is_some_and(|destination| destination.stream_key.is_set());
    let mut wrong = false;
    let key = match fields.value("streamKey") {
        None => stored.map_or(StreamKeySetting::Absent, |known| known.stream_key.clone()),
        Some(Value::Null) => StreamKeySetting::Absent,
        Some(given) if !given.is_string() => {
            // Not even as a number or a word is it repeated: it may be the key.
            fields.refuse("streamKey", "streamKey is no text; a text is needed");
            wrong = true;
            StreamKeySetting::Absent
        }
        Some(_) => match fields.parsed("streamKey", |text| StreamKey::new(text)) {
            Some(key) => StreamKeySetting::Given(key),
            None => {
                wrong = true;
                StreamKeySetting::Absent
            }
        },
    };
    if !key.is_set() && platform.needs_key() && !wrong {
        fields.refuse(
            "streamKey",
            format!("streamKey is missing; {platform} takes no stream without one"),
        );
    }
    // What reads answer may come back with what is written; it says nothing then.
    match fields.value("streamKeySet") {
        None => {}
        Some(Value::Bool(said)) if *said == had || *said == key.is_set() => {}
        Some(_) => {
            let message =
                "streamKeySet is only answered, as true or false; set the key as streamKey";
            fields.refuse("streamKeySet", message);
        }
    }
    key
}
