//! Webhooks: signed as Standard Webhooks wants it, judged by its reference implementation; and receivers
//! that fail, hang, redirect, leave, flood and want nothing more.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::alert::route::WebhookUrl;
use playout_partners::TrustRoots;
use playout_partners::address::Reach;
use playout_partners::webhook::{EXCERPT, WebhookError, WebhookSecret, Webhooks};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;

use playout_partners::testing::{Behaviour, Receiver};

const BODY: &str = r#"{"type":"alert.opened","data":{"title":"täglich"}}"#;

fn webhooks(limit: Duration) -> Webhooks {
    Webhooks::trusting(&TrustRoots::nobody(), Reach::Anywhere, limit)
}

fn url(receiver: &Receiver) -> WebhookUrl {
    let text = format!("http://{}/in/t0ken?x=1", receiver.address);
    WebhookUrl::parse(&text, true).unwrap()
}

async fn send(webhooks: &Webhooks, url: &WebhookUrl) -> Result<u16, WebhookError> {
    let secret = WebhookSecret::generate().unwrap();
    let body = Bytes::from_static(BODY.as_bytes());
    let sent = webhooks.send(url, &secret, "msg_1", body, Timestamp::now());
    sent.await.map(|status| status.as_u16())
}

/// What comes of a receiver that behaves so, in a sentence.
async fn refusal(behaviour: Behaviour) -> WebhookError {
    let mut receiver = Receiver::start(behaviour).await;
    let limit = Duration::from_secs(10);
    let refused = send(&webhooks(limit), &url(&receiver)).await.unwrap_err();
    receiver.next().await;
    assert!(receiver.is_idle(), "one request, one answer");
    assert!(!refused.to_string().contains("t0ken"), "{refused}");
    refused
}

#[tokio::test]
async fn what_is_sent_is_verified_by_the_reference_implementation() {
    let mut receiver = Receiver::start(Behaviour::status("204 No Content")).await;
    let secret = WebhookSecret::generate().unwrap();
    let webhooks = webhooks(Duration::from_secs(10));
    let body = Bytes::from_static(BODY.as_bytes());
    let sent = webhooks
        .send(&url(&receiver), &secret, "msg_1", body, Timestamp::now())
        .await;
    assert_eq!(sent.unwrap().as_u16(), 204);
    let received = receiver.next().await;
    assert_eq!(received.line, "POST /in/t0ken?x=1 HTTP/1.1");
    assert_eq!(received.body, BODY.as_bytes());
    assert_eq!(received.headers["host"], receiver.address.to_string());
    assert_eq!(received.headers["content-type"], "application/json");
    assert_eq!(received.headers["webhook-id"], "msg_1");

    let text = secret.reveal();
    assert!(received.is_signed_with(&text));
    let mut forged = received;
    forged.body[10] ^= 1;
    assert!(!forged.is_signed_with(&text));
    forged.body[10] ^= 1;
    let other = WebhookSecret::generate().unwrap();
    assert!(!forged.is_signed_with(&other.reveal()));
}

#[tokio::test]
async fn a_receiver_that_does_not_take_it_is_told_apart() {
    let refused = refusal(Behaviour::status("500 Internal Server Error")).await;
    assert!(matches!(refused, WebhookError::Status(status) if status == 500));
    assert!(matches!(
        refusal(Behaviour::status("410 Gone")).await,
        WebhookError::Gone
    ));
    assert!(matches!(
        refusal(Behaviour::Leaves).await,
        WebhookError::Http(_)
    ));
    let garbage = Behaviour::Answers("220 mail.example.org ESMTP\r\n".to_owned());
    assert!(matches!(refusal(garbage).await, WebhookError::Http(_)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Receiver::start(Behaviour::status("200 OK")).await;
    for line in ["302 Found", "307 Temporary Redirect"] {
        let answer = format!(
            "HTTP/1.1 {line}\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
            elsewhere.address
        );
        let refused = refusal(Behaviour::Answers(answer)).await;
        assert!(matches!(refused, WebhookError::Redirect(_)), "{refused}");
    }
    assert!(elsewhere.is_idle());
}

#[tokio::test]
async fn a_receiver_that_hangs_is_not_waited_for() {
    let mut receiver = Receiver::start(Behaviour::Hangs).await;
    let limit = Duration::from_millis(300);
    let refused = send(&webhooks(limit), &url(&receiver)).await.unwrap_err();
    assert!(matches!(refused, WebhookError::TimedOut(_)), "{refused}");
    receiver.next().await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    // A body: its status is enough.
    let begun = Behaviour::Answers("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n".into());
    let receiver = Receiver::start(begun).await;
    let webhooks = webhooks(Duration::from_secs(10));
    assert_eq!(send(&webhooks, &url(&receiver)).await.unwrap(), 200);
    // A head: there is a bound.
    let refused = refusal(Behaviour::Floods(
        "X-Filler: 0123456789012345678901234567890\r\n",
    ))
    .await;
    assert!(matches!(refused, WebhookError::Http(_)), "{refused}");
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let refused = refusal(Behaviour::Answers(head)).await;
    assert!(matches!(refused, WebhookError::Http(_)), "{refused}");
}

#[tokio::test]
async fn an_address_that_is_not_public_is_refused_whatever_its_name() {
    let mut receiver = Receiver::start(Behaviour::status("200 OK")).await;
    let limit = Duration::from_secs(10);
    let webhooks = Webhooks::trusting(&TrustRoots::nobody(), Reach::Public, limit);
    let port = receiver.address.port();
    for inside in [
        format!("http://127.0.0.1:{port}/"),
        // A name that was fine when it was written and leads inside now.
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let url = WebhookUrl::parse(&inside, true).unwrap();
        let refused = send(&webhooks, &url).await.unwrap_err();
        assert!(
            matches!(refused, WebhookError::Unresolved(_)),
            "{inside}: {refused}"
        );
    }
    assert!(receiver.is_idle());
    let nowhere = WebhookUrl::parse("http://127.0.0.1:1/", true).unwrap();
    let anywhere = Webhooks::trusting(&TrustRoots::nobody(), Reach::Anywhere, limit);
    let refused = send(&anywhere, &nowhere).await.unwrap_err();
    assert!(matches!(refused, WebhookError::Connect(_)), "{refused}");
}

#[tokio::test]
async fn a_certificate_is_checked_with_its_name() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut receiver = Receiver::with_tls(Behaviour::status("200 OK"), tls).await;
    let trusted = TrustRoots::nobody().and(cert.pem().as_bytes()).unwrap();
    let limit = Duration::from_secs(10);
    let to = |host: &str| {
        let text = format!("https://{host}:{}/", receiver.address.port());
        WebhookUrl::parse(&text, true).unwrap()
    };
    let (by_name, by_address) = (to("localhost"), to("127.0.0.1"));
    let knowing = Webhooks::trusting(&trusted, Reach::Anywhere, limit);
    assert_eq!(send(&knowing, &by_name).await.unwrap(), 200);
    assert_eq!(receiver.next().await.line, "POST / HTTP/1.1");
    let refused = send(&knowing, &by_address).await.unwrap_err();
    assert!(matches!(refused, WebhookError::Tls(_)), "{refused}");
    let refused = send(&webhooks(limit), &by_name).await.unwrap_err();
    assert!(matches!(refused, WebhookError::Tls(_)), "{refused}");
    assert!(receiver.is_idle());
}

#[tokio::test]
async fn two_secrets_sign_at_once_and_of_any_answer_its_beginning_is_kept() {
    let refusal =
        "HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 16\r\n\r\nwhat is \u{1b}[1mthat?";
    let mut receiver = Receiver::start(Behaviour::Answers(refusal.to_owned())).await;
    let secrets = [(); 2].map(|()| WebhookSecret::generate().unwrap());
    let webhooks = webhooks(Duration::from_secs(10));
    let ask = async |receiver: &Receiver| {
        let (body, url) = (Bytes::from_static(BODY.as_bytes()), url(receiver));
        let asked = webhooks.ask_receiver(&url, &secrets, "msg_1", body, Timestamp::now());
        asked.await.unwrap()
    };
    let answered = ask(&receiver).await;
    assert_eq!(answered.status, 422);
    assert_eq!(answered.excerpt, "what is [1mthat");
    let taken = answered.taken().unwrap_err();
    assert!(matches!(taken, WebhookError::Status(status) if status == 422));
    let received = receiver.next().await;
    for secret in &secrets {
        assert!(received.is_signed_with(&secret.reveal()));
    }
    let other = WebhookSecret::generate().unwrap();
    assert!(!received.is_signed_with(&other.reveal()));

    // A body without an end is cut, one that does not come is not waited for.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    receiver.behave(Behaviour::Begins(head, "flood "));
    let answered = ask(&receiver).await;
    assert_eq!(
        (answered.status.as_u16(), answered.excerpt.len()),
        (200, EXCERPT)
    );
    receiver.behave(Behaviour::Answers(format!("{head}begun")));
    assert_eq!(ask(&receiver).await.excerpt, "begun");
}
