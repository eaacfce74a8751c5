//! What the database has of a channel, taken up by one that was put on air without it.
//!
//! The database decides what the channel is: of another version, its configuration and its plan are taken, and where
//! the client has chosen another schedule, that with its plan. What
//! the channel does goes on, and is recorded; only an order that is later than what is known here is
//! followed.

use std::collections::HashSet;

use jiff::Timestamp;
use playout_domain::channel::{Channel, Desired};
use playout_domain::config::ChannelConfig;
use playout_domain::ids::DestinationId;
use playout_domain::lifecycle::{Event, LifeState, Operation};
use playout_domain::media::Profile;
use playout_domain::overlay::Font;
use playout_store::StoredChannel;
use ractor::ActorRef;

use super::planning::programme;
use super::{Msg, Room};

impl Room {
    pub(super) async fn take_up(&mut self, me: &ActorRef<Msg>, stored: StoredChannel) {
        let handle = std::sync::Arc::clone(&self.args.handle);
        let mut pen = handle.pen.lock().await;
        pen.life = Some(stored.channel.life.clone());
        pen.airtime = Some(stored.airtime.clone());
        let ours = self.snapshot();
        let schedule = stored.airtime.schedule != ours.airtime.schedule;
        if stored.channel.version != ours.channel.version || schedule {
            tracing::info!(
                channel = %handle.id, ours = ours.channel.version, stored = stored.channel.version,
                schedule, "the channel is another one in the database; that is taken"
            );
            let mut snapshot = ours.clone();
            snapshot.airtime = stored.airtime;
            snapshot.channel = Channel {
                life: ours.channel.life.clone(),
                ..stored.channel.clone()
            };
            let same = is_played_alike(&ours.channel.config, &snapshot.channel.config)
                && ours.airtime.timeline == snapshot.airtime.timeline;
            self.life.recover_by(snapshot.channel.config.recovery);
            handle.replace(snapshot.clone());
            self.tell_needs();
            match &self.playout {
                Some(playout) if same => playout.show(programme(&snapshot)),
                Some(_) => {
                    self.playout = None;
                    handle.set_on_air(None);
                    self.start_playout(self.life.state().generation);
                }
                None => {}
            }
            // Whether a key is another one is not told by the database.
            let destinations = snapshot.channel.config.rtmp_destinations.iter();
            let with_key = destinations.filter(|destination| destination.stream_key.is_set());
            let with_key: HashSet<DestinationId> = with_key.filter_map(|one| one.id).collect();
            self.sync_outputs(&with_key);
            self.tell_items();
            let shown = snapshot.channel.to_json(Timestamp::now(), "");
            self.publish("channel.updated", shown);
        }
        if ordered(&stored.channel.life) > ordered(self.life.state()) {
            let operation = match stored.channel.life.desired {
                Desired::Live => Operation::Start,
                Desired::Stopped => Operation::Stop,
            };
            let mut life = self.life.clone();
            // Start and stop are allowed in any state.
            if let Ok(effects) = life.on(Event::Operate(operation), Timestamp::now()) {
                self.enter(me, life, effects).await;
            }
        }
        // Alerts from before are known by now, and some may be over.
        self.tell_status();
        if let Some(on_air) = handle.on_air().and_then(|now| now.view.read().on_air) {
            self.tell_on_air(on_air);
        }
    }
}

/// Whether a playout of one configuration is one of the other, too.
fn is_played_alike(one: &ChannelConfig, other: &ChannelConfig) -> bool {
    // It is one and the same for both.
    let font = Font::default();
    Profile::of(one, font) == Profile::of(other, font) && one.hls_enabled == other.hls_enabled
}

/// When a life was last changed by an order, as exactly as the database keeps it.
fn ordered(life: &LifeState) -> Option<i64> {
    let last = life.last_start_time.max(life.last_stop_time);
    last.map(|at| at.as_microsecond())
}
