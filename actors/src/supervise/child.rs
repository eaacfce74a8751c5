//! How one child is started, restarted and stopped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, SpawnErr};

/// When a child that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always: its end is a failure.
    Permanent,
    /// When it failed; a normal end is the end.
    Transient,
}

type Start = Pin<Box<dyn Future<Output = Result<ActorCell, SpawnErr>> + Send>>;

/// One child of a supervisor.
#[derive(Clone)]
pub struct ChildSpec {
    /// Its name among its siblings.
    pub name: String,
    /// When it is started again.
    pub restart: Restart,
    /// How long it may take to stop; then it is killed.
    pub shutdown: Duration,
    /// Starts it, linked to the supervisor that is given.
    start: Arc<dyn Fn(ActorCell) -> Start + Send + Sync>,
}

impl ChildSpec {
    /// An actor: `make` makes it and its arguments, anew for each start. It is given no global
    /// name, so that a new one can start while the old one's name is still being let go.
    pub fn actor<A: Actor>(
        name: impl Into<String>,
        restart: Restart,
        shutdown: Duration,
        make: impl Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    ) -> Self {
        let start = move |supervisor: ActorCell| -> Start {
            let (actor, arguments) = make();
            Box::pin(async move {
                let started = Actor::spawn_linked(None, actor, arguments, supervisor).await;
                started.map(|(actor, _)| actor.get_cell())
            })
        };
        Self {
            name: name.into(),
            restart,
            shutdown,
            start: Arc::new(start),
        }
    }

    /// Starts it.
    pub(super) fn start(&self, supervisor: ActorCell) -> Start {
        (self.start)(supervisor)
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            restart,
            shutdown,
            ..
        } = self;
        write!(f, "ChildSpec({name:?}, {restart:?}, {shutdown:?})")
    }
}

/// What a child said that did not start.
pub(super) fn reason(error: SpawnErr) -> String {
    match error {
        SpawnErr::StartupFailed(cause) => cause.to_string(),
        other => other.to_string(),
    }
}
