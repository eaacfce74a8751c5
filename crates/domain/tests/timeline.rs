//! A frame's wall time, its place on the output clock and its sound are pure functions of its number.

use jiff::Timestamp;
use playout_domain::units::{AUDIO_UNIT_TICKS, BitsPerSecond};
use playout_domain::{Frame, FrameRate, Pts33, Ticks90k, Timeline};
use proptest::prelude::*;
use std::time::Duration;

const WRAP: i128 = 1 << 33;

fn rate() -> impl Strategy<Value = FrameRate> {
    prop::sample::select(FrameRate::ALL.to_vec())
}

fn timeline() -> impl Strategy<Value = Timeline> {
    let epoch = (1_700_000_000..1_900_000_000_i64, 0..1_000_000_000_i32);
    let epoch = epoch.prop_map(|(second, nano)| Timestamp::new(second, nano).expect("a time"));
    (epoch, rate(), 0..1_u64 << 40).prop_map(|(epoch, frame_rate, origin)| Timeline {
        epoch,
        frame_rate,
        clock_origin: Ticks90k::new(origin),
    })
}

/// A hundred years of frames.
fn frame() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, 0..190_000_000_000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frames_wall_time_leads_back_to_it(timeline in timeline(), n in frame()) {
        let wall = timeline.wall(Frame::new(n));
        prop_assert_eq!(timeline.frame_at(wall), Frame::new(n));
        // And it is due no earlier.
        let before = wall - Duration::from_nanos(1);
        prop_assert_eq!(timeline.frame_at(before), Frame::new(n.saturating_sub(1)));
    }

    #[test]
    fn a_frames_ticks_are_its_time_to_the_nearest_tick(timeline in timeline(), n in frame()) {
        let rate = timeline.frame_rate;
        let ticks = i128::from(timeline.ticks(Frame::new(n)).get() - timeline.clock_origin.get());
        let (num, den) = (i128::from(rate.num()), i128::from(rate.den()));
        // |ticks − n·90000·den/num| ≤ ½
        prop_assert!((2 * (ticks * num - i128::from(n) * 90_000 * den)).abs() <= num);
        let all = i128::from(timeline.clock_origin.get()) + ticks;
        prop_assert_eq!(i128::from(timeline.pts(Frame::new(n)).get()), all % WRAP);
        let step = timeline.ticks(Frame::new(n + 1)).get() - timeline.ticks(Frame::new(n)).get();
        let exact = 90_000 * den / num;
        prop_assert!((exact..=exact + 1).contains(&i128::from(step)), "a step of {step} ticks");
    }

    #[test]
    fn sound_begins_within_half_a_unit_of_its_frame_and_tiles(timeline in timeline(), n in frame(), long in 0..500_u64) {
        let (frame, end) = (Frame::new(n), Frame::new(n + long));
        let units = timeline.audio_units(frame..end);
        prop_assert_eq!((units.start, units.end), (timeline.audio_unit(frame), timeline.audio_unit(end)));
        let begin = timeline.audio_ticks(units.start);
        prop_assert!(begin.get().abs_diff(timeline.ticks(frame).get()) <= AUDIO_UNIT_TICKS / 2);
        prop_assert_eq!(timeline.audio_pts(units.start), begin.wrapped());
        prop_assert_eq!(timeline.audio_ticks(units.start + 1).get() - begin.get(), AUDIO_UNIT_TICKS);
    }

    #[test]
    fn time_on_the_wrapping_clock_is_arithmetic_modulo_its_wrap(a in 0..1_u64 << 50, step in -(1_i64 << 32)..1 << 32, far in any::<i64>()) {
        let clock = Pts33::new(a);
        prop_assert_eq!(i128::from(clock.get()), i128::from(a) % WRAP);
        let moved = clock.offset(step);
        prop_assert_eq!(moved.since(clock), step);
        prop_assert_eq!(moved.is_after(clock), step > 0);
        prop_assert_eq!(i128::from(clock.offset(far).get()), (i128::from(a) + i128::from(far)).rem_euclid(WRAP));
        prop_assert_eq!(clock.plus(Ticks90k::new(a)), Pts33::new(2 * a));
        if let Some(there) = a.checked_add_signed(step) {
            prop_assert_eq!(moved.unwrapped_near(Ticks90k::new(a)), Ticks90k::new(there));
        }
    }

    #[test]
    fn whole_frames_and_durations_lead_to_one_another(rate in rate(), n in frame()) {
        prop_assert_eq!(rate.frames_at(rate.duration(n)), n);
        let ticks = rate.ticks(n);
        prop_assert!(ticks.duration().abs_diff(rate.duration(n)) <= Duration::from_nanos(5_557));
    }

    #[test]
    fn a_timeline_is_stored_as_it_is(timeline in timeline()) {
        let json = serde_json::to_string(&timeline).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Timeline>(&json).expect("what was stored"), timeline);
    }

    #[test]
    fn rates_of_bits_are_what_they_say(bytes in 0..1_u64 << 50, seconds in 1..100_000_u64) {
        prop_assert_eq!(BitsPerSecond::of(bytes, Duration::from_secs(seconds)).get(), bytes * 8 / seconds);
    }
}

#[test]
fn before_the_epoch_is_frame_zero_and_after_the_end_of_time_is_its_end() {
    let epoch: Timestamp = "2025-01-01T00:00:00Z".parse().expect("a time");
    let timeline = Timeline {
        epoch,
        frame_rate: FrameRate::F25,
        clock_origin: Ticks90k::new(0),
    };
    assert_eq!(
        timeline.frame_at(epoch - Duration::from_secs(9)),
        Frame::new(0)
    );
    assert_eq!(timeline.wall(Frame::new(u64::MAX)), Timestamp::MAX);
    assert_eq!(
        timeline.wall(Frame::new(50)),
        epoch + Duration::from_secs(2)
    );
}

#[test]
fn a_gop_is_two_seconds_and_rates_read_as_people_write_them() {
    let gops: Vec<_> = FrameRate::ALL
        .iter()
        .map(|rate| rate.gop_frames())
        .collect();
    assert_eq!(gops, [48, 48, 50, 60, 60, 100, 120, 120]);
    let written: Vec<_> = FrameRate::ALL
        .iter()
        .map(|rate| serde_json::to_string(rate).expect("JSON"))
        .collect();
    assert_eq!(
        written,
        ["23.976", "24", "25", "29.97", "30", "50", "59.94", "60"]
    );
    for rate in FrameRate::ALL {
        assert_eq!(
            serde_json::from_str::<FrameRate>(&serde_json::to_string(&rate).expect("JSON"))
                .expect("a rate"),
            rate
        );
        assert_eq!(FrameRate::from_ratio(rate.num(), rate.den()), Ok(rate));
    }
    assert!(serde_json::from_str::<FrameRate>("26").is_err());
    assert!(FrameRate::from_number(f64::NAN).is_err());
    assert_eq!(BitsPerSecond::of(5, Duration::ZERO), BitsPerSecond(0));
}
