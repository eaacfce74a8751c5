//! One FFmpeg process whose standard output is taken apart into GOPs as they are wanted.

use std::time::Duration;

use playout_domain::units::Ticks90k;
use playout_media::demux::Demuxer;
use playout_media::gop::Gop;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::SourceError;
use crate::process::{ExitKind, Launcher, Process, Spec};

/// No media for so long while media is wanted: the process hangs.
pub(in crate::playout) const HUNG: Duration = Duration::from_secs(5);
/// What a transcode may take until its first media: opening, seeking, and the encoder's look-ahead.
pub(in crate::playout) const FIRST_MEDIA: Duration = Duration::from_secs(8);
/// Bytes read at a time.
const READ: usize = 256 * 1024;

/// A running source process. Dropping it kills the process.
#[derive(Debug)]
pub(in crate::playout) struct FfmpegSource {
    process: Process,
    stdout: pipe::Receiver,
    demuxer: Demuxer,
    buffer: Vec<u8>,
    /// How long the first media may take.
    first: Duration,
    /// Whether any media has come.
    begun: bool,
    /// Since when media is wanted and none has come.
    wanted: Option<Instant>,
    ended: bool,
}

impl FfmpegSource {
    /// Starts a process; its first GOP is the first with its key frame at or after `from`, and comes within
    /// `first`, or the process hangs.
    pub(in crate::playout) async fn start(
        launcher: &Launcher,
        spec: Spec,
        from: Ticks90k,
        first: Duration,
    ) -> Result<Self, SourceError> {
        let mut process = launcher.spawn(spec).await?;
        let Some(stdout) = process.take_stdout() else {
            return Err(SourceError::Exited {
                exit: ExitKind::Lost,
                tail: "its output is not piped".into(),
            });
        };
        let demuxer = Demuxer::starting_at(from);
        Ok(Self {
            process,
            stdout,
            demuxer,
            buffer: Vec::with_capacity(READ),
            first,
            begun: false,
            wanted: None,
            ended: false,
        })
    }

    /// The process's id.
    pub(in crate::playout) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The next GOP; `None` when the process has ended well and everything was handed over.
    /// Cancel-safe: what was read is kept.
    pub(in crate::playout) async fn next(&mut self) -> Result<Option<Gop>, SourceError> {
        loop {
            if let Some(gop) = self.demuxer.next_gop() {
                self.wanted = None;
                return Ok(Some(gop));
            }
            if self.ended {
                return Ok(None);
            }
            self.buffer.clear();
            let patience = if self.begun { HUNG } else { self.first };
            let since = *self.wanted.get_or_insert_with(Instant::now);
            let read =
                tokio::time::timeout_at(since + patience, self.stdout.read_buf(&mut self.buffer))
                    .await;
            match read {
                Err(_) => {
                    return Err(SourceError::Hung {
                        seconds: patience.as_secs(),
                    });
                }
                Ok(Ok(n)) if n > 0 => {
                    self.begun = true;
                    self.wanted = None;
                    self.demuxer.push(&self.buffer)?;
                }
                Ok(Ok(_) | Err(_)) => self.end().await?,
            }
        }
    }

    async fn end(&mut self) -> Result<(), SourceError> {
        let last = tokio::time::timeout(HUNG, self.process.last_words()).await;
        let (exit, tail) = last.map_err(|_| SourceError::Hung {
            seconds: HUNG.as_secs(),
        })?;
        if !exit.success() {
            return Err(SourceError::Exited { exit, tail });
        }
        self.demuxer.finish(true)?;
        self.ended = true;
        Ok(())
    }
}
