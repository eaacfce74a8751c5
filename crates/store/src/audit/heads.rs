//! The heads of the chains, exported to a file beside the database: what was once written there cannot be
//! cut off unseen, not even by one who can write the table of heads.
//!
//! One JSON object a line: `{"at", "client", "seq", "hash"}`. Lines are only ever added, and where the
//! file grows too large, it is replaced by its highest line of each chain.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use playout_domain::ClientId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::{End, Hash};
use crate::Store;
use crate::columns::count;
use crate::error::StoreError;
use crate::private_file::{hex, replace_private};

/// Bytes at which the file is replaced; later where what has to stay is larger.
const LARGE: u64 = 1024 * 1024;

/// The last link of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Whose chain.
    pub client: ClientId,
    /// How many entries it has.
    pub seq: u64,
    pub(super) hash: Hash,
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportedHeads {
    heads: Vec<(AuditHead, Timestamp)>,
    /// The lines, from 1, that are none: of a write that was cut short, or changed.
    pub unreadable: Vec<usize>,
}

impl ExportedHeads {
    /// What the file at `path` holds; nothing when there is none.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        let mut exported = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            match serde_json::from_str::<Line>(line).ok().and_then(Line::head) {
                Some(head) => exported.heads.push(head),
                None if line.is_empty() => {}
                None => exported.unreadable.push(number),
            }
        }
        Ok(exported)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = Uuid> {
        self.heads.iter().map(|(head, _)| head.client.uuid())
    }

    pub(super) fn of(&self, client: Uuid) -> Vec<(End, Timestamp)> {
        let its = self
            .heads
            .iter()
            .filter(|(head, _)| head.client.uuid() == client);
        its.map(|(head, at)| (head.end(), *at)).collect()
    }
}

impl AuditHead {
    fn end(&self) -> End {
        End {
            seq: crate::columns::bigint(self.seq),
            hash: self.hash,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: Timestamp,
    client: ClientId,
    seq: u64,
    hash: String,
}

impl Line {
    fn of(head: &AuditHead, at: Timestamp) -> Self {
        Self {
            at,
            client: head.client,
            seq: head.seq,
            hash: hex(&head.hash),
        }
    }

    fn head(self) -> Option<(AuditHead, Timestamp)> {
        let mut hash = [0; 32];
        if self.hash.len() != 64 || !self.hash.is_ascii() {
            return None;
        }
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.hash[2 * n..2 * n + 2], 16).ok()?;
        }
        let head = AuditHead {
            client: self.client,
            seq: self.seq,
            hash,
        };
        Some((head, self.at))
    }

    fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// The file, for the one daemon that adds to it.
#[derive(Debug)]
pub struct HeadsFile {
    path: PathBuf,
    /// The last line of each chain.
    last: BTreeMap<Uuid, AuditHead>,
    /// Bytes at which it is replaced.
    large: u64,
}

impl HeadsFile {
    /// The file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let exported = ExportedHeads::read(&path)?;
        let last = exported.heads.iter();
        Ok(Self {
            last: last.map(|(head, _)| (head.client.uuid(), *head)).collect(),
            path,
            large: LARGE,
        })
    }

    /// Adds the heads that are not what was last written of their chain, as of `at`. They last when this
    /// returns. Answers how many were added.
    ///
    /// # Errors
    /// Whatever keeps it from being written; the heads are then added another time.
    pub fn add(&mut self, heads: &[AuditHead], at: Timestamp) -> io::Result<usize> {
        let new: Vec<&AuditHead> = heads
            .iter()
            .filter(|head| self.last.get(&head.client.uuid()) != Some(head))
            .collect();
        if new.is_empty() {
            return Ok(0);
        }
        let mut text = String::new();
        for head in &new {
            text += &Line::of(head, at).text()?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        if !ends_a_line(&mut file)? {
            // Of a write that was cut short.
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        for head in &new {
            self.last.insert(head.client.uuid(), **head);
        }
        if file.metadata()?.len() > self.large {
            self.shorten()?;
        }
        Ok(new.len())
    }

    /// Keeps the highest line of each chain: what tells most of a chain that was cut.
    fn shorten(&mut self) -> io::Result<()> {
        let mut highest: BTreeMap<Uuid, (AuditHead, Timestamp)> = BTreeMap::new();
        for (head, at) in ExportedHeads::read(&self.path)?.heads {
            let kept = highest.entry(head.client.uuid()).or_insert((head, at));
            if head.seq > kept.0.seq {
                *kept = (head, at);
            }
        }
        let mut text = String::new();
        for (head, at) in highest.values() {
            text += &Line::of(head, *at).text()?;
        }
        self.large = LARGE.max(2 * text.len() as u64);
        replace_private(&self.path, &text)
    }
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    io::Read::read_exact(file, &mut last)?;
    Ok(last == *b"\n")
}

impl Store {
    /// The head of every chain.
    pub async fn audit_heads(&self) -> Result<Vec<AuditHead>, StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async {
                    let sql = "SELECT client_id, seq, hash FROM audit_heads ORDER BY client_id";
                    let rows = session.query(sql, &[]).await?;
                    let head = |row: &tokio_postgres::Row| -> Result<AuditHead, StoreError> {
                        let hash: &[u8] = row.try_get("hash")?;
                        Ok(AuditHead {
                            client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
                            seq: count(row, "seq")?,
                            hash: hash.try_into().map_err(StoreError::internal)?,
                        })
                    };
                    rows.iter().map(head).collect()
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn head(client: u128, seq: u64) -> AuditHead {
        AuditHead {
            client: ClientId::from(Uuid::from_u128(client)),
            seq,
            hash: [seq as u8; 32],
        }
    }

    fn at() -> Timestamp {
        "2026-11-24T08:00:00.123456Z".parse().unwrap()
    }

    #[test]
    fn what_is_new_is_added_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit-heads.jsonl");
        assert!(ExportedHeads::read(&path).unwrap().is_empty());
        let mut file = HeadsFile::open(&path).unwrap();
        assert_eq!(file.add(&[head(1, 3), head(2, 1)], at()).unwrap(), 2);
        assert_eq!(file.add(&[head(1, 4), head(2, 1)], at()).unwrap(), 1);
        let mut again = HeadsFile::open(&path).unwrap();
        assert_eq!(again.add(&[head(1, 4), head(2, 1)], at()).unwrap(), 0);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let exported = ExportedHeads::read(&path).unwrap();
        let all: Vec<_> = [head(1, 3), head(2, 1), head(1, 4)]
            .map(|head| (head, at()))
            .to_vec();
        assert_eq!(exported.heads, all);
        assert_eq!(exported.unreadable, [0; 0]);
    }

    #[test]
    fn a_line_cut_short_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit-heads.jsonl");
        HeadsFile::open(&path)
            .unwrap()
            .add(&[head(1, 1)], at())
            .unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{}", &text[..40])).unwrap();
        HeadsFile::open(&path)
            .unwrap()
            .add(&[head(1, 2)], at())
            .unwrap();
        let exported = ExportedHeads::read(&path).unwrap();
        assert_eq!(exported.unreadable, [2]);
        assert_eq!(exported.heads.len(), 2);
    }

    #[test]
    fn it_stays_small_and_keeps_the_highest_of_each_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit-heads.jsonl");
        let mut file = HeadsFile::open(&path).unwrap();
        file.large = 2_000;
        file.add(&[head(2, 90)], at()).unwrap();
        // A chain that was cut and grows again: the export from before is what tells.
        file.add(&[head(2, 5)], at()).unwrap();
        for seq in 1..40 {
            file.add(&[head(1, seq)], at()).unwrap();
            file.large = file.large.min(2_000);
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 2_500);
        let exported = ExportedHeads::read(&path).unwrap().heads;
        assert!(exported.contains(&(head(2, 90), at())));
        assert_eq!(exported.last().unwrap().0, head(1, 39));
    }
}
