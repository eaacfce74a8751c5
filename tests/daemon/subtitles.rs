//! Subtitles beside the picture: for every picture that was published, the cues that its segment has for that moment are
//! those of the picture's item and frame, and no others.

use std::collections::HashMap;
use std::process::Command;

use serde_json::{Value, json};

use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, signal_process, until};
use super::judge;
use super::viewer::Viewer;

/// The clock of a transport stream is back at zero then.
const WRAP: i64 = 1 << 33;
/// Ticks of a picture.
const PICTURE: i64 = 3_600;

/// A cue as it was published, in ticks of the channel's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Published {
    name: String,
    from: i64,
    to: i64,
    text: String,
}

/// `hh:mm:ss.mmm` in milliseconds.
fn milliseconds(clock: &str) -> i64 {
    let digits = |text: &str| text.parse::<i64>().expect("a number");
    let (whole, fraction) = clock.split_once('.').expect("a fraction");
    assert_eq!(fraction.len(), 3, "{clock}");
    let seconds = whole
        .split(':')
        .fold(0, |sum, part| sum * 60 + digits(part));
    seconds * 1_000 + digits(fraction)
}

/// Reads a segment of WebVTT, as RFC 8216 §3.5 says.
fn read(text: &str) -> Vec<Published> {
    let mut blocks = text.trim_end().split("\n\n");
    let head: Vec<&str> = blocks.next().expect("a head").lines().collect();
    assert_eq!(head[0], "WEBVTT", "{text}");
    let map = head[1]
        .strip_prefix("X-TIMESTAMP-MAP=MPEGTS:")
        .expect("a map");
    let (mpegts, local) = map.split_once(",LOCAL:").expect("both clocks");
    let (mpegts, local) = (mpegts.parse::<i64>().expect("ticks"), milliseconds(local));
    assert!((0..WRAP).contains(&mpegts), "{text}");
    blocks
        .map(|block| {
            let lines: Vec<&str> = block.lines().collect();
            let (from, to) = lines[1].split_once(" --> ").expect("times");
            let at = |clock| mpegts + (milliseconds(clock) - local) * 90;
            Published {
                name: lines[0].to_owned(),
                from: at(from),
                to: at(to),
                text: lines[2..].join("\n"),
            }
        })
        .collect()
}

/// SubRip for pictures `first` to `first + frames`: a cue for each `every`, short of it by `gap`. It says of which pictures
/// it is.
pub fn srt(first: u32, frames: u32, every: u32, gap: u32) -> String {
    let clock = |frame: u32| {
        let (seconds, rest) = (frame / 25, frame % 25 * 40);
        format!("00:{:02}:{:02},{rest:03}", seconds / 60, seconds % 60)
    };
    let mut text = String::new();
    for (n, from) in (0..frames).step_by(every as usize).enumerate() {
        let to = (from + every - gap).min(frames);
        text += &format!(
            "{}\n{} --> {}\n{}-{}\n\n",
            n + 1,
            clock(from),
            clock(to),
            first + from,
            first + to
        );
    }
    text
}

pub fn attach(daemon: &Daemon, media: &str, language: &str, srt: &str) {
    let path = format!("/media/{media}/subtitles/{language}");
    let kind = [("Content-Type", "application/x-subrip")];
    let answer = daemon.ask("PUT", &path, &kind, srt.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

pub fn offers(daemon: &Daemon, channel: &str, languages: &Value) {
    let path = format!("/channels/{channel}");
    daemon.api("PATCH", &path, &json!({ "subtitles": languages }));
}

/// A viewer who reads along.
struct Reader<'a> {
    viewer: Viewer<'a>,
    language: &'static str,
    /// What was said in each segment.
    said: Vec<Vec<Published>>,
}

impl<'a> Reader<'a> {
    fn of(daemon: &'a Daemon, channel: &str, language: &'static str) -> Self {
        Self {
            viewer: Viewer::of(daemon, channel),
            language,
            said: Vec::new(),
        }
    }

    fn look(&mut self, daemon: &Daemon, channel: &str) {
        self.viewer.look();
        for sequence in &self.viewer.sequences[self.said.len()..] {
            let path = format!("/hls/{channel}/subtitles-{}-{sequence}.vtt", self.language);
            let answer = daemon.try_get(&path).expect("an answer");
            assert_eq!(answer.status, 200, "{path}");
            self.said.push(read(&answer.text()));
        }
    }

    fn follow(
        &mut self,
        daemon: &Daemon,
        channel: &str,
        what: &str,
        mut enough: impl FnMut(&mut Self) -> bool,
    ) {
        until(what, 2 * BOUND, || {
            self.look(daemon, channel);
            enough(self)
        });
    }

    fn watch(&mut self, daemon: &Daemon, channel: &str, seconds: f64) {
        self.follow(daemon, channel, "media goes out", |reader| {
            reader.viewer.seconds >= seconds
        });
    }

    /// Every picture is beside its cues: `cue(n)` is what is to be read while picture `n` is shown. Answers how many pictures
    /// of an item there were, and how many cues.
    fn judge(&self, cue: impl Fn(u32) -> Option<String>) -> (usize, usize) {
        self.viewer.judge();
        let numbers = self.viewer.numbers();
        assert_eq!(numbers.len() as u64, self.viewer.frames());
        let begin = self.viewer.span().0 as i64;
        let mut of_an_item = 0;
        let mut first = 0;
        for (segment, (end, _)) in self.viewer.ends.iter().enumerate() {
            let pictures = numbers.iter().enumerate();
            for (at, number) in pictures.take(*end as usize).skip(first) {
                let number = number.filter(|number| *number > 0);
                of_an_item += usize::from(number.is_some());
                // The middle of the picture.
                let time = begin + at as i64 * PICTURE + PICTURE / 2;
                let is_shown = |cue: &&Published| {
                    let (since, left) = (
                        (time - cue.from).rem_euclid(WRAP),
                        (cue.to - time).rem_euclid(WRAP),
                    );
                    since < WRAP / 2 && left < WRAP / 2
                };
                // What a segment before has said already goes on, whatever stands in now.
                let begun = begin + first as i64 * PICTURE;
                let is_old = |cue: &Published| (begun - cue.from - 1).rem_euclid(WRAP) < WRAP / 2;
                let shown: Vec<&str> = self.said[segment]
                    .iter()
                    .filter(is_shown)
                    .filter(|cue| number.is_some() || !is_old(cue))
                    .map(|cue| cue.text.as_str())
                    .collect();
                let expected: Vec<String> = number.and_then(&cue).into_iter().collect();
                assert_eq!(
                    shown, expected,
                    "picture {number:?}, the {at}th, in segment {} of {:?}",
                    self.viewer.sequences[segment], self.said[segment]
                );
            }
            first = *end as usize;
        }
        let mut known: HashMap<&str, &Published> = HashMap::new();
        for cue in self.said.iter().flatten() {
            let before = known.entry(&cue.name).or_insert(cue);
            assert_eq!(*before, cue, "a cue that is told again is told as before");
        }
        (of_an_item, known.len())
    }
}

/// What [`srt`] says of picture `n`.
fn said(n: u32, first: u32, frames: u32, every: u32, gap: u32) -> Option<String> {
    let into = n.checked_sub(first).filter(|into| *into < frames)?;
    let from = into / every * every;
    let to = (from + every - gap).min(frames);
    (into < to).then(|| format!("{}-{}", first + from, first + to))
}

#[test]
fn every_picture_is_beside_its_cue_across_items_points_kills_and_the_wrap() {
    let data = folder();
    // The clock is back at zero half a minute after the beginning.
    let daemon = Daemon::start(data.path(), "[playout]\nclock_origin = 95420\n");
    // Lengths that are no whole GOPs; cues that span segments, and end within items.
    let one = daemon.import(&numbered("subtitles", 1, 331));
    let two = daemon.import(&numbered("subtitles", 332, 127));
    attach(&daemon, &one, "en", &srt(1, 331, 60, 7));
    attach(&daemon, &two, "en-GB", &srt(332, 127, 127, 0));
    let channel = daemon.channel(&[&one, &two]);
    let points = json!({ "items": [
        { "mediaId": one }, { "mediaId": two }, { "mediaId": one, "in": 2.52, "out": 9.52 },
    ] });
    daemon.api("PUT", &format!("/channels/{channel}/rotation"), &points);
    let languages =
        json!([{ "language": "en", "name": "English", "default": true }, { "language": "de" }]);
    offers(&daemon, &channel, &languages);
    daemon.prepared(&one);
    daemon.prepared(&two);
    daemon.on_air(&channel);
    let mut reader = Reader::of(&daemon, &channel, "en");
    reader.watch(&daemon, &channel, 14.0);
    let mut killed = Vec::new();
    reader.follow(&daemon, &channel, "there is a source to kill", |_| {
        killed = daemon.sources(&channel);
        !killed.is_empty()
    });
    killed.iter().for_each(|pid| signal_process(*pid, "KILL"));
    reader.watch(&daemon, &channel, 52.0);
    let (pictures, cues) =
        reader.judge(|n| said(n, 1, 331, 60, 7).or_else(|| said(n, 332, 127, 127, 0)));
    assert!(pictures > 1_200 && cues > 10, "{pictures} {cues}");
    assert_eq!(reader.viewer.discontinuities, 0);
    let wrapped = |cue: &Published| cue.from >= WRAP || cue.from < WRAP / 2;
    let mut all = reader.said.iter().flatten();
    assert!(all.any(wrapped), "the clock has wrapped");
    in_step(&daemon, &channel);
}

/// The playlist of the subtitles is that of the picture, under other names.
fn in_step(daemon: &Daemon, channel: &str) {
    let get = |name: &str| daemon.try_get(&format!("/hls/{channel}/{name}")).unwrap();
    let master = get("index.m3u8").text();
    assert!(master.contains("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI=\"subtitles-en.m3u8\"\n"), "{master}");
    assert!(
        master.contains("NAME=\"de\",LANGUAGE=\"de\",DEFAULT=NO"),
        "{master}"
    );
    assert!(
        master.contains(",SUBTITLES=\"subtitles\"\n240p.m3u8\n"),
        "{master}"
    );
    // They are published at once, but asked for one after the other.
    until("both are of the same moment", BOUND, || {
        let (picture, text) = (get("240p.m3u8").text(), get("subtitles-en.m3u8").text());
        judge::playlist(&text);
        picture
            .replace("240p-", "subtitles-en-")
            .replace(".ts", ".vtt")
            == text
    });
    // FFmpeg knows no subtitles in HLS, but WebVTT: it reads the same cues in a segment.
    let english = get("subtitles-en.m3u8").text();
    let segments = judge::playlist(&english).segments.into_iter();
    let text = segments
        .map(|segment| get(&segment.uri).text())
        .find(|text| !read(text).is_empty());
    let text = text.expect("a segment in which something is said");
    let file = folder();
    let file = file.path().join("segment.vtt");
    std::fs::write(&file, &text).expect("a file");
    let shown = [
        "-v",
        "error",
        "-show_entries",
        "packet=pts_time",
        "-of",
        "csv=p=0",
    ];
    let probed = Command::new("ffprobe")
        .args(shown)
        .arg(&file)
        .output()
        .expect("ffprobe runs");
    assert!(
        probed.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&probed.stderr)
    );
    let probed = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert_eq!(
        probed.split_whitespace().count(),
        read(&text).len(),
        "{probed}{text}"
    );
    // A language that no item has is silent, and there.
    let german = get("subtitles-de.m3u8").text();
    let name = german.lines().last().expect("a segment").to_owned();
    let answer = get(&name);
    assert_eq!(answer.status, 200, "{name}");
    assert!(read(&answer.text()).is_empty());
    assert_eq!(get("subtitles-fr.m3u8").status, 404);
    assert_eq!(get(&name.replace("-de-", "-fr-")).status, 404);
}

/// A reader of a channel that plays one item, whose cues are short.
fn on_air<'a>(daemon: &'a Daemon, languages: &Value) -> (String, String, Reader<'a>) {
    let media = daemon.import(&numbered("subtitles", 1, 331));
    attach(daemon, &media, "en", &srt(1, 331, 15, 5));
    let channel = daemon.channel(&[&media]);
    offers(daemon, &channel, languages);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let reader = Reader::of(daemon, &channel, "en");
    (media, channel, reader)
}

fn short(n: u32) -> Option<String> {
    said(n, 1, 331, 15, 5)
}

#[test]
fn while_something_stands_in_nothing_new_is_said() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[playout]\nsource = \"direct\"\n");
    let (media, channel, mut reader) = on_air(&daemon, &json!([{ "language": "en" }]));
    reader.watch(&daemon, &channel, 14.0);
    let path = format!("/channels/{channel}/rotation");
    let shows =
        |kind: &str| daemon.get(&format!("/channels/{channel}/status"))["onAir"]["kind"] == kind;
    daemon.api("PUT", &path, &json!({ "items": [] }));
    reader.follow(&daemon, &channel, "the slate is on air", |_| shows("slate"));
    let seen = reader.viewer.seconds;
    reader.watch(&daemon, &channel, seen + 10.0);
    daemon.api("PUT", &path, &json!({ "items": [{ "mediaId": media }] }));
    reader.follow(&daemon, &channel, "the item is back", |_| {
        shows("scheduled")
    });
    let seen = reader.viewer.seconds;
    reader.watch(&daemon, &channel, seen + 10.0);
    let (pictures, _) = reader.judge(short);
    assert!(pictures > 300 && reader.viewer.frames() as usize > pictures + 150);
}

#[test]
fn what_was_said_is_there_after_a_kill_of_the_daemon_and_goes_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let (_, channel, mut reader) = on_air(&daemon, &json!([{ "language": "en" }]));
    reader.watch(&daemon, &channel, 16.0);
    daemon.signal("KILL");
    daemon.ended();
    let again = Daemon::start(data.path(), "");
    let mut reader = Reader {
        viewer: reader.viewer.moved_to(&again),
        language: "en",
        said: reader.said,
    };
    reader.follow(&again, &channel, "it is on air again", |reader| {
        reader.viewer.seconds > 28.0
    });
    let (_, cues) = reader.judge(short);
    assert!(cues > 30, "{cues}");
    // What was published before the end of the first daemon says what it said.
    let oldest = again
        .try_get(&format!("/hls/{channel}/subtitles-en.m3u8"))
        .unwrap()
        .text();
    let oldest = judge::playlist(&oldest).media_sequence;
    for (sequence, said) in reader.viewer.sequences.iter().zip(&reader.said) {
        let answer = again
            .try_get(&format!("/hls/{channel}/subtitles-en-{sequence}.vtt"))
            .unwrap();
        if *sequence >= oldest {
            assert_eq!(
                (answer.status, &read(&answer.text())),
                (200, said),
                "{sequence}"
            );
        }
    }
    // Languages that come later are there at once, and silent in what was published before.
    let before = *reader.viewer.sequences.last().unwrap();
    offers(
        &again,
        &channel,
        &json!([{ "language": "en" }, { "language": "fr", "name": "Français" }]),
    );
    let french = |sequence: u64| {
        again
            .try_get(&format!("/hls/{channel}/subtitles-fr-{sequence}.vtt"))
            .unwrap()
    };
    until("French is offered", BOUND, || french(before).status == 200);
    assert!(read(&french(before).text()).is_empty());
    let seen = reader.viewer.seconds;
    reader.watch(&again, &channel, seen + 10.0);
    reader.judge(short);
    assert_eq!(
        reader.viewer.discontinuities, 0,
        "another language costs nothing"
    );
    // And none are none.
    offers(&again, &channel, &json!([]));
    until("nothing is offered", BOUND, || french(before).status == 404);
    let master = again
        .try_get(&format!("/hls/{channel}/index.m3u8"))
        .unwrap()
        .text();
    assert!(!master.contains("SUBTITLES"), "{master}");
}
