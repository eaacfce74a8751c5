//! From the host of a client's URL to addresses that may be connected to.
//!
//! Invariants: a [`Checked`] holds only addresses that were allowed, and whoever connects to one of them looks
//! nothing up again, so a name that answers something else the next moment changes nothing. Look-ups that hang
//! hold up other look-ups at most.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use playout_domain::config::Policy;
use playout_domain::destination::is_public_address;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Addresses of one name that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Look-ups at the same time. Each takes a thread of those that segments are written by, too, and keeps it until
/// the resolver gives up, whoever has stopped waiting.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those of the open internet alone: what clients may ask for.
    #[default]
    Public,
    /// Loopback, private and link-local ones, too: the operator has allowed it.
    Anywhere,
    /// One address alone.
    #[cfg(test)]
    Only(IpAddr),
}

impl Reach {
    /// Whether `address` may be connected to.
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public_address(address),
            Self::Anywhere => true,
            #[cfg(test)]
            Self::Only(one) => one == address,
        }
    }
}

impl From<Policy> for Reach {
    fn from(policy: Policy) -> Self {
        if policy.allow_private_destinations {
            Self::Anywhere
        } else {
            Self::Public
        }
    }
}

/// Addresses that may be connected to, best first; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(Vec<SocketAddr>);

impl Checked {
    /// Keeps those of `found` that `reach` allows, in their order, each once and at most 8.
    ///
    /// # Errors
    /// [`Unresolved::NotPublic`] when only others were found, [`Unresolved::Nothing`] when none was.
    pub fn among(
        found: impl IntoIterator<Item = SocketAddr>,
        reach: Reach,
    ) -> Result<Self, Unresolved> {
        let mut allowed = Vec::new();
        let mut refused = false;
        for address in found {
            if !reach.allows(address.ip()) {
                refused = true;
            } else if allowed.len() < MAX_ADDRESSES && !allowed.contains(&address) {
                allowed.push(address);
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(Self(allowed)),
            (true, true) => Err(Unresolved::NotPublic),
            (true, false) => Err(Unresolved::Nothing),
        }
    }

    /// The addresses, in the order in which they are to be tried.
    pub fn all(&self) -> &[SocketAddr] {
        &self.0
    }

    /// Connects to the first that answers; each gets an equal share of the time that is left of `within`.
    ///
    /// # Errors
    /// What the last one said; [`io::ErrorKind::TimedOut`] where it said nothing.
    pub async fn connect(&self, within: Duration) -> io::Result<(TcpStream, SocketAddr)> {
        let until = Instant::now() + within;
        let silent = || io::Error::from(io::ErrorKind::TimedOut);
        let mut trouble = silent();
        for (n, &address) in self.0.iter().enumerate() {
            let others = (self.0.len() - n) as u32;
            let share = until.saturating_duration_since(Instant::now()) / others;
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, address));
                }
                Ok(Err(error)) => trouble = error,
                Err(_) => trouble = silent(),
            }
        }
        Err(trouble)
    }
}

/// Why a host leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The resolver knows no such name, or does not answer.
    #[error("the name cannot be resolved: {0}")]
    Lookup(#[source] io::Error),
    /// The name exists but has no address.
    #[error("the name has no address")]
    Nothing,
    /// It leads into a network that is not public. Where in it is not said: who asks may be a stranger there.
    #[error("it leads into a network that is not public")]
    NotPublic,
}

/// Looks `host` up, a name or a literal address without brackets, and answers where it may be connected
/// to. The look-up has no limit of its own beyond the resolver's.
///
/// # Errors
/// [`Unresolved`]: not found, or nothing of it is allowed by `reach`.
pub async fn resolve(host: &str, port: u16, reach: Reach) -> Result<Checked, Unresolved> {
    if let Ok(literal) = host.parse::<IpAddr>() {
        return Checked::among([SocketAddr::new(literal, port)], reach);
    }
    let turn = LOOKUPS.acquire().await;
    let name = host.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        (name.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<_>>)
    });
    let found = looking.await.map_err(io::Error::other).flatten();
    Checked::among(found.map_err(Unresolved::Lookup)?, reach)
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, address) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { ", " };
            write!(f, "{gap}{address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 1935)
    }

    #[test]
    fn only_public_addresses_are_kept_and_each_once() {
        let found = ["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1111", "1.1.1.1"].map(at);
        let checked = Checked::among(found, Reach::Public).unwrap();
        assert_eq!(checked.all(), ["1.1.1.1", "2606:4700::1111"].map(at));
        let checked = Checked::among(found, Reach::Anywhere).unwrap();
        assert_eq!(checked.all().len(), 4);
    }

    #[test]
    fn a_name_that_leads_only_inside_is_refused_without_the_address() {
        for inside in [
            "127.0.0.1",
            "192.168.0.9",
            "169.254.169.254",
            "224.0.0.1",
            "192.0.2.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            let refused = Checked::among([at(inside)], Reach::Public).unwrap_err();
            assert!(
                matches!(refused, Unresolved::NotPublic) && !refused.to_string().contains(inside),
                "{inside}: {refused}"
            );
        }
        assert!(matches!(
            Checked::among([], Reach::Anywhere),
            Err(Unresolved::Nothing)
        ));
    }

    #[test]
    fn one_name_is_not_tried_without_end() {
        let many = (0..100).map(|n| SocketAddr::new([8, 8, 8, n].into(), 1935));
        assert_eq!(
            Checked::among(many, Reach::Public).unwrap().all().len(),
            MAX_ADDRESSES
        );
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let refused = resolve("localhost", 1935, Reach::Public).await.unwrap_err();
        assert!(matches!(refused, Unresolved::NotPublic), "{refused}");
        let checked = resolve("localhost", 1935, Reach::Anywhere).await.unwrap();
        assert!(checked.all().iter().all(|a| a.ip().is_loopback()));
    }

    #[tokio::test]
    async fn a_literal_address_is_judged_as_it_is() {
        let refused = resolve("::1", 1935, Reach::Public).await.unwrap_err();
        assert!(matches!(refused, Unresolved::NotPublic), "{refused}");
        let checked = resolve("127.0.0.1", 443, Reach::from(Policy::default())).await;
        assert!(matches!(checked, Err(Unresolved::NotPublic)));
    }
}
