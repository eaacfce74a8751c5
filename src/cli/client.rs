//! Speaks to a running daemon over its own HTTP API: one kept connection, JSON both ways. Every `POST` has an
//! `Idempotency-Key` of its own.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use uuid::Uuid;

use super::way::Way;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The URL or the token is none.
    #[error("{0}")]
    Unusable(String),
    /// Nobody answers.
    #[error("no daemon answers at {way}: {cause}; is `playoutd serve` running?")]
    Unreachable { way: String, cause: String },
    /// It answered with a refusal.
    #[error("{0}")]
    Refused(Refusal),
}

/// A refusal as the daemon worded it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The problem document; `null` where the answer was none.
    pub(super) document: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.document["detail"].as_str() {
            Some(detail) => f.write_str(detail),
            None => write!(f, "the daemon answered {}", self.status),
        }
    }
}

/// A success as it came.
pub(super) struct Answered {
    pub(super) is_json: bool,
    pub(super) bytes: Bytes,
}

/// A connection to a daemon, with the token it is asked with.
pub(super) struct Client {
    /// Where it is.
    way: Way,
    bearer: String,
    /// The open connection, if there is one.
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// For the daemon at `url` (`http://host:port`, `https://host:port`, `unix:/path`), with the token in `token_file`.
    ///
    /// # Errors
    /// One sentence when the URL is none, or the token cannot be read.
    pub(super) fn new(url: &str, token_file: &Path) -> Result<Self, ClientError> {
        let token = std::fs::read_to_string(token_file).map_err(|error| {
            ClientError::Unusable(format!(
                "the token file {} cannot be read: {error}; does `playoutd serve` run with this data_dir?",
                token_file.display()
            ))
        })?;
        Self::with_token(url, &token)
    }

    /// The same with the token itself.
    ///
    /// # Errors
    /// One sentence when the URL is none.
    pub(super) fn with_token(url: &str, token: &str) -> Result<Self, ClientError> {
        let unusable = |text: String| ClientError::Unusable(text);
        let way = Way::to(url).map_err(unusable)?;
        Ok(Self {
            way,
            bearer: format!("Bearer {}", token.trim()),
            sender: None,
        })
    }

    /// The same, where it is encrypted, by another address than that of its name, and with the authority in a file
    /// trusted, too.
    pub(super) fn through(mut self, address: Option<SocketAddr>, ca: Option<&Path>) -> Self {
        self.way = self.way.through(address).trusting(ca);
        self
    }

    /// Asks and answers the JSON of a success; `null` where it is answered without a word.
    ///
    /// # Errors
    /// A refusal as the daemon worded it, or that it cannot be reached; or what answers is no daemon.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let Answered { is_json, bytes } = self.exchange(method, path, body, &[]).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let read = is_json
            .then(|| serde_json::from_slice(&bytes).ok())
            .flatten();
        read.ok_or_else(|| {
            let way = &self.way;
            ClientError::Unusable(format!(
                "what answers at {way} is no playoutd: its answer is no JSON"
            ))
        })
    }

    /// Asks, with more headers, and answers a success as it came.
    ///
    /// # Errors
    /// A refusal as the daemon worded it, or that it cannot be reached.
    pub(super) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answered, ClientError> {
        let content = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .uri(path)
            .header(header::HOST, self.way.host())
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/json");
        if method == Method::POST && !headers.iter().any(|(name, _)| name == IDEMPOTENCY_KEY) {
            request = request.header(IDEMPOTENCY_KEY, Uuid::now_v7().to_string());
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .method(method)
            .body(Full::new(Bytes::from(content)))
            .map_err(|error| ClientError::Unusable(format!("not a request: {error}")))?;
        let sender = self.connected().await?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head, bytes))
        };
        let answered = answer.await;
        let (head, bytes) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.sender = None;
                return Err(self.unreachable(error.to_string()));
            }
        };
        let status = head.status;
        if status.is_success() {
            let kind = head.headers.get(header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let is_json = kind.split(';').next() == Some("application/json");
            return Ok(Answered { is_json, bytes });
        }
        let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Err(ClientError::Refused(Refusal { status, document }))
    }

    /// Asks for a stream of events, after one of them where that is named; its body as it comes. The connection is the
    /// stream's alone: what is asked next makes another.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub(super) async fn follow(
        &mut self,
        path: &str,
        after: Option<&str>,
    ) -> Result<Incoming, ClientError> {
        let mut request = Request::get(path)
            .header(header::HOST, self.way.host())
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Full::new(Bytes::new()));
        let request =
            request.map_err(|error| ClientError::Unusable(format!("not a request: {error}")))?;
        let answer = self.connected().await?.send_request(request).await;
        self.sender = None;
        let unreachable = |error: hyper::Error| self.unreachable(error.to_string());
        let answer = answer.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let bytes = answer.into_body().collect().await.map_err(unreachable)?;
        let document = serde_json::from_slice(&bytes.to_bytes()).unwrap_or(Value::Null);
        Err(ClientError::Refused(Refusal { status, document }))
    }

    /// The kept connection where it still stands, else a new one.
    async fn connected(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, ClientError> {
        let stands = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !stands {
            let stream = self.way.connect().await;
            let stream = stream.map_err(|cause| self.unreachable(cause))?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| self.unreachable(error.to_string()))?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let gone = self.unreachable("the connection was closed".to_owned());
        self.sender.as_mut().ok_or(gone)
    }

    fn unreachable(&self, cause: String) -> ClientError {
        ClientError::Unreachable {
            way: self.way.to_string(),
            cause,
        }
    }
}
