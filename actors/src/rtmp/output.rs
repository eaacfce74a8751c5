//! One task for each destination: asks its state machine what follows, and does it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::alert::recovery::StreamFailure;
use playout_domain::alert::{Key, Subject};
use playout_domain::config::ChannelConfig;
use playout_domain::destination::{Platform, ServerUrl};
use playout_domain::ids::DestinationId;
use playout_domain::output::{Connection, Effect, Event, FailureKind, OutputLife, SUSPEND_AFTER};
use playout_domain::resources::Allowance;
use playout_domain::units::FrameRate;
use playout_domain::{AlertKind, Channel, StreamKey};
use playout_partners::address::resolve;
use playout_store::Store;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::RtmpSettings;
use super::board::{Board, FailureView};
use super::push::{Push, Said};
use crate::alerts::{ErrorHandler, StreamError};
use crate::chance;
use crate::hub::{self, Hub, kind};
use crate::playout::Taps;
use crate::process::{ChannelGroup, Launcher};

/// How long outputs may take to leave when a channel goes off air.
const LEAVE: Duration = Duration::from_secs(5);
/// A session is made anew at the beginning of an item when so much of its time is left, and in any case
/// when half of that is.
const SESSION_MARGIN: f64 = 0.1;
/// After a fault of ours the task begins anew, but not at once.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

/// What all outputs of a channel work with.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) launcher: Launcher,
    pub(crate) settings: RtmpSettings,
    /// What a process may use, as it was when the output began.
    pub(crate) allowance: Allowance,
    /// The control group of its processes.
    pub(crate) group: Option<Arc<ChannelGroup>>,
    /// Takes failures and recoveries.
    pub(crate) alerts: ErrorHandler,
    /// The channel as it was when the output began: whose it is, and what it is called.
    pub(crate) of: Channel,
    pub(crate) taps: Arc<Taps>,
    pub(crate) board: Board,
    pub(crate) rate: FrameRate,
    /// The key as it was opened last, for when the store is away.
    pub(crate) key: Mutex<Option<StreamKey>>,
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
}

struct Kept {
    /// Dropped to end the output.
    target: watch::Sender<Target>,
    task: JoinHandle<()>,
}

/// The RTMP outputs of one channel, as its configuration and its life want them.
#[derive(Default)]
pub(crate) struct Outputs {
    kept: HashMap<DestinationId, Kept>,
    /// Those that are taking leave.
    leaving: HashMap<DestinationId, JoinHandle<()>>,
    /// Counts the changes of keys.
    key_version: u64,
}

impl Outputs {
    /// Makes the outputs what `config` says; there are none while the channel is not `on_air`. The keys of
    /// `rekeyed` have changed.
    pub(crate) fn sync(
        &mut self,
        shared: impl Fn() -> Shared,
        config: &ChannelConfig,
        on_air: bool,
        rekeyed: &HashSet<DestinationId>,
    ) {
        self.key_version += u64::from(!rekeyed.is_empty());
        let mut wanted = HashMap::new();
        for destination in &config.rtmp_destinations {
            let Some(id) = destination.id.filter(|_| on_air && destination.enabled) else {
                continue;
            };
            let kept = self.kept.get(&id).filter(|_| !rekeyed.contains(&id));
            let target = Target {
                id,
                url: destination.server_url.clone(),
                platform: destination.platform,
                keyed: destination.stream_key.is_set(),
                key_version: kept.map_or(self.key_version, |kept| kept.target.borrow().key_version),
            };
            wanted.insert(id, target);
        }
        self.leaving.retain(|_, task| !task.is_finished());
        let gone = self.kept.extract_if(|id, _| !wanted.contains_key(id));
        self.leaving.extend(gone.map(|(id, kept)| (id, kept.task)));
        for (id, target) in wanted {
            match self.kept.get(&id) {
                Some(kept) => {
                    kept.target.send_if_modified(|before| {
                        let changed = *before != target;
                        *before = target;
                        changed
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(target);
                    let before = self.leaving.remove(&id);
                    let task = tokio::spawn(keep(Arc::new(shared()), receiver, before));
                    let kept = Kept {
                        target: sender,
                        task,
                    };
                    self.kept.insert(id, kept);
                }
            }
        }
    }

    /// Ends all of them; they are gone when this returns, which it does in bounded time.
    pub(crate) async fn end(&mut self) {
        let kept = self.kept.drain().map(|(_, kept)| kept.task);
        let leaving = self.leaving.drain().map(|(_, task)| task);
        let tasks: Vec<JoinHandle<()>> = kept.chain(leaving).collect();
        let all = async {
            for task in tasks {
                // However it ended, it is gone.
                drop(task.await);
            }
        };
        if tokio::time::timeout(LEAVE, all).await.is_err() {
            tracing::warn!("an RTMP output did not end in time");
        }
    }
}

/// Keeps one output's task running until nobody wants anything of it. Servers take one connection at a
/// time under one key, so it waits for the one `before`.
async fn keep(
    shared: Arc<Shared>,
    target: watch::Receiver<Target>,
    before: Option<JoinHandle<()>>,
) {
    if let Some(before) = before {
        drop(before.await);
    }
    let id = target.borrow().id;
    shared.board.begin(id);
    loop {
        let output = Output::new(Arc::clone(&shared), target.clone());
        let running = AbortOnDrop(tokio::spawn(output.run()));
        match running.join().await {
            Ok(()) => return,
            Err(fault) => {
                tracing::error!(channel = %shared.of.id, destination = %id, %fault, "an RTMP output has a fault; it begins anew");
                tokio::time::sleep(AFTER_A_FAULT).await;
            }
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    async fn join(mut self) -> Result<(), tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    /// The stream key, from the store; while that is away, as it was last.
    pub(super) async fn key(
        &self,
        target: &Target,
    ) -> Result<Option<StreamKey>, (FailureKind, String)> {
        if !target.keyed {
            return Ok(None);
        }
        let read = self.store.stream_key(target.id).await;
        let mut known = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(key) => *known = key,
            Err(error) if known.is_none() => {
                let detail = format!("the stream key cannot be read: {error}");
                return Err((FailureKind::Local, detail));
            }
            Err(_) => {}
        }
        Ok(known.clone())
    }

    /// The addresses that a connection may use.
    pub(super) async fn addresses(
        &self,
        target: &Target,
    ) -> Result<Vec<SocketAddr>, (FailureKind, String)> {
        let (host, port) = (target.url.host(), target.url.port());
        match resolve(host, port, self.settings.reach).await {
            Ok(checked) => Ok(checked.all().to_vec()),
            Err(error) => Err((FailureKind::Dns, format!("the host {host}: {error}"))),
        }
    }
}

/// See the module's head.
struct Output {
    shared: Arc<Shared>,
    /// Where it should go.
    wanted: watch::Receiver<Target>,
    /// Where it goes.
    target: Target,
    life: OutputLife,
    push: Option<Push>,
    /// The connection before, which is taking leave.
    leaving: Option<JoinHandle<()>>,
    retry: Option<(Instant, Connection)>,
    /// When the session of the connection has to be over.
    session_ends: Option<Instant>,
    says: mpsc::UnboundedSender<(Connection, Said)>,
    said: mpsc::UnboundedReceiver<(Connection, Said)>,
}

impl Output {
    fn new(shared: Arc<Shared>, mut wanted: watch::Receiver<Target>) -> Self {
        let (says, said) = mpsc::unbounded_channel();
        let target = wanted.borrow_and_update().clone();
        Self {
            shared,
            wanted,
            target,
            life: OutputLife::default(),
            push: None,
            leaving: None,
            retry: None,
            session_ends: None,
            says,
            said,
        }
    }

    async fn run(mut self) {
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
        if let Some(leaving) = self.leaving.take() {
            drop(leaving.await);
        }
    }

    fn obey(&mut self) {
        self.target = self.wanted.borrow_and_update().clone();
        self.follow(Event::Redirected);
    }

    fn hear(&mut self, connection: Connection, said: Said) {
        let id = self.target.id;
        match said {
            Said::Delivering => self.follow(Event::Delivering(connection)),
            Said::Took { bytes } => self.shared.board.update(id, |view| view.bytes += bytes),
            Said::ItemBegins => {
                let margin = self.session_limit().mul_f64(SESSION_MARGIN);
                let near = |ends: Instant| ends < Instant::now() + margin / 2;
                if connection == self.life.connection() && self.session_ends.is_some_and(near) {
                    self.end_session();
                }
            }
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
            } => {
                self.retry = None;
                let limit = self.session_limit();
                let margin = limit.mul_f64(SESSION_MARGIN);
                self.session_ends = Some(Instant::now() + limit - margin / 2);
                self.push = Some(Push::start(
                    Arc::clone(&self.shared),
                    self.target.clone(),
                    connection,
                    variant,
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
                self.publish(
                    kind::OUTPUT_SUSPENDED,
                    json!({ "failures": failures, "kind": kind }),
                );
            }
            Effect::Resumed => {
                self.publish(kind::OUTPUT_RESUMED, json!({}));
                let output = Subject::Output(self.shared.of.id, self.target.id);
                let suspended = Key::new(AlertKind::OutputSuspended, output);
                self.shared.alerts.recovered(suspended);
            }
        }
    }

    /// Shows what it does, and tells whoever listens.
    fn show(&self) {
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
