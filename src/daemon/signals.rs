//! SIGTERM and SIGINT: the first asks the daemon to end, the second ends it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the signals do not end the process by themselves.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn listen() -> Result<Self, String> {
        let listen =
            |kind| signal(kind).map_err(|error| format!("cannot listen to signals: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Ends when either comes. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next signal ends the process at once; its children are ended by the kernel.
    pub(super) fn exit_at_the_next(&mut self) {
        let Ok(mut signals) = Self::listen() else {
            return;
        };
        tokio::spawn(async move {
            signals.next().await;
            tracing::warn!("asked again: ending at once");
            std::process::exit(1);
        });
    }
}
