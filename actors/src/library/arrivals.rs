//! From a file that is all there to an item, and what a crash has left on the way.
//!
//! ```text
//! uploads/<id>                     bytes that come
//! library/<client>/<id>/<name>     all of them: an item's file, or gone again
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::violation::Violations;
use playout_store::{Arrival, ArrivalState};
use tokio::fs;
use tokio::time::{MissedTickBehavior, interval};

use super::Inner;
use super::import::{Arrived, Hash, Taken};
use super::uploads::unwritten;
use crate::error::OpError;
use crate::supervise::Stopping;

/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs until it is asked to end: first what a crash has left, then whatever comes.
pub(super) async fn run(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut resumed = false;
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = sweep.tick() => {}
        }
        // The database may be away: then it is the next time.
        if !resumed {
            let Ok(folders) = inner.store.watched().await else {
                continue;
            };
            for folder in folders {
                inner.begin_watch(folder);
            }
        }
        let Ok(arrivals) = inner.store.arrivals().await else {
            continue;
        };
        if !resumed {
            let known = arrivals.iter().map(|arrival| arrival.id).collect();
            let files = inner.files.clone();
            let _ = tokio::task::spawn_blocking(move || files.remove_stray_uploads(&known)).await;
        }
        let now = Timestamp::now();
        for arrival in arrivals {
            if arrival.expires_at <= now {
                let _ = inner.forget_arrival(arrival.id).await;
            } else if !resumed && let Err(error) = inner.resume(arrival).await {
                tracing::warn!(%error, "what was all there has not become an item");
            }
        }
        resumed = true;
    }
    inner.fetches.stop();
    inner.watchers.stop();
    Ok(())
}

impl Inner {
    /// Goes on with what was all there when the daemon ended.
    async fn resume(self: &Arc<Self>, arrival: Arrival) -> Result<(), OpError> {
        let there = fs::metadata(self.files.upload(arrival.id)).await;
        let whole = there.is_ok_and(|file| Some(file.len()) == arrival.length);
        let piece = fs::try_exists(self.files.piece(arrival.id)).await;
        match arrival.state {
            ArrivalState::Importing => {}
            ArrivalState::Arriving if arrival.url.is_some() => {
                self.begin_fetch(arrival);
                return Ok(());
            }
            ArrivalState::Arriving if whole && !piece.unwrap_or(true) => {}
            _ => return Ok(()),
        }
        tracing::info!(arrival = %arrival.id, name = arrival.name, "a file that was all there is imported");
        self.complete(arrival).await.map(drop)
    }

    /// Makes an item of a file that is all there.
    ///
    /// # Errors
    /// It is refused, and gone; or it cannot be taken now, and waits where it was.
    pub(super) async fn complete(&self, mut arrival: Arrival) -> Result<Arrival, OpError> {
        arrival.state = ArrivalState::Importing;
        arrival.expires_at = self.expiry();
        self.store.update_arrival(&arrival).await?;
        let outcome = self.become_item(&arrival).await;
        match &outcome {
            Ok(id) => {
                arrival.state = ArrivalState::Done;
                arrival.media_id = Some(*id);
            }
            Err(OpError::Invalid(violations)) => {
                arrival.state = ArrivalState::Failed;
                arrival.reason = violations.0.first().map(|first| first.message.clone());
            }
            // It counts against the plan again, and may be tried again.
            Err(_) => arrival.state = ArrivalState::Arriving,
        }
        self.store.update_arrival(&arrival).await?;
        outcome.map(|_| arrival)
    }

    async fn become_item(&self, arrival: &Arrival) -> Result<playout_domain::MediaId, OpError> {
        let (from, to) = (self.files.upload(arrival.id), self.files.own(arrival));
        let folder = to.parent().map(PathBuf::from).unwrap_or_default();
        let failed =
            |error| OpError::internal(format!("a file cannot be moved: {}", unwritten(error)));
        fs::create_dir_all(&folder).await.map_err(failed)?;
        if fs::try_exists(&from).await.map_err(failed)? {
            fs::rename(&from, &to).await.map_err(failed)?;
        }
        let arrived = Arrived {
            path: to.clone(),
            said: arrival.details.clone(),
            hash: Hash::Always,
        };
        let taken = match self.permit().await {
            Some(_permit) => self.take(&arrival.who(), arrived).await,
            None => Err(OpError::unavailable("the daemon is being ended")),
        };
        let keep = matches!(&taken, Ok(Taken::New(item) | Taken::Known(item)) if item.path == to);
        match &taken {
            _ if keep => {}
            Ok(_) => drop(fs::remove_dir_all(&folder).await),
            Err(_) => {
                fs::rename(&to, &from).await.map_err(failed)?;
                drop(fs::remove_dir_all(&folder).await);
            }
        }
        match taken? {
            Taken::New(item) | Taken::Known(item) => Ok(item.id),
            Taken::Refused(file) => Err(Violations::one("", file.reason).into()),
        }
    }
}
