//! The as-run log, held against what was published: picture by picture, across a killed source, what was played by hand, a
//! killed daemon, and files that are gone. CSV is read back by Python's reader.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// What runs in a spreadsheet that does not know better.
const FORMULA: &str = "=1+1, \"News\"\nlive";

fn rows(daemon: &Daemon, channel: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.get(&format!("/channels/{channel}/as-run?limit=3{cursor}"));
        rows.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("a time")
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// What Python finds in CSV: an object for each row.
fn read_csv(body: &[u8]) -> Vec<Value> {
    let script = "import csv, io, json, sys\n\
        text = sys.stdin.buffer.read().decode('utf-8')\n\
        assert text.endswith('\\r\\n')\n\
        rows = list(csv.DictReader(io.StringIO(text, newline=''), strict=True))\n\
        assert all(None not in row and None not in row.values() for row in rows)\n\
        print(json.dumps(rows))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut stdin = python.stdin.take().expect("a pipe");
    stdin.write_all(body).expect("python3 reads");
    drop(stdin);
    let read = python.wait_with_output().expect("python3 ends");
    assert!(read.status.success());
    let rows: Value = serde_json::from_slice(&read.stdout).expect("JSON");
    rows.as_array().expect("rows").clone()
}

/// A copy of a clip, which may be lost.
fn copy(folder: &Path, clip: &Path) -> std::path::PathBuf {
    let to = folder.join(clip.file_name().expect("a name"));
    std::fs::copy(clip, &to).expect("copies");
    to
}

#[test]
fn what_went_out_is_told_to_the_frame_whatever_it_was_met_by() {
    let (data, files) = (folder(), folder());
    let daemon = Daemon::start(data.path(), "");
    let (long, short) = (numbered("asrun", 0, 650), numbered("asrun", 1_400, 200));
    let lost = copy(files.path(), &numbered("asrun", 700, 150));
    let [one, two, short] = [&long, &lost, &short].map(|file| daemon.import(file));
    let firsts = [(&one, 0), (&two, 700), (&short, 1_400)];
    let channel = daemon.channel(&[&one, &two, &short]);
    for media in [&one, &two, &short] {
        daemon.prepared(media);
    }
    daemon.api(
        "PUT",
        &format!("/channels/{channel}/rotation"),
        &json!({ "items": [{ "mediaId": one }, { "mediaId": two }] }),
    );
    daemon.api(
        "PATCH",
        &format!("/media/{short}"),
        &json!({ "title": FORMULA }),
    );
    let on_air = |daemon: &Daemon| {
        let status = daemon.get(&format!("/channels/{channel}/status"));
        status["onAir"]["mediaId"].clone()
    };
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(12.0);
    // A source dies: nobody sees it.
    let killed = daemon.kill_sources(&channel);
    viewer.follow("another source has taken over", BOUND, |_| {
        let sources = daemon.sources(&channel);
        !sources.is_empty() && sources.iter().all(|pid| !killed.contains(pid))
    });
    // Somebody plays something, and skips the end of it.
    daemon.post(
        &format!("/channels/{channel}/play"),
        &json!({ "mediaId": short, "when": "now" }),
    );
    viewer.follow("it is on air", BOUND, |_| on_air(&daemon) == json!(short));
    daemon.operate(&channel, "skip");
    viewer.follow("what was interrupted is on air", BOUND, |_| {
        on_air(&daemon) == json!(one)
    });
    // The daemon dies.
    daemon.signal("KILL");
    daemon.ended();
    let daemon = Daemon::start(data.path(), "");
    let mut viewer = viewer.moved_to(&daemon);
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    let fallback = json!({ "fallbackVideo": short });
    daemon.api("PATCH", &format!("/channels/{channel}"), &fallback);
    // The original of an item is gone, and half of what was prepared of it.
    std::fs::remove_file(&lost).expect("removes");
    let prepared = std::fs::File::options()
        .write(true)
        .open(daemon.prepared_file(&two));
    let prepared = prepared.expect("a prepared file");
    let bytes = prepared.metadata().expect("a length").len();
    prepared.set_len(bytes / 2).expect("cuts");
    viewer.follow("something stands in for it", BOUND, |_| {
        let rows = rows(&daemon, &channel);
        let fallback = rows.iter().filter(|row| row["kind"] == "fallback");
        fallback.map(|row| number(&row["frames"])).sum::<u64>() >= 50
    });
    viewer.follow("the next item is on air", BOUND, |_| {
        on_air(&daemon) == json!(one)
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 4.0);
    viewer.judge();
    daemon.operate(&channel, "stop");

    let told = rows(&daemon, &channel);
    let shown = viewer.numbers();
    let began = viewer.began.expect("a time");
    let mut covered = vec![0_u32; shown.len()];
    for row in told.iter().filter(|row| row["type"] == "aired") {
        let since = time(&row["start"]).duration_since(began).as_millis();
        for n in 0..number(&row["frames"]) as i128 {
            let Ok(frame) = usize::try_from(since / 40 + n) else {
                continue;
            };
            let Some(shown) = shown.get(frame) else {
                continue;
            };
            covered[frame] += 1;
            if row["kind"] == "slate" {
                continue;
            }
            if row["kind"] == "fallback" {
                assert!(
                    (1_400..1_600).contains(&shown.expect("a number")),
                    "picture {frame}: {row}"
                );
                continue;
            }
            let first = firsts.iter().find(|(media, _)| row["mediaId"] == **media);
            let (_, first) = first.unwrap_or_else(|| panic!("an unknown item: {row}"));
            let within = (row["in"].as_f64().expect("seconds") * 25.0).round() as u32;
            assert_eq!(
                *shown,
                Some(first + within + n as u32),
                "picture {frame}: {row}"
            );
        }
    }
    assert!(
        covered.iter().all(|times| *times == 1),
        "every picture is told once: {told:#?}"
    );
    assert!(
        told.iter().all(|row| row["open"] == false),
        "the channel is off air: {told:#?}"
    );
    assert_eq!(told.last().expect("a row")["ended"], "off-air");

    // Why each was shown, and what ended it.
    let of = |media: &str, kind: &str| -> Vec<&Value> {
        let of = told
            .iter()
            .filter(|row| row["mediaId"] == media && row["type"] == kind);
        of.filter(|row| row["kind"] != "fallback").collect()
    };
    let [played] = of(&short, "aired")[..] else {
        panic!("{told:#?}")
    };
    assert_eq!(
        (&played["reason"], &played["kind"]),
        (&json!("played-now"), &json!("played"))
    );
    assert_eq!(
        (&played["title"], &played["ended"]),
        (&json!(FORMULA), &json!("skipped"))
    );
    assert!(
        played["by"].is_string() && played["made"] == "copy",
        "{played}"
    );
    let [skipped] = of(&short, "missing")[..] else {
        panic!("{told:#?}")
    };
    assert_eq!(
        (&skipped["reason"], &skipped["by"]),
        (&json!("skipped"), &played["by"])
    );
    assert_eq!(number(&played["frames"]) + number(&skipped["frames"]), 200);
    let interrupted: Vec<_> = of(&one, "aired")
        .into_iter()
        .filter(|row| row["ended"] == "interrupted")
        .collect();
    let [interrupted] = interrupted[..] else {
        panic!("{told:#?}")
    };
    let goes_on = told
        .iter()
        .find(|row| row["planned"] == interrupted["planned"] && row["id"] != interrupted["id"]);
    let goes_on = goes_on.unwrap_or_else(|| panic!("{told:#?}"));
    // The killed daemon left no trace in it.
    assert_eq!(
        number(&interrupted["frames"]) + number(&goes_on["frames"]),
        650
    );
    assert!(goes_on["startDeviation"].as_f64() > Some(0.0), "{goes_on}");
    let instead = |row: &&Value| row["kind"] == "slate" || row["kind"] == "fallback";
    let instead: u64 = told
        .iter()
        .filter(instead)
        .map(|row| number(&row["frames"]))
        .sum();
    let missing: u64 = of(&two, "missing")
        .iter()
        .map(|row| number(&row["frames"]))
        .sum();
    assert_eq!(instead, missing, "{told:#?}");
    assert!(
        of(&two, "missing")
            .iter()
            .all(|row| row["reason"] == "source-failed"),
        "{told:#?}"
    );

    // The same as a table.
    let answer = daemon.ask(
        "GET",
        &format!("/channels/{channel}/as-run"),
        &[("Accept", "text/csv")],
        b"",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.headers["content-type"].starts_with("text/csv"));
    let table = read_csv(&answer.body);
    assert_eq!(table.len(), told.len());
    for (line, row) in table.iter().zip(&told) {
        let of = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        for name in [
            "id", "type", "start", "kind", "mediaId", "reason", "frames", "ended",
        ] {
            assert_eq!(
                line[name].as_str(),
                Some(of(&row[name]).as_str()),
                "{name} of {row}"
            );
        }
        for name in ["duration", "startDeviation", "lengthDeviation"] {
            let seconds = line[name].as_str().expect("a text").parse().ok();
            assert_eq!(row[name].as_f64(), seconds, "{name} of {row}");
        }
        let title = of(&row["title"]);
        let safe = if title == FORMULA {
            format!("'{title}")
        } else {
            title
        };
        assert_eq!(line["title"], safe);
    }
}

#[test]
fn a_time_away_is_told_as_what_it_was() {
    let data = folder();
    let settings = "[hls]\nwindow = 3\n[playout]\nsource = \"direct\"\n";
    let daemon = Daemon::start(data.path(), settings);
    let clip = numbered("asrun", 1_400, 200);
    let media = daemon.import(&clip);
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    until("a few items were on air", BOUND, || {
        rows(&daemon, &channel).len() >= 3
    });
    daemon.signal("KILL");
    daemon.ended();
    let killed = Instant::now();
    let record = data
        .path()
        .join("channels")
        .join(&channel)
        .join("spool/record.json");
    let record: Value =
        serde_json::from_slice(&std::fs::read(record).expect("a record")).expect("JSON");
    let published = number(&record["next"]);
    until("the playlist is over", BOUND, || {
        killed.elapsed() > Duration::from_secs(30)
    });
    let daemon = Daemon::start(data.path(), settings);
    let back = |told: &[Value]| {
        told.iter()
            .rposition(|row| row["type"] == "missing")
            .is_some_and(|n| n + 1 < told.len())
    };
    let mut told = Vec::new();
    until("it is back on air", BOUND, || {
        told = rows(&daemon, &channel);
        back(&told)
    });
    // One after another without a hole, from the first frame on.
    let assert_whole = |told: &[Value]| {
        for pair in told.windows(2) {
            let ends = number(&pair[0]["firstFrame"]) + number(&pair[0]["frames"]);
            assert_eq!(ends, number(&pair[1]["firstFrame"]), "{pair:#?}");
        }
    };
    assert_whole(&told);
    let away: Vec<&Value> = told.iter().filter(|row| row["type"] == "missing").collect();
    assert!(
        away.iter()
            .all(|row| row["reason"] == "daemon-away" && row["mediaId"] == media),
        "{away:#?}"
    );
    assert_eq!(
        number(&away[0]["firstFrame"]),
        published,
        "from the frame that was published last"
    );
    let last = told
        .iter()
        .rfind(|row| row["type"] == "aired" && number(&row["firstFrame"]) < published);
    let ended = &last.expect("a row")["ended"];
    // It may have been killed between two items.
    assert!(
        published.is_multiple_of(200) || ended == "daemon-away" || ended.is_null(),
        "{told:#?}"
    );
    // Off air by order.
    daemon.operate(&channel, "stop");
    let stopped = Instant::now();
    until("a start has something to tell", BOUND, || {
        stopped.elapsed() > Duration::from_secs(30)
    });
    daemon.on_air(&channel);
    until("it is back on air", BOUND, || {
        told = rows(&daemon, &channel);
        told.iter().any(|row| row["reason"] == "off-air") && back(&told)
    });
    assert_whole(&told);
    let newest = told.last().expect("a row");
    assert_eq!(
        (&newest["open"], &newest["type"]),
        (&json!(true), &json!("aired"))
    );

    // What is asked for in vain.
    let stranger = Caller::stranger(&daemon);
    let path = format!("/channels/{channel}/as-run");
    assert_eq!(stranger.get(&path).status, 404);
    let refused = daemon.ask(
        "GET",
        &format!("{path}?from=soon&to=2030-01-31&format=xml&limit=0"),
        &[],
        b"",
    );
    assert_eq!(refused.status, 422, "{}", refused.text());
    let pointers: Vec<Value> = refused.json()["violations"]
        .as_array()
        .expect("violations")
        .iter()
        .map(|violation| violation["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/from", "/to", "/format", "/limit"]);
    let window = (&told[1]["start"], &told[2]["end"]);
    let [from, to] = [window.0, window.1].map(|time| time.as_str().expect("a time"));
    let some = daemon.get(&format!("{path}?from={from}&to={to}"));
    assert_eq!(some["items"].as_array().expect("items")[..], told[1..3]);
}
