//! Attacks on the HTTP listener, each with somebody beside it who asks all the while and has to be answered: on the
//! [`wire`], and by the [`contents`] of requests that are ones.

mod contents;
mod wire;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::daemon::{BOUND, Daemon};
use super::http;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Somebody who asks for the channels again and again.
struct Bystander {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<usize>,
}

impl Bystander {
    fn of(daemon: &Daemon) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), daemon.address().to_owned());
        let bearer = format!("Bearer {}", daemon.token());
        let asking = std::thread::spawn(move || {
            let headers = [("Authorization", &*bearer)];
            let mut answered = 0;
            while answered == 0 || !stopped.load(Ordering::Relaxed) {
                for path in ["/healthz", "/api/v1/channels"] {
                    let answer = http::request(&address, "GET", path, &headers, b"");
                    let answer = answer.expect("the bystander is answered");
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                }
                answered += 1;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            answered
        });
        Self { stop, asking }
    }

    /// It was answered all along.
    fn was_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.asking.join().expect("the bystander was answered");
        assert!(answered > 0);
    }
}

fn open(daemon: &Daemon, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// What comes until the connection ends, which it has to; a reset ends it, too.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(read @ 1..) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it stays open"),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}
