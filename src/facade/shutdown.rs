//! The signal that the daemon is going: said once, heard by every stream that would otherwise
//! never end.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// Hears it; cheap to clone.
#[derive(Debug, Clone)]
pub struct ShuttingDown(watch::Receiver<bool>);

impl Shutdown {
    /// A signal not yet given, and an ear for it.
    pub fn new() -> (Self, ShuttingDown) {
        let (say, hear) = watch::channel(false);
        (Self(say), ShuttingDown(hear))
    }

    /// Gives the signal; a second time changes nothing.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl ShuttingDown {
    /// Whether it has been said.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is said, or when nobody is left to say it.
    pub async fn begun(&mut self) {
        let _ = self.0.wait_for(|begun| *begun).await;
    }
}
