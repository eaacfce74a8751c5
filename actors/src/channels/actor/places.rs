//! The channel's place on its node: what it waits for before it goes on air, and what it is told of its costs.

use jiff::{SignedDuration, Timestamp};
use playout_domain::lifecycle::Desired;
use playout_domain::media::Profile;
use ractor::ActorRef;
use serde_json::json;

use super::{Environment, Msg, Room};
use crate::admission::{Claimant, Transcodes};
use crate::process::{Role, Sampled};

/// So long a source takes what it does not take later: it reads ahead.
const STEADY: SignedDuration = SignedDuration::from_secs(15);

impl Room {
    /// Whether the node has a place for the channel; where it has not, the actor is told when there is one.
    pub(super) fn has_place(&self, me: &ActorRef<Msg>) -> bool {
        let handle = &self.args.handle;
        let claim = || self.args.environment.admissions.channel(self.claimant());
        let Some(mut held) = handle.claim(claim) else {
            return true;
        };
        self.publish_status();
        let me = me.clone();
        tokio::spawn(async move {
            // The claim may be given back before.
            if held.wait_for(|held| *held).await.is_ok() {
                let _ = me.cast(Msg::Placed);
            }
        });
        false
    }

    /// There is a place: the channel goes on air, if it still should.
    pub(super) fn placed(&mut self, me: &ActorRef<Msg>) {
        let life = self.life.state();
        let (desired, generation) = (life.desired, life.generation);
        if desired == Desired::Live && self.playout.is_none() && self.has_place(me) {
            self.start_playout(generation);
            self.publish_status();
        }
    }

    fn publish_status(&self) {
        let library = &self.args.environment.studio.library;
        self.publish("channel.status", json!(self.args.handle.status(library)));
    }

    pub(super) fn transcodes(&self) -> Transcodes {
        Transcodes {
            admissions: self.args.environment.admissions.clone(),
            claimant: self.claimant(),
        }
    }

    fn claimant(&self) -> Claimant {
        let channel = &self.args.handle.snapshot().channel;
        let limits = self.args.environment.store.known_limits(channel.client_id);
        Claimant {
            channel: channel.id,
            client: channel.client_id,
            name: channel.config.name.clone(),
            tier: limits.map_or(0, |limits| limits.tier),
        }
    }

    /// What its sources cost is what others will be taken to cost.
    pub(super) fn measure(&self, sampled: &[Sampled], now: Timestamp) {
        let Environment {
            studio, admissions, ..
        } = &*self.args.environment;
        let config = &self.args.handle.snapshot().channel.config;
        let profile = Profile::of(config, studio.library.font());
        let steady = |sampled: &&Sampled| {
            let age = now.duration_since(sampled.started);
            sampled.begun.role == Role::Source && age > STEADY
        };
        for sampled in sampled.iter().filter(steady) {
            match sampled.begun.transcodes {
                true => admissions.measured_transcode(&profile, sampled.cpu, sampled.stats.rss),
                false => admissions.measured_copy(sampled.cpu, sampled.stats.rss),
            }
        }
    }
}
