//! The connectivity test against a real platform: nginx with its RTMP module, with and without TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../tests/receiver/mod.rs"]
mod receiver;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use playout_domain::destination::{ServerUrl, StreamKey};
use playout_partners::address::Reach;
use playout_partners::rtmp::{
    Check, Depth, Limits, Play, Playing, Reason, Refusal, Report, Step, StreamName, check, play,
};
use playout_partners::{InvalidCertificates, TrustRoots};
use receiver::Receiver;

const KEY: &str = "live_sesame";

/// A test of `url` and its limits; everything may be reached.
struct Attempt {
    url: String,
    depth: Depth,
    reach: Reach,
    limits: Limits,
    roots: TrustRoots,
}

impl Attempt {
    fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            depth: Depth::Publish,
            reach: Reach::Anywhere,
            limits: Limits {
                step: Duration::from_secs(20),
                whole: Duration::from_secs(60),
            },
            roots: TrustRoots::nobody(),
        }
    }

    async fn run(&self) -> Result<Report, Refusal> {
        let server = ServerUrl::parse(&self.url, true).unwrap();
        let key = StreamKey::new(KEY).unwrap();
        let done = check(&Check {
            server: &server,
            name: StreamName::Key(&key),
            depth: self.depth,
            reach: self.reach,
            limits: self.limits,
            roots: &self.roots,
        })
        .await;
        // R3
        assert!(!format!("{done:?}").contains(KEY), "{done:?}");
        done
    }

    /// Runs it and answers the step and the reason for which it is refused.
    async fn refused(&self) -> (Step, Reason) {
        let refusal = self.run().await.unwrap_err();
        assert!(
            refusal.detail.ends_with('.') && !refusal.detail.contains("/live"),
            "{refusal}"
        );
        (refusal.step, refusal.reason)
    }
}

fn steps(report: &Report) -> Vec<Step> {
    report.steps.iter().map(|(step, _)| *step).collect()
}

#[tokio::test]
async fn a_platform_that_takes_the_stream_passes_and_is_left_alone() {
    let receiver = Receiver::start();
    let report = Attempt::at(receiver.url()).run().await.unwrap();
    assert_eq!(report.address, receiver.address());
    let all = [
        Step::Resolve,
        Step::Connect,
        Step::Handshake,
        Step::App,
        Step::Publish,
    ];
    assert_eq!(steps(&report), all);
    assert_eq!(receiver.asked(), [KEY]);
    // The stream was deleted, so the key is free again.
    receiver.until_unpublished(KEY);
    Attempt::at(receiver.url()).run().await.unwrap();
}

#[tokio::test]
async fn the_app_alone_is_tested_without_a_word_of_the_key() {
    let receiver = Receiver::start();
    let mut attempt = Attempt::at(receiver.url());
    attempt.depth = Depth::App;
    let report = attempt.run().await.unwrap();
    assert_eq!(report.steps.last().unwrap().0, Step::App);
    assert!(receiver.asked().is_empty());
}

#[tokio::test]
async fn a_wrong_app_and_a_wrong_key_are_told_apart() {
    let receiver = Receiver::start();
    let wrong_app = Attempt::at(receiver.url_of("nosuch"));
    assert_eq!(wrong_app.refused().await, (Step::App, Reason::AppRejected));
    receiver.deny(KEY);
    let attempt = Attempt::at(receiver.url());
    assert_eq!(
        attempt.refused().await,
        (Step::Publish, Reason::KeyRejected)
    );
    receiver.allow(KEY);
    attempt.run().await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_in_use_is_refused() {
    let receiver = Receiver::start();
    let mut push = push(&receiver.url());
    receiver.until_published(KEY);
    let refusal = Attempt::at(receiver.url()).run().await.unwrap_err();
    assert_eq!(
        (refusal.step, refusal.reason),
        (Step::Publish, Reason::KeyRejected)
    );
    assert!(
        refusal.detail.contains("(NetStream.Publish.BadName)"),
        "{refusal}"
    );
    assert!(receiver.publisher(KEY).is_some(), "it goes on");
    push.0.kill().unwrap();
    push.0.wait().unwrap();
}

#[tokio::test]
async fn rtmps_is_verified_against_the_host_that_was_asked_for() {
    let receiver = Receiver::start();
    let front = receiver.tls("localhost");
    let mut attempt = Attempt::at(front.local_url_of("live"));
    let refusal = attempt.run().await.unwrap_err();
    assert_eq!((refusal.step, refusal.reason), (Step::Tls, Reason::Tls));
    assert!(refusal.detail.contains("not trusted"), "{refusal}");

    attempt.roots = TrustRoots::of(front.ca().as_bytes()).unwrap();
    let report = attempt.run().await.unwrap();
    assert_eq!(report.address, front.local_address());
    assert!(steps(&report).contains(&Step::Tls));

    attempt.url = front.url_of("live");
    let refusal = attempt.run().await.unwrap_err();
    assert_eq!((refusal.step, refusal.reason), (Step::Tls, Reason::Tls));
    assert!(refusal.detail.contains("another host"), "{refusal}");

    let front = receiver.tls(&receiver.address().ip().to_string());
    let mut attempt = Attempt::at(front.url_of("live"));
    attempt.roots = TrustRoots::nobody().and(front.ca().as_bytes()).unwrap();
    attempt.run().await.unwrap();
}

#[tokio::test]
async fn private_addresses_need_the_operators_leave() {
    let receiver = Receiver::start();
    let mut attempt = Attempt::at(receiver.url());
    attempt.reach = Reach::Public;
    assert_eq!(
        attempt.refused().await,
        (Step::Resolve, Reason::PrivateAddress)
    );
    attempt.url = "rtmp://localhost/live".to_owned();
    assert_eq!(
        attempt.refused().await,
        (Step::Resolve, Reason::PrivateAddress)
    );
    attempt.reach = Reach::Anywhere;
    attempt.url = "rtmp://no-such-host.invalid/live".to_owned();
    assert_eq!(attempt.refused().await, (Step::Resolve, Reason::Dns));
}

#[tokio::test]
async fn a_platform_that_is_gone_or_frozen_is_told() {
    let receiver = Receiver::start();
    receiver.freeze();
    let mut attempt = Attempt::at(receiver.url());
    attempt.limits.step = Duration::from_secs(1);
    let late = attempt.run().await.unwrap_err();
    assert_eq!((late.step, late.reason), (Step::Handshake, Reason::Timeout));
    assert!(late.detail.contains("within 1 s"), "{late}");
    attempt.limits.step = Duration::from_secs(20);
    attempt.limits.whole = Duration::from_secs(2);
    let late = attempt.run().await.unwrap_err();
    assert_eq!((late.step, late.reason), (Step::Handshake, Reason::Timeout));
    assert!(late.detail.contains("within 2 s"), "{late}");
    receiver.thaw();
    receiver.kill();
    assert_eq!(attempt.refused().await, (Step::Connect, Reason::Refused));
    receiver.start_again();
    attempt.limits.whole = Duration::from_secs(60);
    attempt.run().await.unwrap();
}

#[tokio::test]
async fn what_is_no_rtmp_is_told() {
    let web = served(|mut stream| {
        stream.read_exact(&mut [0; 100]).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Not reset over what it has not read.
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    });
    assert_eq!(
        Attempt::at(format!("rtmp://{web}/live")).refused().await,
        (Step::Handshake, Reason::Handshake)
    );
    assert_eq!(
        Attempt::at(format!("rtmps://{web}/live")).refused().await,
        (Step::Tls, Reason::Tls)
    );
    let rude = served(drop);
    assert_eq!(
        Attempt::at(format!("rtmp://{rude}/live")).refused().await,
        (Step::Handshake, Reason::RemoteClosed)
    );
    assert_eq!(
        Attempt::at(format!("rtmps://{rude}/live")).refused().await,
        (Step::Tls, Reason::RemoteClosed)
    );
}

/// Plays `url` for so long at most.
async fn played(url: &str, seconds: u64) -> Result<Playing, Refusal> {
    let server = ServerUrl::parse(url, true).unwrap();
    play(&Play {
        server: &server,
        reach: Reach::Anywhere,
        roots: &TrustRoots::nobody(),
        limit: Duration::from_secs(seconds),
    })
    .await
}

#[tokio::test]
async fn a_stream_that_goes_on_is_told_from_one_that_does_not() {
    let receiver = Receiver::start();
    let mut push = push(&receiver.url());
    receiver.until_published(KEY);
    let stream = |name: &str| format!("{}/{name}", receiver.url());
    assert_eq!(played(&stream(KEY), 20).await, Ok(Playing::Moving));
    // nginx takes whoever wants to play what is not published yet.
    let silent = played(&stream("nobody"), 3).await;
    assert_eq!(
        silent,
        Ok(Playing::Still(
            "the stream is asked for, and no media comes"
        ))
    );
    // Who publishes stands still: the connection stays, and no more media comes.
    let pid = push.0.id().to_string();
    let stopped = std::process::Command::new("kill")
        .args(["-s", "STOP", &pid])
        .status();
    assert!(stopped.unwrap().success());
    let frozen = played(&stream(KEY), 4).await;
    assert!(matches!(frozen, Ok(Playing::Still(_))), "{frozen:?}");
    push.0.kill().unwrap();
    push.0.wait().unwrap();
    let elsewhere = played(&format!("{}/x", receiver.url_of("nosuch")), 20)
        .await
        .unwrap_err();
    assert_eq!(
        (elsewhere.step, elsewhere.reason),
        (Step::App, Reason::AppRejected)
    );
    receiver.freeze();
    let late = played(&stream(KEY), 1).await.unwrap_err();
    assert_eq!((late.step, late.reason), (Step::Handshake, Reason::Timeout));
}

#[test]
fn a_text_without_certificates_is_refused() {
    let none = TrustRoots::of(b"hello").unwrap_err();
    assert_eq!(none, InvalidCertificates::None);
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let unusable = TrustRoots::of(broken).unwrap_err();
    assert!(unusable.to_string().contains("certificate 1"), "{unusable}");
    assert!(TrustRoots::nobody().is_empty());
}

/// A server that does `with` each connection; its thread ends with the test's process.
fn served(with: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            with(stream.unwrap());
        }
    });
    address
}

/// An FFmpeg that pushes.
struct Push(std::process::Child);

impl Drop for Push {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn push(url: &str) -> Push {
    let line = format!(
        "-nostdin -loglevel error -re -f lavfi -i testsrc2=s=320x180:r=25 -c:v libx264 -preset ultrafast -g 25 \
         -rtmp_playpath {KEY} -f flv {url}"
    );
    let child = std::process::Command::new("ffmpeg")
        .args(line.split(' ').filter(|arg| !arg.is_empty()))
        .spawn();
    Push(child.expect("ffmpeg is installed"))
}
