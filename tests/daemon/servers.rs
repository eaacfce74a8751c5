//! The private servers of a daemon, and what is done to them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::daemon::{BOUND, Daemon, is_running, signal_process, until};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Postgres,
    Redis,
}

impl Server {
    /// What its own process is called.
    fn program(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis-server",
        }
    }

    /// What `/readyz` calls it.
    fn part(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// Its own process; nothing between two.
    pub fn pid(self, daemon: &Daemon) -> Option<u32> {
        children(daemon.pid())
            .into_iter()
            .find(|pid| name(*pid).as_deref() == Some(self.program()))
    }

    /// Sends a signal to it and to everything that it has started; answers its own process.
    pub fn signal(self, daemon: &Daemon, signal: &str) -> u32 {
        let mut own = None;
        until("the server runs", BOUND, || {
            own = self.pid(daemon);
            own.is_some()
        });
        let own = own.expect("a process");
        let all = children(own);
        signal_process(own, signal);
        all.iter().for_each(|pid| signal_process(*pid, signal));
        own
    }

    /// Whether the daemon has found it to work.
    pub fn works(self, daemon: &Daemon) -> bool {
        let answer = daemon.try_get("/readyz").expect("it answers");
        answer.json()["parts"][self.part()] == true
    }

    /// What the daemon says of it: `works`, `full` or `away`.
    pub fn condition(self, daemon: &Daemon) -> String {
        let answer = daemon.try_get("/readyz").expect("it answers").json();
        let condition = answer["parts"]["conditions"][self.part()].as_str();
        condition.unwrap_or_default().to_owned()
    }

    /// Waits until the daemon has found it to be so.
    pub fn found(self, daemon: &Daemon, works: bool) {
        let what = format!(
            "{self:?} is found to {}work",
            if works { "" } else { "not " }
        );
        until(&what, BOUND, || self.works(daemon) == works);
    }

    /// Waits until another process does its work than `before`.
    pub fn replaced(self, daemon: &Daemon, before: u32) {
        until("another process has taken over", BOUND, || {
            !is_running(before) && self.pid(daemon).is_some_and(|pid| pid != before)
        });
    }
}

/// What the database says; asked as anybody with access to its socket would. Nothing while it does not
/// answer.
pub fn query(data: &Path, sql: &str) -> Option<String> {
    let psql = Command::new("psql")
        .arg("-h")
        .arg(data.join("run/postgres"))
        .args(["-U", "playoutd", "-At", "-c", sql, "playoutd"])
        .stderr(Stdio::null())
        .output()
        .expect("psql runs");
    let text = String::from_utf8_lossy(&psql.stdout).trim().to_owned();
    psql.status.success().then_some(text)
}

/// What was done with a channel, as the audit has it, oldest first.
pub fn audited(data: &Path, channel: &str) -> Vec<String> {
    let sql = format!("SELECT operation FROM audit WHERE subject_id = '{channel}' ORDER BY seq");
    let text = query(data, &sql).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A connection to PostgreSQL that only takes up its place.
pub fn occupy(data: &Path) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(data.join("run/postgres/.s.PGSQL.5432")).ok()?;
    // Protocol 3.0, StartupMessage.
    let named = b"user\0playoutd\0database\0playoutd\0\0";
    let length = u32::try_from(named.len() + 8).expect("short");
    let mut message = length.to_be_bytes().to_vec();
    message.extend(196_608_u32.to_be_bytes());
    message.extend(named);
    stream.write_all(&message).ok()?;
    let mut kind = [0];
    stream.read_exact(&mut kind).ok()?;
    // Authentication, not an error.
    (kind == *b"R").then_some(stream)
}

/// A connection to Redis, for orders to it.
pub struct RedisPlace(UnixStream);

impl RedisPlace {
    pub fn take(data: &Path) -> Self {
        Self(UnixStream::connect(data.join("run/redis/redis.sock")).expect("a place"))
    }

    /// Gives an order, which has to be carried out.
    pub fn say(&mut self, order: &str) {
        self.0
            .write_all(format!("{order}\r\n").as_bytes())
            .expect("sends");
        let mut answer = [0; 256];
        let length = self.0.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(!answer.starts_with('-'), "{order}: {answer}");
    }
}

/// A small disk in the place of a folder, with what was in it; gone with the test. Only root can mount one.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn over(folder: &Path, mib: u32) -> Option<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).expect("renames");
        std::fs::create_dir(folder).expect("a folder");
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(folder));
        let disk = mounted.then(|| Self(folder.to_owned()));
        if disk.is_none() {
            println!("a small disk can be mounted by root only: not tested here");
        }
        let copied = run(Command::new("cp").arg("-aT").arg(&aside).arg(folder));
        assert!(copied, "what was in the folder is copied");
        std::fs::remove_dir_all(aside).expect("removes");
        disk
    }

    /// Takes all the room there is, until the file is removed.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        for size in [1 << 16, 512, 1] {
            let chunk = vec![0; size];
            while file.write_all(&chunk).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may take a moment to be gone.
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// The processes that `parent` has started.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}
