//! Hands what goes on air to the outputs outside of the playout, GOP by GOP, at the moment it is on air.
//!
//! Sending never waits: an output that does not take what it is given is cut off, and finds its tap
//! closed. Taps belong to the channel, not to one of its playouts: a playout that follows another goes on
//! with the frame after the last one sent.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use playout_domain::units::Frame;
use tokio::sync::mpsc;

/// GOPs that may wait for an output: 16 seconds.
const WAITING: usize = 8;
/// A playout that begins further back than so many frames has a new timeline.
const SAME_TIMELINE: u64 = 3_600;

/// One GOP as it went on air: a piece of a transport stream that begins with PAT, PMT and a key frame.
#[derive(Debug, Clone)]
pub struct Aired {
    /// Its first frame.
    pub at: Frame,
    /// How many frames it has.
    pub frames: u32,
    /// Its bytes on each rung, the highest first.
    pub streams: Vec<Bytes>,
    /// Whether another item begins with it.
    pub begins_item: bool,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Taps {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The frame after the last one sent.
    next: Option<Frame>,
    open: Vec<mpsc::Sender<Arc<Aired>>>,
}

impl Taps {
    /// Everything that goes on air from now on.
    pub fn open(&self) -> mpsc::Receiver<Arc<Aired>> {
        let (tap, flow) = mpsc::channel(WAITING);
        self.lock().open.push(tap);
        flow
    }

    /// Sends a GOP to every tap. What is not `current`, because it was due before its playout began, is sent
    /// only where it follows what was sent before.
    pub fn send(&self, aired: Aired, current: bool) {
        let mut inner = self.lock();
        let follows = inner.next == Some(aired.at);
        let repeats = inner
            .next
            .is_some_and(|next| aired.at < next && next.since(aired.at) < SAME_TIMELINE);
        if repeats || !(current || follows) {
            return;
        }
        inner.next = Some(aired.at + u64::from(aired.frames));
        let aired = Arc::new(aired);
        inner
            .open
            .retain(|tap| tap.try_send(Arc::clone(&aired)).is_ok());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
