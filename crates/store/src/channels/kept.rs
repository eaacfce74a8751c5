//! What is kept of channels outside the database, and what a daemon that starts puts on air: what the database
//! has, or, while it is away, what is kept.

use std::sync::atomic::Ordering;

use playout_domain::lifecycle::LifeState;
use playout_domain::{Channel, ChannelId, DestinationId};

use super::{Airtime, Loaded, Quarantined, StoredChannel};
use crate::Store;
use crate::error::StoreError;
use crate::standby::{DestinationKey, Kept, Kind, Place};

/// How long the end of a deleted channel waits for the copies.
const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(1);

/// A channel to be put on air.
#[derive(Debug, Clone, PartialEq)]
pub struct ToAir {
    /// The channel.
    pub stored: StoredChannel,
    /// Whether the database has its life and airtime as they are here.
    pub recorded: bool,
}

impl Store {
    /// Keeps a channel outside the database, as it is now; `recorded` says whether the database has this
    /// life and airtime. Never waits.
    pub fn keep_channel(&self, channel: &Channel, airtime: &Airtime, recorded: bool) {
        // Another daemon's: nothing of it is kept here.
        let Some(lease) = self.lease(channel.id) else {
            return;
        };
        let kept = Kept::of(channel, airtime, recorded).under(&lease);
        self.0
            .standby
            .put(Kind::Channel, channel.id.to_string(), &kept);
    }

    /// Every channel of this daemon, as it is to go on air: the database's, with what a channel did while the
    /// database was away the last time; or, while it is away now, what is kept, if this daemon was alone: else
    /// another may have it, and none goes on air yet. From here on the copy is complete. Beside them those that
    /// the database has damaged: they are neither put on air nor kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when neither is there.
    pub async fn channels_to_air(&self) -> Result<(Vec<ToAir>, Vec<Quarantined>), StoreError> {
        let kept: Vec<(ChannelId, Kept)> = self.kept_channels();
        let read = match self.is_taken_up() {
            true => self.held_channels().await,
            false => Err(StoreError::away("PostgreSQL was not reached yet")),
        };
        let mut quarantined = Vec::new();
        let to_air: Vec<ToAir> = match read {
            Ok(loaded) => {
                quarantined = loaded.quarantined;
                let stored = loaded.channels.into_iter();
                let waiting = self.0.journal.lives();
                stored
                    .map(|stored| self.with_what_was_not_recorded(stored, &kept))
                    .map(|to_air| self.with_what_waits(to_air, &waiting))
                    .collect()
            }
            Err(StoreError::Unavailable(away)) => {
                if !self.0.standby.is_loaded(Kind::Channel) && !self.falls_back() {
                    return Err(StoreError::Unavailable(away));
                }
                if !self.is_alone() {
                    tracing::error!(
                        channels = kept.len(),
                        "PostgreSQL is away, and this daemon was not alone on it: its channels wait, for another may have them"
                    );
                    self.0.started.store(true, Ordering::Release);
                    return Ok((Vec::new(), Vec::new()));
                }
                self.copied(kept)
            }
            Err(error) => return Err(error),
        };
        let kept = to_air.iter().map(|ToAir { stored, recorded }| {
            let kept = Kept::of(&stored.channel, &stored.airtime, *recorded);
            let id = stored.channel.id;
            let kept = match self.lease(id) {
                Some(lease) => kept.under(&lease),
                None => kept,
            };
            (id.to_string(), kept)
        });
        self.0.standby.load(Kind::Channel, kept);
        self.0.started.store(true, Ordering::Release);
        Ok((to_air, quarantined))
    }

    /// The channels that this daemon holds, and those that are stored damaged and that no other holds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn held_channels(&self) -> Result<Loaded, StoreError> {
        let mut loaded = self.all_channels().await?;
        let others: Vec<ChannelId> = match loaded.quarantined.is_empty() {
            true => Vec::new(),
            false => self.held_by_others().await?,
        };
        loaded
            .channels
            .retain(|stored| self.lease(stored.channel.id).is_some());
        loaded
            .quarantined
            .retain(|damaged| !others.contains(&damaged.id));
        Ok(loaded)
    }

    fn kept_channels(&self) -> Vec<(ChannelId, Kept)> {
        let all = self.0.standby.all::<Kept>(Kind::Channel).into_iter();
        all.filter_map(|(id, kept)| Some((id.parse().ok()?, kept)))
            .collect()
    }

    /// What a channel did while the database was away and that it never got, where it is still the same version
    /// of the channel, and no other daemon has had it since.
    fn with_what_was_not_recorded(
        &self,
        stored: StoredChannel,
        kept: &[(ChannelId, Kept)],
    ) -> ToAir {
        let id = stored.channel.id;
        let taken = self.lease(id).and_then(|lease| lease.taken_at());
        let ours = kept.iter().find(|(of, kept)| {
            *of == id
                && !kept.recorded
                && kept.version == stored.channel.version
                && kept.taken == taken
        });
        let Some((_, kept)) = ours else {
            return ToAir {
                stored,
                recorded: true,
            };
        };
        // An order that the database has is later than anything that came by itself before it.
        let life = super::reconcile::ordered(&kept.life).map(crate::columns::whole_micros)
            >= super::reconcile::ordered(&stored.channel.life);
        let mut stored = stored;
        // What its client has chosen meanwhile is in the database alone.
        let (theirs, ours) = (&stored.airtime, &kept.airtime);
        if theirs.schedule == ours.schedule && theirs.timeline == ours.timeline {
            stored.airtime = kept.airtime.clone();
        }
        if life {
            stored.channel.life = kept.life.clone();
        }
        ToAir {
            stored,
            recorded: false,
        }
    }

    /// With the orders that the database could not be told of yet: what was acknowledged is carried out.
    fn with_what_waits(&self, to_air: ToAir, waiting: &[(ChannelId, LifeState)]) -> ToAir {
        let ToAir {
            mut stored,
            mut recorded,
        } = to_air;
        let id = stored.channel.id;
        let taken = self.lease(id).and_then(|lease| lease.taken_at());
        for (_, life) in waiting.iter().filter(|(of, _)| *of == id) {
            let ordered = super::reconcile::ordered(life).map(crate::columns::whole_micros);
            // Of a time before another daemon had it, it is past.
            if ordered > super::reconcile::ordered(&stored.channel.life) && ordered >= taken {
                stored.channel.life = life.clone();
                recorded = false;
            }
        }
        ToAir { stored, recorded }
    }

    /// What is kept, with the orders that wait for the database.
    fn copied(&self, kept: Vec<(ChannelId, Kept)>) -> Vec<ToAir> {
        let lives = self.0.journal.lives();
        let mut to_air = Vec::new();
        for (id, mut kept) in kept {
            for (_, life) in lives.iter().filter(|(channel, _)| *channel == id) {
                if super::reconcile::ordered(life) > super::reconcile::ordered(&kept.life) {
                    kept.life = life.clone();
                }
            }
            self.resume_lease(id, kept.epoch, kept.taken);
            match kept.stored(id) {
                Ok(stored) => to_air.push(ToAir {
                    stored,
                    recorded: false,
                }),
                Err(wrong) => {
                    tracing::error!(channel = %id, wrong, "what is kept of a channel cannot be read");
                }
            }
        }
        to_air
    }

    /// The stream keys of a channel that was written.
    pub(super) fn keep_keys(
        &self,
        channel: Channel,
        keys: Vec<(DestinationId, DestinationKey)>,
    ) -> Channel {
        let standby = &self.0.standby;
        let ids: Vec<String> = keys.iter().map(|(id, _)| id.to_string()).collect();
        standby.remove_where(Kind::StreamKey, |id, key: &DestinationKey| {
            key.channel_id == channel.id && !ids.iter().any(|kept| kept == id)
        });
        for (id, (_, key)) in ids.iter().zip(&keys) {
            standby.put(Kind::StreamKey, id, key);
        }
        channel
    }

    /// Takes a channel out of the copies that the database does not have.
    pub async fn forget_copy(&self, id: ChannelId) {
        self.forget_kept(id).await;
        self.hot().forget_channel(id).await;
    }

    /// Returns when the copy on disk has everything up to now, or after `limit`: `false` then.
    pub async fn copies_written(&self, limit: std::time::Duration) -> bool {
        let standby = &self.0.standby;
        if standby.is_complete() && self.0.disk.is_some() {
            let kept = standby.is_kept(Place::Disk);
            if tokio::time::timeout(limit, kept).await.is_err() {
                tracing::warn!("the copy on disk is not up to date");
                return false;
            }
        }
        true
    }

    /// A channel that another daemon has: it is not this one's to put on air.
    pub fn forget_lost(&self, id: ChannelId) {
        self.0.standby.remove(Kind::Channel, id.to_string());
    }

    /// A channel that was deleted: a daemon that starts while the database is away must not find it.
    pub(super) async fn forget_kept(&self, id: ChannelId) {
        let standby = &self.0.standby;
        standby.remove(Kind::Channel, id.to_string());
        standby.remove_where(Kind::StreamKey, |_, key: &DestinationKey| {
            key.channel_id == id
        });
        self.copies_written(FORGOTTEN).await;
    }
}
