//! What FFmpeg says while it prepares an item, or measures it: how loud it is, whether the file is damaged, and at the
//! end why it could not go on.

use playout_domain::loudness::Heard;
use playout_domain::resources::Allowance;
use playout_media::ffmpeg::Invocation;
use playout_media::loudness::Meter;
use playout_media::survey::hints_at_damage;
use tokio::time::timeout;

use super::Inner;
use crate::process::{ExitKind, Limits, Priority, SpawnError, Stderr};

/// Why a run was not listened to until its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unheard {
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    #[error("FFmpeg was started without its messages")]
    Silent,
    #[error("FFmpeg makes no progress")]
    Hung,
}

impl Inner {
    /// Runs an FFmpeg in the background that writes nothing but messages, and hands on each; answers how it ended.
    pub(super) async fn listen(
        &self,
        invocation: Invocation,
        label: String,
        allowance: Allowance,
        mut line: impl FnMut(&str),
    ) -> Result<ExitKind, Unheard> {
        let limits = Limits {
            file_size: Some(0),
            allowance,
            ..Limits::default()
        };
        let spec = self
            .launcher
            .spec(invocation, label)
            .stderr(Stderr::Lines)
            .priority(Priority::Background)
            .limits(limits);
        let mut process = self.launcher.spawn(spec).await?;
        let mut lines = process.take_lines().ok_or(Unheard::Silent)?;
        while let Some(said) = timeout(self.hung, lines.recv())
            .await
            .map_err(|_| Unheard::Hung)?
        {
            line(&said);
        }
        Ok(process.wait().await)
    }
}

/// Levels of what counts as a reason for a failure.
const REASONS: [&str; 3] = ["[error] ", "[fatal] ", "[panic] "];

/// Listens to all of a run's messages.
#[derive(Debug, Default)]
pub(super) struct Listener {
    meter: Meter,
    suspect: bool,
    /// The last complaint.
    complaint: Option<String>,
    /// The last line of any other kind but information.
    other: Option<String>,
}

impl Listener {
    /// Takes a line.
    pub(super) fn line(&mut self, line: &str) {
        self.meter.line(line);
        self.suspect = self.suspect || hints_at_damage(line);
        let reason = REASONS.iter().find_map(|level| line.split_once(level));
        match reason {
            Some((_, text)) => self.complaint = Some(text.trim().to_owned()),
            None if !line.contains("[info]") && !line.trim().is_empty() && !line.contains('=') => {
                self.other = Some(line.trim().to_owned());
            }
            None => {}
        }
    }

    /// Whether it found damage on the way.
    pub(super) fn suspect(&self) -> bool {
        self.suspect
    }

    /// How loud it was; nothing where that was not told.
    pub(super) fn heard(self) -> Option<Heard> {
        self.meter.heard()
    }

    /// Why it failed, as far as it said so.
    pub(super) fn reason(&self) -> Option<&str> {
        self.complaint.as_deref().or(self.other.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_is_the_reason() {
        let mut listener = Listener::default();
        for line in [
            "[info] Output #0, mpegts, to 'pipe:1':",
            "[mov,mp4 @ 0x55] [error] moov atom not found",
            "[libx264 @ 0x55] [info] kb/s:163.31",
            "    I:         -21.4 LUFS",
            "frame=12",
        ] {
            listener.line(line);
        }
        assert_eq!(listener.reason(), Some("moov atom not found"));
        assert!(!listener.suspect());
        listener.line("[h264 @ 0x55] [error] error while decoding MB 3 4");
        assert!(listener.suspect());
    }

    #[test]
    fn a_program_that_tells_no_levels_is_heard_too() {
        let mut listener = Listener::default();
        listener.line("the sky is falling");
        assert_eq!(listener.reason(), Some("the sky is falling"));
    }
}
