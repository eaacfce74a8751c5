//! What a client's plan allows, and the one place where it is decided.
//!
//! Pure: the store reads the use inside the transaction that raises it, so that parallel requests
//! cannot pass a limit by racing, and asks here.

use crate::config::ChannelConfig;
use crate::feature::Features;
use crate::resolution::Resolution;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a plan allows; what is absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlanLimits {
    /// Channels of a client.
    pub max_channels: Option<u64>,
    /// The highest resolution of a channel.
    pub max_resolution: Option<Resolution>,
    /// Rungs of a channel's ladder.
    pub max_rungs: Option<u64>,
    /// Channels that are on air (or should be) at once.
    pub max_live: Option<u64>,
    /// RTMP destinations of a channel.
    pub max_destinations: Option<u64>,
    /// Bytes of media.
    pub storage_bytes: Option<u64>,
    /// Viewers of all channels at once.
    pub max_viewers: Option<u64>,
    /// Channels that one request may be about.
    pub max_bulk: Option<u64>,
    /// The engines that channels may use.
    pub features: Option<Features>,
}

/// What a client uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Channels there are.
    pub channels: u64,
    /// Channels that should be live.
    pub live: u64,
    /// Bytes of media stored.
    pub storage_bytes: u64,
    /// Viewers now.
    pub viewers: u64,
}

/// What a configuration asks of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The channel's resolution.
    pub resolution: Resolution,
    /// How many rungs its ladder has.
    pub rungs: u64,
    /// How many RTMP destinations it has.
    pub destinations: u64,
    /// The engines that it uses.
    pub features: Features,
}

impl Demand {
    /// What a configuration asks.
    pub fn of(config: &ChannelConfig) -> Self {
        Self {
            resolution: config.resolution,
            rungs: config.ladder.len() as u64,
            destinations: config.rtmp_destinations.len() as u64,
            features: config.features.into(),
        }
    }
}

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raise {
    /// A channel is created.
    CreateChannel(Demand),
    /// A channel is changed; what does not grow is allowed, even above the limit.
    UpdateChannel {
        /// What it asks now.
        from: Demand,
        /// What it will ask.
        to: Demand,
    },
    /// A channel that should be off air goes on air, which asks this.
    StartChannel(Demand),
    /// Media of so many bytes is added.
    AddMedia {
        /// Bytes added.
        bytes: u64,
    },
    /// Viewers come.
    AddViewers {
        /// How many.
        viewers: u64,
    },
    /// One request is about many channels.
    Bulk {
        /// How many.
        channels: u64,
    },
}

/// A limit of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Channels of a client.
    MaxChannels,
    /// The highest resolution of a channel.
    MaxResolution,
    /// Rungs of a channel's ladder.
    MaxRungs,
    /// Channels on air at once.
    MaxLive,
    /// RTMP destinations of a channel.
    MaxDestinations,
    /// Bytes of media.
    StorageBytes,
    /// Viewers at once.
    MaxViewers,
    /// Channels of one request.
    MaxBulk,
    /// Engines of a channel.
    Features,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 9] = [
        Self::MaxChannels,
        Self::MaxResolution,
        Self::MaxRungs,
        Self::MaxLive,
        Self::MaxDestinations,
        Self::StorageBytes,
        Self::MaxViewers,
        Self::MaxBulk,
        Self::Features,
    ];

    /// Its name in JSON: the member of [`PlanLimits`].
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxChannels => "maxChannels",
            Self::MaxResolution => "maxResolution",
            Self::MaxRungs => "maxRungs",
            Self::MaxLive => "maxLive",
            Self::MaxDestinations => "maxDestinations",
            Self::StorageBytes => "storageBytes",
            Self::MaxViewers => "maxViewers",
            Self::MaxBulk => "maxBulk",
            Self::Features => "features",
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|limit| limit.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!(
                "a limit {} is not known; there are {known}",
                crate::violation::quoted(text)
            )
        })
    }
}

/// A use or a bound, as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many.
    Count(u64),
    /// So large a picture.
    Resolution(Resolution),
    /// These engines.
    Features(Features),
}

/// An operation that would pass a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "camelCase")]
#[error("the plan allows {allowed} {limit}; this would make it {requested} (now {current})")]
pub struct LimitExceeded {
    /// Which limit.
    pub limit: Limit,
    /// The use now.
    pub current: Amount,
    /// The use that was asked for.
    pub requested: Amount,
    /// The most that is allowed.
    pub allowed: Amount,
}

impl PlanLimits {
    /// A plan without any limit: the operator's.
    pub const UNLIMITED: Self = Self {
        max_channels: None,
        max_resolution: None,
        max_rungs: None,
        max_live: None,
        max_destinations: None,
        storage_bytes: None,
        max_viewers: None,
        max_bulk: None,
        features: None,
    };

    /// Whether `raise` is allowed to a client that uses `usage`.
    ///
    /// # Errors
    /// The first limit that it would pass.
    pub fn check(&self, raise: &Raise, usage: &Usage) -> Result<(), LimitExceeded> {
        match *raise {
            Raise::CreateChannel(demand) => {
                count(Limit::MaxChannels, usage.channels, 1, self.max_channels)?;
                self.check_resolution(None, demand.resolution)?;
                count(Limit::MaxRungs, 0, demand.rungs, self.max_rungs)?;
                count(
                    Limit::MaxDestinations,
                    0,
                    demand.destinations,
                    self.max_destinations,
                )?;
                self.check_features(Features::default(), demand.features)
            }
            Raise::UpdateChannel { from, to } => {
                self.check_resolution(Some(from.resolution), to.resolution)?;
                let more = to.rungs.saturating_sub(from.rungs);
                count(Limit::MaxRungs, from.rungs, more, self.max_rungs)?;
                let more = to.destinations.saturating_sub(from.destinations);
                count(
                    Limit::MaxDestinations,
                    from.destinations,
                    more,
                    self.max_destinations,
                )?;
                self.check_features(from.features, to.features)
            }
            Raise::StartChannel(demand) => {
                count(Limit::MaxLive, usage.live, 1, self.max_live)?;
                self.check_resolution(None, demand.resolution)?;
                count(Limit::MaxRungs, 0, demand.rungs, self.max_rungs)
            }
            Raise::AddMedia { bytes } => count(
                Limit::StorageBytes,
                usage.storage_bytes,
                bytes,
                self.storage_bytes,
            ),
            Raise::AddViewers { viewers } => {
                count(Limit::MaxViewers, usage.viewers, viewers, self.max_viewers)
            }
            Raise::Bulk { channels } => count(Limit::MaxBulk, 0, channels, self.max_bulk),
        }
    }

    /// The limits that `usage`, and channels that ask `demands`, are above: after a downgrade, say.
    pub fn passed(&self, usage: &Usage, demands: &[Demand]) -> Vec<LimitExceeded> {
        let first = |check: &dyn Fn(&Demand) -> Result<(), LimitExceeded>| {
            demands.iter().find_map(|asked| check(asked).err())
        };
        let none = Features::default();
        let all = [
            count(Limit::MaxChannels, 0, usage.channels, self.max_channels).err(),
            count(Limit::MaxLive, 0, usage.live, self.max_live).err(),
            count(
                Limit::StorageBytes,
                0,
                usage.storage_bytes,
                self.storage_bytes,
            )
            .err(),
            count(Limit::MaxViewers, 0, usage.viewers, self.max_viewers).err(),
            first(&|asked| self.check_resolution(None, asked.resolution)),
            first(&|asked| count(Limit::MaxRungs, 0, asked.rungs, self.max_rungs)),
            first(&|asked| {
                count(
                    Limit::MaxDestinations,
                    0,
                    asked.destinations,
                    self.max_destinations,
                )
            }),
            first(&|asked| self.check_features(none, asked.features)),
        ];
        all.into_iter()
            .flatten()
            .map(|passed| LimitExceeded {
                current: passed.requested,
                ..passed
            })
            .collect()
    }

    fn check_features(&self, now: Features, to: Features) -> Result<(), LimitExceeded> {
        match self.features {
            Some(allowed) if !to.without(now).without(allowed).is_empty() => Err(LimitExceeded {
                limit: Limit::Features,
                current: Amount::Features(now),
                requested: Amount::Features(to),
                allowed: Amount::Features(allowed),
            }),
            _ => Ok(()),
        }
    }

    fn check_resolution(
        &self,
        now: Option<Resolution>,
        to: Resolution,
    ) -> Result<(), LimitExceeded> {
        match self.max_resolution {
            Some(allowed) if to > allowed && now.is_none_or(|now| to > now) => Err(LimitExceeded {
                limit: Limit::MaxResolution,
                current: now.map_or(Amount::Count(0), Amount::Resolution),
                requested: Amount::Resolution(to),
                allowed: Amount::Resolution(allowed),
            }),
            _ => Ok(()),
        }
    }
}

fn count(limit: Limit, current: u64, more: u64, allowed: Option<u64>) -> Result<(), LimitExceeded> {
    let requested = current.saturating_add(more);
    match allowed {
        Some(allowed) if more > 0 && requested > allowed => Err(LimitExceeded {
            limit,
            current: Amount::Count(current),
            requested: Amount::Count(requested),
            allowed: Amount::Count(allowed),
        }),
        _ => Ok(()),
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxChannels => "channels",
            Self::MaxResolution => "as the highest resolution",
            Self::MaxRungs => "rungs a ladder",
            Self::MaxLive => "channels on air at once",
            Self::MaxDestinations => "RTMP destinations a channel",
            Self::StorageBytes => "bytes of media",
            Self::MaxViewers => "viewers at once",
            Self::MaxBulk => "channels in one request",
            Self::Features => "as features",
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => fmt::Display::fmt(count, f),
            Self::Resolution(resolution) => fmt::Display::fmt(resolution, f),
            Self::Features(features) => fmt::Display::fmt(features, f),
        }
    }
}
