//! How loud things come out: measured, brought to a target, and judged on the finished file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use playout_domain::languages::Languages;
use playout_domain::loudness::{Gain, Heard, Loudness, MAX_GAIN, Measured, TOLERANCE, Target};
use playout_media::ffmpeg::{self, Means};
use playout_media::loudness::Meter;
use playout_media::probe::Probed;
use proptest::prelude::*;

use crate::run::{bytes, make, probed, put, run, small};

fn to(integrated: f64) -> Loudness {
    Loudness::To(Target::new(integrated, -1.0).unwrap())
}

/// A clip whose channels sound as `channels` say, in FFmpeg's expressions of the time `t`.
fn clip(dir: &Path, name: &str, channels: &[String], layout: &str, seconds: u32) -> PathBuf {
    let path = dir.join(name);
    let sound = format!(
        "aevalsrc=exprs='{}':s=48000:c={layout}:d={seconds}",
        channels.join("|")
    );
    let pictures = format!("color=s=64x36:r=25:d={seconds}");
    let inputs = ["-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound];
    let coded = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-c:a",
        "pcm_f32le",
    ];
    make(inputs.iter().chain(&coded), &path);
    path
}

fn heard(stderr: &str) -> Option<Heard> {
    let mut meter = Meter::default();
    stderr.lines().for_each(|line| meter.line(line));
    meter.heard()
}

fn measure(path: &Path, found: &Probed, gain: &Gain) -> Heard {
    let ran = run(&ffmpeg::measure(path, found, &Languages::NONE, gain).unwrap());
    assert!(ran.ok, "{}", ran.stderr);
    heard(&ran.stderr).unwrap()
}

/// What is done to a file's sound, found out as the library does it.
fn gain(path: &Path, found: &Probed, wanted: Loudness) -> Gain {
    let mut measured = Measured {
        streams: found.sound_streams(&Languages::NONE),
        heard: measure(path, found, &Gain::NONE),
        found: Vec::new(),
    };
    if let Some(mut search) = measured.search(wanted) {
        let found = loop {
            if let Some(found) = search.heard(&measure(path, found, &search.next())) {
                break found;
            }
        };
        measured.found.push(found);
    }
    measured.gain(wanted)
}

/// How loud a finished stream is, told by FFmpeg's meter alone.
fn judge(dir: &Path, stream: &[u8]) -> Heard {
    let path = dir.join("finished.ts");
    std::fs::write(&path, stream).unwrap();
    let judged = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-nostats", "-i"])
        .arg(&path)
        .args([
            "-vn",
            "-af",
            "ebur128=peak=true:framelog=verbose",
            "-f",
            "null",
            "-",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    heard(&String::from_utf8_lossy(&judged.stderr)).unwrap()
}

/// What was done to a sound, what was told of it in the run that prepared it, and what came out.
struct Done {
    gain: Gain,
    told: Heard,
    came: Heard,
    stream: Vec<u8>,
}

fn normalised(path: &Path, wanted: Loudness) -> Done {
    let found = probed(path);
    let gain = gain(path, &found, wanted);
    let means = Means {
        gain,
        ..Means::NONE
    };
    let ran = run(&ffmpeg::prepare(path, &found, &small(), means));
    assert!(ran.ok, "{}", ran.stderr);
    let stream = put(&ran.stdout, &small()).bytes;
    Done {
        gain,
        told: heard(&ran.stderr).unwrap(),
        came: judge(path.parent().unwrap(), &stream),
        stream,
    }
}

impl Done {
    /// Fails unless it came out as loud as wanted.
    fn assert_at(&self, target: f64, what: &str) {
        let came = self.came.integrated.unwrap();
        let gain = self.gain;
        assert!(
            (came - target).abs() <= TOLERANCE,
            "{what}: {came} LUFS with {gain:?}"
        );
        let told = self.told.integrated.unwrap();
        assert!(
            (told - came).abs() <= 0.5,
            "{what}: told {told}, came {came}"
        );
        let peak = self.told.true_peak.unwrap();
        assert!(peak <= -0.9, "{what}: {peak} dBTP");
    }
}

/// Bursts of a tone over a bed: speech is like that.
fn bursts(frequency: f64, level: f64, every: f64, lasting: f64, bed: f64) -> String {
    format!(
        "{level}*lt(mod(t,{every}),{lasting})*sin(2*PI*{frequency}*t)+{bed}*sin(2*PI*{}*t)",
        frequency / 3.0
    )
}

/// Beats high above what is between them: their peaks have to be limited where it is to be loud.
fn drums() -> String {
    "0.8*exp(-60*mod(t,0.5))*sin(2*PI*200*t)+0.1*sin(2*PI*350*t)".to_owned()
}

#[test]
fn every_sound_comes_out_as_loud_as_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let speech = bursts(310.0, 0.4, 0.7, 0.4, 0.002);
    let sparse = bursts(900.0, 0.9, 1.0, 0.02, 0.01);
    let loud = "clip(3*sin(2*PI*97*t)*sin(2*PI*1.3*t),-1,1)".to_owned();
    let quiet = bursts(440.0, 0.02, 1.0, 0.5, 0.001);
    let zero = "0".to_owned();
    let surround = [
        bursts(500.0, 0.7, 1.1, 0.5, 0.01),
        bursts(600.0, 0.7, 1.3, 0.5, 0.01),
        bursts(250.0, 0.9, 0.9, 0.6, 0.01),
        bursts(40.0, 1.0, 1.0, 0.9, 0.1),
        bursts(700.0, 0.6, 0.8, 0.4, 0.02),
        bursts(800.0, 0.6, 0.8, 0.4, 0.02),
    ];
    let two = |channel: &String| vec![channel.clone(), channel.clone()];
    let cases = [
        ("speech.mkv", two(&speech), "stereo", -23.0),
        ("left.mkv", vec![speech.clone(), zero], "stereo", -16.0),
        ("mono.mkv", vec![speech], "mono", -16.0),
        ("sparse.mkv", two(&sparse), "stereo", -23.0),
        ("loud.mkv", two(&loud), "stereo", -23.0),
        ("quiet.mkv", two(&quiet), "stereo", -23.0),
        ("surround.mkv", surround.to_vec(), "5.1", -16.0),
    ];
    for (name, channels, layout, target) in cases {
        let path = clip(dir.path(), name, &channels, layout, 5);
        normalised(&path, to(target)).assert_at(target, name);
    }
    let path = clip(dir.path(), "drums.mkv", &two(&drums()), "stereo", 5);
    let limited = normalised(&path, to(-14.0));
    assert!(limited.gain.limit.is_some(), "the test's peaks are high");
    limited.assert_at(-14.0, "limited");
}

#[test]
fn what_cannot_be_as_loud_is_told() {
    let dir = tempfile::tempdir().unwrap();
    // So short that no peak below the ceiling is loud enough.
    let ticks = bursts(900.0, 0.9, 1.0, 0.006, 0.004);
    let path = clip(dir.path(), "ticks.mkv", &[ticks], "mono", 4);
    let done = normalised(&path, to(-16.0));
    let remark = done.told.remark(to(-16.0)).unwrap();
    assert!(remark.contains("below the target"), "{remark}");
    assert!(done.told.true_peak.unwrap() <= -0.9, "{:?}", done.told);
}

#[test]
fn what_is_nearly_silent_stays_so_and_silence_is_silence() {
    let dir = tempfile::tempdir().unwrap();
    let hiss = ["0.004*(random(0)-0.5)".to_owned()];
    let path = clip(dir.path(), "hiss.mkv", &hiss, "mono", 5);
    let before = measure(&path, &probed(&path), &Gain::NONE)
        .integrated
        .unwrap();
    let after = normalised(&path, to(-16.0));
    assert_eq!(after.gain.decibels, MAX_GAIN);
    let lifted = after.came.integrated.unwrap() - before;
    assert!((lifted - MAX_GAIN).abs() < 1.0, "{lifted}");
    assert!(after.told.remark(to(-16.0)).is_some());

    let path = clip(dir.path(), "silent.mkv", &["0".to_owned()], "mono", 3);
    let silent = normalised(&path, to(-16.0));
    assert_eq!((silent.gain, silent.came.integrated), (Gain::NONE, None));
    assert_eq!(silent.told.remark(to(-16.0)), None);
    assert!(
        ffmpeg::measure(
            &path,
            &Probed {
                audio: None,
                sounds: Vec::new(),
                ..probed(&path)
            },
            &Languages::NONE,
            &Gain::NONE
        )
        .is_none()
    );
}

/// The loudness of a piece of a stream's sound, in dB: of seconds `from` to `to` of it.
fn level(stream: &[u8], from: f64, to: f64) -> f64 {
    let samples = crate::clips::samples(stream);
    let piece = &samples[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
    let power: f64 = piece.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (power / piece.len() as f64).log10()
}

#[test]
fn a_live_transcode_is_as_loud_as_what_is_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let path = clip(dir.path(), "drums.mkv", &[drums(), drums()], "stereo", 8);
    let prepared = normalised(&path, to(-14.0));
    assert!(prepared.gain.limit.is_some());
    // Frames 100 to 150: seconds 4 to 6.
    let means = Means {
        gain: prepared.gain,
        ..Means::NONE
    };
    let live = bytes(&ffmpeg::live(
        &path,
        &probed(&path),
        &small(),
        means,
        100..150,
    ));
    let plain = bytes(&ffmpeg::live(
        &path,
        &probed(&path),
        &small(),
        Means::NONE,
        100..150,
    ));
    // Beats and what is between them; that alone.
    for (from, to, what) in [(0.5, 1.5, "all"), (0.75, 0.95, "between")] {
        let whole = level(&prepared.stream, 4.0 + from, 4.0 + to);
        let piece = level(&live, from, to);
        assert!(
            (whole - piece).abs() < 0.5,
            "{what}: {whole} dB prepared, {piece} dB live"
        );
    }
    let heard = level(&live, 0.75, 0.95) - level(&plain, 0.75, 0.95);
    let gain = prepared.gain.decibels;
    assert!((heard - gain).abs() < 0.5, "{heard} dB instead of {gain}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a programme sounds like, it comes out within 1 LU of the target, as far as it may be lifted.
    #[test]
    fn programmes_come_out_within_a_unit_of_the_target(
        frequency in 80.0..3000.0_f64,
        level in 0.06..1.0_f64,
        every in 0.5..1.5_f64,
        share in 0.04..0.9_f64,
        bed in 0.001..0.05_f64,
        noise in 0.0..0.1_f64,
        layout in prop::sample::select(vec![("mono", 1), ("stereo", 2), ("5.1", 6)]),
        target in prop::sample::select(vec![-27.0, -23.0, -18.0, -16.0]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (layout, count) = layout;
        let channels: Vec<String> = (0..count)
            .map(|n| {
                let own = frequency * (1.0 + f64::from(n) / 7.0);
                let tone = bursts(own, level, every, every * share, bed);
                format!("{tone}+{noise}*(random({n})-0.5)")
            })
            .collect();
        let path = clip(dir.path(), "random.mkv", &channels, layout, 4);
        let done = normalised(&path, to(target));
        let came = done.came.integrated.unwrap();
        prop_assert!(
            (came - target).abs() <= TOLERANCE,
            "{came} LUFS instead of {target}, with {:?}",
            done.gain
        );
    }
}
