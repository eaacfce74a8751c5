//! Looks into files by FFprobe and takes pictures of them by FFmpeg, in bounded time and memory.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::fcntl::OFlag;
use playout_domain::ids::{ClientId, MediaId};
use playout_media::ffmpeg::{self, Invocation};
use playout_media::probe::{self, GLANCE, Refusal};
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::files::Stamp;
use super::known::Findings;
use super::{Inner, Original};
use crate::process::{ExitKind, Limits, Priority, SpawnError, Stdout};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// More is not read of what a program answers.
const LARGEST_ANSWER: u64 = 8 << 20;

/// Why a file was not accepted.
#[derive(Debug)]
pub(super) enum NotAccepted {
    /// It is the file's fault: a sentence.
    Refused(String),
    /// It is not: a sentence.
    Failed(String),
}

/// Why a program did not answer.
#[derive(Debug, thiserror::Error)]
enum Silent {
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    #[error("it took too long")]
    TooLong,
    #[error("the daemon is being ended")]
    Ending,
}

/// What a program answered.
struct Answer {
    stdout: Vec<u8>,
    exit: ExitKind,
    said: String,
}

impl Inner {
    /// Looks into a file of a client and judges it.
    pub(super) async fn examine(
        &self,
        path: &Path,
        client: ClientId,
    ) -> Result<(Findings, probe::Judged), NotAccepted> {
        let refused = |reason: String| NotAccepted::Refused(reason);
        self.may_read(path, client)
            .await
            .map_err(|error| refused(unread(&error)))?;
        let at = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || look(&at)).await;
        let looked = looked.map_err(|stopped| NotAccepted::Failed(stopped.to_string()))?;
        let (file, head) = looked.map_err(|error| refused(opened(&error).to_string()))?;
        if file.len() == 0 {
            return Err(refused("The file is empty.".to_owned()));
        }
        if let Some(refusal) = probe::glance(file.len(), &head) {
            return Err(refused(refusal.to_string()));
        }
        let answer = match self.ask(ffmpeg::probe(path), "examination").await {
            Ok(answer) => answer,
            Err(Silent::TooLong) => {
                let reason = format!("it took longer than {} s", PATIENCE.as_secs());
                return Err(refused(Refusal::Unreadable(reason).to_string()));
            }
            Err(Silent::NotStarted(
                error @ (SpawnError::Outside { .. } | SpawnError::Unreachable { .. }),
            )) => return Err(refused(unread(&error))),
            Err(silent) => return Err(NotAccepted::Failed(silent.to_string())),
        };
        if let ExitKind::Overran(excess) = answer.exit {
            let reason = format!("looking into it {excess}");
            return Err(refused(Refusal::Unreadable(reason).to_string()));
        }
        let accepted = probe::parse(&answer.stdout, &answer.said)
            .and_then(|probed| Ok((probe::judge(&probed)?, probed)));
        let (judged, probed) = accepted.map_err(|refusal| refused(refusal.to_string()))?;
        Ok((
            Findings {
                probed: Arc::new(probed),
                stamp: Stamp::from(&file),
            },
            judged,
        ))
    }

    /// Whether a client's file leads now to where that client's media may lie: in its roots, or among what it has sent.
    ///
    /// # Errors
    /// It leads elsewhere, or nowhere.
    pub(super) async fn may_read(&self, path: &Path, client: ClientId) -> Result<(), SpawnError> {
        let (roots, path) = (self.roots.of(client), path.to_owned());
        let (dir, sent) = (self.files.dir(), self.files.own_of(client));
        let asked = tokio::task::spawn_blocking(move || {
            let real = match fs::canonicalize(&path) {
                Ok(real) => real,
                Err(source) => return Err(SpawnError::Unreachable { path, source }),
            };
            let is_in = |folder: &Path| fs::canonicalize(folder).is_ok_and(|f| real.starts_with(f));
            let may = match is_in(&dir) {
                true => is_in(&sent),
                false => roots.hold(&real),
            };
            may.then_some(()).ok_or(SpawnError::Outside { path })
        });
        asked.await.unwrap_or_else(|stopped| {
            let (label, source) = ("a look".to_owned(), io::Error::other(stopped));
            Err(SpawnError::System { label, source })
        })
    }

    /// The picture of an item: the one there is, or a new one.
    pub(super) async fn thumbnail(&self, media: MediaId) -> Option<Bytes> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read_thumbnail(media))
            .await
            .ok()?;
        if let Some(jpeg) = read {
            return Some(jpeg.into());
        }
        let (original, client) = self.read(|catalogue| {
            let client = catalogue.item(media)?.client_id;
            Some((catalogue.original(media)?, client))
        })?;
        if let Err(error) = self.may_read(&original.path, client).await {
            tracing::warn!(%media, %error, "no thumbnail");
            return None;
        }
        let _permit = self.permit().await?;
        let jpeg = Bytes::from(self.picture(&original).await?);
        let (files, picture) = (self.files.clone(), jpeg.clone());
        let known = || self.read(|catalogue| catalogue.item(media).is_some());
        if known() {
            let written =
                tokio::task::spawn_blocking(move || files.write_thumbnail(media, &picture))
                    .await
                    .ok()?;
            if let Err(error) = written {
                tracing::warn!(%media, %error, "a thumbnail cannot be kept");
            }
        }
        Some(jpeg)
    }

    async fn picture(&self, original: &Original) -> Option<Vec<u8>> {
        match self
            .ask(
                ffmpeg::thumbnail(&original.path, &original.probed),
                "thumbnail",
            )
            .await
        {
            Ok(answer) if answer.stdout.starts_with(&[0xff, 0xd8]) => Some(answer.stdout),
            Ok(Answer { exit, said, .. }) => {
                tracing::info!(file = %original.path.display(), %exit, said, "no thumbnail");
                None
            }
            Err(silent) => {
                tracing::info!(file = %original.path.display(), %silent, "no thumbnail");
                None
            }
        }
    }

    /// Leave to run one more program that looks into a file; nothing when the daemon ends.
    pub(super) async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let permit = self.examinations.acquire().await.ok()?;
        (!*self.closing.borrow()).then_some(permit)
    }

    /// Runs a program for its answer, in bounded time; not beyond the daemon's end.
    async fn ask(&self, invocation: Invocation, label: &str) -> Result<Answer, Silent> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            answer = self.run(invocation, label) => Ok(answer?),
            () = sleep(PATIENCE) => Err(Silent::TooLong),
            _ = closing.wait_for(|closing| *closing) => Err(Silent::Ending),
        }
    }

    /// Whether a program has an answer, ends well, and complains of nothing.
    ///
    /// # Errors
    /// Why nobody knows: part of a sentence.
    pub(super) async fn succeeds(
        &self,
        invocation: Invocation,
        label: &str,
    ) -> Result<bool, String> {
        let answer = self.ask(invocation, label).await;
        let Answer { stdout, exit, said } = answer.map_err(|silent| silent.to_string())?;
        Ok(exit.success() && said.trim().is_empty() && !stdout.is_empty())
    }

    async fn run(&self, invocation: Invocation, label: &str) -> Result<Answer, SpawnError> {
        // Pipes are not files: the program cannot write anything else.
        let limits = Limits {
            allowance: self.allowances.probe,
            file_size: Some(0),
            ..Limits::default()
        };
        let spec = self.launcher.spec(invocation, label);
        let spec = spec
            .stdout(Stdout::PIPED)
            .priority(Priority::Interactive)
            .limits(limits);
        let mut process = self.launcher.spawn(spec).await?;
        let mut stdout = Vec::new();
        if let Some(pipe) = process.take_stdout() {
            // What was read before a failure is judged like a whole answer.
            let _ = pipe.take(LARGEST_ANSWER).read_to_end(&mut stdout).await;
        }
        let (exit, said) = process.last_words().await;
        Ok(Answer { stdout, exit, said })
    }
}

/// A file's state, and how it begins. Blocks, but not on a pipe that has taken its place.
fn look(path: &Path) -> io::Result<(Metadata, Vec<u8>)> {
    let mut options = File::options();
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(path)?;
    let state = file.metadata()?;
    if !state.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut head = Vec::with_capacity(GLANCE);
    file.take(GLANCE as u64).read_to_end(&mut head)?;
    Ok((state, head))
}

/// Why a program may not read a file, as a sentence.
pub(super) fn unread(error: &SpawnError) -> String {
    match error {
        SpawnError::Outside { .. } => {
            "The file has become a link to a place that media may not be read from.".to_owned()
        }
        SpawnError::Unreachable { source, .. } => opened(source).to_string(),
        other => format!("{other}."),
    }
}

fn opened(error: &io::Error) -> Refusal {
    Refusal::NotOpened(match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "reading it is not allowed".to_owned(),
        _ => error.to_string(),
    })
}
