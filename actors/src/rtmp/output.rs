//! One output: asks its state machine what follows, and does it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::StreamFailure;
use playout_domain::alert::{Key, Subject};
use playout_domain::destination::{Feed, Platform, PlaybackUrl, ServerUrl};
use playout_domain::ids::{ChannelId, DestinationId};
use playout_domain::output::{
    Connection, Effect, Event, FailureKind, OutputLife, OutputStatus, SUSPEND_AFTER,
};
use playout_domain::resources::Allowance;
use playout_domain::units::FrameRate;
use playout_domain::{AlertKind, Channel, StreamKey};
use playout_partners::address::resolve;
use playout_store::{NodeDecision, Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::RtmpSettings;
use super::board::{Board, FailureView, Quality};
use super::far_end::{FarEndTask, Sending, Watched};
use super::push::{Handed, Parameters, Push, Said};
use crate::alerts::{ErrorHandler, StreamError};
use crate::chance;
use crate::decisions::Decisions;
use crate::hub::{self, Hub, kind};
use crate::playout::Taps;
use crate::process::{ChannelGroup, Launcher};

/// A session is made anew at the beginning of an item when so much of its time is left, and in any case
/// when half of that is.
const SESSION_MARGIN: f64 = 0.1;
/// How soon it is looked again whether a session that has to end has begun.
const AGAIN: Duration = Duration::from_secs(1);

/// What all outputs of a channel work with.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) launcher: Launcher,
    pub(crate) settings: RtmpSettings,
    /// What a push may use that copies.
    pub(crate) copying: Allowance,
    /// What one may use that encodes.
    pub(crate) encoding: Allowance,
    /// The control group of its processes.
    pub(crate) group: Option<Arc<ChannelGroup>>,
    /// Takes failures and recoveries.
    pub(crate) alerts: ErrorHandler,
    /// Takes what is decided.
    pub(crate) decisions: Decisions,
    /// The channel as it was when the output began: whose it is, and what it is called.
    pub(crate) of: Channel,
    pub(crate) taps: Arc<Taps>,
    pub(crate) board: Board,
    pub(crate) rate: FrameRate,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: DestinationId,
    pub(super) url: ServerUrl,
    pub(super) platform: Platform,
    /// Whether it has a key.
    pub(super) keyed: bool,
    /// Counts the changes of the key.
    pub(super) key_version: u64,
    /// What it gets of the stream.
    pub(super) feed: Feed,
    /// The same where the network does not take it; nothing: the client has not allowed it.
    pub(super) lower: Option<Feed>,
    /// Where viewers see it.
    pub(super) playback: Option<PlaybackUrl>,
}

impl Target {
    /// What it gets of the stream.
    pub(super) const fn feed(&self, quality: Quality) -> &Feed {
        match (quality, &self.lower) {
            (Quality::Lower, Some(lower)) => lower,
            _ => &self.feed,
        }
    }

    /// Whether a connection of `quality` to `before` is one to this, too.
    fn is_served_by(&self, before: &Self, quality: Quality) -> bool {
        let (one, other) = (self.feed(quality), before.feed(quality));
        let of = |target: &Self| (target.platform, target.keyed, target.key_version);
        let allowed = quality == Quality::Full || self.lower.is_some();
        allowed && one == other && of(self) == of(before) && self.url == before.url
    }
}

/// The alert on an output that failed too often.
pub(super) const fn suspension(channel: ChannelId, destination: DestinationId) -> Key {
    let output = Subject::Output(channel, destination);
    Key::new(AlertKind::OutputSuspended, output)
}

impl Shared {
    /// The stream key, from the store, which knows it while the database is away, too.
    pub(super) async fn key(
        &self,
        target: &Target,
    ) -> Result<Option<StreamKey>, (FailureKind, String)> {
        if !target.keyed {
            return Ok(None);
        }
        self.store.stream_key(target.id).await.map_err(|error| {
            tracing::error!(channel = %self.of.id, destination = %target.id, %error, "a stream key cannot be read");
            let detail = match error {
                StoreError::Unavailable(_) => "the stream key cannot be read at the moment",
                _ => "the stream key cannot be read; the operator can see why, and setting it again mends it",
            };
            (FailureKind::Local, detail.to_owned())
        })
    }

    /// The addresses that a connection may use.
    pub(super) async fn addresses(
        &self,
        server: &ServerUrl,
    ) -> Result<Vec<SocketAddr>, (FailureKind, String)> {
        let (host, port) = (server.host(), server.port());
        match resolve(host, port, self.settings.reach).await {
            Ok(checked) => Ok(checked.all().to_vec()),
            Err(error) => Err((FailureKind::Dns, format!("the host {host}: {error}"))),
        }
    }
}

/// See the module's head.
pub(super) struct Output {
    shared: Arc<Shared>,
    /// Where it should go.
    wanted: watch::Receiver<Target>,
    /// Where it goes.
    target: Target,
    life: OutputLife,
    /// What the connection sends.
    quality: Quality,
    /// Counts what it was directed to.
    direction: u64,
    /// Looks at what viewers are shown.
    far_end: FarEndTask,
    push: Option<Push>,
    /// The connection before, which is taking leave.
    leaving: Option<JoinHandle<()>>,
    retry: Option<(Instant, Connection)>,
    /// When the session of the connection has to be over.
    session_ends: Option<Instant>,
    /// What the session before has left to the next.
    handed: Option<Handed>,
    says: mpsc::UnboundedSender<(Connection, Said)>,
    said: mpsc::UnboundedReceiver<(Connection, Said)>,
}

impl Output {
    pub(super) fn new(shared: Arc<Shared>, mut wanted: watch::Receiver<Target>) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        let target = wanted.borrow_and_update().clone();
        Self {
            far_end: FarEndTask::start(Arc::clone(&shared), target.id),
            life: OutputLife::new(shared.settings.suspended_retry),
            shared,
            wanted,
            target,
            quality: Quality::Full,
            direction: 0,
            push: None,
            leaving: None,
            retry: None,
            session_ends: None,
            handed: None,
            says,
            said,
        }
    }

    pub(super) async fn run(mut self) {
        self.follow(Event::Wanted(true));
        loop {
            let far = Instant::now() + Duration::from_secs(86_400);
            let retry = self.retry.map_or(far, |(at, _)| at);
            let session = self.session_ends.unwrap_or(far);
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.obey(),
                    Err(_) => break,
                },
                Some((connection, said)) = self.said.recv() => self.hear(connection, said),
                () = sleep_until(retry) => {
                    if let Some((_, connection)) = self.retry.take() {
                        self.follow(Event::RetryDue(connection));
                    }
                }
                () = sleep_until(session) => self.end_session(),
            }
        }
        self.follow(Event::Wanted(false));
        self.far_end.end().await;
        if let Some(leaving) = self.leaving.take() {
            drop(leaving.await);
        }
    }

    fn obey(&mut self) {
        let target = self.wanted.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.target, target);
        if self.target.is_served_by(&before, self.quality) {
            // Only what is looked at, or what a later attempt may do.
            self.watch();
        } else {
            self.direction += 1;
            self.follow(Event::Redirected);
        }
    }

    /// Tells the task that looks what there is to be seen.
    fn watch(&self) {
        self.far_end.watch(Watched {
            url: self.target.playback.clone(),
            direction: self.direction,
            sending: match self.life.status() {
                OutputStatus::Live => Sending::Delivering,
                OutputStatus::Connecting | OutputStatus::Waiting => Sending::Interrupted,
                OutputStatus::Off | OutputStatus::Suspended => Sending::Nothing,
            },
        });
    }

    fn hear(&mut self, connection: Connection, said: Said) {
        let id = self.target.id;
        match said {
            Said::Delivering if connection == self.life.connection() => {
                self.follow(Event::Delivering(connection));
                // It may have been raised by a daemon before this one.
                let id = self.target.id;
                self.shared
                    .alerts
                    .recovered(suspension(self.shared.of.id, id));
            }
            Said::Delivering => {}
            Said::Took { bytes } => self.shared.board.update(id, |view| view.bytes += bytes),
            Said::SessionOver(handed) if connection == self.life.connection() => {
                self.handed = Some(handed);
                self.end_session();
            }
            Said::SessionOver(_) => {}
            Said::Failed { kind, detail } => {
                if connection != self.life.connection() {
                    return;
                }
                self.shared.board.update(id, |view| {
                    view.last_failure = Some(FailureView {
                        kind,
                        detail: detail.clone(),
                        at: Timestamp::now(),
                    });
                });
                self.follow(Event::Failed(connection, kind));
                self.tell_failure(&detail);
            }
        }
    }

    /// The state has followed already.
    fn tell_failure(&self, detail: &str) {
        let delay = self.retry.map_or(Duration::ZERO, |(at, _)| {
            at.saturating_duration_since(Instant::now())
        });
        let attempt = self.life.failures();
        self.shared.alerts.handle_stream_failure(StreamError {
            channel: &self.shared.of,
            failure: StreamFailure::Output {
                attempt,
                delay,
                most: SUSPEND_AFTER,
                spent: attempt >= SUSPEND_AFTER,
            },
            media: None,
            destination: Some(self.target.id),
            error: detail,
        });
    }

    /// How long the platform lets a session last.
    fn session_limit(&self) -> Duration {
        self.shared.settings.sessions.of(self.target.platform)
    }

    /// The platform's limit is near.
    fn end_session(&mut self) {
        if self.life.status() != OutputStatus::Live {
            self.session_ends = Some(Instant::now() + AGAIN);
            return;
        }
        self.session_ends = None;
        self.follow(Event::SessionOver(self.life.connection()));
    }

    fn follow(&mut self, event: Event) {
        let before = self.life.clone();
        for effect in self.life.on(event, Timestamp::now(), chance::draw()) {
            self.perform(effect);
        }
        if before != self.life {
            self.show();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect {
                connection,
                variant,
                lower,
            } => {
                self.retry = None;
                self.quality = match lower && self.target.lower.is_some() {
                    true => Quality::Lower,
                    false => Quality::Full,
                };
                let limit = self.session_limit();
                let margin = limit.mul_f64(SESSION_MARGIN);
                let parameters = Parameters {
                    variant,
                    quality: self.quality,
                    session_ends_from: Instant::now() + limit - margin,
                    handed: self.handed.take(),
                };
                self.session_ends = Some(Instant::now() + limit - margin / 2);
                self.push = Some(Push::start(
                    Arc::clone(&self.shared),
                    self.target.clone(),
                    connection,
                    parameters,
                    self.leaving.take(),
                    self.says.clone(),
                ));
                let id = self.target.id;
                self.shared.board.update(id, |view| view.connections += 1);
            }
            Effect::Disconnect => {
                self.session_ends = None;
                self.leaving = self.push.take().map(Push::end);
            }
            Effect::RetryAfter { connection, delay } => {
                self.retry = Some((Instant::now() + delay, connection));
            }
            Effect::Suspended { failures, kind } => {
                let detail = json!({ "failures": failures, "kind": kind });
                self.note("output.suspend", detail.clone());
                self.publish(kind::OUTPUT_SUSPENDED, detail);
            }
            Effect::Resumed => {
                self.note("output.resume", json!({}));
                self.publish(kind::OUTPUT_RESUMED, json!({}));
            }
        }
    }

    /// What was decided about it is in the audit of its client.
    fn note(&self, operation: &'static str, mut detail: Value) {
        detail["destination"] = json!(self.target.id);
        let of = &self.shared.of;
        self.shared.decisions.note(NodeDecision {
            client: of.client_id,
            channel: of.id,
            operation,
            detail,
        });
    }

    /// Shows what it does, and tells whoever listens.
    fn show(&self) {
        self.watch();
        let next = self.retry.and_then(|(at, _)| {
            let wait = at.saturating_duration_since(Instant::now());
            Timestamp::now().checked_add(wait).ok()
        });
        let id = self.target.id;
        self.shared.board.update(id, |view| {
            view.status = self.life.status();
            view.delivering_since = self.life.delivering_since();
            view.failures = self.life.failures();
            view.next_attempt = next;
            view.quality = self.quality;
        });
        let view = self.shared.board.of(id);
        self.publish(kind::OUTPUT_STATUS, json!(view));
    }

    fn publish(&self, kind: &'static str, mut data: serde_json::Value) {
        data["destinationId"] = json!(self.target.id);
        data["platform"] = json!(self.target.platform);
        self.shared.hub.publish(hub::Event {
            kind,
            client: Some(self.shared.of.client_id),
            channel: Some(self.shared.of.id),
            data,
        });
    }
}
