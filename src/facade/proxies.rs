//! Where a request comes from, when proxies lie between: told by `Forwarded` (RFC 7239) or `X-Forwarded-For`, and believed
//! only as far as trusted proxies say it.
//!
//! Each proxy adds at the right whom it was connected to by. So the walk begins at the connection and goes on to the left
//! for as long as it stands at a proxy that is trusted: what stands further left, anybody may have written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warp::http::header::{self, HeaderMap, HeaderName};

/// Whom a proxy is that is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Proxy {
    /// Whoever has such an address.
    Within(Network),
    /// Whoever may connect to the daemon's Unix sockets.
    Unix,
}

/// Addresses that begin with the same bits, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Those whose first `bits` are those of `address`; nothing where an address has not so many.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// Whether `address` is one of them. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs) = (self.address, address.to_canonical());
        if ours.is_ipv4() != theirs.is_ipv4() {
            return false;
        }
        let free = u32::from(width(ours) - self.bits);
        number(ours).checked_shr(free) == number(theirs).checked_shr(free)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let none = || {
            format!("`{text}` is no proxy; it is an address, a network as in 10.0.0.0/8, or `unix`")
        };
        let address: IpAddr = address.parse().map_err(|_| none())?;
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| none())?,
            None => width(address),
        };
        let network = Network::new(address, bits).ok_or_else(none)?;
        Ok(Self::Within(network))
    }
}

impl TryFrom<String> for Proxy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> Self {
        match proxy {
            Proxy::Within(network) => network.to_string(),
            Proxy::Unix => "unix".to_owned(),
        }
    }
}

/// The header in which the trusted proxies tell. It is one, because a proxy writes one and passes the other on as its
/// client sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// `X-Forwarded-For`: addresses and commas.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address and port.
    Tcp(SocketAddr),
    /// A process on this machine that may use the socket.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Peer {
    /// Its address; that of this machine for a process on it.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Tcp(address) => address.ip().to_canonical(),
            Self::Unix => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// The proxies that are trusted, and how they tell. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    trusted: Arc<[Proxy]>,
    told: Told,
}

impl TrustedProxies {
    /// These ones, which tell in that header.
    pub fn new(trusted: &[Proxy], told: Told) -> Self {
        Self {
            trusted: trusted.into(),
            told,
        }
    }

    /// The address that a request of `peer` comes from. Where a trusted proxy does not say it, it is the proxy's.
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        let begins = peer.address();
        let trusted = match peer {
            Peer::Tcp(_) => self.trusts(begins),
            Peer::Unix => self.trusted.contains(&Proxy::Unix),
        };
        if !trusted {
            return begins;
        }
        let mut client = begins;
        for hop in self.hops(headers).into_iter().rev() {
            let Some(hop) = hop else { break };
            client = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        client
    }

    /// Whether it is one of them.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let mut trusted = self.trusted.iter();
        trusted.any(|proxy| matches!(proxy, Proxy::Within(network) if network.contains(address)))
    }

    /// Whom each proxy was connected to by, the first one first; nothing where that is hidden or no address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let name = match self.told {
            Told::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Told::Forwarded => header::FORWARDED,
        };
        let mut hops = Vec::new();
        for line in headers.get_all(name) {
            match (line.to_str(), self.told) {
                (Ok(line), Told::XForwardedFor) => listed(line, &mut hops),
                (Ok(line), Told::Forwarded) => elements(line, &mut hops),
                (Err(_), _) => hops.push(None),
            }
        }
        hops
    }
}

/// The addresses of a line of `X-Forwarded-For`.
fn listed(line: &str, hops: &mut Vec<Option<IpAddr>>) {
    hops.extend(line.split(',').map(|hop| node(hop.trim())));
}

/// The `for` of each element of a line of `Forwarded` (RFC 7239 §4). A line that is none tells of one proxy, and nothing.
fn elements(line: &str, hops: &mut Vec<Option<IpAddr>>) {
    let Some(elements) = parts(line, ',') else {
        hops.push(None);
        return;
    };
    for element in elements {
        let pairs = parts(element, ';').unwrap_or_default();
        let mut named = pairs.into_iter().filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case("for").then_some(value)
        });
        let (first, second) = (named.next(), named.next());
        let hop = first.filter(|_| second.is_none()).and_then(unquoted);
        hops.push(hop.and_then(|hop| node(&hop)));
    }
}

/// The parts of `text` between separators that are not within quotes; nothing where a quote does not end.
fn parts(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut begins) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[begins..at]);
                begins = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begins..]);
    (!quoted).then_some(parts)
}

/// A token as it is, a quoted string without its quotes (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let inner = rest.strip_suffix('"')?;
    let (mut text, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return None,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    (!escaped).then_some(text)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; nothing for `unknown` and `_hidden`.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(six) => IpAddr::V6(six.parse().ok()?),
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => with_port(text)?,
        },
    };
    Some(address.to_canonical())
}

/// RFC 7239 §6.3 lets a port be hidden, too.
fn with_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let hidden = port.strip_prefix('_').is_some_and(|name| !name.is_empty());
    if !hidden && port.parse::<u16>().is_err() {
        return None;
    }
    match address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(six) => six.parse().ok().map(IpAddr::V6),
        None => address.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use warp::http::HeaderValue;

    fn proxies(told: Told, trusted: &[&str]) -> TrustedProxies {
        let trusted: Vec<Proxy> = trusted.iter().map(|proxy| proxy.parse().unwrap()).collect();
        TrustedProxies::new(&trusted, told)
    }

    fn peer(address: &str) -> Peer {
        Peer::Tcp(SocketAddr::new(address.parse().unwrap(), 4711))
    }

    fn asked(proxies: &TrustedProxies, peer: Peer, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies.client(peer, &headers).to_string()
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_alike() {
        for (network, within, without) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.64/26", "192.0.2.127", "192.0.2.128"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::2", "10.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
        ] {
            let Proxy::Within(read) = network.parse().unwrap() else {
                panic!("{network}")
            };
            assert!(read.contains(within.parse().unwrap()), "{network} {within}");
            assert!(
                !read.contains(without.parse().unwrap()),
                "{network} {without}"
            );
            assert_eq!(read.to_string(), network);
        }
        for none in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "tv",
            "10.0.0.1/",
            "10.0.0.1/-1",
            "Unix",
        ] {
            assert!(none.parse::<Proxy>().is_err(), "{none}");
        }
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let near = proxies(Told::XForwardedFor, &["10.0.0.0/8", "::1"]);
        let list = |list| [("x-forwarded-for", list)];
        for (from, told, expected) in [
            // Nobody trusted says it.
            ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("::1", "198.51.100.1", "198.51.100.1"),
            ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
            // What the client wrote itself stands further left.
            ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1,10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "198.51.100.1:99", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:99", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            // Not said: the last one that is known.
            ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "1.1.1.1, ", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1, caf\u{e9}", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            assert_eq!(
                asked(&near, peer(from), &list(told)),
                expected,
                "{from} {told}"
            );
        }
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "198.51.100.1"),
        ];
        assert_eq!(asked(&near, peer("10.0.0.1"), &lines), "198.51.100.1");
        assert_eq!(asked(&near, peer("10.0.0.1"), &[]), "10.0.0.1");
        assert_eq!(
            asked(&near, peer("10.0.0.1"), &[("forwarded", "for=1.1.1.1")]),
            "10.0.0.1"
        );
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let near = proxies(Told::Forwarded, &["10.0.0.0/8"]);
        for (told, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            (
                "For=\"198.51.100.1:47011\"; proto=https;by=203.0.113.43",
                "198.51.100.1",
            ),
            (
                "proto=http;FOR=\"[2001:db8:cafe::17]:4711\"",
                "2001:db8:cafe::17",
            ),
            ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
            ("for=\"198.51.100.1:_gazonk\"", "198.51.100.1"),
            (
                "for=1.1.1.1, for=198.51.100.1 , for=10.0.0.2",
                "198.51.100.1",
            ),
            (
                "for=198.51.100.1;host=\"a,for=1.1.1.1;for=1.1.1.1\"",
                "198.51.100.1",
            ),
            (
                "for=198.51.100.1;host=\"a\\\",for=1.1.1.1\"",
                "198.51.100.1",
            ),
            ("for=\"198.51.1\\00.1\"", "198.51.100.1"),
            ("for=1.1.1.1, for=unknown", "10.0.0.1"),
            ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
            ("for=1.1.1.1, proto=https", "10.0.0.1"),
            ("for=1.1.1.1;for=2.2.2.2", "10.0.0.1"),
            ("for=1.1.1.1, for=\"2.2.2.2", "10.0.0.1"),
            ("for=\"1.1.1.1\"x", "10.0.0.1"),
            ("1.1.1.1", "10.0.0.1"),
        ] {
            let lines = [("forwarded", told), ("x-forwarded-for", "9.9.9.9")];
            assert_eq!(asked(&near, peer("10.0.0.1"), &lines), expected, "{told}");
        }
    }

    #[test]
    fn a_process_on_this_machine_is_a_proxy_only_if_it_was_said() {
        let list = [("x-forwarded-for", "198.51.100.1")];
        let local = proxies(Told::XForwardedFor, &["127.0.0.1"]);
        assert_eq!(asked(&local, Peer::Unix, &list), "127.0.0.1");
        let unix = proxies(Told::XForwardedFor, &["unix"]);
        assert_eq!(asked(&unix, Peer::Unix, &list), "198.51.100.1");
        assert_eq!(asked(&unix, peer("127.0.0.1"), &list), "127.0.0.1");
    }
}
