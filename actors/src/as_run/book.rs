//! One channel's as-run log: what is open, and what the database does not have yet. Shared by whoever airs the channel, asks about it
//! and writes it to the database.
//!
//! A segment's rows are in the file before the segment is in the record of what was published, and given to the database after
//! that: so what was published is never missing, and what was not is never told. Who goes on after a crash takes the last line
//! that tells of no more than was published.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playout_domain::as_run::{Entry, Log, Order, Reason, Row, Seen, Shown};
use playout_domain::plan::{Plan, PlanEntry};
use playout_domain::{AsRunId, ChannelId, Frame, MediaId, Timeline};

use super::journal::{Journal, Line};

/// Rows of a channel that wait for the database at most: a day and a half of half minutes. The oldest give way.
const KEPT: usize = 5_000;
/// Planned entries that are told one by one of a time off air; the rest is one row.
const MOST_AWAY: usize = 1_000;

/// Answers what items are called.
pub(crate) type Titles = Arc<dyn Fn(MediaId) -> Option<String> + Send + Sync>;

/// Which playout tells; what an earlier one tells is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session(u64);

/// How a playout begins.
pub(crate) struct Beginning<'a> {
    pub(crate) timeline: Timeline,
    pub(crate) plan: &'a Plan,
    /// Everything before this frame was published, where that is known.
    pub(crate) published: Option<Frame>,
    /// The first frame to go out.
    pub(crate) start: Frame,
    /// Frames that may be noted and not published.
    pub(crate) noted: u64,
    /// When another daemon took the channel, the last time.
    pub(crate) taken_at: Option<jiff::Timestamp>,
}

/// See the module's head.
pub(crate) struct Book {
    channel: ChannelId,
    titles: Titles,
    /// Held while the file is read and written, before the pages.
    journal: Mutex<Journal>,
    /// Held for moments.
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    timeline: Option<Timeline>,
    log: Log,
    /// Rows that wait for the database at most.
    most: usize,
    /// Complete, and not known to be published.
    noted: Vec<Entry>,
    /// What the database does not have.
    unsent: VecDeque<Entry>,
    /// What was never written, because it did not fit.
    lost: u64,
    /// Counts playouts.
    session: u64,
    /// Whether what the file has was taken in.
    read: bool,
    /// The channel is deleted: nothing is written to its folder.
    closed: bool,
    /// Whether the file cannot be written, and that was told.
    failing: bool,
}

impl Book {
    pub(super) fn new(channel: ChannelId, path: PathBuf, titles: Titles) -> Self {
        Self {
            channel,
            titles,
            journal: Mutex::new(Journal::new(path)),
            pages: Mutex::new(Pages {
                most: KEPT,
                ..Pages::default()
            }),
        }
    }

    /// The same, where fewer rows may wait.
    #[cfg(test)]
    pub(super) fn keeping(self, most: usize) -> Self {
        self.pages().most = most;
        self
    }

    /// Takes in what an earlier run has left. Blocks.
    pub(super) fn take_in(&self) {
        let journal = lock(&self.journal);
        if self.pages().read {
            return;
        }
        let lines = self.read(&journal);
        let mut pages = self.pages();
        pages.read = true;
        let Some((last, before)) = lines.split_last() else {
            return;
        };
        pages.timeline = last.timeline;
        pages.log = last.log.clone();
        let rows = before.iter().flat_map(|line| line.rows.iter().cloned());
        pages.keep(rows.collect());
        // It may never have been published.
        pages.noted = last.rows.clone();
    }

    /// A playout begins: goes on from what was published, and tells what did not go out since. Blocks.
    pub(crate) fn begin(&self, beginning: &Beginning<'_>) -> Session {
        let mut journal = lock(&self.journal);
        let lines = self.read(&journal);
        let mut pages = self.pages();
        pages.read = true;
        pages.session += 1;
        let memory = std::mem::take(&mut pages.log);
        let told = lines.last().map(|line| &line.log).unwrap_or(&memory).next();
        let bound = match (told, beginning.published) {
            (Some(told), Some(published))
                if told > published && told.since(published) <= beginning.noted =>
            {
                published
            }
            _ => beginning.start,
        };
        let same = |timeline: Option<Timeline>| timeline == Some(beginning.timeline);
        let fits =
            |line: &Line| !same(line.timeline) || line.log.next().is_none_or(|next| next <= bound);
        let goes_on = lines.iter().rposition(fits);
        let left = lines.into_iter().take(goes_on.map_or(0, |n| n + 1));
        let mut rows = Vec::new();
        let (mut log, mut timeline) = (None, pages.timeline);
        for line in left {
            rows.extend(line.rows);
            (log, timeline) = (Some(line.log), line.timeline);
        }
        // What waits in memory and was never in the file.
        let noted = std::mem::take(&mut pages.noted);
        if pages.failing {
            let published = beginning.timeline.wall(bound);
            rows.extend(noted.into_iter().filter(|entry| entry.until <= published));
        }
        pages.keep(rows);
        // Memory knows more where the file could not be written.
        let knows_more = memory.next() > log.as_ref().and_then(Log::next);
        let usable = memory.next().is_none_or(|next| next <= bound);
        let mut log = match log {
            None if usable => memory,
            Some(_) if usable && knows_more => {
                timeline = pages.timeline;
                memory
            }
            log => log.unwrap_or_default().heeding(&memory),
        };
        let aired_elsewhere = |timeline: Timeline, next: Frame| {
            let taken_at = beginning.taken_at;
            taken_at.is_some_and(|taken_at| taken_at > timeline.wall(next))
        };
        let mut completed = Vec::new();
        if let Some((timeline, next)) = timeline.zip(log.next())
            && (timeline != beginning.timeline || aired_elsewhere(timeline, next))
        {
            let rows = log.break_off().into_iter();
            completed.extend(rows.map(|row| self.entry(&timeline, row)));
        }
        if let Some(next) = log.next() {
            let reason = log.away().unwrap_or(Reason::DaemonAway);
            for (frames, planned) in away(beginning.plan, next..beginning.start) {
                let rows = log.see(&nothing(frames, planned, reason)).into_iter();
                completed.extend(rows.map(|row| self.entry(&beginning.timeline, row)));
            }
        }
        pages.keep(completed);
        pages.timeline = Some(beginning.timeline);
        pages.log = log;
        let line = pages.whole();
        let session = Session(pages.session);
        drop(pages);
        self.written(journal.rewrite(&line));
        session
    }

    /// Notes what went out. Blocks. It waits to be [published](Self::published).
    pub(crate) fn note(&self, session: Session, seen: &[Seen]) {
        let mut journal = lock(&self.journal);
        let (long, line) = {
            let mut pages = self.pages();
            let Some(timeline) = pages.timeline.filter(|_| pages.session == session.0) else {
                return;
            };
            if pages.closed {
                return;
            }
            let long = journal.is_long().then(|| pages.whole());
            let mut rows: Vec<Row> = Vec::new();
            for seen in seen {
                rows.extend(pages.log.see(seen));
            }
            let rows = rows.into_iter();
            let rows: Vec<Entry> = rows.map(|row| self.entry(&timeline, row)).collect();
            pages.noted.extend(rows.iter().cloned());
            (long, pages.line(rows))
        };
        if let Some(long) = long {
            self.written(journal.rewrite(&long));
        }
        self.written(journal.append(&line));
    }

    /// What was noted is published.
    pub(crate) fn published(&self, session: Session) {
        let mut pages = self.pages();
        if pages.session == session.0 {
            let noted = std::mem::take(&mut pages.noted);
            pages.keep(noted);
        }
    }

    /// The channel leaves the air: what is on air ends. Whatever its playout tells now is stale. Blocks.
    pub(crate) fn leave(&self, reason: Reason) {
        let mut journal = lock(&self.journal);
        let line = {
            let mut pages = self.pages();
            pages.session += 1;
            let rows = pages.log.leave(reason).into_iter();
            let Some(timeline) = pages.timeline.filter(|_| !pages.closed) else {
                return;
            };
            let rows: Vec<Entry> = rows.map(|row| self.entry(&timeline, row)).collect();
            let noted = std::mem::take(&mut pages.noted);
            pages.keep(noted);
            pages.keep(rows.clone());
            pages.line(rows)
        };
        self.written(journal.append(&line));
    }

    /// Why the channel is off air for a moment, if it is.
    pub(crate) fn away(&self, reason: Reason) {
        self.pages().log.away_for(reason);
    }

    /// Somebody has asked for something.
    pub(crate) fn order(&self, order: Order) {
        self.pages().log.order(order);
    }

    /// The channel is deleted: its folder is nobody's any more. Waits for who writes there. Blocks.
    pub(crate) fn close(&self) {
        let _written = lock(&self.journal);
        self.pages().closed = true;
    }

    /// Rows that the database does not have, oldest first, and, last, what goes on.
    pub(super) fn rows(&self) -> (Vec<Entry>, Vec<Entry>) {
        let pages = self.pages();
        let complete = pages.unsent.iter().chain(&pages.noted).cloned().collect();
        (complete, self.open(&pages))
    }

    /// Rows to be written to the database, `most` at most.
    pub(super) fn unsent(&self, most: usize) -> Vec<Entry> {
        self.pages().unsent.iter().take(most).cloned().collect()
    }

    /// What goes on, for the database.
    pub(super) fn going_on(&self) -> Vec<Entry> {
        self.open(&self.pages())
    }

    /// The database has these.
    pub(super) fn sent(&self, ids: &[AsRunId]) {
        self.pages().unsent.retain(|entry| !ids.contains(&entry.id));
    }

    /// Whether nothing of it is of use any more.
    pub(super) fn is_done(&self) -> bool {
        let pages = self.pages();
        pages.closed && pages.unsent.is_empty()
    }

    /// What was never written, because too much waited.
    pub(super) fn lost(&self) -> u64 {
        self.pages().lost
    }

    fn open(&self, pages: &Pages) -> Vec<Entry> {
        let Some(timeline) = pages.timeline else {
            return Vec::new();
        };
        let rows = pages.log.open_rows().into_iter();
        rows.map(|row| self.entry(&timeline, row)).collect()
    }

    fn entry(&self, timeline: &Timeline, row: Row) -> Entry {
        Entry::new(self.channel, timeline, row, |media| (self.titles)(media))
    }

    fn read(&self, journal: &Journal) -> Vec<Line> {
        journal.read().unwrap_or_else(|error| {
            tracing::error!(channel = %self.channel, %error, "what the as-run log had noted cannot be read");
            Vec::new()
        })
    }

    /// Told once, until it works again: a channel stays on air, and its log in memory.
    fn written(&self, done: std::io::Result<()>) {
        let failing = done.is_err();
        let was = std::mem::replace(&mut self.pages().failing, failing);
        match done {
            Err(error) if !was => {
                tracing::error!(channel = %self.channel, %error, "the as-run log is kept in memory only; a crash would lose what the database does not have");
            }
            _ => {}
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        lock(&self.pages)
    }
}

impl Pages {
    /// Keeps rows for the database. One that is there already is replaced.
    fn keep(&mut self, rows: Vec<Entry>) {
        if rows.is_empty() {
            return;
        }
        let mut all: BTreeMap<AsRunId, Entry> = self
            .unsent
            .drain(..)
            .map(|entry| (entry.id, entry))
            .collect();
        all.extend(rows.into_iter().map(|entry| (entry.id, entry)));
        while all.len() > self.most {
            all.pop_first();
            self.lost += 1;
        }
        self.unsent = all.into_values().collect();
    }

    fn line(&self, rows: Vec<Entry>) -> Line {
        Line {
            timeline: self.timeline,
            log: self.log.clone(),
            rows,
        }
    }

    /// Everything that a file has to hold.
    fn whole(&self) -> Line {
        self.line(self.unsent.iter().chain(&self.noted).cloned().collect())
    }
}

/// What was planned at frames in which nothing went out, piece by piece.
fn away(plan: &Plan, frames: Range<Frame>) -> Vec<(Range<Frame>, Option<PlanEntry>)> {
    let mut pieces = Vec::new();
    let mut at = frames.start;
    if frames.is_empty() {
        return pieces;
    }
    for entry in plan.entries_from(frames.start, frames.end).take(MOST_AWAY) {
        if at < entry.start {
            pieces.push((at..entry.start, None));
        }
        let (start, end) = (entry.start.max(at), entry.end.min(frames.end));
        pieces.push((start..end, Some(entry)));
        at = end;
    }
    if at < frames.end {
        pieces.push((at..frames.end, None));
    }
    pieces
}

fn nothing(frames: Range<Frame>, planned: Option<PlanEntry>, reason: Reason) -> Seen {
    Seen {
        at: frames.start,
        frames: frames.end.since(frames.start),
        shown: Shown::Nothing,
        planned,
        reason,
        detail: None,
        encoded: false,
        gone: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
