//! The supervisor's actor: performs what the [`Table`](super::table) decides, and never waits for a
//! child in a handler.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::backoff::Chance;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::child::{ChildSpec, reason};
use super::table::{ChildView, Effect, Event, OnExhaustion, Table};
use super::{ChildError, Shared, StopOrder};

/// How long a child may take to start.
const START: Duration = Duration::from_secs(30);
/// How long a killed child may take to be gone. Only one that blocks its thread takes longer; it is
/// given up.
const KILL: Duration = Duration::from_secs(2);

pub(super) enum Msg {
    Add(ChildSpec, oneshot::Sender<Result<(), ChildError>>),
    Remove(String, oneshot::Sender<Result<(), ChildError>>),
    Observe(oneshot::Sender<Vec<ChildView>>),
    /// A child was started, or was not.
    Started(String, u64, Result<ActorCell, String>),
    /// A child neither stopped nor died in time.
    GivenUp(String, u64, ActorId),
    RetryDue(String, u64),
}

pub(super) struct SupervisorActor {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct State {
    table: Table,
    /// The children that run or are being stopped: whose end means what.
    alive: HashMap<ActorId, (String, u64)>,
    cells: HashMap<String, ActorCell>,
    /// Children that ended before it was known that they had started; `true`: without a failure.
    early: HashMap<ActorId, bool>,
    /// Starts under way.
    starting: HashMap<String, AbortHandle>,
    /// Who waits for a child to have started.
    adding: HashMap<String, oneshot::Sender<Result<(), ChildError>>>,
    /// Who waits for a child to be gone.
    removing: HashMap<String, Vec<oneshot::Sender<Result<(), ChildError>>>>,
    /// Why the supervisor is about to fail.
    escalated: Option<String>,
}

type Me = ActorRef<Msg>;

impl Actor for SupervisorActor {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    /// Starts the children in order. Where failures escalate, one that does not start is the
    /// failure of all; elsewhere it is that child's alone.
    async fn pre_start(&self, me: Me, (): ()) -> Result<State, ActorProcessingErr> {
        let policy = self.shared.policy;
        let mut state = State {
            table: Table::new(policy.strategy, policy.intensity, policy.on_exhaustion),
            alive: HashMap::new(),
            cells: HashMap::new(),
            early: HashMap::new(),
            starting: HashMap::new(),
            adding: HashMap::new(),
            removing: HashMap::new(),
            escalated: None,
        };
        let specs = self.shared.specs().clone();
        for spec in specs.into_values() {
            state.table.adopt(&spec.name, spec.restart);
            match launch(&spec, me.get_cell()).await {
                Ok(cell) => self.started(&me, &mut state, spec.name, 1, cell),
                Err(reason) if policy.on_exhaustion == OnExhaustion::Escalate => {
                    self.stop_all(&me, &mut state).await;
                    return Err(format!("{} did not start: {reason}", spec.name).into());
                }
                Err(reason) => self.start_failed(&me, &mut state, &spec.name, 1, reason),
            }
        }
        self.shared.set_actor(Some(me));
        Ok(state)
    }

    async fn handle(&self, me: Me, msg: Msg, state: &mut State) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Observe(reply) => drop(reply.send(state.table.view())), // the asker may have left
            Msg::Add(spec, reply) => {
                if !state.table.has_room_for(&spec.name) {
                    drop(reply.send(Err(ChildError::Duplicate(spec.name))));
                    return Ok(());
                }
                let (name, restart) = (spec.name.clone(), spec.restart);
                self.shared.keep(spec);
                state.adding.insert(name.clone(), reply);
                return self
                    .on(
                        &me,
                        state,
                        Event::Add {
                            name: &name,
                            restart,
                        },
                    )
                    .await;
            }
            Msg::Remove(name, reply) => {
                if !state.table.has(&name) {
                    drop(reply.send(Err(ChildError::Unknown(name))));
                    return Ok(());
                }
                state.removing.entry(name.clone()).or_default().push(reply);
                return self.on(&me, state, Event::Remove { name: &name }).await;
            }
            Msg::Started(name, generation, Ok(cell)) => {
                self.started(&me, state, name, generation, cell);
            }
            Msg::Started(name, generation, Err(reason)) => {
                self.start_failed(&me, state, &name, generation, reason);
            }
            Msg::GivenUp(name, generation, id) => {
                if state.alive.remove(&id).is_some() {
                    tracing::error!(
                        supervisor = self.shared.name,
                        child = name,
                        "it cannot be killed and is given up"
                    );
                    self.gone(state, &name);
                    return self.exited(&me, state, &name, generation, false).await;
                }
            }
            Msg::RetryDue(name, generation) => {
                return self
                    .on(
                        &me,
                        state,
                        Event::RetryDue {
                            name: &name,
                            generation,
                        },
                    )
                    .await;
            }
        }
        self.settle(&me, state).await
    }

    async fn handle_supervisor_evt(
        &self,
        me: Me,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (id, clean, reason) = match &event {
            // A killed child and one whose task was cancelled have failed.
            SupervisionEvent::ActorTerminated(cell, last, reason) => {
                (cell.get_id(), last.is_some(), reason.clone())
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                (cell.get_id(), false, Some(error.to_string()))
            }
            _ => return Ok(()),
        };
        // The last state of the child ends here, and with it the processes it owns.
        drop(event);
        let Some((name, generation)) = state.alive.remove(&id) else {
            state.early.insert(id, clean);
            return Ok(());
        };
        if !clean {
            let reason = reason.unwrap_or_default();
            tracing::error!(
                supervisor = self.shared.name,
                child = name,
                reason,
                "it failed"
            );
        }
        self.gone(state, &name);
        self.exited(&me, state, &name, generation, clean).await
    }

    async fn post_stop(&self, me: Me, state: &mut State) -> Result<(), ActorProcessingErr> {
        self.shared.set_actor(None);
        self.stop_all(&me, state).await;
        Ok(())
    }
}

impl SupervisorActor {
    async fn on(
        &self,
        me: &Me,
        state: &mut State,
        event: Event<'_>,
    ) -> Result<(), ActorProcessingErr> {
        let effects = decide(&mut state.table, &event);
        self.perform(me, state, effects);
        self.settle(me, state).await
    }

    async fn exited(
        &self,
        me: &Me,
        state: &mut State,
        name: &str,
        generation: u64,
        clean: bool,
    ) -> Result<(), ActorProcessingErr> {
        self.on(
            me,
            state,
            Event::Exited {
                name,
                generation,
                clean,
            },
        )
        .await
    }

    fn started(&self, me: &Me, state: &mut State, name: String, generation: u64, cell: ActorCell) {
        state.starting.remove(&name);
        let id = cell.get_id();
        state.alive.insert(id, (name.clone(), generation));
        state.cells.insert(name.clone(), cell.clone());
        self.shared.runs(&name, Some(cell));
        if let Some(reply) = state.adding.remove(&name) {
            drop(reply.send(Ok(()))); // the asker may have left
        }
        let effects = decide(
            &mut state.table,
            &Event::Started {
                name: &name,
                generation,
            },
        );
        self.perform(me, state, effects);
        if let Some(clean) = state.early.remove(&id) {
            state.alive.remove(&id);
            self.gone(state, &name);
            let effects = decide(
                &mut state.table,
                &Event::Exited {
                    name: &name,
                    generation,
                    clean,
                },
            );
            self.perform(me, state, effects);
        }
    }

    fn start_failed(
        &self,
        me: &Me,
        state: &mut State,
        name: &str,
        generation: u64,
        reason: String,
    ) {
        state.starting.remove(name);
        tracing::error!(
            supervisor = self.shared.name,
            child = name,
            reason,
            "it did not start"
        );
        if let Some(reply) = state.adding.remove(name) {
            let error = ChildError::Start {
                name: name.to_owned(),
                reason,
            };
            drop(reply.send(Err(error))); // the asker may have left
        }
        let effects = decide(&mut state.table, &Event::StartFailed { name, generation });
        self.perform(me, state, effects);
    }

    /// A child does not run any more.
    fn gone(&self, state: &mut State, name: &str) {
        state.cells.remove(name);
        self.shared.runs(name, None);
    }

    fn perform(&self, me: &Me, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start { name, generation } => self.start(me, state, name, generation),
                Effect::Stop { name, generation } => self.stop(me, state, name, generation),
                Effect::Retry {
                    name,
                    generation,
                    after,
                } => {
                    tracing::info!(
                        supervisor = self.shared.name,
                        child = name,
                        ?after,
                        "restarting"
                    );
                    me.send_after(after, move || Msg::RetryDue(name, generation));
                }
                Effect::Forgotten { name } => {
                    self.shared.specs().shift_remove(&name);
                    for reply in state.removing.remove(&name).unwrap_or_default() {
                        drop(reply.send(Ok(()))); // the asker may have left
                    }
                }
                Effect::Escalate { name, failures } => {
                    state.escalated = Some(format!("{name} failed {failures} times"));
                }
            }
        }
    }

    /// In a task of its own: a start may take long, and must not end with who asked for it.
    fn start(&self, me: &Me, state: &mut State, name: String, generation: u64) {
        let Some(spec) = self.shared.spec(&name) else {
            return;
        };
        let me = me.clone();
        let known = name.clone();
        let task = tokio::spawn(async move {
            let started = launch(&spec, me.get_cell()).await;
            // A supervisor that is gone has stopped what it had started.
            let _ = me.cast(Msg::Started(name, generation, started));
        });
        state.starting.insert(known, task.abort_handle());
    }

    fn stop(&self, me: &Me, state: &mut State, name: String, generation: u64) {
        let Some(cell) = state.cells.get(&name).cloned() else {
            return;
        };
        let shutdown = self.shared.spec(&name).map_or(KILL, |spec| spec.shutdown);
        let me = me.clone();
        tokio::spawn(async move {
            if !end(&cell, shutdown).await {
                // A supervisor that is gone needs not know.
                let _ = me.cast(Msg::GivenUp(name, generation, cell.get_id()));
            }
        });
    }

    /// Fails, if that was decided, after the children have been stopped in order: a supervisor
    /// that just fails has them killed.
    async fn settle(&self, me: &Me, state: &mut State) -> Result<(), ActorProcessingErr> {
        let Some(reason) = state.escalated.take() else {
            return Ok(());
        };
        tracing::error!(supervisor = self.shared.name, reason, "giving up");
        self.shared.set_actor(None);
        self.stop_all(me, state).await;
        Err(reason.into())
    }

    /// Stops every child within its time, as the policy says.
    async fn stop_all(&self, me: &Me, state: &mut State) {
        for (_, start) in state.starting.drain() {
            start.abort();
        }
        let specs = self.shared.specs().clone();
        let alive = specs
            .into_values()
            .rev()
            .filter_map(|spec| Some((state.cells.remove(&spec.name)?, spec.shutdown)));
        let alive: Vec<(ActorCell, Duration)> = alive.collect();
        match self.shared.policy.order {
            StopOrder::Reversed => {
                for (cell, shutdown) in alive {
                    end(&cell, shutdown).await;
                }
            }
            StopOrder::Together => {
                let mut ending = tokio::task::JoinSet::new();
                for (cell, shutdown) in alive {
                    ending.spawn(async move { end(&cell, shutdown).await });
                }
                while ending.join_next().await.is_some() {}
            }
        }
        // One that came up at this very moment is known to nobody else.
        me.get_cell().stop_children_and_wait(None, Some(KILL)).await;
        self.shared
            .running
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clear();
    }
}

fn decide(table: &mut Table, event: &Event<'_>) -> Vec<Effect> {
    let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
    table.on(
        event,
        Instant::now().into_std(),
        Chance::from_bits(random as u32),
    )
}

/// Starts a child, within bounded time.
async fn launch(spec: &ChildSpec, supervisor: ActorCell) -> Result<ActorCell, String> {
    match timeout(START, spec.start(supervisor)).await {
        Ok(started) => started.map_err(reason),
        Err(_) => Err(format!("it did not start within {START:?}")),
    }
}

/// Stops an actor; kills it when it takes longer than `shutdown`. Whether it is gone then.
async fn end(cell: &ActorCell, shutdown: Duration) -> bool {
    if cell.stop_and_wait(None, Some(shutdown)).await.is_ok() {
        return true;
    }
    cell.kill();
    cell.wait(Some(KILL)).await.is_ok()
}
