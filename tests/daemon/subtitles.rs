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

#[test]
fn files_are_attached_by_the_api_or_refused_with_their_line() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&numbered("subtitles", 1, 331));
    let other = daemon.import(&numbered("subtitles", 332, 127));
    let path = |media: &str, language: &str| format!("/media/{media}/subtitles/{language}");
    let put = |language: &str, kind: &str, file: &[u8]| {
        daemon.ask(
            "PUT",
            &path(&media, language),
            &[("Content-Type", kind)],
            file,
        )
    };
    let used = || daemon.get("/media/storage")["usedBytes"].as_u64().unwrap();
    let empty = used();
    let vtt = "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<i>Hi</i> <x>\n";
    let answer = put("ENG-us", "text/vtt; charset=utf-8", vtt.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (language, cues) = (
        answer.json()["language"].clone(),
        answer.json()["cues"].clone(),
    );
    assert_eq!((language, cues), (json!("en-US"), json!(1)));
    let location = answer.headers["location"].as_str();
    assert_eq!(location, format!("/api/v1{}", path(&media, "en-US")));
    let written = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000 align:start\n<i>Hi</i> &lt;x&gt;\n";
    let got = daemon.ask("GET", &path(&media, "en-us"), &[], b"");
    assert_eq!((got.status, got.text().as_str()), (200, written));
    assert_eq!(used() - empty, written.len() as u64, "it takes room");
    assert_eq!(
        put(
            "en-US",
            "application/x-subrip",
            srt(1, 331, 60, 7).as_bytes()
        )
        .status,
        200
    );
    assert_eq!(
        put("de", "application/x-subrip", srt(1, 331, 60, 7).as_bytes()).status,
        201
    );
    let listed = daemon.get(&format!("/media/{media}/subtitles"));
    let languages = |items: &Value| {
        let all = items.as_array().unwrap().iter();
        all.map(|one| one["language"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(languages(&listed["items"]), ["de", "en-US"]);
    assert_eq!(
        daemon.get(&format!("/media/{media}"))["subtitles"],
        listed["items"]
    );
    assert_eq!(
        daemon.get(&format!("/media/{other}/subtitles"))["items"],
        json!([])
    );
    // What is wrong is said, and where; what was there stays.
    let broken = put(
        "de",
        "application/x-subrip",
        b"1\n00:00:01,000 --> 00:00:02,000\nA\n\n2\nB\n",
    );
    assert_eq!(broken.status, 422);
    let said = broken.json()["violations"][0]["message"].clone();
    assert!(said.as_str().unwrap().starts_with("line 6: "), "{said}");
    for (language, kind, file, status) in [
        ("xx", "text/vtt", vtt, 400),
        ("english", "text/vtt", vtt, 400),
        ("fr", "text/plain", vtt, 415),
        ("fr", "text/vtt", "Hello", 422),
        ("fr", "text/vtt", "", 422),
    ] {
        assert_eq!(
            put(language, kind, file.as_bytes()).status,
            status,
            "{language} {kind}"
        );
    }
    assert_eq!(
        put("fr", "text/vtt", &vec![b'x'; (2 << 20) + 1]).status,
        413
    );
    let nobody = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    for (method, path) in [
        ("PUT", path(nobody, "en")),
        ("GET", path(nobody, "en")),
        ("GET", path(&media, "fr")),
        ("DELETE", path(&media, "fr")),
        ("GET", format!("/media/{nobody}/subtitles")),
    ] {
        let answer = daemon.ask(
            method,
            &path,
            &[("Content-Type", "text/vtt")],
            vtt.as_bytes(),
        );
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    daemon.api("DELETE", &path(&media, "de"), &Value::Null);
    assert_eq!(daemon.ask("GET", &path(&media, "de"), &[], b"").status, 404);
    let copies = || {
        std::fs::read_dir(data.path().join("media/subtitles"))
            .unwrap()
            .count()
    };
    assert_eq!(copies(), 1);
    // It goes with its item.
    daemon.api("DELETE", &format!("/media/{media}"), &Value::Null);
    assert_eq!(copies(), 0);
    let size = daemon.get(&format!("/media/{other}"))["size"]
        .as_u64()
        .unwrap();
    assert_eq!(used(), size);
}

#[test]
fn what_lies_beside_a_film_is_read_with_it_and_also_when_it_comes_later() {
    let data = folder();
    let place = folder();
    let at = |name: &str| place.path().join(name);
    let daemon = Daemon::start(
        data.path(),
        "[media]\nprepare_on_import = false\nwatch_settle = 1\n",
    );
    std::fs::copy(numbered("subtitles", 1, 331), at("film.mp4")).unwrap();
    std::fs::write(at("film.json"), "{\"language\": \"fr\"}").unwrap();
    std::fs::write(at("film.srt"), srt(1, 331, 60, 7)).unwrap();
    std::fs::write(at("film.eng.srt"), srt(1, 331, 50, 7)).unwrap();
    std::fs::write(at("film.de.vtt"), "WEBVTT\n\n00:01.000 --> nie\nNein\n").unwrap();
    std::fs::write(at("other.en.srt"), srt(1, 331, 60, 7)).unwrap();
    let report = daemon.post("/media", &json!({ "path": at("film.mp4") }));
    assert_eq!(
        report["refused"][0]["path"],
        json!(at("film.de.vtt")),
        "{report}"
    );
    let reason = report["refused"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("line 3"), "{reason}");
    assert_eq!(report["refused"].as_array().unwrap().len(), 1, "{report}");
    let media = report["accepted"][0]["id"].as_str().unwrap().to_owned();
    let languages = || {
        let listed = daemon.get(&format!("/media/{media}/subtitles"));
        let all = listed["items"].as_array().unwrap().clone().into_iter();
        let named = all.map(|one| {
            (
                one["language"].as_str().unwrap().to_owned(),
                one["cues"].as_u64().unwrap(),
            )
        });
        named.collect::<Vec<_>>()
    };
    let own = |language: &str, cues: u64| (language.to_owned(), cues);
    assert_eq!(
        languages(),
        [own("en", 7), own("fr", 6)],
        "a film speaks its own language"
    );
    // What was brought by hand stays, whatever lies beside the film; imported again, the rest is read again.
    let path = format!("/media/{media}/subtitles/fr");
    let kind = [("Content-Type", "application/x-subrip")];
    assert_eq!(
        daemon
            .ask("PUT", &path, &kind, srt(1, 331, 331, 0).as_bytes())
            .status,
        200
    );
    std::fs::write(at("film.de.vtt"), "WEBVTT\n\n00:01.000 --> 00:02.000\nJa\n").unwrap();
    daemon.post("/media", &json!({ "path": place.path() }));
    assert_eq!(languages(), [own("de", 1), own("en", 7), own("fr", 1)]);
    // A watched folder reads what comes after its film.
    let watched = daemon.post("/media/watched", &json!({ "path": place.path() }));
    let watched = format!("/media/watched/{}", watched["id"].as_str().unwrap());
    std::fs::write(at("film.it.srt"), srt(1, 331, 100, 0)).unwrap();
    std::fs::write(
        at("film.json"),
        "{\"language\": \"fr\", \"title\": \"Late\"}",
    )
    .unwrap();
    std::fs::write(at("film.es.srt"), "1\nnada\n").unwrap();
    until("the late ones are read", BOUND, || {
        languages().contains(&own("it", 4))
    });
    until("and what the film is", BOUND, || {
        daemon.get(&format!("/media/{media}"))["title"] == "Late"
    });
    until("the broken one is refused", BOUND, || {
        let refused = daemon.get(&watched)["refused"].to_string();
        refused.contains("film.es.srt") && refused.contains("line 2")
    });
    // Both in one language, the one who names it is right: nothing is read to and fro.
    std::fs::write(at("film.es.srt"), srt(1, 331, 331, 0)).unwrap();
    until("it is mended", BOUND, || {
        languages().contains(&own("es", 1))
    });
    until("and no more refused", BOUND, || {
        !daemon.get(&watched)["refused"]
            .to_string()
            .contains("film.es")
    });
}
