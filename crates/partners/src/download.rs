//! Downloads a file over HTTP, in bounded size and time: to a checked address, and on every redirect to another.
//!
//! What comes coded is refused (nothing is ever unpacked), and what says that it is a playlist.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Response, StatusCode, header};
use playout_domain::destination::{HttpUrl, InvalidHttpUrl};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::address::{Reach, Unresolved};
use crate::http::{Getter, MAX_REDIRECTS, NoAnswer, join, redirect};
use crate::tls::TrustRoots;

/// Media types of files that name other files.
const PLAYLISTS: [&str; 8] = [
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
    "application/dash+xml",
    "application/smil+xml",
    "application/xspf+xml",
    "audio/x-scpls",
];

/// What is not waited for and not taken.
#[derive(Debug, Clone, Copy)]
pub struct DownloadLimits {
    /// Bytes of the file.
    pub bytes: u64,
    /// How long nothing may come.
    pub idle: Duration,
}

/// What comes, in this order: one head, then bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The file begins. How long it is, where the server says so.
    Begins {
        /// See there.
        length: Option<u64>,
    },
    /// Some bytes of it.
    Bytes(Bytes),
}

/// Why a file could not be downloaded: a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The host leads nowhere, or where nobody may be sent.
    #[error("the server's name: {0}")]
    Unresolved(#[from] Unresolved),
    /// Nobody is there.
    #[error("no connection to the server: {}", .0.kind())]
    Connect(io::Error),
    /// Nobody who is trusted.
    #[error("no trusted encrypted connection to the server")]
    Tls,
    /// The server says something else.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The connection broke, or was no HTTP.
    #[error("the server broke off, or does not speak HTTP")]
    Broken(#[from] hyper::Error),
    /// Too many redirects.
    #[error("the server redirects more than {MAX_REDIRECTS} times")]
    Redirects,
    /// A redirect to what is no URL, or no public one.
    #[error("the server leads to a URL that {0}")]
    Elsewhere(InvalidHttpUrl),
    /// It is packed, and nothing is unpacked.
    #[error("the file comes coded as {0}; it has to come as it is")]
    Coded(String),
    /// It names other files.
    #[error("the file is a playlist, which names other files")]
    Playlist,
    /// It is too large.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// Nothing comes.
    #[error("nothing came from the server for {} s", .0.as_secs())]
    Idle(Duration),
    /// The request cannot be made.
    #[error("the request cannot be made")]
    Request,
    /// Whoever asked takes no more.
    #[error("the download was given up")]
    GivenUp,
}

impl From<NoAnswer> for DownloadError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Unresolved(error) => Self::Unresolved(error),
            NoAnswer::Connect(error) => Self::Connect(error),
            NoAnswer::Tls => Self::Tls,
            NoAnswer::Request => Self::Request,
        }
    }
}

/// Downloads files. Cheap to clone.
#[derive(Clone)]
pub struct Downloader {
    reach: Reach,
    getter: Getter,
}

impl std::fmt::Debug for Downloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reach = &self.reach;
        f.debug_struct("Downloader")
            .field("reach", reach)
            .finish_non_exhaustive()
    }
}

impl Downloader {
    /// Trusts `roots`, and connects to what `reach` allows.
    pub fn new(roots: &TrustRoots, reach: Reach) -> Self {
        let getter = Getter::new(roots, reach);
        Self { reach, getter }
    }

    /// Reads a URL that a client wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn url(&self, text: &str) -> Result<HttpUrl, InvalidHttpUrl> {
        HttpUrl::parse(text, self.reach != Reach::Public)
    }

    /// Sends the file at `url` to `parts`, to its end.
    ///
    /// # Errors
    /// [`DownloadError`]; what was sent until then counts for nothing.
    pub async fn download(
        &self,
        url: &HttpUrl,
        limits: DownloadLimits,
        parts: mpsc::Sender<Part>,
    ) -> Result<(), DownloadError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let parts = parts.clone();
            let (begun, begins) = oneshot::channel();
            let read = async move |answer| {
                // Whoever waited for it may have gone.
                let _ = begun.send(());
                read(answer, limits, parts).await
            };
            let ended = {
                let asked = self.getter.get(&url, read);
                tokio::pin!(asked);
                tokio::select! {
                    biased;
                    ended = &mut asked => ended,
                    // From there on it is the parts that must not stay away.
                    _ = begins => asked.await,
                    () = sleep(limits.idle) => Err(DownloadError::Idle(limits.idle)),
                }
            };
            let Some(reference) = ended? else {
                return Ok(());
            };
            url = join(&url, &reference, self.reach).map_err(DownloadError::Elsewhere)?;
        }
        Err(DownloadError::Redirects)
    }
}

/// Sends the file on; or answers where it is instead.
async fn read(
    answer: Response<Incoming>,
    limits: DownloadLimits,
    parts: mpsc::Sender<Part>,
) -> Result<Option<String>, DownloadError> {
    if let Some(reference) = redirect(&answer) {
        return Ok(Some(reference));
    }
    let (head, mut body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Err(DownloadError::Status(head.status));
    }
    let text = |name| {
        head.headers
            .get(name)
            .map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"))
    };
    if let Some(coding) = text(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        let coding = coding.chars().filter(char::is_ascii_alphanumeric).take(20);
        return Err(DownloadError::Coded(coding.collect()));
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if PLAYLISTS
        .iter()
        .any(|playlist| kind.eq_ignore_ascii_case(playlist))
    {
        return Err(DownloadError::Playlist);
    }
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.bytes) {
        return Err(DownloadError::TooLarge(limits.bytes));
    }
    let given_up = |_| DownloadError::GivenUp;
    parts
        .send(Part::Begins { length })
        .await
        .map_err(given_up)?;
    let mut left = limits.bytes;
    loop {
        let frame = timeout(limits.idle, body.frame()).await;
        let Some(frame) = frame.map_err(|_| DownloadError::Idle(limits.idle))? else {
            return Ok(None);
        };
        if let Ok(bytes) = frame?.into_data() {
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or(DownloadError::TooLarge(limits.bytes))?;
            parts.send(Part::Bytes(bytes)).await.map_err(given_up)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Behaviour, Receiver};
    use std::net::{IpAddr, Ipv4Addr};

    const LIMITS: DownloadLimits = DownloadLimits {
        bytes: 1000,
        idle: Duration::from_secs(20),
    };

    async fn download(
        reach: Reach,
        behaviour: Behaviour,
    ) -> Result<(Option<u64>, Vec<u8>), String> {
        download_within(LIMITS, reach, behaviour).await
    }

    async fn download_within(
        limits: DownloadLimits,
        reach: Reach,
        behaviour: Behaviour,
    ) -> Result<(Option<u64>, Vec<u8>), String> {
        let receiver = Receiver::start(behaviour).await;
        let url = HttpUrl::parse(&format!("http://{}/film.mp4", receiver.address), true).unwrap();
        let (parts, mut taken) = mpsc::channel(4);
        let downloader = Downloader::new(&TrustRoots::nobody(), reach);
        let take = async {
            let (mut length, mut all) = (None, Vec::new());
            while let Some(part) = taken.recv().await {
                match part {
                    Part::Begins { length: said } => length = said,
                    Part::Bytes(bytes) => all.extend_from_slice(&bytes),
                }
            }
            (length, all)
        };
        let (ended, all) = tokio::join!(downloader.download(&url, limits, parts), take);
        ended.map(|()| all).map_err(|error| error.to_string())
    }

    fn answers(head: &str, body: &str) -> Behaviour {
        Behaviour::Answers(format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}"))
    }

    #[tokio::test]
    async fn a_file_comes_whole_with_a_length_or_without() {
        let told = download(Reach::Anywhere, answers("Content-Length: 4\r\n", "film"));
        assert_eq!(told.await, Ok((Some(4), b"film".to_vec())));
        let chunked = answers("Transfer-Encoding: chunked\r\n", "4\r\nfilm\r\n0\r\n\r\n");
        assert_eq!(
            download(Reach::Anywhere, chunked).await,
            Ok((None, b"film".to_vec()))
        );
    }

    #[tokio::test]
    async fn what_is_packed_a_playlist_too_large_or_broken_off_is_refused() {
        for (head, body, said) in [
            (
                "Content-Length: 4\r\nContent-Encoding: gzip\r\n",
                "film",
                "coded as gzip",
            ),
            (
                "Content-Length: 4\r\nContent-Type: Application/x-mpegURL; a=b\r\n",
                "#EXT",
                "playlist",
            ),
            ("Content-Length: 1001\r\n", "film", "more than 1000 bytes"),
            ("Content-Length: 5\r\n", "film", "broke off"),
        ] {
            let refused = download(Reach::Anywhere, answers(head, body))
                .await
                .unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
        let flood = Behaviour::Begins("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        let refused = download(Reach::Anywhere, flood).await.unwrap_err();
        assert!(refused.contains("more than 1000 bytes"), "{refused}");
        let status = download(Reach::Anywhere, Behaviour::status("404 Not Found")).await;
        assert!(status.unwrap_err().contains("404"));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_waited_for() {
        let limits = DownloadLimits {
            idle: Duration::from_millis(50),
            ..LIMITS
        };
        // It takes the connection, or the hello of TLS, and says nothing.
        let hangs = download_within(limits, Reach::Anywhere, Behaviour::Hangs).await;
        assert!(hangs.unwrap_err().contains("nothing came"));
        let receiver = Receiver::start(Behaviour::Hangs).await;
        let url = format!("https://127.0.0.1:{}/", receiver.address.port());
        let url = HttpUrl::parse(&url, true).unwrap();
        let (parts, _taken) = mpsc::channel(1);
        let downloader = Downloader::new(&TrustRoots::nobody(), Reach::Anywhere);
        let hangs = downloader.download(&url, limits, parts).await;
        assert!(matches!(hangs, Err(DownloadError::Idle(_))), "{hangs:?}");
    }

    #[tokio::test]
    async fn private_addresses_are_refused_at_once_and_behind_every_redirect() {
        let here = Reach::Only(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let film = || answers("Content-Length: 4\r\n", "film");
        let refused = download(Reach::Public, film()).await.unwrap_err();
        assert!(refused.contains("not public"), "{refused}");
        assert!(download(here, film()).await.is_ok());
        let inside = Receiver::start(film()).await;
        let port = inside.address.port();
        for to in [
            format!("http://127.0.0.2:{port}/"),
            format!("http://[::1]:{port}/"),
            "http://10.0.0.1/".to_owned(),
        ] {
            let redirect =
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let refused = download(here, Behaviour::Answers(redirect))
                .await
                .unwrap_err();
            assert!(refused.contains("not public"), "{to}: {refused}");
        }
        for to in ["file:///etc/passwd", "gopher://x/"] {
            let redirect =
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let refused = download(here, Behaviour::Answers(redirect))
                .await
                .unwrap_err();
            assert!(refused.contains("leads to a URL that"), "{to}: {refused}");
        }
        let round = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
        let refused = download(here, Behaviour::Answers(round.to_owned())).await;
        assert!(refused.unwrap_err().contains("more than 5 times"));
    }
}
