//! What is remembered of what went out, until its segment is closed.

use playout_media::hls::Airing;

use super::super::subtitles::Log;
use super::*;

/// An item that begins at `start` on air, and goes out from `since` on.
fn airing(start: u64, since: u64) -> Airing {
    Airing {
        media: "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11".parse().unwrap(),
        start: Frame::new(start),
        in_frame: 0,
        end: Frame::new(start + 1_000),
        since: Frame::new(since),
    }
}

fn info(start: u64, frames: u64) -> SegmentInfo {
    SegmentInfo {
        start: Frame::new(start),
        frames,
        ..segment(1).info
    }
}

fn frames(from: u64, to: u64) -> std::ops::Range<Frame> {
    Frame::new(from)..Frame::new(to)
}

#[test]
fn what_goes_on_began_where_it_began_until_something_stands_in() {
    let mut log = Log::default();
    log.aired(Some(airing(0, 0)), frames(0, 50));
    log.aired(Some(airing(0, 50)), frames(50, 100));
    log.aired(Some(airing(0, 100)), frames(100, 150));
    assert_eq!(log.take(&info(0, 100)), [(airing(0, 0), frames(0, 100))]);
    // The segment was closed before the last GOP that went out.
    assert_eq!(log.going_on(Frame::new(100)), Some(airing(0, 0)));
    log.aired(None, frames(150, 200));
    log.aired(Some(airing(0, 200)), frames(200, 250));
    assert_eq!(
        log.take(&info(100, 150)),
        [
            (airing(0, 0), frames(100, 150)),
            (airing(0, 200), frames(200, 250))
        ]
    );
    assert_eq!(log.going_on(Frame::new(250)), Some(airing(0, 200)));
    // Another item begins where the segment ends.
    log.aired(Some(airing(250, 250)), frames(250, 300));
    assert_eq!(log.going_on(Frame::new(250)), None);
    assert_eq!(
        log.take(&info(250, 50)),
        [(airing(250, 250), frames(250, 300))]
    );
    // And a gap ends what went on.
    log.aired(Some(airing(250, 310)), frames(310, 360));
    assert_eq!(
        log.take(&info(310, 50)),
        [(airing(250, 310), frames(310, 360))]
    );
    log.aired(None, frames(360, 400));
    assert_eq!(
        (log.take(&info(360, 40)), log.going_on(Frame::new(400))),
        (vec![], None)
    );
}

#[test]
fn an_item_that_is_to_end_elsewhere_goes_on_all_the_same() {
    let mut log = Log::default();
    log.aired(Some(airing(0, 0)), frames(0, 50));
    let sooner = Airing {
        end: Frame::new(90),
        ..airing(0, 50)
    };
    log.aired(Some(sooner), frames(50, 90));
    let known = Airing {
        since: Frame::new(0),
        ..sooner
    };
    assert_eq!(log.take(&info(0, 90)), [(known, frames(0, 90))]);
}

#[test]
fn a_restart_goes_on_with_what_went_out() {
    let mut log = Log::behind(Some((airing(0, 7), Frame::new(100))));
    log.aired(Some(airing(0, 100)), frames(100, 150));
    assert_eq!(log.take(&info(100, 50)), [(airing(0, 7), frames(100, 150))]);
    let mut log = Log::behind(Some((airing(0, 7), Frame::new(90))));
    log.aired(Some(airing(0, 100)), frames(100, 150));
    assert_eq!(
        log.take(&info(100, 50)),
        [(airing(0, 100), frames(100, 150))]
    );
}
