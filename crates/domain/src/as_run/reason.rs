//! Words of the as-run log: stable ones for machines, each with a sentence for people.

use crate::plan::Origin;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An item of the rotation, of a slot or of a template.
    Scheduled,
    /// A filler of the schedule, up to a slot.
    Filler,
    /// What somebody asked for.
    Played,
    /// The channel's fallback video.
    Fallback,
    /// The built-in slate.
    Slate,
    /// Nothing: the channel was not on air, and nothing was planned.
    Nothing,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Filler,
        Self::Played,
        Self::Fallback,
        Self::Slate,
        Self::Nothing,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Filler => "filler",
            Self::Played => "played",
            Self::Fallback => "fallback",
            Self::Slate => "slate",
            Self::Nothing => "nothing",
        }
    }

    /// What an entry of the plan is.
    pub const fn of(origin: Origin) -> Self {
        match origin {
            Origin::Rotation(_) | Origin::Slot(_) | Origin::Template => Self::Scheduled,
            Origin::Filler => Self::Filler,
            Origin::Play => Self::Played,
        }
    }
}

/// Why something was shown, why it was not, or what ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The schedule has it.
    Scheduled,
    /// It pads up to a slot.
    Filler,
    /// Somebody played it at once.
    PlayedNow,
    /// Somebody played it next.
    PlayedNext,
    /// Somebody played it; how is not known any more.
    Played,
    /// The source of the item failed, or did not deliver in time.
    SourceFailed,
    /// There was no place on the node to transcode the item.
    NoPlace,
    /// The item was shorter than planned.
    EndedEarly,
    /// Less than a group of pictures that cannot be cut.
    Edge,
    /// Nothing was planned.
    NothingPlanned,
    /// Somebody skipped it.
    Skipped,
    /// Something was played by hand.
    Interrupted,
    /// A slot began.
    CutForSlot,
    /// The plan was changed.
    PlanChanged,
    /// The channel was off air, because somebody ordered it.
    OffAir,
    /// The daemon was away.
    DaemonAway,
    /// The playout had failed as a whole.
    PlayoutFailed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::Scheduled,
        Self::Filler,
        Self::PlayedNow,
        Self::PlayedNext,
        Self::Played,
        Self::SourceFailed,
        Self::NoPlace,
        Self::EndedEarly,
        Self::Edge,
        Self::NothingPlanned,
        Self::Skipped,
        Self::Interrupted,
        Self::CutForSlot,
        Self::PlanChanged,
        Self::OffAir,
        Self::DaemonAway,
        Self::PlayoutFailed,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        self.words().0
    }

    /// The same as a sentence, without the full stop.
    pub const fn sentence(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Scheduled => ("scheduled", "the schedule has it"),
            Self::Filler => ("filler", "it pads up to a slot"),
            Self::PlayedNow => ("played-now", "somebody played it at once"),
            Self::PlayedNext => ("played-next", "somebody asked for it to be next"),
            Self::Played => ("played", "somebody played it by hand"),
            Self::SourceFailed => (
                "source-failed",
                "the item's source failed or did not deliver in time",
            ),
            Self::NoPlace => (
                "no-place",
                "there was no place on the node to transcode the item",
            ),
            Self::EndedEarly => ("ended-early", "the item is shorter than was planned"),
            Self::Edge => (
                "edge",
                "less than a group of pictures, which cannot be cut, was between two items",
            ),
            Self::NothingPlanned => ("nothing-planned", "nothing was planned"),
            Self::Skipped => ("skipped", "somebody skipped it"),
            Self::Interrupted => ("interrupted", "something was played by hand"),
            Self::CutForSlot => ("cut-for-slot", "a slot began"),
            Self::PlanChanged => ("plan-changed", "the plan was changed"),
            Self::OffAir => ("off-air", "the channel was off air by order"),
            Self::DaemonAway => ("daemon-away", "the daemon was away"),
            Self::PlayoutFailed => ("playout-failed", "the playout failed"),
        }
    }
}

macro_rules! word {
    ($($name:ident, $what:literal);*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.into_iter().find(|each| each.word() == text);
                found.ok_or_else(|| format!("{text:?} is no {} of an as-run log", $what))
            }
        }
    )*};
}

word!(Kind, "kind"; Reason, "reason");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_in_text_and_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.word().parse(), Ok(reason));
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.word());
        }
        for kind in Kind::ALL {
            assert_eq!(kind.word().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
        assert!("live".parse::<Reason>().is_err());
    }
}
