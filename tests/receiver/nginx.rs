//! The process: one nginx without workers, its configuration and its files in one folder.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{APP, SHOWN, read, until};

/// Where Debian puts the module.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// nginx is in a folder that is not in everybody's `PATH`.
const PROGRAM: &str = "/usr/sbin/nginx";

/// Whether what is published is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recordings {
    Kept,
    None,
}

pub(super) struct Nginx {
    folder: PathBuf,
    listens: [SocketAddr; 2],
    /// Nothing while it is stopped.
    child: Mutex<Option<Child>>,
}

impl Nginx {
    pub(super) fn start(
        folder: &Path,
        rtmp: SocketAddr,
        http: SocketAddr,
        gate: SocketAddr,
        recordings: Recordings,
    ) -> Self {
        fs::create_dir(recorded(folder)).expect("a folder for recordings");
        fs::write(
            folder.join("nginx.conf"),
            configuration(folder, rtmp, http, gate, recordings),
        )
        .expect("writes the configuration");
        let nginx = Self {
            folder: folder.to_owned(),
            listens: [rtmp, http],
            child: Mutex::new(None),
        };
        nginx.run();
        nginx
    }

    /// Starts the process and waits until it listens.
    pub(super) fn run(&self) {
        self.with(|child| {
            assert!(child.is_none(), "nginx runs already");
            let said = File::create(self.folder.join("said.log")).expect("a log");
            // The kernel ends it when the thread that starts it ends, however that happens.
            let started = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "--", PROGRAM, "-c"])
                .arg(self.folder.join("nginx.conf"))
                .arg("-e")
                .arg(log_file(&self.folder))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(said)
                .spawn();
            *child = Some(started.expect("setpriv (util-linux) and nginx are installed"));
        });
        until("nginx listens", || {
            let ended = self.with(|child| child.as_mut()?.try_wait().expect("waits"));
            assert!(
                ended.is_none(),
                "nginx ended: {}",
                read(&self.folder.join("said.log"))
            );
            self.listens
                .iter()
                .all(|address| TcpStream::connect(address).is_ok())
        });
    }

    pub(super) fn pid(&self) -> u32 {
        self.with(|child| child.as_ref().expect("nginx runs").id())
    }

    pub(super) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {signal} {pid}"
        );
    }

    /// Ends it by `signal` and waits until it is gone.
    pub(super) fn end(&self, signal: &str) {
        self.signal(signal);
        until("nginx has ended", || {
            self.with(|child| {
                let ended = match child {
                    Some(child) => child.try_wait().expect("waits").is_some(),
                    None => true,
                };
                if ended {
                    *child = None;
                }
                ended
            })
        });
    }

    fn with<T>(&self, doing: impl FnOnce(&mut Option<Child>) -> T) -> T {
        doing(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.with(|child| {
            if let Some(mut child) = child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        });
    }
}

fn configuration(
    folder: &Path,
    rtmp: SocketAddr,
    http: SocketAddr,
    gate: SocketAddr,
    recordings: Recordings,
) -> String {
    let folder = folder.display();
    let record = match recordings {
        Recordings::Kept => "all",
        Recordings::None => "off",
    };
    format!(
        "load_module {MODULE};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 256; }}
rtmp {{
  access_log off;
  server {{
    listen {rtmp};
    application {APP} {{
      live on;
      on_publish http://{gate}/;
      record {record};
      record_unique on;
      record_path {folder}/recorded;
    }}
    application {SHOWN} {{
      live on;
      hls on;
      hls_path {folder}/hls;
      hls_fragment 2s;
      hls_playlist_length 12s;
    }}
  }}
}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {http};
    location /stat {{ rtmp_stat all; }}
    location /control {{ rtmp_control all; }}
    location /hls {{ root {folder}; }}
  }}
}}
"
    )
}

fn recorded(folder: &Path) -> PathBuf {
    folder.join("recorded")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("nginx.log")
}

pub(super) fn log(folder: &Path) -> String {
    read(&log_file(folder))
}

/// `<key>-<time>.flv`, by the time they were begun: the time is in whole seconds, so files of one second go
/// by their last change.
pub(super) fn recordings(folder: &Path, key: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u64, SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(recorded(folder))
        .expect("recordings")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let begun = name
            .strip_suffix(".flv")
            .and_then(|name| name.rsplit_once('-'))
            .filter(|(named, _)| *named == key)
            .and_then(|(_, time)| time.parse().ok());
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if let (Some(begun), Ok(changed)) = (begun, changed) {
            found.push((begun, changed, entry.path()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, _, path)| path).collect()
}
