//! The logo, judged on the decoded pixels of every rung.

use std::path::{Path, PathBuf};

use playout_domain::logo::Logo;
use playout_domain::media::Profile;
use playout_domain::units::{BitsPerSecond, FrameRate};
use playout_domain::{LowerRungs, Resolution, Rung, Treatment};
use playout_media::ffmpeg::{self, Means};
use playout_media::png;
use serde_json::json;

use crate::clips::{clip, numbers};
use crate::pixels::{at, grey, pictures};
use crate::run::{bytes, frames, gops, make, prepare, probed, profile, put, run, small};

/// A red square of 100 pixels, whose right half is clear.
pub(crate) fn square(dir: &Path) -> PathBuf {
    let path = dir.join("logo.png");
    let source =
        "color=red:s=100x100,format=rgba,geq=r=255:g=0:b=0:a='if(lt(X,50),255,0)',trim=end_frame=1";
    make(["-f", "lavfi", "-i", source, "-frames:v", "1"], &path);
    assert!(png::examine(&std::fs::read(&path).unwrap()).is_ok());
    path
}

pub(crate) fn logo(position: &str, margin: f64, width: f64, opacity: f64) -> Logo {
    let sha256 = "ab".repeat(32);
    let said = json!({ "sha256": sha256, "position": position, "margin": margin, "width": width, "opacity": opacity });
    serde_json::from_value(said).unwrap()
}

pub(crate) fn with(logo: Logo, profile: Profile) -> Profile {
    Profile {
        treatment: Treatment {
            logo: Some(logo),
            ..Treatment::PLAIN
        },
        ..profile
    }
}

fn assert_near(found: [i32; 3], wanted: [i32; 3], what: &str) {
    let near = found
        .iter()
        .zip(wanted)
        .all(|(found, wanted)| (found - wanted).abs() <= 14);
    assert!(near, "{what}: {found:?} instead of {wanted:?}");
}

const GREY: [i32; 3] = [128; 3];

#[test]
fn a_logo_is_in_its_corner_of_every_rung_and_covers_as_much_as_it_is_to() {
    let dir = tempfile::tempdir().unwrap();
    let (png, path) = (square(dir.path()), grey(dir.path()));
    let rung = |resolution, bitrate| Rung {
        resolution,
        bitrate: BitsPerSecond(bitrate),
    };
    let lower = LowerRungs::new(&[
        rung(Resolution::P360, 700_000),
        rung(Resolution::P240, 400_000),
    ]);
    let ladder = Profile {
        lower: lower.unwrap(),
        ..profile(Resolution::P480, FrameRate::F25)
    };
    let means = Means {
        logo: Some(&png),
        ..Means::NONE
    };
    // A fifth of the width, a tenth from the edges; where its red and its clear half are, and the corner that has none.
    let tall = 0.2 * 16.0 / 9.0;
    let cases = [
        (
            "top-left",
            1.0,
            (0.15, 0.1 + tall / 2.0),
            (0.25, 0.1 + tall / 2.0),
            (0.85, 0.8),
        ),
        (
            "bottom-right",
            0.5,
            (0.75, 0.9 - tall / 2.0),
            (0.85, 0.9 - tall / 2.0),
            (0.15, 0.2),
        ),
    ];
    for (position, opacity, red, clear, elsewhere) in cases {
        let profile = with(logo(position, 10.0, 20.0, opacity), ladder);
        let mixed = GREY.map(|grey| (f64::from(grey) * (1.0 - opacity)) as i32);
        let wanted = [mixed[0] + (255.0 * opacity) as i32, mixed[1], mixed[2]];
        let prepared = bytes(&ffmpeg::prepare(&path, &probed(&path), &profile, means));
        let live = bytes(&ffmpeg::live(
            &path,
            &probed(&path),
            &profile,
            means,
            10..20,
        ));
        for (stream, count, way) in [(&prepared, 25, "prepared"), (&live, 10, "live")] {
            for (n, rung) in profile.rungs().enumerate() {
                let what = format!("{way}, {position}, {}", rung.resolution);
                let pictures = pictures(stream, n, rung.resolution);
                assert_eq!(pictures.len(), count, "{what}");
                for picture in [&pictures[0], &pictures[count - 1]] {
                    assert_near(at(picture, rung.resolution, red), wanted, &what);
                    assert_near(at(picture, rung.resolution, clear), GREY, &what);
                    assert_near(at(picture, rung.resolution, elsewhere), GREY, &what);
                }
            }
        }
    }
    // Without the file at hand there is none, and the item plays.
    let profile = with(logo("top-left", 10.0, 20.0, 1.0), small());
    let bare = bytes(&ffmpeg::prepare(
        &path,
        &probed(&path),
        &profile,
        Means::NONE,
    ));
    let picture = pictures(&bare, 0, Resolution::P240).swap_remove(0);
    assert_near(
        at(&picture, Resolution::P240, (0.15, 0.25)),
        GREY,
        "without",
    );
}

#[test]
fn a_logo_shifts_no_picture_and_changes_no_parameter_set() {
    let dir = tempfile::tempdir().unwrap();
    let png = square(dir.path());
    let means = Means {
        logo: Some(&png),
        ..Means::NONE
    };
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"];
    // Away from the bars that tell the number: in the middle of the lowest edge they are as tall as the picture, so
    // the logo is as small as it may be.
    for rate in [FrameRate::F25, FrameRate::F23_976, FrameRate::F59_94] {
        let path = clip(dir.path(), "numbered.mp4", "25", "3", &coded);
        let plain = profile(Resolution::P240, rate);
        let drawn = with(logo("bottom-right", 0.0, 1.0, 0.3), plain);
        let without = prepare(&path, &plain);
        let prepared = put(
            &bytes(&ffmpeg::prepare(&path, &probed(&path), &drawn, means)),
            &drawn,
        );
        assert_eq!(prepared.index.parameter_sets, without.index.parameter_sets);
        assert_eq!(prepared.index.gops.len(), without.index.gops.len());
        assert_eq!(
            numbers(&prepared.bytes),
            numbers(&without.bytes),
            "{rate:?}"
        );
        let live = bytes(&ffmpeg::live(&path, &probed(&path), &drawn, means, 20..50));
        let from = playout_media::index::GopIndex::time_of(20, rate);
        assert_eq!(frames(&gops(&live, from)), 30);
        assert_eq!(numbers(&live), numbers(&without.bytes)[20..50], "{rate:?}");
    }
}

#[test]
fn what_cannot_be_decoded_is_no_logo() {
    let dir = tempfile::tempdir().unwrap();
    let path = square(dir.path());
    let decoded = run(&ffmpeg::decode_logo(&path));
    assert!(
        decoded.ok && decoded.stderr.is_empty(),
        "{}",
        decoded.stderr
    );
    assert!(!decoded.stdout.is_empty());
    // Sound on the outside: its compressed pixels are none.
    let file = std::fs::read(&path).unwrap();
    let data = file.windows(4).position(|w| w == b"IDAT").unwrap();
    let mut hollow = file[..data - 4].to_vec();
    hollow.extend(*b"\0\0\0\x04IDAT\x01\x02\x03\x04");
    hollow.extend(0x7d5b_c3d6_u32.to_be_bytes());
    hollow.extend(*b"\0\0\0\0IEND\xae\x42\x60\x82");
    assert!(png::examine(&hollow).is_ok());
    std::fs::write(&path, &hollow).unwrap();
    let failed = run(&ffmpeg::decode_logo(&path));
    assert!(!failed.ok || !failed.stderr.is_empty() || failed.stdout.is_empty());
}
