//! Thousands of event streams at once.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::daemon::{Daemon, until};
use crate::measures::pss;

/// So many.
pub const SUBSCRIBERS: usize = 5_000;
/// Events that are sent to all.
const EVENTS: usize = 10;
/// So many connect at once.
const AT_ONCE: usize = 64;
/// What is waited for comes within this.
const LONG: Duration = Duration::from_secs(60);

/// What one subscriber got.
enum Got {
    /// The beginning of its stream.
    Begun,
    /// An event by its id, so long after it was published.
    Event(String, SignedDuration),
}

/// How long events took to the last of all, and the daemon's memory for one of them in kilobytes.
pub struct Found {
    pub to_last: Vec<SignedDuration>,
    pub memory: f64,
}

/// Subscribes to a channel that is off air, and changes it.
pub fn measured(daemon: &Daemon, channel: &str) -> Found {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let head = format!(
        "GET /api/v1/events?channel={channel} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Accept: text/event-stream\r\n\r\n",
        daemon.address(),
        daemon.token()
    );
    let before = pss(daemon.pid());
    let mut got = subscribed(&runtime, daemon.address(), head);
    let mut to_last = Vec::new();
    for n in 0..EVENTS {
        let path = format!("/channels/{channel}");
        daemon.api("PATCH", &path, &json!({ "name": format!("Told {n}") }));
        to_last.push(runtime.block_on(to_all(&mut got)));
    }
    // What was set free for the moment goes back to the kernel after five seconds.
    let begun = std::time::Instant::now();
    until("memory has settled", LONG, || {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
        begun.elapsed() > Duration::from_secs(8)
    });
    let memory = (pss(daemon.pid()) - before) * 1000.0 / SUBSCRIBERS as f64;
    to_last.sort();
    Found { to_last, memory }
}

/// Everybody, connected and answered.
fn subscribed(runtime: &Runtime, address: &str, head: String) -> UnboundedReceiver<Got> {
    let (tell, mut got) = unbounded_channel();
    runtime.block_on(async {
        for n in 0..SUBSCRIBERS {
            tokio::spawn(subscriber(address.to_owned(), head.clone(), tell.clone()));
            if n >= AT_ONCE {
                begun(&mut got).await;
            }
        }
        for _ in 0..AT_ONCE {
            begun(&mut got).await;
        }
    });
    got
}

async fn begun(got: &mut UnboundedReceiver<Got>) {
    let told = tokio::time::timeout(LONG, got.recv()).await;
    assert!(matches!(told, Ok(Some(Got::Begun))), "a stream begins");
}

/// Until one event has come to all: how long the last of them waited.
async fn to_all(got: &mut UnboundedReceiver<Got>) -> SignedDuration {
    let mut came: HashMap<String, (usize, SignedDuration)> = HashMap::new();
    loop {
        let told = tokio::time::timeout(LONG, got.recv()).await;
        let Ok(Some(Got::Event(id, took))) = told else {
            panic!("an event comes to all");
        };
        let (count, longest) = came.entry(id).or_default();
        *count += 1;
        *longest = took.max(*longest);
        if *count == SUBSCRIBERS {
            return *longest;
        }
    }
}

async fn subscriber(address: String, head: String, tell: UnboundedSender<Got>) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(head.as_bytes()).await.expect("sends");
    let (mut text, mut chunk) = (String::new(), [0; 2048]);
    let mut is_new = true;
    loop {
        let read = stream.read(&mut chunk).await.expect("reads");
        assert!(read > 0, "the stream goes on: {text}");
        let now = Timestamp::now();
        text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        if is_new && text.contains("retry: ") {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            is_new = false;
            let _ = tell.send(Got::Begun);
        }
        while let Some(end) = text.find("\n\n") {
            let frame: String = text.drain(..end + 2).collect();
            let field = |name: &str| {
                let line = frame.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::trim)
            };
            let (Some(id), Some(data)) = (field("id:"), field("data:")) else {
                continue;
            };
            let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
            let at: Timestamp = data["at"]
                .as_str()
                .and_then(|at| at.parse().ok())
                .expect("a time");
            let _ = tell.send(Got::Event(id.to_owned(), now.duration_since(at)));
        }
    }
}
