//! Looks now and then at what viewers of a destination are shown, beside the output that pushes there.
//!
//! ```text
//! output ─ what it sends ─▶ this task ─ a look, one of few at once ─▶ playback URL
//!                             └─▶ board, hub, alerts
//! ```
//!
//! Invariants: the output is never waited for nor made to wait; a look ends when nothing is sent any more; the task
//! ends with its output. What looks say is decided by [`FarEnd`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::AlertKind;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::destination::PlaybackUrl;
use playout_domain::far_end::{Effect, FarEnd, Look, State};
use playout_domain::ids::DestinationId;
use playout_partners::playback::Looker;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::FarEndSettings;
use super::board::FarEndView;
use super::output::Shared;
use super::outputs::AbortOnDrop;
use crate::hub::{self, kind};

/// How long the task may take to end.
const LEAVE: Duration = Duration::from_secs(1);

/// What an output does, as far as it can be seen at the far end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sending {
    /// Nothing: it is not wanted, or was given up for a while.
    #[default]
    Nothing,
    /// It connects, or is about to.
    Interrupted,
    /// The server takes media.
    Delivering,
}

/// What there is to be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Where; nothing: it is not looked at.
    pub(super) url: Option<PlaybackUrl>,
    /// Counts where the output was directed to: what was seen of another one does not count.
    pub(super) direction: u64,
    pub(super) sending: Sending,
}

/// See the module's head. Dropping it ends the task.
pub(super) struct FarEndTask {
    watched: watch::Sender<Watched>,
    task: JoinHandle<()>,
}

impl FarEndTask {
    pub(super) fn start(shared: Arc<Shared>, destination: DestinationId) -> Self {
        let (watched, seen) = watch::channel(Watched::default());
        let settings = &shared.settings;
        let watcher = Watcher {
            looker: Looker::new(&settings.roots, settings.reach),
            life: FarEnd::after(settings.far_end.looks),
            shown: State::Unknown,
            now: None,
            watched: seen,
            shared,
            destination,
        };
        let task = tokio::spawn(watcher.run());
        Self { watched, task }
    }

    pub(super) fn watch(&self, watched: Watched) {
        self.watched.send_if_modified(|before| {
            let changed = *before != watched;
            *before = watched;
            changed
        });
    }

    /// Ends the task; an alert is closed by then.
    pub(super) async fn end(&mut self) {
        // Its task sees that nobody tells it anything any more.
        self.watched = watch::channel(Watched::default()).0;
        if tokio::time::timeout(LEAVE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for FarEndTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watcher {
    shared: Arc<Shared>,
    destination: DestinationId,
    looker: Looker,
    watched: watch::Receiver<Watched>,
    /// What is looked at; nothing before the output has said so.
    now: Option<Watched>,
    life: FarEnd,
    /// The state that was told last.
    shown: State,
}

impl Watcher {
    async fn run(mut self) {
        let mut due = None;
        loop {
            let looked = {
                let (looker, settings) = (&self.looker, &self.shared.settings.far_end);
                let url = self.now.as_ref().and_then(|now| now.url.as_ref());
                let look = async {
                    match (due, url) {
                        (Some(due), Some(url)) => {
                            sleep_until(due).await;
                            look(looker, url, settings).await
                        }
                        _ => std::future::pending().await,
                    }
                };
                tokio::select! {
                    changed = self.watched.changed() => match changed {
                        Ok(()) => None,
                        Err(_) => break,
                    },
                    look = look => Some(look),
                }
            };
            match looked {
                None => due = self.turn(due),
                Some(look) => {
                    let effect = self.life.looked(look, Timestamp::now());
                    self.perform(effect);
                    due = Some(Instant::now() + self.settings().interval);
                }
            }
        }
        self.forget();
    }

    fn settings(&self) -> &FarEndSettings {
        &self.shared.settings.far_end
    }

    /// Follows the output; answers when to look next.
    fn turn(&mut self, due: Option<Instant>) -> Option<Instant> {
        let now = self.watched.borrow_and_update().clone();
        let of = |watched: &Watched| (watched.url.clone(), watched.direction);
        let (same, was) = match &self.now {
            Some(before) => (of(before) == of(&now), before.sending),
            // An alert that an earlier run of the daemon has raised stays until there is something to be seen.
            None => (now.url.is_some(), Sending::Nothing),
        };
        if !same || (now.sending == Sending::Nothing && was != Sending::Nothing) {
            self.forget();
        }
        let due = match now.sending {
            Sending::Delivering if was == Sending::Delivering && same => due,
            Sending::Delivering => {
                self.life.interrupted();
                Some(Instant::now() + self.settings().grace)
            }
            Sending::Interrupted | Sending::Nothing => None,
        };
        self.now = Some(now);
        if due.is_some() {
            self.show();
        }
        due
    }

    /// Nothing is known any more, and nothing is wrong.
    fn forget(&mut self) {
        self.life = FarEnd::after(self.settings().looks);
        self.shown = State::Unknown;
        self.shared.alerts.recovered(self.key());
        let id = self.destination;
        self.shared.board.update(id, |view| view.far_end = None);
    }

    fn key(&self) -> Key {
        let output = Subject::Output(self.shared.of.id, self.destination);
        Key::new(AlertKind::OutputNotShowing, output)
    }

    fn perform(&mut self, effect: Option<Effect>) {
        match effect {
            Some(Effect::Raise(error)) => self.shared.alerts.raise(Report {
                key: self.key(),
                client: self.shared.of.client_id,
                name: Some(self.shared.of.config.name.clone()),
                error,
            }),
            Some(Effect::Close) => self.shared.alerts.recovered(self.key()),
            None => {}
        }
        self.show();
    }

    /// Shows what is known, and tells whoever listens when it is something else.
    fn show(&mut self) {
        let url = self.now.as_ref().and_then(|now| now.url.as_ref());
        let view = url.map(|_| FarEndView {
            checked_at: self.life.checked_at(),
            state: self.life.state(),
            why: self.life.why().map(str::to_owned),
        });
        let id = self.destination;
        self.shared
            .board
            .update(id, |shown| shown.far_end.clone_from(&view));
        if std::mem::replace(&mut self.shown, self.life.state()) == self.life.state() {
            return;
        }
        let mut data = json!(view);
        data["destinationId"] = json!(id);
        self.shared.hub.publish(hub::Event {
            kind: kind::OUTPUT_FAR_END,
            client: Some(self.shared.of.client_id),
            channel: Some(self.shared.of.id),
            data,
        });
    }
}

/// One look, once fewer than so many are under way. A fault of the look is no fault of the watcher.
async fn look(looker: &Looker, url: &PlaybackUrl, settings: &FarEndSettings) -> Look {
    let Ok(_turn) = settings.at_once.acquire().await else {
        return Look::Unknown("the daemon ends".to_owned());
    };
    let (looker, url) = (looker.clone(), url.clone());
    let looking = tokio::spawn(async move { looker.look(&url).await });
    match AbortOnDrop(looking).join().await {
        Ok(look) => look,
        Err(fault) => {
            tracing::error!(%fault, "a look at a playback URL has a fault");
            Look::Unknown("the look failed".to_owned())
        }
    }
}
