//! nginx, serving files: what the daemon is compared with. It ends with the measurement.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{folder, until};

/// nginx is in a folder that is not in everybody's `PATH`.
const PROGRAM: &str = "/usr/sbin/nginx";

/// A running nginx.
pub struct Nginx {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Nginx {
    /// Starts one, with as many workers as there are cores.
    pub fn start() -> Self {
        let folder = folder();
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(folder.path(), address)).expect("writes");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", PROGRAM, "-c"])
            .arg(config)
            .arg("-e")
            .arg(folder.path().join("nginx.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv (util-linux) and nginx are installed");
        until("nginx listens", Duration::from_secs(10), || {
            TcpStream::connect(address).is_ok()
        });
        Self {
            folder,
            address,
            child,
        }
    }

    /// Serves `body` at `path`; where that is.
    pub fn serve(&self, path: &str, body: &[u8]) -> String {
        let file = self.folder.path().join("served").join(&path[1..]);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, body).expect("writes");
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM takes its workers along.
        crate::daemon::signal_process(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "user root;
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; multi_accept on; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  open_file_cache max=100 inactive=60s;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {address}; root {folder}/served; add_header Cache-Control \"public, max-age=2\"; }}
}}
"
    )
}
