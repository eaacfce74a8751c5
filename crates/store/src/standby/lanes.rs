//! Writes the copy to its two places, each at its own pace: a place that is away or full is written when it
//! can be, and holds nothing up. Both end with the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Disk, Due, Place, Records, Standby, redis};
use crate::Inner;
use crate::error::StoreError;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Begins to write the copy.
pub(crate) fn begin(store: &Arc<Inner>, disk: Option<Disk>) {
    tokio::spawn(to_redis(Arc::downgrade(store), store.standby.news()));
    if let Some(disk) = disk {
        let standby = Arc::downgrade(&store.standby);
        tokio::spawn(to_disk(standby, store.standby.news(), disk));
    }
}

async fn to_disk(standby: Weak<Standby>, mut news: watch::Receiver<u64>, disk: Disk) {
    let mut failed = false;
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return;
            },
            () = sleep(AGAIN), if failed => {}
        }
        let Some((standby, (revision, due))) = due(&standby, Place::Disk) else {
            continue;
        };
        let disk = disk.clone();
        let written = tokio::task::spawn_blocking(move || (disk.write(revision, &due), due)).await;
        let before = failed;
        failed = !matches!(written, Ok((Ok(()), _)));
        match written {
            Ok((Ok(()), _)) => standby.done(Place::Disk, revision),
            Ok((Err(error), due)) => {
                standby.not_done(Place::Disk, due);
                if !before {
                    tracing::error!(%error, "the copy on disk is not up to date; it is tried again");
                }
            }
            Err(error) => {
                standby.not_done(Place::Disk, Due::All(Records::new()));
                tracing::error!(%error, "writing the copy to disk failed");
            }
        }
    }
}

async fn to_redis(store: Weak<Inner>, mut news: watch::Receiver<u64>) {
    let mut failed = false;
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() {
                return;
            },
            () = sleep(AGAIN), if failed => {}
        }
        let Some(store) = store.upgrade() else { return };
        let standby = &store.standby;
        let Some((revision, due)) = standby.due(Place::Redis) else {
            failed = false;
            continue;
        };
        match write_to_redis(&store, revision, &due).await {
            Ok(true) => {
                standby.done(Place::Redis, revision);
                failed = false;
            }
            Ok(false) => {
                tracing::warn!("Redis has lost the copy; it is written anew");
                standby.forgotten(Place::Redis);
                failed = false;
            }
            Err(error) => {
                tracing::debug!(%error, "the copy in Redis is not up to date");
                standby.not_done(Place::Redis, due);
                failed = true;
            }
        }
    }
}

/// Answers `false` where Redis does not have what `due` is to be added to.
async fn write_to_redis(store: &Inner, revision: u64, due: &Due) -> Result<bool, StoreError> {
    if let Due::Some(..) = due
        && redis::revision(&store.hot).await? != Some(store.standby.written_to(Place::Redis))
    {
        return Ok(false);
    }
    redis::write(&store.hot, revision, due).await?;
    Ok(true)
}

fn due(standby: &Weak<Standby>, place: Place) -> Option<(Arc<Standby>, (u64, Due))> {
    let standby = standby.upgrade()?;
    let due = standby.due(place)?;
    Some((standby, due))
}
