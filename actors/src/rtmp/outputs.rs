//! The outputs of one channel: a task for each destination that is wanted, kept running.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use playout_domain::Profile;
use playout_domain::config::ChannelConfig;
use playout_domain::ids::DestinationId;
use playout_domain::overlay::Font;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::output::{Output, Shared, Target, suspension};
use super::push::ENDED_WITHIN;

/// After a fault of ours the task begins anew, but not at once.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

struct Kept {
    /// Dropped to end the output.
    target: watch::Sender<Target>,
    task: JoinHandle<()>,
}

/// The RTMP outputs of one channel, as its configuration and its life want them.
#[derive(Default)]
pub(crate) struct Outputs {
    kept: HashMap<DestinationId, Kept>,
    /// Those that are taking leave.
    leaving: HashMap<DestinationId, JoinHandle<()>>,
    /// Counts the changes of keys.
    key_version: u64,
}

impl Outputs {
    /// Makes the outputs what `config` says; there are none while the channel is not `on_air`. The keys of
    /// `rekeyed` have changed.
    pub(crate) fn sync(
        &mut self,
        shared: impl Fn() -> Shared,
        config: &ChannelConfig,
        on_air: bool,
        rekeyed: &HashSet<DestinationId>,
    ) {
        self.key_version += u64::from(!rekeyed.is_empty());
        // Whatever is drawn is there by now.
        let profile = Profile::of(config, Font::default()).spliced();
        let mut wanted = HashMap::new();
        for destination in &config.rtmp_destinations {
            let Some(id) = destination.id.filter(|_| on_air && destination.enabled) else {
                continue;
            };
            let kept = self.kept.get(&id).filter(|_| !rekeyed.contains(&id));
            let target = Target {
                id,
                url: destination.server_url.clone(),
                platform: destination.platform,
                keyed: destination.stream_key.is_set(),
                key_version: kept.map_or(self.key_version, |kept| kept.target.borrow().key_version),
                feed: destination.encode.feed(&profile),
                lower: destination
                    .allow_lower_quality
                    .then(|| destination.encode.lowered(&profile)),
                playback: destination.playback_url.clone(),
            };
            wanted.insert(id, target);
        }
        self.leaving.retain(|_, task| !task.is_finished());
        let gone: Vec<_> = self
            .kept
            .extract_if(|id, _| !wanted.contains_key(id))
            .collect();
        if on_air && !gone.is_empty() {
            // Switched off or removed; what leaves the air takes its alerts along.
            let Shared { alerts, of, .. } = shared();
            for (id, _) in &gone {
                alerts.recovered(suspension(of.id, *id));
            }
        }
        self.leaving
            .extend(gone.into_iter().map(|(id, kept)| (id, kept.task)));
        for (id, target) in wanted {
            match self.kept.get(&id) {
                Some(kept) => {
                    kept.target.send_if_modified(|before| {
                        let changed = *before != target;
                        *before = target;
                        changed
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(target);
                    let before = self.leaving.remove(&id);
                    let task = tokio::spawn(keep(Arc::new(shared()), receiver, before));
                    let kept = Kept {
                        target: sender,
                        task,
                    };
                    self.kept.insert(id, kept);
                }
            }
        }
    }

    /// Ends all of them; they are gone when this returns, which it does in bounded time.
    pub(crate) async fn end(&mut self) {
        let kept = self.kept.drain().map(|(_, kept)| kept.task);
        let leaving = self.leaving.drain().map(|(_, task)| task);
        let tasks: Vec<JoinHandle<()>> = kept.chain(leaving).collect();
        let all = async {
            for task in tasks {
                // However it ended, it is gone.
                drop(task.await);
            }
        };
        if tokio::time::timeout(ENDED_WITHIN, all).await.is_err() {
            tracing::warn!("an RTMP output did not end in time");
        }
    }
}

/// Keeps one output's task running until nobody wants anything of it. Servers take one connection at a
/// time under one key, so it waits for the one `before`.
async fn keep(
    shared: Arc<Shared>,
    target: watch::Receiver<Target>,
    before: Option<JoinHandle<()>>,
) {
    if let Some(before) = before {
        drop(before.await);
    }
    let id = target.borrow().id;
    shared.board.begin(id);
    loop {
        let output = Output::new(Arc::clone(&shared), target.clone());
        let running = AbortOnDrop(tokio::spawn(output.run()));
        match running.join().await {
            Ok(()) => return,
            Err(fault) => {
                tracing::error!(channel = %shared.of.id, destination = %id, %fault, "an RTMP output has a fault; it begins anew");
                tokio::time::sleep(AFTER_A_FAULT).await;
            }
        }
    }
}

/// A task that ends when nobody waits for it any more.
pub(super) struct AbortOnDrop<T>(pub(super) JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    pub(super) async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
