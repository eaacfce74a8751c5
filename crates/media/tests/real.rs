//! What FFmpeg really writes, prepared and spliced, is judged by its bytes and decodes without an error.

mod support;
#[path = "../../../tests/judge/mod.rs"]
mod verdict;

use playout_domain::media::{DEFAULT_AUDIO_BITRATE, Profile};
use playout_domain::units::{BitsPerSecond, Frame, FrameRate};
use playout_domain::{LowerRungs, Resolution};
use playout_media::prepare::Preparer;
use playout_media::splice::{Layout, SourceId, Splicer};
use std::io::Write;
use std::process::{Command, Stdio};
use support::{START, WRAP, demux, timeline};
use verdict::Judge;

/// A clip on two rungs as an encoder of ours writes it: `frames` frames at `rate` of `picture` and `tone`.
fn encode(rate: FrameRate, frames: u64, picture: &str, tone: u32, preset: &str) -> Vec<u8> {
    let fps = format!("{}/{}", rate.num(), rate.den());
    let gop = rate.gop_frames();
    let x264 = format!(
        "stitchable=1:force-cfr=1:open-gop=0:scenecut=0:ref=3:bframes=2:b-pyramid=none:b-adapt=1:weightb=1:weightp=1:\
         cabac=1:8x8dct=1:interlaced=0:nal-hrd=none:cqm=flat:psy-rd=1.0,0.0:slices=1:level=3.1:keyint={gop}:min-keyint={gop}:\
         chroma-qp-offset={}",
        if preset == "superfast" { -2 } else { 0 }
    );
    // Cut in the filter: with `-frames:v` FFmpeg ends as soon as the picture does, and the sound is short.
    let filter = format!(
        "[0:v]fps={fps},trim=end_frame={frames},setsar=1,format=yuv420p,split[a][b];[b]scale=214:120[c]"
    );
    let seconds = format!("{}", (frames as f64 / rate.as_f64()) + 0.5);
    let source = format!("{picture}=size=426x240:rate={fps}:duration={seconds}");
    let sound = format!("sine=frequency={tone}:sample_rate=48000:duration={seconds}");
    let done = Command::new("ffmpeg")
        .args([
            "-nostdin", "-v", "error", "-f", "lavfi", "-i", &source, "-f", "lavfi", "-i", &sound,
        ])
        .args([
            "-filter_complex",
            &filter,
            "-map",
            "[a]",
            "-map",
            "[c]",
            "-map",
            "1:a",
        ])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            preset,
            "-profile:v",
            "high",
            "-x264-params",
            &x264,
        ])
        .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-ar", "48000"])
        .args([
            "-program",
            "program_num=1:st=0:st=2",
            "-program",
            "program_num=2:st=1:st=2",
        ])
        .args([
            "-muxdelay",
            "0",
            "-muxpreload",
            "0",
            "-output_ts_offset",
            "10",
            "-f",
            "mpegts",
            "pipe:1",
        ])
        .output()
        .expect("ffmpeg runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}

/// Decodes `stream` as a player would, and answers how many frames and samples there are.
fn decode(stream: &[u8]) -> (usize, usize) {
    let mut child = Command::new("ffmpeg")
        .args([
            "-nostdin", "-v", "warning", "-xerror", "-f", "mpegts", "-i", "pipe:0", "-map", "0:v",
            "-map", "0:a",
        ])
        .args(["-fps_mode", "passthrough", "-f", "framecrc", "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg runs");
    let mut input = child.stdin.take().expect("its input");
    let done = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(stream));
        child.wait_with_output().expect("ffmpeg ends")
    });
    assert!(
        done.status.success() && done.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let lines = String::from_utf8_lossy(&done.stdout).into_owned();
    let of = |stream: &str| {
        lines
            .lines()
            .filter(|line| line.starts_with(stream))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let samples = of("1,")
        .iter()
        .filter_map(|line| line.split(',').nth(3)?.trim().parse::<usize>().ok())
        .sum();
    (of("0,").len(), samples)
}

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

fn judged(rate: FrameRate, lengths: [u64; 2]) {
    let clips = [
        encode(rate, lengths[0], "testsrc2", 440, "superfast"),
        encode(rate, lengths[1], "smptebars", 880, "medium"),
    ];
    let mut splicer = Splicer::new(timeline(rate, WRAP - 450_000), Layout::StreamPerRung(2));
    let mut judges = [(); 2].map(|()| Judge::new(rate.num(), rate.den()));
    let mut streams = [Vec::new(), Vec::new()];
    let (mut at, mut silent) = (Frame::new(0), 0);
    // Each clip as it comes from the encoder, and as it comes from its prepared file.
    for (content, clip, prepared) in [(0, 0, false), (1, 1, true), (2, 0, true), (3, 1, false)] {
        let mut bytes = clips[clip].clone();
        if prepared {
            let mut preparer = Preparer::new(&profile(rate));
            let mut file = preparer.push(&bytes).expect("a sound clip").concat();
            let (last, index) = preparer.finish().expect("a sound clip");
            file.extend(last.concat());
            assert_eq!(
                (index.frames, index.bytes),
                (lengths[clip], file.len() as u64)
            );
            bytes = file;
        }
        for gop in demux(&bytes, START, &[30_000]).expect("a sound clip") {
            let out = splicer.splice(gop, at, SourceId { content, run: 0 });
            for (rung, stream) in out.streams.iter().enumerate() {
                judges[rung].segment(&format!("item {content} at {at}"), stream, false);
                streams[rung].extend_from_slice(stream);
            }
            at += u64::from(out.frames);
            silent += out.silent_units;
        }
    }
    let frames = 2 * (lengths[0] + lengths[1]);
    assert_eq!(at.get(), frames);
    assert!(silent <= 4, "{silent} units of silence in four items");
    for (judge, stream) in judges.iter().zip(&streams) {
        assert_eq!(judge.faults(), Vec::<String>::new());
        assert_eq!(judge.frames(), frames);
        let (shown, samples) = decode(stream);
        assert_eq!(shown as u64, frames);
        assert_eq!(samples as u64, judge.audio_units() * 1_024);
    }
}

#[test]
fn what_ffmpeg_writes_is_prepared_spliced_and_decoded_across_the_wrap() {
    judged(FrameRate::F25, [123, 70]);
}

#[test]
fn so_it_is_where_a_frame_is_no_whole_number_of_ticks() {
    judged(FrameRate::F23_976, [77, 101]);
}

#[test]
fn our_silence_decodes_as_silence() {
    let clip = encode(FrameRate::F25, 60, "testsrc2", 440, "superfast");
    let mut splicer = Splicer::new(timeline(FrameRate::F25, START), Layout::StreamPerRung(1));
    let mut stream = Vec::new();
    let mut at = Frame::new(0);
    for mut gop in demux(&clip, START, &[30_000]).expect("a sound clip") {
        // The first unit of sound is real, the rest is missing.
        gop.audio.truncate(usize::from(at == Frame::new(0)));
        let out = splicer.splice(gop, at, SourceId { content: 0, run: 0 });
        stream.extend_from_slice(&out.streams[0]);
        at += u64::from(out.frames);
    }
    let (frames, samples) = decode(&stream);
    assert_eq!((frames, samples), (60, 113 * 1_024));
    let mut child = Command::new("ffmpeg")
        .args([
            "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-map", "0:a", "-f",
            "s16le", "pipe:1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg runs");
    let mut input = child.stdin.take().expect("its input");
    let done = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&stream));
        child.wait_with_output().expect("ffmpeg ends")
    });
    // What overlaps with the real unit rings on for one unit.
    let silence = &done.stdout[2 * 1_024 * 4..];
    assert!(
        silence.len() > 400_000 && silence.iter().all(|byte| *byte == 0),
        "not silent"
    );
}
