//! Subscription plans: data that the operator edits.

use crate::feature::{Feature, Features};
use crate::limits::{Limit, LimitExceeded, PlanLimits, Raise, Usage};
use crate::resolution::Resolution;
use crate::violation::{Fields, Violations, describe, member, quoted};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// The highest tier.
pub const MAX_TIER: u32 = 1_000;
/// Characters of a name at most.
pub const MAX_PLAN_NAME: usize = 40;

/// What a plan is called in paths and answers: 1 … 40 small letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanName(String);

impl PlanName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=MAX_PLAN_NAME).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "a plan is called by 1 to {MAX_PLAN_NAME} small letters, digits and hyphens, not {}",
                quoted(text)
            )),
        }
    }
}

impl TryFrom<String> for PlanName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PlanName> for String {
    fn from(name: PlanName) -> Self {
        name.0
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What it is called.
    pub name: PlanName,
    /// Its place among plans: who has a higher one goes first where the node is short.
    pub tier: u32,
    /// What it allows.
    pub limits: PlanLimits,
}

/// A refusal for the sake of a plan, with what would lift it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "camelCase")]
#[error("{exceeded}{}", self.advice())]
pub struct PlanRefusal {
    /// The limit, the use, and what was asked for.
    #[serde(flatten)]
    pub exceeded: LimitExceeded,
    /// The client's plan; nothing where only its limits are known.
    pub plan: Option<PlanName>,
    /// The lowest plan above that allows it, where there is one.
    pub upgrade_to: Option<PlanName>,
}

impl PlanRefusal {
    fn advice(&self) -> String {
        match &self.upgrade_to {
            Some(plan) => format!("; the plan {plan} allows it"),
            None => String::new(),
        }
    }
}

impl From<LimitExceeded> for PlanRefusal {
    /// Where only the limits are known.
    fn from(exceeded: LimitExceeded) -> Self {
        Self {
            exceeded,
            plan: None,
            upgrade_to: None,
        }
    }
}

impl Plan {
    /// A refusal under this plan, with the lowest of `plans` above it that would allow `raise`.
    pub fn refusal(
        &self,
        exceeded: LimitExceeded,
        raise: &Raise,
        usage: &Usage,
        plans: &[Self],
    ) -> PlanRefusal {
        let above = plans.iter().filter(|plan| plan.tier > self.tier);
        let allowing = above.filter(|plan| plan.limits.check(raise, usage).is_ok());
        let lowest = allowing.min_by_key(|plan| plan.tier);
        PlanRefusal {
            exceeded,
            plan: Some(self.name.clone()),
            upgrade_to: lowest.map(|plan| plan.name.clone()),
        }
    }

    /// A plan called `name`, as `PUT /plans/{name}` says it.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn parse(name: PlanName, body: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(body, "", &mut violations);
        let tier = fields.whole_number("tier").unwrap_or(0);
        let tier = u32::try_from(tier).ok().filter(|tier| *tier <= MAX_TIER);
        if tier.is_none() {
            fields.refuse("tier", format!("has to be 0 to {MAX_TIER}"));
        }
        let limits = fields.required("limits");
        fields.finish();
        let limits = limits.map_or(PlanLimits::UNLIMITED, |given| {
            limits_of(given, &mut violations)
        });
        violations.or(Self {
            name,
            tier: tier.unwrap_or_default(),
            limits,
        })
    }
}

/// The limits of a plan; absent or null is unlimited.
fn limits_of(given: &Value, violations: &mut Violations) -> PlanLimits {
    let mut limits = PlanLimits::UNLIMITED;
    let Some(members) = given.as_object() else {
        violations.add(
            "/limits",
            format!("has to be an object, not {}", describe(given)),
        );
        return limits;
    };
    for (name, value) in members {
        let place = member("/limits", name);
        let set = name
            .parse::<Limit>()
            .map_err(|wrong| (place.clone(), wrong));
        let set = set.and_then(|limit| limits.set(limit, value).map_err(|wrong| (place, wrong)));
        if let Err((place, wrong)) = set {
            violations.add(place, wrong);
        }
    }
    limits
}

impl PlanLimits {
    /// Sets one limit; null lifts it.
    ///
    /// # Errors
    /// What the value should have been.
    pub fn set(&mut self, limit: Limit, value: &Value) -> Result<(), String> {
        match limit {
            Limit::MaxResolution => self.max_resolution = resolution(value)?,
            Limit::Features => self.features = features(value)?,
            Limit::MaxChannels => self.max_channels = number(value)?,
            Limit::MaxRungs => self.max_rungs = number(value)?,
            Limit::MaxLive => self.max_live = number(value)?,
            Limit::MaxDestinations => self.max_destinations = number(value)?,
            Limit::StorageBytes => self.storage_bytes = number(value)?,
            Limit::MaxViewers => self.max_viewers = number(value)?,
            Limit::MaxBulk => self.max_bulk = number(value)?,
        }
        Ok(())
    }
}

fn number(value: &Value) -> Result<Option<u64>, String> {
    match value {
        Value::Null => Ok(None),
        value => value.as_u64().map(Some).ok_or_else(|| {
            format!(
                "has to be a whole number, not negative, or null, not {}",
                describe(value)
            )
        }),
    }
}

fn resolution(value: &Value) -> Result<Option<Resolution>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let read = text.parse::<Resolution>();
            read.map(Some).map_err(|wrong| wrong.to_string())
        }
        value => Err(format!(
            "has to be a resolution or null, not {}",
            describe(value)
        )),
    }
}

fn features(value: &Value) -> Result<Option<Features>, String> {
    let wrong = || {
        format!(
            "has to be a list of features or null, not {}",
            describe(value)
        )
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => {
            let read = |item: &Value| item.as_str().ok_or_else(wrong)?.parse::<Feature>();
            items
                .iter()
                .map(read)
                .collect::<Result<Features, _>>()
                .map(Some)
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn plan(name: &str, tier: u32, limits: Value) -> Plan {
        let body = json!({ "tier": tier, "limits": limits });
        Plan::parse(name.parse().unwrap(), &body).unwrap()
    }

    #[test]
    fn a_plan_reads_as_it_is_written() {
        let limits = json!({ "maxChannels": 3, "maxResolution": "720p", "maxRungs": 2, "maxLive": 2, "maxDestinations": 4,
            "storageBytes": 5, "maxViewers": 6, "maxBulk": 7, "features": ["ads", "ai"] });
        let read = plan("pro-2", 9, limits.clone());
        assert_eq!(
            serde_json::to_value(&read).unwrap(),
            json!({ "name": "pro-2", "tier": 9, "limits": limits })
        );
        assert_eq!(
            plan("x", 0, json!({ "maxLive": null })).limits,
            PlanLimits::UNLIMITED
        );
        // Every limit can be set and has a name of its own.
        for limit in Limit::ALL {
            assert_eq!(limit.name().parse(), Ok(limit));
            assert!(limits[limit.name()] != Value::Null, "{limit}");
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_plan_is_told() {
        let body = json!({ "tier": 1001, "name": "x", "limits": {
            "maxChannels": -1, "maxResolution": "9000p", "features": ["all"], "maxLive": "2", "maxBulk": 1.5, "maxFun": 1 } });
        let wrong = Plan::parse("x".parse().unwrap(), &body).unwrap_err();
        let mut places: Vec<_> = wrong.0.into_iter().map(|wrong| wrong.pointer).collect();
        places.sort();
        let expected = [
            "/limits/features",
            "/limits/maxBulk",
            "/limits/maxChannels",
            "/limits/maxFun",
            "/limits/maxLive",
            "/limits/maxResolution",
            "/name",
            "/tier",
        ];
        assert_eq!(places, expected);
        for bad in ["", "Pro", "a b", "x/y", &"x".repeat(41)] {
            assert!(bad.parse::<PlanName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_lowest_plan_that_allows_it() {
        let plans = [
            plan("huge", 9, json!({})),
            plan("pro", 3, json!({ "maxChannels": 10 })),
            plan("basic", 2, json!({ "maxChannels": 2 })),
            plan("free", 1, json!({ "maxChannels": 1 })),
            plan("cheap", 0, json!({ "maxChannels": 99 })),
        ];
        let usage = |live| Usage {
            live,
            channels: live,
            ..Usage::default()
        };
        let raise = Raise::CreateChannel(crate::limits::Demand {
            resolution: Resolution::P240,
            rungs: 1,
            destinations: 0,
            features: Features::default(),
        });
        let upgrade = |channels| {
            let free = &plans[3];
            let exceeded = free.limits.check(&raise, &usage(channels)).unwrap_err();
            free.refusal(exceeded, &raise, &usage(channels), &plans)
        };
        assert_eq!(upgrade(1).upgrade_to.unwrap().as_str(), "basic");
        assert_eq!(upgrade(2).upgrade_to.unwrap().as_str(), "pro");
        assert_eq!(upgrade(10).upgrade_to.unwrap().as_str(), "huge");
        assert_eq!(
            upgrade(1).to_string(),
            "the plan allows 1 channels; this would make it 2 (now 1); the plan basic allows it"
        );
        let shown = serde_json::to_value(upgrade(1)).unwrap();
        assert_eq!(
            shown,
            json!({ "limit": "maxChannels", "current": 1, "requested": 2, "allowed": 1, "plan": "free", "upgradeTo": "basic" })
        );
    }
}
