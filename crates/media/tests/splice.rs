//! S1, S2: whatever is spliced, the output is one unbroken stream on the channel's clock, frame for frame
//! and unit for unit what went in; and it is a pure function of GOPs, place and counters.

mod support;
#[path = "../../../tests/judge/mod.rs"]
mod verdict;

use playout_domain::units::{Frame, FrameRate, Timeline};
use playout_media::gop::Gop;
use playout_media::splice::{Layout, SourceId, SplicedGop, Splicer};
use proptest::prelude::*;
use support::{
    Clip, PARAMETER_SETS, SILENCE, UNIT, WRAP, cases, clip, demux, origin, rate, regular_clip,
    stamped, timeline,
};
use verdict::Judge;

/// A channel and what is put on its air.
#[derive(Debug, Clone)]
struct Programme {
    timeline: Timeline,
    at: Frame,
    clips: Vec<Clip>,
}

fn programme(rungs: usize, regular: bool) -> impl Strategy<Value = Programme> {
    (rate(), origin(), 0..10_000_000_u64, any::<bool>()).prop_flat_map(
        move |(rate, origin, at, b_frames)| {
            let any = if regular {
                regular_clip(rate, rungs).boxed()
            } else {
                clip(rate, rungs).boxed()
            };
            prop::collection::vec(any, 1..4).prop_map(move |clips| {
                // All that is prepared for one profile reorders alike; and no two clips have one name.
                let clips = (0..)
                    .zip(clips)
                    .map(|(id, clip)| Clip {
                        id,
                        b_frames,
                        ..clip
                    })
                    .collect();
                Programme {
                    timeline: timeline(rate, origin),
                    at: Frame::new(at),
                    clips,
                }
            })
        },
    )
}

fn source(content: u64, run: u64) -> SourceId {
    SourceId { content, run }
}

/// Every GOP of the programme, with its place and its source.
fn gops(programme: &Programme) -> Vec<(Gop, Frame, SourceId)> {
    let mut at = programme.at;
    let mut all = Vec::new();
    for clip in &programme.clips {
        for gop in demux(&clip.bytes(), clip.start, &[65_536]).expect("a sound clip") {
            let frames = u64::from(gop.frames);
            all.push((gop, at, source(clip.id.into(), 0)));
            at += frames;
        }
    }
    all
}

fn splice(splicer: &mut Splicer, gops: &[(Gop, Frame, SourceId)]) -> Vec<SplicedGop> {
    gops.iter()
        .map(|(gop, at, id)| splicer.splice(gop.clone(), *at, *id))
        .collect()
}

fn judge(rate: FrameRate, out: &[SplicedGop], stream: usize) -> Vec<String> {
    let mut judge = Judge::new(rate.num(), rate.den());
    for gop in out {
        judge.segment(&format!("frame {}", gop.start), &gop.streams[stream], false);
    }
    judge.faults()
}

fn joined(out: &[SplicedGop], stream: usize) -> Vec<u8> {
    out.iter()
        .flat_map(|gop| gop.streams[stream].to_vec())
        .collect()
}

/// `a` minus `b` on the 33-bit clock.
fn ahead(a: u64, b: u64) -> i64 {
    let forward = (a + WRAP - b) % WRAP;
    if forward < WRAP / 2 {
        forward as i64
    } else {
        forward as i64 - WRAP as i64
    }
}

/// Every picture of every clip comes out once, in order, at its place on the channel's clock.
fn check_pictures(programme: &Programme, out: &[u8], rung: usize) -> Result<(), TestCaseError> {
    let mut shown = stamped(out, 0x100);
    let begin = programme.timeline.pts(programme.at).get();
    shown.sort_by_key(|picture| ahead(picture.pts, begin));
    let names = programme
        .clips
        .iter()
        .flat_map(|clip| (0..clip.frames()).map(|n| clip.frame_name(rung, n)));
    let names: Vec<String> = names.collect();
    prop_assert_eq!(
        shown
            .iter()
            .map(|picture| picture.name.clone())
            .collect::<Vec<_>>(),
        names
    );
    let exact = 90_000 * u64::from(programme.timeline.frame_rate.den())
        % u64::from(programme.timeline.frame_rate.num())
        == 0;
    for (n, picture) in (0..).zip(&shown) {
        let off = ahead(picture.pts, programme.timeline.pts(programme.at + n).get()).abs();
        prop_assert!(
            off <= if exact { 0 } else { 1 },
            "{} is {} ticks off",
            picture.name,
            off
        );
    }
    Ok(())
}

/// The sound stands on the channel's grid without a gap; each clip's units come once, in order, beside
/// their pictures; silence stands only where a clip has no more.
fn check_sound(programme: &Programme, out: &[u8]) -> Result<(), TestCaseError> {
    let timeline = &programme.timeline;
    let heard = stamped(out, 0x110);
    let first = timeline.audio_unit(programme.at);
    for (unit, sound) in (first..).zip(&heard) {
        prop_assert_eq!(sound.pts, timeline.audio_pts(unit).get(), "unit {}", unit);
    }
    let mut at = programme.at;
    for clip in &programme.clips {
        let end = at + clip.frames();
        let units = timeline.audio_units(at..end);
        let part = &heard[(units.start - first) as usize..(units.end - first) as usize];
        let begin = timeline.pts(at).get();
        let mut last = None;
        for (n, sound) in part.iter().enumerate() {
            if sound.name == SILENCE {
                // At most the last one, and only if the source had not a unit to spare.
                prop_assert!(
                    n + 1 == part.len() && clip.audio_tail == 0,
                    "silence at unit {} of {}",
                    n,
                    clip.id
                );
                continue;
            }
            let number: u64 = sound
                .name
                .trim_end_matches('>')
                .rsplit('/')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number");
            prop_assert_eq!(&sound.name, &clip.unit_name(number), "of clip {}", clip.id);
            prop_assert!(
                last.is_none_or(|last| number == last + 1),
                "{} after unit {:?}",
                sound.name,
                last
            );
            last = Some(number);
            let beside = clip.unit_pts(number) - clip.start as i64;
            let skew = ahead(sound.pts, begin) - beside;
            prop_assert!(
                skew.abs() <= UNIT as i64 / 2 + 1,
                "{} is {} ticks from its picture",
                sound.name,
                skew
            );
        }
        at = end;
    }
    prop_assert_eq!(heard.len() as u64, timeline.audio_unit(at) - first);
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn s1_any_programme_is_one_unbroken_stream(programme in programme(1, false)) {
        let gops = gops(&programme);
        let out = splice(&mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)), &gops);
        prop_assert_eq!(judge(programme.timeline.frame_rate, &out, 0), Vec::<String>::new());
        let bytes = joined(&out, 0);
        check_pictures(&programme, &bytes, 0)?;
        check_sound(&programme, &bytes)?;
        for gop in &out {
            prop_assert_eq!(&gop.parameter_sets[0][..], PARAMETER_SETS);
        }
    }

    #[test]
    fn s2_a_restart_from_persisted_counters_changes_no_byte(programme in programme(1, true), cut in any::<prop::sample::Index>()) {
        let gops = gops(&programme);
        let whole = splice(&mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)), &gops);
        let cut = cut.index(gops.len());
        let mut first = Splicer::new(programme.timeline, Layout::StreamPerRung(1));
        let mut parts = splice(&mut first, &gops[..cut]);
        let stored = serde_json::to_string(&first.counters()).expect("JSON");
        let mut second = Splicer::resume(programme.timeline, serde_json::from_str(&stored).expect("counters"));
        // The source that was on air begins anew at the GOP that is due; the others come as before.
        let (due, at, id) = &gops[cut];
        let clip = programme.clips.iter().find(|clip| u64::from(clip.id) == id.content).expect("its clip");
        let mut at = *at;
        for gop in demux(&clip.bytes(), due.pts.get(), &[4_096]).expect("a sound clip") {
            let frames = u64::from(gop.frames);
            parts.push(second.splice(gop, at, source(id.content, 1)));
            at += frames;
        }
        let rest = gops.iter().skip(cut).skip_while(|(_, _, other)| other == id);
        parts.extend(splice(&mut second, &rest.cloned().collect::<Vec<_>>()));
        for (before, after) in whole.iter().zip(&parts) {
            prop_assert!(before.streams == after.streams, "frame {} differs", before.start);
        }
        prop_assert_eq!(whole.len(), parts.len());
    }

    #[test]
    fn s1_a_source_started_again_loses_and_repeats_nothing(programme in programme(1, true), cut in any::<prop::sample::Index>()) {
        let gops = gops(&programme);
        let whole = splice(&mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)), &gops);
        let cut = cut.index(gops.len());
        let mut splicer = Splicer::new(programme.timeline, Layout::StreamPerRung(1));
        let mut parts = splice(&mut splicer, &gops[..cut]);
        let (due, mut at, id) = gops[cut].clone();
        let clip = programme.clips.iter().find(|clip| u64::from(clip.id) == id.content).expect("its clip");
        for gop in demux(&clip.bytes(), due.pts.get(), &[4_096]).expect("a sound clip") {
            let frames = u64::from(gop.frames);
            parts.push(splicer.splice(gop, at, source(id.content, 1)));
            at += frames;
        }
        for (before, after) in whole.iter().zip(&parts) {
            prop_assert!(before.streams == after.streams, "frame {} differs", before.start);
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn s1_every_rung_is_a_stream_of_its_own(programme in programme(3, false)) {
        let gops = gops(&programme);
        let out = splice(&mut Splicer::new(programme.timeline, Layout::StreamPerRung(3)), &gops);
        for rung in 0..3 {
            prop_assert_eq!(judge(programme.timeline.frame_rate, &out, rung), Vec::<String>::new());
            let bytes = joined(&out, rung);
            check_pictures(&programme, &bytes, rung)?;
            check_sound(&programme, &bytes)?;
        }
    }
}

fn plain(clips: Vec<Clip>, origin: u64) -> Programme {
    Programme {
        timeline: timeline(clips[0].rate, origin),
        at: Frame::new(7),
        clips,
    }
}

#[test]
fn a_rung_that_a_source_lacks_shows_its_first() {
    let programme = plain(vec![Clip::plain(0, FrameRate::F25, &[50, 20])], 0);
    let out = splice(
        &mut Splicer::new(programme.timeline, Layout::StreamPerRung(2)),
        &gops(&programme),
    );
    check_pictures(&programme, &joined(&out, 1), 0).expect("the first rung's pictures");
    assert_eq!(joined(&out, 0), joined(&out, 1));
}

#[test]
fn a_hole_in_the_sound_is_silence_and_nothing_moves() {
    let programme = plain(
        vec![Clip::plain(0, FrameRate::F25, &[50, 50, 50])],
        WRAP - 100_000,
    );
    let mut gops = gops(&programme);
    let whole = splice(
        &mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)),
        &gops,
    );
    for (gop, ..) in &mut gops {
        gop.audio
            .retain(|unit| !(1_000_000..1_020_000).contains(&unit.pts.get()));
    }
    let holed = splice(
        &mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)),
        &gops,
    );
    assert_eq!(judge(FrameRate::F25, &holed, 0), Vec::<String>::new());
    let (whole, holed_bytes) = (
        stamped(&joined(&whole, 0), 0x110),
        stamped(&joined(&holed, 0), 0x110),
    );
    let differ: Vec<_> = whole
        .iter()
        .zip(&holed_bytes)
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(
        differ.len(),
        11,
        "20000 ticks hold the beginning of ten or eleven units: {differ:?}"
    );
    assert!(
        differ
            .iter()
            .all(|(before, after)| before.pts == after.pts && after.name == SILENCE)
    );
    assert_eq!(holed.iter().map(|gop| gop.silent_units).sum::<u32>(), 11);
}

#[test]
fn a_source_without_any_sound_is_silent_throughout() {
    let programme = plain(vec![Clip::plain(0, FrameRate::F29_97, &[60, 3])], 0);
    let mut gops = gops(&programme);
    gops.iter_mut().for_each(|(gop, ..)| gop.audio.clear());
    let out = splice(
        &mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)),
        &gops,
    );
    assert_eq!(judge(FrameRate::F29_97, &out, 0), Vec::<String>::new());
    assert!(
        stamped(&joined(&out, 0), 0x110)
            .iter()
            .all(|sound| sound.name == SILENCE)
    );
}

#[test]
fn a_long_item_keeps_its_sound_to_the_end() {
    let clip = Clip {
        frame_bytes: 20,
        ..Clip::plain(0, FrameRate::F23_976, &[48; 30])
    };
    let programme = plain(vec![clip], WRAP - 2_000_000);
    let out = splice(
        &mut Splicer::new(programme.timeline, Layout::StreamPerRung(1)),
        &gops(&programme),
    );
    let bytes = joined(&out, 0);
    check_pictures(&programme, &bytes, 0).expect("every picture");
    check_sound(&programme, &bytes).expect("every unit of sound");
    assert_eq!(out.iter().map(|gop| gop.silent_units).sum::<u32>(), 0);
}

#[test]
fn a_thousand_splices_do_not_drift() {
    let clip = Clip {
        frame_bytes: 20,
        ..Clip::plain(0, FrameRate::F23_976, &[7])
    };
    let gop = demux(&clip.bytes(), clip.start, &[9_999])
        .expect("a sound clip")
        .remove(0);
    let timeline = timeline(FrameRate::F23_976, WRAP - 3_000_000);
    let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(1));
    let out: Vec<_> = (0..1_000)
        .map(|n| splicer.splice(gop.clone(), Frame::new(n * 7), source(n, n)))
        .collect();
    assert_eq!(judge(FrameRate::F23_976, &out, 0), Vec::<String>::new());
}
