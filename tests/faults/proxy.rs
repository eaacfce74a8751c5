//! A bad network: a TCP proxy that refuses, resets, stalls, throttles and delays on request, also connections that are
//! open already.
//!
//! Loopback only, a bounded number of connections, a bounded number of bytes under way in each. Its buffers in the
//! kernel are small, so that a server behind it that stands still is felt soon. Ends with its owner.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, tcp};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What the proxy does with connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes pass.
    Pass,
    /// Nobody listens, and who is connected is cut off.
    Refuse,
    /// Connections end with RST, new ones as soon as they are taken.
    Reset,
    /// Connections are taken, and nothing passes on any of them.
    Stall,
    /// So many bytes a second pass to the server on each connection.
    Throttle(u32),
    /// Everything arrives so much later, both ways.
    Delay(Duration),
}

/// Connections at once; one more is cut.
const MOST: usize = 64;
/// Bytes read at once.
const CHUNK: usize = 8 << 10;
/// Bytes under way in one direction of a connection while it delays.
const UNDER_WAY: usize = 1 << 20;
/// The kernel's buffers for a connection, about.
const BUFFER: u32 = 16 << 10;

/// See the module's head.
pub struct Proxy {
    address: SocketAddr,
    manner: watch::Sender<Manner>,
    /// Its thread; taken when it is dropped.
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on `address` for whoever wants to reach `target`.
    pub fn start(address: SocketAddr, target: SocketAddr) -> Self {
        assert!(address.ip().is_loopback() && target.ip().is_loopback());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let manner = watch::Sender::new(Manner::Pass);
        let listener = runtime.block_on(async { listen(address) });
        let serving = serve(listener, target, manner.subscribe());
        runtime.spawn(serving);
        Self {
            address,
            manner,
            runtime: Some(runtime),
        }
    }

    /// From now on it behaves so.
    pub fn set(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Connections of before may still be closing.
    socket.set_reuseaddr(true).expect("a socket's option");
    // Those that are taken inherit it.
    socket
        .set_recv_buffer_size(BUFFER)
        .expect("a socket's option");
    socket.bind(address).expect("the address is free");
    socket.listen(16).expect("listens")
}

async fn serve(first: TcpListener, target: SocketAddr, mut manner: watch::Receiver<Manner>) {
    let address = first.local_addr().expect("an address");
    let mut listener = Some(first);
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        if *manner.borrow_and_update() == Manner::Refuse {
            listener = None;
            if manner.wait_for(|now| *now != Manner::Refuse).await.is_err() {
                return;
            }
        }
        let taken = tokio::select! {
            taken = listener.get_or_insert_with(|| listen(address)).accept() => taken,
            changed = manner.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        while connections.try_join_next().is_some() {}
        if let Ok((client, _)) = taken
            && connections.len() < MOST
        {
            connections.spawn(carry(client, target, manner.clone()));
        }
    }
}

async fn carry(client: TcpStream, target: SocketAddr, manner: watch::Receiver<Manner>) {
    let mut cut = manner.clone();
    let mut held = manner.clone();
    let mut server = None;
    let mut client = client;
    let carried = async {
        held.wait_for(|now| *now != Manner::Stall).await.ok()?;
        let socket = TcpSocket::new_v4().ok()?;
        socket.set_send_buffer_size(BUFFER).ok()?;
        let server = server.insert(socket.connect(target).await.ok()?);
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = pump(from_client, to_server, true, manner.clone()) => {}
            _ = pump(from_server, to_client, false, manner) => {}
        }
        Some(())
    };
    let is_cut = |now: &Manner| matches!(now, Manner::Refuse | Manner::Reset);
    let how = tokio::select! {
        _ = carried => None,
        how = cut.wait_for(is_cut) => how.ok().map(|how| *how),
    };
    if how == Some(Manner::Reset) {
        // Closed without waiting for what was sent: RST.
        let _ = client.set_zero_linger();
        if let Some(server) = server {
            let _ = server.set_zero_linger();
        }
    }
}

/// Carries one direction until it ends: each piece waits until it is due.
async fn pump(
    mut from: tcp::ReadHalf<'_>,
    mut to: tcp::WriteHalf<'_>,
    to_server: bool,
    mut manner: watch::Receiver<Manner>,
) -> Option<()> {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let (mut under_way, mut free) = (0, Instant::now());
    let mut ended = false;
    while !ended || !waiting.is_empty() {
        let now = *manner.wait_for(|now| *now != Manner::Stall).await.ok()?;
        let room = match now {
            Manner::Delay(_) => UNDER_WAY,
            _ => CHUNK,
        };
        let due = waiting.front().map(|(due, _)| *due);
        let mut piece = vec![0; CHUNK];
        tokio::select! {
            read = from.read(&mut piece), if !ended && under_way < room => {
                let read = read.ok()?;
                ended = read == 0;
                under_way += read;
                piece.truncate(read);
                free = free.max(Instant::now()) + match now {
                    Manner::Throttle(rate) if to_server => Duration::from_secs_f64(read as f64 / f64::from(rate)),
                    _ => Duration::ZERO,
                };
                let later = match now {
                    Manner::Delay(time) => time,
                    _ => Duration::ZERO,
                };
                waiting.push_back((free + later, piece));
            }
            () = sleep_until(due.unwrap_or(free)), if due.is_some() => {
                manner.wait_for(|now| *now != Manner::Stall).await.ok()?;
                let (_, piece) = waiting.pop_front()?;
                under_way -= piece.len();
                to.write_all(&piece).await.ok()?;
            }
            changed = manner.changed() => changed.ok()?,
        }
    }
    Some(())
}
