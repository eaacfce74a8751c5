//! The URL of an RTMP server: `rtmp://` or `rtmps://`, host, optional port, path of the app.
//!
//! Checks the text alone: a literal address that is loopback, private, link-local or otherwise not
//! public is refused unless the operator allows it. A name is checked once more, as the address it
//! resolves to, where the connection is made. Sentences never hold the path: some people put their
//! key there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Characters of a URL at most.
pub const MAX_URL_LENGTH: usize = 2_048;

/// The URL of an RTMP server, kept as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// As it was written.
    text: String,
    /// `rtmps`: the connection is encrypted.
    tls: bool,
    /// Where the host is in the text, without brackets.
    host: Range<usize>,
    /// The port, when one was written.
    port: Option<u16>,
    /// Where the app begins in the text, after the slash.
    app: usize,
}

/// A text that is no URL of an RTMP server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerUrl {
    /// It is too long.
    #[error("serverUrl has {0} characters; at most {MAX_URL_LENGTH} are allowed")]
    TooLong(usize),
    /// It holds a character that URLs do not.
    #[error("serverUrl holds a space, a control character or one beyond ASCII; percent-encode it")]
    Character,
    /// It is no rtmp or rtmps URL.
    #[error("serverUrl has to begin with rtmp:// or rtmps://")]
    Scheme,
    /// It holds a user name or a password.
    #[error("serverUrl holds credentials before an @; give the key as streamKey instead")]
    Credentials,
    /// It has no host, or none that can be.
    #[error("serverUrl has no valid host; a name such as live.example.com or an address is needed")]
    Host,
    /// The port is none.
    #[error("serverUrl has an invalid port; a number from 1 to 65535 is allowed")]
    Port,
    /// It names no app.
    #[error("serverUrl has no app path; it has to end like rtmp://host/app")]
    App,
    /// It has a fragment.
    #[error("serverUrl holds a #; a fragment has no meaning for RTMP")]
    Fragment,
    /// It points into a network that is not public.
    #[error(
        "serverUrl points at {0}, which is not a public address; \
         the operator has not allowed private destinations"
    )]
    NotPublic(String),
}

impl ServerUrl {
    /// Reads `text`; addresses that are not public only when `allow_private`.
    ///
    /// # Errors
    /// [`InvalidServerUrl`], the first thing wrong with it.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidServerUrl> {
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidServerUrl::TooLong(text.chars().count()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidServerUrl::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidServerUrl::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(InvalidServerUrl::Scheme),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidServerUrl::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let address = check_host(host)?;
        if path.contains('#') {
            return Err(InvalidServerUrl::Fragment);
        }
        let app = path.strip_prefix('/').ok_or(InvalidServerUrl::App)?;
        if app.trim_matches('/').is_empty() || app.starts_with(['/', '?']) {
            return Err(InvalidServerUrl::App);
        }
        if !allow_private && !is_public(host, address) {
            return Err(InvalidServerUrl::NotPublic(host.to_ascii_lowercase()));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let begin = scheme.len() + 3 + (host.len() > bare.len()) as usize;
        let app = text.len() - app.len();
        Ok(Self {
            text: text.to_owned(),
            tls,
            host: begin..begin + bare.len(),
            port,
            app,
        })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the connection is encrypted (`rtmps`).
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    /// The port: the one written, else 1935, or 443 for `rtmps`.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 1935 })
    }

    /// The path of the app, without the slashes before and after it.
    pub fn app(&self) -> &str {
        self.text[self.app..].trim_end_matches('/')
    }
}

pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidServerUrl> {
    let after_host = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(InvalidServerUrl::Host)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(after_host);
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').ok_or(InvalidServerUrl::Host)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidServerUrl::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(InvalidServerUrl::Port),
        Ok(port) => Ok((host, Some(port))),
    }
}

/// The literal address that `host` is, nothing when it is a name.
pub(crate) fn check_host(host: &str) -> Result<Option<IpAddr>, InvalidServerUrl> {
    if let Some(literal) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address: Ipv6Addr = literal.parse().map_err(|_| InvalidServerUrl::Host)?;
        return Ok(Some(address.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(InvalidServerUrl::Host);
    }
    // Resolvers read 127.1, 0177.0.0.1 and 0x7f000001 as addresses: a name never ends in a number.
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex)
    {
        let address: Ipv4Addr = name.parse().map_err(|_| InvalidServerUrl::Host)?;
        return Ok(Some(address.into()));
    }
    Ok(None)
}

/// Whether `address` is one of the open internet: neither loopback, private, link-local nor
/// reserved. To be asked about what a name resolves to, where the connection is made.
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

pub(crate) fn is_public(host: &str, address: Option<IpAddr>) -> bool {
    match address {
        Some(address) => is_public_address(address),
        None => {
            let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            !["localhost", "local", "internal"].iter().any(|end| {
                name.strip_suffix(end)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        }
    }
}

/// By the IANA special-purpose registry (RFC 6890).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 127
        || a >= 224
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        // Relays of 6to4, which are no more (RFC 7526).
        || (a == 192 && b == 88 && c == 99)
        || (a == 192 && b == 0 && c == 0))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        // Documentation, Teredo, ORCHID of both versions.
        [0x2001, 0xdb8, ..] | [0x2001, 0, ..] | [0x2001, 0x10..=0x2f, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast is 2000::/3 and nothing else.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        write!(f, "ServerUrl({scheme}://{}:{}/…)", self.host(), self.port())
    }
}
