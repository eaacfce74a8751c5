//! The file in which a channel's as-run log lives until the database has it: a line for each segment, with the log as it stands
//! at the segment's end and the rows that were completed by then. Lines are added; now and then the file is written anew,
//! beside and renamed. So a crash at any instant leaves whole lines, and at most one that is torn, at the end.
//!
//! All functions block.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use playout_domain::Timeline;
use playout_domain::as_run::{Entry, Log};
use serde::{Deserialize, Serialize};

/// The file in a channel's folder.
pub(super) const NAME: &str = "as-run.jsonl";
/// A file that is no longer than this is not worth writing anew.
const SHORT: u64 = 256 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    /// Where the log's frames lie in wall time; nothing before anything was told of.
    pub(super) timeline: Option<Timeline>,
    /// The log at the end of the segment.
    pub(super) log: Log,
    /// What was completed since the line before.
    pub(super) rows: Vec<Entry>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// How long the file is, and how long it was when it was written anew.
    bytes: u64,
    fresh: u64,
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            bytes: 0,
            fresh: 0,
        }
    }

    /// The lines, oldest first, up to one that cannot be read.
    pub(super) fn read(&self) -> io::Result<Vec<Line>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines
            .map_while(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// Adds a line.
    pub(super) fn append(&mut self, line: &Line) -> io::Result<()> {
        let text = text(line)?;
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Whether it has become long since it was written anew.
    pub(super) fn is_long(&self) -> bool {
        self.bytes > SHORT + 2 * self.fresh
    }

    /// Writes the file anew, with this line alone.
    pub(super) fn rewrite(&mut self, line: &Line) -> io::Result<()> {
        let text = text(line)?;
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("part");
        fs::write(&beside, &text)?;
        fs::rename(&beside, &self.path)?;
        self.bytes = text.len() as u64;
        self.fresh = self.bytes;
        Ok(())
    }
}

fn text(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(n: i64) -> Line {
        let timeline = Timeline {
            epoch: jiff::Timestamp::from_second(n).unwrap(),
            frame_rate: playout_domain::FrameRate::F25,
            clock_origin: playout_domain::Ticks90k::new(0),
        };
        Line {
            timeline: Some(timeline),
            log: Log::default(),
            rows: Vec::new(),
        }
    }

    #[test]
    fn whole_lines_are_read_and_a_torn_one_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("channel").join(NAME);
        let mut journal = Journal::new(path.clone());
        assert_eq!(journal.read().unwrap(), []);
        journal.rewrite(&line(1)).unwrap();
        journal.append(&line(2)).unwrap();
        assert_eq!(journal.read().unwrap(), [line(1), line(2)]);
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() / 2 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let read = journal.read().unwrap();
            // Without its end of line it is whole.
            assert_eq!(read.len(), if cut == 1 { 2 } else { 1 }, "{cut}");
        }
        assert!(!journal.is_long());
        while !journal.is_long() {
            journal.append(&line(3)).unwrap();
        }
        journal.rewrite(&line(4)).unwrap();
        assert_eq!(journal.read().unwrap(), [line(4)]);
    }
}
