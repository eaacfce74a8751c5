//! One connection: a process that pushes, fed in real time, watched for progress, and ended gently.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use jiff::Timestamp;
use playout_domain::StreamKey;
use playout_domain::destination::ServerUrl;
use playout_domain::output::{Connection, FailureKind};
use playout_domain::units::FrameRate;
use playout_media::ffmpeg::{Progress, Publish, publish, rtmp_failure};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::board::Quality;
use super::output::{Shared, Target};
use crate::playout::Aired;
use crate::process::{Begun, ExitKind, Process, Role, Shown, Stderr, Stdin};

/// How often a piece of a GOP is written.
const SLICE: Duration = Duration::from_millis(100);
/// Of the pipe: enough for a slice, so that a server that stops taking media is noticed.
const PIPE: usize = 256 << 10;
/// How long a process may take to take the rest of a GOP, and then to take leave of its server.
const LEAVE: Duration = Duration::from_secs(3);
/// A connection that was ended is gone after so long at most.
pub(super) const ENDED_WITHIN: Duration = Duration::from_secs(2 * LEAVE.as_secs() + 1);
/// How long the first media may take to arrive, once it was given.
const CONNECT: Duration = Duration::from_secs(20);

/// What a connection says.
#[derive(Debug)]
pub(super) enum Said {
    /// The server takes media.
    Delivering,
    /// It took so many bytes since it said so last.
    Took { bytes: u64 },
    /// Another item begins where the session may end: what was not given to the server is for the next one.
    SessionOver(Handed),
    /// It is over, and nobody asked for it.
    Failed { kind: FailureKind, detail: String },
}

/// What a session leaves to the one after it.
#[derive(Debug)]
pub(super) struct Handed {
    /// The GOP that an item begins with.
    next: Arc<Aired>,
    /// What follows it.
    flow: mpsc::Receiver<Arc<Aired>>,
}

/// How a connection is made.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Counts attempts: which server, which of its addresses, which size of the send buffer.
    pub(super) variant: u32,
    /// What is sent.
    pub(super) quality: Quality,
    /// The session ends with an item that ends after this.
    pub(super) session_ends_from: Instant,
    /// Where it goes on, instead of with what is on air.
    pub(super) handed: Option<Handed>,
}

/// A connection. Dropping it ends it, gently, in the background.
#[derive(Debug)]
pub(super) struct Push {
    /// Dropped to end it.
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Push {
    /// Makes a connection to `target` once `before` has ended: servers take one at a time under one key.
    pub(super) fn start(
        shared: Arc<Shared>,
        target: Target,
        connection: Connection,
        parameters: Parameters,
        before: Option<JoinHandle<()>>,
        says: mpsc::UnboundedSender<(Connection, Said)>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // It ends in bounded time, however it ends.
                drop(before.await);
            }
            let Parameters {
                variant,
                quality,
                session_ends_from,
                handed,
            } = parameters;
            let attempt = Attempt {
                shared,
                target,
                connection,
                variant,
                quality,
                session_ends_from,
                says,
                delivers: AtomicBool::new(false),
            };
            attempt.run(handed, stopped).await;
        });
        Self { _stop: stop, task }
    }

    /// Ends it; the answer is there when its process is gone.
    pub(super) fn end(self) -> JoinHandle<()> {
        self.task
    }
}

type Failure = (FailureKind, String);

/// How a connection ends that nobody asked to end.
enum End {
    Failed(Failure),
    SessionOver(Handed),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Attempt {
    shared: Arc<Shared>,
    target: Target,
    connection: Connection,
    variant: u32,
    quality: Quality,
    session_ends_from: Instant,
    says: mpsc::UnboundedSender<(Connection, Said)>,
    /// Whether the server has taken media.
    delivers: AtomicBool,
}

impl Attempt {
    async fn run(self, handed: Option<Handed>, mut stopped: oneshot::Receiver<()>) {
        let opened = tokio::select! {
            // Nobody sends: the sender is dropped.
            _ = &mut stopped => return,
            opened = self.open() => opened,
        };
        let failed = match opened {
            Ok(mut open) => {
                let end = tokio::select! {
                    _ = &mut stopped => None,
                    end = self.drive(&mut open, handed) => Some(end),
                };
                let failed = match end {
                    Some(End::SessionOver(handed)) => {
                        // At once: the next session waits for this one's end by itself.
                        self.say(Said::SessionOver(handed));
                        None
                    }
                    Some(End::Failed(failed)) => Some(failed),
                    None => None,
                };
                open.finish().await;
                if timeout(LEAVE, open.process.wait()).await.is_err() {
                    open.process.terminate(Duration::ZERO).await;
                }
                failed
            }
            Err(failed) => Some(failed),
        };
        if let Some((kind, detail)) = failed {
            self.say(Said::Failed { kind, detail });
        }
    }

    fn say(&self, said: Said) {
        // The output may be gone already.
        let _ = self.says.send((self.connection, said));
    }

    async fn open(&self) -> Result<Open, Failure> {
        let key = self.shared.key(&self.target).await?;
        // Two attempts at one server, then two at the next.
        let variant = self.variant as usize;
        let servers = self.target.platform.preset().alternatives(&self.target.url);
        let server = &servers[variant / 2 % servers.len()];
        let addresses = self.shared.addresses(server).await?;
        let address = addresses[variant % addresses.len()];
        let mut process = self.spawn(server, address, key.as_ref()).await?;
        let begun = Begun {
            role: Role::Rtmp(self.target.id),
            transcodes: false,
            run: self.connection.0,
            pid: process.pid(),
            input: "splicer".into(),
        };
        let shown = self.shared.board.processes.show(begun, Timestamp::now());
        let (stdin, progress) = (process.take_stdin(), process.take_lines());
        let (Some(stdin), Some(progress)) = (stdin, progress) else {
            return Err((FailureKind::Local, "its pipes are missing".into()));
        };
        Ok(Open {
            process,
            stdin: Some(stdin),
            begun: Bytes::new(),
            progress,
            shown,
        })
    }

    async fn spawn(
        &self,
        server: &ServerUrl,
        address: SocketAddr,
        key: Option<&StreamKey>,
    ) -> Result<Process, Failure> {
        let Shared {
            launcher, settings, ..
        } = &*self.shared;
        let encode = self.target.feed(self.quality).encode.as_ref();
        let invocation = publish(&Publish {
            url: server,
            address,
            key,
            authorities: &settings.authorities,
            variant: self.variant,
            encode,
        });
        let allowance = match encode {
            None => self.shared.copying,
            Some(_) => self.shared.encoding,
        };
        let label = format!("push {} of {}", self.connection.0, self.shared.of.id);
        let spec = launcher
            .spec(invocation, label)
            .stdin(Stdin::Piped { bytes: PIPE })
            .stderr(Stderr::Progress)
            .allowance(allowance)
            .group(self.shared.group.clone());
        let spawned = launcher.spawn(spec).await;
        spawned.map_err(|error| (FailureKind::Local, error.to_string()))
    }

    /// Feeds the process and watches it until it fails or an item ends its session.
    async fn drive(&self, open: &mut Open, handed: Option<Handed>) -> End {
        let Open {
            process,
            stdin,
            begun,
            progress,
            shown,
        } = open;
        let Some(stdin) = stdin else {
            return End::Failed((FailureKind::Local, "its input is closed".into()));
        };
        let (fed, given) = tokio::sync::watch::channel(None);
        tokio::select! {
            biased;
            (exit, tail) = process.last_words() => {
                // What FFmpeg says may hold what the server said, and that the key.
                End::Failed(match rtmp_failure(&tail) {
                    _ if matches!(exit, ExitKind::Overran(_)) => {
                        (FailureKind::Local, format!("FFmpeg {exit}"))
                    }
                    Some(kind) => (kind, kind.to_string()),
                    None => (FailureKind::Unknown, format!("FFmpeg {exit}")),
                })
            }
            failed = self.watch(progress, given) => End::Failed(failed),
            end = self.feed(stdin, begun, shown, &fed, handed) => end,
        }
    }

    /// Writes what goes on air, GOP by GOP, at the pace of its time.
    async fn feed(
        &self,
        stdin: &mut pipe::Sender,
        begun: &mut Bytes,
        shown: &Shown,
        fed: &tokio::sync::watch::Sender<Option<Instant>>,
        handed: Option<Handed>,
    ) -> End {
        let patience = self.shared.settings.stalled_after;
        let stalled = |patience: Duration| {
            let seconds = patience.as_secs();
            End::Failed((
                FailureKind::Stalled,
                format!("the server took no media for {seconds} s"),
            ))
        };
        let (mut next, mut flow) = match handed {
            Some(Handed { next, flow }) => (Some(next), flow),
            None => (None, self.shared.taps.open()),
        };
        let mut free = Instant::now();
        let mut first = true;
        loop {
            let aired = match next.take() {
                Some(aired) => aired,
                None => match flow.recv().await {
                    Some(aired) => aired,
                    // The tap was closed because too much waits in it.
                    None => return stalled(patience),
                },
            };
            if aired.begins_item && !first && Instant::now() >= self.session_ends_from {
                return End::SessionOver(Handed { next: aired, flow });
            }
            let mut lasts = pace(&aired, self.shared.rate, flow.len());
            if std::mem::take(&mut first) {
                // What FFmpeg looks at before it connects.
                lasts = Duration::ZERO;
            }
            let stream = self.stream(&aired);
            let slices = (lasts.as_millis() / SLICE.as_millis()).max(1) as usize;
            let slice = stream.len().div_ceil(slices).max(1);
            let begin = free.max(Instant::now());
            *begun = stream;
            for n in 0.. {
                if begun.is_empty() {
                    break;
                }
                sleep_until(begin + SLICE * n).await;
                let left = begun.len().saturating_sub(slice);
                // Until it delivers, it connects.
                let patience = match self.delivers.load(Ordering::Relaxed) {
                    true => patience,
                    false => patience.max(CONNECT),
                };
                match timeout(patience, write(stdin, begun, left)).await {
                    Ok(Ok(bytes)) => shown.moved(bytes, Timestamp::now()),
                    // It has closed its input: how it ended tells why.
                    Ok(Err(_)) => return std::future::pending().await,
                    Err(_) => return stalled(patience),
                }
            }
            fed.send_replace(Some(Instant::now()));
            free = begin + lasts;
        }
    }

    /// The rung that is sent; the highest where a channel that was made smaller has it no more.
    fn stream(&self, aired: &Aired) -> Bytes {
        let rung = self.target.feed(self.quality).rung;
        let stream = aired.streams.get(rung).or(aired.streams.first());
        stream.cloned().unwrap_or_default()
    }

    /// Reads the process's reports: media that is given has to be taken.
    async fn watch(
        &self,
        progress: &mut mpsc::Receiver<String>,
        mut given: tokio::sync::watch::Receiver<Option<Instant>>,
    ) -> Failure {
        let mut reports = Progress::default();
        let mut taken: Option<(u64, Instant)> = None;
        let patience = self.shared.settings.stalled_after;
        // Nothing is expected before anything was given.
        drop(given.wait_for(Option::is_some).await);
        let begun = Instant::now();
        loop {
            let deadline = taken.map_or(begun + CONNECT, |(_, at)| at + patience);
            let line = tokio::select! {
                line = progress.recv() => line,
                () = sleep_until(deadline) => {
                    let since = taken.map_or(begun, |(_, at)| at);
                    if given.borrow().is_some_and(|at| at > since) || taken.is_none() {
                        let seconds = deadline.duration_since(since).as_secs();
                        return (FailureKind::Stalled, format!("the server took no media for {seconds} s"));
                    }
                    // Nothing was given either.
                    taken = taken.map(|(size, _)| (size, Instant::now()));
                    continue;
                }
            };
            let Some(line) = line else {
                // The process ends, which says more.
                return std::future::pending().await;
            };
            let Some(report) = reports.line(&line).filter(|report| report.frame > 0) else {
                continue;
            };
            let before = match taken {
                None => {
                    self.delivers.store(true, Ordering::Relaxed);
                    self.say(Said::Delivering);
                    0
                }
                Some((size, _)) => size,
            };
            if report.size > before || taken.is_none() {
                let bytes = report.size.saturating_sub(before);
                self.say(Said::Took { bytes });
                taken = Some((report.size, Instant::now()));
            }
        }
    }
}

struct Open {
    process: Process,
    stdin: Option<pipe::Sender>,
    /// What is left of the GOP that is being written.
    begun: Bytes,
    progress: mpsc::Receiver<String>,
    shown: Shown,
}

impl Open {
    /// Ends the stream with a whole GOP: without more input the process takes leave of the server, and ends.
    async fn finish(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // A server that does not take it is left without.
            let _ = timeout(LEAVE, write(&mut stdin, &mut self.begun, 0)).await;
        }
    }
}

/// Writes from `rest` until `left` bytes of it are left; answers how many were written. Cancel-safe: what was
/// written is gone from `rest`.
async fn write(stdin: &mut pipe::Sender, rest: &mut Bytes, left: usize) -> std::io::Result<u64> {
    let before = rest.len();
    while rest.len() > left {
        let wanted = rest.len() - left;
        let written = stdin.write(&rest[..wanted]).await?;
        rest.advance(written);
    }
    Ok((before - rest.len()) as u64)
}

/// How long the pieces of a GOP are spread over: its own length, and half of it while more waits.
fn pace(aired: &Aired, rate: FrameRate, waiting: usize) -> Duration {
    let lasts = rate.duration(u64::from(aired.frames));
    if waiting > 1 { lasts / 2 } else { lasts }
}
