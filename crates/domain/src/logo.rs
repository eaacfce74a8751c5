//! The logo of a channel: which picture, and where it is drawn.
//!
//! It is drawn on every rung at its own scale: places and sizes are parts of the picture.

use crate::violation::{Fields, describe, quoted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How wide a logo may be, in percent of the picture.
pub const WIDTHS: RangeInclusive<f64> = 1.0..=50.0;
/// How far from the edges it may be, in percent of the picture.
pub const MARGINS: RangeInclusive<f64> = 0.0..=25.0;
/// How much it may cover what is behind it.
pub const OPACITIES: RangeInclusive<f64> = 0.05..=1.0;

/// The corner of the picture that a logo is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// At the top, on the left.
    TopLeft,
    /// At the top, on the right.
    #[default]
    TopRight,
    /// At the bottom, on the left.
    BottomLeft,
    /// At the bottom, on the right.
    BottomRight,
}

impl Corner {
    /// Every corner.
    pub const ALL: [Self; 4] = [
        Self::TopLeft,
        Self::TopRight,
        Self::BottomLeft,
        Self::BottomRight,
    ];

    /// Whether it is at the top, and whether it is on the left.
    pub const fn sides(self) -> (bool, bool) {
        match self {
            Self::TopLeft => (true, true),
            Self::TopRight => (true, false),
            Self::BottomLeft => (false, true),
            Self::BottomRight => (false, false),
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::TopLeft => "tl",
            Self::TopRight => "tr",
            Self::BottomLeft => "bl",
            Self::BottomRight => "br",
        }
    }
}

impl FromStr for Corner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "top-left" => Ok(Self::TopLeft),
            "top-right" => Ok(Self::TopRight),
            "bottom-left" => Ok(Self::BottomLeft),
            "bottom-right" => Ok(Self::BottomRight),
            _ => Err(format!(
                "a position {} is not known; it is top-left, top-right, bottom-left or bottom-right",
                quoted(text)
            )),
        }
    }
}

/// A logo. Parts of the picture are kept in tenths of a percent, its opacity in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Logo {
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    position: Corner,
    margin: u16,
    width: u16,
    opacity: u8,
}

impl Logo {
    /// A picture in the usual place: at the top on the right, 4 % from the edges, 12 % wide, opaque.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self {
            sha256,
            position: Corner::TopRight,
            margin: 40,
            width: 120,
            opacity: 100,
        }
    }

    /// Another picture in the same place.
    pub const fn with(self, sha256: [u8; 32]) -> Self {
        Self { sha256, ..self }
    }

    /// The corner that it is in.
    pub const fn position(&self) -> Corner {
        self.position
    }

    /// How far it is from the sides and from top or bottom, as a part of the picture's width and height.
    pub fn margin(&self) -> f64 {
        f64::from(self.margin) / 1000.0
    }

    /// How wide it is, as a part of the picture's width.
    pub fn width(&self) -> f64 {
        f64::from(self.width) / 1000.0
    }

    /// How much it covers what is behind it, from 0 to 1.
    pub fn opacity(&self) -> f64 {
        f64::from(self.opacity) / 100.0
    }

    /// The digest in hexadecimal.
    pub fn digest(&self) -> String {
        self.sha256
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Reads the field `logo`; nothing where it is not there, null, or was refused.
    pub(crate) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let value = fields.value("logo").filter(|value| !value.is_null())?;
        let pointer = fields.pointer_to("logo");
        let mut object = Fields::open(value, pointer, fields.violations());
        let sha256 = object.required_parsed("sha256", unhex);
        let mut logo = Self::new(sha256.unwrap_or_default());
        logo.place(&mut object);
        object.finish();
        sha256.map(|_| logo)
    }

    /// Takes over what an object of `position`, `margin`, `width` and `opacity` says of it.
    fn place(&mut self, object: &mut Fields<'_, '_>) {
        if let Some(position) = object.parsed("position", str::parse) {
            self.position = position;
        }
        let tenths = |percent: f64| (percent * 10.0).round() as u16;
        if let Some(margin) = number(object, "margin", MARGINS, "percent") {
            self.margin = tenths(margin);
        }
        if let Some(width) = number(object, "width", WIDTHS, "percent") {
            self.width = tenths(width);
        }
        if let Some(opacity) = number(object, "opacity", OPACITIES, "opaque") {
            self.opacity = (opacity * 100.0).round() as u8;
        }
    }

    /// Its part of a profile's key: the beginning of its digest, and its place.
    pub(crate) fn key(&self) -> String {
        let (digest, corner) = (self.digest(), self.position.key());
        format!(
            "logo.{}.{corner}.{}.{}.{}",
            &digest[..16],
            self.margin,
            self.width,
            self.opacity
        )
    }
}

impl From<Logo> for Value {
    fn from(logo: Logo) -> Self {
        json!({
            "sha256": logo.digest(),
            "position": logo.position,
            "margin": f64::from(logo.margin) / 10.0,
            "width": f64::from(logo.width) / 10.0,
            "opacity": logo.opacity(),
        })
    }
}

impl TryFrom<Value> for Logo {
    type Error = crate::violation::Violations;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let mut violations = crate::violation::Violations::default();
        let whole = json!({ "logo": value });
        let read = Self::read(&mut Fields::open(&whole, "", &mut violations));
        let absent = || crate::violation::Violations::one("/logo", "there is no logo");
        match read {
            Some(logo) => violations.or(logo),
            None if violations.0.is_empty() => Err(absent()),
            None => Err(violations),
        }
    }
}

fn number(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    allowed: RangeInclusive<f64>,
    unit: &str,
) -> Option<f64> {
    let value = fields.value(name)?;
    let number = value.as_f64().filter(|given| allowed.contains(given));
    if number.is_none() {
        let (given, least, most) = (describe(value), allowed.start(), allowed.end());
        fields.refuse(
            name,
            format!("{name} is {given}; {least} to {most} {unit} are allowed"),
        );
    }
    number
}

fn unhex(text: &str) -> Result<[u8; 32], String> {
    let refusal = || "sha256 is no digest; 64 hexadecimal digits are needed".to_owned();
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(refusal());
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| refusal())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::violation::Violations;

    fn read(value: &Value) -> Result<Option<Logo>, Violations> {
        let whole = json!({ "logo": value });
        let mut violations = Violations::default();
        let mut fields = Fields::open(&whole, "", &mut violations);
        let logo = Logo::read(&mut fields);
        fields.finish();
        violations.or(logo)
    }

    #[test]
    fn a_logo_is_read_as_it_is_written() {
        let usual = Logo::new([0xab; 32]);
        let json = json!(usual);
        assert_eq!(json["margin"], 4.0);
        assert_eq!(read(&json), Ok(Some(usual)));
        let placed = json!({
            "sha256": "AB".repeat(32), "position": "bottom-left", "margin": 2.5, "width": 20, "opacity": 0.5
        });
        let placed = read(&placed).unwrap().unwrap();
        assert_eq!(placed.key(), "logo.abababababababab.bl.25.200.50");
        assert_eq!(read(&json!(placed)), Ok(Some(placed)));
        assert_eq!(
            serde_json::from_value::<Logo>(json!(placed)).unwrap(),
            placed
        );
        assert_eq!(read(&Value::Null), Ok(None));
        assert_ne!(placed.key(), placed.with([0xac; 32]).key());
    }

    #[test]
    fn everything_wrong_with_it_is_said() {
        let wrong = json!({
            "sha256": "abc", "position": "middle", "margin": 26, "width": "wide", "opacity": 0, "colour": 1
        });
        let violations = read(&wrong).unwrap_err();
        let at: Vec<_> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
        assert_eq!(
            at,
            [
                "/logo/sha256",
                "/logo/position",
                "/logo/margin",
                "/logo/width",
                "/logo/opacity",
                "/logo/colour"
            ]
        );
    }
}
