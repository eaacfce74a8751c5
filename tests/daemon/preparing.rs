//! The prepare queue: what people say about it outlives a crash, and what nobody needs goes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::resources::{half_made, stand_in};

/// Nothing is prepared but what channels need; prepared slowly, or not at all, as files in the folder of programs say.
/// Each run leaves a folder there.
const SLOWLY: &str = "case \"$*\" in *-progress*libx264*) mkdir \"$here/run.$$\"\n\
    while [ -e \"$here/hold\" ]; do sleep 0.05; done\n\
    [ -e \"$here/slow\" ] && exec ffmpeg -readrate 0.2 \"$@\";; esac";

/// Counts the runs that prepared, and forgets them.
fn runs(tools: &Path) -> usize {
    let names = fs::read_dir(tools).unwrap().flatten();
    let runs = names.filter(|file| file.file_name().to_string_lossy().starts_with("run."));
    runs.map(|run| fs::remove_dir(run.path()).unwrap()).count()
}

fn jobs(daemon: &Daemon, query: &str) -> Vec<Value> {
    let answer = daemon.get(&format!("/media/queue/jobs{query}"));
    answer["items"].as_array().unwrap().clone()
}

/// The items of the jobs in a state, in order.
fn items(daemon: &Daemon, status: &str) -> Vec<String> {
    let jobs = jobs(daemon, &format!("?status={status}"));
    let ids = jobs
        .iter()
        .map(|job| job["mediaId"].as_str().unwrap().to_owned());
    ids.collect()
}

/// The files of what is prepared for 240p, or another picture.
fn files(data: &Path, picture: &str) -> usize {
    let folders = fs::read_dir(data.join("media/prepared")).unwrap().flatten();
    let folders =
        folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(picture));
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    files
        .filter(|file| file.path().extension().is_some_and(|end| end == "ts"))
        .count()
}

#[test]
fn after_a_crash_the_queue_goes_on_as_people_have_said_and_prepares_nothing_twice() {
    let (data, tools) = (folder(), folder());
    stand_in(tools.path(), SLOWLY);
    let settings = "[media]\nprepare_on_import = false\nprepare_jobs = 1\n";
    let start = || Daemon::start_with_programs(data.path(), settings, tools.path());
    fs::write(tools.path().join("slow"), "").unwrap();
    let daemon = start();
    let media: Vec<String> = (0..5).map(|n| daemon.import(&clip(20 + n, 150))).collect();
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| media[n].as_str());
    daemon.channel(&[a, b, c, d, e]);
    until("the first is half made", BOUND, || {
        half_made(data.path()) == 1
    });
    assert_eq!(items(&daemon, "preparing"), [a]);
    assert_eq!(
        items(&daemon, "waiting"),
        [b, c, d, e],
        "as the rotation names them"
    );
    let job = jobs(&daemon, "")[1].clone();
    assert_eq!(
        (&job["place"], &job["byHand"]),
        (&json!(1), &json!(false)),
        "{job}"
    );
    assert!(job["channelId"].is_string(), "{job}");
    let path = |media: &str, order: &str| {
        let profile = job["profile"].as_str().unwrap();
        format!("/media/{media}/renditions/{profile}{order}")
    };
    let order = |daemon: &Daemon, media: &str, order: &str| {
        daemon.post(&path(media, order), &Value::Null)["status"].clone()
    };
    assert_eq!(order(&daemon, c, "/pause"), "paused");
    assert_eq!(order(&daemon, d, "/cancel"), "cancelled");
    assert_eq!(order(&daemon, e, "/next"), "waiting");
    let refuse = |media: &str, order: &str| {
        let refused = daemon.ask("POST", &path(media, order), &[], b"");
        (refused.status, refused.json()["detail"].clone())
    };
    let (status, detail) = refuse(d, "/pause");
    assert_eq!(
        (status, detail),
        (
            409,
            json!("What is cancelled cannot be paused; retry it first.")
        )
    );
    assert_eq!(refuse(a, "/explode").0, 404);
    let totals = daemon.get("/media/queue");
    let counts =
        ["waiting", "preparing", "paused", "cancelled"].map(|name| &totals["counts"][name]);
    assert_eq!(
        counts,
        [&json!(2), &json!(1), &json!(1), &json!(1)],
        "{totals}"
    );

    daemon.signal("KILL");
    daemon.ended();
    drop(daemon);
    fs::remove_file(tools.path().join("slow")).unwrap();
    fs::write(tools.path().join("hold"), "").unwrap();
    runs(tools.path());
    let daemon = start();
    until("it goes on", BOUND, || items(&daemon, "preparing") == [e]);
    assert_eq!(half_made(data.path()), 0, "what was half made is gone");
    assert_eq!(items(&daemon, "waiting"), [a, b]);
    assert_eq!(
        (items(&daemon, "paused"), items(&daemon, "cancelled")),
        (vec![c.into()], vec![d.into()])
    );

    daemon.post("/media/queue/pause", &Value::Null);
    daemon.signal("KILL");
    daemon.ended();
    drop(daemon);
    runs(tools.path());
    let daemon = start();
    assert_eq!(daemon.get("/media/queue")["paused"], true);
    fs::remove_file(tools.path().join("hold")).unwrap();
    assert_eq!(items(&daemon, "waiting"), [e, a, b]);
    daemon.post("/media/queue/resume", &Value::Null);
    assert_eq!(order(&daemon, c, "/resume"), "waiting");
    until("what may be prepared is", BOUND, || {
        items(&daemon, "ready").len() == 4
    });
    assert_eq!(items(&daemon, "cancelled"), [d]);
    order(&daemon, d, "/retry");
    until("all of it is", BOUND, || items(&daemon, "ready").len() == 5);
    assert_eq!(runs(tools.path()), 5, "each once");
    assert_eq!((files(data.path(), "240p"), half_made(data.path())), (5, 0));
    assert_eq!(daemon.get("/media/queue")["percent"], 100.0);
}

#[test]
fn another_profile_prepares_what_is_missing_and_what_is_on_air_stays_until_it_is_not() {
    let (data, tools) = (folder(), folder());
    stand_in(tools.path(), SLOWLY);
    let settings = "[media]\nprepare_on_import = false\ncollect_after = 0\n";
    let daemon = Daemon::start_with_programs(data.path(), settings, tools.path());
    let [one, two] = [30, 31].map(|n| daemon.import(&clip(n, 400)));
    let channel = daemon.channel(&[&one, &two]);
    let other = daemon.channel(&[&two]);
    let resolution = |channel: &str, to: &str| {
        daemon.api(
            "PATCH",
            &format!("/channels/{channel}"),
            &json!({ "resolution": to }),
        );
    };
    until("both are prepared", BOUND, || {
        files(data.path(), "240p") == 2
    });
    resolution(&other, "360p");
    until("one is for the other", BOUND, || {
        files(data.path(), "360p") == 1
    });
    assert_eq!(files(data.path(), "240p"), 2, "the first channel needs it");
    runs(tools.path());
    resolution(&channel, "360p");
    until("what nobody needs is gone", BOUND, || {
        (files(data.path(), "360p"), files(data.path(), "240p")) == (2, 0)
    });
    assert_eq!(runs(tools.path()), 1, "what was missing");
    let ready = |media: &str| {
        let item = daemon.get(&format!("/media/{media}"));
        item["renditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|made| made["status"] == "ready")
    };

    daemon.on_air(&channel);
    let shown = || daemon.get(&format!("/channels/{channel}/status"))["onAir"]["mediaId"].clone();
    until("the first is on air", BOUND, || shown() == one.as_str());
    let path = format!("/channels/{channel}/rotation");
    daemon.api("PUT", &path, &json!({ "items": [{ "mediaId": two }] }));
    until("the other is on air", BOUND, || {
        let before = shown();
        let there = ready(&one);
        // What was on air before that look and is after it was in between.
        assert!(there || before != one.as_str() || shown() != one.as_str());
        before == two.as_str()
    });
    until("the first is gone", BOUND, || !ready(&one));
    assert!(ready(&two));
    assert_eq!(daemon.status(&channel), "LIVE");
}
