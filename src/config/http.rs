//! What the listeners are told, and what of it cannot be right.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::check::{Fault, folder, public_url};
use super::{HttpSettings, reachable};

/// The longest path of a Unix socket, with the ending that it has until it listens (`sockaddr_un`, `unix(7)`).
const LONGEST_PATH: usize = 103;

impl HttpSettings {
    /// Whether connections by TCP are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls_certificate.is_some()
    }

    /// The URL of a listener by TCP.
    pub(super) fn url(&self, bound: SocketAddr) -> String {
        let scheme = match self.is_encrypted() {
            true => "https",
            false => "http",
        };
        format!("{scheme}://{}", reachable(bound))
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let of = |key: &'static str| move |sentence: String| (key, sentence);
        let url = |given: &Option<String>| given.as_deref().map_or(Ok(()), public_url);
        url(&self.public_url).map_err(of("http.public_url"))?;
        url(&self.viewer_url).map_err(of("http.viewer_url"))?;
        if self.viewer_bind == Some(self.bind) && self.bind.port() != 0 {
            let sentence = "is the address of http.bind; viewers have one of their own, or none";
            return Err(("http.viewer_bind", sentence.to_owned()));
        }
        let file = |given: &Option<PathBuf>| given.as_deref().map_or(Ok(()), folder);
        file(&self.tls_certificate).map_err(of("http.tls_certificate"))?;
        file(&self.tls_key).map_err(of("http.tls_key"))?;
        file(&self.unix_socket).map_err(of("http.unix_socket"))?;
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => {
                let sentence = "needs http.tls_key, the file of its private key".to_owned();
                return Err(("http.tls_certificate", sentence));
            }
            (None, Some(_)) => {
                let sentence = "needs http.tls_certificate, the file of the certificate".to_owned();
                return Err(("http.tls_key", sentence));
            }
            _ => {}
        }
        let path = self.unix_socket.as_deref();
        if path.is_some_and(|path| path.as_os_str().len() > LONGEST_PATH) {
            let sentence = format!("is longer than {LONGEST_PATH} bytes, the most for a socket");
            return Err(("http.unix_socket", sentence));
        }
        origins(&self.cors_origins).map_err(of("http.cors_origins"))
    }
}

/// Origins as browsers send them (RFC 6454 §6.2), or `*` alone.
fn origins(origins: &[String]) -> Result<(), String> {
    if origins == ["*"] {
        return Ok(());
    }
    for origin in origins {
        if origin == "*" {
            return Err("names `*` beside others: it is all of them".to_owned());
        }
        let authority = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        let plain = authority.is_some_and(|authority| {
            !authority.contains('/')
                && public_url(origin).is_ok()
                && !authority.bytes().any(|b| b.is_ascii_uppercase())
        });
        if !plain {
            return Err(format!(
                "`{origin}` is no origin; it is a scheme, a host in lower case and perhaps a port, as in https://dash.example.org"
            ));
        }
    }
    Ok(())
}
