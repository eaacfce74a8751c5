//! The test itself: one step after the other, each within its time and all within theirs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::destination::{ServerUrl, StreamKey};
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::dialogue::{Dialogue, Progress};
use super::explain::{Server, Trouble};
use super::handshake::shake;
use super::refusal::{Refusal, Report, Step};
use crate::address::{Reach, resolve};
use crate::tls::TrustRoots;

/// How long the server may take to close the connection after the test has ended well.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes read at once.
pub(super) const READ: usize = 4096;

/// How far a test goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// Until the server takes the app. Nobody notices, but the key stays untried.
    #[default]
    App,
    /// Until the server takes the stream key. No media is sent; a platform may show that a stream began,
    /// and refuses where the channel itself is publishing under the same key.
    Publish,
}

/// What names the stream at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamName<'a> {
    /// The path of the URL, as FFmpeg reads it.
    InPath,
    /// A key, which is not shown: the test stops before it is asked for.
    Untold,
    /// This key.
    Key(&'a StreamKey),
}

/// How long a test may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Each step.
    pub step: Duration,
    /// All of them.
    pub whole: Duration,
}

impl Default for Limits {
    /// 5 s a step, 15 s in all.
    fn default() -> Self {
        Self {
            step: Duration::from_secs(5),
            whole: Duration::from_secs(15),
        }
    }
}

/// What to test, and how.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// Where.
    pub server: &'a ServerUrl,
    /// What names the stream.
    pub name: StreamName<'a>,
    /// How far.
    pub depth: Depth,
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// Within which time.
    pub limits: Limits,
    /// Whose certificates are taken.
    pub roots: &'a TrustRoots,
}

/// Tests a destination as an encoder would find it.
///
/// # Errors
/// [`Refusal`]: the step that failed, why, and a sentence for a person.
pub async fn check(asked: &Check<'_>) -> Result<Report, Refusal> {
    let mut run = Run::of(asked.server, asked.limits);
    let (mut stream, address) = run.open(asked.reach, asked.roots).await?;
    let (app, name) = app_and_name(asked.server.app(), asked.name);
    let mut dialogue = run.dialogue(app);
    let answered = talk(&mut stream, &mut dialogue, Progress::Connected);
    run.step(Step::App, answered).await?;
    if asked.depth == Depth::Publish {
        dialogue.publish(name);
        let answered = talk(&mut stream, &mut dialogue, Progress::Published);
        run.step(Step::Publish, answered).await?;
    }
    dialogue.farewell();
    // The test has been passed: how the connection ends changes nothing.
    let _ended = timeout(FAREWELL.min(run.left()), part(&mut stream, &mut dialogue)).await;
    Ok(Report {
        address,
        steps: run.steps,
    })
}

/// The app and the stream's name. Without a key both are in the path, and FFmpeg's rule says where one ends:
/// an app has one part, or two where more follow.
pub(super) fn app_and_name<'a>(path: &'a str, name: StreamName<'a>) -> (&'a str, &'a str) {
    match name {
        StreamName::InPath => {}
        StreamName::Untold => return (path, ""),
        StreamName::Key(key) => return (path, key.reveal()),
    }
    let Some((app, name)) = path.split_once('/') else {
        return (path, "");
    };
    match name.split_once('/') {
        // What is before a colon is a kind of file, and begins the name.
        Some((part, rest)) if !part.contains(':') => (&path[..app.len() + 1 + part.len()], rest),
        _ => (app, name),
    }
}

pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<C: AsyncRead + AsyncWrite + Unpin + Send> Connection for C {}

/// The clock of one test.
pub(super) struct Run<'a> {
    url: &'a ServerUrl,
    server: Server<'a>,
    limits: Limits,
    begun: Instant,
    /// The steps that went well, and how long each took.
    steps: Vec<(Step, Duration)>,
}

impl<'a> Run<'a> {
    pub(super) fn of(url: &'a ServerUrl, limits: Limits) -> Self {
        let server = Server {
            host: url.host(),
            port: url.port(),
        };
        Self {
            url,
            server,
            limits,
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// A connection up to the end of the handshake, and the address that it leads to.
    pub(super) async fn open(
        &mut self,
        reach: Reach,
        roots: &TrustRoots,
    ) -> Result<(Box<dyn Connection>, SocketAddr), Refusal> {
        let (host, port) = (self.url.host(), self.url.port());
        let found = resolve(host, port, reach);
        let addresses = self.step(Step::Resolve, async { Ok(found.await?) }).await?;
        let within = self.left();
        let connected = async { Ok(addresses.connect(within).await?) };
        let (tcp, address) = self.step(Step::Connect, connected).await?;
        let mut stream: Box<dyn Connection> = if self.url.is_tls() {
            let encrypted = encrypt(tcp, host, roots);
            Box::new(self.step(Step::Tls, encrypted).await?)
        } else {
            Box::new(tcp)
        };
        self.step(Step::Handshake, async { Ok(shake(&mut stream).await?) })
            .await?;
        Ok((stream, address))
    }

    /// What is said then: `app` is asked for.
    pub(super) fn dialogue(&self, app: &str) -> Dialogue {
        let url = self.url.as_str().trim_end_matches('/');
        let tc_url = format!("{}{app}", &url[..url.len() - self.url.app().len()]);
        Dialogue::connect(app, &tc_url)
    }

    /// The refusal that `trouble` in `step` amounts to.
    pub(super) fn refusal(&self, step: Step, trouble: &Trouble) -> Refusal {
        self.server.refusal(step, trouble, self.limits.whole)
    }

    /// How long the next step may take.
    fn left(&self) -> Duration {
        let whole = self.limits.whole.saturating_sub(self.begun.elapsed());
        self.limits.step.min(whole)
    }

    pub(super) async fn step<T>(
        &mut self,
        step: Step,
        doing: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Refusal> {
        let (begun, within) = (Instant::now(), self.left());
        let limit = match within == self.limits.step {
            true => within,
            false => self.limits.whole,
        };
        let done = timeout(within, doing).await;
        match done.unwrap_or(Err(Trouble::Late)) {
            Ok(value) => {
                self.steps.push((step, begun.elapsed()));
                Ok(value)
            }
            Err(trouble) => Err(self.server.refusal(step, &trouble, limit)),
        }
    }
}

/// Encrypts the connection; the certificate has to be for `host`, whatever address was connected to.
async fn encrypt(
    tcp: TcpStream,
    host: &str,
    roots: &TrustRoots,
) -> Result<impl Connection + use<>, Trouble> {
    let config = roots.client().map_err(io::Error::other)?;
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|_| io::Error::other(rustls::Error::from(CertificateError::NotValidForName)))?;
    Ok(TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?)
}

/// Talks until the dialogue has come to `aim`.
pub(super) async fn talk(
    stream: &mut Box<dyn Connection>,
    dialogue: &mut Dialogue,
    aim: Progress,
) -> Result<(), Trouble> {
    let mut buffer = [0; READ];
    loop {
        let out = dialogue.outgoing();
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
        }
        if dialogue.progress() == aim {
            return Ok(());
        }
        match stream.read(&mut buffer).await? {
            0 => return Err(Trouble::Ended),
            read => dialogue.received(&buffer[..read])?,
        }
    }
}

/// Says goodbye and waits until the server has heard it: a connection that is closed over unread bytes is
/// reset, and takes the goodbye with it.
async fn part(stream: &mut Box<dyn Connection>, dialogue: &mut Dialogue) -> io::Result<()> {
    stream.write_all(&dialogue.outgoing()).await?;
    stream.shutdown().await?;
    let mut buffer = [0; READ];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_the_path_names_the_stream() {
        assert_eq!(app_and_name("live", StreamName::InPath), ("live", ""));
        assert_eq!(
            app_and_name("live/one", StreamName::InPath),
            ("live", "one")
        );
        assert_eq!(
            app_and_name("live/inst/one?a=b/c", StreamName::InPath),
            ("live/inst", "one?a=b/c")
        );
        assert_eq!(
            app_and_name("live/mp4:a/b", StreamName::InPath),
            ("live", "mp4:a/b")
        );
    }

    #[test]
    fn with_a_key_the_path_is_the_app_whether_it_is_told_or_not() {
        let key = StreamKey::new("k").unwrap();
        assert_eq!(
            app_and_name("live/inst", StreamName::Key(&key)),
            ("live/inst", "k")
        );
        assert_eq!(
            app_and_name("live/inst", StreamName::Untold),
            ("live/inst", "")
        );
    }
}
