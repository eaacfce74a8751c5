//! What fails on a channel and what is over, told to the error handler.

use std::collections::HashSet;
use std::time::Duration;

use playout_domain::alert::recovery::StreamFailure;
use playout_domain::backoff::{self, Chance};
use playout_domain::channel::{ChannelStatus, Desired};
use playout_domain::ids::MediaId;
use playout_domain::media::Profile;
use playout_store::NodeDecision;
use serde_json::json;

use super::Room;
use crate::alerts::StreamError;
use crate::channels::{OnAir, OnAirKind};

/// Tells whether an item came through.
#[derive(Debug, Default)]
pub(super) struct Airing {
    /// The item of the plan that viewers see.
    item: Option<MediaId>,
    /// Items that failed since they were last shown: sources are read ahead of the air.
    failed: HashSet<MediaId>,
}

impl Airing {
    /// Viewers see something else. Answers the item that was shown to its end without a failure.
    fn changed(&mut self, on_air: OnAir) -> Option<MediaId> {
        let next = on_air
            .media_id
            .filter(|_| on_air.kind == OnAirKind::Scheduled);
        let before = std::mem::replace(&mut self.item, next)?;
        (!self.failed.remove(&before)).then_some(before)
    }
}

impl Room {
    /// A source of the plan failed and is started again.
    pub(super) fn source_failed(
        &mut self,
        media: MediaId,
        error: &str,
        attempt: u32,
        delay: Duration,
    ) {
        self.airing.failed.insert(media);
        let failure = StreamFailure::Source {
            attempt,
            delay,
            most: self.recovery().max_restarts,
            spent: delay >= backoff::SLOW_RETRY,
        };
        self.handle(failure, Some(media), error);
    }

    /// An item cannot be played on. `others`: the plan goes on with another.
    pub(super) fn item_broken(&self, media: MediaId, others: bool, again: Duration) {
        let failure = StreamFailure::Item { others, again };
        let error = "it failed twice at one place and is passed over";
        self.handle(failure, Some(media), error);
    }

    /// The playout ended by itself; the state has followed already.
    pub(super) fn playout_failed(&self, error: &str) {
        let recovery = self.recovery();
        let spent = self.life.state().status == ChannelStatus::Error;
        let attempt = self.life.failures();
        let failure = StreamFailure::Playout {
            attempt,
            delay: match spent {
                true => backoff::SLOW_RETRY,
                false => recovery.delay(attempt, Chance::EVEN),
            },
            most: recovery.max_restarts,
            spent,
        };
        self.handle(failure, None, error);
    }

    /// What the channel does, or should do, has changed.
    pub(super) fn tell_status(&mut self) {
        let alerts = &self.args.environment.alerts;
        let id = self.args.handle.id;
        let life = self.life.state();
        match life.status {
            ChannelStatus::Error => {
                let most = self.recovery().max_restarts;
                let error = format!(
                    "{most} failures within {} s: it is tried again every {} s",
                    backoff::BUDGET_TIME.as_secs(),
                    backoff::SLOW_RETRY.as_secs()
                );
                alerts.escalate_to_support(&self.args.handle.snapshot().channel, &error);
            }
            ChannelStatus::Live => alerts.channel_live(id),
            // Off air with the daemon it is still wanted, and what failed fails on.
            ChannelStatus::Stopped if life.desired == Desired::Stopped => alerts.channel_gone(id),
            ChannelStatus::Stopped | ChannelStatus::Starting => {}
        }
        self.tell_points();
    }

    /// That the channel was given up, or came back by itself, is in the audit of its client.
    pub(super) fn note_decided(&self, before: ChannelStatus) {
        let life = self.life.state();
        let operation = match (before, life.status) {
            (ChannelStatus::Error, ChannelStatus::Error) => return,
            (_, ChannelStatus::Error) => "channel.error",
            (ChannelStatus::Error, ChannelStatus::Live) => "channel.recover",
            _ => return,
        };
        let channel = &self.args.handle.snapshot().channel;
        self.args.environment.decisions.note(NodeDecision {
            client: channel.client_id,
            channel: channel.id,
            operation,
            detail: json!({ "status": life.status }),
        });
    }

    /// Which entries of the schedule begin where their items are over: told where that has changed.
    pub(super) fn tell_points(&mut self) {
        // Off air nothing is missed.
        if self.life.state().desired == Desired::Stopped {
            self.beyond = None;
            return;
        }
        let snapshot = self.args.handle.snapshot();
        let environment = &self.args.environment;
        let (library, channel) = (&environment.studio.library, &snapshot.channel);
        let profile = Profile::of(&channel.config, library.font());
        let schedule = &snapshot.airtime.schedule;
        let frames = |media| library.frames(media, &profile);
        let beyond = schedule.beyond(snapshot.airtime.timeline.frame_rate, frames);
        if self.beyond.as_ref() != Some(&beyond) {
            environment.alerts.points_beyond(channel, &beyond);
            self.beyond = Some(beyond);
        }
    }

    /// Viewers see something else now.
    pub(super) fn tell_on_air(&mut self, on_air: OnAir) {
        let alerts = &self.args.environment.alerts;
        alerts.on_air(&self.args.handle.snapshot().channel, on_air.kind);
        if let Some(played) = self.airing.changed(on_air) {
            alerts.item_played(self.args.handle.id, played);
        }
    }

    /// The channel plays other items: what was broken among the old ones is over.
    pub(super) fn tell_items(&self) {
        let snapshot = self.args.handle.snapshot();
        let schedule = &snapshot.airtime.schedule;
        let keeps = |media| schedule.names(media);
        let alerts = &self.args.environment.alerts;
        alerts.items_kept(self.args.handle.id, keeps);
    }

    fn handle(&self, failure: StreamFailure, media: Option<MediaId>, error: &str) {
        let snapshot = self.args.handle.snapshot();
        self.args
            .environment
            .alerts
            .handle_stream_failure(StreamError {
                channel: &snapshot.channel,
                failure,
                media,
                destination: None,
                error,
            });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jiff::Timestamp;
    use uuid::Uuid;

    fn shown(kind: OnAirKind, media: u128) -> OnAir {
        OnAir {
            kind,
            media_id: Some(MediaId::from(Uuid::from_u128(media))),
            since: Timestamp::UNIX_EPOCH,
            until: None,
        }
    }

    #[test]
    fn an_item_came_through_when_it_was_shown_to_its_end_without_a_failure() {
        let id = |n| MediaId::from(Uuid::from_u128(n));
        let mut airing = Airing::default();
        assert_eq!(airing.changed(shown(OnAirKind::Scheduled, 1)), None);
        // The next item fails while this one is still shown.
        airing.failed.insert(id(2));
        assert_eq!(airing.changed(shown(OnAirKind::Scheduled, 2)), Some(id(1)));
        assert_eq!(
            airing.changed(shown(OnAirKind::Fallback, 9)),
            None,
            "it failed"
        );
        assert_eq!(airing.changed(shown(OnAirKind::Scheduled, 2)), None);
        assert_eq!(airing.changed(shown(OnAirKind::Scheduled, 2)), Some(id(2)));
        assert_eq!(airing.changed(shown(OnAirKind::Slate, 0)), Some(id(2)));
    }
}
