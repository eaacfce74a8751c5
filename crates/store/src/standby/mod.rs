//! A copy of what is needed to air, outside PostgreSQL: in Redis and on disk, kept up to date in the background,
//! and read only by a daemon that starts while PostgreSQL is away.
//!
//! Everything is in memory as well, as the JSON that is kept, so a place that comes back is brought up to
//! date as a whole. Each place has a revision, which grows with every change and is written after the
//! records: of two copies the one with the higher revision is the later one.
//!
//! Invariants: nothing is written before everything was loaded, so a copy is never a part; a record is whole or
//! not there; secrets are in it only as the database has them, sealed or as digests.

mod disk;
mod lanes;
mod records;
mod redis;

pub(crate) use disk::Disk;
pub(crate) use lanes::begin;
pub(crate) use records::{DestinationKey, Kept, MediaRecord};

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

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
    pub(crate) const ALL: [Self; 7] = [
        Self::Channel,
        Self::Media,
        Self::Rendition,
        Self::StreamKey,
        Self::Limits,
        Self::Order,
        Self::Token,
    ];
    /// Those without which a copy is a part.
    const NEEDED: [Self; 5] = [
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
            Self::StreamKey => "stream-keys",
            Self::Limits => "limits",
            Self::Order => "orders",
            Self::Token => "tokens",
        }
    }

    const fn is_in_redis(self) -> bool {
        !matches!(self, Self::Order | Self::Token)
    }
}

/// Which record: its kind and its id.
type Key = (Kind, String);
/// The JSON of records.
pub(crate) type Records = HashMap<Key, String>;

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

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Standby {
    state: Mutex<State>,
    /// The revision, for those who write it down and those who wait for that.
    revision: watch::Sender<u64>,
    /// Up to which revision each place is written.
    redis: watch::Sender<u64>,
    disk: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    records: Records,
    /// The kinds that were loaded.
    loaded: HashSet<Kind>,
    /// What each place does not have yet.
    behind: HashMap<&'static str, Behind>,
}

/// What a place does not have yet.
#[derive(Debug)]
enum Behind {
    /// Whatever it has is to be replaced by everything.
    All,
    /// These.
    Some(HashSet<Key>),
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Disk => "the disk",
        }
    }
}

/// What is to be written to a place.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    /// Everything, in the place of what is there.
    All(Records),
    /// These; those without JSON are to be removed.
    Some(Vec<(Key, Option<String>)>),
}

impl Standby {
    /// An empty copy of no place; nothing is written before everything was loaded.
    pub(crate) fn new() -> Self {
        let everything = [Place::Redis, Place::Disk].map(|place| (place.name(), Behind::All));
        Self {
            state: Mutex::new(State {
                behind: everything.into(),
                ..State::default()
            }),
            revision: watch::Sender::default(),
            redis: watch::Sender::default(),
            disk: watch::Sender::default(),
        }
    }

    /// Takes over what an earlier daemon has left; `whole` says whether it is to be lived on. Later revisions are
    /// higher.
    pub(crate) fn resume(&self, left: Contents, whole: bool) {
        let mut state = self.lock();
        state.records = left.records;
        if whole {
            state.loaded.extend(Kind::NEEDED);
        }
        drop(state);
        self.revision.send_modify(|at| *at = left.revision.max(*at));
        self.turn();
    }

    /// Whether everything of a kind is here.
    pub(crate) fn is_loaded(&self, kind: Kind) -> bool {
        self.lock().loaded.contains(&kind)
    }

    /// Whether everything is here, and is written down.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.lock();
        Kind::NEEDED.iter().all(|kind| state.loaded.contains(kind))
    }

    /// Puts everything of a kind in the place of what is there.
    pub(crate) fn load<T: Serialize>(
        &self,
        kind: Kind,
        records: impl IntoIterator<Item = (String, T)>,
    ) {
        let given = records.into_iter();
        let given = given.filter_map(|(id, record)| Some(((kind, id), json(kind, &record)?)));
        let given: Records = given.collect();
        let mut state = self.lock();
        let gone = state.records.keys();
        let gone = gone.filter(|key| key.0 == kind && !given.contains_key(key));
        let gone: Vec<Key> = gone.cloned().collect();
        let is_new = state.loaded.insert(kind);
        drop(state);
        let gone = gone.into_iter().map(|key| (key, None));
        let given = given.into_iter().map(|(key, json)| (key, Some(json)));
        self.change(gone.chain(given));
        if is_new {
            self.turn();
        }
    }

    /// Puts one record in.
    pub(crate) fn put(&self, kind: Kind, id: impl Into<String>, record: &impl Serialize) {
        if let Some(json) = json(kind, record) {
            self.change([((kind, id.into()), Some(json))]);
        }
    }

    /// Takes one record out.
    pub(crate) fn remove(&self, kind: Kind, id: impl Into<String>) {
        self.change([((kind, id.into()), None)]);
    }

    /// Takes out the records of a kind that `is_out` says so of.
    pub(crate) fn remove_where<T: DeserializeOwned>(
        &self,
        kind: Kind,
        is_out: impl Fn(&str, &T) -> bool,
    ) {
        let out: Vec<(Key, Option<String>)> = self
            .all(kind)
            .into_iter()
            .filter(|(id, record)| is_out(id, record))
            .map(|(id, _)| ((kind, id), None))
            .collect();
        self.change(out);
    }

    /// A record, read.
    pub(crate) fn get<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> Option<T> {
        let json = self.lock().records.get(&(kind, id.to_owned())).cloned()?;
        serde_json::from_str(&json).ok()
    }

    /// The records of a kind, in the order of their ids.
    pub(crate) fn all<T: DeserializeOwned>(&self, kind: Kind) -> Vec<(String, T)> {
        let state = self.lock();
        let of_kind = state.records.iter().filter(|((of, _), _)| *of == kind);
        let copy = Contents {
            revision: 0,
            records: of_kind
                .map(|(key, json)| (key.clone(), json.clone()))
                .collect(),
        };
        drop(state);
        copy.of(kind)
    }

    /// Returns when `place` has everything up to now.
    pub(crate) async fn is_kept(&self, place: Place) {
        let wanted = *self.revision.borrow();
        let mut written = self.written(place).subscribe();
        // The sender lives as long as the copy.
        drop(written.wait_for(|written| *written >= wanted).await);
    }

    /// What `place` does not have yet, and up to which revision it has everything then; nothing when it has
    /// everything, or not everything was loaded yet.
    fn due(&self, place: Place) -> Option<(u64, Due)> {
        let mut state = self.lock();
        if !Kind::NEEDED.iter().all(|kind| state.loaded.contains(kind)) {
            return None;
        }
        let State {
            records, behind, ..
        } = &mut *state;
        let behind = behind.get_mut(place.name())?;
        let revision = *self.revision.borrow();
        let due = match behind {
            Behind::All => Due::All(records.clone()),
            Behind::Some(keys) if keys.is_empty() && *self.written(place).borrow() >= revision => {
                return None;
            }
            Behind::Some(keys) => {
                let due = keys
                    .iter()
                    .map(|key| (key.clone(), records.get(key).cloned()));
                Due::Some(due.collect())
            }
        };
        *behind = Behind::Some(HashSet::new());
        Some((revision, due))
    }

    /// `due` is written to `place`.
    fn done(&self, place: Place, revision: u64) {
        self.written(place).send_replace(revision);
    }

    /// `due` is not written to `place`, or not known to be.
    fn not_done(&self, place: Place, due: Due) {
        let mut state = self.lock();
        let Some(behind) = state.behind.get_mut(place.name()) else {
            return;
        };
        match (behind, due) {
            (behind, Due::All(_)) => *behind = Behind::All,
            (Behind::Some(keys), Due::Some(due)) => {
                keys.extend(due.into_iter().map(|(key, _)| key))
            }
            (Behind::All, _) => {}
        }
    }

    /// `place` may have lost what it had.
    fn forgotten(&self, place: Place) {
        self.lock().behind.insert(place.name(), Behind::All);
        self.turn();
    }

    /// Told of every change, the first among them.
    fn news(&self) -> watch::Receiver<u64> {
        let mut news = self.revision.subscribe();
        news.mark_changed();
        news
    }

    fn written(&self, place: Place) -> &watch::Sender<u64> {
        match place {
            Place::Redis => &self.redis,
            Place::Disk => &self.disk,
        }
    }

    fn change(&self, changes: impl IntoIterator<Item = (Key, Option<String>)>) {
        let mut state = self.lock();
        let mut changed = false;
        for (key, json) in changes {
            let before = match &json {
                Some(json) => state.records.insert(key.clone(), json.clone()),
                None => state.records.remove(&key),
            };
            if before == json {
                continue;
            }
            changed = true;
            for behind in state.behind.values_mut() {
                if let Behind::Some(keys) = behind {
                    keys.insert(key.clone());
                }
            }
        }
        drop(state);
        if changed {
            self.turn();
        }
    }

    /// The next revision.
    fn turn(&self) {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        self.revision.send_modify(|at| *at = now.max(*at + 1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

fn json(kind: Kind, record: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(record);
    json.inspect_err(|error| tracing::error!(kind = kind.name(), %error, "a record is no JSON"))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn loaded() -> Standby {
        let standby = Standby::new();
        for kind in Kind::NEEDED {
            standby.load(kind, [("a".to_owned(), 1)]);
        }
        standby
    }

    #[test]
    fn nothing_is_due_before_everything_is_loaded_and_everything_is_then() {
        let standby = Standby::new();
        standby.put(Kind::Media, "m", &7);
        standby.load(Kind::Channel, [("c".to_owned(), 1)]);
        assert_eq!(standby.due(Place::Disk), None);
        let standby = loaded();
        let (revision, due) = standby.due(Place::Disk).unwrap();
        let Due::All(records) = due else {
            panic!("it is a part")
        };
        assert_eq!(records.len(), Kind::NEEDED.len());
        standby.done(Place::Disk, revision);
        assert_eq!(standby.due(Place::Disk), None);
    }

    #[test]
    fn what_changes_is_due_until_it_is_written_and_the_latest_of_it() {
        let standby = loaded();
        let (first, _) = standby.due(Place::Redis).unwrap();
        standby.done(Place::Redis, first);
        standby.put(Kind::Channel, "a", &2);
        standby.put(Kind::Channel, "a", &3);
        standby.remove(Kind::Media, "a");
        let (_, due) = standby.due(Place::Redis).unwrap();
        standby.not_done(Place::Redis, due);
        let (second, due) = standby.due(Place::Redis).unwrap();
        let Due::Some(mut due) = due else {
            panic!("it is everything")
        };
        due.sort();
        let expected = [
            ((Kind::Channel, "a".to_owned()), Some("3".to_owned())),
            ((Kind::Media, "a".to_owned()), None),
        ];
        assert_eq!(due, expected);
        assert!(second > first);
        standby.done(Place::Redis, second);
        assert_eq!(standby.due(Place::Redis), None);
        standby.put(Kind::Channel, "a", &3);
        assert_eq!(standby.due(Place::Redis), None, "it is the same");
        standby.forgotten(Place::Redis);
        assert!(matches!(standby.due(Place::Redis), Some((_, Due::All(_)))));
    }

    #[test]
    fn revisions_go_on_from_the_copy_that_was_found_even_where_the_clock_went_back() {
        let standby = Standby::new();
        let far = u64::MAX / 2;
        let left = Contents {
            revision: far,
            records: HashMap::new(),
        };
        standby.resume(left, true);
        standby.put(Kind::Channel, "a", &1);
        let (revision, _) = standby.due(Place::Disk).unwrap();
        assert!(revision > far);
    }
}
