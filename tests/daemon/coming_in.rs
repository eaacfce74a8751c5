//! Files that are fetched by URL or come into a watched folder, and what is said about items and found by it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::caller::Caller;
use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};

const OPEN: &str =
    "[media]\nprepare_on_import = false\nallow_private_urls = true\nwatch_settle = 1\n";

/// A server of one answer, which holds back what follows `hold` until it is let go.
struct Server {
    address: SocketAddr,
    go: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(head: &str, body: Vec<u8>, hold: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let go = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let (head, gone, count) = (head.to_owned(), Arc::clone(&go), Arc::clone(&asked));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (head, body, go) = (head.clone(), body.clone(), Arc::clone(&gone));
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(head.as_bytes());
                    let hold = hold.min(body.len());
                    let _ = stream.write_all(&body[..hold]);
                    while hold < body.len() && !go.load(Ordering::SeqCst) {
                        std::thread::park_timeout(std::time::Duration::from_millis(20));
                    }
                    let _ = stream.write_all(&body[hold..]);
                });
            }
        });
        Self { address, go, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Waits until an import by URL has ended, and answers it.
fn ended(daemon: &Daemon, id: &str) -> Value {
    let path = format!("/media/imports/{id}");
    let mut view = Value::Null;
    until("the import has ended", BOUND, || {
        view = daemon.get(&path);
        view["state"] == "done" || view["state"] == "failed"
    });
    view
}

fn fetch(daemon: &Daemon, url: &str) -> String {
    let begun = daemon.post(
        "/media",
        &json!({ "url": url, "details": { "tags": ["Fetched"] } }),
    );
    begun["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_file_is_fetched_by_url_and_a_daemon_that_was_killed_begins_it_again() {
    let data = folder();
    let bytes = std::fs::read(clip(1, 250)).unwrap();
    let server = Server::start("200 OK", bytes.clone(), 50_000);
    let daemon = Daemon::start(data.path(), OPEN);
    let id = fetch(&daemon, &server.url("/films/night%20train.mp4?key=1"));
    let received =
        |daemon: &Daemon| daemon.get(&format!("/media/imports/{id}"))["received"].as_u64();
    until("some of it is there", BOUND, || {
        received(&daemon) >= Some(30_000)
    });
    assert_eq!(daemon.get("/media/storage")["arrivingBytes"], bytes.len());
    daemon.signal("KILL");
    daemon.ended();
    drop(daemon);
    let daemon = Daemon::start(data.path(), OPEN);
    until("it is asked again", BOUND, || {
        server.asked.load(Ordering::SeqCst) == 2
    });
    server.go.store(true, Ordering::SeqCst);
    let view = ended(&daemon, &id);
    assert_eq!(view["state"], "done", "{view}");
    // What follows the question mark may be a password.
    assert_eq!(view["url"], server.url("/films/night%20train.mp4"));
    let item = daemon.get(&format!("/media/{}", view["mediaId"].as_str().unwrap()));
    assert_eq!(item["tags"], json!(["fetched"]));
    assert_eq!(
        std::fs::read(item["path"].as_str().unwrap()).unwrap(),
        bytes
    );
    assert_eq!(daemon.get("/media/imports")["items"][0]["id"], id.as_str());
    daemon.api("DELETE", &format!("/media/imports/{id}"), &Value::Null);
    assert_eq!(daemon.get("/media/imports")["items"], json!([]));
    assert_eq!(daemon.get("/media/storage")["items"], 1);
}

#[test]
fn an_import_by_url_does_not_expire_while_it_waits_or_runs() {
    let data = folder();
    let bytes = std::fs::read(clip(1, 50)).unwrap();
    let server = Server::start("200 OK", bytes, 5_000);
    let daemon = Daemon::start(data.path(), &format!("{OPEN}upload_expiry = 2\n"));
    let ids: Vec<_> = (0..6)
        .map(|n| fetch(&daemon, &server.url(&format!("/{n}.mp4"))))
        .collect();
    let view = |id: &String| daemon.get(&format!("/media/imports/{id}"));
    let expires = |id: &String| -> Timestamp {
        let at = view(id)["expiresAt"].as_str().unwrap().to_owned();
        at.parse().unwrap()
    };
    let first: Vec<_> = ids.iter().map(expires).collect();
    // Kept beyond when they would be gone.
    until("all of them are kept on", BOUND, || {
        let mut both = ids.iter().map(expires).zip(&first);
        both.all(|(now, first)| now.duration_since(*first) > SignedDuration::from_secs(3))
    });
    assert_eq!(server.asked.load(Ordering::SeqCst), 5, "one waits");
    assert!(daemon.get("/media/storage")["arrivingBytes"].as_u64() > Some(0));
    daemon.api(
        "DELETE",
        &format!("/media/imports/{}", ids[5]),
        &Value::Null,
    );
    server.go.store(true, Ordering::SeqCst);
    let done = |id: &String| {
        let view = daemon.ask("GET", &format!("/media/imports/{id}"), &[], b"");
        // What has ended is told for so long.
        view.status == 404 || view.json()["state"] == "done"
    };
    until("the others are items", BOUND, || ids[..5].iter().all(done));
    assert_eq!(daemon.get("/media/storage")["items"], 1, "all are one film");
}

#[test]
fn a_download_that_takes_too_long_as_a_whole_fails() {
    let data = folder();
    let bytes = std::fs::read(clip(1, 50)).unwrap();
    let server = Server::start("200 OK", bytes, 5_000);
    let daemon = Daemon::start(data.path(), &format!("{OPEN}fetch_time = 1\n"));
    let id = fetch(&daemon, &server.url("/slow.mp4"));
    let view = ended(&daemon, &id);
    assert_eq!(
        (&view["state"], &view["reason"]),
        (&json!("failed"), &json!("it did not come within 1 s."))
    );
    assert_eq!(view["received"], 0);
    let left = std::fs::read_dir(data.path().join("media/uploads")).unwrap();
    assert_eq!(left.count(), 0);
    let storage = daemon.get("/media/storage");
    assert_eq!(
        (&storage["items"], &storage["arrivingBytes"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn playlists_packed_files_and_private_addresses_are_refused() {
    let data = folder();
    let daemon = Daemon::start(data.path(), OPEN);
    let film = std::fs::read(clip(2, 50)).unwrap();
    let playlist = format!(
        "#EXTM3U\n{}",
        "#EXTINF:4,\nfile:///etc/passwd\n".repeat(1000)
    );
    for (head, body, said) in [
        (
            "200 OK\r\nContent-Encoding: gzip",
            film.clone(),
            "coded as gzip",
        ),
        (
            "200 OK\r\nContent-Type: application/vnd.apple.mpegurl",
            film.clone(),
            "playlist",
        ),
        (
            "200 OK\r\nContent-Type: video/mp4",
            playlist.into_bytes(),
            "playlist",
        ),
        ("404 Not Found", Vec::new(), "404"),
        (
            "302 Found\r\nLocation: file:///etc/passwd",
            Vec::new(),
            "leads to a URL that",
        ),
        ("200 OK", b"not much".to_vec(), "text"),
    ] {
        let server = Server::start(head, body, usize::MAX);
        let view = ended(&daemon, &fetch(&daemon, &server.url("/a.mp4")));
        assert_eq!(view["state"], "failed", "{view}");
        let reason = view["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{reason}");
    }
    assert_eq!(
        std::fs::read_dir(data.path().join("media/uploads"))
            .unwrap()
            .count(),
        0
    );
    drop(daemon);
    let daemon = Daemon::start(data.path(), "");
    for url in [
        "http://127.0.0.1/a.mp4",
        "http://[::1]/a",
        "http://localhost/a",
        "ftp://example.com/a",
        "http://u:p@example.com/a",
        "",
    ] {
        let body = json!({ "url": url }).to_string();
        let answer = daemon.ask(
            "POST",
            "/media",
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 422, "{url}: {}", answer.text());
    }
}

fn titles(daemon: &Daemon, query: &str) -> Vec<String> {
    let found = daemon.get(&format!("/media?{query}"));
    let items = found["items"].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["title"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_watched_folder_gives_its_files_when_they_are_whole_and_loses_nothing_when_it_disappears() {
    let data = folder();
    let place = folder();
    let watched = place.path().join("in");
    std::fs::create_dir(&watched).unwrap();
    let daemon = Daemon::start(data.path(), OPEN);
    let view = daemon.post("/media/watched", &json!({ "path": watched }));
    let path = format!("/media/watched/{}", view["id"].as_str().unwrap());
    let state = |daemon: &Daemon| {
        daemon.get(&path)["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let bytes = std::fs::read(clip(3, 100)).unwrap();
    std::fs::write(watched.join("a.mp4"), &bytes).unwrap();
    std::fs::write(
        watched.join("letter.mp4"),
        "Dear Sir or Madam, this is a letter.",
    )
    .unwrap();
    std::fs::copy(clip(4, 50), watched.join("b.mp4")).unwrap();
    until("both are items", BOUND, || {
        titles(&daemon, "sort=title") == ["a", "b"]
    });
    until("the letter is refused", BOUND, || {
        daemon.get(&path)["refused"][0]["reason"].is_string()
    });
    let item =
        |daemon: &Daemon, word: &str| daemon.get(&format!("/media?q={word}"))["items"][0].clone();
    let a = item(&daemon, "a");
    assert!(a["sha256"].is_string());
    // Moved, it stays the item that it was.
    std::fs::create_dir(watched.join("deeper")).unwrap();
    std::fs::rename(watched.join("a.mp4"), watched.join("deeper/c.mp4")).unwrap();
    until("the item has moved", BOUND, || {
        item(&daemon, "a")["path"]
            .as_str()
            .unwrap()
            .ends_with("deeper/c.mp4")
    });
    assert_eq!(item(&daemon, "a")["id"], a["id"]);
    // Deleted, its item says so; put back, it is there again.
    std::fs::remove_file(watched.join("b.mp4")).unwrap();
    until("b is missed", BOUND, || {
        item(&daemon, "b")["missingSince"].is_string()
    });
    std::fs::copy(clip(4, 50), watched.join("b.mp4")).unwrap();
    until("b is back", BOUND, || {
        item(&daemon, "b")["missingSince"].is_null()
    });
    // The folder disappears, as a disk does: nothing is missed.
    std::fs::rename(&watched, place.path().join("away")).unwrap();
    until("the folder is missed", BOUND, || {
        state(&daemon) == "missing"
    });
    let alerts = |daemon: &Daemon, state: &str| {
        let all = daemon.get(&format!("/alerts?state={state}"))["items"].clone();
        let all = all.as_array().unwrap().iter();
        let mut of_folder = all.filter(|alert| alert["kind"] == "media.folder_missing");
        of_folder.any(|alert| alert["watchedFolderId"] == view["id"])
    };
    until("it is told", BOUND, || alerts(&daemon, "open"));
    std::fs::create_dir(&watched).unwrap();
    daemon.signal("KILL");
    daemon.ended();
    drop(daemon);
    // A daemon that starts over the empty place of a disk.
    let daemon = Daemon::start(data.path(), OPEN);
    until("it is missed still", BOUND, || state(&daemon) == "missing");
    std::fs::remove_dir(&watched).unwrap();
    std::fs::rename(place.path().join("away"), &watched).unwrap();
    until("it is there again", BOUND, || state(&daemon) == "watching");
    until("with its files", BOUND, || daemon.get(&path)["files"] == 3);
    until("that is told, too", BOUND, || {
        alerts(&daemon, "closed") && !alerts(&daemon, "open")
    });
    for word in ["a", "b"] {
        assert!(item(&daemon, word)["missingSince"].is_null());
    }
    assert_eq!(titles(&daemon, "sort=title"), ["a", "b"]);
    daemon.api("DELETE", &path, &Value::Null);
    assert_eq!(daemon.get("/media/watched")["items"], json!([]));
    let refused = |path: &Path| {
        let body = json!({ "path": path }).to_string();
        daemon
            .ask(
                "POST",
                "/media/watched",
                &[("Content-Type", "application/json")],
                body.as_bytes(),
            )
            .status
    };
    assert_eq!(refused(&place.path().join("nowhere")), 422);
    assert_eq!(refused(&watched.join("b.mp4")), 422);
    assert_eq!(refused(data.path()), 422);
}

#[test]
fn a_file_in_a_watched_folder_is_not_looked_into_while_it_grows() {
    let (data, watched) = (folder(), folder());
    let settings = "[media]\nprepare_on_import = false\nwatch_settle = 10\n";
    let daemon = Daemon::start(data.path(), settings);
    let view = daemon.post("/media/watched", &json!({ "path": watched.path() }));
    let path = format!("/media/watched/{}", view["id"].as_str().unwrap());
    let mut events = daemon.events("");
    let bytes = std::fs::read(clip(3, 100)).unwrap();
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let mut growing = std::fs::File::create(watched.path().join("a.mp4")).unwrap();
    growing.write_all(half).unwrap();
    until("it has been seen", BOUND, || {
        daemon.get(&path)["settling"] == true
    });
    // Something else happens, and the folder is looked at again.
    let before = daemon.get(&path)["lookedAt"].clone();
    std::fs::write(watched.path().join("b.mp4"), "another that grows").unwrap();
    until("it has been seen again", BOUND, || {
        daemon.get(&path)["lookedAt"] != before
    });
    std::fs::remove_file(watched.path().join("b.mp4")).unwrap();
    growing.write_all(rest).unwrap();
    drop(growing);
    until("it is an item", BOUND, || {
        let told = events.next().map(|event| event.kind);
        // Half of it is no video.
        assert_ne!(told.as_deref(), Some("media.refused"));
        told.as_deref() == Some("media.imported")
    });
    let item = &daemon.get("/media")["items"][0];
    assert_eq!(item["size"], bytes.len());
}

#[test]
fn items_are_described_by_patches_of_their_version_and_found_by_what_is_said() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let ids = [1, 2].map(|seed| daemon.import(&clip(seed, 50)));
    let path = format!("/media/{}", ids[0]);
    let patch = |version: &str, patch: &Value| {
        let headers = [
            ("Content-Type", "application/merge-patch+json"),
            ("If-Match", version),
        ];
        daemon.ask("PATCH", &path, &headers, patch.to_string().as_bytes())
    };
    let changes = json!({ "title": "Über den Dächern", "tags": ["Night", "old town"], "series": "Cities", "season": 2 });
    let changed = patch("\"1\"", &changes);
    assert_eq!((changed.status, &*changed.headers["etag"]), (200, "\"2\""));
    assert_eq!(patch("\"1\"", &changes).status, 412);
    let wrong = patch(
        "\"2\"",
        &json!({ "title": null, "season": -1, "colour": "red" }),
    );
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.json()["violations"].as_array().unwrap().len() >= 2,
        "{}",
        wrong.text()
    );
    for query in [
        "q=%C3%BCber+d",
        "q=cities",
        "q=town",
        "tag=OLD%20town",
        "q=d%C3%A4ch&tag=night",
        "sort=-title&limit=1",
    ] {
        assert_eq!(titles(&daemon, query), ["Über den Dächern"], "{query}");
    }
    assert!(titles(&daemon, "q=nothing").is_empty());
    let first = daemon.get("/media?sort=title&limit=1");
    let next = first["nextCursor"].as_str().expect("there is another");
    assert_eq!(
        titles(&daemon, &format!("sort=title&limit=1&cursor={next}")),
        ["Über den Dächern"]
    );
    for bad in [
        "sort=size",
        "status=good",
        "q=%26",
        "q=a&cursor=x",
        "colour=red",
        "sort=title&cursor=0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11.n1",
    ] {
        let status = daemon.ask("GET", &format!("/media?{bad}"), &[], b"").status;
        assert!(status == 400 || status == 409, "{bad}: {status}");
    }
    drop(daemon);
    let daemon = Daemon::start(data.path(), "");
    assert_eq!(daemon.get(&path)["tags"], json!(["night", "old town"]));
}

#[test]
fn a_client_that_is_named_imports_from_its_own_folders_alone() {
    let data = folder();
    let (own, other) = (folder(), folder());
    for place in [&own, &other] {
        std::fs::copy(clip(1, 50), place.path().join("film.mp4")).unwrap();
    }
    let link = own.path().join("link.mp4");
    std::os::unix::fs::symlink(other.path().join("film.mp4"), &link).unwrap();
    let operator = "00000000-0000-7000-8000-000000000001";
    let settings = format!(
        "[media]\nprepare_on_import = false\nclient_roots = [{{ client = \"{operator}\", roots = [{:?}] }}]\n",
        own.path()
    );
    let daemon = Daemon::start(data.path(), &settings);
    daemon.import(&own.path().join("film.mp4"));
    // Another client has none.
    let stranger = Caller::stranger(&daemon);
    let body = json!({ "path": own.path().join("film.mp4") });
    for route in ["/media", "/media/watched"] {
        let refused = stranger.ask("POST", route, &body);
        assert_eq!(refused.status, 422, "{}", refused.text());
        let text = refused.text();
        assert!(text.contains("media.client_roots"), "{text}");
    }
    for (route, path) in [
        ("/media", other.path().join("film.mp4")),
        ("/media", link),
        ("/media/watched", other.path().to_owned()),
    ] {
        let body = json!({ "path": path }).to_string();
        let answer = daemon.ask(
            "POST",
            route,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 422, "{path:?}: {}", answer.text());
    }
}
