//! How the command line reaches a daemon: by TCP, by TLS, or by its Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use playout_partners::TrustRoots;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::{HttpSettings, reachable};

/// What URLs look like.
const EXPECTED: &str = "expected http://HOST:PORT, https://HOST:PORT or unix:/PATH";

/// A way to a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// `host:port`.
    Plain(String),
    /// The same, encrypted.
    Tls {
        authority: String,
        /// Another address to connect to than that of its name.
        at: Option<SocketAddr>,
        /// The file of an authority that is trusted besides those of this machine.
        ca: Option<PathBuf>,
    },
    /// A socket on this machine.
    Unix(PathBuf),
}

/// A connection, whatever it goes over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Way {
    /// The way to `url`.
    ///
    /// # Errors
    /// One sentence when it is no address of a daemon.
    pub(super) fn to(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            return match path {
                "" => Err(format!("`{url}` names no socket; {EXPECTED}")),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (None, Some(rest)) => (rest, 443),
            (None, None) => {
                return Err(format!(
                    "`{url}` is not the daemon's own address; {EXPECTED}"
                ));
            }
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
            return Err(format!("`{url}`: {EXPECTED}"));
        }
        let authority = match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            _ => format!("{authority}:{port}"),
        };
        Ok(match port {
            80 => Self::Plain(authority),
            _ => Self::Tls {
                authority,
                at: None,
                ca: None,
            },
        })
    }

    /// The same, where it is encrypted, to `address`, whatever the name's own is.
    pub(super) fn through(mut self, address: Option<SocketAddr>) -> Self {
        if let Self::Tls { at, .. } = &mut self {
            *at = address;
        }
        self
    }

    /// The same, where it is encrypted, with the authority in a file trusted, too.
    pub(super) fn trusting(mut self, file: Option<&Path>) -> Self {
        if let Self::Tls { ca, .. } = &mut self {
            *ca = file.map(Path::to_owned);
        }
        self
    }

    /// What `Host` says.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Plain(authority) | Self::Tls { authority, .. } => authority,
            Self::Unix(_) => "localhost",
        }
    }

    /// A connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let told = |error: std::io::Error| error.to_string();
        match self {
            Self::Plain(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(told)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(told)?;
                Ok(Box::new(stream))
            }
            Self::Tls { authority, at, ca } => {
                let trusting = roots(ca.as_deref())?.client();
                let config = trusting.map_err(|error| error.to_string())?;
                let connector = TlsConnector::from(Arc::new(config));
                let host = authority
                    .rsplit_once(':')
                    .map_or(&**authority, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| format!("`{host}` is no name that a certificate can have"))?;
                let stream = match at {
                    Some(address) => TcpStream::connect(address).await,
                    None => TcpStream::connect(authority).await,
                };
                let stream = stream.map_err(told)?;
                let stream = connector.connect(name, stream).await.map_err(told)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// The URL of the daemon on this machine that is configured so, its Unix socket where it has one; and the address to connect
/// to in place of that of its name: an encrypted connection has to bear the name that others know it by.
pub(super) fn to_daemon(http: &HttpSettings) -> (String, Option<SocketAddr>) {
    let bound = reachable(http.bind);
    if let Some(path) = &http.unix_socket {
        return (format!("unix:{}", path.display()), None);
    }
    if !http.is_encrypted() {
        return (format!("http://{bound}"), None);
    }
    let named = http.public_url.as_deref();
    let named = named.and_then(|url| url.strip_prefix("https://"));
    match named.and_then(|rest| rest.split('/').next()) {
        Some(host) => (format!("https://{host}"), Some(bound)),
        None => (format!("https://{bound}"), None),
    }
}

/// Those that this machine trusts, and the one in the file.
fn roots(ca: Option<&Path>) -> Result<TrustRoots, String> {
    let system = TrustRoots::system();
    let Some(file) = ca else { return Ok(system) };
    let unusable = |why: String| {
        format!(
            "the certificates in {} cannot be used: {why}",
            file.display()
        )
    };
    let pem = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    system
        .and(&pem)
        .map_err(|error| unusable(error.to_string()))
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(authority) => write!(f, "http://{authority}"),
            Self::Tls {
                authority,
                at: None,
                ..
            } => write!(f, "https://{authority}"),
            Self::Tls {
                authority,
                at: Some(at),
                ..
            } => write!(f, "https://{authority} ({at})"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_daemon_of_a_configuration_is_reached_as_it_listens() {
        let shown = |text: &str| {
            let config = Config::parse(&format!("[http]\n{text}"), Path::new("my.toml")).unwrap();
            let (url, at) = to_daemon(&config.http);
            Way::to(&url).unwrap().through(at).to_string()
        };
        assert_eq!(shown("bind = \"0.0.0.0:81\""), "http://127.0.0.1:81");
        assert_eq!(shown("unix_socket = \"/run/tv.sock\""), "unix:/run/tv.sock");
        let tls = "tls_certificate = \"c\"\ntls_key = \"k\"\n";
        assert_eq!(shown(tls), "https://127.0.0.1:8080");
        assert_eq!(
            shown(&format!("{tls}public_url = \"https://tv.org/on\"")),
            "https://tv.org:443 (127.0.0.1:8080)"
        );
    }

    #[test]
    fn a_url_says_the_way() {
        for (url, shown, host) in [
            ("http://tv:8080/", "http://tv:8080", "tv:8080"),
            ("http://[::1]", "http://[::1]:80", "[::1]:80"),
            (
                "https://tv.example.org",
                "https://tv.example.org:443",
                "tv.example.org:443",
            ),
            (
                "https://tv.example.org:80",
                "https://tv.example.org:80",
                "tv.example.org:80",
            ),
            ("unix:/run/tv.sock", "unix:/run/tv.sock", "localhost"),
        ] {
            let way = Way::to(url).unwrap();
            assert_eq!((&*way.to_string(), way.host()), (shown, host));
        }
        for none in [
            "",
            "tv",
            "ftp://tv",
            "http://",
            "https://a@tv",
            "http://tv/on",
            "https://tv?x",
            "unix:",
        ] {
            let refused = Way::to(none).unwrap_err();
            assert!(refused.contains("unix:/PATH"), "{refused}");
        }
    }
}
