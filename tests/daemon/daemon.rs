//! The real daemon, on a folder and a port of its own; killed when the test ends, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{self, Answer, EventStream};

/// What tests wait for comes within this, unless they say otherwise: a busy machine prepares media last.
pub const BOUND: Duration = Duration::from_secs(180);

/// Waits until `condition` holds; what is waited for and a bound say what went wrong where it never does.
/// The longer it takes, the less often it looks: looking is most of what a test costs that waits for media.
pub fn until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        let waited = begun.elapsed();
        assert!(waited < bound, "waited {bound:?} until {what}");
        let pause = (waited / 20).clamp(Duration::from_millis(20), Duration::from_millis(100));
        std::thread::park_timeout(pause);
    }
}

/// A folder for a daemon's data, removed at the end.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("playoutd-")
        .tempdir()
        .expect("a folder")
}

/// A running daemon.
pub struct Daemon {
    child: Mutex<Child>,
    data: PathBuf,
    address: String,
    token: String,
}

impl Daemon {
    /// Starts a daemon on `data` and waits until it answers. `settings` is TOML.
    pub fn start(data: &Path, settings: &str) -> Self {
        Self::start_with(data, settings, &[])
    }

    /// Starts a daemon whose stores are away, and waits until it answers.
    pub fn start_without_stores(data: &Path) -> Self {
        Self::launch(data, "", &[], &[], &[], false)
    }

    /// The same with more flags for `serve`.
    pub fn start_with(data: &Path, settings: &str, flags: &[&str]) -> Self {
        Self::start_in(data, settings, flags, &[])
    }

    /// The same, with everything logged that can be.
    pub fn start_talkative(data: &Path, settings: &str) -> Self {
        Self::start_in(data, settings, &[], &[("RUST_LOG", Path::new("trace"))])
    }

    /// The same with programs of the test's own before all others.
    pub fn start_with_programs(data: &Path, settings: &str, programs: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [programs.to_owned()].into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
        let path = PathBuf::from(path.expect("a search path"));
        Self::start_in(data, settings, &[], &[("PATH", &path)])
    }

    /// The same with more in its environment.
    pub fn start_in(
        data: &Path,
        settings: &str,
        flags: &[&str],
        environment: &[(&str, &Path)],
    ) -> Self {
        Self::launch(data, settings, flags, environment, &[], true)
    }

    /// The same, by a program that is given the daemon's command line and becomes it.
    pub fn start_by(data: &Path, settings: &str, launcher: &[&str]) -> Self {
        Self::launch(data, settings, &[], &[], launcher, true)
    }

    fn launch(
        data: &Path,
        settings: &str,
        flags: &[&str],
        environment: &[(&str, &Path)],
        launcher: &[&str],
        whole: bool,
    ) -> Self {
        let config = data.with_extension("toml");
        let own = "[log]\nformat = \"json\"\n";
        let bind = "[http]\nbind = \"127.0.0.1:0\"\n";
        let settings = match settings.contains("[http]\n") {
            true => settings.replacen("[http]\n", bind, 1),
            false => format!("{settings}\n{bind}"),
        };
        let media = match settings.contains("[media]") {
            true => "",
            false => "[media]\nprepare_on_import = false\n",
        };
        std::fs::write(&config, format!("{settings}\n{own}{media}"))
            .expect("writes the configuration");
        let log = File::options()
            .create(true)
            .append(true)
            .open(data.with_extension("log"))
            .expect("a log");
        let program = [env!("CARGO_BIN_EXE_playoutd")];
        let mut words = launcher.iter().chain(&program);
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(data)
            .args(flags)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        let before =
            std::fs::metadata(data.with_extension("log")).map_or(0, |log| log.len() as usize);
        let mut daemon = Self {
            child: Mutex::new(child),
            data: data.to_owned(),
            address: String::new(),
            token: String::new(),
        };
        until("the daemon is ready", BOUND, || {
            if let Ok(Some(status)) = daemon.child().try_wait() {
                panic!("the daemon ended with {status}:\n{}", daemon.log());
            }
            let ready = daemon.log().get(before..).and_then(ready_at);
            ready.is_some_and(|address| {
                daemon.address = address;
                true
            })
        });
        // What is encrypted is spoken to by its socket.
        if let Some(path) = unix_socket(&settings) {
            daemon.address = format!("unix:{path}");
        }
        let token = std::fs::read_to_string(data.join("admin.token")).expect("the admin token");
        daemon.token = token.trim().to_owned();
        until("the daemon is ready", BOUND, || {
            let answer = daemon.try_get("/readyz");
            answer.is_some_and(|answer| answer.status == 200 || !whole)
        });
        daemon
    }

    /// Everything the daemon has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// `host:port`, or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// `GET` without a token; nothing while nobody answers.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        http::request(&self.address, "GET", path, &[], b"").ok()
    }

    /// Any request with the admin token.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let path = format!("/api/v1{path}");
        http::request(&self.address, method, &path, &all, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}\n{}", self.log()))
    }

    /// A request with a JSON body, which has to be answered with success.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let answer = self.ask(method, path, &[("Content-Type", "application/json")], &body);
        assert!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        if answer.body.is_empty() {
            Value::Null
        } else {
            answer.json()
        }
    }

    pub fn get(&self, path: &str) -> Value {
        self.api("GET", path, &Value::Null)
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.api("POST", path, body)
    }

    /// The API's event stream.
    pub fn events(&self, query: &str) -> EventStream {
        let bearer = format!("Bearer {}", self.token);
        EventStream::open(
            &self.address,
            &format!("/api/v1/events{query}"),
            &[("Authorization", &bearer)],
        )
    }

    /// Imports a file; answers its id.
    pub fn import(&self, path: &Path) -> String {
        let report = self.post("/media", &json!({ "path": path }));
        report["accepted"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("refused: {report}"))
            .to_owned()
    }

    /// Waits until an item is prepared into the profile of a 240p channel.
    pub fn prepared(&self, media: &str) {
        until("the item is prepared", BOUND, || self.is_prepared(media));
    }

    /// Whether an item is prepared into the profile of a 240p channel.
    pub fn is_prepared(&self, media: &str) -> bool {
        let item = self.get(&format!("/media/{media}"));
        let ready = |rendition: &Value| {
            let profile = rendition["profile"].as_str().unwrap_or_default();
            profile.starts_with("240p25") && rendition["status"] == "ready"
        };
        item["renditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(ready))
    }

    /// Where an item's prepared file is.
    pub fn prepared_file(&self, media: &str) -> PathBuf {
        let folders = std::fs::read_dir(self.data.join("media/prepared")).expect("prepared media");
        let mut files = folders
            .flatten()
            .map(|folder| folder.path().join(format!("{media}.ts")));
        files
            .find(|file| file.exists() && file.to_string_lossy().contains("/240p25"))
            .expect("a prepared file")
    }

    /// A 240p channel that plays `media` in a loop, off air; answers its id.
    pub fn channel(&self, media: &[&str]) -> String {
        let channel = self.post(
            "/channels",
            &json!({ "name": "Test", "resolution": "240p" }),
        );
        let id = channel["id"].as_str().expect("an id").to_owned();
        let items: Vec<Value> = media
            .iter()
            .map(|media| json!({ "mediaId": media }))
            .collect();
        self.api(
            "PUT",
            &format!("/channels/{id}/rotation"),
            &json!({ "items": items }),
        );
        id
    }

    pub fn operate(&self, channel: &str, operation: &str) -> Value {
        self.post(&format!("/channels/{channel}/{operation}"), &Value::Null)
    }

    pub fn status(&self, channel: &str) -> String {
        let status = self.get(&format!("/channels/{channel}/status"));
        status["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Starts a channel and waits until it is LIVE.
    pub fn on_air(&self, channel: &str) {
        self.operate(channel, "start");
        until("the channel is LIVE", BOUND, || {
            self.status(channel) == "LIVE"
        });
    }

    /// The pids of a channel's FFmpeg processes.
    pub fn sources(&self, channel: &str) -> Vec<u32> {
        let processes = self.get(&format!("/channels/{channel}/processes"));
        let processes = processes["items"].as_array().cloned().unwrap_or_default();
        let pids = processes
            .iter()
            .filter_map(|process| process["ffmpegPid"].as_u64());
        pids.filter_map(|pid| u32::try_from(pid).ok()).collect()
    }

    /// Kills what a channel reads from, as soon as there is something; answers what that was.
    pub fn kill_sources(&self, channel: &str) -> Vec<u32> {
        let mut killed = Vec::new();
        until("there is a source to kill", BOUND, || {
            killed = self.sources(channel);
            !killed.is_empty()
        });
        killed.iter().for_each(|pid| signal_process(*pid, "KILL"));
        killed
    }

    /// The pids of a channel's FFmpeg processes, what reads and what pushes apart.
    pub fn sources_and_pushes(&self, channel: &str) -> [Vec<u32>; 2] {
        let listed = self.get(&format!("/channels/{channel}/processes"));
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        [false, true].map(|pushes| {
            items
                .iter()
                .filter(|p| (p["outputTargets"][0]["kind"] == "rtmp") == pushes)
                .filter_map(|p| u32::try_from(p["ffmpegPid"].as_u64()?).ok())
                .collect()
        })
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }

    /// Waits for the daemon's end.
    pub fn ended(&self) -> ExitStatus {
        let mut status = None;
        until("the daemon has ended", BOUND, || {
            status = self.child().try_wait().expect("waits");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child().try_wait(), Ok(None)) {
            self.signal("TERM");
            let begun = Instant::now();
            while matches!(self.child().try_wait(), Ok(None))
                && begun.elapsed() < Duration::from_secs(20)
            {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            let _ = self.child().kill();
            let _ = self.child().wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!(
                "the daemon's log ends:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        let _ = std::fs::remove_file(self.data.with_extension("toml"));
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(self.data.with_extension("log"));
        }
    }
}

/// The `host:port` that the log names as ready.
fn ready_at(log: &str) -> Option<String> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ready = lines.filter(|line| line["message"] == "ready");
    let url = ready.next()?["url"].as_str()?.to_owned();
    let (_, address) = url.split_once("://")?;
    Some(address.trim_end_matches('/').to_owned())
}

/// The path of `http.unix_socket`.
fn unix_socket(settings: &str) -> Option<&str> {
    let mut lines = settings.lines();
    let path = lines.find_map(|line| line.strip_prefix("unix_socket = "))?;
    Some(path.trim_matches('"'))
}

/// Sends a signal by its name.
pub fn signal_process(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    assert!(sent.is_ok(), "kill runs");
}

/// Whether a process is there (and not merely waiting to be reaped).
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
