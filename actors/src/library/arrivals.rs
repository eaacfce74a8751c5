//! From a file that is all there to an item, and what a crash has left on the way.
//!
//! ```text
//! uploads/<id>                     bytes that come
//! library/<client>/<id>/<name>     all of them: an item's file, or gone again
//! ```

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::violation::Violations;
use playout_store::{Arrival, ArrivalState, StoreError};
use tokio::fs;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::Inner;
use super::import::{Arrived, Hash, Taken};
use super::uploads::{forget, unwritten};
use crate::error::OpError;
use crate::supervise::Stopping;

/// How often what has expired is removed, and what was not imported is tried again.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs until it is asked to end: first what a crash has left, then whatever comes.
pub(super) async fn run(inner: Arc<Inner>, mut stopping: Stopping) -> Result<(), String> {
    let mut look = Look::First;
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.asked() => break,
            _ = sweep.tick() => {}
        }
        // The database may be away: then it is the next time.
        if look == Look::First {
            let Ok(folders) = inner.store.watched().await else {
                continue;
            };
            for folder in folders {
                inner.begin_watch(folder);
            }
        }
        if inner.sweep(look).await.is_ok() {
            look = Look::Later;
        }
    }
    inner.fetches.stop();
    inner.watchers.stop();
    Ok(())
}

/// Which look at what is on its way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The daemon has just started: nobody writes, and files may not be what they seem.
    First,
    Later,
}

impl Inner {
    /// Looks at everything that is on its way: what has expired is forgotten, what is all there is imported.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn sweep(self: &Arc<Self>, look: Look) -> Result<(), OpError> {
        // Before the database is asked: what begins meanwhile is no stray.
        let files = self.files.clone();
        let there = spawn_blocking(move || files.uploads()).await;
        let arrivals = self.store.arrivals().await?;
        if look == Look::First {
            let known: HashSet<_> = arrivals.iter().map(|arrival| arrival.id).collect();
            for (file, id) in there.unwrap_or_default() {
                if !known.contains(&id) {
                    forget(&file).await;
                }
            }
        }
        self.store.forget_lost_arrivals().await?;
        for arrival in arrivals {
            let (id, name) = (arrival.id, arrival.name.clone());
            if let Err(error) = self.look_after(arrival, look).await {
                tracing::warn!(arrival = %id, name, %error, "what was all there has not become an item");
            }
        }
        Ok(())
    }

    /// Does what is due with an arrival, unless somebody is at it: whoever writes to it goes on.
    async fn look_after(self: &Arc<Self>, arrival: Arrival, look: Look) -> Result<(), OpError> {
        let is_due = |arrival: &Arrival| arrival.expires_at <= Timestamp::now();
        let is_open = matches!(
            arrival.state,
            ArrivalState::Arriving | ArrivalState::Importing
        );
        if self.fetches.runs(arrival.id) || !(is_open || is_due(&arrival)) {
            return Ok(());
        }
        let Some(_turn) = self.desks.free(arrival.id) else {
            return Ok(());
        };
        // What it was before the turn counts no more.
        let arrival = match self.store.arrival(&arrival.who(), arrival.id).await {
            Err(StoreError::NotFound) => return Ok(()),
            other => other?,
        };
        let is_whole = match arrival.state {
            ArrivalState::Importing => true,
            // After a crash the length of a file does not say that all of it was written.
            ArrivalState::Arriving if arrival.url.is_some() => {
                look == Look::Later && self.is_whole(&arrival).await
            }
            ArrivalState::Arriving => self.is_whole(&arrival).await,
            ArrivalState::Done | ArrivalState::Failed => false,
        };
        let (id, is_due) = (arrival.id, is_due(&arrival));
        if is_whole {
            tracing::info!(arrival = %id, name = arrival.name, "a file that was all there is imported");
            match self.complete(arrival.clone()).await {
                // It has waited for an import that was not possible, not for its client.
                Err(error) if is_due && !matches!(error, OpError::Unavailable { .. }) => {}
                outcome => return outcome.map(drop),
            }
        }
        if is_due {
            return self.forget_arrival(id).await;
        }
        if arrival.state == ArrivalState::Arriving && arrival.url.is_some() {
            self.begin_fetch(arrival);
        }
        Ok(())
    }

    /// Whether all of an arrival's bytes are there, and count.
    async fn is_whole(&self, arrival: &Arrival) -> bool {
        let there = fs::metadata(self.files.upload(arrival.id)).await;
        let piece = fs::try_exists(self.files.piece(arrival.id)).await;
        there.is_ok_and(|file| Some(file.len()) == arrival.length) && !piece.unwrap_or(true)
    }

    /// Makes an item of a file that is all there.
    ///
    /// # Errors
    /// It is refused, and gone; or it cannot be taken now, and waits where it was.
    pub(super) async fn complete(&self, mut arrival: Arrival) -> Result<Arrival, OpError> {
        arrival.state = ArrivalState::Importing;
        self.store.update_arrival(&arrival).await?;
        let outcome = self.become_item(&arrival).await;
        match &outcome {
            Ok(id) => {
                arrival.state = ArrivalState::Done;
                arrival.media_id = Some(*id);
                arrival.expires_at = self.expiry();
            }
            Err(OpError::Invalid(violations)) => {
                arrival.state = ArrivalState::Failed;
                arrival.reason = violations.0.first().map(|first| first.message.clone());
                arrival.expires_at = self.expiry();
            }
            // It is tried again until it expires.
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
            arrival: Some(arrival.id),
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
