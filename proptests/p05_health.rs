//! P5 (3.1, 3.2, 3.4, 3.5), its pure half: a channel on air beats every five seconds, what gives no sign of life for
//! five seconds from when one is owed hangs, failures show in its status, and what it counts is what happened.
//! That memory and stores agree: `actors/tests/outages/agreement.rs`; that the beats reach listeners and stores:
//! `tests/daemon/{api,stores}.rs`; that a hung source is replaced: `tests/daemon/recovery.rs`.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::backoff::HEALTHY_AFTER;
use playout_domain::config::RecoverySettings;
use playout_domain::health::{Beats, Health, Pulse, beats};
use playout_domain::lifecycle::{Event, Lifecycle, Operation};
use playout_domain::{ChannelStatus, FrameRate};
use proptest::prelude::*;

const INTERVAL: u64 = 5_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_millis(ms)
}

/// What happens on a channel.
#[derive(Debug, Clone, Copy)]
enum What {
    Start,
    Stop,
    /// The first segment of a playout, and any other: bytes and frames.
    Segment(u64, u64),
    /// A source fails, and something else stands in for it or not.
    SourceFails(bool),
    /// The item that failed is delivered again.
    Delivered,
    /// The playout fails as a whole, and another begins after its delay.
    PlayoutFails,
    /// All was well for a minute.
    Healthy,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        1 => Just(What::Stop),
        2 => Just(What::Start),
        20 => (1..4_000_000_u64, 1..200_u64).prop_map(|(bytes, frames)| What::Segment(bytes, frames)),
        8 => any::<bool>().prop_map(What::SourceFails),
        5 => Just(What::Delivered),
        2 => Just(What::PlayoutFails),
        1 => Just(What::Healthy),
    ]
}

/// A channel as the requirement tells it.
#[derive(Debug, Default)]
struct Model {
    on_air: bool,
    /// Whether a segment of the present playout is out.
    out: bool,
    /// Failures that count against the budget since it was last found healthy or started.
    failures: Vec<u64>,
    /// Since when it is LIVE.
    live: Option<u64>,
    /// Whether the budget was spent and it was not healthy for a minute since.
    error: bool,
    restarts: u64,
    segments: Vec<(u64, u64)>,
    last_segment: Option<u64>,
    in_a_row: u64,
    stands_in: bool,
}

impl Model {
    fn fails(&mut self, now: u64, recovery: &RecoverySettings) {
        self.failures.push(now);
        self.restarts += 1;
        let recent = self
            .failures
            .iter()
            .filter(|at| now - **at <= 300_000)
            .count();
        if recent >= recovery.max_restarts as usize {
            self.live = None;
            self.error = true;
        }
    }
}

proptest! {
    #![proptest_config(super::cases(256))]

    /// A late beat makes no other one late, a missed one is not told later, and the interval may change.
    #[test]
    fn p5_a_beat_every_interval(lates in prop::collection::vec((0..3_000_u64, 0..20_u8), 1..200), begun in 0..1_000_000_u64) {
        let mut due = Beats::starting(ms(begun), ms(INTERVAL));
        let mut owed = begun + INTERVAL;
        for (late, badly) in lates {
            prop_assert_eq!(due.due(), ms(owed));
            // Once in a while the whole daemon stands still for longer than the interval.
            let late = if badly == 0 { late * 10 } else { late };
            due.told(ms(owed + late), ms(INTERVAL));
            owed = if late < INTERVAL { owed + INTERVAL } else { owed + late + INTERVAL };
        }
    }

    /// What is asked for media hangs five seconds after it was first asked in vain, and never while nobody asks.
    #[test]
    fn p5_a_missing_sign_of_life_is_noticed_in_time(steps in prop::collection::vec((0..4_000_u64, any::<bool>()), 1..100)) {
        let mut pulse = Pulse::new(ms(INTERVAL));
        let mut now = 0;
        let mut asked: Option<u64> = None;
        for (after, comes) in steps {
            now += after;
            if comes {
                pulse.felt();
                asked = None;
                continue;
            }
            let since = *asked.get_or_insert(now);
            prop_assert_eq!(pulse.wanted(ms(now)), ms(since + INTERVAL));
        }
    }

    #[test]
    fn p5_what_a_beat_tells_is_what_happened(
        steps in prop::collection::vec((0..20_000_u64, what()), 1..200),
        max_restarts in 1..12_u32,
    ) {
        let recovery = RecoverySettings { max_restarts, ..RecoverySettings::default() };
        prop_assert_eq!(recovery.health_check_interval, ms(INTERVAL), "unless a client chose another");
        let rate = FrameRate::F25;
        let mut life = Lifecycle::default();
        life.recover_by(recovery);
        let mut health = Health::default();
        let mut model = Model::default();
        let mut now = 0;
        for (after, what) in steps {
            now += after;
            let generation = life.state().generation;
            match what {
                What::Start if !model.error => {
                    life.on(Event::Operate(Operation::Start), at(now)).expect("is allowed in any state");
                    if !model.on_air {
                        health = Health::default();
                        model = Model { on_air: true, ..Model::default() };
                    }
                }
                What::Stop if model.on_air => {
                    life.on(Event::Operate(Operation::Stop), at(now)).expect("is allowed on air");
                    health = Health::default();
                    model = Model { restarts: model.restarts, ..Model::default() };
                }
                What::Segment(bytes, frames) if model.on_air => {
                    health.published(bytes, frames, at(now));
                    model.segments.push((bytes, frames));
                    model.last_segment = Some(now);
                    if !std::mem::replace(&mut model.out, true) {
                        life.on(Event::FirstSegment { generation }, at(now)).expect("a fact");
                        // Where the budget is spent, only a minute of health makes it LIVE.
                        if !model.error {
                            model.live.get_or_insert(now);
                        }
                    }
                }
                What::SourceFails(stands_in) if model.out => {
                    model.in_a_row += 1;
                    health.failed(model.in_a_row as u32);
                    if stands_in {
                        health.stood_in();
                        model.stands_in = true;
                    }
                    life.on(Event::SourceRestarted { generation }, at(now)).expect("a fact");
                    model.fails(now, &recovery);
                }
                What::Delivered if model.out => {
                    let was = health.delivered();
                    prop_assert_eq!(was, model.stands_in || model.in_a_row > 0);
                    (model.in_a_row, model.stands_in) = (0, false);
                }
                What::PlayoutFails if model.out => {
                    life.on(Event::PlayoutFailed { generation }, at(now)).expect("a fact");
                    let generation = life.state().generation;
                    model.fails(now, &recovery);
                    life.on(Event::RetryDue { generation }, at(now)).expect("a fact");
                    health.followed();
                    (model.in_a_row, model.stands_in, model.out) = (0, false, false);
                }
                What::Healthy if model.out => {
                    now += HEALTHY_AFTER.as_millis() as u64;
                    life.on(Event::Healthy { generation }, at(now)).expect("a fact");
                    model.failures.clear();
                    model.error = false;
                    model.live.get_or_insert(now);
                }
                _ => {}
            }
            // What a beat of this moment tells.
            let state = life.state();
            prop_assert_eq!(beats(state.status), matches!(state.status, ChannelStatus::Live | ChannelStatus::Error));
            let status = match (model.on_air, model.error, model.live) {
                (false, ..) => ChannelStatus::Stopped,
                (true, true, _) => ChannelStatus::Error,
                (true, false, Some(_)) => ChannelStatus::Live,
                (true, false, None) => ChannelStatus::Starting,
            };
            prop_assert_eq!(state.status, status);
            let live = model.live.map_or(0, |since| now - since);
            prop_assert_eq!(state.live_for(at(now)), ms(live));
            prop_assert_eq!(state.restarts_since_start, model.restarts);
            prop_assert_eq!(health.segments(), model.segments.len() as u64);
            prop_assert_eq!(health.bytes(), model.segments.iter().map(|(bytes, _)| bytes).sum::<u64>());
            prop_assert_eq!(health.last_segment(), model.last_segment.map(at));
            prop_assert_eq!(health.errors(), model.in_a_row);
            prop_assert_eq!(health.is_recovering(), model.stands_in);
            let newest = model.segments.iter().rev().take(10);
            let (bytes, frames) = newest.fold((0, 0), |(b, f), (bytes, frames)| (b + bytes, f + frames));
            let bitrate = if frames == 0 { 0.0 } else { bytes as f64 * 8.0 * 25.0 / frames as f64 };
            let told = health.bitrate(rate).get() as f64;
            prop_assert!((told - bitrate).abs() <= 1.0, "{} bits/s told, {} sent", told, bitrate);
        }
    }
}
