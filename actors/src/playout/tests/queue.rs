//! The queue between feeder and air side against a plain list.

use std::time::Duration;

use playout_domain::as_run::Reason;
use playout_media::gop::Gop;
use playout_media::splice::SourceId;
use proptest::prelude::*;
use tokio::time::timeout;

use super::super::queue::{Fed, Queue, Shows};
use super::super::reporter::About;
use super::*;
use crate::channels::OnAirKind;

const SOON: Duration = Duration::from_secs(1);

fn fed(at: u64, frames: u32) -> Fed {
    let gop = Gop {
        pts: Ticks90k::new(0),
        frames,
        rungs: Vec::new(),
        audio: Vec::new(),
    };
    let shows = Shows {
        kind: OnAirKind::Slate,
        media: None,
        entry: None,
        until: None,
    };
    let source = SourceId { content: 0, run: 0 };
    let about = About {
        planned: None,
        reason: Reason::NothingPlanned,
        detail: None,
        encoded: false,
        gone: None,
    };
    Fed {
        at: Frame::new(at),
        gop,
        source,
        shows,
        drawn: None,
        bare: false,
        about,
    }
}

#[tokio::test(start_paused = true)]
async fn the_reader_is_woken_by_a_gop_and_the_writer_by_room() {
    let queue = Queue::new(Frame::new(0), 100);
    assert!(timeout(SOON, queue.pop()).await.is_err(), "it is empty");
    let (taken, ()) = tokio::join!(timeout(SOON, queue.pop()), async { queue.push(fed(0, 50)) });
    let taken = taken.unwrap();
    assert_eq!((taken.at, taken.end()), (Frame::new(0), Frame::new(50)));

    queue.push(fed(50, 50));
    timeout(SOON, queue.room()).await.unwrap();
    queue.push(fed(100, 50));
    assert!(timeout(SOON, queue.room()).await.is_err(), "it is full");
    let (room, taken) = tokio::join!(timeout(SOON, queue.room()), queue.pop());
    assert!(room.is_ok());
    assert_eq!(taken.at, Frame::new(50));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_cannot_be_taken_back() {
    let queue = Queue::new(Frame::new(7), 100);
    assert_eq!(queue.front(), Frame::new(7));
    queue.begin(Frame::new(0));
    queue.push(fed(0, 50));
    queue.push(fed(50, 50));
    queue.pop().await;
    assert_eq!(queue.cut(|_| false), Some(Frame::new(50)));
    assert_eq!((queue.front(), queue.frames()), (Frame::new(50), 0));
    assert_eq!(queue.cut(|_| false), None, "there is nothing left");
}

proptest! {
    #[test]
    fn gops_leave_in_order_and_without_a_hole(
        steps in prop::collection::vec((0_u8..3, 1_u32..60), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let queue = Queue::new(Frame::new(0), u64::MAX);
        let (mut front, mut waiting) = (0, std::collections::VecDeque::new());
        for (step, frames) in steps {
            let end = front + waiting.iter().map(|frames| u64::from(*frames)).sum::<u64>();
            match step {
                0 if !waiting.is_empty() => {
                    let taken = runtime.block_on(queue.pop());
                    prop_assert_eq!(taken.at.get(), front);
                    front = taken.end().get();
                    waiting.pop_front();
                }
                1 => {
                    let until = front + u64::from(frames);
                    let from = queue.cut(|fed| fed.end().get() <= until);
                    let mut kept = front;
                    let stay = waiting.iter().take_while(|frames| {
                        kept += u64::from(**frames);
                        kept <= until
                    });
                    let stay = stay.count();
                    let cut_at = front + waiting.iter().take(stay).map(|f| u64::from(*f)).sum::<u64>();
                    prop_assert_eq!(from, (stay < waiting.len()).then_some(Frame::new(cut_at)));
                    waiting.truncate(stay);
                }
                _ => {
                    queue.push(fed(end, frames));
                    waiting.push_back(frames);
                }
            }
            prop_assert_eq!(queue.front().get(), front);
            prop_assert_eq!(queue.frames(), waiting.iter().map(|frames| u64::from(*frames)).sum::<u64>());
        }
    }
}
