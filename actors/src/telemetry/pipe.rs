//! How heartbeats travel: from memory into Redis, from there into PostgreSQL; or, where Redis does not take
//! them, straight into PostgreSQL. Every step may fail, or be done without anybody hearing of it; it is then
//! done again, and PostgreSQL keeps one of each.
//!
//! Decides only; what the stores do is given.

use std::sync::{Mutex, PoisonError};

use playout_store::Heartbeat;

use super::backlog::{Backlog, BeatId};

/// What became of heartbeats that were given to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has them.
    Taken,
    /// It will never have them all.
    Refused,
    /// It does not say.
    Unknown,
}

/// An entry of the queue in Redis.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) id: String,
    /// Nothing: it cannot be read.
    pub(super) beats: Option<Vec<Heartbeat>>,
}

/// What will never be in the database.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// PostgreSQL refuses these.
    pub(super) refused: Vec<BeatId>,
    /// So many entries of the queue cannot be read.
    pub(super) unreadable: u64,
}

/// Gives what waits in memory to a store, `most` at once, until nothing waits (`true`) or no store takes it.
pub(super) async fn ship<R: Future<Output = Fate>, P: Future<Output = Fate>>(
    backlog: &Mutex<Backlog>,
    most: usize,
    to_redis: impl Fn(Vec<Heartbeat>) -> R,
    to_postgres: impl Fn(Vec<Heartbeat>) -> P,
) -> bool {
    let locked = || backlog.lock().unwrap_or_else(PoisonError::into_inner);
    // After a refusal one by one, to lose only what is refused.
    let mut singly = 0;
    loop {
        let batch = locked().first(if singly > 0 { 1 } else { most });
        if batch.is_empty() {
            return true;
        }
        let fate = match to_redis(batch.clone()).await {
            Fate::Taken => Fate::Taken,
            Fate::Refused | Fate::Unknown => to_postgres(batch.clone()).await,
        };
        let mut backlog = locked();
        match fate {
            Fate::Taken => backlog.written(&batch),
            Fate::Refused if batch.len() == 1 => backlog.refused(&batch),
            Fate::Refused => {
                // Redis may have it all the same.
                backlog.failed(&batch);
                singly = batch.len() + 1;
            }
            Fate::Unknown => {
                backlog.failed(&batch);
                return false;
            }
        }
        singly = singly.saturating_sub(1);
    }
}

/// Entries of the queue taken at once, at most: each may hold hundreds of heartbeats.
pub(super) const ENTRIES: usize = 50;

/// Brings the queue in Redis into PostgreSQL, until it is empty (`true`) or a store does not answer. An entry
/// leaves the queue only when PostgreSQL has what is in it. Answers, too, what will never be there.
///
/// `most` entries are taken at once; half as many from then on where a store does not answer, which may be for
/// want of time, and more again when they got through.
pub(super) async fn drain<Q, P, G>(
    most: &mut usize,
    read: impl Fn(usize) -> Q,
    to_postgres: impl Fn(Vec<Heartbeat>) -> P,
    remove: impl Fn(Vec<String>) -> G,
) -> (bool, Lost)
where
    Q: Future<Output = Option<Vec<Queued>>>,
    P: Future<Output = Fate>,
    G: Future<Output = bool>,
{
    let mut lost = Lost::default();
    loop {
        let Some(entries) = read(*most).await else {
            *most = (*most / 2).max(1);
            return (false, lost);
        };
        if entries.is_empty() {
            return (true, lost);
        }
        let readable = entries.iter().filter_map(|entry| entry.beats.as_ref());
        let beats: Vec<Heartbeat> = readable.flatten().cloned().collect();
        let unreadable = entries.iter().filter(|entry| entry.beats.is_none()).count() as u64;
        let mut refused = Vec::new();
        match to_postgres(beats.clone()).await {
            Fate::Taken => {}
            Fate::Unknown => {
                *most = (*most / 2).max(1);
                return (false, lost);
            }
            Fate::Refused => {
                for beat in beats {
                    let id = (beat.channel, beat.at);
                    match to_postgres(vec![beat]).await {
                        Fate::Taken => {}
                        Fate::Refused => refused.push(id),
                        Fate::Unknown => return (false, lost),
                    }
                }
            }
        }
        lost.refused.extend(refused);
        if !remove(entries.into_iter().map(|entry| entry.id).collect()).await {
            // Read again, and passed over.
            return (false, lost);
        }
        lost.unreadable += unreadable;
        *most = (*most * 2).min(ENTRIES);
    }
}
