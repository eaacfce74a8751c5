//! Removes spool, the oldest first, over all channels. Blocks.
//!
//! What a channel on air published last stays, and every record: numbers never go back. A spool from which
//! segments are missing is one that reaches back less far.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use playout_media::hls::segment_number;

/// What is to be removed.
#[derive(Debug, Clone)]
pub(super) struct Trim {
    /// The folder with a folder for each channel.
    pub(super) channels: PathBuf,
    /// So many of its newest segments each channel keeps that has published lately.
    pub(super) keep: usize,
    /// How long ago is lately.
    pub(super) fresh: Duration,
    /// So many bytes are enough.
    pub(super) missing: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    written: SystemTime,
    path: PathBuf,
    bytes: u64,
}

/// Removes what may go until it is enough; answers how many bytes that were. What cannot be read or removed is
/// passed over: the disk is looked at again soon.
pub(super) fn trim(order: &Trim, now: SystemTime) -> u64 {
    let channels = fs::read_dir(&order.channels)
        .into_iter()
        .flatten()
        .flatten();
    let mut pieces: Vec<Piece> = channels
        .flat_map(|channel| removable(&channel.path().join("spool"), order, now))
        .collect();
    pieces.sort();
    let mut removed = 0;
    for piece in pieces {
        if removed >= order.missing {
            break;
        }
        match fs::remove_file(&piece.path) {
            Ok(()) => removed += piece.bytes,
            Err(error) => {
                tracing::debug!(file = %piece.path.display(), %error, "spool is not removed");
            }
        }
    }
    removed
}

/// The segments of one spool that may go.
fn removable(spool: &Path, order: &Trim, now: SystemTime) -> Vec<Piece> {
    let mut segments: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
    for entry in fs::read_dir(spool).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(segment_number);
        let file = entry
            .metadata()
            .and_then(|file| Ok((file.modified()?, file.len())));
        if let (Some((_, number)), Ok((written, bytes))) = (number, file) {
            let path = entry.path();
            segments.entry(number).or_default().push(Piece {
                written,
                path,
                bytes,
            });
        }
    }
    let newest = segments.values().flatten().map(|piece| piece.written).max();
    // A clock that was set back makes it new.
    let live = newest.is_some_and(|newest| {
        now.duration_since(newest)
            .map_or(true, |age| age < order.fresh)
    });
    let kept: BTreeSet<u64> = match live {
        true => segments.keys().rev().take(order.keep).copied().collect(),
        false => BTreeSet::new(),
    };
    let may_go = segments
        .into_iter()
        .filter(|(number, _)| !kept.contains(number));
    may_go.flat_map(|(_, pieces)| pieces).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    /// A channel's spool: segments of 10 bytes, one every 4 s, the newest `ago` seconds old.
    fn channel(folder: &Path, name: &str, numbers: std::ops::RangeInclusive<u64>, ago: u64) {
        let spool = folder.join(name).join("spool");
        fs::create_dir_all(&spool).unwrap();
        fs::write(spool.join("record.json"), "{}").unwrap();
        let last = *numbers.end();
        for number in numbers {
            let path = spool.join(playout_media::hls::segment_name("240p", number));
            fs::write(&path, [0; 10]).unwrap();
            let written =
                SystemTime::UNIX_EPOCH + NOW - Duration::from_secs(ago + 4 * (last - number));
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(written)
                .unwrap();
        }
    }

    fn left(folder: &Path, name: &str) -> Vec<u64> {
        let spool = fs::read_dir(folder.join(name).join("spool")).unwrap();
        let names = spool.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.collect();
        assert!(names.contains(&"record.json".to_owned()), "{names:?}");
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| Some(segment_number(name)?.1))
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn run(folder: &Path, keep: usize, missing: u64) -> u64 {
        let order = Trim {
            channels: folder.to_owned(),
            keep,
            fresh: Duration::from_secs(80),
            missing,
        };
        trim(&order, SystemTime::UNIX_EPOCH + NOW)
    }

    #[test]
    fn the_oldest_goes_first_over_all_channels_and_no_more_than_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        channel(at, "off", 1..=5, 3_600);
        channel(at, "live", 100..=119, 2);
        assert_eq!(run(at, 10, 35), 40);
        assert_eq!(left(at, "off"), [5], "it was published an hour ago");
        assert_eq!(left(at, "live").len(), 20);
        assert_eq!(run(at, 10, 30), 30);
        assert!(left(at, "off").is_empty());
        assert_eq!(left(at, "live").first(), Some(&102));
    }

    #[test]
    fn what_a_live_channel_published_last_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        channel(at, "one", 100..=119, 2);
        channel(at, "two", 7..=9, 4);
        assert_eq!(run(at, 10, u64::MAX), 100);
        assert_eq!(left(at, "one"), (110..=119).collect::<Vec<_>>());
        assert_eq!(left(at, "two"), [7, 8, 9]);
        assert_eq!(run(at, 3, u64::MAX), 70);
        assert_eq!(left(at, "one"), [117, 118, 119]);
        assert_eq!(run(at, 3, u64::MAX), 0, "there is nothing more");
        assert_eq!(run(&at.join("nowhere"), 3, u64::MAX), 0);
    }
}
