//! A proxy between a client and a server on Unix sockets, that refuses, hangs and cuts on request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
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
    /// Bytes pass; a commit is done, and the connection is cut before anybody hears of it.
    LoseCommits,
}

/// See the module's head. Ends with its last owner.
#[derive(Debug)]
pub struct Proxy {
    manner: watch::Sender<Manner>,
    accepted: Arc<AtomicU64>,
    /// Those under way.
    open: Arc<AtomicU64>,
    /// The most that were under way at once.
    most: Arc<AtomicU64>,
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
        let (accepted, open, most) = (Arc::default(), Arc::default(), Arc::default());
        let serving = serve(
            listener,
            target,
            manner.clone(),
            Arc::clone(&accepted),
            Arc::clone(&open),
            Arc::clone(&most),
        );
        Self {
            manner,
            accepted,
            open,
            most,
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
        self.open.load(Ordering::SeqCst)
    }

    /// The most connections that were open at once since this was last asked.
    pub fn most(&self) -> u64 {
        self.most.swap(self.open(), Ordering::SeqCst)
    }
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
    open: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let (target, manner, open) = (target.clone(), manner.subscribe(), Arc::clone(&open));
        let now = open.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        connections.spawn(async move {
            carry(client, &target, manner).await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(client: UnixStream, target: &Path, mut manner: watch::Receiver<Manner>) {
    let mut cut = manner.clone();
    let carried = async {
        manner.wait_for(passes).await.ok()?;
        let server = UnixStream::connect(target).await.ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let lost = AtomicBool::new(false);
        tokio::select! {
            () = pump(from_client, to_server, manner.clone(), |asked, now| {
                let commits = asked.windows(6).any(|word| word == b"COMMIT");
                lost.fetch_or(commits && now == Manner::LoseCommits, Ordering::SeqCst);
                true
            }) => {}
            () = pump(from_server, to_client, manner, |_, _| !lost.load(Ordering::SeqCst)) => {}
        }
        Some(())
    };
    tokio::select! {
        _ = carried => {}
        _ = cut.wait_for(|manner| *manner == Manner::Refuse) => {}
    }
}

const fn passes(manner: &Manner) -> bool {
    matches!(manner, Manner::Pass | Manner::LoseCommits)
}

/// Carries bytes for as long as `carries` says so of them.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut manner: watch::Receiver<Manner>,
    carries: impl Fn(&[u8], Manner) -> bool,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        let Ok(now) = manner.wait_for(passes).await.map(|now| *now) else {
            return;
        };
        if !carries(&bytes[..read], now) || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
