//! Files that are sent: by tus-js-client as a client of the protocol, and by hand where the protocol is not kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::clips::clip;
use super::daemon::{BOUND, Daemon, folder, until};
use super::http::Answer;
use super::servers::{SmallDisk, query};

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// What tus-js-client says of an upload.
fn send(daemon: &Daemon, file: &Path, more: &[&str]) -> Value {
    let url = format!("http://{}/api/v1/media/uploads", daemon.address());
    let sent = Command::new("node")
        .args(["web/e2e/upload.mjs", &url, daemon.token()])
        .arg(file)
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("node runs");
    let err = String::from_utf8_lossy(&sent.stderr).into_owned();
    serde_json::from_slice(&sent.stdout).unwrap_or_else(|_| panic!("it says nothing: {err}"))
}

/// The path of an upload below `/api/v1`.
fn path_of(url: &str) -> String {
    let (_, path) = url.split_once("/api/v1").expect("a URL of the API");
    path.to_owned()
}

/// Begins an upload by hand; answers its path.
fn begin(daemon: &Daemon, length: u64) -> String {
    let length = length.to_string();
    let answer = daemon.ask(
        "POST",
        "/media/uploads",
        &[TUS, ("Upload-Length", &length)],
        b"",
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    path_of(&answer.headers["location"])
}

fn piece(
    daemon: &Daemon,
    path: &str,
    offset: usize,
    more: &[(&str, &str)],
    bytes: &[u8],
) -> Answer {
    let offset = offset.to_string();
    let mut headers = vec![TUS, PIECE, ("Upload-Offset", &offset)];
    headers.extend_from_slice(more);
    daemon.ask("PATCH", path, &headers, bytes)
}

fn offset(daemon: &Daemon, path: &str) -> usize {
    let answer = daemon.ask("HEAD", path, &[TUS], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.headers["upload-offset"].parse().expect("a number")
}

#[test]
fn an_upload_that_is_cut_off_goes_on_after_the_daemon_was_killed_and_becomes_an_item() {
    let data = folder();
    let file = clip(1, 250);
    let size = std::fs::metadata(&file).unwrap().len() as usize;
    let mut daemon = Daemon::start(data.path(), "");
    let cut = send(&daemon, &file, &["--piece", "65536", "--cut", "150000"]);
    let path = path_of(cut["url"].as_str().expect("it has begun"));
    let there = offset(&daemon, &path);
    assert!(there >= 65_536 && there < size, "{there} of {size}");
    daemon.signal("KILL");
    daemon.ended();
    drop(daemon);
    daemon = Daemon::start(data.path(), "");
    let kept = offset(&daemon, &path);
    assert!(kept >= there, "{kept} after {there}");
    let url = format!("http://{}/api/v1{path}", daemon.address());
    let sent = send(&daemon, &file, &["--piece", "65536", "--from", &url]);
    let location = sent["location"]
        .as_str()
        .unwrap_or_else(|| panic!("{sent}"));
    let item = daemon.get(&path_of(location));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(item["path"].as_str().unwrap().ends_with(name), "{item}");
    assert_eq!(item["size"], size);
    let kept = item["path"].as_str().unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(&file).unwrap());
    assert_eq!(daemon.get(&path)["state"], "done");
    assert_eq!(offset(&daemon, &path), size);
    // The same content by another way is the same item, and is not stored twice.
    let id = item["id"].as_str().unwrap();
    assert_eq!(daemon.import(&file), id);
    let again = send(&daemon, &file, &[]);
    assert!(again["location"].as_str().unwrap().ends_with(id), "{again}");
    let storage = daemon.get("/media/storage");
    assert_eq!(
        (&storage["items"], &storage["usedBytes"]),
        (&json!(1), &json!(size))
    );
    // What was sent is the library's own, and goes with the item.
    daemon.api("DELETE", &format!("/media/{id}"), &Value::Null);
    assert!(!Path::new(kept).exists());
    assert!(file.exists());
}

#[test]
fn titles_and_tags_come_with_an_upload_and_what_is_no_video_is_refused() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let sent = send(&daemon, &clip(2, 50), &[]);
    let item = daemon.get(&path_of(sent["location"].as_str().unwrap()));
    assert_eq!(
        (&item["title"], &item["tags"]),
        (&json!("Sent by tus"), &json!(["sent", "tus"]))
    );
    let text = data.path().join("letter.mp4");
    std::fs::write(&text, "Dear Sir or Madam, this is a letter.").unwrap();
    let refused = send(&daemon, &text, &[]);
    assert_eq!(refused["status"], 422, "{refused}");
    let path = path_of(refused["url"].as_str().unwrap());
    let told = daemon.get(&path);
    assert_eq!(told["state"], "failed");
    assert!(told["reason"].as_str().unwrap().contains("text"), "{told}");
    // Resumed, it is refused again: no client takes it for complete.
    assert_eq!((offset(&daemon, &path), &told["received"]), (0, &json!(0)));
    let url = refused["url"].as_str().unwrap();
    let resumed = send(&daemon, &text, &["--from", url]);
    assert_eq!(resumed["status"], 422, "{resumed}");
    let length = std::fs::metadata(&text).unwrap().len() as usize;
    for at in [0, length] {
        let again = piece(&daemon, &path, at, &[], b"");
        assert_eq!(again.status, 422, "{}", again.text());
        assert!(again.text().contains("text"), "{}", again.text());
    }
    assert_eq!(daemon.get("/media/storage")["arrivingBytes"], 0);
}

#[test]
fn lengths_and_checksums_that_lie_are_refused_and_nothing_of_the_piece_is_kept() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let bytes = std::fs::read(clip(3, 50)).unwrap();
    let path = begin(&daemon, bytes.len() as u64);
    let (first, second) = bytes.split_at(10_000);
    assert_eq!(piece(&daemon, &path, 0, &[], first).status, 204);
    let wrong = ("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
    let lied = piece(&daemon, &path, 10_000, &[wrong], second);
    assert_eq!(lied.status, 460, "{}", lied.text());
    assert_eq!(offset(&daemon, &path), 10_000);
    let longer = [second, b"more than was said"].concat();
    assert_eq!(piece(&daemon, &path, 10_000, &[], &longer).status, 413);
    assert_eq!(offset(&daemon, &path), 10_000);
    assert_eq!(piece(&daemon, &path, 9_999, &[], second).status, 409);
    let unknown = ("Upload-Checksum", "md7 abc=");
    assert_eq!(
        piece(&daemon, &path, 10_000, &[unknown], second).status,
        400
    );
    let sum = Command::new("sh")
        .args([
            "-c",
            "tail -c +10001 \"$0\" | openssl dgst -sha1 -binary | base64",
        ])
        .arg(clip(3, 50))
        .output()
        .expect("openssl runs");
    let right = format!("sha1 {}", String::from_utf8_lossy(&sum.stdout).trim());
    let last = piece(
        &daemon,
        &path,
        10_000,
        &[("Upload-Checksum", &right)],
        second,
    );
    assert_eq!(last.status, 204, "{}", last.text());
    assert!(last.headers["content-location"].starts_with("/api/v1/media/"));
    assert!(last.headers.contains_key("upload-expires"));
    // Its answer was lost: it is told again.
    let again = piece(&daemon, &path, bytes.len(), &[], b"");
    assert_eq!(
        again.headers["content-location"],
        last.headers["content-location"]
    );
}

#[test]
fn a_piece_with_a_checksum_that_breaks_off_counts_for_nothing_and_one_without_for_what_came() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let path = begin(&daemon, 1_000_000);
    let broken_off = |more: &str| {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        let head = format!(
            "PATCH /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 500000\r\n{more}\r\n",
            daemon.token()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&[7; 100_000]).unwrap();
        stream
    };
    let checked = broken_off("Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n");
    let file = data
        .path()
        .join("media/uploads")
        .join(path.rsplit('/').next().unwrap());
    let written = || std::fs::metadata(&file).map_or(0, |file| file.len());
    until("its bytes are there", BOUND, || written() == 100_000);
    assert_eq!(offset(&daemon, &path), 0, "they do not count yet");
    drop(checked);
    until("they are gone", BOUND, || written() == 0);
    drop(broken_off(""));
    until("what came counts", BOUND, || {
        offset(&daemon, &path) == 100_000
    });
    // A connection that is dead and does not know: whoever comes goes on in its place.
    let mut stale = TcpStream::connect(daemon.address()).unwrap();
    let head = format!(
        "PATCH /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 100000\r\nContent-Length: 500000\r\n\r\n",
        daemon.token()
    );
    stale.write_all(head.as_bytes()).unwrap();
    stale.write_all(&[8; 50_000]).unwrap();
    until("its bytes are there", BOUND, || written() == 150_000);
    let newer = piece(&daemon, &path, 150_000, &[], &[9; 1000]);
    assert_eq!(newer.status, 204, "{}", newer.text());
    let mut told = String::new();
    stale.read_to_string(&mut told).ok();
    assert!(told.starts_with("HTTP/1.1 409"), "{told}");
    assert_eq!(offset(&daemon, &path), 151_000);
}

#[test]
fn the_protocol_is_answered_as_it_says() {
    let data = folder();
    let daemon = Daemon::start(
        data.path(),
        "[media]\nprepare_on_import = false\nmax_file = 100000\nupload_expiry = 3600\n",
    );
    let options = daemon.ask("OPTIONS", "/media/uploads", &[], b"");
    assert_eq!(options.status, 204);
    for (name, value) in [
        ("tus-resumable", "1.0.0"),
        ("tus-version", "1.0.0"),
        ("tus-max-size", "100000"),
        (
            "tus-extension",
            "creation,creation-with-upload,termination,checksum,expiration",
        ),
        ("tus-checksum-algorithm", "sha1,sha256"),
    ] {
        assert_eq!(options.headers[name], value);
    }
    let post =
        |headers: &[(&str, &str)], body: &[u8]| daemon.ask("POST", "/media/uploads", headers, body);
    let length = ("Upload-Length", "50000");
    let other = post(&[("Tus-Resumable", "0.2.2"), length], b"");
    assert_eq!(
        (other.status, &*other.headers["tus-version"]),
        (412, "1.0.0")
    );
    for (headers, status) in [
        (&[length][..], 412),
        (&[TUS], 400),
        (&[TUS, ("Upload-Length", "-1")], 400),
        (&[TUS, ("Upload-Length", "1e3")], 400),
        (&[TUS, ("Upload-Length", "0")], 400),
        (&[TUS, ("Upload-Length", "100001")], 413),
        (&[TUS, ("Upload-Defer-Length", "1")], 400),
        (&[TUS, length, ("Upload-Metadata", "title %%%")], 400),
        (&[TUS, length, ("Upload-Metadata", "season eA==")], 422),
        (&[TUS, length, ("X-HTTP-Method-Override", "PATCH")], 405),
        (&[TUS, length, ("X-HTTP-Method-Override", "PA TCH")], 400),
    ] {
        let answer = post(headers, b"");
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        assert_eq!(answer.headers["tus-resumable"], "1.0.0");
    }
    // Creation with a first piece that is not what it says: nothing is left that nobody could go on with.
    let wrong = ("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=");
    let lied = post(&[TUS, length, PIECE, wrong], &[1; 20_000]);
    assert_eq!(lied.status, 460, "{}", lied.text());
    assert_eq!(daemon.get("/media/storage")["arrivingBytes"], 0);
    // Creation with its first piece.
    let said = ("Upload-Metadata", "filename YS5tcDQ=,is_confidential");
    let with = post(&[TUS, length, PIECE, said], &[1; 20_000]);
    assert_eq!(
        (with.status, &*with.headers["upload-offset"]),
        (201, "20000")
    );
    let path = path_of(&with.headers["location"]);
    let head = daemon.ask("HEAD", &path, &[TUS], b"");
    assert_eq!(head.headers["upload-length"], "50000");
    assert_eq!(head.headers["upload-metadata"], said.1);
    assert!(head.body.is_empty());
    let typed = daemon.ask(
        "PATCH",
        &path,
        &[
            TUS,
            ("Upload-Offset", "20000"),
            ("Content-Type", "video/mp4"),
        ],
        b"x",
    );
    assert_eq!(typed.status, 415);
    assert_eq!(daemon.get("/media/storage")["arrivingBytes"], 50_000);
    assert_eq!(daemon.ask("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(daemon.ask("HEAD", &path, &[TUS], b"").status, 404);
    assert_eq!(daemon.ask("DELETE", &path, &[TUS], b"").status, 404);
    assert_eq!(daemon.get("/media/storage")["arrivingBytes"], 0);
}

#[test]
fn who_cannot_send_every_method_names_it() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let path = begin(&daemon, 1_000);
    let post = |named: &str, more: &[(&str, &str)], bytes: &[u8]| {
        let mut headers = vec![TUS, ("X-HTTP-Method-Override", named)];
        headers.extend_from_slice(more);
        daemon.ask("POST", &path, &headers, bytes).status
    };
    assert_eq!(
        post("PATCH", &[PIECE, ("Upload-Offset", "0")], &[1; 400]),
        204
    );
    assert_eq!(offset(&daemon, &path), 400);
    assert_eq!(post("PUT", &[], b""), 405);
    assert_eq!(post("DELETE", &[], b""), 204);
    assert_eq!(daemon.ask("HEAD", &path, &[TUS], b"").status, 404);
}

#[test]
fn more_than_the_plan_stores_is_402_by_every_way() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "[media]\nprepare_on_import = false\n");
    let film = clip(5, 100);
    let size = std::fs::metadata(&film).unwrap().len();
    let limit = 2 * size - 1;
    let sql = format!("UPDATE plans SET limits = limits || '{{\"storageBytes\": {limit}}}'");
    query(data.path(), &sql).expect("the plan has a limit");
    let create = |length: u64| {
        let length = length.to_string();
        let headers = [TUS, ("Upload-Length", &*length)];
        daemon.ask("POST", "/media/uploads", &headers, b"")
    };
    let refused = create(limit + 1);
    assert_eq!(refused.status, 402, "{}", refused.text());
    let told = refused.json();
    assert_eq!(
        (&told["current"], &told["allowed"]),
        (&json!(0), &json!(limit)),
        "{told}"
    );
    let waits = create(size);
    assert_eq!(waits.status, 201);
    assert_eq!(create(size).status, 402, "what comes counts");
    let body = json!({ "path": film }).to_string();
    let json = ("Content-Type", "application/json");
    let import = || daemon.ask("POST", "/media", &[json], body.as_bytes());
    assert_eq!(import().status, 402);
    let path = path_of(&waits.headers["location"]);
    assert_eq!(daemon.ask("DELETE", &path, &[TUS], b"").status, 204);
    let imported = import();
    assert_eq!(imported.status, 201, "{}", imported.text());
    assert_eq!(create(size).status, 402);
    let storage = daemon.get("/media/storage");
    assert_eq!(
        (
            &storage["usedBytes"],
            &storage["arrivingBytes"],
            &storage["allowedBytes"]
        ),
        (&json!(size), &json!(0), &json!(limit))
    );
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_an_upload_keeps_what_it_took() {
    let data = folder();
    let media = data.path().join("media");
    std::fs::create_dir_all(media.join("uploads")).unwrap();
    let Some(disk) = SmallDisk::over(&media, 4) else {
        return;
    };
    let settings = "[media]\nprepare_on_import = false\n";
    let daemon = Daemon::start(data.path(), settings);
    let film = std::fs::read(clip(6, 500)).unwrap();
    let path = begin(&daemon, film.len() as u64);
    let (first, rest) = film.split_at(film.len() / 2);
    assert_eq!(piece(&daemon, &path, 0, &[], first).status, 204);
    let filler = disk.fill();
    let full = piece(&daemon, &path, first.len(), &[], rest);
    assert_eq!(full.status, 507, "{}", full.text());
    let there = offset(&daemon, &path);
    assert!((first.len()..film.len()).contains(&there), "{there}");
    std::fs::remove_file(filler).unwrap();
    let last = piece(&daemon, &path, there, &[], &film[there..]);
    assert_eq!(last.status, 204, "{}", last.text());
    let id = daemon.get(&path)["mediaId"].clone();
    let item = daemon.get(&format!("/media/{}", id.as_str().expect("an item")));
    assert_eq!(std::fs::read(item["path"].as_str().unwrap()).unwrap(), film);
}

#[test]
fn a_full_disk_and_an_upload_that_has_expired_are_told() {
    let data = folder();
    // Nothing is prepared with less room than no disk has: there is none for uploads either.
    let full =
        "[disk]\npause_prepare_below = 999999999999999\ntrim_spool_below = 1000000000000000\n";
    let daemon = Daemon::start(data.path(), full);
    let create = || {
        daemon
            .ask(
                "POST",
                "/media/uploads",
                &[TUS, ("Upload-Length", "1000")],
                b"",
            )
            .status
    };
    until("the disk was looked at", BOUND, || create() == 507);
    drop(daemon);
    let daemon = Daemon::start(
        data.path(),
        "[media]\nprepare_on_import = false\nupload_expiry = 1\n",
    );
    let path = begin(&daemon, 1000);
    until("it has expired", BOUND, || {
        daemon.ask("HEAD", &path, &[TUS], b"").status == 404
    });
}
