//! How the daemon is reached: TLS, Unix sockets, sockets of systemd, addresses for viewers alone, compressed answers.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::daemon::{BOUND, Daemon, folder, until};
use super::http::{self, Answer};
use super::plain;

/// Puts a new certificate for `localhost` and its key into the folder.
fn certify(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    for (name, text) in [
        ("key.pem", key.serialize_pem()),
        ("cert.pem", certificate.pem()),
    ] {
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
    }
}

/// A request by TLS, which trusts the certificate that is in the folder now.
fn encrypted(
    folder: &Path,
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Answer> {
    let stream = tls(folder, address)?;
    http::request_on(stream, "localhost", "GET", path, headers, b"")
}

fn tls(folder: &Path, address: &str) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let pem = std::fs::read(folder.join("cert.pem"))?;
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(std::io::Error::other)?;
    roots.add(certificate).map_err(std::io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().map_err(std::io::Error::other)?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.sock.set_read_timeout(Some(BOUND))?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The command line beside a daemon.
fn command(data: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_playoutd"))
        .args(words)
        .arg("--config")
        .arg(data.with_extension("toml"))
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap()
}

#[test]
fn tls_takes_new_certificates_and_tells_of_broken_ones_and_the_command_line_finds_its_way() {
    let (data, files) = (folder(), folder());
    certify(files.path());
    let at = |name: &str| files.path().join(name).display().to_string();
    let settings = format!(
        "[http]\nviewer_bind = \"127.0.0.1:0\"\nunix_socket = \"{}\"\nunix_socket_mode = 0o600\n\
         tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
        at("http.sock"),
        at("cert.pem"),
        at("key.pem"),
    );
    let daemon = Daemon::start(data.path(), &settings);
    let log = daemon.log();
    let mut events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = events.find(|event| event["message"] == "ready").unwrap();
    let control = ready["url"]
        .as_str()
        .unwrap()
        .strip_prefix("https://")
        .unwrap()
        .to_owned();
    let mode = std::fs::metadata(at("http.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let channel = daemon.post("/channels", &json!({ "name": "One", "resolution": "240p" }));
    let playlist = channel["hlsEndpoint"].as_str().unwrap();
    let (viewers, path) = playlist
        .strip_prefix("https://")
        .unwrap()
        .split_once('/')
        .unwrap();
    assert_ne!(viewers, control);

    // Each listener serves what it is for.
    let bearer = format!("Bearer {}", daemon.token());
    let token = [("Authorization", &*bearer)];
    let answer = encrypted(files.path(), &control, "/api/v1/channels", &token).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.headers["strict-transport-security"],
        "max-age=31536000"
    );
    for (path, status) in [
        ("/api/v1/channels", 404),
        ("/readyz", 404),
        ("/healthz", 200),
        (&*format!("/{path}"), 404),
    ] {
        let answer = encrypted(files.path(), viewers, path, &token).unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert!(
        !daemon
            .try_get("/healthz")
            .unwrap()
            .headers
            .contains_key("strict-transport-security")
    );

    // The command line: by the socket, or by TLS with an authority that it is told.
    let create = |more: &[&str]| command(data.path(), &[&["token", "create"][..], more].concat());
    let port = control.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    for more in [&[][..], &["--url", &url, "--ca", &at("cert.pem")]] {
        let made = create(more);
        assert!(made.status.success(), "{made:?}");
        let bearer = format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim());
        let answer = http::request(
            daemon.address(),
            "GET",
            "/api/v1/channels",
            &[("Authorization", &bearer)],
            b"",
        );
        assert_eq!(answer.unwrap().status, 200);
    }
    let refused = create(&["--url", &url]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("certificate"),
        "{refused:?}"
    );

    // A new certificate is served, and a connection from before goes on.
    let before = tls(files.path(), &control).unwrap();
    certify(files.path());
    until("the new certificate is served", BOUND, || {
        encrypted(files.path(), &control, "/healthz", &[]).is_ok_and(|answer| answer.status == 200)
    });
    let answer = http::request_on(before, "localhost", "GET", "/healthz", &[], b"").unwrap();
    assert_eq!(answer.status, 200);

    // One that does not fit changes nothing, and is told of until it does.
    let good = std::fs::read(at("key.pem")).unwrap();
    std::fs::write(at("key.pem"), "no key").unwrap();
    let alerts = || {
        daemon.get("/alerts?state=open")["items"]
            .as_array()
            .cloned()
            .unwrap()
    };
    until("the alert is raised", BOUND, || {
        alerts()
            .iter()
            .any(|alert| alert["kind"] == "http.certificate")
    });
    let alert = alerts()
        .into_iter()
        .find(|alert| alert["kind"] == "http.certificate")
        .unwrap();
    assert!(
        alert["detail"]
            .as_str()
            .unwrap()
            .contains("key.pem holds no private key"),
        "{alert}"
    );
    assert_eq!(
        encrypted(files.path(), &control, "/healthz", &[])
            .unwrap()
            .status,
        200
    );
    let checked = command(data.path(), &["check-config"]);
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    assert!(
        String::from_utf8_lossy(&checked.stderr).contains("http.tls_key"),
        "{checked:?}"
    );
    std::fs::write(at("key.pem"), good).unwrap();
    until("the alert is over", BOUND, || {
        !alerts()
            .iter()
            .any(|alert| alert["kind"] == "http.certificate")
    });
    assert!(command(data.path(), &["check-config"]).status.success());
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    assert!(!Path::new(&at("http.sock")).exists());
}

/// Opens a socket for all and one for viewers, as systemd does, and becomes the program that it is told.
const ACTIVATION: &str = r#"
import os, socket, sys
control = socket.create_server(("127.0.0.1", 0))
viewers = socket.socket(socket.AF_UNIX)
viewers.bind(sys.argv[1])
viewers.listen()
for number, opened in enumerate((control, viewers)):
    os.dup2(opened.fileno(), 100 + number)
for number in range(2):
    os.dup2(100 + number, 3 + number)
os.closerange(5, 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="control:viewers")
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn sockets_of_systemd_go_in_place_of_the_configured_addresses() {
    let (data, files) = (folder(), folder());
    let viewers = files.path().join("viewers.sock").display().to_string();
    let launcher = ["python3", "-c", ACTIVATION, &viewers];
    // Nobody can listen there; nobody has to.
    let settings = "[http]\nviewer_bind = \"192.0.2.1:1\"\n";
    let daemon = Daemon::start_by(data.path(), settings, &launcher);
    assert!(daemon.get("/channels")["items"].is_array());
    let viewers = format!("unix:{viewers}");
    for (path, status) in [("/healthz", 200), ("/api/v1/channels", 404)] {
        let answer = plain::request(&viewers, "GET", path, &[], b"").unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
    // Nothing that the daemon runs holds its sockets.
    let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
    let mut held = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", daemon.pid()))
        .unwrap()
        .flatten()
    {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            for number in ["3", "4"] {
                let link = std::fs::read_link(format!("/proc/{child}/fd/{number}"));
                let ours = std::fs::read_link(format!("/proc/{}/fd/{number}", daemon.pid()));
                assert!(
                    link.is_err() || link.unwrap() != ours.unwrap(),
                    "{child} has {number}; {children}"
                );
                held += 1;
            }
        }
    }
    assert!(held > 0, "there are children: {children}");
}

#[test]
fn long_answers_are_compressed_for_whoever_takes_that_and_secrets_never() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    for number in 0..4 {
        daemon.post(
            "/channels",
            &json!({ "name": format!("Channel {number}"), "resolution": "240p" }),
        );
    }
    let gzip = ("Accept-Encoding", "br;q=0.9, gzip");
    let plain = daemon.ask("GET", "/channels", &[], b"");
    assert_eq!(plain.headers["vary"], "Accept-Encoding");
    assert!(!plain.headers.contains_key("content-encoding"));
    let answer = daemon.ask("GET", "/channels", &[gzip], b"");
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert!(answer.body.len() * 3 < plain.body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..])
        .read_to_string(&mut text)
        .unwrap();
    let ids = |text: &str| {
        let list: Value = serde_json::from_str(text).unwrap();
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&text), ids(&plain.text()));
    let head = daemon.ask("HEAD", "/channels", &[gzip], b"");
    assert_eq!(
        (head.headers["content-encoding"].as_str(), head.body.len()),
        ("gzip", 0)
    );
    // What is the same is not sent again, compressed or not.
    let guide = daemon.ask("GET", "/epg.xml", &[gzip], b"");
    let tag = guide.headers["etag"].clone();
    assert_eq!(
        daemon
            .ask("GET", "/epg.xml", &[gzip, ("If-None-Match", &tag)], b"")
            .status,
        304
    );
    let token = json!({ "name": "x".repeat(100), "scopes": ["read"] }).to_string();
    let made = daemon.ask(
        "POST",
        "/tokens",
        &[gzip, ("Content-Type", "application/json")],
        token.as_bytes(),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(!made.headers.contains_key("content-encoding"));
    assert!(made.json()["token"].is_string());
}
