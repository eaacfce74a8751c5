//! Where a channel may be pushed to: RTMP URLs, and which addresses are public.

use playout_domain::destination::{InvalidServerUrl, MAX_URL_LENGTH, ServerUrl, is_public_address};
use proptest::prelude::*;

fn refused(text: &str) -> InvalidServerUrl {
    ServerUrl::parse(text, false).expect_err(text)
}

#[test]
fn a_url_is_taken_apart_and_kept_as_it_was_written() {
    for (text, tls, host, port, app) in [
        (
            "rtmp://a.rtmp.youtube.com/live2",
            false,
            "a.rtmp.youtube.com",
            1935,
            "live2",
        ),
        (
            "RTMPS://live-api-s.facebook.com:443/rtmp/",
            true,
            "live-api-s.facebook.com",
            443,
            "rtmp",
        ),
        (
            "rtmps://x.example.com/app/inst?a=b",
            true,
            "x.example.com",
            443,
            "app/inst?a=b",
        ),
        ("rtmp://8.8.8.8:1936/app", false, "8.8.8.8", 1936, "app"),
        (
            "rtmp://[2606:4700::1111]:1936/app",
            false,
            "2606:4700::1111",
            1936,
            "app",
        ),
        (
            "rtmp://[2606:4700::1111]/app",
            false,
            "2606:4700::1111",
            1935,
            "app",
        ),
        (
            "rtmp://example.com./app",
            false,
            "example.com.",
            1935,
            "app",
        ),
    ] {
        let url = ServerUrl::parse(text, false).expect(text);
        assert_eq!(
            (
                url.as_str(),
                url.is_tls(),
                url.host(),
                url.port(),
                url.app()
            ),
            (text, tls, host, port, app)
        );
    }
}

#[test]
fn each_mistake_is_told_as_what_it_is() {
    for (text, expected) in [
        ("", InvalidServerUrl::Scheme),
        ("live.example.com/app", InvalidServerUrl::Scheme),
        ("http://live.example.com/app", InvalidServerUrl::Scheme),
        ("rtmp://live.example.com/a b", InvalidServerUrl::Character),
        ("rtmp://live.example.com/a\n", InvalidServerUrl::Character),
        ("rtmp://lïve.example.com/a", InvalidServerUrl::Character),
        (
            "rtmp://user:pass@live.example.com/app",
            InvalidServerUrl::Credentials,
        ),
        ("rtmp:///app", InvalidServerUrl::Host),
        ("rtmp://-a.example.com/app", InvalidServerUrl::Host),
        ("rtmp://a..b/app", InvalidServerUrl::Host),
        ("rtmp://[::1/app", InvalidServerUrl::Host),
        ("rtmp://[1.2.3.4]/app", InvalidServerUrl::Host),
        ("rtmp://live.example.com:0/app", InvalidServerUrl::Port),
        ("rtmp://live.example.com:65536/app", InvalidServerUrl::Port),
        ("rtmp://live.example.com:/app", InvalidServerUrl::Port),
        ("rtmp://live.example.com:+1/app", InvalidServerUrl::Port),
        ("rtmp://live.example.com", InvalidServerUrl::App),
        ("rtmp://live.example.com/", InvalidServerUrl::App),
        ("rtmp://live.example.com//app", InvalidServerUrl::App),
        ("rtmp://live.example.com?app", InvalidServerUrl::App),
        ("rtmp://live.example.com/app#x", InvalidServerUrl::Fragment),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    let long = format!("rtmp://live.example.com/{}", "a".repeat(MAX_URL_LENGTH));
    assert_eq!(refused(&long), InvalidServerUrl::TooLong(long.len()));
}

#[test]
fn an_address_that_is_not_public_is_refused_however_it_is_written() {
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "x.localhost",
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:db8::1]",
    ] {
        let text = format!("rtmp://{host}/app");
        assert!(
            matches!(
                refused(&text),
                InvalidServerUrl::NotPublic(_) | InvalidServerUrl::Host
            ),
            "{host}: {:?}",
            refused(&text)
        );
    }
    for host in [
        "172.32.0.1",
        "172.15.0.1",
        "100.128.0.1",
        "11.0.0.1",
        "1.1.1.1",
        "[2606:4700::1111]",
    ] {
        assert!(
            ServerUrl::parse(&format!("rtmp://{host}/app"), false).is_ok(),
            "{host}"
        );
    }
    assert!(
        ServerUrl::parse("rtmp://127.0.0.1/app", true).is_ok()
            && ServerUrl::parse("rtmp://localhost:1935/app", true).is_ok()
    );
}

#[test]
fn the_path_is_in_no_sentence() {
    for text in [
        "rtmp://10.0.0.1/secret-key",
        "http://a.example.com/secret-key",
        "rtmp://a.example.com:0/secret-key",
        "rtmp://a.example.com/secret-key#",
    ] {
        assert!(
            !refused(text).to_string().contains("secret"),
            "{}",
            refused(text)
        );
    }
    let url = ServerUrl::parse("rtmp://a.example.com/secret-key", false).expect("a URL");
    assert!(!format!("{url:?}").contains("secret"));
}

/// Any text that looks like a URL; addresses often.
fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        "(rtmps?|http)://[ -~é]{0,40}",
        "rtmp://[0-9]{1,3}(\\.[0-9]{1,3}){3}(:[0-9]{1,6})?/[a-z/]{0,4}",
        "rtmps?://\\[[0-9a-f:]{2,12}(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?\\]/[a-z]{1,4}",
        "rtmp://(10|127|169|192|8)\\.[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}/a",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic_and_what_is_accepted_is_what_it_says(text in url()) {
        if let Ok(url) = ServerUrl::parse(&text, false) {
            prop_assert_eq!(url.as_str(), text.as_str());
            prop_assert!(text.contains(url.host()) && text.trim_end_matches('/').ends_with(url.app()) && url.port() > 0);
            let host = url.host().parse::<std::net::IpAddr>();
            prop_assert!(host.is_err() || host.is_ok_and(is_public_address), "{}", text);
        }
    }
}
