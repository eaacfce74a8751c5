//! Which sound is heard, and on which side: judged on the decoded samples.

use std::path::{Path, PathBuf};

use playout_domain::Treatment;
use playout_domain::languages::Languages;
use playout_domain::media::Profile;
use playout_media::ffmpeg::{self, Means};

use crate::clips::decode;
use crate::run::{bytes, make, prepare, probed, small};

/// A stream of sound: what its channels sound like, their layout, the options of the stream.
struct Track<'a> {
    channels: Vec<String>,
    layout: &'a str,
    language: &'a str,
}

/// A tone of so many hertz.
fn tone(frequency: u32) -> String {
    format!("0.3*sin(2*PI*{frequency}*t)")
}

fn track<'a>(frequencies: &[u32], layout: &'a str, language: &'a str) -> Track<'a> {
    Track {
        channels: frequencies.iter().map(|f| tone(*f)).collect(),
        layout,
        language,
    }
}

/// A clip with a stream for each of `tracks`.
fn clip(dir: &Path, name: &str, tracks: &[Track<'_>], options: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let mut args: Vec<String> = ["-f", "lavfi", "-i", "color=s=64x36:r=25:d=2"]
        .map(str::to_owned)
        .to_vec();
    for track in tracks {
        let (channels, layout) = (track.channels.join("|"), track.layout);
        let layout = match layout {
            "" => String::new(),
            known => format!(":c={known}"),
        };
        let source = format!("aevalsrc=exprs='{channels}':s=48000:d=2{layout}");
        args.extend(["-f", "lavfi", "-i", &source].map(str::to_owned));
    }
    args.extend(["-map", "0"].map(str::to_owned));
    for (n, track) in tracks.iter().enumerate() {
        let language = format!("language={}", track.language);
        args.extend(["-map".to_owned(), (n + 1).to_string()]);
        args.extend([format!("-metadata:s:a:{n}"), language]);
    }
    args.extend(["-c:v", "libx264", "-preset", "ultrafast"].map(str::to_owned));
    args.extend(options.iter().map(|option| (*option).to_owned()));
    make(args, &path);
    path
}

/// The left and the right samples of a stream, of full scale 1.
fn sides(stream: &[u8]) -> [Vec<f64>; 2] {
    let samples = decode(stream, &["-vn", "-f", "s16le"]);
    let side = |at: usize| {
        let pairs = samples.chunks_exact(4);
        let one = |pair: &[u8]| f64::from(i16::from_le_bytes([pair[at], pair[at + 1]])) / 32768.0;
        pairs.map(one).collect()
    };
    [side(0), side(2)]
}

/// How much of a tone is in a second of a sound, as its amplitude (Goertzel).
fn amount(samples: &[f64], frequency: u32) -> f64 {
    let second = &samples[24_000..72_000];
    let angle = std::f64::consts::TAU * f64::from(frequency) / 48_000.0;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in second.iter().enumerate() {
        re += sample * (angle * n as f64).cos();
        im += sample * (angle * n as f64).sin();
    }
    2.0 * re.hypot(im) / second.len() as f64
}

/// Fails unless each side has the tones that `wanted` tells, with their amplitudes, and no other of those.
fn assert_sides(stream: &[u8], wanted: [&[(u32, f64)]; 2], what: &str) {
    let sides = sides(stream);
    let all: Vec<u32> = wanted.concat().iter().map(|(tone, _)| *tone).collect();
    for (side, (samples, wanted)) in sides.iter().zip(wanted).enumerate() {
        for frequency in &all {
            let known = wanted.iter().find(|(tone, _)| tone == frequency);
            let (_, level) = known.copied().unwrap_or((*frequency, 0.0));
            let found = amount(samples, *frequency);
            assert!(
                (found - level).abs() < 0.012,
                "{what}, side {side}: {frequency} Hz at {found:.3} instead of {level:.3}"
            );
        }
    }
}

fn speaking(languages: &[&str]) -> Profile {
    let languages: Vec<_> = languages.iter().map(|l| l.parse().unwrap()).collect();
    Profile {
        treatment: Treatment {
            languages: Languages::new(&languages).unwrap(),
            ..Treatment::PLAIN
        },
        ..small()
    }
}

/// 3 dB down.
const HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;

#[test]
fn the_preferred_language_is_heard_then_the_default_then_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let tracks = [
        track(&[400, 400], "stereo", "eng"),
        track(&[700, 700], "stereo", "ger"),
        track(&[1100, 1100], "stereo", "fre"),
        track(&[1600, 1600], "stereo", "ger"),
    ];
    let coded = ["-c:a", "aac", "-b:a", "256k"];
    let marked = |default: &[&'static str]| [&coded[..], default].concat();
    let default = marked(&[
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "comment",
        "-disposition:a:2",
        "default",
    ]);
    let path = clip(dir.path(), "many.mkv", &tracks, &default);
    let heard = |languages: &[&str]| {
        let prepared = prepare(&path, &speaking(languages));
        let [left, _] = sides(&prepared.bytes);
        let loudest = [400, 700, 1100, 1600].map(|f| (amount(&left, f) * 100.0).round() as u32);
        let found = loudest.iter().position(|amount| *amount > 20).unwrap();
        assert_eq!(loudest.iter().filter(|amount| **amount > 2).count(), 1);
        found
    };
    assert_eq!(heard(&[]), 2, "the default");
    assert_eq!(heard(&["eng"]), 0);
    assert_eq!(heard(&["deu"]), 3, "the film, not who talks about it");
    assert_eq!(heard(&["spa", "fra", "eng"]), 2, "the first that there is");
    assert_eq!(heard(&["spa"]), 2, "none that there is");
    let found = probed(&path);
    assert_eq!(
        found.sound_streams(&speaking(&["eng"]).treatment.languages),
        [1]
    );
    let live = ffmpeg::live(&path, &found, &speaking(&["eng"]), Means::NONE, 0..50);
    assert_sides(&bytes(&live), [&[(400, 0.3)], &[(400, 0.3)]], "live");

    let unmarked = marked(&["-disposition:a:0", "0"]);
    let path = clip(dir.path(), "unmarked.mkv", &tracks[..2], &unmarked);
    let first = prepare(&path, &small());
    assert_sides(&first.bytes, [&[(400, 0.3)], &[(400, 0.3)]], "the first");
}

#[test]
fn many_channels_become_two_by_the_book_and_never_clip() {
    let dir = tempfile::tempdir().unwrap();
    let flac = ["-c:a", "flac", "-strict", "-2"];
    // Front left and right, centre, low frequencies, surround left and right.
    let six = [400, 600, 900, 80, 1300, 1800];
    for layout in ["5.1", "5.1(side)"] {
        let path = clip(dir.path(), "six.mkv", &[track(&six, layout, "und")], &flac);
        // All together are never above full scale.
        let (front, rear) = (0.3 / (1.0 + 2.0 * HALF), 0.3 * HALF / (1.0 + 2.0 * HALF));
        let (left, right) = (
            [(400, front), (900, rear), (1300, rear)],
            [(600, front), (900, rear), (1800, rear)],
        );
        let prepared = prepare(&path, &small());
        assert_sides(&prepared.bytes, [&left, &right], layout);
        let [low, _] = sides(&prepared.bytes);
        assert!(amount(&low, 80) < 0.005, "low frequencies are left out");
    }
    let full = Track {
        channels: vec!["0.97*sin(2*PI*500*t)".to_owned(); 6],
        layout: "5.1",
        language: "und",
    };
    let path = clip(dir.path(), "full.mkv", &[full], &flac);
    for side in sides(&prepare(&path, &small()).bytes) {
        let highest = side
            .iter()
            .fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
        assert!((0.9..0.9999).contains(&highest), "{highest}");
    }
    let eight = [400, 600, 900, 80, 1300, 1800, 2300, 2900];
    let path = clip(
        dir.path(),
        "eight.mkv",
        &[track(&eight, "7.1", "und")],
        &flac,
    );
    let (front, rear) = (0.3 / (1.0 + 3.0 * HALF), 0.3 * HALF / (1.0 + 3.0 * HALF));
    let left = [(400, front), (900, rear), (1300, rear), (2300, rear)];
    let right = [(600, front), (900, rear), (1800, rear), (2900, rear)];
    assert_sides(&prepare(&path, &small()).bytes, [&left, &right], "7.1");
}

#[test]
fn one_channel_is_on_both_sides_and_ten_without_a_place_are_the_first_two() {
    let dir = tempfile::tempdir().unwrap();
    let pcm = ["-c:a", "pcm_s16le"];
    let path = clip(
        dir.path(),
        "mono.mkv",
        &[track(&[400], "mono", "und")],
        &pcm,
    );
    let both = [(400, 0.3 * HALF)];
    assert_sides(&prepare(&path, &small()).bytes, [&both, &both], "mono");
    let ten: Vec<u32> = (4..14).map(|n| n * 100).collect();
    let path = clip(dir.path(), "ten.mkv", &[track(&ten, "", "und")], &pcm);
    let prepared = prepare(&path, &small());
    assert_sides(&prepared.bytes, [&[(400, 0.3)], &[(500, 0.3)]], "ten");
}

#[test]
fn two_streams_of_one_channel_are_left_and_right_unless_they_speak_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let pcm = ["-c:a", "pcm_s16le"];
    let mono = |frequency: u32, language| track(&[frequency], "mono", language);
    let four = [400, 700, 1100, 1600].map(|frequency| mono(frequency, "eng"));
    let path = clip(dir.path(), "four.mov", &four, &pcm);
    let apart: [&[(u32, f64)]; 2] = [&[(400, 0.3)], &[(700, 0.3)]];
    assert_sides(&prepare(&path, &small()).bytes, apart, "four of one");
    let found = probed(&path);
    assert_eq!(found.sound_streams(&Languages::NONE), [1, 2]);
    let live = ffmpeg::live(&path, &found, &small(), Means::NONE, 0..50);
    assert_sides(&bytes(&live), apart, "live");
    // From the middle of it: as long as before.
    let late = bytes(&ffmpeg::live(&path, &found, &small(), Means::NONE, 20..50));
    let seconds = sides(&late)[0].len() as f64 / 48_000.0;
    assert!((1.2..1.3).contains(&seconds), "{seconds}");

    let two = [mono(400, "eng"), mono(700, "ger")];
    let path = clip(dir.path(), "languages.mov", &two, &pcm);
    let both = [(400, 0.3 * HALF)];
    assert_sides(&prepare(&path, &small()).bytes, [&both, &both], "languages");
    let german = [(700, 0.3 * HALF)];
    let prepared = prepare(&path, &speaking(&["deu"]));
    assert_sides(&prepared.bytes, [&german, &german], "the other");
}
