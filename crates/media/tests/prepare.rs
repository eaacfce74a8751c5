//! What is prepared reads back GOP by GOP as what was put in, and plays on any channel's clock.

mod support;
#[path = "../../../tests/judge/mod.rs"]
mod verdict;

use playout_domain::media::Profile;
use playout_domain::units::{BitsPerSecond, Frame, FrameRate, Ticks90k};
use playout_domain::{LowerRungs, Resolution, media::DEFAULT_AUDIO_BITRATE};
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, IndexError};
use playout_media::prepare::{PrepareError, Preparer, hex};
use playout_media::splice::{Layout, SourceId, Splicer};
use proptest::prelude::*;
use support::{
    Clip, PARAMETER_SETS, SILENCE, START, UNIT, cases, clip, demux, origin, rate, stamped, timeline,
};
use verdict::Judge;

fn profile(frame_rate: FrameRate) -> Profile {
    let (resolution, video_bitrate) = (Resolution::P240, BitsPerSecond(400_000));
    Profile {
        resolution,
        frame_rate,
        video_bitrate,
        audio_bitrate: DEFAULT_AUDIO_BITRATE,
        lower: LowerRungs::NONE,
        treatment: playout_domain::Treatment::PLAIN,
    }
}

fn prepare(clip: &Clip, piece: usize) -> Result<(Vec<u8>, GopIndex), PrepareError> {
    let mut preparer = Preparer::new(&profile(clip.rate));
    let mut file = Vec::new();
    for bytes in clip.bytes().chunks(piece) {
        file.extend(preparer.push(bytes)?.concat());
    }
    let (last, index) = preparer.finish()?;
    file.extend(last.concat());
    Ok((file, index))
}

fn any_clip() -> impl Strategy<Value = Clip> {
    (rate(), 1..3_usize).prop_flat_map(|(rate, rungs)| clip(rate, rungs))
}

/// The GOPs of a prepared file from number `first` on, read as its index says: a reader keeps its
/// demuxer from GOP to GOP and begins one GOP early, for sound of the neighbours may be wanted.
fn read_from(file: &[u8], index: &GopIndex, first: usize) -> Vec<Gop> {
    let place = index.gop(first).expect("a GOP");
    let begin = index.gop(first.saturating_sub(1)).expect("a GOP");
    demux(
        &file[begin.offset as usize..],
        GopIndex::time_of(place.frame, index.frame_rate).get(),
        &[10_000],
    )
    .expect("a sound file")
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_prepared_file_is_what_was_put_in(clip in any_clip(), piece in 1..50_000_usize) {
        let (file, index) = prepare(&clip, piece).expect("a sound clip");
        let stored = serde_json::to_vec(&index).expect("JSON");
        prop_assert_eq!(GopIndex::parse(&stored), Ok(index.clone()));
        prop_assert_eq!((index.frames, index.bytes), (clip.frames(), file.len() as u64));
        prop_assert_eq!(&index.profile, &profile(clip.rate).key());
        prop_assert_eq!(&index.parameter_sets, &vec![hex(PARAMETER_SETS); clip.rungs]);
        let mut first = 0;
        for (number, frames) in clip.gops.iter().enumerate() {
            let place = index.gop(number).expect("a GOP");
            prop_assert_eq!((place.number, place.frame, place.frames), (number, first, *frames));
            prop_assert_eq!(index.gop_from(first), Some(place));
            // A frame within a GOP leads to the next one.
            let within = if number == 0 || clip.gops[number - 1] > 1 { first.saturating_sub(1) } else { first };
            prop_assert_eq!(index.gop_from(within).map(|place| place.number), Some(number));
            let alone = &file[place.offset as usize..(place.offset + place.len) as usize];
            let gops = demux(alone, START, &[piece]).expect("a sound GOP");
            prop_assert_eq!(gops.len(), 1);
            prop_assert_eq!(gops[0].pts, GopIndex::time_of(first, clip.rate));
            for rung in 0..clip.rungs {
                let mut shown: Vec<_> = stamped(alone, 0x100 + rung as u16);
                shown.sort_by_key(|picture| picture.pts);
                let expected = (first..first + frames).map(|n| clip.frame_name(rung, n));
                prop_assert_eq!(shown.into_iter().map(|picture| picture.name).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
            first += frames;
        }
        prop_assert_eq!(index.gop(clip.gops.len()), None);
        prop_assert_eq!(index.gop_from(first), None);
        // The sound is on a grid from the first frame on, and as long as the picture.
        let heard = stamped(&file, 0x110);
        prop_assert_eq!(heard.len() as u64, (clip.length() + UNIT / 2) / UNIT);
        for (n, sound) in (0..).zip(&heard) {
            prop_assert_eq!(sound.pts, START + n * UNIT);
        }
    }

    #[test]
    fn a_prepared_file_plays_on_any_clock_without_a_hole(clip in any_clip(), origin in origin(), at in 0..1_000_000_u64, first in any::<prop::sample::Index>()) {
        let (file, index) = prepare(&clip, 10_000).expect("a sound clip");
        let first = first.index(index.gops.len());
        let gops = read_from(&file, &index, first);
        prop_assert_eq!(gops.len(), index.gops.len() - first);
        let mut splicer = Splicer::new(timeline(clip.rate, origin), Layout::StreamPerRung(1));
        let mut judge = Judge::new(clip.rate.num(), clip.rate.den());
        let mut at = Frame::new(at);
        let mut heard = Vec::new();
        for gop in gops {
            let out = splicer.splice(gop, at, SourceId { content: 0, run: 0 });
            judge.segment("gop", &out.streams[0], false);
            heard.extend(stamped(&out.streams[0], 0x110));
            at += u64::from(out.frames);
        }
        prop_assert_eq!(judge.faults(), Vec::<String>::new());
        let silent: Vec<usize> = (0..heard.len()).filter(|n| heard[*n].name == SILENCE).collect();
        // The item's grid and the channel's may leave one unit to fill, at the item's end alone (and the
        // item itself may have one at its end).
        prop_assert!(silent.len() <= 2 && silent.iter().all(|n| n + 2 >= heard.len()), "silence at {:?} of {}", silent, heard.len());
    }
}

#[test]
fn an_encoder_without_a_picture_made_nothing() {
    let preparer = Preparer::new(&profile(FrameRate::F25));
    assert_eq!(preparer.finish().err(), Some(PrepareError::Empty));
}

#[test]
fn other_parameter_sets_on_the_way_are_refused() {
    let mut bytes = Clip::plain(0, FrameRate::F25, &[50, 50]).bytes();
    let at = bytes
        .windows(4)
        .rposition(|w| w == [0x67, 0x64, 0x00, 0x1f])
        .expect("an SPS");
    bytes[at + 3] = 0x2a;
    let mut preparer = Preparer::new(&profile(FrameRate::F25));
    let pushed = preparer.push(&bytes).map(drop);
    let ended = preparer.finish().map(drop);
    assert_eq!(pushed.and(ended), Err(PrepareError::ParameterSets(50)));
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let (_, good) =
        prepare(&Clip::plain(0, FrameRate::F25, &[50, 50, 7]), 9_999).expect("a sound clip");
    let parse = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = serde_json::to_value(&good).expect("JSON");
        change(&mut json);
        GopIndex::parse(json.to_string().as_bytes())
    };
    assert_eq!(parse(&|_| ()), Ok(good.clone()));
    assert_eq!(
        parse(&|json| json["version"] = 2.into()),
        Err(IndexError::Version(2))
    );
    let wrongs: [fn(&mut serde_json::Value); 6] = [
        |json| json["gops"][0] = serde_json::json!([1, 0]),
        |json| json["gops"][1] = json["gops"][2].clone(),
        |json| json["gops"][2] = serde_json::json!([100, 1]),
        |json| json["frames"] = 100.into(),
        |json| json["bytes"] = 10.into(),
        |json| json["gops"] = serde_json::json!([]),
    ];
    for wrong in wrongs {
        assert!(
            matches!(parse(&wrong), Err(IndexError::Damaged(_))),
            "{:?}",
            parse(&wrong)
        );
    }
    assert!(matches!(
        GopIndex::parse(b"{"),
        Err(IndexError::Unreadable(_))
    ));
    assert!(matches!(
        parse(&|json| json["more"] = 1.into()),
        Err(IndexError::Unreadable(_))
    ));
    assert_eq!(
        GopIndex::time_of(50, FrameRate::F25),
        Ticks90k::new(START + 180_000)
    );
}
