//! A watched folder, as one look after the other shows it: a file is taken when it has stopped growing, and lost when it
//! is still not there a while after it was there.
//!
//! Pure: who looks says what is there, what distinguishes one state of a file from another, and when that was.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is known of the files of a folder. `S` tells one state of a file from another.
#[derive(Debug)]
pub struct Watch<S> {
    /// So long a file has to stay as it is.
    settle: Duration,
    files: BTreeMap<PathBuf, File<S>>,
    /// Whether the last look has seen everything.
    complete: bool,
}

/// Whether a look has seen everything that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// What it has not seen is not there.
    Complete,
    /// What it has not seen may be there.
    Partial,
}

#[derive(Debug, Clone)]
enum File<S> {
    /// It was in this state at every look since.
    Growing { state: S, since: Duration },
    /// It was taken in this state.
    Taken { state: S },
    /// It was taken, and has not been there since.
    Gone { since: Duration },
}

/// What is to be done, takes before losses: a file that was moved is found before it is missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The file is whole.
    Take(PathBuf),
    /// A file that was taken is gone.
    Lost(PathBuf),
}

impl<S: Eq + Clone> Watch<S> {
    /// A folder whose files have to stay as they are for `settle`; `taken` were taken before.
    pub fn new(settle: Duration, taken: impl IntoIterator<Item = (PathBuf, S)>) -> Self {
        let taken = taken.into_iter();
        Self {
            settle,
            files: taken
                .map(|(path, state)| (path, File::Taken { state }))
                .collect(),
            complete: true,
        }
    }

    /// Whether none of the files that were taken is among `seen`, of some: that is how a folder looks whose disk is
    /// not mounted, too.
    pub fn vanished(&self, seen: &[(PathBuf, S)]) -> bool {
        let mut taken = self
            .files
            .iter()
            .filter(|(_, file)| !matches!(file, File::Growing { .. }))
            .map(|(path, _)| path)
            .peekable();
        let seen: HashSet<&Path> = seen.iter().map(|(path, _)| path.as_path()).collect();
        taken.peek().is_some() && !taken.any(|path| seen.contains(path.as_path()))
    }

    /// What follows from a look at `now` that has found `seen`. Nothing is lost by a look that was not complete.
    pub fn looked(&mut self, now: Duration, seen: Vec<(PathBuf, S)>, sight: Sight) -> Vec<Effect> {
        self.complete = sight == Sight::Complete;
        let mut effects = Vec::new();
        let mut before = std::mem::take(&mut self.files);
        for (path, state) in seen {
            let file = match before.remove(&path) {
                Some(File::Taken { state: taken }) if taken == state => File::Taken { state },
                Some(File::Growing {
                    state: known,
                    since,
                }) if known == state => {
                    if now.saturating_sub(since) < self.settle {
                        File::Growing { state, since }
                    } else {
                        effects.push(Effect::Take(path.clone()));
                        File::Taken { state }
                    }
                }
                _ => File::Growing { state, since: now },
            };
            self.files.insert(path, file);
        }
        for (path, file) in before {
            if !self.complete {
                // It is as it was; the time that it has to be gone begins anew.
                let file = match file {
                    File::Growing { .. } => continue,
                    File::Gone { .. } => File::Gone { since: now },
                    taken @ File::Taken { .. } => taken,
                };
                self.files.insert(path, file);
                continue;
            }
            let since = match file {
                File::Growing { .. } => continue,
                File::Taken { .. } => now,
                File::Gone { since } if now.saturating_sub(since) >= self.settle => {
                    effects.push(Effect::Lost(path));
                    continue;
                }
                File::Gone { since } => since,
            };
            self.files.insert(path, File::Gone { since });
        }
        effects
    }

    /// A file could not be taken: it is tried again when it has stayed as it is once more.
    pub fn again(&mut self, path: &PathBuf, now: Duration) {
        if let Some(file) = self.files.get_mut(path)
            && let File::Taken { state } = file
        {
            let state = state.clone();
            *file = File::Growing { state, since: now };
        }
    }

    /// Whether something is awaited, so that a look is due when a file may have settled.
    pub fn waits(&self) -> bool {
        self.files.values().any(|file| match file {
            File::Growing { .. } => true,
            File::Taken { .. } => false,
            // Nothing that is not complete says more about it.
            File::Gone { .. } => self.complete,
        })
    }

    /// Files that were taken and are there.
    pub fn taken(&self) -> usize {
        let taken = |file: &&File<S>| matches!(file, File::Taken { .. });
        self.files.values().filter(taken).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn seen(files: &[(&str, u64)]) -> Vec<(PathBuf, u64)> {
        files
            .iter()
            .map(|(path, size)| (PathBuf::from(path), *size))
            .collect()
    }

    fn take(path: &str) -> Effect {
        Effect::Take(path.into())
    }

    fn lost(path: &str) -> Effect {
        Effect::Lost(path.into())
    }

    #[test]
    fn a_file_is_taken_once_when_it_has_stopped_growing_and_again_when_it_was_changed() {
        let mut watch = Watch::new(at(5), []);
        for (now, size, effects) in [
            (0, 1, vec![]),
            (4, 2, vec![]),
            (8, 3, vec![]),
            (12, 3, vec![]),
            (13, 3, vec![take("a")]),
            (20, 3, vec![]),
            (30, 4, vec![]),
            (35, 4, vec![take("a")]),
        ] {
            assert_eq!(
                watch.looked(at(now), seen(&[("a", size)]), Sight::Complete),
                effects,
                "at {now}"
            );
        }
        assert!(!watch.waits());
    }

    #[test]
    fn a_file_that_was_moved_is_taken_before_it_is_lost() {
        let mut watch = Watch::new(at(5), seen(&[("a", 1), ("b", 1)]));
        assert_eq!(
            watch.looked(at(0), seen(&[("a", 1), ("c", 1)]), Sight::Complete),
            []
        );
        assert!(watch.waits());
        assert_eq!(
            watch.looked(at(4), seen(&[("a", 1), ("c", 1)]), Sight::Complete),
            []
        );
        let effects = watch.looked(at(5), seen(&[("a", 1), ("c", 1)]), Sight::Complete);
        assert_eq!(effects, [take("c"), lost("b")]);
        assert_eq!(
            watch.looked(at(9), seen(&[("a", 1), ("c", 1)]), Sight::Complete),
            []
        );
    }

    #[test]
    fn what_comes_back_in_time_was_never_lost() {
        let mut watch = Watch::new(at(5), seen(&[("a", 1), ("b", 1)]));
        assert_eq!(watch.looked(at(0), seen(&[("b", 1)]), Sight::Complete), []);
        assert_eq!(
            watch.looked(at(4), seen(&[("a", 1), ("b", 1)]), Sight::Complete),
            []
        );
        assert_eq!(
            watch.looked(at(9), seen(&[("a", 1), ("b", 1)]), Sight::Complete),
            [take("a")]
        );
    }

    #[test]
    fn a_folder_without_any_of_its_files_has_vanished_and_one_that_never_had_any_has_not() {
        let watch = Watch::new(at(5), seen(&[("a", 1), ("b", 1)]));
        assert!(watch.vanished(&seen(&[])) && watch.vanished(&seen(&[("c", 1)])));
        assert!(!watch.vanished(&seen(&[("b", 9)])));
        let mut watch = Watch::new(at(5), []);
        watch.looked(at(0), seen(&[("a", 1)]), Sight::Complete);
        assert!(!watch.vanished(&[]));
    }

    #[test]
    fn what_could_not_be_taken_is_tried_again() {
        let mut watch = Watch::new(at(5), []);
        watch.looked(at(0), seen(&[("a", 1)]), Sight::Complete);
        assert_eq!(
            watch.looked(at(5), seen(&[("a", 1)]), Sight::Complete),
            [take("a")]
        );
        watch.again(&"a".into(), at(5));
        assert_eq!(watch.looked(at(9), seen(&[("a", 1)]), Sight::Complete), []);
        assert_eq!(
            watch.looked(at(10), seen(&[("a", 1)]), Sight::Complete),
            [take("a")]
        );
    }

    #[test]
    fn what_a_look_that_was_not_complete_has_not_seen_is_not_lost() {
        let mut watch = Watch::new(at(5), seen(&[("a", 1), ("b", 1), ("c", 1)]));
        let mut looked =
            |now, files: &[(&str, u64)], sight| watch.looked(at(now), seen(files), sight);
        assert_eq!(looked(0, &[("a", 1)], Sight::Partial), []);
        assert_eq!(looked(60, &[("a", 1)], Sight::Partial), []);
        // It is there as it was: nothing is new.
        assert_eq!(looked(61, &[("a", 1), ("b", 1)], Sight::Complete), []);
        assert_eq!(looked(65, &[("a", 1)], Sight::Partial), []);
        // The time that it has to be gone has begun anew.
        assert_eq!(looked(67, &[("a", 1), ("b", 1)], Sight::Complete), []);
        let lost = vec![lost("c")];
        assert_eq!(looked(71, &[("a", 1), ("b", 1)], Sight::Complete), lost);
        assert!(!watch.waits());
        watch.looked(at(80), seen(&[("a", 1)]), Sight::Complete);
        assert!(watch.waits());
        watch.looked(at(81), seen(&[("a", 1)]), Sight::Partial);
        assert!(!watch.waits(), "no look is due that cannot tell");
    }
}
