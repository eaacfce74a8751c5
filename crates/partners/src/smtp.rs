//! Mail, handed to the operator's own mail server (RFC 5321), which is trusted as far as its configuration
//! says. No sentence here holds the password.

use std::fmt;
use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox as LettreMailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use playout_domain::alert::route::Mailbox;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long the server may take for one answer, and for all of one mail.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// By STARTTLS, or no mail at all (RFC 3207).
    #[default]
    StartTls,
    /// From the first byte (RFC 8314).
    Implicit,
    /// Not at all: for a server on this machine.
    None,
}

/// The operator's mail server.
#[derive(Clone)]
pub struct SmtpConfig {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// User and password, where it wants them.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// Whom mail comes from, as `ops@example.org` or `TV <ops@example.org>`.
    pub from: String,
    /// Certificate authorities that are trusted besides the machine's, as PEM.
    pub authority: Option<Vec<u8>>,
}

/// A configuration that cannot work, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSmtp(String);

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The server refuses it for good (5yz): another try would not help.
    #[error("the mail server refuses it: {0}")]
    Refused(String),
    /// It did not get through; worth another try.
    #[error("the mail server does not take it: {0}")]
    Failed(String),
    /// The server was too slow.
    #[error("the mail server did not take it within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Sends mail; clones share everything.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: LettreMailbox,
    /// The domain of `from`, for the ids of messages.
    domain: String,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Mailer {
    /// Who hands mail to this server. No connection is made yet.
    ///
    /// # Errors
    /// [`InvalidSmtp`] when `from` is no mailbox, or TLS cannot be set up.
    pub fn new(config: SmtpConfig) -> Result<Self, InvalidSmtp> {
        let SmtpConfig {
            host,
            port,
            tls,
            credentials,
            from,
            authority,
        } = config;
        let from: LettreMailbox = from.parse().map_err(|_| {
            InvalidSmtp(format!(
                "from is {from:?}; an address such as ops@example.org is needed"
            ))
        })?;
        let parameters = || {
            let mut builder = TlsParameters::builder(host.clone());
            if let Some(pem) = &authority {
                builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
            }
            builder.build_rustls()
        };
        let invalid = |error: lettre::transport::smtp::Error| InvalidSmtp(format!("TLS: {error}"));
        let tls = match tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(parameters().map_err(invalid)?),
            SmtpTls::Implicit => Tls::Wrapper(parameters().map_err(invalid)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .tls(tls)
            .timeout(Some(ANSWER_LIMIT));
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password.to_string()));
        }
        let domain = from.email.domain().to_owned();
        Ok(Self {
            transport: builder.build(),
            from,
            domain,
        })
    }

    /// Hands a mail to the server. `id` stays the same over all attempts, so that whoever reads it gets it
    /// once.
    ///
    /// # Errors
    /// [`MailError`].
    pub async fn send(
        &self,
        to: &Mailbox,
        id: &str,
        subject: &str,
        text: String,
    ) -> Result<(), MailError> {
        let refused = |error: &dyn fmt::Display| MailError::Refused(error.to_string());
        let to: LettreMailbox = to.as_str().parse().map_err(|error| refused(&error))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .message_id(Some(format!("<{id}@{}>", self.domain)))
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| refused(&error))?;
        match timeout(TIME_LIMIT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() && !is_login(&error) => {
                Err(refused(&sentence(&error)))
            }
            Ok(Err(error)) => Err(MailError::Failed(sentence(&error))),
            Err(_) => Err(MailError::TimedOut(TIME_LIMIT)),
        }
    }
}

/// Whether the server refuses who sends, not what: a password that was changed is changed here sooner or later
/// (RFC 4954 §6).
fn is_login(error: &lettre::transport::smtp::Error) -> bool {
    error
        .status()
        .is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

/// An error with its causes, in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
