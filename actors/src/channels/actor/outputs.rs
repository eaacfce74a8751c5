//! A channel's RTMP outputs follow its life and its configuration.

use std::collections::HashSet;
use std::sync::Arc;

use playout_domain::channel::ChannelStatus;
use playout_domain::ids::DestinationId;

use super::Room;
use crate::rtmp::Shared;

impl Room {
    /// Starts, moves and ends outputs, so that they are what they should be. The keys of `rekeyed` have
    /// changed.
    pub(super) fn sync_outputs(&mut self, rekeyed: &HashSet<DestinationId>) {
        let snapshot = self.args.handle.snapshot();
        let (handle, environment) = (&self.args.handle, &self.args.environment);
        let resources = snapshot.channel.config.resources;
        let shared = || Shared {
            store: environment.store.clone(),
            hub: Arc::clone(&environment.hub),
            launcher: environment.studio.launcher.clone(),
            settings: environment.rtmp.clone(),
            copying: environment.studio.allowances.push.within(resources),
            encoding: environment.studio.allowances.live.within(resources),
            group: environment.studio.group(handle.id, resources),
            alerts: environment.alerts.clone(),
            decisions: environment.decisions.clone(),
            of: snapshot.channel.clone(),
            taps: Arc::clone(&handle.taps),
            board: handle.board.clone(),
            rate: snapshot.channel.config.frame_rate,
        };
        let config = &snapshot.channel.config;
        let on_air = self.life.state().status != ChannelStatus::Stopped;
        self.outputs.sync(shared, config, on_air, rekeyed);
        let named = |id| config.rtmp_destinations.iter().any(|d| d.id == Some(id));
        handle.board.retain(named);
    }
}
