//! The breaker around one server: every call passes here, and how the server does is told from here.
//!
//! Only what the server does counts: silence, refused and cut connections open the breaker; a refused
//! statement, a lock or our own crowd do not. Whether it is slow is judged by short looks at it: a statement that
//! takes long may wait for a lock. A server that answers but takes nothing new (its disk is full,
//! say) stays in use for reading and is called full until it has taken something for a while.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use playout_domain::breaker::{Breaker, Change, Moment, Outcome, Pass, Settings};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Away, Fault, StoreError};

/// So long after it refused something last, a full server that takes a probe counts as in order.
const STAYS_FULL: Duration = Duration::from_secs(15);

/// A server that the store stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// The truth.
    Postgres,
    /// The hot copy.
    Redis,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        })
    }
}

/// How a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It does what is asked.
    Works,
    /// It takes nothing new, its disk being full, say; it may answer what it has: one sentence why.
    Full(String),
    /// It does not answer, or not in time: one sentence why.
    Away(String),
}

impl Condition {
    /// Whether it answers and takes what is new.
    pub const fn works(&self) -> bool {
        matches!(self, Self::Works)
    }

    /// Why it does not.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Works => None,
            Self::Full(why) | Self::Away(why) => Some(why),
        }
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// To find out how the server does: the time it takes is the server's own.
    HowItDoes,
    /// Anything else: it may wait for others.
    Something,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Gate {
    server: Server,
    /// The moment that the breaker's moments are counted from.
    origin: Instant,
    state: Mutex<State>,
    /// The breaker's epoch: calls under way are given up when it changes.
    epoch: watch::Sender<u64>,
    condition: watch::Sender<Condition>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// When something new was refused last, while the server counts as full.
    full: Option<Moment>,
    /// Why the last call that failed did so.
    why: String,
    /// What is known from elsewhere: its disk is full, which keeps it from running.
    no_room: Option<String>,
}

impl Gate {
    /// A gate that is open: the server is expected to answer.
    pub(crate) fn of(server: Server) -> Self {
        let breaker = Breaker::closed(Settings::STORE, Moment::ZERO);
        Self::with(server, breaker, Condition::Works)
    }

    /// A gate that is shut until the server has answered.
    pub(crate) fn shut(server: Server, why: &str) -> Self {
        let breaker = Breaker::open(Settings::STORE, Moment::ZERO);
        Self::with(server, breaker, Condition::Away(why.to_owned()))
    }

    fn with(server: Server, breaker: Breaker, condition: Condition) -> Self {
        let why = condition.why().unwrap_or_default().to_owned();
        let state = State {
            breaker,
            full: None,
            why,
            no_room: None,
        };
        Self {
            server,
            origin: Instant::now(),
            epoch: watch::Sender::new(state.breaker.epoch()),
            state: Mutex::new(state),
            condition: watch::Sender::new(condition),
        }
    }

    /// How the server does, now and later.
    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Counts the changes of the breaker: a connection of another epoch is not to be used.
    pub(crate) fn epoch(&self) -> u64 {
        *self.epoch.borrow()
    }

    /// Whether a call would pass.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once while the server is away.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.pass().map(drop)
    }

    /// Whether a call that writes something new would be taken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once while the server is away or full.
    pub(crate) fn takes_new(&self) -> Result<(), StoreError> {
        self.check()?;
        let condition = self.condition.borrow();
        match condition.why() {
            None => Ok(()),
            Some(why) => Err(StoreError::full(format!("{} is full: {why}", self.server))),
        }
    }

    /// Makes a call. One that is under way when the breaker opens is given up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once while the server is away; as `call`.
    pub(crate) async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let pass = self.pass()?;
        self.call(pass, Asked::Something, call).await
    }

    /// The same for a call that only looks how the server does.
    ///
    /// # Errors
    /// As [`Gate::through`].
    pub(crate) async fn look<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let pass = self.pass()?;
        self.call(pass, Asked::HowItDoes, call).await
    }

    /// Asks a server that is away whether it is back; nothing while it is not, or somebody else asks.
    pub(crate) async fn probe<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        let now = self.now();
        let pass = self.lock().breaker.probe(now)?;
        Some(self.call(pass, Asked::HowItDoes, call).await)
    }

    /// A probe that writes got through: a full server counts as in order, unless it refused something
    /// only a moment ago.
    pub(crate) fn takes(&self) {
        let now = self.now();
        let mut state = self.lock();
        if state
            .full
            .is_some_and(|last| now.saturating_sub(last) >= STAYS_FULL)
        {
            state.full = None;
            self.tell(&state);
        }
    }

    /// Notes what keeps the server from running: its disk is full. Nothing: that is not so, or not known.
    pub(crate) fn no_room(&self, sentence: Option<String>) {
        let mut state = self.lock();
        state.no_room = sentence;
        self.tell(&state);
    }

    fn pass(&self) -> Result<Pass, StoreError> {
        let now = self.now();
        let state = self.lock();
        state.breaker.pass(now).map_err(|retry_after| {
            StoreError::Unavailable(Away {
                cause: format!("{} is away: {}", self.server, state.why),
                retry_after,
                fault: Fault::Server,
            })
        })
    }

    async fn call<T>(
        &self,
        pass: Pass,
        asked: Asked,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.now();
        let mut epoch = self.epoch.subscribe();
        tokio::select! {
            biased;
            done = call => {
                self.note(pass, asked, begun, done.as_ref().err());
                done
            }
            // The sender lives as long as the gate.
            _ = epoch.wait_for(|epoch| *epoch != pass.epoch()) => Err(StoreError::away(format!(
                "{} went away meanwhile: whether it was done is not known",
                self.server
            ))),
        }
    }

    fn note(&self, pass: Pass, asked: Asked, begun: Moment, error: Option<&StoreError>) {
        let now = self.now();
        let took = now.saturating_sub(begun);
        let answered = match asked {
            Asked::Something if took >= Settings::STORE.slow => Outcome::AnsweredAtLength,
            Asked::Something | Asked::HowItDoes => Outcome::Answered(took),
        };
        let mut state = self.lock();
        let outcome = match error {
            Some(StoreError::Unavailable(away)) if away.fault == Fault::Server => {
                state.why.clone_from(&away.cause);
                Outcome::Failed
            }
            Some(StoreError::Unavailable(away))
                if matches!(away.fault, Fault::Full | Fault::NoRoom) =>
            {
                state.why.clone_from(&away.cause);
                state.full = Some(now);
                answered
            }
            _ => answered,
        };
        let change = state.breaker.note(pass, outcome, now);
        if let Some(change) = change {
            self.epoch.send_replace(state.breaker.epoch());
            match change {
                Change::Opened => {
                    tracing::error!(server = %self.server, why = state.why, "a store is away; it is asked again until it is back");
                }
                Change::Closed => tracing::info!(server = %self.server, "a store is back"),
            }
        }
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        let why = || state.why.clone();
        self.condition.send_if_modified(|condition| {
            let now = match (state.breaker.is_closed(), state.full) {
                (false, _) => match &state.no_room {
                    Some(no_room) => Condition::Full(no_room.clone()),
                    None => Condition::Away(why()),
                },
                (true, Some(_)) => Condition::Full(why()),
                (true, None) => Condition::Works,
            };
            // Another reason is no other condition.
            let changed = std::mem::discriminant(condition) != std::mem::discriminant(&now);
            *condition = now;
            changed
        });
    }

    fn now(&self) -> Moment {
        self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_is_kept_from_running_by_a_full_disk_is_called_full_and_still_not_asked() {
        let gate = Gate::shut(Server::Postgres, "nobody listens");
        gate.no_room(Some("no room".to_owned()));
        assert_eq!(
            *gate.condition().borrow(),
            Condition::Full("no room".to_owned())
        );
        assert!(gate.check().is_err());
        gate.no_room(None);
        assert!(matches!(*gate.condition().borrow(), Condition::Away(_)));
    }

    async fn call(gate: &Gate, answer: Result<(), StoreError>) -> Result<(), StoreError> {
        gate.through(async { answer }).await
    }

    #[tokio::test(start_paused = true)]
    async fn silence_opens_it_and_refusals_do_not() {
        let gate = Gate::of(Server::Postgres);
        let refusals = [
            StoreError::NotFound,
            StoreError::internal("a wrong column"),
            StoreError::busy("a lock"),
        ];
        for refusal in refusals.iter().cycle().take(20) {
            call(&gate, Err(refusal.clone())).await.unwrap_err();
        }
        assert_eq!(*gate.condition().borrow(), Condition::Works);
        for _ in 0..3 {
            call(&gate, Err(StoreError::away("nobody listens")))
                .await
                .unwrap_err();
        }
        let away = Condition::Away("nobody listens".to_owned());
        assert_eq!(*gate.condition().borrow(), away);
        let asked = gate.through(async { unreachable!("it is not asked") as Result<(), _> });
        let StoreError::Unavailable(refused) = asked.await.unwrap_err() else {
            panic!("it is not said to be away");
        };
        assert_eq!(refused.cause(), "PostgreSQL is away: nobody listens");
        assert_eq!(refused.retry_after(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_looks_open_it_and_statements_that_wait_for_a_lock_do_not() {
        let gate = Gate::of(Server::Postgres);
        let late = async |answer: Result<(), StoreError>| {
            tokio::time::sleep(Settings::STORE.slow).await;
            answer
        };
        for answer in [Ok(()), Err(StoreError::busy("a lock"))] {
            for _ in 0..Settings::STORE.window {
                assert_eq!(gate.through(late(answer.clone())).await, answer);
            }
        }
        assert!(gate.condition().borrow().works());
        for _ in 0..Settings::STORE.window {
            gate.look(late(Ok(()))).await.unwrap();
        }
        assert!(!gate.condition().borrow().works());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_when_it_opens_is_given_up() {
        let gate = Gate::of(Server::Redis);
        let hangs = gate.through(std::future::pending::<Result<(), _>>());
        let fails = async {
            for _ in 0..3 {
                call(&gate, Err(StoreError::away("cut"))).await.unwrap_err();
            }
        };
        let (given_up, ()) = tokio::join!(hangs, fails);
        assert!(
            given_up
                .unwrap_err()
                .to_string()
                .contains("whether it was done is not known")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_answered_opens_the_way_and_none_comes_before_its_time() {
        let gate = Gate::shut(Server::Postgres, "not asked yet");
        assert!(gate.check().is_err());
        let silent = gate.probe(async { Err::<(), _>(StoreError::away("silent")) });
        assert!(silent.await.unwrap().is_err());
        assert!(gate.probe(async { Ok(()) }).await.is_none(), "too early");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(gate.probe(async { Ok(()) }).await, Some(Ok(())));
        assert!(gate.check().is_ok() && gate.condition().borrow().works());
        assert!(
            gate.probe(async { Ok(()) }).await.is_none(),
            "it is not away"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_server_is_read_from_and_called_full_until_it_takes_something_again() {
        let gate = Gate::of(Server::Redis);
        for _ in 0..30 {
            call(&gate, Err(StoreError::full("no space")))
                .await
                .unwrap_err();
        }
        assert_eq!(
            *gate.condition().borrow(),
            Condition::Full("no space".to_owned())
        );
        call(&gate, Ok(())).await.unwrap();
        gate.takes();
        assert!(!gate.condition().borrow().works(), "a moment ago it was");
        tokio::time::advance(STAYS_FULL).await;
        assert!(!gate.condition().borrow().works(), "it took nothing yet");
        gate.takes();
        assert!(gate.condition().borrow().works());
    }
}
