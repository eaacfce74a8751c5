//! A chain of entries, judged: pure, so that every way to tamper can be tried on it.
//!
//! An entry's hash covers the hash before it, so a changed entry does not fit its own hash, or, where that
//! was recomputed, the entry after it. What is missing shows in the numbers, what is cut off in the head
//! that the database keeps apart and in those that were exported.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

/// The hash of an entry.
pub(crate) type Hash = [u8; 32];

/// What the first entry follows from.
pub(super) const START: Hash = [0; 32];

/// Everything that the hash of one entry covers.
pub(super) struct Link<'a> {
    pub(super) client: Uuid,
    pub(super) seq: i64,
    pub(super) at: Timestamp,
    pub(super) actor: &'a str,
    pub(super) token: Option<Uuid>,
    pub(super) operation: &'a str,
    pub(super) subject_kind: &'a str,
    pub(super) subject: Uuid,
    pub(super) detail: &'a str,
}

impl<'a> Link<'a> {
    pub(super) fn of(client: Uuid, row: &'a Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            client,
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            token: row.try_get("token_id")?,
            operation: row.try_get("operation")?,
            subject_kind: row.try_get("subject_kind")?,
            subject: row.try_get("subject_id")?,
            detail: row.try_get("detail")?,
        })
    }

    /// Each part with its length before it, so that no two entries give the same bytes.
    pub(super) fn hash(&self, previous: &[u8]) -> Hash {
        let token = self.token.map(Uuid::into_bytes);
        let parts: [&[u8]; 10] = [
            previous,
            self.client.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.at.as_microsecond().to_be_bytes(),
            self.actor.as_bytes(),
            token.as_ref().map_or(&[], |token| &token[..]),
            self.operation.as_bytes(),
            self.subject_kind.as_bytes(),
            self.subject.as_bytes(),
            self.detail.as_bytes(),
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// The entry is not as it was written, or does not follow from the one before it.
    Changed {
        /// Which.
        seq: i64,
    },
    /// Entries before others are gone.
    Removed {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Entries at the end are gone, which the chain's head tells of.
    CutOff {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Entries at the end are gone, which an exported head tells of, whatever the head is now.
    CutOffSince {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
        /// When the head was exported.
        at: Timestamp,
    },
    /// The entry lies before the first or after the head: it was put in, or the head was turned back.
    Inserted {
        /// Which.
        seq: i64,
    },
    /// The entry is another one than when it was exported: the chain was written anew.
    Rewritten {
        /// Which.
        seq: i64,
        /// When its hash was exported.
        at: Timestamp,
    },
    /// There are entries and no head.
    HeadGone {
        /// The last entry.
        seq: i64,
    },
    /// The head is not the hash of the last entry.
    HeadChanged {
        /// The last entry.
        seq: i64,
    },
}

impl ChainFault {
    /// The entry that it concerns, or the first of them.
    pub const fn seq(&self) -> i64 {
        match *self {
            Self::Removed { from, .. }
            | Self::CutOff { from, .. }
            | Self::CutOffSince { from, .. } => from,
            Self::Changed { seq }
            | Self::Inserted { seq }
            | Self::Rewritten { seq, .. }
            | Self::HeadGone { seq }
            | Self::HeadChanged { seq } => seq,
        }
    }

    /// Its name in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Removed { .. } => "removed",
            Self::CutOff { .. } | Self::CutOffSince { .. } => "truncated",
            Self::Inserted { .. } => "inserted",
            Self::Rewritten { .. } => "rewritten",
            Self::HeadGone { .. } | Self::HeadChanged { .. } => "head",
        }
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |f: &mut fmt::Formatter<'_>, from: i64, to: i64| match from == to {
            true => write!(f, "entry {from} is gone"),
            false => write!(f, "entries {from} to {to} are gone"),
        };
        match *self {
            Self::Changed { seq } => {
                write!(f, "entry {seq} was changed, or the one before it")
            }
            Self::Removed { from, to } => range(f, from, to),
            Self::CutOff { from, to } => {
                range(f, from, to)?;
                f.write_str(" from the end")
            }
            Self::CutOffSince { from, to, at } => {
                range(f, from, to)?;
                write!(f, " from the end: the head exported at {at} tells of them")
            }
            Self::Inserted { seq } => write!(f, "entry {seq} does not belong to the chain"),
            Self::Rewritten { seq, at } => {
                write!(f, "entry {seq} is another one than was exported at {at}")
            }
            Self::HeadGone { seq } => {
                write!(f, "the head is gone; entry {seq} is the last one there is")
            }
            Self::HeadChanged { seq } => {
                write!(f, "the head does not match entry {seq}, the last one")
            }
        }
    }
}

/// The end of a chain at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) seq: i64,
    pub(super) hash: Hash,
}

/// A chain that is followed from its first entry to its head.
pub(super) struct Walk {
    head: Option<End>,
    /// What was exported of it: by number the hashes and when.
    exported: BTreeMap<i64, Vec<(Hash, Timestamp)>>,
    /// The entry that has to come next.
    next: i64,
    /// What the hash before it may be: what is written there, and, where that was changed, what should
    /// be. Nothing behind a gap, whose last hash nobody knows.
    previous: Option<Vec<Hash>>,
    entries: u64,
    faults: Vec<ChainFault>,
}

impl Walk {
    pub(super) fn new(head: Option<End>, exported: &[(End, Timestamp)]) -> Self {
        let mut by_seq: BTreeMap<i64, Vec<(Hash, Timestamp)>> = BTreeMap::new();
        for (end, at) in exported {
            by_seq.entry(end.seq).or_default().push((end.hash, *at));
        }
        Self {
            head,
            exported: by_seq,
            next: 1,
            previous: Some(vec![START]),
            entries: 0,
            faults: Vec::new(),
        }
    }

    /// The next entry in the order of numbers: what its hash covers, where that can be read, and the hash.
    pub(super) fn entry(&mut self, seq: i64, link: Option<&Link<'_>>, stored: Hash) {
        self.entries += 1;
        if seq < self.next || self.head.is_some_and(|head| seq > head.seq) {
            self.faults.push(ChainFault::Inserted { seq });
            return;
        }
        if seq > self.next {
            let (from, to) = (self.next, seq - 1);
            self.faults.push(ChainFault::Removed { from, to });
            self.previous = None;
        }
        self.next = seq.saturating_add(1);
        let mut follows = vec![stored];
        match (&self.previous, link) {
            (_, None) => self.faults.push(ChainFault::Changed { seq }),
            (None, Some(_)) => {}
            (Some(previous), Some(link)) => {
                let due: Vec<Hash> = previous.iter().map(|hash| link.hash(hash)).collect();
                if !due.contains(&stored) {
                    self.faults.push(ChainFault::Changed { seq });
                    follows.extend(due);
                }
            }
        }
        self.previous = Some(follows);
        for (hash, at) in self.exported.get(&seq).into_iter().flatten() {
            if *hash != stored {
                self.faults.push(ChainFault::Rewritten { seq, at: *at });
            }
        }
    }

    /// The end of the chain: how many entries there were, and everything that is wrong.
    pub(super) fn end(mut self) -> (u64, Vec<ChainFault>) {
        let last = self.next - 1;
        match self.head {
            None if last > 0 => self.faults.push(ChainFault::HeadGone { seq: last }),
            Some(head) if head.seq > last => {
                let (from, to) = (self.next, head.seq);
                self.faults.push(ChainFault::CutOff { from, to });
            }
            Some(head) => {
                let fits = |hashes: &Vec<Hash>| hashes.contains(&head.hash);
                if !self.previous.as_ref().is_some_and(fits) {
                    self.faults.push(ChainFault::HeadChanged { seq: last });
                }
            }
            None => {}
        }
        // What the head itself still tells of is not told twice.
        let known = self.head.map_or(last, |head| head.seq.max(last));
        if let Some((to, exports)) = self.exported.last_key_value()
            && *to > known
            && let Some((_, at)) = exports.first()
        {
            self.faults.push(ChainFault::CutOffSince {
                from: known + 1,
                to: *to,
                at: *at,
            });
        }
        (self.entries, self.faults)
    }
}
