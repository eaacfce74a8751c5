//! The engines that a plan may withhold from its clients.

use crate::config::FeatureFlags;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An engine that a channel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Feature {
    /// Ad breaks, subscriptions and pay-per-view: `monetizationEnabled`.
    Ads,
    /// `aiOptimizationEnabled`.
    Ai,
    /// Distribution to social platforms: `multiPlatformEnabled`.
    MultiPlatform,
    /// Chat, polls and the like: `interactionEnabled`.
    Interaction,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 4] = [Self::Ads, Self::Ai, Self::MultiPlatform, Self::Interaction];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ads => "ads",
            Self::Ai => "ai",
            Self::MultiPlatform => "multiPlatform",
            Self::Interaction => "interaction",
        }
    }
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|feature| feature.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!(
                "a feature {} is not known; there are {known}",
                crate::violation::quoted(text)
            )
        })
    }
}

/// Any of the features: a list in JSON, in one order and without doubles.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Feature>", into = "Vec<Feature>")]
pub struct Features(u8);

impl Features {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether `feature` is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    /// Those of them that are not among `others`.
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .into_iter()
            .filter(move |feature| self.has(*feature))
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<T: IntoIterator<Item = Feature>>(features: T) -> Self {
        Self(
            features
                .into_iter()
                .fold(0, |bits, feature| bits | 1 << feature as u8),
        )
    }
}

impl From<Vec<Feature>> for Features {
    fn from(features: Vec<Feature>) -> Self {
        features.into_iter().collect()
    }
}

impl From<Features> for Vec<Feature> {
    fn from(features: Features) -> Self {
        features.iter().collect()
    }
}

impl From<FeatureFlags> for Features {
    /// What a channel uses.
    fn from(flags: FeatureFlags) -> Self {
        let used = [
            (Feature::Ads, flags.monetization),
            (Feature::Ai, flags.ai_optimization),
            (Feature::MultiPlatform, flags.multi_platform),
            (Feature::Interaction, flags.interaction),
        ];
        used.into_iter()
            .filter(|(_, used)| *used)
            .map(|(feature, _)| feature)
            .collect()
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Feature::name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn features_are_a_list_in_one_order() {
        let features: Features = serde_json::from_str(r#"["interaction","ads","ads"]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&features).unwrap(),
            r#"["ads","interaction"]"#
        );
        assert!(features.has(Feature::Ads) && !features.has(Feature::Ai));
        let ads: Features = [Feature::Ads].into_iter().collect();
        assert_eq!(features.without(ads).to_string(), "interaction");
        assert_eq!(ads.without(features).to_string(), "none");
        assert!(serde_json::from_str::<Features>(r#"["all"]"#).is_err());
    }
}
