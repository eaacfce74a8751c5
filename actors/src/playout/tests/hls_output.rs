//! Viewers find what the playlist names, whoever published it.

use playout_media::hls::{PlaylistState, Variant, segment_name};
use proptest::prelude::*;

use super::super::hls_output::HlsOutput;
use super::*;

fn variants() -> Vec<Variant> {
    vec![Variant {
        name: RUNG.into(),
        width: 426,
        height: 240,
        peak_bandwidth: 2,
        average_bandwidth: 1,
        codecs: "avc1.640028,mp4a.40.2".into(),
        frame_rate: FrameRate::F25,
    }]
}

/// Publishes those segments, with the window that ends with them.
fn publish(output: &HlsOutput, numbers: std::ops::RangeInclusive<u64>) {
    let segments: Vec<Segment> = numbers.map(segment).collect();
    let window = segments.iter().rev().take(WINDOW).rev();
    let state = PlaylistState {
        discontinuity_sequence: 0,
        segments: window.map(|segment| segment.info.clone()).collect(),
    };
    output.publish(&variants(), &[], &playlist(state), &segments);
}

fn has(output: &HlsOutput, sequence: u64) -> bool {
    let served = output.segment(&segment_name(RUNG, sequence));
    served.is_some_and(|served| served.body == format!("segment {sequence}"))
}

#[test]
fn nothing_is_served_before_the_first_publication() {
    let output = HlsOutput::new(4, WINDOW);
    assert_eq!(output.master(), None);
    assert_eq!(output.media(RUNG), None);
    assert!(!has(&output, 1));
}

#[test]
fn what_has_left_the_window_stays_for_a_window_and_one_segment_more() {
    let output = HlsOutput::new(4, WINDOW);
    for number in 1..=20 {
        publish(&output, number..=number);
    }
    let kept: Vec<u64> = (0..30).filter(|number| has(&output, *number)).collect();
    assert_eq!(kept, (12..=20).collect::<Vec<_>>());
    assert_eq!(output.media("480p"), None);
    assert_eq!(output.segment("240p-020.ts"), None);
}

#[test]
fn a_tag_changes_with_the_bytes() {
    let output = HlsOutput::new(4, WINDOW);
    publish(&output, 1..=3);
    let before = (output.master().unwrap(), output.media(RUNG).unwrap());
    publish(&output, 4..=4);
    assert_eq!(output.master().unwrap().etag, before.0.etag);
    assert_ne!(output.media(RUNG).unwrap().etag, before.1.etag);
}

#[test]
fn subtitles_are_served_in_the_languages_that_are_offered_and_are_silent_where_nothing_was_written()
{
    let output = HlsOutput::new(4, WINDOW);
    let publish = |tags: &[&str], segments: &[Segment]| {
        let state = PlaylistState {
            discontinuity_sequence: 0,
            segments: segments
                .iter()
                .map(|segment| segment.info.clone())
                .collect(),
        };
        output.publish(&variants(), &languages(tags), &playlist(state), segments);
    };
    publish(&["zh-Hant"], &[spoken(1, "zh-Hant"), spoken(2, "zh-Hant")]);
    publish(&["zh-Hant", "de"], &[spoken(3, "de")]);
    let text = |name: &str| {
        output
            .segment(name)
            .map(|served| String::from_utf8(served.body.to_vec()).unwrap())
    };
    assert_eq!(
        text("subtitles-zh-Hant-1.vtt").as_deref(),
        Some("zh-Hant 1")
    );
    assert_eq!(text("subtitles-de-3.vtt").as_deref(), Some("de 3"));
    // Frame 100 is shown at 4 s.
    let silent = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:360000,LOCAL:00:00:04.000\n";
    assert_eq!(text("subtitles-de-1.vtt").as_deref(), Some(silent));
    for missing in [
        "subtitles-fr-1.vtt",
        "subtitles-de-4.vtt",
        "subtitles-DE-3.vtt",
        "subtitles-zh-1.vtt",
    ] {
        assert_eq!(text(missing), None, "{missing}");
    }
    let served = output.media("subtitles-de").unwrap();
    assert!(served.body.ends_with(b"\nsubtitles-de-3.vtt\n"));
    assert_eq!(output.media("subtitles-fr"), None);
    publish(&[], &[segment(4)]);
    assert_eq!(
        (output.media("subtitles-de"), text("subtitles-de-3.vtt")),
        (None, None)
    );
}

proptest! {
    /// A playout that follows another publishes again what that one left, from the spool.
    #[test]
    fn a_number_is_kept_once_however_often_it_is_published(
        runs in prop::collection::vec((0_u64..6, 1_u64..5), 1..8),
    ) {
        let output = HlsOutput::new(4, WINDOW);
        let mut last = 10_u64;
        publish(&output, 10..=10);
        for (again, more) in runs {
            let first = (last + 1).saturating_sub(again).max(10);
            publish(&output, first..=last + more);
            last += more;
            let oldest = (last + 1).saturating_sub(2 * WINDOW as u64 + 1).max(10);
            for number in 8..last + 3 {
                prop_assert_eq!(has(&output, number), (oldest..=last).contains(&number), "{}", number);
            }
        }
    }
}
