//! How far an encoder has come, how long the rest will take, and when that is worth telling.

use std::time::Duration;

use playout_media::ffmpeg::Progress;
use tokio::time::Instant;

/// The least time between two events about the progress of one job.
const EVERY: Duration = Duration::from_secs(1);

/// How far the encoder has come, and how long the rest will take.
pub(super) struct Meter {
    progress: Progress,
    expected: Option<u64>,
    frames: u64,
    began: Instant,
}

/// When progress was told last.
#[derive(Default)]
pub(super) struct Telling(Option<Instant>);

impl Telling {
    /// Whether it is worth telling again.
    pub(super) fn is_time(&mut self) -> bool {
        let due = self.0.is_none_or(|told| told.elapsed() >= EVERY);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

impl Meter {
    pub(super) fn new(expected: Option<u64>) -> Self {
        Self {
            progress: Progress::default(),
            expected,
            frames: 0,
            began: Instant::now(),
        }
    }

    /// Takes a line of FFmpeg's report; answers whether it tells of new frames.
    pub(super) fn line(&mut self, line: &str) -> bool {
        match self.progress.line(line) {
            Some(report) if report.frame > self.frames => {
                self.frames = report.frame;
                true
            }
            _ => false,
        }
    }

    /// In percent, below 100 until it is done; 0 while the length is unknown.
    pub(super) fn percent(&self) -> f64 {
        let Some(expected) = self.expected.filter(|expected| *expected > 0) else {
            return 0.0;
        };
        percent(self.frames as f64 / expected as f64)
    }

    pub(super) fn eta(&self) -> Option<Duration> {
        let left = self.expected?.saturating_sub(self.frames);
        let each = self.began.elapsed().as_secs_f64() / self.frames.max(1) as f64;
        Duration::try_from_secs_f64(each * left as f64).ok()
    }

    /// Frames a second.
    pub(super) fn speed(&self) -> Option<f64> {
        let elapsed = self.began.elapsed().as_secs_f64();
        (self.frames > 0 && elapsed > 0.0).then(|| self.frames as f64 / elapsed)
    }
}

/// A share in percent, to a tenth, and below 100: it is not done yet.
pub(super) fn percent(share: f64) -> f64 {
    (share * 1000.0).round().min(999.0) / 10.0
}
