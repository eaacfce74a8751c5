//! A proxy between a client and a server on Unix sockets, that refuses, hangs and cuts on request.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes pass.
    Pass,
    /// Connections are taken, and nothing passes on any of them.
    Hang,
    /// Connections are cut, old and new ones.
    Refuse,
    /// Bytes pass; where this was said since a transaction began, its commit is done, and the connection is cut before
    /// anybody hears of it.
    LoseCommits(&'static str),
}

/// See the module's head. Ends with its last owner.
#[derive(Debug)]
pub struct Proxy {
    manner: watch::Sender<Manner>,
    accepted: Arc<AtomicU64>,
    open: Arc<Open>,
    serving: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on `socket` for whoever wants to reach `target`.
    ///
    /// # Panics
    /// When the socket cannot be made.
    pub fn start(socket: &Path, target: PathBuf) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let manner = watch::Sender::new(Manner::Pass);
        let (accepted, open) = (Arc::default(), Arc::default());
        let serving = serve(
            listener,
            target,
            manner.clone(),
            Arc::clone(&accepted),
            Arc::clone(&open),
        );
        Self {
            manner,
            accepted,
            open,
            serving: tokio::spawn(serving),
        }
    }

    /// From now on it behaves so.
    pub fn set(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.count()
    }

    /// The most connections that were open at once since this was last asked.
    pub fn most(&self) -> u64 {
        self.open.most.swap(self.open(), Ordering::SeqCst)
    }
}

/// The connections that their clients have open. What a client has closed does not count, whether the proxy has come to
/// notice it or not.
#[derive(Debug, Default)]
struct Open {
    clients: Mutex<Vec<Weak<UnixStream>>>,
    /// The most that there were at once.
    most: AtomicU64,
}

impl Open {
    fn add(&self, client: &Arc<UnixStream>) {
        let lock = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        lock().push(Arc::downgrade(client));
        self.most.fetch_max(self.count(), Ordering::SeqCst);
    }

    fn count(&self) -> u64 {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.upgrade().is_some_and(|client| !is_closed(&client)));
        clients.len() as u64
    }
}

/// Whether the other end is closed.
fn is_closed(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let told = poll(&mut asked, PollTimeout::ZERO).ok();
    told.and(asked[0].revents())
        .is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: UnixListener,
    target: PathBuf,
    manner: watch::Sender<Manner>,
    accepted: Arc<AtomicU64>,
    open: Arc<Open>,
) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let client = Arc::new(client);
        open.add(&client);
        let (target, manner) = (target.clone(), manner.subscribe());
        connections.spawn(async move { carry(&client, &target, manner).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: &UnixStream, target: &Path, mut manner: watch::Receiver<Manner>) {
    let mut cut = manner.clone();
    let carried = async {
        manner.wait_for(passes).await.ok()?;
        let server = UnixStream::connect(target).await.ok()?;
        let (said, lost) = (AtomicBool::new(false), AtomicBool::new(false));
        tokio::select! {
            () = pump(client, &server, manner.clone(), |asked, now| {
                let says = |words: &str| asked.windows(words.len()).any(|part| part == words.as_bytes());
                if says("START TRANSACTION") {
                    said.store(false, Ordering::SeqCst);
                }
                if let Manner::LoseCommits(of) = now {
                    let said = said.fetch_or(says(of), Ordering::SeqCst) || says(of);
                    lost.fetch_or(said && says("COMMIT"), Ordering::SeqCst);
                }
                true
            }) => {}
            () = pump(&server, client, manner, |_, _| !lost.load(Ordering::SeqCst)) => {}
        }
        Some(())
    };
    tokio::select! {
        _ = carried => {}
        _ = cut.wait_for(|manner| *manner == Manner::Refuse) => {}
    }
}

const fn passes(manner: &Manner) -> bool {
    matches!(manner, Manner::Pass | Manner::LoseCommits(_))
}

/// Carries bytes for as long as `carries` says so of them.
async fn pump(
    from: &UnixStream,
    to: &UnixStream,
    mut manner: watch::Receiver<Manner>,
    carries: impl Fn(&[u8], Manner) -> bool,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = read(from, &mut bytes).await else {
            return;
        };
        let Ok(now) = manner.wait_for(passes).await.map(|now| *now) else {
            return;
        };
        if !carries(&bytes[..read], now) || write(to, &bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn read(from: &UnixStream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write(to: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => bytes = &bytes[done?..],
        }
    }
    Ok(())
}
