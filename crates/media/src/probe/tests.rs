//! Probe results as FFprobe writes them, and what becomes of them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use playout_domain::units::FrameRate;
use serde_json::{Value, json};

use super::{Probed, Refusal, judge, parse};

fn video() -> Value {
    json!({
        "index": 0, "codec_name": "h264", "codec_type": "video", "codec_tag_string": "avc1", "width": 720, "height": 576,
        "sample_aspect_ratio": "64:45", "field_order": "tt", "color_space": "smpte170m", "time_base": "1/90000",
        "start_pts": 126_000, "duration": "10.000000", "avg_frame_rate": "25/1", "disposition": {"default": 0, "attached_pic": 0},
    })
}

fn audio(index: u32) -> Value {
    json!({
        "index": index, "codec_name": "aac", "codec_type": "audio", "sample_rate": "48000", "channels": 2,
        "time_base": "1/90000", "start_pts": 90_000, "duration": "12.000000",
    })
}

fn file(streams: &[Value]) -> Value {
    json!({
        "streams": streams,
        "format": {"format_name": "mpegts", "start_time": "1.000000", "duration": "12.500000", "size": "1000", "tags": {"title": " A film "}},
    })
}

fn read(json: &Value) -> Result<Probed, Refusal> {
    parse(json.to_string().as_bytes(), "")
}

/// The verdict on a file whose video has `field` set to `value`.
fn verdict(field: &str, value: Value) -> Refusal {
    let mut stream = video();
    stream[field] = value;
    judge(&read(&file(&[stream])).unwrap()).unwrap_err()
}

#[test]
fn what_people_want_to_know_is_told() {
    let judged = judge(&read(&file(&[video(), audio(1)])).unwrap()).unwrap();
    assert_eq!(
        (judged.duration, judged.details.title.as_deref()),
        (Duration::from_secs(10), Some("A film"))
    );
    let summary = judged.summary;
    assert_eq!(
        (summary.width, summary.height, summary.interlaced),
        (1024, 576, true)
    );
    assert_eq!(
        (summary.video_codec.as_str(), summary.audio_channels),
        ("h264", Some(2))
    );
}

#[test]
fn an_item_is_as_long_as_its_video() {
    let mut stream = video();
    let frames = |stream: &Value| {
        read(&file(&[stream.clone(), audio(1)]))
            .unwrap()
            .frames(FrameRate::F25)
    };
    assert_eq!(frames(&stream), Some(250));
    // Matroska tells when a stream ends, on a clock on which it begins at 1.4 s.
    stream["duration"] = Value::Null;
    stream["tags"] = json!({"DURATION": "00:00:11.400000000"});
    assert_eq!(frames(&stream), Some(250));
    // Else the container: 12.5 s from 1 s on, the video from 1.4 s on.
    stream["tags"] = Value::Null;
    stream.as_object_mut().unwrap().remove("tags");
    assert_eq!(frames(&stream), Some(303));
    let mut untold = file(&[stream]);
    untold["format"]["duration"] = Value::Null;
    assert_eq!(read(&untold).unwrap().frames(FrameRate::F25), None);
}

#[test]
fn of_several_streams_the_right_one_is_taken() {
    let mut cover = video();
    cover["disposition"]["attached_pic"] = json!(1);
    let mut large = video();
    (large["index"], large["width"], large["height"]) = (json!(3), json!(1920), json!(1080));
    let mut several = file(&[video(), audio(1), cover, large, audio(4), audio(5)]);
    let picked = |file: &Value| {
        let probed = read(file).unwrap();
        (probed.video.unwrap().index, probed.audio.unwrap().index)
    };
    assert_eq!(
        picked(&several),
        (3, 1),
        "the largest picture, the first sound"
    );
    several["streams"][5]["disposition"] = json!({"default": 1});
    assert_eq!(picked(&several), (3, 5), "the sound that is marked");
    several["programs"] = json!([{"streams": [{"index": 0}, {"index": 1}, {"index": 5}]}, {"streams": [{"index": 3}, {"index": 4}]}]);
    assert_eq!(picked(&several), (3, 4), "the sound of the same channel");
}

#[test]
fn what_cannot_be_played_is_told_in_a_sentence() {
    assert_eq!(
        verdict("codec_name", json!("unknown")),
        Refusal::UnknownCodec
    );
    assert_eq!(
        verdict("codec_tag_string", json!("encv")),
        Refusal::Encrypted
    );
    assert_eq!(verdict("width", json!(0)), Refusal::NoPicture);
    assert_eq!(
        verdict("width", json!(16_384)),
        Refusal::TooLarge(16_384, 576)
    );
    assert_eq!(
        verdict("duration", json!("100000.000000")),
        Refusal::TooLong(27)
    );
    assert_eq!(
        judge(&read(&file(&[audio(0)])).unwrap()),
        Err(Refusal::NoVideo)
    );
    assert_eq!(judge(&read(&file(&[])).unwrap()), Err(Refusal::NoStreams));
    assert_eq!(
        parse(b"", "ffprobe: error while loading shared libraries")
            .unwrap_err()
            .to_string(),
        "The file could not be examined: ffprobe: error while loading shared libraries."
    );
}

#[test]
fn a_title_in_another_encoding_does_no_harm() {
    let json = file(&[video()]).to_string().into_bytes();
    let at = json.windows(4).position(|w| w == b"film").unwrap();
    let latin1 = [&json[..at], b"\xe9t\xe9", &json[at + 4..]].concat();
    assert_eq!(
        parse(&latin1, "").unwrap().details.title.as_deref(),
        Some("A \u{fffd}t\u{fffd}")
    );
}
