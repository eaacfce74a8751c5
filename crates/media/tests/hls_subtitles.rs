//! Subtitles in HLS: the bytes of playlists and segments, and that every cue lies where its item's frames are.

mod support;

use jiff::Timestamp;
use playout_domain::Language;
use playout_domain::config::{ChannelConfig, Policy, SubtitleSetting};
use playout_domain::units::{Frame, FrameRate, Timeline};
use playout_media::hls::{
    Airing, MediaPlaylist, PlaylistState, SegmentInfo, Stretch, Variant, master_playlist,
    subtitle_name, subtitle_number, subtitle_segment,
};
use playout_media::subtitle::Cue;
use proptest::prelude::*;
use serde_json::json;
use support::timeline;

fn languages() -> Vec<SubtitleSetting> {
    let subtitles = json!([{ "language": "en", "name": "English", "default": true }, { "language": "zh-Hant" }]);
    let config = json!({ "name": "A", "subtitles": subtitles });
    let config = ChannelConfig::parse(&config, &Policy::default());
    config.expect("a configuration").subtitles
}

fn cue(start: u64, end: u64, text: &str) -> Cue {
    Cue {
        start,
        end,
        settings: "align:start".to_owned(),
        text: text.to_owned(),
    }
}

fn info(start: u64, frames: u64) -> SegmentInfo {
    SegmentInfo {
        sequence: 7,
        discontinuity: false,
        start: Frame::new(start),
        frames,
        bytes: vec![1],
    }
}

/// From frame `start` to `end` of the channel, beginning with frame `in_frame` of the item.
fn airing(start: u64, in_frame: u64, end: u64) -> Airing {
    Airing {
        media: "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11"
            .parse()
            .expect("an id"),
        start: Frame::new(start),
        in_frame,
        end: Frame::new(end),
        since: Frame::new(start),
    }
}

fn stretch(cues: &[Cue], airing: Airing, from: u64, to: u64, is_over: bool) -> Stretch<'_> {
    Stretch {
        cues,
        airing,
        frames: Frame::new(from)..Frame::new(to),
        is_over,
    }
}

#[test]
fn a_master_playlist_names_every_language_and_each_variant_the_group() {
    let rung = |name: &str, height| Variant {
        name: name.to_owned(),
        width: height * 16 / 9,
        height,
        peak_bandwidth: 3,
        average_bandwidth: 2,
        codecs: "avc1".to_owned(),
        frame_rate: FrameRate::F25,
    };
    assert_eq!(
        master_playlist(&[rung("720p", 720), rung("360p", 360)], &languages()),
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI=\"subtitles-en.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"zh-Hant\",LANGUAGE=\"zh-Hant\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"subtitles-zh-Hant.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3,AVERAGE-BANDWIDTH=2,CODECS=\"avc1\",RESOLUTION=1280x720,FRAME-RATE=25.000,SUBTITLES=\"subtitles\"\n\
         720p.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3,AVERAGE-BANDWIDTH=2,CODECS=\"avc1\",RESOLUTION=640x360,FRAME-RATE=25.000,SUBTITLES=\"subtitles\"\n\
         360p.m3u8\n"
    );
}

#[test]
fn a_playlist_of_subtitles_is_that_of_the_picture_under_other_names() {
    let mut state = PlaylistState {
        discontinuity_sequence: 3,
        ..PlaylistState::default()
    };
    state.segments.extend([info(100, 100), info(200, 50)]);
    state.segments[1].sequence = 8;
    state.segments[1].discontinuity = true;
    let playlist = MediaPlaylist::resume(timeline(FrameRate::F25, 0), 4, 10, state);
    let language: Language = "zh-Hant".parse().expect("a language");
    let (picture, text) = (
        playlist.render("720p"),
        playlist.render_subtitles(&language),
    );
    let renamed = picture.expect("a playlist");
    let renamed = renamed
        .replace("720p-", "subtitles-zh-Hant-")
        .replace(".ts", ".vtt");
    assert_eq!(text, Some(renamed));
    assert_eq!(
        subtitle_number("subtitles-zh-Hant-8.vtt"),
        Some((language.clone(), 8))
    );
    assert_eq!(subtitle_name(&language, 8), "subtitles-zh-Hant-8.vtt");
    for other in [
        "subtitles-zh-hant-8.vtt",
        "subtitles-zh-08.vtt",
        "subtitles-8.vtt",
        "zh-8.vtt",
        "subtitles-zh-8.ts",
        "720p-8.ts",
    ] {
        assert_eq!(subtitle_number(other), None, "{other}");
    }
}

#[test]
fn a_segment_without_cues_is_webvtt_with_a_map() {
    let text = subtitle_segment(&timeline(FrameRate::F25, 900_000), &info(100, 100), &[]);
    assert_eq!(
        text,
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:1260000,LOCAL:00:00:14.000\n"
    );
}

#[test]
fn a_cue_is_in_every_segment_that_shows_it_with_all_of_its_time() {
    let timeline = timeline(FrameRate::F25, 900_000);
    // Shown from 3 s to 9 s of the item, which begins at frame 50, 12 s on the clock.
    let cues = [cue(0, 1_000, "first"), cue(3_000, 9_000, "long")];
    let aired = airing(50, 0, 1_000);
    let of = |from, to| {
        let stretch = stretch(&cues, aired, from, to, false);
        subtitle_segment(&timeline, &info(from, to - from), &[stretch])
    };
    let long = "\n50-2\n00:00:15.000 --> 00:00:21.000 align:start\nlong\n";
    assert_eq!(
        of(50, 150),
        format!(
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:1080000,LOCAL:00:00:12.000\n\n50-1\n00:00:12.000 --> 00:00:13.000 align:start\nfirst\n{long}"
        )
    );
    // It began before: the map begins with it, and the name and the times are the same.
    let map = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:1350000,LOCAL:00:00:15.000\n";
    assert_eq!(of(150, 250), format!("{map}{long}"));
    assert_eq!(of(250, 300), format!("{map}{long}"));
    assert_eq!(
        of(300, 350),
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:1980000,LOCAL:00:00:22.000\n"
    );
}

#[test]
fn cues_are_moved_by_the_in_point_and_cut_at_both() {
    let timeline = timeline(FrameRate::F25, 0);
    let cues = [
        cue(0, 2_000, "before"),
        cue(1_000, 3_000, "in"),
        cue(3_000, 4_000, "whole"),
        cue(4_000, 9_000, "out"),
        cue(6_000, 7_000, "after"),
    ];
    // Frames 50 to 150 of the item: 2 s to 6 s.
    let aired = airing(250, 50, 350);
    let text = subtitle_segment(
        &timeline,
        &info(250, 100),
        &[stretch(&cues, aired, 250, 350, false)],
    );
    assert_eq!(
        text,
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:10.000\n\
         \n250-2\n00:00:10.000 --> 00:00:11.000 align:start\nin\n\
         \n250-3\n00:00:11.000 --> 00:00:12.000 align:start\nwhole\n\
         \n250-4\n00:00:12.000 --> 00:00:14.000 align:start\nout\n"
    );
}

#[test]
fn where_something_stood_in_nothing_is_said_unless_it_was_said_already() {
    let timeline = timeline(FrameRate::F25, 0);
    let cues = [cue(0, 10_000, "a"), cue(5_000, 10_000, "b")];
    let aired = airing(0, 0, 1_000);
    // The item from 4 s to 6 s, and then a slate.
    let text = subtitle_segment(
        &timeline,
        &info(100, 100),
        &[stretch(&cues, aired, 100, 150, true)],
    );
    assert_eq!(
        text,
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\
         \n0-1\n00:00:00.000 --> 00:00:10.000 align:start\na\n\
         \n0-2\n00:00:05.000 --> 00:00:06.000 align:start\nb\n"
    );
    // It comes back at 8 s: what began before that begins with it.
    let back = Airing {
        since: Frame::new(200),
        ..aired
    };
    let text = subtitle_segment(
        &timeline,
        &info(200, 50),
        &[stretch(&cues, back, 200, 250, false)],
    );
    assert!(
        text.contains("\n0-1\n00:00:08.000 --> 00:00:10.000"),
        "{text}"
    );
}

#[test]
fn a_segment_at_the_wrap_goes_on_from_its_own_map() {
    // Frame 100 is a second before the clock of 33 bits is back at zero.
    let timeline = timeline(FrameRate::F25, (1 << 33) - 5 * 90_000);
    let cues = [cue(3_500, 6_000, "across"), cue(6_000, 7_000, "behind")];
    let aired = airing(0, 0, 1_000);
    let of = |from, to| {
        subtitle_segment(
            &timeline,
            &info(from, to - from),
            &[stretch(&cues, aired, from, to, false)],
        )
    };
    // 2³³ ticks are 95 443.717 688… s. The channel's milliseconds are counted from zero: rounded by half of one at most.
    let across = |text: &str| {
        text.contains("\n0-1\n26:30:42.217 --> 26:30:44.717 align:start\nacross\n")
            || text.contains("\n0-1\n26:30:42.218 --> 26:30:44.718 align:start\nacross\n")
    };
    for text in [of(50, 150), of(125, 225)] {
        assert!(
            text.contains("X-TIMESTAMP-MAP=MPEGTS:8589") && across(&text),
            "{text}"
        );
    }
    let behind = of(150, 250);
    assert!(behind.contains("X-TIMESTAMP-MAP=MPEGTS:"), "{behind}");
    let map = behind
        .lines()
        .nth(1)
        .and_then(|line| line.strip_prefix("X-TIMESTAMP-MAP=MPEGTS:"));
    let (mpegts, local) = map
        .and_then(|map| map.split_once(",LOCAL:"))
        .expect("a map");
    assert!(mpegts.parse::<u64>().expect("ticks") < 90_100, "{behind}");
    assert_eq!(local, "00:00:00.999");
}

fn clock(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').expect("a fraction");
    let seconds = whole.split(':').fold(0, |sum, part| {
        sum * 60 + part.parse::<i64>().expect("a number")
    });
    seconds * 1_000 + fraction.parse::<i64>().expect("a number")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the rate, the clock and the place: seen through its map, a cue begins where its item's moment is, to within
    /// a millisecond, and ends there, within what was aired.
    #[test]
    fn every_cue_lies_where_its_item_is(
        rate in prop::sample::select(FrameRate::ALL.to_vec()),
        origin in prop_oneof![0..1_u64 << 33, ((1_u64 << 33) - 2_000_000)..(1 << 33)],
        start in 0..20_000_000_u64, in_frame in 0..50_000_u64, length in 100..5_000_u64,
        into in 0..5_000_u64, segment in 1..200_u64,
        cues in prop::collection::vec((0..400_000_u64, 1..20_000_u64), 1..40),
    ) {
        let timeline = Timeline { epoch: Timestamp::UNIX_EPOCH, frame_rate: rate, clock_origin: playout_domain::units::Ticks90k(origin) };
        let mut cues: Vec<Cue> = cues.into_iter().map(|(at, length)| cue(at, at + length, "x")).collect();
        cues.sort_by_key(|cue| cue.start);
        let into = into % length;
        let (from, to) = (start + into, (start + into + segment).min(start + length));
        let aired = airing(start, in_frame, start + length);
        let text = subtitle_segment(&timeline, &info(from, to - from), &[stretch(&cues, aired, from, to, false)]);
        let mut blocks = text.trim_end().split("\n\n");
        let head = blocks.next().expect("a head");
        let (mpegts, local) = head.split_once("MPEGTS:").expect("a map").1.split_once(",LOCAL:").expect("a map");
        let (mpegts, local) = (mpegts.parse::<i64>().expect("ticks"), clock(local));
        let mut written = std::collections::BTreeMap::new();
        for block in blocks {
            let mut lines = block.lines();
            let n: usize = lines.next().expect("a name").rsplit_once('-').expect("a number").1.parse().expect("a number");
            let (a, b) = lines.next().expect("times").split_once(" --> ").expect("times");
            let at = |text: &str| (mpegts + (clock(text.split(' ').next().unwrap_or_default()) - local) * 90).rem_euclid(1 << 33);
            written.insert(n - 1, (at(a), at(b)));
        }
        // Seconds of the item, exactly.
        let second = |frame: u64| frame as f64 * f64::from(rate.den()) / f64::from(rate.num());
        let (shown_from, shown_to) = (second(in_frame + from - start), second(in_frame + to - start));
        for (n, cue) in cues.iter().enumerate() {
            let (a, b) = (cue.start as f64 / 1e3, cue.end as f64 / 1e3);
            let (a, b) = (a.max(second(in_frame)), b.min(second(in_frame + length)));
            let is_shown = a < shown_to && b > shown_from && a < b;
            let near = [a - shown_to, b - shown_from, a - b].iter().any(|gap| gap.abs() < 1e-4);
            prop_assert!(written.contains_key(&n) == is_shown || near, "{n} {is_shown} {text}");
            if let Some((from, to)) = written.get(&n) {
                for (is, should) in [(*from, a), (*to, b)] {
                    let ticks = origin as f64 + (second(start) + should - second(in_frame)) * 90_000.0;
                    let off = (is as f64 - ticks).rem_euclid((1_u64 << 33) as f64);
                    let off = off.min((1_u64 << 33) as f64 - off);
                    prop_assert!(off <= 92.0, "{n} is {off} ticks off: {text}");
                }
            }
        }
    }
}
