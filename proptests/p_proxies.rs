//! Where a request comes from: what the trusted proxies say, and nothing that stands left of it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use playoutd::facade::proxies::{Peer, Told, TrustedProxies};
use proptest::collection::vec;
use proptest::prelude::*;
use warp::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::cases;

/// A proxy that is trusted: all are of 10.0.0.0/8.
fn proxy() -> impl Strategy<Value = IpAddr> {
    any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(10, b, c, d).into())
}

/// Somebody who is not.
fn stranger() -> impl Strategy<Value = IpAddr> {
    let four = any::<u32>().prop_filter("no proxy", |bits| bits >> 24 != 10);
    let six = any::<u128>().prop_filter("no IPv4", |bits| bits >> 32 != 0xffff);
    prop_oneof![
        four.prop_map(|bits| IpAddr::V4(bits.into())),
        six.prop_map(|bits| IpAddr::V6(bits.into())),
    ]
}

/// What a client may write into the header itself: no quotes, which a proxy would have to close.
fn forged() -> impl Strategy<Value = String> {
    "[ -!#-~]{0,60}"
}

fn written(told: Told, hop: IpAddr) -> String {
    match (told, hop) {
        (Told::XForwardedFor, hop) => hop.to_string(),
        (Told::Forwarded, IpAddr::V4(four)) => format!("for={four};proto=https"),
        (Told::Forwarded, IpAddr::V6(six)) => format!("proto=https;for=\"[{six}]:443\""),
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn what_stands_left_of_the_client_changes_nothing(
        told in prop_oneof![Just(Told::XForwardedFor), Just(Told::Forwarded)],
        forged in proptest::option::of(forged()),
        client in stranger(),
        proxies in vec(proxy(), 0..4),
        near in proxy(),
        lines in any::<bool>(),
    ) {
        let name = match told {
            Told::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Told::Forwarded => HeaderName::from_static("forwarded"),
        };
        // Each proxy adds whom it was connected to by: to the line, or in a line of its own.
        let mut headers = HeaderMap::new();
        let mut line = forged;
        for hop in std::iter::once(client).chain(proxies) {
            if lines && let Some(full) = line.take() {
                headers.append(&name, HeaderValue::from_str(&full).unwrap());
            }
            let mut longer = line.take().map(|line| line + ", ").unwrap_or_default();
            write!(longer, "{}", written(told, hop)).unwrap();
            line = Some(longer);
        }
        headers.append(&name, HeaderValue::from_str(&line.unwrap()).unwrap());
        let trusted = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()], told);
        let from = |address| Peer::Tcp(SocketAddr::new(address, 1));
        prop_assert_eq!(trusted.client(from(near), &headers), client);
        // Who is no proxy is the client, whatever it writes.
        prop_assert_eq!(trusted.client(from(client), &headers), client);
        // With nobody trusted, whoever is connected is.
        prop_assert_eq!(TrustedProxies::default().client(from(near), &headers), near);
    }

    #[test]
    fn whatever_is_written_is_read_without_a_panic(line in "\\PC{0,80}|[\"\\\\,;=for.:0-9\\[\\]]{0,80}") {
        for told in [Told::XForwardedFor, Told::Forwarded] {
            let trusted = TrustedProxies::new(&["unix".parse().unwrap(), "0.0.0.0/0".parse().unwrap()], told);
            let mut headers = HeaderMap::new();
            for name in ["x-forwarded-for", "forwarded"] {
                headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            trusted.client(Peer::Unix, &headers);
        }
    }
}
