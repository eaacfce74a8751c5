//! schemathesis asks the daemon for everything that its document allows, and for much that it does not: no answer may be one that
//! the document does not have, and none a fault of the daemon's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};

/// Names nothing.
const UNKNOWN: &str = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";

/// How it asks. With a seed, so that a fault that it finds is found again.
const ARGUMENTS: &[&str] = &[
    "--phases",
    "coverage,fuzzing",
    "--checks",
    "all",
    // What is valid may name what is not there, or what the state does not allow.
    "--exclude-checks",
    "positive_data_acceptance",
    // Playlists and pages have tests of their own.
    "--exclude-tag",
    "public",
    "--max-examples",
    "5",
    "--max-time",
    "100",
    "--seed",
    "1",
    // One after the other: what is deleted under a request is no fault, and Python's parser is not safe for threads.
    "--workers",
    "1",
    "--no-color",
];

/// What it does not know by itself.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/schemathesis.py");

/// Where `scripts/schemathesis.sh` puts it: beside what cargo builds.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_playoutd")).ancestors().nth(2);
    let program = target
        .expect("a target folder")
        .join("schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "{program:?} is not there: run scripts/install-deps.sh test"
    );
    program
}

/// What there is of each kind: one that is asked about, and some that may be deleted.
#[derive(Default)]
struct There {
    kept: BTreeMap<&'static str, String>,
    spare: BTreeMap<&'static str, (&'static str, Vec<String>)>,
}

impl There {
    /// Makes three of a kind.
    fn make(&mut self, name: &'static str, path: &'static str, made: impl Fn(usize) -> String) {
        let mut all: Vec<String> = (0..3).map(made).collect();
        self.kept.insert(name, all.remove(0));
        self.spare.insert(name, (path, all));
    }
}

fn id(made: &Value) -> String {
    made["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"))
        .to_owned()
}

fn furnish(daemon: &Daemon, films: &Path) -> There {
    let mut there = There::default();
    there.make("channelId", "/channels/{channelId}", |n| {
        let labels = json!({ "n": n.to_string() });
        id(&daemon.post(
            "/channels",
            &json!({ "name": "One", "resolution": "240p", "labels": labels }),
        ))
    });
    there.make("mediaId", "/media/{mediaId}", |n| {
        let film = films.join(format!("{n}.mp4"));
        std::fs::copy(clip(n as u32 + 1, 150), &film).expect("a film");
        daemon.import(&film)
    });
    there.make("alertRouteId", "/alert-routes/{alertRouteId}", |_| {
        let route = json!({ "type": "webhook", "url": "https://hooks.example.com/playout" });
        id(&daemon.post("/alert-routes", &route))
    });
    there.make("tokenId", "/tokens/{tokenId}", |_| {
        id(&daemon.post("/tokens", &json!({ "name": "wall", "scopes": ["read"] })))
    });
    there.make("clientId", "/clients/{clientId}", |n| {
        id(&daemon.post(
            "/clients",
            &json!({ "name": n.to_string(), "plan": "basic" }),
        ))
    });
    there.make("watchedFolderId", "/media/watched/{watchedFolderId}", |n| {
        let folder = films.join(format!("in-{n}"));
        std::fs::create_dir(&folder).expect("a folder");
        id(&daemon.post("/media/watched", &json!({ "path": folder })))
    });
    there.make("uploadId", "/media/uploads/{uploadId}", |_| {
        let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "100")];
        let begun = daemon.ask("POST", "/media/uploads", &headers, b"");
        begun.headers["location"]
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    there.make("webhookId", "/webhooks/{webhookId}", |_| {
        let hook = json!({ "url": "https://hooks.example.com/tv", "events": ["*"] });
        id(&daemon.post("/webhooks", &hook))
    });
    there.make("importId", "/media/imports/{importId}", |n| {
        let film = json!({ "url": format!("https://films.example.com/{n}.mp4") });
        id(&daemon.post("/media", &film))
    });
    let (channel, media) = (&there.kept["channelId"], &there.kept["mediaId"]);
    let headers = [("Content-Type", "application/x-subrip")];
    let srt = b"1\n00:00:01,000 --> 00:00:02,000\nGood evening.\n";
    let attached = daemon.ask(
        "PUT",
        &format!("/media/{media}/subtitles/en"),
        &headers,
        srt,
    );
    assert_eq!(attached.status, 201, "{}", attached.text());
    let destination = daemon.post(
        &format!("/channels/{channel}/destinations"),
        &json!({ "serverUrl": "rtmp://live.example.com/app" }),
    );
    let slot = daemon.post(
        &format!("/channels/{channel}/slots"),
        &json!({ "at": "2030-01-31T20:15:00Z", "items": [{ "mediaId": media }] }),
    );
    // What is told of it: an alert, of a folder that is gone, with its delivery, and what the webhook is told.
    let gone = films.join("gone");
    std::fs::create_dir(&gone).expect("a folder");
    daemon.post("/media/watched", &json!({ "path": gone }));
    std::fs::remove_dir(&gone).expect("it goes");
    let one_of = |list: &str| {
        let mut one = Value::Null;
        until(list, BOUND, || {
            one = daemon.get(list)["items"][0].clone();
            one["id"].is_string()
        });
        id(&one)
    };
    let told = one_of(&format!("/webhooks/{}/deliveries", there.kept["webhookId"]));
    let (alert, delivery) = (one_of("/alerts"), one_of("/alert-deliveries"));
    there.kept.insert("webhookDeliveryId", told);
    there.kept.insert("alertId", alert);
    there.kept.insert("deliveryId", delivery);
    there.kept.insert("destinationId", id(&destination));
    there.kept.insert("slotId", id(&slot));
    there
}

/// What schemathesis puts into paths: mostly what is there, and what may go where something is deleted.
fn settings(daemon: &Daemon, there: &There) -> String {
    let mut toml = format!(
        "base-url = \"http://{}/api/v1\"\nhooks = {HOOKS:?}\n[headers]\nAuthorization = \"Bearer {}\"\n",
        daemon.address(),
        daemon.token()
    );
    // A version is compared before a body is read: 412 is a refusal, too.
    for check in ["negative_data_rejection", "missing_required_header"] {
        let refusals = [
            400, 401, 402, 403, 404, 405, 408, 409, 412, 413, 415, 422, 503,
        ];
        let _ = writeln!(
            toml,
            "[checks.{check}]\nexpected-statuses = {}",
            json!(refusals)
        );
    }
    // What is not available says so; all other faults are the daemon's.
    toml.push_str(
        "[checks.not_a_server_error]\nexpected-statuses = [\"2XX\", \"3XX\", \"4XX\", 503]\n",
    );
    // Nothing else is asked about than what is made for it.
    toml.push_str("[phases.coverage.extra-data-sources]\nresponses = false\n");
    let mut dictionary = |name: &str, values: &[&str]| {
        let _ = writeln!(toml, "[dictionaries.{name}]\nvalues = {}", json!(values));
    };
    // Whose pictures nobody makes large, for it goes on air.
    let operated = there.spare["channelId"].1[0].as_str();
    dictionary("operated", &[operated]);
    for (name, id) in &there.kept {
        dictionary(name, &[id, UNKNOWN]);
    }
    for (name, (_, ids)) in &there.spare {
        let last = ids.last().map_or(UNKNOWN, |id| id);
        dictionary(&format!("spare-{name}"), &[last, UNKNOWN]);
    }
    toml.push_str("[parameters]\n");
    for name in there.kept.keys() {
        let _ = writeln!(
            toml,
            "\"path.{name}\" = {{ dictionary = \"{name}\", probability = 0.8 }}"
        );
    }
    for (name, (path, _)) in &there.spare {
        let _ = writeln!(
            toml,
            "[[operations]]\ninclude-path = \"{path}\"\ninclude-method = \"DELETE\"\n\
             parameters = {{ \"path.{name}\" = {{ dictionary = \"spare-{name}\", probability = 0.9 }} }}"
        );
    }
    toml.push_str(
        "[[operations]]\ninclude-path-regex = \"^/channels/.channelId./(start|stop|restart|skip|play)$\"\n\
         parameters = { \"path.channelId\" = { dictionary = \"operated\", probability = 0.8 } }\n",
    );
    toml
}

/// Whether something was asked of an operation, by the report.
fn was_asked(report: &str, operation: &str) -> bool {
    let begin = format!("<testcase name=\"{operation}\"");
    let Some((_, rest)) = report.split_once(&*begin) else {
        return false;
    };
    let case = rest.split("<testcase").next().unwrap_or_default();
    !case.contains("<skipped")
}

#[test]
fn schemathesis_finds_no_fault_and_no_answer_that_the_document_does_not_have() {
    let program = program();
    let (data, films) = (folder(), folder());
    let daemon = Daemon::start(
        data.path(),
        &format!(
            "[media]\nprepare_on_import = false\nroots = [{:?}]\n",
            films.path()
        ),
    );
    let there = furnish(&daemon, films.path());
    let config = films.path().join("schemathesis.toml");
    std::fs::write(&config, settings(&daemon, &there)).expect("writes its settings");
    let document = format!("http://{}/api/v1/openapi.json", daemon.address());
    let report = films.path().join("report.xml");
    let run = Command::new(program)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &document])
        .args(ARGUMENTS)
        .arg("--report-junit-path")
        .arg(&report)
        .current_dir(films.path())
        .output()
        .expect("schemathesis runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let report = std::fs::read_to_string(report).expect("a report");
    let document = daemon.get("/openapi.json");
    let paths = document["paths"].as_object().expect("paths").iter();
    // The document itself it has read before it asks.
    let paths = paths.filter(|(path, _)| *path != "/openapi.json");
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flat_map(|item| item.keys());
        let methods = methods.filter(|name| *name != "parameters");
        // What is outside the API is for viewers and for balancers.
        let methods = methods.filter(|name| item[name.as_str()]["servers"].is_null());
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let unasked: Vec<String> = operations
        .filter(|operation| !was_asked(&report, operation))
        .collect();
    assert!(unasked.is_empty(), "not asked: {unasked:?}");
}
