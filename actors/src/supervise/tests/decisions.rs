//! The table alone, in a world where anything may fail at any time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use playout_domain::backoff::Chance;
use proptest::prelude::*;

use crate::supervise::table::{ChildState, Effect, Event, OnExhaustion, Strategy as Kind, Table};
use crate::supervise::{Intensity, Restart};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const ENDLESS: Intensity = Intensity {
    restarts: usize::MAX / 2,
    within: Duration::from_secs(60),
};

/// What a child does next, if it can.
#[derive(Debug, Clone, Copy)]
enum Move {
    Come,
    Fail,
    Retry,
    Clean,
}

/// The children as they really are, from nothing but the effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Real {
    Starting(u64),
    Alive(u64),
    Ending(u64),
    Delayed(u64),
}

struct World {
    table: Table,
    real: HashMap<String, Real>,
    now: Instant,
    /// Every start and stop, in order.
    log: Vec<String>,
}

impl World {
    fn new(strategy: Kind, intensity: Intensity, on_exhaustion: OnExhaustion) -> Self {
        let table = Table::new(strategy, intensity, on_exhaustion);
        let mut world = Self {
            table,
            real: HashMap::new(),
            now: Instant::now(),
            log: Vec::new(),
        };
        for name in NAMES {
            world.on(&Event::Add {
                name,
                restart: Restart::Permanent,
            });
        }
        world.quiesce();
        world.log.clear();
        world
    }

    fn on(&mut self, event: &Event<'_>) -> Vec<Effect> {
        let effects = self.table.on(event, self.now, Chance::EVEN);
        for effect in &effects {
            match effect {
                Effect::Start { name, generation } => {
                    self.log.push(format!("+{name}"));
                    let before = self.real.insert(name.clone(), Real::Starting(*generation));
                    assert!(
                        matches!(before, None | Some(Real::Delayed(_))),
                        "{name} was {before:?}"
                    );
                }
                Effect::Stop { name, generation } => {
                    self.log.push(format!("-{name}"));
                    let before = self.real.insert(name.clone(), Real::Ending(*generation));
                    assert_eq!(before, Some(Real::Alive(*generation)), "{name}");
                }
                Effect::Retry {
                    name, generation, ..
                } => {
                    let before = self.real.insert(name.clone(), Real::Delayed(*generation));
                    assert_eq!(before, None, "{name}");
                }
                Effect::Forgotten { name } => drop(self.real.remove(name)),
                Effect::Escalate { .. } => {}
            }
        }
        effects
    }

    fn act(&mut self, name: &str, action: Move) -> Vec<Effect> {
        self.now += Duration::from_secs(1);
        let Some(real) = self.real.get(name).copied() else {
            return Vec::new();
        };
        let event = match (real, action) {
            (Real::Starting(generation), Move::Fail) => {
                self.real.remove(name);
                Event::StartFailed { name, generation }
            }
            (Real::Starting(generation), _) => {
                self.real.insert(name.to_owned(), Real::Alive(generation));
                Event::Started { name, generation }
            }
            (Real::Alive(generation), Move::Fail | Move::Clean) => {
                self.real.remove(name);
                Event::Exited {
                    name,
                    generation,
                    clean: matches!(action, Move::Clean),
                }
            }
            (Real::Ending(generation), _) => {
                self.real.remove(name);
                Event::Exited {
                    name,
                    generation,
                    clean: true,
                }
            }
            (Real::Delayed(generation), Move::Retry) => {
                self.real.remove(name);
                Event::RetryDue { name, generation }
            }
            _ => return Vec::new(),
        };
        self.on(&event)
    }

    /// From now on everything goes well.
    fn quiesce(&mut self) {
        for _ in 0..40 {
            for name in NAMES {
                self.act(name, Move::Come);
                self.act(name, Move::Retry);
            }
        }
    }

    fn states(&self) -> Vec<ChildState> {
        self.table
            .view()
            .into_iter()
            .map(|view| view.state)
            .collect()
    }
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let action = prop_oneof![
        Just(Move::Come),
        Just(Move::Fail),
        Just(Move::Retry),
        Just(Move::Clean)
    ];
    proptest::collection::vec((0..NAMES.len(), action), 0..80)
}

proptest! {
    /// S2: whatever happens to one child, nothing is done to another.
    #[test]
    fn s2_one_for_one_never_touches_a_sibling(moves in moves(), restarts in 0_usize..6) {
        let intensity = Intensity { restarts, within: Duration::from_secs(20) };
        let park = OnExhaustion::Park { retry: Duration::from_secs(60) };
        let mut world = World::new(Kind::OneForOne, intensity, park);
        for (child, action) in moves {
            for effect in world.act(NAMES[child], action) {
                let (Effect::Start { name, .. }
                | Effect::Stop { name, .. }
                | Effect::Retry { name, .. }
                | Effect::Forgotten { name }
                | Effect::Escalate { name, .. }) = effect;
                prop_assert_eq!(name, NAMES[child]);
            }
        }
        world.quiesce();
        prop_assert_eq!(world.states(), [ChildState::Up; 4]);
    }

    /// A child is only ever started when all before it run, and whatever failed on the way, all run
    /// in the end.
    #[test]
    fn rest_for_one_starts_in_order_and_ends_complete(moves in moves()) {
        let mut world = World::new(Kind::RestForOne, ENDLESS, OnExhaustion::Escalate);
        for (child, action) in moves {
            for effect in world.act(NAMES[child], action) {
                if let Effect::Start { name, .. } = effect {
                    let before = NAMES.iter().take_while(|known| **known != name);
                    for earlier in before {
                        let real = world.real.get(*earlier);
                        prop_assert!(matches!(real, Some(Real::Alive(_))), "{} before {}: {:?}", name, earlier, real);
                    }
                }
            }
        }
        world.quiesce();
        prop_assert_eq!(world.states(), [ChildState::Up; 4]);
    }

    /// What an earlier generation reports changes nothing.
    #[test]
    fn earlier_generations_are_not_heard(moves in moves(), child in 0..NAMES.len()) {
        let mut world = World::new(Kind::RestForOne, ENDLESS, OnExhaustion::Escalate);
        for (child, action) in moves {
            world.act(NAMES[child], action);
        }
        world.act(NAMES[0], Move::Fail);
        world.quiesce();
        let name = NAMES[child];
        let before = world.states();
        for event in [
            Event::Exited { name, generation: 0, clean: false },
            Event::Exited { name, generation: 1, clean: false },
            Event::RetryDue { name, generation: 1 },
            Event::Started { name, generation: 1 },
            Event::StartFailed { name, generation: 1 },
        ] {
            prop_assert_eq!(world.on(&event), []);
        }
        prop_assert_eq!(world.states(), before);
    }
}

#[test]
fn rest_for_one_stops_the_later_ones_from_the_last_and_starts_them_from_the_first() {
    let mut world = World::new(Kind::RestForOne, ENDLESS, OnExhaustion::Escalate);
    world.act("b", Move::Fail);
    world.quiesce();
    assert_eq!(world.log.join(" "), "-d -c +b +c +d");
}

#[test]
fn a_child_removed_while_it_starts_is_stopped_as_soon_as_it_runs() {
    for strategy in [Kind::OneForOne, Kind::RestForOne] {
        let mut table = Table::new(strategy, ENDLESS, OnExhaustion::Escalate);
        let (now, name, generation) = (Instant::now(), "a", 1);
        let restart = Restart::Permanent;
        table.on(&Event::Add { name, restart }, now, Chance::EVEN);
        assert_eq!(table.on(&Event::Remove { name }, now, Chance::EVEN), []);
        let stopped = table.on(&Event::Started { name, generation }, now, Chance::EVEN);
        let name = name.to_owned();
        assert_eq!(
            stopped,
            [Effect::Stop {
                name: name.clone(),
                generation
            }]
        );
        let exited = Event::Exited {
            name: "a",
            generation,
            clean: true,
        };
        assert_eq!(
            table.on(&exited, now, Chance::EVEN),
            [Effect::Forgotten { name }]
        );
    }
}

#[test]
fn a_clean_end_is_the_end_of_a_transient_child_and_a_failure_of_a_permanent_one() {
    let mut table = Table::new(Kind::OneForOne, ENDLESS, OnExhaustion::Escalate);
    let now = Instant::now();
    for (name, restart, expected) in [
        ("p", Restart::Permanent, ChildState::Starting),
        ("t", Restart::Transient, ChildState::Ended),
    ] {
        table.on(&Event::Add { name, restart }, now, Chance::EVEN);
        table.on(
            &Event::Started {
                name,
                generation: 1,
            },
            now,
            Chance::EVEN,
        );
        table.on(
            &Event::Exited {
                name,
                generation: 1,
                clean: true,
            },
            now,
            Chance::EVEN,
        );
        let state = table
            .view()
            .into_iter()
            .find(|view| view.name == name)
            .unwrap()
            .state;
        assert_eq!(state, expected);
    }
    assert!(table.has_room_for("t"), "what has ended may be added anew");
    assert!(!table.has_room_for("p"));
}

/// S1: both take the same path.
#[test]
fn s1_a_failed_start_is_retried_like_a_failed_run() {
    let delays = |fail_at_start: bool| -> Vec<Duration> {
        let mut table = Table::new(Kind::OneForOne, ENDLESS, OnExhaustion::Escalate);
        let now = Instant::now();
        let name = "a";
        table.on(
            &Event::Add {
                name,
                restart: Restart::Permanent,
            },
            now,
            Chance::EVEN,
        );
        table.on(
            &Event::Started {
                name,
                generation: 1,
            },
            now,
            Chance::EVEN,
        );
        let mut effects = table.on(
            &Event::Exited {
                name,
                generation: 1,
                clean: false,
            },
            now,
            Chance::EVEN,
        );
        let mut delays = Vec::new();
        for _ in 0..12 {
            effects = match effects.first().unwrap() {
                Effect::Start { generation, .. } if fail_at_start => {
                    let generation = *generation;
                    table.on(&Event::StartFailed { name, generation }, now, Chance::EVEN)
                }
                Effect::Start { generation, .. } => {
                    let generation = *generation;
                    table.on(&Event::Started { name, generation }, now, Chance::EVEN);
                    table.on(
                        &Event::Exited {
                            name,
                            generation,
                            clean: false,
                        },
                        now,
                        Chance::EVEN,
                    )
                }
                Effect::Retry {
                    generation, after, ..
                } => {
                    delays.push(*after);
                    let generation = *generation;
                    table.on(&Event::RetryDue { name, generation }, now, Chance::EVEN)
                }
                other => panic!("{other:?}"),
            };
        }
        delays
    };
    assert!(!delays(true).is_empty());
    assert_eq!(delays(true), delays(false));
}
