//! A process that runs away, and a disk that fills up: both are mended, and viewers see nothing of either.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, is_running, until};
use super::servers::SmallDisk;
use super::viewer::Viewer;

/// An `ffmpeg` of the test's own, beside which `here` lies.
pub fn stand_in(folder: &Path, script: &str) {
    let program = folder.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\nhere=$(dirname \"$0\")\nPATH=${{PATH#*:}}\n{script}\nexec ffmpeg \"$@\"\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A source of a live channel misbehaves as `script` says, once; it is replaced for `reason`, and nobody sees it.
fn a_source_that_misbehaves_is_replaced(script: &str, reason: &str) {
    let (data, tools) = (folder(), folder());
    let once = format!(
        "case \"$*\" in *'-c copy'*) if rm \"$here/bad\" 2>/dev/null; then echo $$ > \"$here/pid\"\n{script}\nfi;; esac"
    );
    stand_in(tools.path(), &once);
    let settings = "[limits]\nsource_cpu = 20\ncpu_window = 4\nsource_memory = 134217728\n";
    let daemon = Daemon::start_with_programs(data.path(), settings, tools.path());
    let media = daemon.import(&clip(3, 300));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.watch(4.0);
    fs::write(tools.path().join("bad"), "").unwrap();
    let history = format!("/channels/{channel}/history");
    viewer.follow("it is ended for its reason", BOUND, |_| {
        let told = daemon.get(&history)["items"].to_string();
        told.contains(reason)
    });
    let pid = fs::read_to_string(tools.path().join("pid")).unwrap();
    assert!(!is_running(pid.trim().parse().unwrap()));
    let seen = viewer.seconds;
    viewer.watch(seen + 16.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_eq!(daemon.status(&channel), "LIVE");
}

#[test]
fn a_source_that_spins_while_it_delivers_is_replaced_and_nobody_sees_it() {
    let spins = "ffmpeg \"$@\" &\nwhile :; do :; done";
    let reason = "ran away: it used more than 20 % of a core for 4 s";
    a_source_that_misbehaves_is_replaced(spins, reason);
}

#[test]
fn a_source_that_eats_memory_is_replaced_and_nobody_sees_it() {
    let eats = "exec perl -e 'push @a, \"x\" x (1 << 20) while 1'";
    let reason = "used more memory than its limit of 128 MiB";
    a_source_that_misbehaves_is_replaced(eats, reason);
}

const MIB: u64 = 1 << 20;

/// Takes room on the disk of `folder` until `mib` MiB are free.
fn leave_free(folder: &Path, mib: u64) {
    let told = Command::new("df")
        .args(["-B1", "--output=avail"])
        .arg(folder)
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let free: u64 = told.lines().last().unwrap().trim().parse().unwrap();
    let path = folder.join(format!("filler-{mib}"));
    // In pages that nobody writes: a small disk is memory.
    File::create(&path).unwrap();
    let taken = Command::new("fallocate")
        .args(["-l", &(free - mib * MIB).to_string()])
        .arg(&path)
        .status();
    assert!(taken.unwrap().success());
}

fn stage(daemon: &Daemon) -> Value {
    let ready = daemon.try_get("/readyz").expect("an answer").json();
    ready["parts"]["diskStage"].clone()
}

/// The segments of a channel's spool.
fn spooled(data: &Path, channel: &str) -> usize {
    let spool = fs::read_dir(data.join(format!("channels/{channel}/spool"))).unwrap();
    let names = spool.flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".ts"))
        .count()
}

/// What lies half made in the library.
pub fn half_made(data: &Path) -> usize {
    let folders = fs::read_dir(data.join("media/prepared")).into_iter();
    let folders = folders.flatten().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    files
        .filter(|file| file.file_name().to_string_lossy().ends_with(".part"))
        .count()
}

#[test]
fn a_disk_that_fills_up_costs_spool_then_preparing_then_an_alert_and_never_a_segment() {
    let (data, tools) = (folder(), folder());
    let Some(disk) = SmallDisk::over(data.path(), 900) else {
        return;
    };
    stand_in(
        tools.path(),
        "case \"$*\" in *-progress*libx264*) [ -e \"$here/slow\" ] && exec ffmpeg -readrate 0.3 \"$@\";; esac",
    );
    let settings = "[hls]\ntarget_duration = 2\nwindow = 6\n[disk]\ntrim_spool_below = 314572800\n\
                    pause_prepare_below = 209715200\nalert_below = 104857600\n";
    let daemon = Daemon::start_with_programs(data.path(), settings, tools.path());
    let media = daemon.import(&clip(3, 300));
    let channel = daemon.channel(&[&media]);
    daemon.prepared(&media);
    daemon.on_air(&channel);
    let mut viewer = Viewer::of(&daemon, &channel);
    viewer.follow("there is spool behind the window", BOUND, |_| {
        spooled(data.path(), &channel) > 9
    });
    assert_eq!(stage(&daemon), "roomy");

    leave_free(data.path(), 280);
    viewer.follow("the oldest spool is removed", BOUND, |_| {
        // A segment or two came since.
        stage(&daemon) == "spool" && spooled(data.path(), &channel) <= 8
    });
    assert!(spooled(data.path(), &channel) >= 6, "the window stays");

    fs::write(tools.path().join("slow"), "").unwrap();
    let slow = daemon.import(&clip(4, 900));
    let path = format!("/channels/{channel}/rotation");
    let items = json!({ "items": [{ "mediaId": media }, { "mediaId": slow }] });
    daemon.api("PUT", &path, &items);
    let rendition = || daemon.get(&format!("/media/{slow}"))["renditions"][0].clone();
    viewer.follow("it is being prepared", BOUND, |_| {
        rendition()["status"] == "preparing" && half_made(data.path()) == 1
    });
    // A channel off air needs it still.
    daemon.channel(&[&slow]);
    daemon.api("PUT", &path, &json!({ "items": [{ "mediaId": media }] }));
    leave_free(data.path(), 150);
    viewer.follow("preparing is paused", BOUND, |_| {
        stage(&daemon) == "prepare" && rendition()["status"] == "waiting"
    });
    until("nothing is left half made", BOUND, || {
        half_made(data.path()) == 0
    });
    let reason = rendition()["reason"].to_string();
    assert!(reason.contains("waits for room"), "{reason}");
    let alerts = |state: &str, kind: &str| {
        let all = daemon.get(&format!("/alerts?state={state}"))["items"].clone();
        let mut all = all.as_array().unwrap().iter();
        all.any(|alert| alert["kind"] == kind)
    };
    until("that is told", BOUND, || {
        alerts("open", "disk.preparing_paused")
    });
    assert!(!alerts("open", "disk.full"));
    let waits = daemon.get("/media/queue");
    assert_eq!(
        (&waits["waitsForRoom"], &waits["paused"]),
        (&json!(true), &json!(false))
    );

    leave_free(data.path(), 60);
    viewer.follow("it is an alert", BOUND, |_| {
        stage(&daemon) == "alert" && alerts("open", "disk.full")
    });
    viewer.follow("spool goes down to what a start begins with", BOUND, |_| {
        spooled(data.path(), &channel) <= 5
    });
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);

    fs::remove_file(tools.path().join("slow")).unwrap();
    for filler in [280, 150, 60] {
        fs::remove_file(data.path().join(format!("filler-{filler}"))).unwrap();
    }
    viewer.follow("there is room, and all goes on", BOUND * 2, |_| {
        let told = ["disk.preparing_paused", "disk.full"];
        let is_over = |kind| alerts("closed", kind) && !alerts("open", kind);
        stage(&daemon) == "roomy"
            && told.into_iter().all(is_over)
            && rendition()["status"] == "ready"
    });
    viewer.follow("the spool is whole again", BOUND, |_| {
        spooled(data.path(), &channel) > 9
    });
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);
    assert_eq!(daemon.status(&channel), "LIVE");
    let path = data.path().to_owned();
    drop(daemon);
    // The servers took their leave; what is left goes with the disk.
    drop(disk);
    until("the disk is gone", Duration::from_secs(10), || {
        fs::read_dir(&path).is_ok_and(|mut left| left.next().is_none())
    });
}
