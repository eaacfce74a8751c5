//! From looks at a playback URL to what is known of it: the table of looks, their times, and what follows.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use playout_domain::far_end::{Effect, FarEnd, Look, Newest, State};

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A playlist with a target duration of 6 s.
fn playlist(next: u64) -> Look {
    Look::Playlist(newest(next, true, &format!("{next}.ts")))
}

fn newest(next: u64, numbered: bool, segment: &str) -> Newest {
    Newest {
        next,
        numbered,
        segment: segment.to_owned(),
        target: Duration::from_secs(6),
    }
}

fn still() -> Look {
    Look::Still("404".to_owned())
}

fn unknown() -> Look {
    Look::Unknown("no connection".to_owned())
}

/// What follows from each look: `+` raises, `-` closes, `.` nothing; and the state at the end.
fn follow(after: u32, looks: Vec<(u64, Look)>) -> (String, State) {
    let mut life = FarEnd::after(after);
    let effects = looks.into_iter().map(|(seconds, look)| {
        let effect = life.looked(look, at(seconds));
        assert_eq!(life.checked_at(), Some(at(seconds)));
        match effect {
            Some(Effect::Raise(why)) => {
                assert_eq!(Some(why.as_str()), life.why());
                '+'
            }
            Some(Effect::Close) => '-',
            None => '.',
        }
    });
    let effects = effects.collect();
    (effects, life.state())
}

/// A name, the looks and when they were made, what follows, and the state at the end.
type Row = (&'static str, Vec<(u64, Look)>, &'static str, State);

#[test]
fn looks_lead_to_a_state_and_to_alerts() {
    use Look::Moving;
    use State::{NotShowing, Showing, Unknown};
    let every = |step: u64, looks: Vec<Look>| (0..).step_by(step as usize).zip(looks).collect();
    let table: Vec<Row> = vec![
        (
            "one playlist says nothing",
            every(30, vec![playlist(5)]),
            ".",
            Unknown,
        ),
        (
            "a playlist that moves",
            every(30, vec![playlist(5), playlist(10), playlist(15)]),
            ".-.",
            Showing,
        ),
        (
            "a playlist that stands still",
            every(
                30,
                vec![
                    playlist(5),
                    playlist(5),
                    playlist(5),
                    playlist(5),
                    playlist(5),
                ],
            ),
            "...+.",
            NotShowing,
        ),
        (
            "one that has moved, stands still and moves again",
            every(
                30,
                vec![
                    playlist(5),
                    playlist(9),
                    playlist(9),
                    playlist(9),
                    playlist(9),
                    playlist(10),
                ],
            ),
            ".-..+-",
            Showing,
        ),
        (
            "two looks without movement, then one with",
            every(
                30,
                vec![
                    playlist(5),
                    playlist(5),
                    playlist(5),
                    playlist(6),
                    playlist(6),
                    playlist(6),
                ],
            ),
            "...-..",
            Showing,
        ),
        (
            "within three target durations a playlist may be the same",
            every(
                5,
                vec![
                    playlist(5),
                    playlist(5),
                    playlist(5),
                    playlist(5),
                    playlist(7),
                ],
            ),
            "....-",
            Showing,
        ),
        (
            "one that goes back is one that was begun anew",
            every(30, vec![playlist(500), playlist(3)]),
            ".-",
            Showing,
        ),
        (
            "nothing there",
            every(30, vec![still(), still(), still(), still()]),
            "..+.",
            NotShowing,
        ),
        (
            "nothing there, and then it is",
            every(30, vec![still(), still(), still(), Moving]),
            "..+-",
            Showing,
        ),
        (
            "a stream that is played",
            every(30, vec![Moving, Moving, still(), still(), Moving]),
            "-....",
            Showing,
        ),
        (
            "what cannot be looked at says nothing, and breaks no row",
            every(30, vec![still(), unknown(), still(), unknown(), still()]),
            "....+",
            NotShowing,
        ),
        (
            "what was known is forgotten, an alert is not",
            every(30, vec![Moving, unknown(), unknown(), unknown()]),
            "-...",
            Unknown,
        ),
        (
            "an alert is closed by nothing but movement",
            every(
                30,
                vec![
                    still(),
                    still(),
                    still(),
                    unknown(),
                    unknown(),
                    unknown(),
                    unknown(),
                ],
            ),
            "..+....",
            NotShowing,
        ),
        (
            "a playlist begun anew that moves closes it",
            every(
                30,
                vec![still(), still(), still(), playlist(1), playlist(2)],
            ),
            "..+.-",
            Showing,
        ),
    ];
    for (name, looks, effects, state) in table {
        assert_eq!(follow(3, looks), (effects.to_owned(), state), "{name}");
    }
}

#[test]
fn so_many_looks_in_a_row_as_the_operator_wants() {
    for (after, effects) in [(0, "+..."), (1, "+..."), (2, ".+.."), (4, "...+")] {
        let looks = (0..4).map(|n| (30 * n, still())).collect();
        assert_eq!(follow(after, looks).0, effects, "after {after}");
    }
}

#[test]
fn without_numbers_the_name_of_the_last_segment_tells() {
    let look = |numbered, segment| Look::Playlist(newest(6, numbered, segment));
    let moved = |numbered| {
        let looks = vec![(0, look(numbered, "a.ts")), (30, look(numbered, "b.ts"))];
        follow(1, looks)
    };
    assert_eq!(moved(false), (".-".to_owned(), State::Showing));
    // Names that are signed anew each time are no movement where there are numbers.
    assert_eq!(moved(true), (".+".to_owned(), State::NotShowing));
}

#[test]
fn what_was_seen_before_an_interruption_does_not_count() {
    let mut life = FarEnd::after(2);
    life.looked(playlist(5), at(0));
    life.looked(playlist(5), at(30));
    life.interrupted();
    // It may have moved before the interruption: this says nothing.
    assert_eq!(life.looked(playlist(9), at(300)), None);
    assert_eq!(life.state(), State::Unknown);
    assert_eq!(life.looked(playlist(9), at(330)), None);
    let raised = life.looked(playlist(9), at(360));
    let Some(Effect::Raise(why)) = raised else {
        panic!("{raised:?}");
    };
    assert!(why.contains("stood still for 60 s"), "{why}");
}
