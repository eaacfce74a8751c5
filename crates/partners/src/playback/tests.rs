//! Looks at servers that answer, and at servers that hang, flood, lie, redirect and lead inside.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use playout_domain::destination::PlaybackUrl;
use playout_domain::far_end::{Look, Newest};
use proptest::prelude::*;

use super::Looker;
use super::fetch::join;
use super::hls::{Manifest, read};
use crate::address::Reach;
use crate::testing::{Behaviour, Receiver};
use crate::tls::TrustRoots;

const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:41\n\
                     #EXTINF:6.0,\na.ts?token=1\n#EXTINF:6.0,\nb.ts?token=2\n";
const MASTER: &str = "#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360\nlow/media.m3u8\n";

fn looker() -> Looker {
    Looker::new(&TrustRoots::nobody(), Reach::Anywhere).within(Duration::from_secs(20))
}

fn url(receiver: &Receiver, path: &str) -> PlaybackUrl {
    PlaybackUrl::parse(&format!("http://{}{path}", receiver.address), true).unwrap()
}

fn document(body: &str) -> Behaviour {
    let length = body.len();
    Behaviour::Answers(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

fn redirect(to: &str) -> Behaviour {
    Behaviour::Answers(format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn newest(sequence: u64) -> Look {
    Look::Playlist(Newest {
        next: sequence,
        numbered: true,
        segment: "b.ts".to_owned(),
        target: Duration::from_secs(6),
    })
}

/// Looks at a server that behaves so.
async fn look(behaviour: Behaviour) -> Look {
    let receiver = Receiver::start(behaviour).await;
    looker().look(&url(&receiver, "/x.m3u8")).await
}

fn is_unknown(look: &Look, why: &str) -> bool {
    matches!(look, Look::Unknown(said) if said.contains(why))
}

#[tokio::test]
async fn a_playlist_says_what_is_newest() {
    assert_eq!(look(document(MEDIA)).await, newest(43));
    let ended = look(document(&format!("{MEDIA}#EXT-X-ENDLIST\n"))).await;
    assert!(
        matches!(&ended, Look::Still(why) if why.contains("ENDLIST")),
        "{ended:?}"
    );
    let empty = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:41\n";
    let empty = look(document(empty)).await;
    assert!(
        matches!(&empty, Look::Still(why) if why.contains("no segment")),
        "{empty:?}"
    );
}

#[tokio::test]
async fn a_master_playlist_is_followed_to_a_media_playlist_and_no_further() {
    let mut receiver = Receiver::start(document(MASTER)).await;
    let (looker, url) = (looker(), url(&receiver, "/tv/master.m3u8?t=1"));
    let looking = tokio::spawn(async move { looker.look(&url).await });
    let first = receiver.next().await;
    assert!(
        first.line.starts_with("GET /tv/master.m3u8?t=1 "),
        "{}",
        first.line
    );
    assert_eq!(first.headers["accept-encoding"], "identity");
    let second = receiver.next().await;
    assert!(
        second.line.starts_with("GET /tv/low/media.m3u8 "),
        "{}",
        second.line
    );
    let look = looking.await.unwrap();
    assert!(is_unknown(&look, "another master playlist"), "{look:?}");
    assert!(receiver.is_idle());
}

#[tokio::test]
async fn a_server_that_says_there_is_nothing_is_told_from_one_that_fails() {
    for (line, still) in [
        ("404 Not Found", true),
        ("410 Gone", true),
        ("403 Forbidden", false),
        ("500 Internal Server Error", false),
        ("204 No Content", false),
    ] {
        let look = look(Behaviour::status(line)).await;
        let told = match &look {
            Look::Still(why) if still => why,
            Look::Unknown(why) if !still => why,
            other => panic!("{line}: {other:?}"),
        };
        assert!(
            told.contains(&line[..3]) && !told.contains("x.m3u8"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_hangs_leaves_floods_or_babbles_says_nothing_in_bounded_time_and_memory() {
    let receiver = Receiver::start(Behaviour::Hangs).await;
    let hasty = looker().within(Duration::from_millis(300));
    let look_at = hasty.look(&url(&receiver, "/x.m3u8")).await;
    assert!(
        is_unknown(&look_at, "did not come within 0.3 s"),
        "{look_at:?}"
    );
    let left = look(Behaviour::Leaves).await;
    assert!(is_unknown(&left, "does not speak HTTP"), "{left:?}");
    // A head without end, and one that is none.
    let head = look(Behaviour::Floods("x: y\r\n")).await;
    assert!(is_unknown(&head, "does not speak HTTP"), "{head:?}");
    // A body without end.
    let endless = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:6\n";
    let receiver = Receiver::start(Behaviour::Begins(endless, "#EXTINF:6.0,\na.ts\n")).await;
    let flooded = looker().look(&url(&receiver, "/x.m3u8")).await;
    assert!(
        is_unknown(&flooded, "more than 1048576 bytes"),
        "{flooded:?}"
    );
    for garbage in [
        "",
        "hello",
        "\0\u{1}\u{2}",
        "#EXTM3U\n",
        "<html>#EXTM3U</html>",
    ] {
        let look = look(document(garbage)).await;
        assert!(
            is_unknown(&look, "no HLS playlist"),
            "{garbage:?}: {look:?}"
        );
    }
    let nobody = PlaybackUrl::parse("http://127.0.0.1:1/x.m3u8", true).unwrap();
    let look = looker().look(&nobody).await;
    assert!(is_unknown(&look, "no connection"), "{look:?}");
}

#[tokio::test]
async fn redirects_are_followed_a_few_times() {
    let target = Receiver::start(document(MEDIA)).await;
    let to = format!("http://{}/y.m3u8", target.address);
    assert_eq!(look(redirect(&to)).await, newest(43));
    let mut round = Receiver::start(redirect("/again.m3u8")).await;
    let looked = looker().look(&url(&round, "/x.m3u8")).await;
    assert!(is_unknown(&looked, "more than 5 times"), "{looked:?}");
    for _ in 0..6 {
        round.next().await;
    }
    assert!(round.is_idle());
}

#[tokio::test]
async fn nothing_leads_to_an_address_that_may_not_be_reached() {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let only_here =
        Looker::new(&TrustRoots::nobody(), Reach::Only(here)).within(Duration::from_secs(20));
    let mut inside = Receiver::start(document(MEDIA)).await;
    let port = inside.address.port();
    // The same server by an address that may not be reached.
    let forbidden = format!("http://127.0.0.2:{port}/secret.m3u8");
    let master = MASTER.replace("low/media.m3u8", &forbidden);
    for lure in [redirect(&forbidden), document(&master)] {
        let receiver = Receiver::start(lure).await;
        let look = only_here.look(&url(&receiver, "/x.m3u8")).await;
        assert!(
            is_unknown(&look, "a network that is not public"),
            "{look:?}"
        );
    }
    for elsewhere in [
        "file:///etc/passwd",
        "ftp://a.example/x",
        "gopher://127.0.0.1/",
        "rtmp://a.example/b/c",
    ] {
        let receiver = Receiver::start(redirect(elsewhere)).await;
        let look = only_here.look(&url(&receiver, "/x.m3u8")).await;
        assert!(
            is_unknown(&look, "http:// or https://"),
            "{elsewhere}: {look:?}"
        );
    }
    assert!(inside.is_idle(), "nobody was led inside");
    let public = Looker::new(&TrustRoots::nobody(), Reach::Public);
    let look = public.look(&url(&inside, "/x.m3u8")).await;
    assert!(is_unknown(&look, "not public"), "{look:?}");
    assert!(inside.is_idle());
}

#[tokio::test]
async fn an_encrypted_server_is_verified() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        )
        .unwrap();
    let receiver = Receiver::with_tls(document(MEDIA), tls).await;
    let url = format!("https://localhost:{}/x.m3u8", receiver.address.port());
    let url = PlaybackUrl::parse(&url, true).unwrap();
    let look = looker().look(&url).await;
    assert!(
        is_unknown(&look, "no trusted encrypted connection"),
        "{look:?}"
    );
    let roots = TrustRoots::of(key.cert.pem().as_bytes()).unwrap();
    assert_eq!(
        Looker::new(&roots, Reach::Anywhere).look(&url).await,
        newest(43)
    );
}

#[test]
fn references_are_joined_as_rfc_3986_says_and_checked() {
    let PlaybackUrl::Hls(base) =
        PlaybackUrl::parse("https://tv.example.com/a/b.m3u8?x=1", false).unwrap()
    else {
        panic!("it is HLS");
    };
    for (reference, joined) in [
        ("c.m3u8", "https://tv.example.com/a/c.m3u8"),
        ("../c.m3u8?y#z", "https://tv.example.com/c.m3u8?y"),
        ("//8.8.4.4/c", "https://8.8.4.4/c"),
        (
            "http://other.example.com:81/",
            "http://other.example.com:81/",
        ),
    ] {
        assert_eq!(
            join(&base, reference, Reach::Public).unwrap().as_str(),
            joined
        );
    }
    for wrong in [
        "http://127.1/",
        "http://0x7f000001/",
        "//[::1]/",
        "http://me:pw@8.8.4.4/",
        "http://localhost/",
    ] {
        assert!(join(&base, wrong, Reach::Public).is_err(), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_document_makes_it_panic(lines in prop::collection::vec(line(), 0..30), cut in any::<prop::sample::Index>()) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let body = &text.as_bytes()[..cut.index(text.len() + 1)];
        if let Manifest::Master(uri) = read(body) {
            prop_assert!(!uri.is_empty());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let read = read(&bytes);
        prop_assert!(matches!(read, Manifest::Media(Look::Unknown(_))) || bytes.starts_with(b"#EXTM3U"));
    }
}

/// A line of a playlist, right or nearly so.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("#EXT-X-TARGETDURATION:6".to_owned()),
        "#EXT-X-(TARGETDURATION|MEDIA-SEQUENCE|VERSION|DISCONTINUITY-SEQUENCE):[0-9]{0,25}",
        "#EXTINF:[0-9.-]{0,6},[ -~é]{0,4}",
        "#EXT-X-(STREAM-INF|MEDIA|KEY|MAP|DATERANGE|PROGRAM-DATE-TIME|BYTERANGE|START):[A-Z0-9=\",:@T.+-]{0,20}",
        "[ -~é]{0,12}",
    ]
}
