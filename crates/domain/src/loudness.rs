//! How loud programmes are: what is wanted (EBU R 128), what was measured (ITU-R BS.1770-4), and what is done about
//! the difference.
//!
//! A sound is made louder or quieter as a whole, by one gain from its beginning to its end, so that whatever part of
//! it is encoded by whomever has the same. Where its peaks would pass the ceiling they are limited besides, and
//! because that takes loudness away, the gain is found by trying ([`Search`]).

use crate::violation::{Fields, describe};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What comes out may be so far from the target, in LU.
pub const TOLERANCE: f64 = 1.0;
/// No sound is made louder by more, in dB: what is nearly silent would become noise.
pub const MAX_GAIN: f64 = 20.0;
/// The limiter stays so far below the ceiling, in dB: the way back to 48 kHz adds a little.
const HEADROOM: f64 = 0.5;
/// A search is over when it is so near, in LU, or after so many tries.
const NEAR: f64 = 0.2;
const TRIES: u32 = 4;

/// The integrated loudness that can be asked for, in LUFS.
pub const TARGETS: std::ops::RangeInclusive<f64> = -36.0..=-9.0;
/// The ceiling of true peaks that can be asked for, in dBTP.
pub const CEILINGS: std::ops::RangeInclusive<f64> = -9.0..=0.0;

/// A level in tenths of a decibel: LUFS or dBTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "f64", from = "f64")]
pub struct Tenths(i16);

impl Tenths {
    /// So many tenths.
    pub const fn new(tenths: i16) -> Self {
        Self(tenths)
    }

    /// In decibels.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl From<f64> for Tenths {
    /// The nearest tenth.
    fn from(decibels: f64) -> Self {
        Self((decibels * 10.0).round() as i16)
    }
}

impl From<Tenths> for f64 {
    fn from(level: Tenths) -> Self {
        level.get()
    }
}

impl std::fmt::Display for Tenths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// How loud everything is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// The integrated loudness, in LUFS.
    #[serde(rename = "target")]
    pub integrated: Tenths,
    /// What no peak may pass, in dBTP.
    pub true_peak: Tenths,
}

impl Target {
    /// EBU R 128: −23 LUFS, peaks up to −1 dBTP.
    pub const EBU: Self = Self {
        integrated: Tenths::new(-230),
        true_peak: Tenths::new(-10),
    };

    /// A target.
    ///
    /// # Errors
    /// The field that is out of bounds, and a sentence.
    pub fn new(integrated: f64, true_peak: f64) -> Result<Self, (&'static str, String)> {
        let within = |name, given: f64, allowed: std::ops::RangeInclusive<f64>, unit| {
            let (least, most) = (allowed.start(), allowed.end());
            match allowed.contains(&given) {
                true => Ok(Tenths::from(given)),
                false => Err((
                    name,
                    format!("is {given}; {least} to {most} {unit} are allowed"),
                )),
            }
        };
        Ok(Self {
            integrated: within("target", integrated, TARGETS, "LUFS")?,
            true_peak: within("truePeak", true_peak, CEILINGS, "dBTP")?,
        })
    }
}

/// What a channel makes of the loudness of what it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub enum Loudness {
    /// Nothing.
    AsItIs,
    /// Everything is as loud as this.
    To(Target),
}

impl Default for Loudness {
    fn default() -> Self {
        Self::To(Target::EBU)
    }
}

impl From<Loudness> for Value {
    fn from(loudness: Loudness) -> Self {
        match loudness {
            Loudness::AsItIs => "off".into(),
            Loudness::To(target) => json!(target),
        }
    }
}

impl TryFrom<Value> for Loudness {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("off") => Ok(Self::AsItIs),
            _ => serde_json::from_value(value)
                .map(Self::To)
                .map_err(|error| error.to_string()),
        }
    }
}

impl Loudness {
    /// Reads the field `loudness`; `default` is what stands in for what is not named.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, default: Self) -> Self {
        let Some(value) = fields.value("loudness").filter(|value| !value.is_null()) else {
            return default;
        };
        if value.as_str() == Some("off") {
            return Self::AsItIs;
        }
        if !value.is_object() {
            let given = describe(value);
            let message = format!(
                "loudness is {given}; \"off\" is allowed, or an object such as {{\"target\": -16, \"truePeak\": -1}}"
            );
            fields.refuse("loudness", message);
            return default;
        }
        let own = match default {
            Self::To(target) => target,
            Self::AsItIs => Target::EBU,
        };
        let pointer = fields.pointer_to("loudness");
        let mut object = Fields::open(value, pointer, fields.violations());
        let integrated = number(&mut object, "target", own.integrated, TARGETS, "LUFS");
        let true_peak = number(&mut object, "truePeak", own.true_peak, CEILINGS, "dBTP");
        object.finish();
        Self::To(Target {
            integrated,
            true_peak,
        })
    }

    /// Its part of a profile's key; nothing where nothing is done.
    pub(crate) fn key(&self) -> String {
        let Self::To(target) = self else {
            return String::new();
        };
        let ceiling = match target.true_peak {
            usual if usual == Target::EBU.true_peak => String::new(),
            other => format!("-{}dbtp", other.get().abs()),
        };
        // Either is never above zero.
        format!("{}lufs{ceiling}", target.integrated.get().abs())
    }
}

/// A number of decibels within bounds, to the tenth.
fn number(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    default: Tenths,
    allowed: std::ops::RangeInclusive<f64>,
    unit: &str,
) -> Tenths {
    let Some(value) = fields.value(name) else {
        return default;
    };
    match value.as_f64().filter(|given| allowed.contains(given)) {
        Some(given) => Tenths::from(given),
        None => {
            let (given, least, most) = (describe(value), allowed.start(), allowed.end());
            fields.refuse(
                name,
                format!("{name} is {given}; {least} to {most} {unit} are allowed"),
            );
            default
        }
    }
}

/// What a measuring of a sound told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// The integrated loudness in LUFS; nothing of silence, and of what is shorter than 0.4 s.
    pub integrated: Option<f64>,
    /// The loudness range in LU.
    pub range: f64,
    /// The true peak in dBTP; nothing where every sample is zero.
    pub true_peak: Option<f64>,
}

impl Heard {
    /// What is not as it was wanted, as a sentence for people; silence is no fault.
    pub fn remark(&self, wanted: Loudness) -> Option<String> {
        let (Loudness::To(target), Some(integrated)) = (wanted, self.integrated) else {
            return None;
        };
        let off = integrated - target.integrated.get();
        let (which, by) = match off > 0.0 {
            true => ("above", off),
            false => ("below", -off),
        };
        let loudness = (by > TOLERANCE).then(|| {
            format!(
                "Its loudness is {integrated:.1} LUFS, {by:.1} LU {which} the target of {} LUFS.",
                target.integrated
            )
        });
        let peak = self
            .true_peak
            .filter(|peak| *peak > target.true_peak.get() + 0.1)
            .map(|peak| {
                format!(
                    "Its true peak is {peak:.1} dBTP, above {} dBTP.",
                    target.true_peak
                )
            });
        let remarks: Vec<String> = loudness.into_iter().chain(peak).collect();
        (!remarks.is_empty()).then(|| remarks.join(" "))
    }
}

/// What was measured of an item's sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The numbers of the streams in the file that make up the sound.
    pub streams: Vec<u32>,
    /// How loud it is in stereo, before anything is done about it.
    #[serde(flatten)]
    pub heard: Heard,
    /// The gains that were found for it by trying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
}

/// The gain that brings a sound whose peaks are limited to a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// The gain in dB.
    pub gain: f64,
}

/// What is done to a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// How much louder it is made, in dB.
    pub decibels: f64,
    /// The level in dBFS that its peaks are then limited to, where they would pass the ceiling.
    pub limit: Option<f64>,
}

impl Gain {
    /// Nothing.
    pub const NONE: Self = Self {
        decibels: 0.0,
        limit: None,
    };

    /// This gain towards `target`, its peaks being limited.
    fn limited(decibels: f64, target: &Target) -> Self {
        Self {
            decibels,
            limit: Some(target.true_peak.get() - HEADROOM),
        }
    }
}

impl Measured {
    /// What is done to the sound so that it is as `wanted`.
    pub fn gain(&self, wanted: Loudness) -> Gain {
        let (Loudness::To(target), Some(needed)) = (wanted, self.needed(wanted)) else {
            return Gain::NONE;
        };
        if self.passes(needed, &target) {
            return Gain {
                decibels: needed,
                limit: None,
            };
        }
        let found = self.found.iter().find(|found| found.target == target);
        Gain::limited(found.map_or(needed, |found| found.gain), &target)
    }

    /// The gain that a sound without peaks would need; nothing where it is to stay as it is.
    fn needed(&self, wanted: Loudness) -> Option<f64> {
        let (Loudness::To(target), Some(integrated)) = (wanted, self.heard.integrated) else {
            return None;
        };
        Some((target.integrated.get() - integrated).min(MAX_GAIN))
    }

    fn passes(&self, gain: f64, target: &Target) -> bool {
        let peak = self.heard.true_peak.unwrap_or(f64::NEG_INFINITY);
        peak + gain <= target.true_peak.get()
    }

    /// The search for the gain that brings it to `wanted`; nothing where that is known.
    pub fn search(&self, wanted: Loudness) -> Option<Search> {
        let (Loudness::To(target), Some(needed)) = (wanted, self.needed(wanted)) else {
            return None;
        };
        let known = self.found.iter().any(|found| found.target == target);
        (!known && !self.passes(needed, &target)).then_some(Search {
            target,
            gain: needed,
            before: None,
            best: None,
            tries: 0,
        })
    }
}

/// Looks for the gain with which a sound whose peaks are limited comes out as loud as wanted.
#[derive(Debug, Clone)]
pub struct Search {
    target: Target,
    /// What is tried now.
    gain: f64,
    /// The try before: gain, and the loudness that came out.
    before: Option<(f64, f64)>,
    /// The nearest so far: how far off it was, and the gain.
    best: Option<(f64, f64)>,
    tries: u32,
}

impl Search {
    /// What is to be tried.
    pub fn next(&self) -> Gain {
        Gain::limited(self.gain, &self.target)
    }

    /// Takes what came out of the try; answers the gain once it is found.
    pub fn heard(&mut self, heard: &Heard) -> Option<Found> {
        self.tries += 1;
        let Some(came) = heard.integrated else {
            return Some(self.end());
        };
        let off = self.target.integrated.get() - came;
        if self.best.is_none_or(|(nearest, _)| off.abs() < nearest) {
            self.best = Some((off.abs(), self.gain));
        }
        // How much of a gain comes out again: less than all, because peaks are limited.
        let slope = self.before.map_or(1.0, |(gain, loudness)| {
            let step = self.gain - gain;
            match step.abs() > 0.01 {
                true => ((came - loudness) / step).clamp(0.1, 1.0),
                false => 1.0,
            }
        });
        let next = (self.gain + off / slope).min(MAX_GAIN);
        let stuck = (next - self.gain).abs() < 0.01;
        if off.abs() <= NEAR || self.tries >= TRIES || stuck {
            return Some(self.end());
        }
        self.before = Some((self.gain, came));
        self.gain = next;
        None
    }

    fn end(&self) -> Found {
        let gain = self.best.map_or(self.gain, |(_, gain)| gain);
        Found {
            target: self.target,
            gain: (gain * 100.0).round() / 100.0,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn measured(integrated: f64, true_peak: f64) -> Measured {
        Measured {
            streams: vec![1],
            heard: Heard {
                integrated: Some(integrated),
                range: 5.0,
                true_peak: Some(true_peak),
            },
            found: Vec::new(),
        }
    }

    const TO_16: Loudness = Loudness::To(Target {
        integrated: Tenths::new(-160),
        true_peak: Tenths::new(-10),
    });

    #[test]
    fn where_the_peaks_allow_it_a_gain_is_all() {
        let linear = |decibels| Gain {
            decibels,
            limit: None,
        };
        let ebu = Loudness::default();
        assert_eq!(measured(-28.0, -6.0).gain(ebu), linear(5.0));
        assert_eq!(measured(-10.0, 0.5).gain(ebu), linear(-13.0));
        assert_eq!(measured(-26.0, -4.0).gain(ebu), linear(3.0), "just so");
        assert_eq!(measured(-10.0, 0.5).gain(Loudness::AsItIs), Gain::NONE);
        let limited = measured(-26.0, -3.9).gain(ebu);
        assert_eq!((limited.decibels, limited.limit), (3.0, Some(-1.5)));
    }

    #[test]
    fn silence_stays_silent_and_noise_is_not_lifted_without_end() {
        let silent = Measured {
            heard: Heard {
                integrated: None,
                range: 0.0,
                true_peak: None,
            },
            ..measured(0.0, 0.0)
        };
        assert_eq!(silent.gain(TO_16), Gain::NONE);
        assert_eq!(silent.heard.remark(TO_16), None);
        assert!(silent.search(TO_16).is_none());
        let noise = measured(-62.0, -50.0);
        assert_eq!(noise.gain(TO_16).decibels, MAX_GAIN);
        let lifted = measured(-42.0, -30.0).heard.remark(TO_16).unwrap();
        assert_eq!(
            lifted,
            "Its loudness is -42.0 LUFS, 26.0 LU below the target of -16 LUFS."
        );
    }

    #[test]
    fn a_search_finds_what_limiting_takes_away() {
        // A sound that loses half of every decibel above 4, because its peaks are limited.
        let sound = measured(-24.0, -2.0);
        let comes = |gain: f64| {
            -24.0
                + if gain > 4.0 {
                    4.0 + (gain - 4.0) / 2.0
                } else {
                    gain
                }
        };
        let mut search = sound.search(TO_16).unwrap();
        let found = loop {
            let heard = measured(comes(search.next().decibels), -1.5).heard;
            if let Some(found) = search.heard(&heard) {
                break found;
            }
        };
        assert!((comes(found.gain) + 16.0).abs() <= NEAR, "{found:?}");
        let known = Measured {
            found: vec![found],
            ..sound
        };
        assert!(known.search(TO_16).is_none());
        assert_eq!(known.gain(TO_16).decibels, found.gain);
        let other = known.gain(Loudness::To(Target {
            true_peak: Tenths::new(-20),
            ..Target::EBU
        }));
        assert_eq!(other.decibels, 1.0, "another target has another gain");
    }

    #[test]
    fn a_search_ends_where_nothing_helps() {
        let sound = measured(-40.0, -1.0);
        let mut search = sound.search(TO_16).unwrap();
        let deaf = measured(-38.0, -1.5).heard;
        let tries = (1..).find(|_| search.heard(&deaf).is_some());
        assert!(tries <= Some(TRIES as usize), "{tries:?}");
        let mut search = sound.search(TO_16).unwrap();
        assert!(
            search
                .heard(&Heard {
                    integrated: None,
                    ..deaf
                })
                .is_some()
        );
    }

    #[test]
    fn what_is_wrong_with_an_output_is_said() {
        let heard = measured(-14.5, -0.3).heard;
        assert_eq!(
            heard.remark(TO_16).unwrap(),
            "Its loudness is -14.5 LUFS, 1.5 LU above the target of -16 LUFS. Its true peak is -0.3 dBTP, above -1 dBTP."
        );
        assert_eq!(measured(-16.9, -1.0).heard.remark(TO_16), None);
        assert_eq!(heard.remark(Loudness::AsItIs), None);
    }

    #[test]
    fn json_leads_back_and_targets_have_bounds() {
        for loudness in [Loudness::AsItIs, Loudness::default(), TO_16] {
            let json = serde_json::to_value(loudness).unwrap();
            assert_eq!(serde_json::from_value::<Loudness>(json).unwrap(), loudness);
        }
        assert_eq!(Target::new(-23.0, -1.0), Ok(Target::EBU));
        assert_eq!(Target::new(-8.0, -1.0).unwrap_err().0, "target");
        assert_eq!(Target::new(-23.0, 0.1).unwrap_err().0, "truePeak");
        assert!(Target::new(f64::NAN, 0.0).is_err());
    }
}
