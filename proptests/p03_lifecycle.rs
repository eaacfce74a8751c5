//! P3 (2.1–2.3, 3.3), its pure half: whatever orders and facts come, in whatever order, the state machine
//! does what a plain model does, and the processes that follow from its effects are as they should be.

use jiff::Timestamp;
use playout_domain::lifecycle::{Effect, Event, Generation, LifeState, Lifecycle, Operation};
use playout_domain::{ChannelStatus, Desired};
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

/// What happens, and how long after what happened before (in ms).
#[derive(Debug, Clone)]
struct Step {
    after: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Order(Operation),
    /// A fact of the playout that is so many generations before the latest one (or after it, if negative).
    Fact(Fact, i64),
    Drain,
    /// The daemon is killed, and another one comes up; the channel was last seen so many ms before.
    Killed(Option<u64>),
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    FirstSegment,
    SourceRestarted,
    PlayoutFailed,
    RetryDue,
    Healthy,
    Stopped,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operation = || {
        select(vec![
            Operation::Start,
            Operation::Start,
            Operation::Stop,
            Operation::Restart,
            Operation::Skip,
        ])
    };
    let calm = select(vec![
        Fact::FirstSegment,
        Fact::SourceRestarted,
        Fact::PlayoutFailed,
        Fact::RetryDue,
        Fact::Healthy,
        Fact::Stopped,
    ]);
    // Where failure follows failure the budget is spent, and only then there is an ERROR to see.
    let troubled = select(vec![
        Fact::FirstSegment,
        Fact::SourceRestarted,
        Fact::PlayoutFailed,
        Fact::Stopped,
        Fact::RetryDue,
        Fact::RetryDue,
    ]);
    let old = || prop_oneof![8 => Just(0), 1 => -1..3_i64];
    let calm = prop_oneof![
        4 => operation().prop_map(What::Order),
        12 => (calm, old()).prop_map(|(fact, old)| What::Fact(fact, old)),
        1 => Just(What::Drain),
        1 => prop::option::of(0..100_000_u64).prop_map(What::Killed),
    ];
    let troubled = prop_oneof![
        1 => operation().prop_map(What::Order),
        30 => (troubled, old()).prop_map(|(fact, old)| What::Fact(fact, old)),
        1 => Just(What::Fact(Fact::Healthy, 0)),
    ];
    let after = || prop_oneof![Just(0), 0..2_000_u64, 0..120_000_u64];
    let soon = || prop_oneof![9 => 0..2_000_u64, 1 => 0..120_000_u64];
    prop_oneof![
        prop::collection::vec(
            (after(), calm).prop_map(|(after, what)| Step { after, what }),
            1..150
        ),
        prop::collection::vec(
            (soon(), troubled).prop_map(|(after, what)| Step { after, what }),
            1..150
        )
        .prop_map(|mut steps| {
            steps.insert(
                0,
                Step {
                    after: 0,
                    what: What::Order(Operation::Start),
                },
            );
            steps
        }),
    ]
}

/// A channel as the requirements tell it, in milliseconds and plain lists.
#[derive(Debug, Clone, Default)]
struct Model {
    wanted: bool,
    on_air: Air,
    generation: u64,
    /// Whether a playout runs; if not, and the channel is not off air, a retry is due.
    running: bool,
    /// When it failed since the last fresh start.
    failures: Vec<u64>,
    /// Every span in which it was LIVE; the last one may be open.
    live: Vec<(u64, Option<u64>)>,
    restarts: u64,
    restarts_since_start: u64,
    started: Option<u64>,
    stopped: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Air {
    #[default]
    Off,
    Starting,
    Live,
    Error,
}

impl Model {
    fn go(&mut self, to: Air, now: u64) {
        if self.on_air == Air::Live
            && to != Air::Live
            && let Some((_, open)) = self.live.last_mut()
        {
            *open = Some(now);
        }
        if self.on_air != Air::Live && to == Air::Live {
            self.live.push((now, None));
        }
        self.on_air = to;
    }

    fn uptime(&self, now: u64) -> u64 {
        self.live
            .iter()
            .map(|(from, to)| to.unwrap_or(now).saturating_sub(*from))
            .sum()
    }

    /// A playout from nothing: another generation, no failures behind it.
    fn fresh(&mut self, now: u64) -> u64 {
        self.go(Air::Starting, now);
        self.wanted = true;
        self.running = true;
        self.failures.clear();
        self.restarts_since_start = 0;
        self.generation += 1;
        self.generation
    }

    /// Notes a failure; answers whether ten have happened within five minutes.
    fn fail(&mut self, now: u64) -> bool {
        self.failures.push(now);
        self.restarts += 1;
        self.restarts_since_start += 1;
        let lately = self
            .failures
            .iter()
            .rev()
            .take_while(|at| now - **at <= 300_000)
            .count();
        if lately >= 10 {
            self.go(Air::Error, now);
        }
        self.on_air == Air::Error
    }

    /// Failures in a row: those with no time of health (beyond the wait for the next attempt) between.
    fn in_a_row(&self) -> u32 {
        let mut count = 0_u32;
        for (n, at) in self.failures.iter().enumerate() {
            let waited = [0, 0, 500, 1_000, 2_000, 4_000, 8_000, 16_000]
                .get(count as usize)
                .unwrap_or(&30_000)
                * 6
                / 5;
            if n > 0 && at - self.failures[n - 1] >= 60_000 + waited {
                count = 0;
            }
            count += 1;
        }
        count
    }

    /// What must follow from an order; nothing when it must be refused.
    fn order(&mut self, operation: Operation, now: u64) -> Option<Vec<Effect>> {
        let old = Generation(self.generation);
        Some(match (operation, self.on_air) {
            (Operation::Start, Air::Starting | Air::Live) => vec![],
            (Operation::Start, Air::Off) => {
                self.started = Some(now);
                vec![Effect::StartPlayout(Generation(self.fresh(now)))]
            }
            (Operation::Start, Air::Error) => {
                self.started = Some(now);
                vec![
                    Effect::StopPlayout(old),
                    Effect::StartPlayout(Generation(self.fresh(now))),
                ]
            }
            (Operation::Stop, air) => {
                if self.wanted {
                    self.stopped = Some(now);
                }
                self.wanted = false;
                self.off(air, now)
            }
            (Operation::Restart | Operation::Skip, Air::Off) | (Operation::Skip, Air::Starting) => {
                return None;
            }
            (Operation::Restart, _) => {
                (self.started, self.stopped) = (Some(now), Some(now));
                vec![
                    Effect::StopPlayout(old),
                    Effect::StartPlayout(Generation(self.fresh(now))),
                ]
            }
            (Operation::Skip, _) => vec![Effect::SkipItem(old)],
        })
    }

    fn off(&mut self, air: Air, now: u64) -> Vec<Effect> {
        self.go(Air::Off, now);
        self.running = false;
        if air == Air::Off {
            vec![]
        } else {
            vec![Effect::StopPlayout(Generation(self.generation))]
        }
    }

    fn fact(&mut self, fact: Fact, now: u64) -> Vec<Effect> {
        let old = Generation(self.generation);
        match fact {
            _ if self.on_air == Air::Off => vec![],
            Fact::FirstSegment => {
                if self.on_air == Air::Starting {
                    self.go(Air::Live, now);
                }
                vec![]
            }
            Fact::SourceRestarted => {
                self.fail(now);
                vec![]
            }
            Fact::PlayoutFailed | Fact::Stopped if !self.running => vec![],
            Fact::PlayoutFailed | Fact::Stopped => {
                let slow = self.fail(now);
                self.running = false;
                self.generation += 1;
                let retry = Effect::RetryAfter {
                    generation: Generation(self.generation),
                    failures: self.in_a_row(),
                    slow,
                };
                vec![Effect::StopPlayout(old), retry]
            }
            Fact::RetryDue if self.running => vec![],
            Fact::RetryDue => {
                self.running = true;
                vec![Effect::StartPlayout(old)]
            }
            Fact::Healthy => {
                self.failures.clear();
                if self.on_air == Air::Error {
                    self.go(Air::Live, now);
                }
                vec![]
            }
        }
    }

    fn killed(&mut self, seen: Option<u64>, now: u64) -> Vec<Effect> {
        if self.on_air == Air::Live {
            let (from, open) = self.live.last_mut().unwrap();
            *open = Some(seen.unwrap_or(*from).max(*from));
        }
        // What was open is closed already.
        self.on_air = Air::Off;
        self.failures.clear();
        self.running = false;
        if !self.wanted {
            return vec![];
        }
        let restarts = self.restarts_since_start;
        let generation = self.fresh(now);
        self.restarts_since_start = restarts;
        vec![Effect::StartPlayout(Generation(generation))]
    }

    fn compare(&self, state: &LifeState, epoch: Timestamp, now: u64) -> Result<(), TestCaseError> {
        let status = match self.on_air {
            Air::Off => ChannelStatus::Stopped,
            Air::Starting => ChannelStatus::Starting,
            Air::Live => ChannelStatus::Live,
            Air::Error => ChannelStatus::Error,
        };
        prop_assert_eq!(state.status, status);
        prop_assert_eq!(
            state.desired,
            if self.wanted {
                Desired::Live
            } else {
                Desired::Stopped
            }
        );
        prop_assert_eq!(state.generation.0, self.generation);
        let at = |ms: u64| epoch + Duration::from_millis(ms);
        prop_assert_eq!(
            state.uptime_at(at(now)),
            Duration::from_millis(self.uptime(now))
        );
        prop_assert_eq!(state.live_since.is_some(), self.on_air == Air::Live);
        prop_assert_eq!(
            (state.restart_count, state.restarts_since_start),
            (self.restarts, self.restarts_since_start)
        );
        prop_assert_eq!(
            (state.last_start_time, state.last_stop_time),
            (self.started.map(at), self.stopped.map(at))
        );
        Ok(())
    }
}

/// The processes that follow from the effects: never two at once, never one that was there before.
#[derive(Debug, Default)]
struct Processes {
    running: Option<Generation>,
    highest: u64,
}

impl Processes {
    fn perform(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        for effect in effects {
            match *effect {
                Effect::StartPlayout(generation) => {
                    prop_assert_eq!(self.running, None, "started beside another");
                    prop_assert!(
                        generation.0 > self.highest,
                        "generation {} came again",
                        generation.0
                    );
                    self.highest = generation.0;
                    self.running = Some(generation);
                }
                Effect::StopPlayout(generation) => {
                    prop_assert!(
                        self.running.is_none_or(|running| running == generation),
                        "{:?} goes on",
                        self.running
                    );
                    self.running = None;
                }
                Effect::SkipItem(generation) => prop_assert!(generation.0 >= self.highest),
                Effect::RetryAfter { .. } => {
                    prop_assert_eq!(self.running, None, "a retry beside a playout")
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(crate::cases(512))]

    #[test]
    fn p3_any_history_is_what_the_model_says(steps in steps()) {
        let epoch: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        let mut life = Lifecycle::default();
        let mut model = Model::default();
        let mut processes = Processes::default();
        let mut now = 0;
        for Step { after, what } in steps {
            now += after;
            let at = epoch + Duration::from_millis(now);
            let before = life.clone();
            let (event, expected) = match what {
                What::Order(operation) => (Event::Operate(operation), model.order(operation, now)),
                What::Fact(fact, old) => {
                    let generation = Generation(model.generation.saturating_add_signed(-old));
                    let current = generation.0 == model.generation;
                    let event = match fact {
                        Fact::FirstSegment => Event::FirstSegment { generation },
                        Fact::SourceRestarted => Event::SourceRestarted { generation },
                        Fact::PlayoutFailed => Event::PlayoutFailed { generation },
                        Fact::RetryDue => Event::RetryDue { generation },
                        Fact::Healthy => Event::Healthy { generation },
                        Fact::Stopped => Event::Stopped { generation },
                    };
                    (event, Some(if current { model.fact(fact, now) } else { vec![] }))
                }
                What::Drain => {
                    let air = model.on_air;
                    (Event::Drain, Some(model.off(air, now)))
                }
                What::Killed(back) => {
                    let seen = back.map(|back| now.saturating_sub(back));
                    // What is known is what was persisted; the processes have died with the daemon.
                    let stored = serde_json::to_string(life.state()).unwrap();
                    life = Lifecycle::from(serde_json::from_str::<LifeState>(&stored).unwrap());
                    processes.running = None;
                    let last_seen = seen.map(|seen| epoch + Duration::from_millis(seen));
                    (Event::Booted { last_seen }, Some(model.killed(seen, now)))
                }
            };
            match (life.on(event, at), expected) {
                (Ok(effects), Some(expected)) => {
                    prop_assert_eq!(&effects, &expected, "{:?} at {} ms", event, now);
                    processes.perform(&effects)?;
                }
                (Err(refused), None) => {
                    prop_assert_eq!(refused.state, before.state().status);
                    prop_assert_eq!(&life, &before, "a refusal changes nothing");
                }
                (answered, expected) => prop_assert!(false, "{event:?}: {answered:?} where {expected:?} is due"),
            }
            model.compare(life.state(), epoch, now)?;
            prop_assert!(processes.running.is_some() == (model.running && model.on_air != Air::Off));
            // An order that is fulfilled has no effect when it comes again.
            if let Event::Operate(operation @ (Operation::Start | Operation::Stop)) = event {
                let mut again = life.clone();
                prop_assert_eq!(again.on(event, at + Duration::from_secs(1)), Ok(vec![]), "{} twice", operation);
                prop_assert_eq!(&again, &life);
            }
        }
    }
}
