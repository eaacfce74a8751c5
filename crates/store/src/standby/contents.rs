//! What a copy consists of: kinds of records, places, and what was left in one.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;

use super::{Disk, redis};
use crate::hot::Hot;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Channels with what they air.
    Channel,
    /// Items of the library.
    Media,
    /// What of them is prepared.
    Rendition,
    /// What is said in them, to be read along; the text is on disk.
    Subtitle,
    /// Sealed stream keys, by destination.
    StreamKey,
    /// What clients' plans allow.
    Limits,
    /// Orders that the database does not know yet. Redis has them in a stream of their own.
    Order,
    /// Tokens by their digest. Redis has them under keys of their own, which expire.
    Token,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 8] = [
        Self::Channel,
        Self::Media,
        Self::Rendition,
        Self::Subtitle,
        Self::StreamKey,
        Self::Limits,
        Self::Order,
        Self::Token,
    ];
    /// Those without which a copy is a part.
    pub(super) const NEEDED: [Self; 5] = [
        Self::Channel,
        Self::Media,
        Self::Rendition,
        Self::StreamKey,
        Self::Limits,
    ];

    /// What it is called on disk and in Redis.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channels",
            Self::Media => "media",
            Self::Rendition => "renditions",
            Self::Subtitle => "subtitles",
            Self::StreamKey => "stream-keys",
            Self::Limits => "limits",
            Self::Order => "orders",
            Self::Token => "tokens",
        }
    }

    pub(super) const fn is_in_redis(self) -> bool {
        !matches!(self, Self::Order | Self::Token)
    }
}

/// Which record: its kind and its id.
pub(super) type Key = (Kind, String);
/// The JSON of records.
pub(crate) type Records = HashMap<Key, String>;

/// How many records there are, by the names of their kinds; those of which there are none are not named.
pub(super) type Counts = BTreeMap<String, usize>;

/// How many records of each kind Redis has to have.
pub(super) fn counts(records: &Records) -> Counts {
    let mut counts = Counts::new();
    for (kind, _) in records.keys().filter(|(kind, _)| kind.is_in_redis()) {
        *counts.entry(kind.name().to_owned()).or_default() += 1;
    }
    counts
}

/// What is in one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    /// The later of two copies has the higher one: microseconds since 1970, or one more than before.
    pub(crate) revision: u64,
    pub(crate) records: Records,
}

impl Contents {
    /// How many channels are in it.
    pub(crate) fn channels(&self) -> usize {
        let kinds = self.records.keys().map(|(kind, _)| *kind);
        kinds.filter(|kind| *kind == Kind::Channel).count()
    }

    /// The records of a kind, read; what cannot be read is passed over and logged.
    pub(crate) fn of<T: DeserializeOwned>(&self, kind: Kind) -> Vec<(String, T)> {
        let mut found: Vec<(String, T)> = self
            .records
            .iter()
            .filter(|((of, _), _)| *of == kind)
            .filter_map(|((_, id), json)| match serde_json::from_str(json) {
                Ok(record) => Some((id.clone(), record)),
                Err(error) => {
                    tracing::error!(kind = kind.name(), id, %error, "a record of the copy cannot be read");
                    None
                }
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

/// A place where the copy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Redis,
    Disk,
}

impl Place {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Disk => "the disk",
        }
    }
}

/// The later of the copies that an earlier daemon has left; what is on disk alone is in it either way.
pub(crate) async fn latest(hot: &Hot, disk: Option<&Disk>) -> Option<Contents> {
    let of_disk = async {
        let disk = disk?.clone();
        let loaded = tokio::task::spawn_blocking(move || disk.load()).await;
        loaded.unwrap_or_default()
    };
    let of_redis = async {
        let loaded = redis::load(hot).await;
        loaded.unwrap_or_else(|error| {
            tracing::debug!(%error, "the copy in Redis cannot be read");
            None
        })
    };
    match tokio::join!(of_disk, of_redis) {
        (Some(disk), Some(mut redis)) if redis.revision >= disk.revision => {
            let alone = disk.records.into_iter();
            redis
                .records
                .extend(alone.filter(|((kind, _), _)| !kind.is_in_redis()));
            Some(redis)
        }
        (Some(disk), _) => Some(disk),
        (None, redis) => redis,
    }
}
