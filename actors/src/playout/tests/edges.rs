//! An entry that begins or ends within a GOP of its prepared file: the pictures at its edges are encoded, the rest is
//! copied. Whatever becomes of an encoder, every other frame comes out in its place, and the next entry on time. The
//! feeder and the splicer as they are, with the stand-in for FFmpeg of `failing.rs`.

use std::fs;
use std::ops::Range;

use playout_domain::ids::MediaId;
use playout_domain::plan::PlannedItem;
use playout_media::index::GopIndex;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use uuid::Uuid;

use super::failing::{
    Fault, How, Item, Outcome, RATE, VIDEO, World, has_whole_sound, name, prepare, runtime, shelve,
};
use super::support;
use crate::channels::OnAirKind;

/// A part of an item, and what becomes of the encoders of its edges.
#[derive(Debug, Clone)]
struct Part {
    gops: Vec<u64>,
    shown: Range<u64>,
    faults: [Option<Fault>; 2],
}

fn part() -> impl Strategy<Value = Part> {
    let gop = RATE.gop_frames();
    let gops = (prop::collection::vec(Just(gop), 1..4), 1..=gop);
    let gops = gops.prop_map(|(mut gops, last)| {
        gops.push(last);
        gops
    });
    let how = prop_oneof![
        3 => Just(How::Fails),
        3 => Just(How::BreaksOff),
        3 => Just(How::IsKilled),
        2 => Just(How::WritesGarbage),
        1 => Just(How::Hangs),
    ];
    let fault = || prop::option::weighted(0.4, (0..20_000_u64, how.clone()));
    (gops, any::<[prop::sample::Index; 2]>(), [fault(), fault()]).prop_map(
        |(gops, places, faults)| {
            let frames = gops.iter().sum::<u64>() as usize;
            let mut cuts = places.map(|place| place.index(frames + 1) as u64);
            cuts.sort_unstable();
            let shown = cuts[0]..cuts[1].max(cuts[0] + 1);
            Part {
                gops,
                shown,
                faults,
            }
        },
    )
}

/// The frames at which a file's GOPs begin, and its end.
fn bounds(gops: &[u64]) -> Vec<u64> {
    let begins = gops.iter().scan(0, |at, frames| {
        *at += frames;
        Some(*at)
    });
    std::iter::once(0).chain(begins).collect()
}

impl Part {
    /// The frames that are to be encoded: at its beginning, and at its end.
    fn edges(&self) -> [Option<Range<u64>>; 2] {
        let bounds = bounds(&self.gops);
        let Range { start, end } = self.shown.clone();
        let key = bounds.iter().find(|at| **at >= start).copied().unwrap();
        let first = (key != start).then(|| start..key.min(end));
        let rest = first.as_ref().map_or(start, |first| first.end);
        let last = bounds.iter().rfind(|at| **at <= end).copied().unwrap();
        let last = (last != end && rest < end).then(|| last.max(rest)..end);
        [first, last]
    }

    /// Shelves it, with what its encoders are to deliver.
    fn shelve(&self, world: &World, library: &crate::library::Library, id: MediaId) {
        let item = Item {
            gops: self.gops.clone(),
            faults: Vec::new(),
        };
        shelve(library, world.dir.path(), id, 0, &item);
        let mut cuts = bounds(&self.gops);
        let frames = *cuts.last().unwrap();
        cuts.extend([self.shown.start, self.shown.end.min(frames)]);
        cuts.sort_unstable();
        cuts.dedup();
        let gops: Vec<u64> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (file, index) = prepare(0, &gops);
        let dir = world.dir.path().join(id.to_string()).join("encoded");
        fs::create_dir_all(&dir).unwrap();
        for (edge, fault) in self.edges().into_iter().zip(self.faults) {
            let Some(edge) = edge else { continue };
            let name = format!("{}-{}", edge.start, edge.end);
            fs::write(dir.join(&name), cut(&file, &index, &edge)).unwrap();
            if let Some((bytes, how)) = fault {
                fs::write(dir.join(name + ".fault"), format!("{bytes} {how:?}\n")).unwrap();
            }
        }
    }

    async fn airs(&self, world: &World) -> Outcome {
        let library = world.library().await;
        let id = MediaId::from(Uuid::now_v7());
        self.shelve(world, &library, id);
        let frames = self.shown.end - self.shown.start;
        let planned = PlannedItem {
            in_frame: self.shown.start,
            frames,
            ..PlannedItem::whole(id, frames)
        };
        // Twice, so that it is seen to begin again on time.
        world.feeds(library, vec![planned], 2 * frames, None).await
    }

    fn judge(&self, outcome: &Outcome) -> Result<(), TestCaseError> {
        let Range { start, end } = self.shown.clone();
        // What may be filled: an edge whose encoder failed, or that has a single picture.
        let filled = self.edges().into_iter().zip(self.faults);
        let filled: Vec<Range<u64>> = filled
            .filter_map(|(edge, fault)| edge.filter(|e| fault.is_some() || e.end < e.start + 2))
            .collect();
        let mut names = Vec::new();
        let begins = outcome.fed[0].0;
        let mut at = begins;
        for (place, frames, kind, _) in &outcome.fed {
            prop_assert_eq!(*place, at, "each begins where the one before it ends");
            let from = start + place.since(begins) % (end - start);
            let frames = from..from + frames;
            prop_assert!(frames.end <= end, "the next begins on time: {:?}", frames);
            match kind {
                OnAirKind::Scheduled => names.extend(frames.clone().map(|n| Some(name(0, n)))),
                _ => {
                    let may =
                        |edge: &Range<u64>| edge.start <= frames.start && frames.end <= edge.end;
                    let facts = &outcome.facts;
                    prop_assert!(filled.iter().any(may), "{frames:?} is filled: {facts:?}");
                    names.extend(frames.clone().map(|_| None));
                }
            }
            at += frames.end - frames.start;
        }
        let mut pictures = support::stamped(&outcome.stream, VIDEO);
        pictures.sort_by_key(|picture| picture.pts);
        prop_assert_eq!(pictures.len(), names.len());
        for (picture, name) in pictures.iter().zip(&names) {
            if let Some(name) = name {
                prop_assert_eq!(&picture.name, name);
            }
        }
        for pair in pictures.windows(2) {
            prop_assert_eq!(pair[1].pts - pair[0].pts, 3_600);
        }
        has_whole_sound(&outcome.stream)
    }
}

/// The GOPs of `frames`.
fn cut<'a>(file: &'a [u8], index: &GopIndex, frames: &Range<u64>) -> &'a [u8] {
    let offset = |frame: u64| {
        let place = index.gops.iter().find(|place| place.frame == frame);
        place.map_or(file.len(), |place| place.offset as usize)
    };
    &file[offset(frames.start)..offset(frames.end)]
}

#[test]
fn whatever_becomes_of_the_encoders_of_its_edges_the_rest_of_an_entry_comes_out() {
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(support::cases(60));
    let held = runner.run(&part(), |part| {
        part.judge(&runtime.block_on(part.airs(&world)))
    });
    held.unwrap();
}

#[test]
fn an_encoder_that_breaks_off_between_pictures_that_are_not_in_order_leaves_no_gap() {
    let part = Part {
        gops: vec![50, 5],
        shown: 0..53,
        faults: [None, Some((1_880, How::BreaksOff))],
    };
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    part.judge(&runtime.block_on(part.airs(&world))).unwrap();
}

#[test]
fn an_edge_that_comes_after_its_time_is_filled_and_the_rest_is_copied() {
    let part = Part {
        gops: vec![RATE.gop_frames(); 4],
        shown: 20..200,
        faults: [Some((1_000_000, How::IsLate)), None],
    };
    let outcome = runtime().block_on(async {
        let mut world = World::new().await;
        world.ahead = 0;
        part.airs(&world).await
    });
    part.judge(&outcome).unwrap();
    assert_ne!(outcome.fed[0].2, OnAirKind::Scheduled, "it was late");
}
