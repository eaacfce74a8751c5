//! Alerts: counted right, raised once, closed by recovery, told of without flapping; and deliveries in their
//! order, each as often as it has to be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_domain::alert::{
    Alert, AlertKind, AlertState, Alerts, Effect, Key, MAX_ENTRIES, Notice, QUIET, Report, Signal,
    Step, Subject,
};
use playout_domain::{AlertId, ChannelId, ClientId, MediaId};
use proptest::prelude::*;
use uuid::Uuid;

const CLIENT: u128 = 0xc1;

fn channel(n: u128) -> ChannelId {
    ChannelId::from(Uuid::from_u128(n))
}

fn report(key: Key) -> Report {
    Report {
        key,
        client: ClientId::from(Uuid::from_u128(CLIENT)),
        name: Some("News".to_owned()),
        error: "FFmpeg ended with status 1".to_owned(),
    }
}

/// Alerts with a clock and ids of their own.
struct Desk {
    alerts: Alerts,
    now: Timestamp,
    ids: u128,
}

impl Desk {
    fn new() -> Self {
        Self {
            alerts: Alerts::default(),
            now: Timestamp::UNIX_EPOCH,
            ids: 0,
        }
    }

    fn on(&mut self, signal: Signal) -> Vec<Effect> {
        let ids = &mut self.ids;
        self.alerts.on(signal, self.now, || {
            *ids += 1;
            AlertId::from(Uuid::from_u128(*ids))
        })
    }

    fn fail(&mut self, key: Key) -> Vec<Effect> {
        self.on(Signal::Failed(report(key)))
    }

    fn wait(&mut self, seconds: u64) -> Vec<Effect> {
        self.now += Duration::from_secs(seconds);
        self.on(Signal::Tick)
    }
}

fn steps(effects: &[Effect]) -> Vec<Step> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Changed(_, step) => Some(*step),
            Effect::Notify(..) => None,
        })
        .collect()
}

fn notices(effects: &[Effect]) -> Vec<Notice> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Notify(_, notice) => Some(*notice),
            Effect::Changed(..) => None,
        })
        .collect()
}

fn sources() -> Key {
    Key::new(AlertKind::SourceFailing, Subject::Channel(channel(1)))
}

#[test]
fn three_consecutive_failures_raise_one_alert_and_recovery_closes_it() {
    let mut desk = Desk::new();
    assert_eq!(desk.fail(sources()), []);
    assert_eq!(desk.fail(sources()), []);
    let raised = desk.fail(sources());
    assert_eq!(steps(&raised), [Step::Opened]);
    assert_eq!(notices(&raised), [Notice::Opened]);
    let more = desk.fail(sources());
    assert_eq!(
        (steps(&more), notices(&more)),
        (vec![Step::Updated], vec![])
    );
    let open: Vec<&Alert> = desk.alerts.open().collect();
    assert_eq!((open.len(), open[0].occurrences), (1, 4));
    let closed = desk.on(Signal::Recovered(sources()));
    assert_eq!(steps(&closed), [Step::Closed]);
    assert_eq!(notices(&closed), [Notice::Closed]);
    assert_eq!(desk.alerts.open().count(), 0);
}

#[test]
fn recovery_begins_the_count_anew() {
    let mut desk = Desk::new();
    for _ in 0..5 {
        desk.fail(sources());
        desk.fail(sources());
        assert_eq!(desk.on(Signal::Recovered(sources())), []);
    }
    assert_eq!(desk.alerts.open().count(), 0);
}

#[test]
fn what_comes_back_within_the_quiet_time_is_the_same_alert_and_nobody_is_told_twice() {
    let mut desk = Desk::new();
    let key = Key::new(AlertKind::ChannelError, Subject::Channel(channel(1)));
    let opened = desk.fail(key);
    let Some(Effect::Changed(first, _)) = opened.first().cloned() else {
        panic!("{opened:?}");
    };
    desk.on(Signal::Acknowledged {
        id: first.id,
        by: "Ada".to_owned(),
    });
    desk.on(Signal::Recovered(key));
    for _ in 0..3 {
        desk.wait(30);
        let again = desk.fail(key);
        assert_eq!(
            (steps(&again), notices(&again)),
            (vec![Step::Reopened], vec![])
        );
        let open = desk.alerts.open().next().cloned().expect("it is open");
        assert_eq!(open.id, first.id);
        assert_eq!(
            open.state(),
            AlertState::Acknowledged,
            "who knew still knows"
        );
        let over = desk.on(Signal::Recovered(key));
        assert_eq!((steps(&over), notices(&over)), (vec![Step::Closed], vec![]));
    }
    desk.fail(key);
    let late = desk.wait(QUIET.as_secs());
    assert_eq!(notices(&late), [Notice::Opened], "it is still so: told");
    let over = desk.on(Signal::Recovered(key));
    assert_eq!(notices(&over), [Notice::Closed]);
    desk.wait(QUIET.as_secs());
    assert_eq!(
        steps(&desk.fail(key)),
        [Step::Opened],
        "long after: another"
    );
    assert_ne!(desk.alerts.open().next().expect("open").id, first.id);
}

#[test]
fn what_lasts_is_an_alert_and_what_passes_is_none() {
    let mut desk = Desk::new();
    let key = Key::new(AlertKind::DeadAir, Subject::Channel(channel(1)));
    let patience = Duration::from_secs(30);
    desk.on(Signal::Lasting(report(key), patience));
    desk.wait(20);
    desk.on(Signal::Recovered(key));
    assert_eq!(desk.wait(60), []);
    desk.on(Signal::Lasting(report(key), patience));
    desk.wait(20);
    // Said again it does not begin anew.
    desk.on(Signal::Lasting(report(key), patience));
    assert_eq!(
        desk.alerts.next_due(),
        Some(desk.now + Duration::from_secs(10))
    );
    assert_eq!(steps(&desk.wait(10)), [Step::Opened]);
    desk.on(Signal::Lasting(report(key), patience));
    assert_eq!(desk.wait(60), []);
}

#[test]
fn a_channel_that_is_gone_takes_its_alerts_along_and_nobody_elses() {
    let mut desk = Desk::new();
    let media = MediaId::from(Uuid::from_u128(9));
    let item = Key::new(AlertKind::ItemBroken, Subject::Item(channel(1), media));
    let other = Key::new(AlertKind::ChannelError, Subject::Channel(channel(2)));
    desk.fail(item);
    desk.fail(other);
    desk.fail(sources());
    let gone = desk.on(Signal::Gone(channel(1)));
    assert_eq!(steps(&gone), [Step::Closed]);
    let open: Vec<Key> = desk.alerts.open().map(|alert| alert.key).collect();
    assert_eq!(open, [other]);
    desk.fail(sources());
    desk.fail(sources());
    assert_eq!(desk.alerts.open().count(), 1, "its count began anew, too");
}

#[test]
fn alerts_that_were_open_go_on_after_a_restart() {
    let mut desk = Desk::new();
    let key = Key::new(AlertKind::ChannelError, Subject::Channel(channel(1)));
    desk.fail(key);
    let mut again = Desk::new();
    again.alerts.restore(desk.alerts.open().cloned(), again.now);
    assert_eq!(steps(&again.fail(key)), [Step::Updated]);
    let closed = again.on(Signal::Recovered(key));
    assert_eq!(notices(&closed), [Notice::Closed]);

    // One that flapped when the daemon ended is told of, if it is still so.
    let mut untold = desk.alerts.open().next().cloned().expect("open");
    untold.told = false;
    let mut again = Desk::new();
    again.alerts.restore([untold], again.now);
    assert_eq!(notices(&again.wait(QUIET.as_secs())), [Notice::Opened]);
}

/// A6.
#[test]
fn so_many_keys_are_remembered_and_an_open_alert_is_not_forgotten_for_them() {
    let mut desk = Desk::new();
    let first = Key::new(AlertKind::ChannelError, Subject::Channel(channel(0)));
    desk.fail(first);
    let most = MAX_ENTRIES as u128;
    for n in 1..=most + 5 {
        let key = Key::new(AlertKind::SourceFailing, Subject::Channel(channel(n)));
        desk.fail(key);
    }
    assert_eq!(
        (desk.alerts.known(), desk.alerts.dropped()),
        (MAX_ENTRIES, 0)
    );
    assert_eq!(desk.alerts.open().next().map(|a| a.key), Some(first));
    for n in 1..=most + 5 {
        let key = Key::new(AlertKind::ChannelError, Subject::Channel(channel(n)));
        desk.fail(key);
    }
    let open = desk.alerts.open().count();
    assert_eq!((open, desk.alerts.known()), (MAX_ENTRIES, MAX_ENTRIES));
    assert_eq!(desk.alerts.dropped(), 6, "there was no room for them");
}

#[derive(Debug, Clone)]
enum Act {
    Fail(usize),
    Last(usize, u64),
    Recover(usize),
    Gone(u128),
    Acknowledge(usize),
    Wait(u64),
    /// Time passes and nobody looks.
    Late(u64),
}

/// Keys of every kind of behaviour, on two channels and the daemon.
fn keys() -> Vec<Key> {
    let media = MediaId::from(Uuid::from_u128(9));
    vec![
        sources(),
        Key::new(AlertKind::SourceFailing, Subject::Channel(channel(2))),
        Key::new(AlertKind::ChannelError, Subject::Channel(channel(1))),
        Key::new(AlertKind::DeadAir, Subject::Channel(channel(2))),
        Key::new(AlertKind::ItemBroken, Subject::Item(channel(1), media)),
        Key::new(AlertKind::PostgresDown, Subject::Daemon),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let key = 0..6_usize;
    prop_oneof![
        6 => key.clone().prop_map(Act::Fail),
        2 => (key.clone(), 1..900_u64).prop_map(|(key, patience)| Act::Last(key, patience)),
        4 => key.prop_map(Act::Recover),
        1 => (1..3_u128).prop_map(Act::Gone),
        2 => (0..8_usize).prop_map(Act::Acknowledge),
        3 => (0..900_u64).prop_map(Act::Wait),
        1 => (0..900_u64).prop_map(Act::Late),
    ]
}

/// What a receiver believes, and what somebody who only counts expects.
#[derive(Default)]
struct Witness {
    failures: BTreeMap<Key, u32>,
    lasting: BTreeMap<Key, Timestamp>,
    /// What is open, by the effects alone.
    open: BTreeMap<Key, Alert>,
    /// What receivers were told last, and when.
    told: BTreeMap<Key, (Notice, Timestamp)>,
    last_notice: BTreeMap<(Key, bool), Timestamp>,
    ids: BTreeSet<AlertId>,
}

impl Witness {
    fn see(&mut self, effects: &[Effect], now: Timestamp) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Changed(alert, step) => self.changed(alert, *step)?,
                Effect::Notify(alert, notice) => {
                    let opened = *notice == Notice::Opened;
                    let before = self.told.insert(alert.key, (*notice, now));
                    let expected = match before {
                        None => Notice::Opened,
                        Some((Notice::Opened, _)) => Notice::Closed,
                        Some((Notice::Closed, _)) => Notice::Opened,
                    };
                    prop_assert_eq!(*notice, expected, "A4: in turn");
                    if let Some(last) = self.last_notice.insert((alert.key, opened), now) {
                        let quiet = SignedDuration::try_from(QUIET).expect("a span");
                        prop_assert!(
                            now.duration_since(last) >= quiet,
                            "A4: once within the quiet time"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn changed(&mut self, alert: &Alert, step: Step) -> Result<(), TestCaseError> {
        let before = self.open.get(&alert.key);
        match step {
            Step::Opened => {
                prop_assert!(before.is_none(), "A1");
                prop_assert!(self.ids.insert(alert.id), "a new alert has a new id");
            }
            Step::Reopened => {
                prop_assert!(before.is_none(), "A1");
                prop_assert!(self.ids.contains(&alert.id));
            }
            Step::Updated | Step::Acknowledged | Step::Closed => {
                prop_assert_eq!(before.map(|alert| alert.id), Some(alert.id));
            }
        }
        if let Some(before) = before {
            prop_assert!(before.occurrences <= alert.occurrences);
            prop_assert!(before.last_at <= alert.last_at);
            prop_assert!(
                before.acknowledged.is_none() || before.acknowledged == alert.acknowledged
            );
        }
        prop_assert_eq!(alert.state() == AlertState::Closed, step == Step::Closed);
        if step == Step::Closed {
            self.open.remove(&alert.key);
        } else {
            self.open.insert(alert.key, alert.clone());
        }
        Ok(())
    }

    /// What is open now, by counting alone (A2, A3).
    fn expects(&self, key: &Key, now: Timestamp) -> bool {
        let counted = self.failures.get(key).copied().unwrap_or(0) >= key.kind.after();
        counted || self.lasting.get(key).is_some_and(|until| *until <= now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// A1 to A5.
    #[test]
    fn an_alert_is_open_just_while_there_is_trouble_and_receivers_come_to_know(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let (mut desk, mut witness) = (Desk::new(), Witness::default());
        let keys = keys();
        for act in acts {
            let effects = match act {
                Act::Fail(n) => {
                    *witness.failures.entry(keys[n]).or_default() += 1;
                    desk.fail(keys[n])
                }
                Act::Last(n, patience) => {
                    if !witness.open.contains_key(&keys[n]) {
                        witness.lasting.entry(keys[n]).or_insert(desk.now + Duration::from_secs(patience));
                    }
                    desk.on(Signal::Lasting(report(keys[n]), Duration::from_secs(patience)))
                }
                Act::Recover(n) => {
                    witness.failures.remove(&keys[n]);
                    witness.lasting.remove(&keys[n]);
                    desk.on(Signal::Recovered(keys[n]))
                }
                Act::Gone(n) => {
                    let stays = |key: &Key| key.subject.channel() != Some(channel(n));
                    witness.failures.retain(|key, _| stays(key));
                    witness.lasting.retain(|key, _| stays(key));
                    desk.on(Signal::Gone(channel(n)))
                }
                Act::Acknowledge(n) => {
                    let id = desk.alerts.open().nth(n).map(|alert| alert.id);
                    let id = id.unwrap_or(AlertId::from(Uuid::nil()));
                    desk.on(Signal::Acknowledged { id, by: "Ada".to_owned() })
                }
                Act::Wait(seconds) => desk.wait(seconds),
                Act::Late(seconds) => {
                    desk.now += Duration::from_secs(seconds);
                    continue;
                }
            };
            witness.see(&effects, desk.now)?;
            let ticked = desk.on(Signal::Tick);
            witness.see(&ticked, desk.now)?;
            for key in &keys {
                let open = witness.open.contains_key(key);
                prop_assert_eq!(open, witness.expects(key, desk.now), "{:?}", key);
                // What lasts and has become an alert is trouble like any other until it recovers.
                if open {
                    witness.failures.insert(*key, key.kind.after());
                    witness.lasting.remove(key);
                }
            }
            let seen: Vec<Key> = witness.open.keys().copied().collect();
            let open: Vec<Key> = desk.alerts.open().map(|alert| alert.key).collect();
            prop_assert_eq!(seen, open);
            prop_assert_eq!(desk.on(Signal::Tick), vec![], "what is due was done");
        }
        let calm = desk.wait(QUIET.as_secs());
        witness.see(&calm, desk.now)?;
        for key in &keys {
            let open = witness.open.contains_key(key);
            let told = witness.told.get(key).map(|(notice, _)| *notice);
            prop_assert_eq!(open, told == Some(Notice::Opened), "A5: {:?} {:?}", key, told);
        }
    }
}
