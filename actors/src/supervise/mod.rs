//! Supervision: who is restarted when, and who is stopped in which order.
//!
//! - [`intensity`] and [`table`] decide, as pure functions of (history, event, now, chance).
//! - [`Supervisor`] is the handle of an actor that performs what they decide.
//! - [`ChildSpec`] says how one child is started; the table of all of them is `tree.rs`.
//!
//! Invariants:
//! - S1: a failed start and a failed run take the same path.
//! - S2: what a child does never counts against a sibling of a [`Strategy::OneForOne`] branch.
//! - S3: a child that is to be stopped gets its `post_stop`, within its time; only then it is killed.
//! - S4: a caller that goes away changes nothing.
//! - S5: no handler of a supervisor waits for a child.

mod actor;
mod child;
pub mod intensity;
pub mod table;
mod task;
#[cfg(test)]
mod tests;

pub use child::{ChildSpec, Restart};
pub use intensity::Intensity;
pub use table::{ChildState, ChildView, OnExhaustion, Strategy};
pub use task::Stopping;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use indexmap::IndexMap;
use ractor::{Actor, ActorCell, ActorRef, Message};
use tokio::sync::oneshot;

use actor::{Msg, SupervisorActor};

/// How the children of one supervisor are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Who is restarted when a child fails.
    pub strategy: Strategy,
    /// How many failures are too many.
    pub intensity: Intensity,
    /// What then happens.
    pub on_exhaustion: OnExhaustion,
    /// How the children are stopped.
    pub order: StopOrder,
}

/// How children are stopped when their supervisor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOrder {
    /// One after the other, the last one first: later ones build on earlier ones.
    Reversed,
    /// All at once: they know nothing of each other.
    Together,
}

/// Why something could not be done with a child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// There is one of this name.
    #[error("there already is a child called {0:?}")]
    Duplicate(String),
    /// There is none of this name.
    #[error("there is no child called {0:?}")]
    Unknown(String),
    /// It did not start; it was not added.
    #[error("{name} did not start: {reason}")]
    Start {
        /// The child.
        name: String,
        /// What it said.
        reason: String,
    },
    /// The supervisor itself is down or being restarted.
    #[error("the supervisor is not running")]
    Down,
}

/// A supervisor. Cheap to clone; stays valid when the supervisor is itself restarted, and so do the
/// children that were added to it.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

/// What survives a restart of the supervisor.
struct Shared {
    name: String,
    policy: Policy,
    /// Started in this order.
    specs: Mutex<IndexMap<String, ChildSpec>>,
    /// The supervisor, while it runs.
    actor: RwLock<Option<ActorRef<Msg>>>,
    /// The children that run now.
    running: RwLock<HashMap<String, ActorCell>>,
}

impl Supervisor {
    /// Starts a supervisor and its children in order.
    ///
    /// # Errors
    /// The first child that did not start; those before it are stopped again.
    pub async fn spawn(
        name: impl Into<String>,
        policy: Policy,
        children: Vec<ChildSpec>,
    ) -> Result<Self, ChildError> {
        let supervisor = Self::planned(name, policy, children);
        supervisor.start().await?;
        Ok(supervisor)
    }

    /// Starts a supervisor that was [`planned`](Supervisor::planned).
    ///
    /// # Errors
    /// The first child that did not start; those before it are stopped again.
    pub async fn start(&self) -> Result<(), ChildError> {
        let actor = SupervisorActor {
            shared: Arc::clone(&self.shared),
        };
        match Actor::spawn(None, actor, ()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let name = self.shared.name.clone();
                Err(ChildError::Start {
                    name,
                    reason: child::reason(error),
                })
            }
        }
    }

    /// A supervisor that does not run yet: [`Supervisor::start`] starts it on its own,
    /// [`Supervisor::as_child`] lets another one do that.
    pub fn planned(name: impl Into<String>, policy: Policy, children: Vec<ChildSpec>) -> Self {
        let children = children.into_iter();
        let shared = Shared {
            name: name.into(),
            policy,
            specs: Mutex::new(children.map(|spec| (spec.name.clone(), spec)).collect()),
            actor: RwLock::new(None),
            running: RwLock::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// This supervisor as the child of another one.
    pub fn as_child(&self, restart: Restart, shutdown: Duration) -> ChildSpec {
        let shared = Arc::clone(&self.shared);
        let name = shared.name.clone();
        ChildSpec::actor(name, restart, shutdown, move || {
            (
                SupervisorActor {
                    shared: Arc::clone(&shared),
                },
                (),
            )
        })
    }

    /// Starts one more child and waits until it runs. A caller that goes away meanwhile still gets
    /// its child.
    ///
    /// # Errors
    /// There is one of this name; it did not start, and was not added.
    pub async fn add_child(&self, spec: ChildSpec) -> Result<(), ChildError> {
        self.ask(|reply| Msg::Add(spec, reply)).await?
    }

    /// Stops a child, within the time it has for that, and forgets it. It is not restarted, also
    /// when it was waiting for that.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn terminate_child(&self, name: impl Into<String>) -> Result<(), ChildError> {
        let name = name.into();
        self.ask(|reply| Msg::Remove(name, reply)).await?
    }

    /// The actor of a child; nothing while it is down. Never waits.
    pub fn child<M: Message>(&self, name: &str) -> Option<ActorRef<M>> {
        let running = self
            .shared
            .running
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let cell = running.get(name)?;
        match cell.is_message_type_of::<M>() {
            Some(false) => None,
            _ => Some(cell.clone().into()),
        }
    }

    /// How the children are, in their order.
    ///
    /// # Errors
    /// The supervisor does not run.
    pub async fn observe(&self) -> Result<Vec<ChildView>, ChildError> {
        self.ask(Msg::Observe).await
    }

    /// Stops the children as the policy says and then the supervisor, each child within its time.
    pub async fn stop(&self) {
        if let Some(actor) = self.shared.actor() {
            // It is as good when it was down already.
            let _ = actor.stop_and_wait(None, None).await;
        }
    }

    /// Returns when the supervisor has ended, be it stopped or failed.
    pub async fn ended(&self) {
        if let Some(actor) = self.shared.actor() {
            // Without a limit there is nothing that can go wrong.
            let _ = actor.wait(None).await;
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Msg) -> Result<T, ChildError> {
        let (reply, answer) = oneshot::channel();
        let actor = self.shared.actor().ok_or(ChildError::Down)?;
        actor.cast(order(reply)).map_err(|_| ChildError::Down)?;
        answer.await.map_err(|_| ChildError::Down)
    }
}

impl Shared {
    fn actor(&self) -> Option<ActorRef<Msg>> {
        self.actor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_actor(&self, actor: Option<ActorRef<Msg>>) {
        *self.actor.write().unwrap_or_else(PoisonError::into_inner) = actor;
    }

    fn specs(&self) -> std::sync::MutexGuard<'_, IndexMap<String, ChildSpec>> {
        self.specs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps how a child is started, in place of what was kept under its name.
    fn keep(&self, spec: ChildSpec) {
        let mut specs = self.specs();
        specs.shift_remove(&spec.name);
        specs.insert(spec.name.clone(), spec);
    }

    fn spec(&self, name: &str) -> Option<ChildSpec> {
        self.specs().get(name).cloned()
    }

    fn runs(&self, name: &str, cell: Option<ActorCell>) {
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        match cell {
            Some(cell) => running.insert(name.to_owned(), cell),
            None => running.remove(name),
        };
    }
}
