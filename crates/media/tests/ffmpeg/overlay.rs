//! Lower thirds and clocks, judged on the decoded pixels of every rung.

use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;
use playout_domain::media::Profile;
use playout_domain::overlay::{Caption, Font, Overlay};
use playout_domain::units::{BitsPerSecond, FrameRate};
use playout_domain::{LowerRungs, Resolution, Rung};
use playout_media::ffmpeg::{self, Drawn, Invocation, Means};
use serde_json::{Value, json};

use crate::clips::{clip, numbers};
use crate::logo::{logo, square, with};
use crate::pixels::{at, grey, pictures};
use crate::run::{bytes, frames, gops, prepare, probed, profile, put, run, small};
use playout_media::prepare::hex;

const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

fn overlay(value: &Value) -> Overlay {
    Overlay::parse(value).unwrap()
}

/// Frames `played` of `path`, with `overlay` on frames `on`; frame 0 is on air at `zero`.
fn live(
    path: &Path,
    profile: &Profile,
    overlay: &Overlay,
    (played, on): (Range<u64>, Range<u64>),
    zero: &str,
    logo: Option<&Path>,
) -> Invocation {
    let drawn = Drawn {
        overlay,
        font: Path::new(FONT),
        frames: on,
        zero: zero.parse::<Timestamp>().unwrap(),
    };
    let means = Means {
        overlay: Some(&drawn),
        logo,
        ..Means::NONE
    };
    ffmpeg::live(path, &probed(path), profile, means, played)
}

/// 480p over 240p.
fn two_rungs() -> Profile {
    let lower = LowerRungs::new(&[Rung {
        resolution: Resolution::P240,
        bitrate: BitsPerSecond(400_000),
    }]);
    Profile {
        lower: lower.unwrap(),
        ..profile(Resolution::P480, FrameRate::F25)
    }
}

const NOON: &str = "2030-06-01T12:00:00Z";

fn is_dark(pixel: [i32; 3]) -> bool {
    pixel.iter().all(|channel| *channel < 80)
}

fn is_grey(pixel: [i32; 3]) -> bool {
    pixel.iter().all(|channel| (channel - 128).abs() <= 14)
}

#[test]
fn a_lower_third_is_on_its_frames_of_every_rung_beside_the_logo_and_on_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (png, path) = (square(dir.path()), grey(dir.path()));
    let ladder = two_rungs();
    let third = overlay(&json!({ "lowerThird": { "title": "II" } }));
    for (profile, has_logo) in [
        (ladder, false),
        (with(logo("top-left", 10.0, 20.0, 1.0), ladder), true),
        (small(), false),
    ] {
        let line = live(
            &path,
            &profile,
            &third,
            (5..20, 10..15),
            NOON,
            has_logo.then_some(&*png),
        );
        let stream = bytes(&line);
        for (n, rung) in profile.rungs().enumerate() {
            let size = rung.resolution;
            let pictures = pictures(&stream, n, size);
            assert_eq!(pictures.len(), 15);
            for (picture, frame) in pictures.iter().zip(5..) {
                // On the bar, right of the text; above it; in the edge that is kept free.
                let bar = at(picture, size, (0.8, 0.92));
                let drawn = (10..15).contains(&frame);
                assert_eq!(is_dark(bar), drawn, "{size} {frame}: {bar:?}");
                assert_eq!(is_grey(bar), !drawn, "{size} {frame}: {bar:?}");
                for free in [(0.8, 0.8), (0.8, 0.97), (0.02, 0.92), (0.98, 0.92)] {
                    let pixel = at(picture, size, free);
                    assert!(is_grey(pixel), "{size} {frame} {free:?}: {pixel:?}");
                }
                let red = at(picture, size, (0.15, 0.25));
                assert_eq!(red[0] > 200 && red[1] < 50, has_logo, "{red:?}");
            }
        }
    }
}

/// The same line, whose filter `number` of those that draw text draws `text` without reading anything into it: it
/// comes from a file.
fn with_text(line: &Invocation, number: usize, dir: &Path, text: &str) -> Invocation {
    let file = dir.join(format!("text {number}"));
    std::fs::write(&file, text).unwrap();
    let mut line = line.clone();
    let graph = line.args.iter_mut().find(|arg| {
        let arg = arg.to_str().unwrap();
        arg.contains("drawtext=")
    });
    let graph = graph.unwrap();
    let mut parts: Vec<String> = graph
        .to_str()
        .unwrap()
        .split("drawtext=")
        .map(str::to_owned)
        .collect();
    let part = &mut parts[number + 1];
    let (from, to) = (part.find(":text=").unwrap(), part.find(":fontsize"));
    let said = format!(":expansion=none:textfile='{}'", file.display());
    part.replace_range(from..to.unwrap(), &said);
    *graph = OsString::from(parts.join("drawtext="));
    line
}

#[test]
fn a_text_is_drawn_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = grey(dir.path());
    let texts = [
        "It's 100 %: {pts} %{pts} %{localtime}",
        "a\\nb \\ \\\\ '' \"'\" \\'",
        "[in];[out],null=1:x=2; \u{2014} \u{2026}",
        "\u{df}\u{e9}\u{3b1}\u{416} \u{5d0}\u{627} \u{1f600}",
        "'",
        "\\",
        "%",
        "#{$HOME} `id` $(id) ~ * ? ! & | < >",
    ];
    let mut seen = Vec::new();
    for text in texts {
        let third = overlay(&json!({ "lowerThird": { "title": text, "subtitle": text } }));
        let line = live(&path, &small(), &third, (0..5, 0..25), NOON, None);
        let drawn = bytes(&line);
        let wanted = with_text(&line, 0, dir.path(), text);
        let wanted = bytes(&with_text(&wanted, 1, dir.path(), text));
        assert_eq!(drawn.len(), wanted.len(), "{text}");
        assert!(drawn == wanted, "{text}");
        assert!(!seen.contains(&drawn), "{text}");
        seen.push(drawn);
    }
}

#[test]
fn whatever_a_text_is_of_it_stays_on_its_bar() {
    let dir = tempfile::tempdir().unwrap();
    let path = grey(dir.path());
    let long = |letter: &str, letters: usize| letter.repeat(letters);
    let size = Resolution::P240;
    for letter in [
        "W",
        "O",
        "\u{416}",
        "\u{634} ",
        "\u{fdfd}",
        "\u{1f600}",
        "a\u{301}\u{323}",
        "\u{5d0}",
        "\u{202e}x",
        "\u{1f468}\u{200d}\u{1f469}",
    ] {
        let letters = letter.chars().count();
        let third = overlay(&json!({ "lowerThird": {
            "title": long(letter, 60 / letters), "subtitle": long(letter, 80 / letters)
        } }));
        let line = live(&path, &small(), &third, (0..2, 0..25), NOON, None);
        for picture in pictures(&bytes(&line), 0, size) {
            assert!(is_dark(at(&picture, size, (0.055, 0.94))), "{letter:?}");
            // Beside the bar, above it and below it.
            for row in 0..20 {
                let y = 0.8 + 0.009 * f64::from(row);
                for x in [0.02, 0.04, 0.96, 0.98] {
                    let pixel = at(&picture, size, (x, y));
                    assert!(is_grey(pixel), "{letter:?} at {x} {y}: {pixel:?}");
                }
            }
            for column in 1..50 {
                let x = 0.02 * f64::from(column);
                for y in [0.79, 0.97] {
                    let pixel = at(&picture, size, (x, y));
                    assert!(is_grey(pixel), "{letter:?} at {x} {y}: {pixel:?}");
                }
            }
        }
    }
}

#[test]
fn a_clock_shows_the_time_of_its_zone_at_each_frame() {
    let dir = tempfile::tempdir().unwrap();
    let path = grey(dir.path());
    let vienna = json!({ "timeZone": "Europe/Vienna" });
    let utc = json!({ "position": "bottom-right" });
    let short = json!({ "seconds": false, "twelveHours": true, "position": "top-right" });
    let summer = "2030-03-31T00:59:59.600Z";
    let winter = "2030-10-27T00:59:59.600Z";
    // Frame 10 is on air at the whole second.
    for (face, zero, played, filter, shown) in [
        (&utc, "2030-06-01T12:59:59.600Z", 0..10, 0, "12:59:59"),
        (&utc, "2030-06-01T12:59:59.600Z", 10..20, 0, "13:00:00"),
        (&short, "2030-06-01T12:59:59.600Z", 5..10, 0, "12:59 PM"),
        (&short, "2030-06-01T23:59:59.600Z", 10..20, 0, "12:00 AM"),
        (&vienna, summer, 0..10, 0, "01:59:59"),
        (&vienna, summer, 10..20, 1, "03:00:00"),
        (&vienna, winter, 0..10, 0, "02:59:59"),
        (&vienna, winter, 10..20, 1, "02:00:00"),
    ] {
        let clock = overlay(&json!({ "clock": face }));
        let line = live(&path, &small(), &clock, (played, 0..25), zero, None);
        let wanted = bytes(&with_text(&line, filter, dir.path(), shown));
        assert!(bytes(&line) == wanted, "{zero}: {shown}");
        let other = bytes(&with_text(&line, filter, dir.path(), "88:88:88"));
        assert!(other != wanted, "it is seen");
    }
}

#[test]
fn an_overlay_shifts_no_picture_and_changes_no_parameter_set() {
    let dir = tempfile::tempdir().unwrap();
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    let both = overlay(&json!({
        "lowerThird": { "title": "Title", "subtitle": "Subtitle" }, "clock": {}
    }));
    for rate in [FrameRate::F25, FrameRate::F23_976, FrameRate::F59_94] {
        let path = clip(dir.path(), "numbered.mp4", "25", "3", &coded);
        let plain = profile(Resolution::P240, rate);
        let without = prepare(&path, &plain);
        let line = live(&path, &plain, &both, (20..50, 30..40), NOON, None);
        let drawn = bytes(&line);
        let from = playout_media::index::GopIndex::time_of(20, rate);
        let gops = gops(&drawn, from);
        assert_eq!(frames(&gops), 30);
        let sets = &without.index.parameter_sets;
        assert_eq!(&[hex(&gops[0].rungs[0].parameter_sets)][..], &sets[..]);
        // What is drawn leaves enough of the bars to be read.
        let (seen, all) = (numbers(&drawn), numbers(&without.bytes));
        assert_eq!(seen, all[20..50], "{rate:?}");
    }
}

/// `profile` with `third` drawn while preparing.
fn captioned(third: &Overlay, profile: Profile) -> Profile {
    let standing = third.standing().unwrap();
    let mut profile = profile;
    profile.treatment.caption = Caption::new(standing, Font([1; 8]));
    assert!(profile.treatment.caption.is_some());
    profile
}

/// A bar over grey, drawn once.
fn is_bar(pixel: [i32; 3]) -> bool {
    pixel.iter().all(|channel| (channel - 51).abs() <= 14)
}

#[test]
fn what_stands_is_prepared_on_every_rung_and_a_live_transcode_draws_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (png, path) = (square(dir.path()), grey(dir.path()));
    let ladder = two_rungs();
    let said = "It's %{pts}: [a];'b'\\";
    let third = overlay(&json!({ "lowerThird": { "title": said, "subtitle": "100 %" } }));
    let clock = overlay(&json!({ "lowerThird": { "title": said }, "clock": {} }));
    let passing = clock.passing().unwrap();
    let drawn = Drawn {
        overlay: &passing,
        font: Path::new(FONT),
        frames: 0..25,
        zero: NOON.parse::<Timestamp>().unwrap(),
    };
    let logo = logo("top-right", 10.0, 20.0, 1.0);
    for (plain, has_logo) in [
        (ladder, false),
        (with(logo, ladder), true),
        (small(), false),
    ] {
        let profile = captioned(&third, plain);
        let means = Means {
            logo: has_logo.then_some(&*png),
            font: Some(Path::new(FONT)),
            ..Means::NONE
        };
        let with_clock = Means {
            overlay: Some(&drawn),
            ..means
        };
        let line = ffmpeg::prepare(&path, &probed(&path), &profile, means);
        let prepared = bytes(&line);
        let ways = [
            (
                ffmpeg::live(&path, &probed(&path), &profile, means, 5..20),
                false,
            ),
            (
                ffmpeg::live(&path, &probed(&path), &profile, with_clock, 5..20),
                true,
            ),
        ];
        for (n, rung) in profile.rungs().enumerate() {
            let size = rung.resolution;
            let whole = pictures(&prepared, n, size);
            assert_eq!(whole.len(), 25);
            let places = |picture: &[u8], ticks: bool, what: &str| {
                // On the bar, once; around it; the logo; the box of the clock.
                let bar = at(picture, size, (0.9, 0.92));
                assert!(is_bar(bar), "{what}: {bar:?}");
                for free in [(0.9, 0.75), (0.8, 0.97), (0.02, 0.92), (0.98, 0.92)] {
                    let pixel = at(picture, size, free);
                    assert!(is_grey(pixel), "{what} {free:?}: {pixel:?}");
                }
                let red = at(picture, size, (0.75, 0.25));
                assert_eq!(red[0] > 200 && red[1] < 50, has_logo, "{what}: {red:?}");
                let clock = at(picture, size, (0.054, 0.08));
                assert_eq!(is_bar(clock), ticks, "{what}: {clock:?}");
            };
            for picture in &whole {
                places(picture, false, &format!("prepared {size}"));
            }
            for (line, ticks) in &ways {
                let live = pictures(&bytes(line), n, size);
                assert_eq!(live.len(), 15);
                for (picture, prepared) in live.iter().zip(&whole[5..]) {
                    places(picture, *ticks, &format!("live {size}, a clock: {ticks}"));
                    // Below the clock, letters and all, it is the same picture to the eye.
                    let from = picture.len() / 2;
                    let pairs = picture[from..].iter().zip(&prepared[from..]);
                    let apart: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                    let mean = apart as f64 / from as f64;
                    assert!(mean < 1.5, "{size}: {mean}");
                }
            }
        }
        // Its words are those of a file, where nothing is read into them.
        let wanted = bytes(&with_text(&line, 0, dir.path(), said));
        assert!(prepared == wanted);
        assert!(prepared != bytes(&with_text(&line, 0, dir.path(), "It")));
        // Without the font at hand there is none, and the item plays.
        let bare = ffmpeg::prepare(
            &path,
            &probed(&path),
            &profile,
            Means {
                font: None,
                ..means
            },
        );
        let picture = pictures(&bytes(&bare), 0, profile.resolution).swap_remove(0);
        assert!(is_grey(at(&picture, profile.resolution, (0.9, 0.92))));
    }
}

#[test]
fn what_stands_shifts_no_picture_and_changes_no_parameter_set() {
    let dir = tempfile::tempdir().unwrap();
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    let third = overlay(&json!({ "lowerThird": { "title": "Title" } }));
    let means = Means {
        font: Some(Path::new(FONT)),
        ..Means::NONE
    };
    for rate in [FrameRate::F25, FrameRate::F23_976, FrameRate::F59_94] {
        let path = clip(dir.path(), "numbered.mp4", "25", "3", &coded);
        let plain = profile(Resolution::P240, rate);
        let drawn = captioned(&third, plain);
        let without = prepare(&path, &plain);
        let line = ffmpeg::prepare(&path, &probed(&path), &drawn, means);
        let prepared = put(&bytes(&line), &drawn);
        assert_eq!(prepared.index.parameter_sets, without.index.parameter_sets);
        assert_eq!(prepared.index.gops.len(), without.index.gops.len());
        let all = numbers(&without.bytes);
        assert_eq!(numbers(&prepared.bytes), all, "{rate:?}");
        let live = bytes(&ffmpeg::live(&path, &probed(&path), &drawn, means, 20..50));
        let from = playout_media::index::GopIndex::time_of(20, rate);
        let gops = gops(&live, from);
        let sets = &without.index.parameter_sets;
        assert_eq!(&[hex(&gops[0].rungs[0].parameter_sets)][..], &sets[..]);
        assert_eq!(numbers(&live), all[20..50], "{rate:?}");
    }
}

#[test]
fn a_font_is_tried_by_drawing_in_it_whatever_its_file_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let good = run(&ffmpeg::try_font(Path::new(FONT)));
    assert!(good.ok && good.stderr.is_empty() && !good.stdout.is_empty());
    // Where FFmpeg cannot read one it takes any of the system's, if there is one.
    let odd = dir.path().join("it's: [a], font;");
    std::fs::copy("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf", &odd).unwrap();
    let other = run(&ffmpeg::try_font(&odd));
    assert!(other.ok && other.stderr.is_empty());
    assert_ne!(good.stdout, other.stdout, "it is drawn in that font");
}
