//! P4: what fails is tried again by itself, never for ever at one place, and is nobody else's. Requirements
//! 2.4, 2.5, 4.5. That the plan's frames come out however sources fail: `actors/src/playout/tests/failing.rs`. What
//! viewers see of it with FFmpeg is judged by the bytes in `tests/daemon/recovery.rs` and `rtmp.rs`.

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::backoff::Chance;
use playout_domain::config::RecoverySettings;
use playout_domain::output::{
    Connection, Effect, Event, FailureKind, OutputLife, OutputStatus, SUSPENDED_RETRY,
};
use playout_domain::source::{Cause, SourceFailures, Then};
use playout_domain::{Frame, MediaId, Origin, PlanEntry};
use proptest::prelude::*;
use uuid::Uuid;

const STRETCH: u64 = 250;

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn entry(start: u64, end: u64) -> PlanEntry {
    PlanEntry {
        start: Frame::new(start),
        end: Frame::new(end),
        media_id: MediaId::from(Uuid::from_u128(1)),
        in_frame: 0,
        origin: Origin::Rotation(0),
        cut: 0,
    }
}

/// What may happen; a fact is of the latest connection or of one some steps before.
fn event() -> impl Strategy<Value = (u8, u64, bool)> {
    (0..7_u8, 0..3_u64, any::<bool>())
}

proptest! {
    #![proptest_config(super::cases(512))]

    /// The model: what is wanted, which connection is open, which retry waits.
    #[test]
    fn p4_an_output_does_what_is_wanted_and_never_more(events in prop::collection::vec((event(), 0..200_u64), 1..80)) {
        let mut life = OutputLife::default();
        let mut wanted = false;
        let mut open: Option<Connection> = None;
        let mut waiting: Option<Connection> = None;
        let mut suspended = false;
        let mut now = 0;
        for ((what, before, yes), wait) in events {
            now += wait;
            let connection = Connection(life.connection().0.saturating_sub(before));
            let event = match what {
                0 => Event::Wanted(yes),
                1 => Event::Redirected,
                2 => Event::Delivering(connection),
                3 | 4 => Event::Failed(connection, FailureKind::Network),
                5 => Event::RetryDue(connection),
                _ => Event::SessionOver(connection),
            };
            let stale = !matches!(event, Event::Wanted(_) | Event::Redirected) && connection != life.connection();
            let unchanged = life.clone();
            if let Event::Wanted(yes) = event {
                wanted = yes;
                suspended &= yes;
            }
            if matches!(event, Event::Wanted(false) | Event::Redirected | Event::RetryDue(_)) && !stale {
                waiting = None;
            }
            let effects = life.on(event, at(now), Chance::EVEN);
            if stale {
                prop_assert_eq!(&effects, &[]);
                prop_assert_eq!(&life, &unchanged);
            }
            for effect in effects {
                match effect {
                    Effect::Connect { connection, .. } => {
                        prop_assert_eq!(open, None, "one connection at a time");
                        open = Some(connection);
                    }
                    Effect::Disconnect => {
                        prop_assert!(open.take().is_some(), "there is one to end");
                    }
                    Effect::RetryAfter { connection, delay } => {
                        prop_assert_eq!(waiting.replace(connection), None);
                        prop_assert!(delay <= SUSPENDED_RETRY);
                    }
                    Effect::Suspended { .. } => prop_assert!(!std::mem::replace(&mut suspended, true)),
                    Effect::Resumed => prop_assert!(std::mem::replace(&mut suspended, false)),
                }
            }
            prop_assert_eq!(wanted, open.is_some() || waiting.is_some(), "it is connected or will be, or is not wanted");
            prop_assert_eq!(!wanted, life.status() == OutputStatus::Off);
        }
    }
}

proptest! {
    #![proptest_config(super::cases(256))]

    /// Whatever fails where: what is passed over lies ahead and inside the entry, and an entry is given up after
    /// a bounded number of failures without media.
    #[test]
    fn p4_an_entry_ends_in_time(length in 1..20_000_u64, steps in prop::collection::vec((0..400_u64, any::<bool>()), 1..60)) {
        let mut failures = SourceFailures::new(RecoverySettings::default());
        let entry = entry(1_000, 1_000 + length);
        let mut at = 1_000;
        let mut without_media = 0;
        for (on, delivers) in steps {
            if delivers {
                failures.delivered(&entry);
                at += on;
                without_media = 0;
            }
            if at >= 1_000 + length {
                break;
            }
            without_media += 1;
            let frame = Frame::new(at);
            let verdict = failures.failed(&entry, frame, Cause::Failed, STRETCH, Timestamp::UNIX_EPOCH, Chance::EVEN);
            match verdict.then {
                Then::Restart => {}
                Then::PassOver(behind) => {
                    prop_assert!(behind > frame && behind < entry.end);
                    at = behind.get();
                }
                Then::GiveUp => break,
            }
            prop_assert!(without_media <= 8, "it goes on for ever");
        }
    }
}
