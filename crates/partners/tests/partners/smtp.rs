//! Mail: what a server gets, and what comes of one that refuses, hangs or speaks no TLS.

use playout_domain::alert::route::Mailbox;
use playout_partners::smtp::{MailError, Mailer, SmtpConfig, SmtpTls};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;

use playout_partners::testing::{Fault, MailServer};

const PASSWORD: &str = "hunter2-sesame";

fn config(server: &MailServer, tls: SmtpTls) -> SmtpConfig {
    SmtpConfig {
        host: "localhost".to_owned(),
        port: server.address.port(),
        tls,
        credentials: None,
        from: "playoutd <tv@example.org>".to_owned(),
        authority: None,
    }
}

async fn send(mailer: &Mailer) -> Result<(), MailError> {
    let to: Mailbox = "ops@example.com".parse().unwrap();
    let subject = "Kanal „Früh“ steht\r\nBcc: everybody@example.net";
    let text = "One line.\n.\nA line after a dot.\n".to_owned();
    mailer.send(&to, "0195d1a4", subject, text).await
}

#[tokio::test]
async fn a_mail_arrives_whole_and_nothing_breaks_out_of_its_subject() {
    let mut server = MailServer::start(Fault::default(), None).await;
    let mailer = Mailer::new(config(&server, SmtpTls::None)).unwrap();
    send(&mailer).await.unwrap();
    let mail = server.next().await;
    assert!(mail.from.contains("<tv@example.org>"), "{mail:?}");
    assert!(mail.to.contains("<ops@example.com>"), "{mail:?}");
    let (head, body) = mail.text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("Message-ID: <0195d1a4@example.org>"),
        "{head}"
    );
    assert!(head.contains("\r\nDate: "), "{head}");
    let fields = head.split("\r\n").filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = fields.filter_map(|line| line.split(':').next()).collect();
    assert!(!names.contains(&"Bcc"), "{head}");
    assert_eq!(body.trim_end(), "One line.\r\n.\r\nA line after a dot.");
}

#[tokio::test]
async fn a_refusal_for_good_is_told_from_one_that_passes() {
    for (command, answer, for_good) in [
        ("RCPT", "550 no such user", true),
        ("MAIL", "553 not from you", true),
        ("RCPT", "451 later", false),
        ("EHLO", "421 closing", false),
    ] {
        let mut server = MailServer::start(Fault { command, answer }, None).await;
        let mailer = Mailer::new(config(&server, SmtpTls::None)).unwrap();
        let refused = send(&mailer).await.unwrap_err();
        assert_eq!(
            matches!(refused, MailError::Refused(_)),
            for_good,
            "{answer}: {refused}"
        );
        assert!(refused.to_string().contains(&answer[4..]), "{refused}");
        assert!(server.is_idle());
    }
    // Nobody listens there.
    let server = MailServer::start(Fault::default(), None).await;
    let mut nowhere = config(&server, SmtpTls::None);
    nowhere.port = 1;
    let refused = send(&Mailer::new(nowhere).unwrap()).await.unwrap_err();
    assert!(matches!(refused, MailError::Failed(_)), "{refused}");
}

#[tokio::test]
async fn with_starttls_the_password_goes_out_encrypted_or_not_at_all() {
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
    let with_password = |server: &MailServer, authority: Option<String>| {
        let mut config = config(server, SmtpTls::StartTls);
        config.credentials = Some(("tv".to_owned(), PASSWORD.to_owned().into()));
        config.authority = authority.map(String::into_bytes);
        Mailer::new(config).unwrap()
    };
    let mut server = MailServer::start(Fault::default(), Some(tls)).await;
    let mailer = with_password(&server, Some(cert.pem()));
    assert!(!format!("{mailer:?}").contains(PASSWORD));
    send(&mailer).await.unwrap();
    let mail = server.next().await;
    assert!(mail.tls && mail.login.is_some(), "{mail:?}");
    // A certificate of nobody that is trusted.
    let refused = send(&with_password(&server, None)).await.unwrap_err();
    assert!(!refused.to_string().contains(PASSWORD));
    // A server without TLS gets neither the password nor the mail.
    let mut plain = MailServer::start(Fault::default(), None).await;
    let refused = send(&with_password(&plain, Some(cert.pem()))).await;
    assert!(refused.is_err());
    assert!(server.is_idle() && plain.is_idle());
}

#[test]
fn a_sender_that_is_none_is_refused_in_a_sentence() {
    let config = SmtpConfig {
        host: "localhost".to_owned(),
        port: 25,
        tls: SmtpTls::None,
        credentials: None,
        from: "nobody".to_owned(),
        authority: None,
    };
    let refused = Mailer::new(config).unwrap_err().to_string();
    assert!(refused.contains("\"nobody\""), "{refused}");
}
