//! A copy of what is needed to air, outside PostgreSQL: in Redis and on disk, kept up to date in the background,
//! and read only by a daemon that starts while PostgreSQL is away.
//!
//! Everything is in memory as well, as the JSON that is kept, so a place that comes back is brought up to
//! date as a whole. Each place has a revision, which grows with every change and is written after the
//! records: of two copies the one with the higher revision is the later one.
//!
//! Invariants: nothing is written before everything was loaded, so a copy is never a part; a record is whole or
//! not there; secrets are in it only as the database has them, sealed or as digests.

mod contents;
mod disk;
mod lanes;
mod records;
mod redis;
#[cfg(test)]
mod tests;

pub(crate) use contents::{Contents, Kind, Place, Records, latest};
pub(crate) use disk::Disk;
pub(crate) use lanes::begin;
pub(crate) use records::{DestinationKey, Kept, MediaRecord};

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use contents::{Counts, Key, counts};

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
    /// Whether an earlier daemon has left a copy.
    left: bool,
    /// What each place does not have yet.
    behind: HashMap<&'static str, Behind>,
    /// What was changed since the database began to be read anew; nothing while it is not.
    changed: Option<HashSet<Key>>,
}

/// What a place does not have yet.
#[derive(Debug)]
enum Behind {
    /// Whatever it has is to be replaced by everything.
    All,
    /// These.
    Some(HashSet<Key>),
}

/// What is to be written to a place.
#[derive(Debug, PartialEq)]
pub(crate) enum Due {
    /// Everything, in the place of what is there.
    All(Records),
    /// These, those without JSON are to be removed; and how many records of each kind there are then.
    Some(Vec<(Key, Option<String>)>, Counts),
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
        state.left = true;
        if whole {
            state.loaded.extend(Kind::NEEDED);
        }
        drop(state);
        self.revision.send_modify(|at| *at = left.revision.max(*at));
        self.turn();
    }

    /// Goes on with what an earlier daemon has left, for what was not loaded since; `false` when there is nothing.
    pub(crate) fn live_on(&self) -> bool {
        let mut state = self.lock();
        if state.left {
            state.loaded.extend(Kind::NEEDED);
        }
        let left = state.left;
        drop(state);
        self.turn();
        left
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

    /// The database begins to be read anew. What is changed from here on is later than what is read.
    pub(crate) fn begin_reading(&self) {
        self.lock().changed = Some(HashSet::new());
    }

    /// It has been read.
    pub(crate) fn end_reading(&self) {
        self.lock().changed = None;
    }

    /// Puts everything of a kind in the place of what is there, all but what was changed while it was read.
    pub(crate) fn load<T: Serialize>(
        &self,
        kind: Kind,
        records: impl IntoIterator<Item = (String, T)>,
    ) {
        let given = records.into_iter();
        let given = given.filter_map(|(id, record)| Some(((kind, id), json(kind, &record)?)));
        let given: Records = given.collect();
        let mut state = self.lock();
        let later = state.changed.clone().unwrap_or_default();
        let gone = state.records.keys();
        let gone = gone.filter(|key| key.0 == kind && !given.contains_key(key));
        let gone: Vec<Key> = gone.cloned().collect();
        let is_new = state.loaded.insert(kind);
        drop(state);
        let gone = gone.into_iter().map(|key| (key, None));
        let given = given.into_iter().map(|(key, json)| (key, Some(json)));
        let all = gone.chain(given);
        self.change(all.filter(|(key, _)| !later.contains(key)));
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
                Due::Some(due.collect(), counts(records))
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
            (Behind::Some(keys), Due::Some(due, _)) => {
                keys.extend(due.into_iter().map(|(key, _)| key))
            }
            (Behind::All, _) => {}
        }
    }

    /// `place` may have lost what it had: it gets everything.
    pub(crate) fn forgotten(&self, place: Place) {
        self.lock().behind.insert(place.name(), Behind::All);
        self.turn();
    }

    /// Up to which revision `place` was written last.
    fn written_to(&self, place: Place) -> u64 {
        *self.written(place).borrow()
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
            if let Some(changed) = &mut state.changed {
                changed.insert(key.clone());
            }
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

fn json(kind: Kind, record: &impl Serialize) -> Option<String> {
    let json = serde_json::to_string(record);
    json.inspect_err(|error| tracing::error!(kind = kind.name(), %error, "a record is no JSON"))
        .ok()
}
