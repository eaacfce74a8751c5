//! A viewer of one channel for the whole time: fetches every segment as it is published, judges its bytes, has its
//! pictures decoded, and knows when the channel should be on air.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::judge::{Judge, Playlist, PlaylistHistory};
use crate::pictures::{Decoder, Pictures, Programme};

/// How often the playlist is fetched.
const LOOK: Duration = Duration::from_millis(500);
/// What a player holds: three segments. Longer without a new one, and viewers see it.
const PATIENCE: Duration = Duration::from_secs(12);
/// After an absence shorter than the playlist's window (40 s), less the segment under way, nothing may be missing.
const CAUGHT_UP: Duration = Duration::from_secs(34);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a channel should be on air.
#[derive(Default)]
pub struct Airing(Mutex<Wanted>);

#[derive(Default, Clone, Copy)]
struct Wanted {
    /// Since when it should.
    since: Option<Instant>,
    /// How often it was taken off.
    times_off: u64,
}

impl Airing {
    pub fn on(&self) {
        lock(&self.0).since = Some(Instant::now());
    }

    pub fn off(&self) {
        let mut wanted = lock(&self.0);
        wanted.times_off += u64::from(wanted.since.take().is_some());
    }

    /// Takes [`Self::off`] back: the order was refused.
    pub fn stayed_on(&self, since: Option<Instant>) {
        let mut wanted = lock(&self.0);
        wanted.times_off -= u64::from(since.is_some());
        wanted.since = since;
    }

    pub fn since(&self) -> Option<Instant> {
        lock(&self.0).since
    }

    fn read(&self) -> Wanted {
        *lock(&self.0)
    }
}

/// What all viewers share: where the daemon is, and whether it is over.
pub struct Scene {
    daemon: Mutex<Arc<Daemon>>,
    over: AtomicBool,
}

impl Scene {
    pub fn at(daemon: Arc<Daemon>) -> Self {
        Self {
            daemon: Mutex::new(daemon),
            over: AtomicBool::new(false),
        }
    }

    pub fn moved_to(&self, daemon: Arc<Daemon>) {
        *lock(&self.daemon) = daemon;
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// What a viewer saw.
#[derive(Debug, Default)]
pub struct Followed {
    pub segments: u64,
    pub frames: u64,
    /// Breaks of the stream, each after the channel was off air for long.
    pub breaks: u64,
    /// Items that were skipped by order.
    pub skips: u64,
    /// How often the channel was taken off air, by order or with the daemon.
    pub times_off: u64,
    /// The longest time without a new segment, on air.
    pub longest_wait: Duration,
    pub pictures: Pictures,
    pub faults: Vec<String>,
}

/// See the module's head.
pub struct Follower(JoinHandle<Followed>);

impl Follower {
    pub fn of(
        channel: &str,
        airing: Arc<Airing>,
        scene: Arc<Scene>,
        programme: Arc<Programme>,
    ) -> Self {
        let viewer = Viewer {
            channel: channel.to_owned(),
            airing,
            scene,
            programme,
            judge: Judge::new(25, 1),
            history: PlaylistHistory::default(),
            next: None,
            moved: Instant::now(),
            times_off: 0,
            decoder: None,
            pictures: Arc::default(),
            saw: Followed::default(),
        };
        Self(std::thread::spawn(|| viewer.follow()))
    }

    /// What it saw; after the end of the scene.
    pub fn end(self) -> Followed {
        self.0.join().expect("a viewer never panics")
    }
}

struct Viewer {
    channel: String,
    airing: Arc<Airing>,
    scene: Arc<Scene>,
    programme: Arc<Programme>,
    judge: Judge,
    history: PlaylistHistory,
    /// The number of the next segment.
    next: Option<u64>,
    /// When the last new segment was seen, or told of its absence.
    moved: Instant,
    /// As often it was off air before the last segment.
    times_off: u64,
    decoder: Option<Decoder>,
    pictures: Arc<Mutex<Pictures>>,
    saw: Followed,
}

impl Viewer {
    fn follow(mut self) -> Followed {
        while !self.scene.over.load(Ordering::SeqCst) {
            let wanted = self.airing.read();
            let found = self.look();
            let now = self.airing.read();
            let undisturbed = wanted.since.is_some() && wanted.times_off == now.times_off;
            if let (Err(fault), true) = (found, undisturbed) {
                self.fault(fault);
            }
            self.wait_is_over(now);
            std::thread::park_timeout(LOOK);
        }
        if let Some(fault) = self.decoder.take().and_then(Decoder::end) {
            self.fault(fault);
        }
        let judged = self.judge.faults().into_iter().chain(self.history.faults());
        self.saw.faults.extend(judged);
        self.saw.frames = self.judge.frames();
        self.saw.pictures = lock(&self.pictures).clone();
        self.saw.times_off = self.airing.read().times_off;
        self.saw
    }

    fn fault(&mut self, fault: String) {
        let at = jiff::Timestamp::now();
        eprintln!("soak: {at} channel {}: {fault}", self.channel);
        self.saw.faults.push(format!("{at}: {fault}"));
    }

    /// Viewers may wait for the next segment only so long.
    fn wait_is_over(&mut self, wanted: Wanted) {
        let Some(since) = wanted.since else { return };
        let waited = self.moved.max(since).elapsed();
        self.saw.longest_wait = self.saw.longest_wait.max(waited);
        if waited > PATIENCE {
            self.fault(format!("no new segment for {waited:?}"));
            self.moved = Instant::now();
        }
    }

    /// Fetches what is new. A fault counts only if the channel should have been on air all the time.
    fn look(&mut self) -> Result<(), String> {
        let daemon = Arc::clone(&lock(&self.scene.daemon));
        let get = |path: &str| {
            let path = format!("/hls/{}/{path}", self.channel);
            daemon
                .try_get(&path)
                .ok_or(format!("{path} is not answered"))
        };
        let answer = get("240p.m3u8")?;
        if answer.status != 200 {
            // Between the order and the first media there is none.
            return Ok(());
        }
        let text = answer.text();
        self.history.saw(&text);
        let Some(playlist) = crate::judge::read(&text) else {
            return Ok(());
        };
        let mut new = Vec::new();
        for (sequence, segment) in numbered(&playlist) {
            if self.next.is_none_or(|next| sequence >= next) {
                let answer = get(&segment.uri)?;
                if answer.status != 200 {
                    return Err(format!("{} is answered {}", segment.uri, answer.status));
                }
                new.push((
                    sequence,
                    segment.uri.clone(),
                    segment.discontinuity,
                    answer.body,
                ));
            }
        }
        for (sequence, name, breaks, bytes) in new {
            self.take(sequence, &name, breaks, &bytes);
        }
        Ok(())
    }

    fn take(&mut self, sequence: u64, name: &str, breaks: bool, bytes: &[u8]) {
        let first = self.next.is_none();
        if let Some(next) = self.next.filter(|next| sequence > *next) {
            self.fault(format!("segments {next} to {sequence} were never seen"));
        }
        let breaks = breaks && !first;
        let times_off = self.airing.read().times_off;
        if breaks {
            self.saw.breaks += 1;
            let at = jiff::Timestamp::now();
            eprintln!("soak: {at} channel {}: a break at {name}", self.channel);
            if times_off == self.times_off || self.moved.elapsed() < CAUGHT_UP {
                self.fault(format!("a discontinuity at {name}"));
            }
        }
        self.times_off = times_off;
        self.judge.segment(name, bytes, breaks);
        self.decode(bytes, breaks);
        self.next = Some(sequence + 1);
        self.saw.segments += 1;
        self.moved = Instant::now();
    }

    fn decode(&mut self, bytes: &[u8], breaks: bool) {
        if breaks && let Some(fault) = self.decoder.take().and_then(Decoder::end) {
            self.fault(fault);
        }
        let decoder = self.decoder.get_or_insert_with(|| {
            Decoder::begin(Arc::clone(&self.programme), Arc::clone(&self.pictures))
        });
        if !decoder.segment(bytes) {
            let fault = self.decoder.take().and_then(Decoder::end);
            self.fault(fault.unwrap_or_else(|| "the decoder has ended".to_owned()));
        }
    }
}

fn numbered(playlist: &Playlist) -> impl Iterator<Item = (u64, &crate::judge::PlaylistSegment)> {
    (playlist.media_sequence..).zip(&playlist.segments)
}
