//! One FFmpeg process whose standard output is taken apart into GOPs as they are wanted.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::health::Pulse;
use playout_domain::units::Ticks90k;
use playout_media::demux::Demuxer;
use playout_media::gop::Gop;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::SourceError;
use crate::playout::gate::StartGate;
use crate::process::{Begun, ExitKind, Launcher, Process, Role, Running as Processes, Shown, Spec};

/// What a transcode may take until its first media: opening, seeking, and the encoder's look-ahead.
pub(in crate::playout) const FIRST_MEDIA: Duration = Duration::from_secs(8);
/// How long a process may take to end when it has closed its output.
const LAST: Duration = Duration::from_secs(5);
/// Bytes read at a time.
const READ: usize = 256 * 1024;

/// What is started, and how.
pub(in crate::playout) struct Start {
    pub(in crate::playout) spec: Spec,
    /// The first GOP is the first with its key frame at or after this, on the item's clock.
    pub(in crate::playout) from: Ticks90k,
    /// When its first media is on air.
    pub(in crate::playout) due: Instant,
    /// How long the first media may take.
    pub(in crate::playout) first: Duration,
    /// How long it may deliver nothing while media is wanted, before it counts as hung.
    pub(in crate::playout) patience: Duration,
    /// Under which number and with which input the process is shown.
    pub(in crate::playout) run: u64,
    /// Whether it encodes pictures.
    pub(in crate::playout) transcodes: bool,
    pub(in crate::playout) input: String,
}

/// A source process, from the order to start it on. Dropping it kills the process.
#[derive(Debug)]
pub(in crate::playout) struct FfmpegSource {
    stage: Stage,
    demuxer: Demuxer,
    buffer: Vec<u8>,
    /// Media is a sign of life, while it is wanted. See [`Start::patience`].
    pulse: Pulse<Instant>,
    ended: bool,
}

#[derive(Debug)]
enum Stage {
    /// Waits for its turn, then for its first output.
    Starting(Starting),
    Running(Box<Running>),
}

#[derive(Debug)]
struct Starting(JoinHandle<Result<Running, SourceError>>);

#[derive(Debug)]
struct Running {
    process: Process,
    stdout: pipe::Receiver,
    /// Shows the process for as long as it is here.
    shown: Shown,
}

impl FfmpegSource {
    /// Orders a process. Whatever goes wrong is said by [`FfmpegSource::next`].
    pub(in crate::playout) fn start(
        launcher: &Launcher,
        gate: &StartGate,
        processes: &Processes,
        start: Start,
    ) -> Self {
        let demuxer = Demuxer::starting_at(start.from);
        let pulse = Pulse::new(start.patience);
        let begun = begin(launcher.clone(), gate.clone(), processes.clone(), start);
        Self {
            stage: Stage::Starting(Starting(tokio::spawn(begun))),
            demuxer,
            buffer: Vec::with_capacity(READ),
            pulse,
            ended: false,
        }
    }

    /// The next GOP; `None` when the process has ended well and everything was handed over: the last GOP is
    /// what is left then, be it whole or not. Cancel-safe: what was read is kept.
    pub(in crate::playout) async fn next(&mut self) -> Result<Option<Gop>, SourceError> {
        loop {
            if let Some(gop) = self.demuxer.next_gop() {
                self.pulse.felt();
                return Ok(Some(gop));
            }
            if self.ended {
                return Ok(None);
            }
            match &mut self.stage {
                Stage::Starting(Starting(task)) => {
                    let begun = task.await.map_err(|_| SourceError::Interrupted)?;
                    self.stage = Stage::Running(Box::new(begun?));
                }
                Stage::Running(running) => {
                    self.buffer.clear();
                    let hangs = self.pulse.wanted(Instant::now());
                    let reading = running.stdout.read_buf(&mut self.buffer);
                    let hung = SourceError::hung(self.pulse.patience());
                    let read = tokio::time::timeout_at(hangs, reading).await;
                    match read.map_err(|_| hung)? {
                        Ok(n) if n > 0 => {
                            self.pulse.felt();
                            running.shown.moved(n as u64, Timestamp::now());
                            self.demuxer.push(&self.buffer)?;
                        }
                        Ok(_) | Err(_) => {
                            running.end().await?;
                            self.demuxer.finish(true)?;
                            self.ended = true;
                        }
                    }
                }
            }
        }
    }
}

/// Starts the process in its turn, and waits for its first output, its end, or in vain.
async fn begin(
    launcher: Launcher,
    gate: StartGate,
    processes: Processes,
    start: Start,
) -> Result<Running, SourceError> {
    let permit = gate.enter(start.due).await;
    let mut process = launcher.spawn(start.spec).await?;
    let Some(stdout) = process.take_stdout() else {
        return Err(SourceError::Exited {
            exit: ExitKind::Lost,
            tail: "its output is not piped".into(),
        });
    };
    let begun = Begun {
        role: Role::Source,
        transcodes: start.transcodes,
        run: start.run,
        pid: process.pid(),
        input: start.input,
    };
    let shown = processes.show(begun, Timestamp::now());
    // Also when it has closed its output: what that means is seen when it is read.
    let readable = tokio::time::timeout(start.first, stdout.readable()).await;
    drop(permit);
    readable.map_err(|_| SourceError::hung(start.first))?.ok();
    Ok(Running {
        process,
        stdout,
        shown,
    })
}

impl Running {
    async fn end(&mut self) -> Result<(), SourceError> {
        let last = tokio::time::timeout(LAST, self.process.last_words()).await;
        let (exit, tail) = last.map_err(|_| SourceError::hung(LAST))?;
        if exit.success() {
            Ok(())
        } else {
            Err(SourceError::Exited { exit, tail })
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
