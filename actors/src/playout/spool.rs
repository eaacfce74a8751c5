//! The spool: what was published, on disk, so that a restart goes on where the last run stopped.
//!
//! A segment is written before it enters the playlist: first its bytes, then the record that names it,
//! each beside its final name and renamed. So the record never names what is not there, and a crash at
//! any instant leaves the record of some published state, whole.
//!
//! All functions block; they are called from tasks made for that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use playout_domain::Language;
use playout_domain::config::SubtitleSetting;
use playout_domain::units::{Frame, Timeline};
use playout_media::hls::{
    Airing, PlaylistState, Segment, SegmentInfo, segment_name, segment_number, subtitle_name,
    subtitle_number,
};
use playout_media::mux::Counters;
use serde::{Deserialize, Serialize};

const RECORD: &str = "record.json";

/// Everything needed to go on without a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    /// [`Record::VERSION`].
    pub(super) version: u32,
    /// The profile's key; another profile cannot go on.
    pub(super) profile: String,
    /// The clock; another one cannot go on.
    pub(super) timeline: Timeline,
    /// The number of the next segment.
    pub(super) next_sequence: u64,
    /// The first frame not yet published.
    pub(super) next: Frame,
    /// Continuity counters of each stream at that frame.
    pub(super) counters: Vec<Counters>,
    /// SPS and PPS of each rung in hexadecimal.
    pub(super) parameter_sets: Vec<String>,
    /// The rungs' names.
    pub(super) rungs: Vec<String>,
    /// The playlist's window.
    pub(super) playlist: PlaylistState,
    /// Segments that have left the window and are still kept, oldest first.
    pub(super) past: Vec<SegmentInfo>,
    /// How the item airs in the middle of which the last segment ends; told where the channel has subtitles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) airing: Option<Airing>,
}

impl Record {
    /// The version of the record's shape; one of another version is not read.
    pub(super) const VERSION: u32 = 1;

    /// The kept segments, oldest first: those past, then those in the window.
    fn kept(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.past.iter().chain(&self.playlist.segments)
    }
}

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record cannot be read.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// One channel's folder of published segments.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// The spool in `dir`, which is made if it is missing.
    pub(super) fn open(dir: PathBuf) -> Result<Self, SpoolError> {
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        Ok(Self { dir })
    }

    /// What was published last, with the bytes of the kept segments; `None` where nothing ever was.
    /// Segments whose file is missing, or not of the length that the record says, are left out
    /// together with all before them.
    /// What is said in them is read in these languages; a text that is not there is left out.
    pub(super) fn load(
        &self,
        languages: &[SubtitleSetting],
    ) -> Result<Option<(Record, Vec<Segment>)>, SpoolError> {
        let path = self.dir.join(RECORD);
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(at(&path)(e)),
        };
        let damaged = |reason: String| SpoolError::Damaged {
            path: path.clone(),
            reason,
        };
        let mut record: Record =
            serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        if record.version != Record::VERSION {
            return Err(damaged(format!(
                "written by another version ({})",
                record.version
            )));
        }
        let mut segments = Vec::new();
        for info in record.kept() {
            match self.read(&record.rungs, info) {
                Some(segment) => segments.push(Segment {
                    subtitles: self.subtitles(languages, info.sequence),
                    ..segment
                }),
                None => segments.clear(),
            }
        }
        let first = segments
            .first()
            .map_or(record.next_sequence, |s| s.info.sequence);
        record.past.retain(|info| info.sequence >= first);
        while record
            .playlist
            .segments
            .front()
            .is_some_and(|info| info.sequence < first)
        {
            let gone = record.playlist.segments.pop_front();
            record.playlist.discontinuity_sequence +=
                u64::from(gone.is_some_and(|info| info.discontinuity));
        }
        Ok(Some((record, segments)))
    }

    /// Writes `segments`, then the record that names them, then removes what the record does not name.
    pub(super) fn commit(&self, record: &Record, segments: &[Segment]) -> Result<(), SpoolError> {
        for segment in segments {
            for (language, text) in &segment.subtitles {
                self.write(&subtitle_name(language, segment.info.sequence), text)?;
            }
            for (rung, bytes) in record.rungs.iter().zip(&segment.streams) {
                self.write(&segment_name(rung, segment.info.sequence), bytes)?;
            }
        }
        let json = serde_json::to_vec(record).map_err(|e| SpoolError::Damaged {
            path: self.dir.join(RECORD),
            reason: e.to_string(),
        })?;
        self.write(RECORD, &json)?;
        let oldest = record
            .kept()
            .next()
            .map_or(record.next_sequence, |info| info.sequence);
        self.remove_before(oldest)
    }

    fn read(&self, rungs: &[String], info: &SegmentInfo) -> Option<Segment> {
        let read = |(rung, len): (&String, &u64)| {
            let bytes = fs::read(self.dir.join(segment_name(rung, info.sequence))).ok()?;
            (bytes.len() as u64 == *len).then(|| Bytes::from(bytes))
        };
        let streams = rungs
            .iter()
            .zip(&info.bytes)
            .map(read)
            .collect::<Option<Vec<_>>>()?;
        Some(Segment {
            info: info.clone(),
            streams,
            subtitles: Vec::new(),
        })
    }

    fn subtitles(&self, languages: &[SubtitleSetting], sequence: u64) -> Vec<(Language, Bytes)> {
        let read = |setting: &SubtitleSetting| {
            let name = subtitle_name(&setting.language, sequence);
            let text = fs::read(self.dir.join(name)).ok()?;
            Some((setting.language.clone(), Bytes::from(text)))
        };
        languages.iter().filter_map(read).collect()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let (path, beside) = (self.dir.join(name), self.dir.join(format!("{name}.part")));
        fs::write(&beside, bytes).map_err(at(&beside))?;
        fs::rename(&beside, &path).map_err(at(&path))
    }

    fn remove_before(&self, oldest: u64) -> Result<(), SpoolError> {
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))?.flatten() {
            let name = entry.file_name();
            // What a crash has left half-written goes with its segment.
            let whole = name
                .to_str()
                .map(|name| name.strip_suffix(".part").unwrap_or(name));
            let number = whole.and_then(|name| {
                let picture = segment_number(name).map(|(_, sequence)| sequence);
                picture.or_else(|| subtitle_number(name).map(|(_, sequence)| sequence))
            });
            let gone = number.is_some_and(|sequence| sequence < oldest);
            if gone {
                match fs::remove_file(entry.path()) {
                    // It was removed to make room.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(at(&entry.path()))?,
                }
            }
        }
        Ok(())
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SpoolError + '_ {
    |source| SpoolError::Io {
        path: path.to_owned(),
        source,
    }
}
