//! A receiver of webhooks: it reads one request on each connection, and answers or behaves as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// What it does with a request that it has read.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Sends this, to the letter.
    Answers(String),
    /// Sends this, again and again.
    Floods(&'static str),
    /// Sends the one, and then the other again and again.
    Begins(&'static str, &'static str),
    /// Says nothing.
    Hangs,
    /// Closes the connection.
    Leaves,
}

impl Behaviour {
    /// Answers this status, such as `500 Internal Server Error`.
    pub fn status(line: &str) -> Self {
        Self::Answers(format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok"))
    }
}

/// A request as it came.
#[derive(Debug)]
pub struct Received {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Received {
    /// Whether it was signed with `secret`, by the reference implementation of Standard Webhooks.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let verifier = standardwebhooks::Webhook::new(secret).unwrap();
        let mut headers = hyper::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, self.headers[name].parse().unwrap());
        }
        verifier.verify(&self.body, &headers).is_ok()
    }

    /// The body, which has to be JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// See the module's head; it ends when it is dropped.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    received: mpsc::UnboundedReceiver<Received>,
    task: AbortHandle,
}

impl Receiver {
    /// One that speaks plain HTTP.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::listen(behaviour, None).await
    }

    /// One that speaks HTTPS.
    pub async fn with_tls(behaviour: Behaviour, tls: rustls::ServerConfig) -> Self {
        Self::listen(behaviour, Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn listen(behaviour: Behaviour, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, received) = mpsc::unbounded_channel();
        let behaviour = Arc::new(Mutex::new(behaviour));
        let now = Arc::clone(&behaviour);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (behaviour, tell, tls) = (lock(&now).clone(), tell.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, behaviour, tell).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, behaviour, tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            behaviour,
            received,
            task: task.abort_handle(),
        }
    }

    /// Behaves otherwise from the next connection on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.behaviour) = behaviour;
    }

    /// The next request, which has to come within half a minute.
    pub async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(super::BOUND, self.received.recv());
        next.await.expect("a request").unwrap()
    }

    /// Whether nothing has come that was not looked at.
    pub fn is_idle(&mut self) -> bool {
        self.received.try_recv().is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(behaviour: &Mutex<Behaviour>) -> std::sync::MutexGuard<'_, Behaviour> {
    behaviour.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
    tell: mpsc::UnboundedSender<Received>,
) {
    let mut bytes = Vec::new();
    let received = loop {
        if let Some(received) = parse(&bytes) {
            break received;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    // The test may have looked away.
    let _ = tell.send(received);
    match behaviour {
        Behaviour::Answers(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Behaviour::Floods(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
        Behaviour::Begins(first, then) => {
            let mut sent = stream.write_all(first.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(then.as_bytes()).await;
            }
        }
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Leaves => {}
    }
}

fn parse(bytes: &[u8]) -> Option<Received> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map(|length| length.parse::<usize>());
    let length = length.transpose().ok()?.unwrap_or(0);
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Received {
        line,
        headers,
        body,
    })
}
