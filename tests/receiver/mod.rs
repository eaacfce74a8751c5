//! A platform that receives: Debian's nginx with its RTMP module, a private process on addresses of its own.
//!
//! The app is `live`, beside it `shown` with HLS; every other is refused, by closing the connection without a word, as nginx does. A
//! stream key is taken unless it was [`Receiver::deny`]ed: nginx asks a callback. What is published is
//! recorded. The process can be stopped, killed, frozen and started again on the same ports, and ends with
//! its test: by `Drop`, or by the kernel when the thread that started it ends.
//!
//! Each test process has a loopback address to itself (127.64.0.0 and up, by its pid), so that no other
//! process can take a port while nginx is down.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test binaries include it, each uses a part"
)]

mod gate;
mod http;
mod nginx;
mod stat;
mod tls;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use stat::Publisher;
pub use tls::TlsFront;

use gate::Gate;
use nginx::{Nginx, Recordings};

/// The app that takes streams.
pub const APP: &str = "live";

/// The app whose streams are shown as HLS, too; it takes every key.
pub const SHOWN: &str = "shown";

/// What is waited for comes within this.
const BOUND: Duration = Duration::from_secs(30);

/// A receiving platform; all of it goes when it is dropped.
pub struct Receiver {
    nginx: Nginx,
    gate: Gate,
    rtmp: SocketAddr,
    http: SocketAddr,
    folder: TempDir,
}

impl Receiver {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        Self::with(Recordings::Kept)
    }

    /// One that records nothing, for long runs.
    pub fn without_recordings() -> Self {
        Self::with(Recordings::None)
    }

    fn with(recordings: Recordings) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("receiver-")
            .tempdir()
            .expect("a folder");
        let [rtmp, http] = free_addresses();
        let gate = Gate::open(own_address());
        let nginx = Nginx::start(folder.path(), rtmp, http, gate.address(), recordings);
        Self {
            nginx,
            gate,
            rtmp,
            http,
            folder,
        }
    }

    /// Where it takes RTMP.
    pub fn address(&self) -> SocketAddr {
        self.rtmp
    }

    /// The URL of the app, without a key.
    pub fn url(&self) -> String {
        self.url_of(APP)
    }

    /// The URL of an app that may not exist.
    pub fn url_of(&self, app: &str) -> String {
        format!("rtmp://{}/{app}", self.rtmp)
    }

    /// Where a stream of [`SHOWN`] is shown.
    pub fn hls_url(&self, name: &str) -> String {
        format!("http://{}/hls/{name}.m3u8", self.http)
    }

    /// The pid of nginx.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.nginx.pid()
    }

    /// Ends nginx in order: publishers are cut off, recordings are whole.
    pub fn stop(&self) {
        self.nginx.end("TERM");
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.nginx.end("KILL");
    }

    /// Holds nginx still: connections stay open, and nothing is read from them.
    pub fn freeze(&self) {
        self.nginx.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.nginx.signal("CONT");
    }

    /// Starts it again on the same ports, after [`Self::stop`] or [`Self::kill`].
    pub fn start_again(&self) {
        self.nginx.run();
    }

    /// Who publishes now.
    pub fn publishers(&self) -> Vec<Publisher> {
        let stat = http::get(self.http, "/stat").expect("nginx answers");
        stat::publishers(&stat)
    }

    /// Who publishes under `key` now.
    pub fn publisher(&self, key: &str) -> Option<Publisher> {
        self.publishers().into_iter().find(|p| p.name == key)
    }

    /// Waits until somebody publishes under `key` and media has come.
    pub fn until_published(&self, key: &str) -> Publisher {
        self.until_received(key, 1)
    }

    /// Waits until whoever publishes under `key` has sent so many bytes.
    pub fn until_received(&self, key: &str, bytes: u64) -> Publisher {
        let mut publisher = None;
        until(&format!("{bytes} bytes of {key} have come"), || {
            publisher = self.publisher(key).filter(|p| p.bytes_in >= bytes);
            publisher.is_some()
        });
        publisher.expect("a publisher")
    }

    /// Waits until nobody publishes under `key`.
    pub fn until_unpublished(&self, key: &str) {
        until(&format!("{key} is not published"), || {
            self.publisher(key).is_none()
        });
    }

    /// Cuts off who publishes under `key`; answers whether anybody did.
    pub fn drop_publisher(&self, key: &str) -> bool {
        let order = format!("/control/drop/publisher?app={APP}&name={key}");
        let dropped = http::get(self.http, &order).expect("nginx answers");
        dropped.trim() != "0" && !dropped.trim().is_empty()
    }

    /// From now on nobody may publish under `key`. Who does goes on.
    pub fn deny(&self, key: &str) {
        self.gate.deny(key);
    }

    /// Takes [`Self::deny`] back.
    pub fn allow(&self, key: &str) {
        self.gate.allow(key);
    }

    /// The keys under which publishing was asked for, in that order. nginx passes on 255 characters.
    pub fn asked(&self) -> Vec<String> {
        self.gate.asked()
    }

    /// The recordings of what was published under `key`, the oldest first: FLV, whole after [`Self::stop`]
    /// and once its publisher is gone.
    pub fn recordings(&self, key: &str) -> Vec<PathBuf> {
        nginx::recordings(self.folder.path(), key)
    }

    /// What nginx has logged.
    pub fn log(&self) -> String {
        nginx::log(self.folder.path())
    }

    /// Puts TLS before it, with a certificate for `host` (a name or an address) by an authority that nobody
    /// trusts yet.
    pub fn tls(&self, host: &str) -> TlsFront {
        TlsFront::start(host, self.rtmp, self.folder.path())
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("the receiver's log ends:\n{}", tail.join("\n"));
        }
    }
}

/// An address on which nobody listens, and which nobody else is given: for what is put before a receiver.
pub fn free_address() -> SocketAddr {
    let [address] = free_addresses();
    address
}

/// The loopback address of this test process.
fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + (high & 0x3f), middle, low).into()
}

/// Ports of our own address on which nobody listens, and which nobody else is given.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    std::array::from_fn(|_| {
        loop {
            let listener = TcpListener::bind((own_address(), 0)).expect("a port");
            let address = listener.local_addr().expect("an address");
            if given.insert(address.port()) {
                return address;
            }
        }
    })
}

/// Waits until `condition` holds, at most half a minute.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < BOUND, "waited {BOUND:?} until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
