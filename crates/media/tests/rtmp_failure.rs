//! A real FFmpeg pushes to a real platform, which fails it in every way; what it says is understood.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../tests/receiver/mod.rs"]
mod receiver;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use playout_domain::output::FailureKind;
use playout_media::ffmpeg::rtmp_failure;
use receiver::{Receiver, TlsFront};

const KEY: &str = "live_sesame";

/// An FFmpeg that pushes under [`KEY`] until it is told to end or fails.
struct Push(Child);

impl Push {
    fn to(url: &str) -> Self {
        Self::with(url, &[])
    }

    /// With more options of the output.
    fn with(url: &str, options: &[&str]) -> Self {
        let line = "-nostdin -nostats -hide_banner -loglevel error -re -f lavfi -i testsrc2=s=320x180:r=25 \
                    -c:v libx264 -preset ultrafast -g 25 -fpre /dev/fd/0 -f flv -rw_timeout 1000000";
        let mut child = Command::new("ffmpeg")
            .args(line.split_whitespace())
            .args(options)
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ffmpeg is installed");
        // Closed at the end of the line: FFmpeg reads it as a file.
        let key = format!("rtmp_playpath={KEY}\n");
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(key.as_bytes()).unwrap();
        Self(child)
    }

    fn command_line(&self) -> String {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.0.id())).unwrap();
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    /// What it said, once it has ended by itself.
    fn said(mut self) -> String {
        let mut said = String::new();
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        self.0.wait().unwrap();
        assert!(!said.contains(KEY), "{said}");
        said
    }

    /// Why it ended.
    fn failure(self) -> Option<FailureKind> {
        let said = self.said();
        let failure = rtmp_failure(&said);
        assert!(failure.is_some(), "not understood: {said}");
        failure
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn secured(url: &str, front: &TlsFront, options: &[&str]) -> Push {
    let ca = front.ca_file().to_str().unwrap();
    let options = [&["-tls_verify", "1", "-ca_file", ca], options].concat();
    Push::with(url, &options)
}

#[test]
fn a_stream_arrives_and_its_key_is_in_no_command_line() {
    let receiver = Receiver::start();
    // To the address, in the name of the host: nginx asks for neither.
    let push = Push::with(&receiver.url(), &["-rtmp_tcurl", "rtmp://a.example/live"]);
    let publisher = receiver.until_received(KEY, 50_000);
    assert_eq!(
        (publisher.app.as_str(), publisher.name.as_str()),
        ("live", KEY)
    );
    assert!(!push.command_line().contains(KEY));
    receiver.stop();
    assert_eq!(push.failure(), Some(FailureKind::RemoteClosed));
    let recordings = receiver.recordings(KEY);
    assert_eq!(recordings.len(), 1);
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(&recordings[0])
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(
        decoded.status.success() && decoded.stderr.is_empty(),
        "{decoded:?}"
    );
}

#[test]
fn a_platform_that_is_not_there() {
    let receiver = Receiver::start();
    let unknown = Push::to("rtmp://no-such-host.invalid/live");
    assert_eq!(unknown.failure(), Some(FailureKind::Dns));
    receiver.kill();
    assert_eq!(
        Push::to(&receiver.url()).failure(),
        Some(FailureKind::Refused)
    );
    receiver.start_again();
    receiver.freeze();
    assert_eq!(
        Push::to(&receiver.url()).failure(),
        Some(FailureKind::Network)
    );
}

#[test]
fn a_platform_that_does_not_take_the_stream() {
    let receiver = Receiver::start();
    let wrong_app = Push::to(&receiver.url_of("nosuch"));
    assert_eq!(wrong_app.failure(), Some(FailureKind::Rejected));
    receiver.deny(KEY);
    assert_eq!(
        Push::to(&receiver.url()).failure(),
        Some(FailureKind::Rejected)
    );
    receiver.allow(KEY);
    let first = Push::to(&receiver.url());
    receiver.until_published(KEY);
    assert_eq!(
        Push::to(&receiver.url()).failure(),
        Some(FailureKind::Rejected)
    );
    assert_eq!(receiver.asked(), [KEY; 3]);
    drop(first);
}

#[test]
fn a_platform_that_lets_go() {
    let receiver = Receiver::start();
    assert!(!receiver.drop_publisher(KEY));
    let push = Push::to(&receiver.url());
    receiver.until_published(KEY);
    assert!(receiver.drop_publisher(KEY));
    assert_eq!(push.failure(), Some(FailureKind::RemoteClosed));
    let push = Push::to(&receiver.url());
    receiver.until_published(KEY);
    receiver.kill();
    assert_eq!(push.failure(), Some(FailureKind::RemoteClosed));
}

#[test]
fn a_platform_that_stops_reading() {
    let receiver = Receiver::start();
    // A buffer that is soon full: FFmpeg waits for room in it, and -rw_timeout counts from there.
    let push = Push::with(
        &receiver.url(),
        &[
            "-send_buffer_size",
            "16384",
            "-b:v",
            "20M",
            "-x264-params",
            "nal-hrd=cbr:vbv-maxrate=20000:vbv-bufsize=20000",
        ],
    );
    receiver.until_published(KEY);
    receiver.freeze();
    assert_eq!(push.failure(), Some(FailureKind::Stalled));
}

#[test]
fn a_certificate_that_is_not_to_be_trusted() {
    let receiver = Receiver::start();
    let front = receiver.tls("a.example");
    let url = front.url_of("live");
    let verified = ["-verifyhost", "a.example"];
    let untrusted = Push::with(&url, &["-tls_verify", "1", "-verifyhost", "a.example"]);
    assert_eq!(untrusted.failure(), Some(FailureKind::Tls));
    let other = secured(&url, &front, &["-verifyhost", "b.example"]);
    assert_eq!(other.failure(), Some(FailureKind::Tls));
    let push = secured(&url, &front, &verified);
    receiver.until_published(KEY);
    assert!(receiver.drop_publisher(KEY));
    assert_eq!(push.failure(), Some(FailureKind::RemoteClosed));
}
