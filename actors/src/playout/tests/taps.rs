//! What outputs are given, and what they are not.

use bytes::Bytes;
use playout_domain::units::Frame;

use super::super::taps::{Aired, Taps};

fn aired(at: u64) -> Aired {
    Aired {
        at: Frame::new(at),
        frames: 50,
        streams: vec![Bytes::new()],
        begins_item: false,
    }
}

fn taken(flow: &mut tokio::sync::mpsc::Receiver<std::sync::Arc<Aired>>) -> Vec<u64> {
    std::iter::from_fn(|| flow.try_recv().ok())
        .map(|aired| aired.at.get())
        .collect()
}

#[test]
fn what_was_due_before_the_playout_began_is_not_sent() {
    let taps = Taps::default();
    let mut flow = taps.open();
    for (at, current) in [(0, false), (50, false), (100, true), (150, true)] {
        taps.send(aired(at), current);
    }
    assert_eq!(taken(&mut flow), [100, 150]);
}

#[test]
fn a_playout_that_follows_another_goes_on_behind_it_without_a_repetition() {
    let taps = Taps::default();
    let mut flow = taps.open();
    taps.send(aired(100), true);
    // The next playout begins with what was published, and what is due already is its burst.
    for (at, current) in [(50, false), (100, false), (150, false), (200, true)] {
        taps.send(aired(at), current);
    }
    assert_eq!(taken(&mut flow), [100, 150, 200]);
}

#[test]
fn a_new_timeline_begins_anew() {
    let taps = Taps::default();
    let mut flow = taps.open();
    taps.send(aired(1_000_000), true);
    taps.send(aired(100), true);
    assert_eq!(taken(&mut flow), [1_000_000, 100]);
}

#[test]
fn whoever_takes_nothing_is_cut_off_and_nobody_else() {
    let taps = Taps::default();
    let (mut slow, mut quick) = (taps.open(), taps.open());
    let mut seen = Vec::new();
    for n in 0..20 {
        taps.send(aired(n * 50), true);
        seen.extend(taken(&mut quick));
    }
    assert_eq!(seen.len(), 20);
    assert_eq!(taken(&mut slow).len(), 8);
    assert!(slow.is_closed());
}
