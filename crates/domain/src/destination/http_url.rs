//! The URL of an HTTP resource that the daemon reads: `http://` or `https://`, host, optional port, path.
//!
//! Checks the text alone, as [`ServerUrl`](super::ServerUrl) does. Neither sentences nor debug output hold the
//! path: it may be what keeps others out.

use std::fmt;
use std::ops::Range;

use super::server_url::{MAX_URL_LENGTH, check_host, is_public, split_port};

/// The URL of an HTTP resource, kept as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// As it was written.
    text: String,
    /// `https`: the connection is encrypted.
    tls: bool,
    /// Where the host is in the text, without brackets.
    host: Range<usize>,
    /// Where host and port are.
    authority: Range<usize>,
    /// The port, when one was written.
    port: Option<u16>,
}

/// What is wrong with a URL; whoever names the field makes a sentence of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHttpUrl {
    /// It is too long.
    #[error("has {0} characters; at most {MAX_URL_LENGTH} are allowed")]
    TooLong(usize),
    /// It holds a character that URLs do not.
    #[error(
        "holds a space, a backslash, a control character or one beyond ASCII; percent-encode it"
    )]
    Character,
    /// It is no http or https URL.
    #[error("has to begin with http:// or https://")]
    Scheme,
    /// It holds a user name or a password.
    #[error("holds credentials before an @, which are not sent")]
    Credentials,
    /// It has no host, or none that can be.
    #[error("has no valid host; a name such as tv.example.com or an address is needed")]
    Host,
    /// The port is none.
    #[error("has an invalid port; a number from 1 to 65535 is allowed")]
    Port,
    /// It has a fragment.
    #[error("holds a #; a fragment is never sent")]
    Fragment,
    /// It points into a network that is not public.
    #[error(
        "points at {0}, which is not a public address; the operator has not allowed private destinations"
    )]
    NotPublic(String),
}

impl HttpUrl {
    /// Reads `text`; addresses that are not public only when `allow_private`.
    ///
    /// # Errors
    /// [`InvalidHttpUrl`], the first thing wrong with it.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidHttpUrl> {
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidHttpUrl::TooLong(text.chars().count()));
        }
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if !text.bytes().all(allowed) {
            return Err(InvalidHttpUrl::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidHttpUrl::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidHttpUrl::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidHttpUrl::Credentials);
        }
        let (host, port) = split_port(authority).map_err(|wrong| match wrong {
            super::InvalidServerUrl::Port => InvalidHttpUrl::Port,
            _ => InvalidHttpUrl::Host,
        })?;
        let address = check_host(host).map_err(|_| InvalidHttpUrl::Host)?;
        if path.contains('#') {
            return Err(InvalidHttpUrl::Fragment);
        }
        if !allow_private && !is_public(host, address) {
            return Err(InvalidHttpUrl::NotPublic(host.to_ascii_lowercase()));
        }
        let begin = scheme.len() + "://".len();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host_begin = begin + usize::from(host.len() > bare.len());
        Ok(Self {
            text: text.to_owned(),
            tls,
            host: host_begin..host_begin + bare.len(),
            authority: begin..begin + authority.len(),
            port,
        })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    /// Host and port as they were written: what the `Host` header names.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }

    /// The port: the one written, else 443, or 80 without TLS.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Path and query, beginning with a slash.
    pub fn path(&self) -> String {
        match &self.text[self.authority.end..] {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "HttpUrl({scheme}://{}/…)", self.authority())
    }
}
