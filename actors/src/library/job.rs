//! One item into one profile: FFmpeg's output through the preparer into a file that appears whole.

use std::io;
use std::sync::Arc;

use playout_domain::damage::Damage;
use playout_domain::ids::{MediaId, RenditionId};
use playout_domain::loudness::Heard;
use playout_domain::media::MediaItem;
use playout_media::ffmpeg::{self, Means};
use playout_media::index::GopIndex;
use playout_media::prepare::{PrepareError, Preparer};
use playout_store::{Principal, StoreError};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::examine::{NotAccepted, unread};
use super::files::{Partial, Stamp, write_whole};
use super::import::described;
use super::known::{Findings, Pace};
use super::listening::Listener;
use super::meter::{Meter, Telling};
use super::orders::{Fate, Order};
use super::{Inner, LibraryFact, Prepared};
use crate::hub::kind;
use crate::process::{ExitKind, Limits, Priority, Stderr, Stdout};

/// Bytes read at once.
const CHUNK: usize = 512 << 10;

/// Why a job did not succeed: a sentence for people.
pub(super) struct Failure(pub(super) String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "There is no room left on the disk for the prepared file.".to_owned()
            }
            _ => format!("The prepared file cannot be written: {error}."),
        })
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        Self(match error {
            PrepareError::Empty => "No picture in this file could be decoded.".to_owned(),
            other => format!("What the encoder made of it cannot be used: {other}."),
        })
    }
}

/// What was prepared, and where the file is damaged; nothing where that is known already.
type Made = (Prepared, Option<Vec<Damage>>);

impl Inner {
    /// Carries out an order, whatever comes of it.
    pub(super) async fn prepare(self: Arc<Self>, order: Order) {
        let outcome = match self.make(&order).await {
            Ok((index, heard, damage)) => {
                let path = self.files.prepared(order.media, &order.profile);
                let index = Arc::new(index);
                Ok((Prepared { path, index, heard }, damage))
            }
            Err(Failure(reason)) => Err(reason),
        };
        self.settle(&order, outcome);
    }

    /// Notes what has come of an order, and tells everybody.
    pub(super) fn settle(&self, order: &Order, outcome: Result<Made, String>) {
        let Order { media, profile, .. } = order;
        let failed = outcome.as_ref().err().cloned();
        let heard = outcome.as_ref().ok().and_then(|(made, _)| made.heard);
        let warning = heard.and_then(|heard| heard.remark(profile.treatment.loudness));
        let outcome = outcome.map(|(prepared, damage)| {
            self.write(|catalogue| catalogue.damaged(order, damage));
            (prepared, RenditionId::from(uuid::Uuid::now_v7()))
        });
        // Deleted meanwhile, or another file by now: nobody wants to know.
        let Some(item) = self.write(|catalogue| catalogue.done(order, outcome)) else {
            return;
        };
        self.work.notify_one();
        let mut data = json!({ "id": media, "title": item.title, "profile": profile.key() });
        match failed {
            None => {
                if let Some(warning) = &warning {
                    tracing::warn!(%media, profile = profile.key(), file = %item.path.display(), warning, "prepared, but not as it should be");
                }
                data["loudness"] = json!(heard);
                data["warning"] = json!(warning);
                data["duration"] = item.duration.as_secs_f64().into();
                data["damage"] = item.damage.iter().map(Damage::to_json).collect();
                self.tell(LibraryFact::Prepared {
                    media: *media,
                    profile: Box::new(*profile),
                });
                self.publish(kind::MEDIA_READY, item.client_id, data);
            }
            Some(reason) => {
                tracing::warn!(%media, profile = profile.key(), file = %item.path.display(), reason, "not prepared");
                data["reason"] = reason.into();
                self.publish(kind::MEDIA_FAILED, item.client_id, data);
            }
        }
    }

    async fn make(
        &self,
        order: &Order,
    ) -> Result<(GopIndex, Option<Heard>, Option<Vec<Damage>>), Failure> {
        let item = self.read(|catalogue| catalogue.item(order.media).cloned());
        let item = item.ok_or_else(|| Failure("It was deleted.".to_owned()))?;
        let file = tokio::fs::metadata(&item.path).await;
        let now = file.as_ref().map(Stamp::from).ok();
        let findings = match self.read(|catalogue| catalogue.findings(order.media)) {
            Some(findings) if now.is_none_or(|now| now == findings.stamp) => findings,
            // Lost, or found in what is another file by now.
            known => {
                self.find_again(order, item.clone(), known.is_some())
                    .await?
            }
        };
        // A picture of it, while it is at hand; there may be none.
        drop(self.thumbnail(order.media).await);
        let may_read = self.may_read(&item.path, item.client_id).await;
        may_read.map_err(|error| Failure(unread(&error)))?;
        let logo = self.logo_file(&order.profile).await.map_err(Failure)?;
        let means = Means {
            font: self.font_file(&order.profile).await.map_err(Failure)?,
            logo: logo.as_deref(),
            gain: self.gain(order, &item.path, &findings).await,
            overlay: None,
        };
        let (index, said) = self.encode(order, &item.path, &findings, means).await?;
        let known = |item: &MediaItem| !item.damage.is_empty();
        let damage = match said.suspect() {
            // As the profile before it has found.
            true if self.read(|catalogue| catalogue.item(order.media).is_some_and(known)) => None,
            true => Some(self.survey(order, &item.path, &findings).await),
            false => Some(Vec::new()),
        };
        Ok((index, said.heard(), damage))
    }

    /// Examines an item's file anew. One that is `another` file by now, or cannot be the same by its size,
    /// makes another item of it, as if it had been imported again.
    async fn find_again(
        &self,
        order: &Order,
        item: MediaItem,
        another: bool,
    ) -> Result<Findings, Failure> {
        let (findings, judged) = match self.examine(&item.path, item.client_id).await {
            Ok(found) => found,
            Err(NotAccepted::Refused(reason) | NotAccepted::Failed(reason)) => {
                return Err(Failure(reason));
            }
        };
        let another = another || item.size != findings.probed.size;
        // In turn with edits: what one has answered stays.
        let _turn = self.editing.lock().await;
        let item = self.latest(item.id).await.unwrap_or(item);
        let sidecar = self.sidecar(&item).await;
        let item = MediaItem {
            version: item.version + 1,
            sha256: None,
            ..item
        };
        let item = described(item, &findings, judged, sidecar);
        if another {
            let daemon = Principal::daemon();
            // What the database does not take now is written when it is there again.
            if let Err(StoreError::Limit(exceeded)) = self.store.replace_media(&daemon, &item).await
            {
                return Err(Failure(format!("{exceeded}.")));
            }
        }
        if !another {
            self.write(|catalogue| catalogue.examined(item.id, findings.clone()));
        } else if self.write(|catalogue| catalogue.exchanged(order, &item, &findings)) {
            self.forget_prepared(item.id).await;
            self.tell(LibraryFact::Changed { media: item.id });
            self.publish(kind::MEDIA_IMPORTED, item.client_id, item.to_json());
            self.work.notify_one();
        }
        self.keep(item.id, &findings).await;
        Ok(findings)
    }

    /// What was made of the file that an item was before.
    async fn forget_prepared(&self, media: MediaId) {
        match self.store.delete_renditions(media).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            // Without their files they count for nothing at the next start.
            Err(error) => {
                tracing::warn!(%media, %error, "the store still has renditions of another file");
            }
        }
        let files = self.files.clone();
        // What is left is overwritten, or a stray at the next start.
        let _ = spawn_blocking(move || files.remove(media)).await;
    }

    /// Answers also what FFmpeg said on the way.
    async fn encode(
        &self,
        order: &Order,
        input: &std::path::Path,
        findings: &Findings,
        means: Means<'_>,
    ) -> Result<(GopIndex, Listener), Failure> {
        let Order { media, profile, .. } = order;
        let invocation = ffmpeg::prepare(input, &findings.probed, profile, means);
        // Pipes are not files: FFmpeg cannot write anything else.
        let limits = Limits {
            file_size: Some(0),
            allowance: self.allowances.prepare,
            ..Limits::default()
        };
        let spec = self.launcher.spec(invocation, format!("preparing {media}"));
        let spec = spec
            .stdout(Stdout::PIPED)
            .stderr(Stderr::Lines)
            .priority(Priority::Background)
            .limits(limits);
        let mut process = self
            .launcher
            .spawn(spec)
            .await
            .map_err(|error| Failure(unread(&error)))?;
        let (Some(mut stdout), Some(mut lines)) = (process.take_stdout(), process.take_lines())
        else {
            return Err(Failure("FFmpeg was started without its pipes.".to_owned()));
        };
        let path = self.files.prepared(*media, profile);
        let mut writer = Writer::begin(Preparer::new(profile), path, order.fate.clone()).await?;
        let mut meter = Meter::new(findings.probed.frames(profile.frame_rate));
        let mut telling = Telling::default();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut alive = Instant::now();
        let mut said = Listener::default();
        loop {
            tokio::select! {
                read = stdout.read_buf(&mut chunk) => {
                    if read? == 0 {
                        break;
                    }
                    alive = Instant::now();
                    if chunk.len() >= CHUNK {
                        writer = writer.write(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).await?;
                    }
                }
                Some(line) = lines.recv() => {
                    said.line(&line);
                    if meter.line(&line) {
                        alive = Instant::now();
                        self.report(order, pace(order, &meter), &mut telling);
                    }
                }
                () = sleep_until(alive + self.hung) => {
                    return Err(Failure(format!("FFmpeg made no progress for {:?}.", self.hung)));
                }
            }
        }
        let rest = async {
            while let Some(line) = lines.recv().await {
                said.line(&line);
            }
        };
        let ((), (exit, _)) = tokio::join!(rest, process.last_words());
        if let ExitKind::Overran(excess) = exit {
            return Err(Failure(format!("FFmpeg {excess} while preparing it.")));
        }
        if !exit.success() {
            return Err(Failure(sentence(said.reason(), &format!("FFmpeg {exit}"))));
        }
        Ok((writer.write(chunk).await?.finish().await?, said))
    }

    /// Notes how far an order is, and tells it now and then.
    pub(super) fn report(&self, order: &Order, pace: Pace, telling: &mut Telling) {
        if !self.write(|catalogue| catalogue.progress(order, pace)) || !telling.is_time() {
            return;
        }
        let Some(client) =
            self.read(|catalogue| catalogue.item(order.media).map(|item| item.client_id))
        else {
            return;
        };
        let data = json!({
            "id": order.media,
            "profile": order.profile.key(),
            "percent": pace.percent,
            "measuredPercent": pace.measured,
            "speed": pace.speed,
            "etaSeconds": pace.eta.map(|eta| eta.as_secs_f64().ceil() as u64),
        });
        self.publish(kind::MEDIA_PROGRESS, client, data);
    }
}

/// How fast the encoder of an order comes on.
fn pace(order: &Order, meter: &Meter) -> Pace {
    let frame = order.profile.frame_rate.duration(1).as_secs_f64();
    Pace {
        percent: meter.percent(),
        measured: None,
        eta: meter.eta(),
        speed: meter.speed().map(|frames| frames * frame),
    }
}

/// The preparer and the file it fills. Both work where blocking is allowed.
struct Writer {
    preparer: Preparer,
    path: std::path::PathBuf,
    file: Partial,
    fate: Fate,
}

impl Writer {
    async fn begin(
        preparer: Preparer,
        path: std::path::PathBuf,
        fate: Fate,
    ) -> Result<Self, Failure> {
        blocking(move || {
            let file = Partial::create(&path)?;
            Ok(Self {
                preparer,
                path,
                file,
                fate,
            })
        })
        .await
    }

    async fn write(mut self, chunk: Vec<u8>) -> Result<Self, Failure> {
        blocking(move || {
            for bytes in self.preparer.push(&chunk)? {
                self.file.write(&bytes)?;
            }
            Ok(self)
        })
        .await
    }

    /// The file first, then its index: the index says that the file is complete.
    async fn finish(mut self) -> Result<GopIndex, Failure> {
        blocking(move || {
            let (last, index) = self.preparer.finish()?;
            if index.frames < 2 {
                // An encoder gives a single picture no decoding order that another could follow.
                let reason = "It has one single picture; two are needed at least.";
                return Err(Failure(reason.to_owned()));
            }
            for bytes in last {
                self.file.write(&bytes)?;
            }
            let json = serde_json::to_vec(&index).map_err(io::Error::from)?;
            let Some(_appears) = self.fate.hold() else {
                return Err(Failure("It was called off.".to_owned()));
            };
            self.file.finish()?;
            write_whole(&self.path.with_extension("idx"), &json)?;
            Ok(index)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Failure("Preparing it failed within the daemon.".to_owned())))
}

/// Why FFmpeg failed, without the address of what said it.
fn sentence(said: Option<&str>, otherwise: &str) -> String {
    let said = said.map(|line| {
        match line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "))
        {
            Some((_, message)) => message.trim(),
            None => line,
        }
    });
    format!(
        "FFmpeg could not prepare it: {}.",
        said.unwrap_or(otherwise).trim_end_matches('.')
    )
}
