//! The children of one supervisor as data, and what follows when something happens to one of them.
//!
//! Decides only; the supervisor's actor performs the [`Effect`]s. Time and chance are arguments.
//! Each start of a child is a generation of it; what an earlier generation reports changes nothing.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use playout_domain::backoff::{self, Chance};
use serde::Serialize;

use super::child::Restart;
use super::intensity::{History, Intensity, Verdict};

/// Who is restarted when a child fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// That child alone. Failures are counted per child.
    OneForOne,
    /// That child and those started after it, which build on it. Failures are counted together.
    RestForOne,
}

/// What happens when failures are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhaustion {
    /// The supervisor stops its children and fails itself: the one above decides.
    Escalate,
    /// The child stays down and is tried again after a while; its siblings are not touched.
    Park {
        /// After so long.
        retry: Duration,
    },
}

/// How a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildState {
    /// To be started when those before it run.
    Down,
    /// Being started.
    Starting,
    /// It runs.
    Up,
    /// Being stopped.
    Stopping,
    /// It failed and is restarted after a delay.
    Waiting,
    /// It failed too often and is tried again from time to time.
    Parked,
    /// It ended by itself, as it should.
    Ended,
}

/// A child as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildView {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ChildState,
    /// How often it was started again.
    pub restarts: u64,
}

/// Something that happened. `generation` says to which start of the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A child is wanted.
    Add { name: &'a str, restart: Restart },
    /// A child is not wanted any more.
    Remove { name: &'a str },
    /// It runs.
    Started { name: &'a str, generation: u64 },
    /// It did not start.
    StartFailed { name: &'a str, generation: u64 },
    /// It has ended; `clean`: by itself or because it was asked to, without a failure.
    Exited {
        name: &'a str,
        generation: u64,
        clean: bool,
    },
    /// The delay before its restart is over.
    RetryDue { name: &'a str, generation: u64 },
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start it.
    Start { name: String, generation: u64 },
    /// Stop it.
    Stop { name: String, generation: u64 },
    /// Report [`Event::RetryDue`] after a delay.
    Retry {
        name: String,
        generation: u64,
        after: Duration,
    },
    /// It is not a child any more.
    Forgotten { name: String },
    /// Fail.
    Escalate { name: String, failures: u32 },
}

#[derive(Debug)]
struct Slot {
    restart: Restart,
    state: ChildState,
    /// Counts its starts.
    generation: u64,
    /// Stop it as soon as it runs, and forget it once it is down.
    leaving: bool,
    /// It has not run yet since it was added: when it does not start, it is not added.
    joining: bool,
    /// Its failures, where they are counted per child.
    history: History,
}

impl Slot {
    fn is_alive(&self) -> bool {
        matches!(
            self.state,
            ChildState::Starting | ChildState::Up | ChildState::Stopping
        )
    }
}

/// The children of one supervisor, in the order in which they are started.
#[derive(Debug)]
pub struct Table {
    strategy: Strategy,
    intensity: Intensity,
    on_exhaustion: OnExhaustion,
    slots: IndexMap<String, Slot>,
    /// Their failures, where they are counted together.
    history: History,
}

impl Table {
    /// A table without children.
    pub fn new(strategy: Strategy, intensity: Intensity, on_exhaustion: OnExhaustion) -> Self {
        Self {
            strategy,
            intensity,
            on_exhaustion,
            slots: IndexMap::new(),
            history: Vec::new(),
        }
    }

    /// Whether a child of this name may be added: there is none, or it has ended for good.
    pub fn has_room_for(&self, name: &str) -> bool {
        let slot = self.slots.get(name);
        slot.is_none_or(|slot| slot.state == ChildState::Ended)
    }

    /// Whether there is a child of this name.
    pub fn has(&self, name: &str) -> bool {
        self.slots.contains_key(name)
    }

    /// The children as others see them.
    pub fn view(&self) -> Vec<ChildView> {
        let view = |(name, slot): (&String, &Slot)| ChildView {
            name: name.clone(),
            state: slot.state,
            restarts: slot.generation.saturating_sub(1),
        };
        self.slots.iter().map(view).collect()
    }

    /// What follows from `event` at `now`. Unknown names and earlier generations change nothing.
    pub fn on(&mut self, event: &Event<'_>, now: Instant, chance: Chance) -> Vec<Effect> {
        let mut effects = Vec::new();
        match *event {
            Event::Add { name, restart } => self.add(name, restart),
            Event::Remove { name } => self.remove(name, &mut effects),
            Event::Started { name, generation } => {
                if let Some(slot) = self.slot(name, generation, ChildState::Starting) {
                    slot.state = ChildState::Up;
                    slot.joining = false;
                    if slot.leaving {
                        effects.push(stop(name, slot));
                    }
                }
            }
            Event::StartFailed { name, generation } => {
                if self.slot(name, generation, ChildState::Starting).is_some() {
                    self.down(name, false, now, chance, &mut effects);
                }
            }
            Event::Exited {
                name,
                generation,
                clean,
            } => {
                let current = self.slots.get(name);
                if current.is_some_and(|slot| slot.generation == generation && slot.is_alive()) {
                    self.down(name, clean, now, chance, &mut effects);
                }
            }
            Event::RetryDue { name, generation } => {
                for state in [ChildState::Waiting, ChildState::Parked] {
                    if let Some(slot) = self.slot(name, generation, state) {
                        slot.state = ChildState::Down;
                    }
                }
            }
        }
        self.advance(&mut effects);
        effects
    }

    fn slot(&mut self, name: &str, generation: u64, state: ChildState) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(name)?;
        (slot.generation == generation && slot.state == state).then_some(slot)
    }

    fn add(&mut self, name: &str, restart: Restart) {
        self.slots.shift_remove(name);
        let slot = Slot {
            restart,
            state: ChildState::Down,
            generation: 0,
            leaving: false,
            joining: true,
            history: Vec::new(),
        };
        self.slots.insert(name.to_owned(), slot);
    }

    /// A child that is being started with its supervisor: its generation 1.
    pub(super) fn adopt(&mut self, name: &str, restart: Restart) {
        self.add(name, restart);
        if let Some(slot) = self.slots.get_mut(name) {
            start(name, slot);
            slot.joining = false;
        }
    }

    fn remove(&mut self, name: &str, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        slot.leaving = true;
        match slot.state {
            ChildState::Up => effects.push(stop(name, slot)),
            ChildState::Starting | ChildState::Stopping => {}
            _ => self.forget(name, effects),
        }
    }

    fn forget(&mut self, name: &str, effects: &mut Vec<Effect>) {
        self.slots.shift_remove(name);
        let name = name.to_owned();
        effects.push(Effect::Forgotten { name });
    }

    /// A child that was alive is down.
    fn down(
        &mut self,
        name: &str,
        clean: bool,
        now: Instant,
        chance: Chance,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let was = slot.state;
        slot.state = ChildState::Down;
        if slot.leaving || (slot.joining && was == ChildState::Starting) {
            return self.forget(name, effects);
        }
        if was == ChildState::Stopping {
            return; // It was stopped for a sibling's sake and is started again in its turn.
        }
        if clean && slot.restart == Restart::Transient {
            slot.state = ChildState::Ended;
            return;
        }
        let history = match self.strategy {
            Strategy::OneForOne => &mut slot.history,
            Strategy::RestForOne => &mut self.history,
        };
        let (counted, verdict) = self.intensity.judge(history, now);
        *history = counted;
        let (state, after) = match (verdict, self.on_exhaustion) {
            (Verdict::Restart { failures }, _) => {
                (ChildState::Waiting, backoff::delay(failures, chance))
            }
            (Verdict::Exhausted { .. }, OnExhaustion::Park { retry }) => {
                (ChildState::Parked, retry)
            }
            (Verdict::Exhausted { failures }, OnExhaustion::Escalate) => {
                effects.push(Effect::Escalate {
                    name: name.to_owned(),
                    failures,
                });
                return;
            }
        };
        if !after.is_zero() {
            slot.state = state;
            let (name, generation) = (name.to_owned(), slot.generation);
            effects.push(Effect::Retry {
                name,
                generation,
                after,
            });
        }
    }

    /// Starts what is down and may run; stops what must not run while another is down.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Escalate { .. }))
        {
            return;
        }
        match self.strategy {
            Strategy::OneForOne => {
                for (name, slot) in &mut self.slots {
                    if slot.state == ChildState::Down {
                        effects.push(start(name, slot));
                    }
                }
            }
            Strategy::RestForOne => self.advance_in_order(effects),
        }
    }

    /// The later ones are stopped one by one, the last first; then all are started in order.
    fn advance_in_order(&mut self, effects: &mut Vec<Effect>) {
        let settled =
            |slot: &Slot| slot.leaving || matches!(slot.state, ChildState::Up | ChildState::Ended);
        let Some(first) = self.slots.values().position(|slot| !settled(slot)) else {
            return;
        };
        let last = self
            .slots
            .iter_mut()
            .skip(first + 1)
            .rfind(|(_, slot)| slot.is_alive());
        if let Some((name, last)) = last {
            // One that is being started or stopped is waited for.
            if last.state == ChildState::Up && !last.leaving {
                effects.push(stop(name, last));
            }
        } else if let Some((name, first)) = self.slots.get_index_mut(first)
            && first.state == ChildState::Down
        {
            effects.push(start(name, first));
        }
    }
}

fn start(name: &str, slot: &mut Slot) -> Effect {
    slot.state = ChildState::Starting;
    slot.generation += 1;
    Effect::Start {
        name: name.to_owned(),
        generation: slot.generation,
    }
}

fn stop(name: &str, slot: &mut Slot) -> Effect {
    slot.state = ChildState::Stopping;
    Effect::Stop {
        name: name.to_owned(),
        generation: slot.generation,
    }
}
