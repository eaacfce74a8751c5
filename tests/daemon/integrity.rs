//! What is damaged, forged or lost is found and named, and nobody else is the worse for it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use playout_store::embedded::{Embedded, EmbeddedConfig, Which};
use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::viewer::Viewer;

/// Another command of the program, on the data folder.
fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playoutd"));
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    command(data, arguments).output().unwrap()
}

/// What `verify` says of each fault; its exit code has to fit.
fn faults(data: &Path) -> Vec<Value> {
    let output = run(data, &["verify", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let faults = found["faults"].as_array().unwrap().clone();
    assert_eq!(found["ok"], faults.is_empty());
    assert_eq!(output.status.code(), Some(i32::from(!faults.is_empty())));
    faults
}

/// SQL on the private database of a daemon that runs.
fn sql(data: &Path, sql: &str) -> String {
    let output = Command::new("psql")
        .arg("-h")
        .arg(data.join("run/postgres"))
        .args([
            "-U",
            "playoutd",
            "-d",
            "playoutd",
            "-Atq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A channel with one destination and its key.
fn keyed(daemon: &Daemon, name: &str) -> String {
    let destination = json!({ "serverUrl": "rtmp://live.example.com/app", "streamKey": "sesame" });
    let config = json!({ "name": name, "resolution": "240p", "rtmpDestinations": [destination] });
    let channel = daemon.post("/channels", &config);
    channel["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_damaged_channel_stays_off_air_and_the_others_go_on() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(1, 200));
    let (whole, damaged) = (daemon.channel(&[&media]), daemon.channel(&[&media]));
    daemon.prepared(&media);
    daemon.on_air(&whole);
    daemon.on_air(&damaged);
    let damage = "UPDATE channels SET config = jsonb_set(config, '{bitrate}', '400001')";
    sql(data.path(), &format!("{damage} WHERE id = '{damaged}'"));
    daemon.signal("KILL");
    daemon.ended();

    let again = Daemon::start(data.path(), "");
    until("the other channel is back on air", BOUND, || {
        again.status(&whole) == "LIVE"
    });
    let mut viewer = Viewer::of(&again, &whole);
    viewer.watch(8.0);
    viewer.judge();
    for (method, path) in [
        ("GET", String::new()),
        ("GET", "/status".to_owned()),
        ("GET", "/rotation".to_owned()),
        ("POST", "/start".to_owned()),
        ("PATCH", String::new()),
    ] {
        let headers = [("Content-Type", "application/json")];
        let body = if method == "PATCH" { "{}" } else { "" };
        let path = format!("/channels/{damaged}{path}");
        let answer = again.ask(method, &path, &headers, body.as_bytes());
        let problem = answer.json();
        assert_eq!(answer.status, 409, "{method} {path}: {problem}");
        assert_eq!(problem["type"], "urn:problem-type:playoutd:quarantined");
        let reason = problem["reason"].as_str().unwrap();
        assert!(reason.contains("do not match their digest"), "{reason}");
    }
    let listed = again.get("/channels");
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let ready = again.try_get("/readyz").unwrap();
    assert_eq!(
        (ready.status, &ready.json()["parts"]["quarantinedChannels"]),
        (200, &json!(1))
    );
    let hls = again
        .try_get(&format!("/hls/{damaged}/index.m3u8"))
        .unwrap();
    assert_eq!(hls.status, 404);
    let log = again.log();
    let mut errors = log.lines().filter(|line| line.contains("ERROR"));
    assert!(errors.any(|line| line.contains(&damaged) && line.contains("quarantined")));

    let alerts = |state: &str| {
        let found = again.get(&format!("/alerts?channel={damaged}&state={state}"));
        found["items"].as_array().unwrap().clone()
    };
    let raised = alerts("open");
    assert_eq!(raised.len(), 1, "{raised:?}");
    assert_eq!(raised[0]["kind"], "channel.quarantined");

    let found = faults(data.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["kind"], &found[0]["channelId"]),
        (&json!("channel"), &json!(damaged))
    );
    again.api("DELETE", &format!("/channels/{damaged}"), &Value::Null);
    assert_eq!(
        again
            .ask("GET", &format!("/channels/{damaged}"), &[], b"")
            .status,
        404
    );
    assert_eq!(faults(data.path()), [] as [Value; 0]);
    assert_eq!(alerts("open"), [] as [Value; 0]);
    assert_eq!(again.status(&whole), "LIVE");
}

#[test]
fn tampering_with_the_audit_is_named_while_the_daemon_runs_and_while_it_does_not() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    for n in 0..5 {
        keyed(&daemon, &format!("Channel {n}"));
    }
    assert_eq!(faults(data.path()), [] as [Value; 0]);
    sql(
        data.path(),
        "CREATE TABLE kept AS TABLE audit; CREATE TABLE kept_heads AS TABLE audit_heads",
    );
    // The admin token is the first entry, the five channels follow.
    let copy = "INSERT INTO audit SELECT client_id, 7, at, actor, token_id, operation, subject_kind, subject_id, detail, hash";
    let tampered = [
        (
            "UPDATE audit SET detail = '{}' WHERE seq = 3".to_owned(),
            "changed",
            3,
        ),
        ("DELETE FROM audit WHERE seq = 2".to_owned(), "removed", 2),
        (format!("{copy} FROM audit WHERE seq = 6"), "inserted", 7),
        ("DELETE FROM audit WHERE seq > 4".to_owned(), "truncated", 5),
    ];
    for (tampering, fault, seq) in &tampered {
        sql(data.path(), tampering);
        let found = faults(data.path());
        assert_eq!(found.len(), 1, "{tampering}: {found:?}");
        assert_eq!(
            (&found[0]["fault"], &found[0]["seq"], &found[0]["client"]),
            (&json!(fault), &json!(seq), &json!("operator")),
            "{tampering}"
        );
        sql(
            data.path(),
            "TRUNCATE audit, audit_heads; INSERT INTO audit TABLE kept; INSERT INTO audit_heads TABLE kept_heads",
        );
    }
    let told = run(data.path(), &["verify"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("Looked at 5 channels, 5 sealed secrets, 6 entries"),
        "{told}"
    );

    // The same database, as one that is configured.
    let socket = data.path().join("run/postgres");
    let socket = socket.to_str().unwrap().replace('/', "%2F");
    let config = data.path().with_extension("configured.toml");
    let url = format!("[database]\nurl = \"postgresql://playoutd@{socket}/playoutd\"\n");
    fs::write(&config, url).unwrap();
    let configured = run(
        data.path(),
        &["verify", "--config", config.to_str().unwrap()],
    );
    assert_eq!(String::from_utf8(configured.stdout).unwrap(), told);
    fs::remove_file(config).unwrap();

    // Cut, and the head turned back to fit: what the daemon exported at its end tells.
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let exported = data.path().join("audit-heads.jsonl");
    let text = fs::read_to_string(&exported).unwrap();
    assert!(text.lines().last().unwrap().contains("\"seq\":6"), "{text}");
    let mode = fs::metadata(exported).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(faults(data.path()), [] as [Value; 0], "without a daemon");
    drop(daemon);
    let again = Daemon::start(data.path(), "");
    sql(
        data.path(),
        "DELETE FROM audit WHERE seq > 4; UPDATE audit_heads SET (seq, hash) = (SELECT seq, hash FROM audit WHERE seq = 4)",
    );
    for running in [true, false] {
        if !running {
            again.signal("KILL");
            again.ended();
        }
        let found = faults(data.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (&found[0]["fault"], &found[0]["seq"]),
            (&json!("truncated"), &json!(5))
        );
    }
    drop(again);
    // A start says so, too.
    let third = Daemon::start(data.path(), "");
    until("the log tells of it", BOUND, || {
        third.log().contains("the audit was tampered with")
    });
}

/// Everything in the private database of a daemon that does not run.
fn dump(data: &Path) -> String {
    let wanted = EmbeddedConfig {
        which: Which::OnlyPostgres,
        ..EmbeddedConfig::new(data)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let postgres = Embedded::start(&wanted).await.unwrap();
        let output = Command::new("pg_dump")
            .arg("--inserts")
            .arg(postgres.database_url().unwrap())
            .output()
            .unwrap();
        postgres.stop().await;
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer pg_dumps guard their output with a random word.
        let lines = text.lines().filter(|line| !line.starts_with('\\'));
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// The exit code of a start that is to fail, and what it says.
fn refusal(data: &Path) -> (Option<i32>, String) {
    let log = data.with_extension("refusal");
    let mut child = command(data, &["serve", "--bind", "127.0.0.1:0"])
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    let mut ended = child.try_wait().unwrap();
    while ended.is_none() && begun.elapsed() < BOUND {
        std::thread::park_timeout(std::time::Duration::from_millis(20));
        ended = child.try_wait().unwrap();
    }
    let _ = child.kill();
    let _ = child.wait();
    let told = fs::read_to_string(&log).unwrap();
    fs::remove_file(log).unwrap();
    (ended.and_then(|status| status.code()), told)
}

#[test]
fn a_wrong_key_ends_the_start_before_anything_is_written() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    keyed(&daemon, "One");
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    drop(daemon);
    let key = data.path().join("master.key");
    let right = fs::read_to_string(&key).unwrap();
    let before = dump(data.path());
    let cases = [
        (
            Some("0".repeat(64)),
            0o600,
            "is not the one that the database is sealed with",
        ),
        (
            Some(right.clone()),
            0o644,
            "may be read by others (mode 0644)",
        ),
        (
            Some("no key".to_owned()),
            0o600,
            "does not hold 64 hexadecimal digits",
        ),
        (None, 0, "is missing"),
    ];
    for (text, mode, sentence) in cases {
        match &text {
            Some(text) => {
                fs::write(&key, text).unwrap();
                fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            }
            None => fs::remove_file(&key).unwrap(),
        }
        let (code, told) = refusal(data.path());
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(sentence), "{told}");
        assert_eq!(dump(data.path()), before, "{sentence}");
        assert_eq!(fs::read_to_string(&key).ok(), text);
    }
    fs::write(&key, right).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    drop(Daemon::start(data.path(), ""));
    assert_eq!(faults(data.path()), [] as [Value; 0]);
}

/// Runs `rotate-key` and kills it when it has said `words`; answers whether it was killed.
fn rotate_until(data: &Path, words: &str) -> bool {
    let mut child = command(data, &["rotate-key"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        if line.unwrap().contains(words) {
            let _ = child.kill();
            break;
        }
    }
    !child.wait().unwrap().success()
}

#[test]
fn the_key_is_rotated_under_a_live_channel_however_often_it_is_killed() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&clip(2, 200));
    let live = daemon.channel(&[&media]);
    for n in 0..120 {
        keyed(&daemon, &format!("Channel {n}"));
    }
    daemon.prepared(&media);
    daemon.on_air(&live);
    let mut viewer = Viewer::of(&daemon, &live);
    viewer.watch(4.0);
    let key = data.path().join("master.key");
    let old = fs::read_to_string(&key).unwrap();
    for words in ["was made", "seals from now on", "sealed anew"] {
        assert!(rotate_until(data.path(), words), "killed at {words:?}");
        // In between everything opens, new secrets are sealed, and the channel is on air.
        assert_eq!(faults(data.path()), [] as [Value; 0], "killed at {words:?}");
        assert_eq!(fs::read_to_string(&key).unwrap().lines().count(), 2);
        keyed(&daemon, "Between");
        viewer.look();
    }
    let finished = run(data.path(), &["rotate-key"]);
    let told = String::from_utf8(finished.stdout).unwrap();
    assert!(finished.status.success(), "{told}");
    assert!(
        told.starts_with("A rotation that was cut short goes on."),
        "{told}"
    );
    let new = fs::read_to_string(&key).unwrap();
    assert!(new.lines().count() == 1 && !old.contains(new.trim()));
    keyed(&daemon, "Afterwards");
    assert_eq!(faults(data.path()), [] as [Value; 0]);
    let sealed = "SELECT count(DISTINCT substring(stream_key FROM 2 FOR 8)), count(*) FROM rtmp_destinations";
    assert_eq!(sql(data.path(), sealed), "1|124");
    let seen = viewer.seconds;
    viewer.watch(seen + 8.0);
    viewer.judge();
    assert_eq!(viewer.discontinuities, 0);

    // The next start has the new key alone; and without a daemon it is rotated just so.
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    drop(daemon);
    assert!(run(data.path(), &["rotate-key"]).status.success());
    let again = Daemon::start(data.path(), "");
    until("the channel is back on air", BOUND, || {
        again.status(&live) == "LIVE"
    });
    assert_eq!(faults(data.path()), [] as [Value; 0]);
}

#[test]
fn a_credential_is_the_key_and_no_other_is_made() {
    let data = folder();
    let credentials = folder();
    let credential = credentials.path().join("master.key");
    fs::write(&credential, format!("{}\n", "7".repeat(64))).unwrap();
    // As systemd gives it to a service that is not root's.
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
    let environment = [("CREDENTIALS_DIRECTORY", credentials.path())];
    let daemon = Daemon::start_in(data.path(), "", &[], &environment);
    keyed(&daemon, "One");
    assert!(!data.path().join("master.key").exists());
    let with = |arguments: &[&str]| {
        let mut command = command(data.path(), arguments);
        command.envs(environment).output().unwrap()
    };
    assert!(with(&["verify"]).status.success());
    let refused = with(&["rotate-key"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("systemd credential") && told.contains("openssl rand -hex 32"),
        "{told}"
    );
    // Without the credential there is no key, and none is made.
    let told = String::from_utf8(run(data.path(), &["verify"]).stdout).unwrap();
    assert!(told.contains("is not there"), "{told}");
    assert!(!data.path().join("master.key").exists());
}
