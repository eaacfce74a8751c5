//! Webhooks as Standard Webhooks (standardwebhooks.com) wants them: signed, with an id that stays the same
//! over all attempts.
//!
//! One request on a connection of its own, to a checked address; redirects are not followed, and of the answer no more
//! is read than its status and, where that is wanted, how it begins. No sentence here holds the URL's path or a secret.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use jiff::Timestamp;
use playout_domain::alert::route::WebhookUrl;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::address::{Reach, Unresolved, resolve};
use crate::http::exchange;
use crate::tls::TrustRoots;

/// How long a receiver may take, from the look-up of its name to the status of its answer.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are kept, and how long they are waited for.
pub const EXCERPT: usize = 1024;
const EXCERPT_TIME: Duration = Duration::from_secs(1);

/// Random bytes of a secret; 24 to 64 are allowed.
const SECRET_BYTES: usize = 32;
/// What a secret's text begins with, so that people and scanners of leaked secrets know it.
const PREFIX: &str = "whsec_";

/// What a webhook is signed with.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// A text that is no secret of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no webhook secret; one is {PREFIX} and 24 to 64 bytes in base64")]
pub struct InvalidSecret;

impl WebhookSecret {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The secret that `text` is.
    ///
    /// # Errors
    /// [`InvalidSecret`], which does not hold it.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        let bytes = Zeroizing::new(bytes);
        if !(24..=64).contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self(bytes))
    }

    /// Its text, for the vault and for the one answer that shows it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(&*self.0)))
    }

    /// The value of `webhook-signature`: version 1, HMAC-SHA256 over id, second and body.
    fn sign(&self, id: &str, second: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        for part in [
            id.as_bytes(),
            b".",
            second.to_string().as_bytes(),
            b".",
            body,
        ] {
            context.update(part);
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// The system has no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// Why a receiver has not taken a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its host leads nowhere, or where nobody may go.
    #[error("{0}")]
    Unresolved(#[from] Unresolved),
    /// It does not want to hear anything any more.
    #[error("it answered 410 Gone: it does not want to be told any more")]
    Gone,
    /// It sends somebody else.
    #[error("it answered {0}; redirects are not followed")]
    Redirect(StatusCode),
    /// It does not take it.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It was too slow.
    #[error("it did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It could not be reached.
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    /// No encrypted connection came about.
    #[error("no TLS connection: {0}")]
    Tls(std::io::Error),
    /// What it says is no HTTP.
    #[error("it does not speak HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// It cannot be asked at all.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

/// What a receiver has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// How its body begins, as text fit to be shown; [`EXCERPT`] bytes at most.
    pub excerpt: String,
}

impl Answered {
    /// Whether the receiver has taken it: 2xx.
    ///
    /// # Errors
    /// What the status says of it.
    pub fn taken(&self) -> Result<(), WebhookError> {
        match self.status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(WebhookError::Gone),
            status if status.is_redirection() => Err(WebhookError::Redirect(status)),
            status => Err(WebhookError::Status(status)),
        }
    }
}

/// Sends webhooks; clones share everything.
#[derive(Clone)]
pub struct Webhooks {
    reach: Reach,
    tls: Option<TlsConnector>,
    limit: Duration,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("reach", &self.reach)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Trusts whom this machine trusts; addresses that are not public only when `allow_private`. Reads the
    /// machine's certificate authorities, once.
    pub fn new(allow_private: bool) -> Self {
        let reach = if allow_private {
            Reach::Anywhere
        } else {
            Reach::Public
        };
        Self::trusting(&TrustRoots::system(), reach, TIME_LIMIT)
    }

    /// Trusts these, reaches so far, and waits so long.
    pub fn trusting(roots: &TrustRoots, reach: Reach, limit: Duration) -> Self {
        // Without a working TLS every encrypted connection fails, and says so.
        let tls = roots.client().ok().map(|mut config| {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        Self { reach, tls, limit }
    }

    /// Sends `body`, JSON, signed at `now`, and waits for the receiver's answer: 2xx.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn send(
        &self,
        url: &WebhookUrl,
        secret: &WebhookSecret,
        id: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<StatusCode, WebhookError> {
        let request = request(url, std::slice::from_ref(secret), id, body, now)?;
        let answered = self.within_limit(self.ask(url, request, read)).await?;
        answered.taken().map(|()| answered.status)
    }

    /// The same signed with each of `secrets`, and the answer whatever it is, with its beginning.
    ///
    /// # Errors
    /// [`WebhookError`] when there is no answer.
    pub async fn ask_receiver(
        &self,
        url: &WebhookUrl,
        secrets: &[WebhookSecret],
        id: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Answered, WebhookError> {
        let request = request(url, secrets, id, body, now)?;
        self.within_limit(self.ask(url, request, read_beginning))
            .await
    }

    async fn within_limit(
        &self,
        answer: impl Future<Output = Result<Answered, WebhookError>>,
    ) -> Result<Answered, WebhookError> {
        let answered = timeout(self.limit, answer).await;
        answered.map_err(|_| WebhookError::TimedOut(self.limit))?
    }

    async fn ask(
        &self,
        url: &WebhookUrl,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<Answered, WebhookError>,
    ) -> Result<Answered, WebhookError> {
        let url = url.http();
        let addresses = resolve(url.host(), url.port(), self.reach).await?;
        let connected = addresses.connect(self.limit / 2).await;
        let (stream, _) = connected.map_err(WebhookError::Connect)?;
        if !url.is_tls() {
            return exchange(stream, request, read).await;
        }
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| WebhookError::Request(error.to_string()))?;
        let tls = self
            .tls
            .as_ref()
            .ok_or_else(|| WebhookError::Request("TLS is not available".to_owned()))?;
        let stream = tls.connect(name, stream).await.map_err(WebhookError::Tls)?;
        exchange(stream, request, read).await
    }
}

fn request(
    url: &WebhookUrl,
    secrets: &[WebhookSecret],
    id: &str,
    body: Bytes,
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, WebhookError> {
    let second = now.as_second();
    let signed = secrets.iter().map(|secret| secret.sign(id, second, &body));
    // Whoever verifies takes any of them.
    let signatures = signed.collect::<Vec<_>>().join(" ");
    Request::post(url.http().path())
        .header(header::HOST, url.http().authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("playoutd/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close")
        .header("webhook-id", id)
        .header("webhook-timestamp", second)
        .header("webhook-signature", signatures)
        .body(Full::new(body))
        .map_err(|error| WebhookError::Request(error.to_string()))
}

/// Of an answer nothing but its status is wanted.
async fn read(answer: Response<Incoming>) -> Result<Answered, WebhookError> {
    Ok(Answered {
        status: answer.status(),
        excerpt: String::new(),
    })
}

/// The status counts, whatever becomes of the body.
async fn read_beginning(answer: Response<Incoming>) -> Result<Answered, WebhookError> {
    let (head, mut body) = answer.into_parts();
    let mut begins = Vec::new();
    let reading = async {
        while begins.len() < EXCERPT
            && let Some(Ok(frame)) = body.frame().await
        {
            begins.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    // What has come by then is what there is.
    let _ = timeout(EXCERPT_TIME, reading).await;
    begins.truncate(EXCERPT);
    Ok(Answered {
        status: head.status,
        excerpt: shown(&begins),
    })
}

/// Bytes of a stranger as text: what does not print is left out.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let prints = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(prints).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_text_and_never_printed() {
        let secret = WebhookSecret::generate().unwrap();
        let text = secret.reveal();
        assert_eq!(text.len(), PREFIX.len() + 44);
        assert_eq!(*WebhookSecret::parse(&text).unwrap().reveal(), *text);
        assert_ne!(*WebhookSecret::generate().unwrap().reveal(), *text);
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", &text[1..], "whsec_%%%"] {
            assert!(WebhookSecret::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_the_known_one() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
