//! What a channel draws over its programme: a lower third, a clock.
//!
//! A lower third without a beginning and an end stands: it is drawn while preparing ([`Caption`]). Everything else passes: it
//! changes too often to be prepared, so the stretch of the programme that it covers is transcoded while it plays.
//! Times are the channel's own: what is drawn at a frame is decided by when that frame is on air.

mod caption;
mod drawing;

pub use caption::{Caption, Font};
pub use drawing::{Drawing, REST, Version};

use crate::logo::Corner;
use crate::schedule::Zone;
use crate::violation::{Fields, Violations, describe, quoted};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// The longest title, in characters.
pub const MAX_TITLE: usize = 60;
/// The longest subtitle, in characters.
pub const MAX_SUBTITLE: usize = 80;

/// What is drawn, and from when until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Who is seen, or what this is about.
    pub lower_third: Option<LowerThird>,
    /// What time it is.
    pub clock: Option<ClockFace>,
    /// The first moment that it is drawn at; none: at once.
    pub from: Option<Timestamp>,
    /// The first moment that it is not drawn at any more; none: until it is taken away.
    pub until: Option<Timestamp>,
}

/// One or two lines of text on a bar at the bottom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LowerThird {
    /// The large line.
    pub title: String,
    /// The small line below it.
    pub subtitle: Option<String>,
}

/// A digital clock in a corner. It shows when the picture is on air, not when it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockFace {
    /// Whose time it shows.
    pub time_zone: Zone,
    /// The corner that it is in.
    pub position: Corner,
    /// Whether it has seconds.
    pub seconds: bool,
    /// Whether it counts to twelve, with AM and PM.
    pub twelve_hours: bool,
}

impl Overlay {
    /// Reads a whole overlay.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse(value: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let overlay = Self::read_at(value, String::new(), &mut violations);
        violations.or(overlay)
    }

    /// Reads the field `overlay`; nothing where it is not there, null, or was refused.
    pub(crate) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let value = given(fields, "overlay")?;
        let pointer = fields.pointer_to("overlay");
        let mut violations = Violations::default();
        let overlay = Self::read_at(value, pointer, &mut violations);
        let whole = violations.0.is_empty();
        fields.violations().append(violations);
        whole.then_some(overlay)
    }

    fn read_at(value: &Value, pointer: String, violations: &mut Violations) -> Self {
        let mut fields = Fields::open(value, pointer, violations);
        let (third, clock) = (
            given(&mut fields, "lowerThird"),
            given(&mut fields, "clock"),
        );
        if third.is_none() && clock.is_none() && value.is_object() {
            let message = "there is nothing to be drawn; a lowerThird or a clock is needed";
            fields.refuse("lowerThird", message);
        }
        let lower_third = third.map(|value| LowerThird::read(value, &mut fields));
        let clock = clock.map(|value| ClockFace::read(value, &mut fields));
        let from = moment(&mut fields, "from");
        let until = moment(&mut fields, "until");
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            let message = format!("until is {until}, which is not after from ({from})");
            fields.refuse("until", message);
        }
        fields.finish();
        Self {
            lower_third,
            clock,
            from,
            until,
        }
    }

    /// The part of it that always stands, which is drawn while preparing.
    pub fn standing(&self) -> Option<&LowerThird> {
        let ever = self.from.is_none() && self.until.is_none();
        self.lower_third.as_ref().filter(|_| ever)
    }

    /// The rest of it, if there is any, which is drawn while it plays.
    pub fn passing(&self) -> Option<Self> {
        let rest = Self {
            lower_third: match self.standing() {
                Some(_) => None,
                None => self.lower_third.clone(),
            },
            ..self.clone()
        };
        (rest.lower_third.is_some() || rest.clock.is_some()).then_some(rest)
    }

    /// Whether it is not drawn any more at `at`, nor later.
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}

/// As it is read, with every field: what is sent as a merge patch leaves nothing of another.
impl Serialize for Overlay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({
            "lowerThird": self.lower_third,
            "clock": self.clock,
            "from": self.from,
            "until": self.until,
        })
        .serialize(serializer)
    }
}

impl LowerThird {
    fn read(value: &Value, fields: &mut Fields<'_, '_>) -> Self {
        let pointer = fields.pointer_to("lowerThird");
        let mut fields = Fields::open(value, pointer, fields.violations());
        let title = fields.required_parsed("title", |text| line("title", text, MAX_TITLE));
        let subtitle = given(&mut fields, "subtitle");
        let subtitle = subtitle
            .and_then(|_| fields.parsed("subtitle", |text| line("subtitle", text, MAX_SUBTITLE)));
        fields.finish();
        Self {
            title: title.unwrap_or_default(),
            subtitle,
        }
    }
}

impl ClockFace {
    fn read(value: &Value, fields: &mut Fields<'_, '_>) -> Self {
        let pointer = fields.pointer_to("clock");
        let mut fields = Fields::open(value, pointer, fields.violations());
        let face = Self {
            time_zone: fields.parsed("timeZone", str::parse).unwrap_or_default(),
            position: fields
                .parsed("position", str::parse)
                .unwrap_or(Corner::TopLeft),
            seconds: fields.boolean("seconds", true),
            twelve_hours: fields.boolean("twelveHours", false),
        };
        fields.finish();
        face
    }
}

/// The field `name`, where it is there and not null.
fn given<'a>(fields: &mut Fields<'a, '_>, name: &'static str) -> Option<&'a Value> {
    fields.value(name).filter(|value| !value.is_null())
}

fn moment(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<Timestamp> {
    let value = given(fields, name)?;
    let at = value.as_str().and_then(|text| text.parse().ok());
    if at.is_none() {
        let given = describe(value);
        let message =
            format!("{name} is {given}; a time is needed as in 2030-01-31T20:15:00Z (RFC 3339)");
        fields.refuse(name, message);
    }
    at
}

/// A line of text without anything around it.
fn line(name: &str, text: &str, most: usize) -> Result<String, String> {
    let text = text.trim();
    let long = text.chars().count();
    if !(1..=most).contains(&long) {
        return Err(format!(
            "{name} has {long} characters; 1 to {most} are allowed"
        ));
    }
    let is_unseen = |c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    if text.chars().all(is_unseen) {
        return Err(format!("nothing of {name} would be seen"));
    }
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if text.chars().any(ends_line) {
        let given = quoted(text);
        return Err(format!(
            "{name} is {given}; it has to be one line, without control characters"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
