//! Changes of a channel's configuration, and its end.

use std::collections::HashSet;

use jiff::Timestamp;
use playout_domain::as_run::Reason;
use playout_domain::channel::{Channel, ChannelStatus};
use playout_domain::config::{ChannelConfig, DestinationEdit};
use playout_domain::ids::{ClientId, DestinationId, MediaId};
use playout_domain::logo::Logo;
use playout_domain::media::Profile;
use playout_domain::violation::Violations;
use playout_store::Principal;
use serde_json::{Value, json};

use super::planning::{has, new_timeline, programme};
use super::{Args, Room};
use crate::error::OpError;

impl Room {
    pub(super) async fn update(
        &mut self,
        who: &Principal,
        patch: &Value,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        let old = self.expected(if_match)?;
        let policy = &self.args.environment.policy;
        let config = old.config.patched(patch, policy)?;
        self.adopt(who, old, config).await
    }

    pub(super) async fn edit_destination(
        &mut self,
        who: &Principal,
        edit: &DestinationEdit,
        if_match: Option<u64>,
    ) -> Result<Channel, OpError> {
        let old = self.expected(if_match)?;
        let policy = &self.args.environment.policy;
        let edited = old.config.edited(edit, policy)?;
        let config = edited.ok_or(OpError::NotFound("destination"))?;
        self.adopt(who, old, config).await
    }

    /// The channel as it is, if it is of the version that the client has seen.
    fn expected(&self, if_match: Option<u64>) -> Result<Channel, OpError> {
        let channel = self.args.handle.snapshot().channel.clone();
        OpError::unless_of_version(if_match, channel.version)?;
        Ok(channel)
    }

    /// Takes `config` in place of what `old` has: committed, then performed.
    async fn adopt(
        &mut self,
        who: &Principal,
        old: Channel,
        config: ChannelConfig,
    ) -> Result<Channel, OpError> {
        let Args {
            environment,
            handle,
            ..
        } = self.args.clone();
        let mut snapshot = self.snapshot();
        let had = old.config.fallback_video;
        check_fallback(&environment.studio.library, old.client_id, &config, had)?;
        let had = old.config.logo;
        check_logo(&environment.studio.library, old.client_id, &config, had).await?;
        if config == old.config {
            return Ok(old);
        }
        let font = environment.studio.library.font();
        let (profile, old_profile) = (Profile::of(&config, font), Profile::of(&old.config, font));
        let other_stream = profile.spliced() != old_profile.spliced();
        if other_stream && old.life.status != ChannelStatus::Stopped {
            return Err(OpError::Conflict {
                state: old.life.status.to_string(),
                message: "resolution, frame rate, bitrate and ladder can be changed while the channel is STOPPED; stop it first".into(),
            });
        }
        let new_clock = profile.frame_rate != old_profile.frame_rate;
        snapshot.channel.config = config.clone();
        if new_clock {
            snapshot.airtime.timeline =
                new_timeline(&environment.studio.settings, &config, Timestamp::now());
        }
        if other_stream {
            snapshot.airtime.plan = self.plan_from_now(&snapshot);
        }
        let airtime = other_stream.then_some(&snapshot.airtime);
        let mut pen = handle.pen.lock().await;
        let saved = environment
            .store
            .update_channel(who, handle.id, old.version, &config, airtime)
            .await;
        let saved = self.given_up(saved, &mut pen)?;
        // Newer than what an actor before this one was to take up.
        drop(handle.take_left());
        if let Some(airtime) = airtime {
            pen.airtime = Some(airtime.clone());
        }
        let life = self.life.state().clone();
        snapshot.channel = Channel { life, ..saved };
        handle.replace(snapshot.clone());
        drop(pen);
        self.life.recover_by(config.recovery);
        self.tell_needs();
        if config.overlay != old.config.overlay {
            environment.alerts.overlay_well(handle.id);
        }
        if config.hls_enabled != old.config.hls_enabled && self.playout.is_some() {
            self.playout = None;
            handle.set_on_air(None);
            self.book().away(Reason::OffAir);
            self.start_playout(self.life.state().generation);
        } else if (profile != old_profile || config.subtitles != old.config.subtitles)
            && self.playout.is_some()
        {
            // What was published stays, and is gone on with.
            self.playout = None;
            self.start_playout(self.life.state().generation);
        } else if let Some(playout) = &self.playout {
            playout.show(programme(&snapshot));
        }
        self.sync_outputs(&rekeyed(&config));
        self.publish(
            "channel.updated",
            snapshot.channel.to_json(Timestamp::now(), ""),
        );
        Ok(snapshot.channel)
    }

    pub(super) async fn delete(
        &mut self,
        who: &Principal,
        if_match: Option<u64>,
    ) -> Result<(), OpError> {
        let Args {
            environment,
            handle,
            ..
        } = &self.args;
        let status = self.life.state().status;
        if status != ChannelStatus::Stopped {
            return Err(OpError::Conflict {
                state: status.to_string(),
                message: "a channel can be deleted while it is STOPPED; stop it first".into(),
            });
        }
        let mut pen = handle.pen.lock().await;
        let done = environment
            .store
            .delete_channel(who, handle.id, if_match)
            .await;
        self.given_up(done, &mut pen)?;
        drop(pen);
        self.deleted().await;
        Ok(())
    }

    /// The channel is not stored any more: it goes.
    pub(super) async fn deleted(&mut self) {
        let Args {
            environment,
            handle,
            deleted,
        } = &self.args;
        handle.pen.lock().await.gone = true;
        self.playout = None;
        // With its labels, by which it may be followed.
        let labels = handle.snapshot().channel.config.labels.clone();
        let data = json!({ "id": handle.id, "labels": labels });
        self.publish("channel.deleted", data);
        environment.alerts.channel_gone(handle.id);
        self.close_book().await;
        // What was published goes with the channel; what cannot be removed does no harm. The last
        // playout may still be writing.
        let _written = handle.spool.lock().await;
        let dir = handle.spool_dir.parent().map(ToOwned::to_owned);
        if let Some(dir) = dir
            && let Err(error) = tokio::fs::remove_dir_all(&dir).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(channel = %handle.id, %error, "the folder of a deleted channel stays");
        }
        let _ = deleted.send(handle.id);
    }
}

/// The destinations that a key was given for.
fn rekeyed(config: &ChannelConfig) -> HashSet<DestinationId> {
    let given = config.rtmp_destinations.iter();
    given
        .filter(|destination| destination.stream_key.given().is_some())
        .filter_map(|destination| destination.id)
        .collect()
}

/// The fallback video must be there, and of the channel's client; it may keep the one that it `had`.
pub(in crate::channels) fn check_fallback(
    library: &crate::library::Library,
    client: ClientId,
    config: &ChannelConfig,
    had: Option<MediaId>,
) -> Result<(), OpError> {
    match config.fallback_video {
        Some(media) if had != Some(media) && !has(library, client, media) => {
            Err(Violations::one("/fallbackVideo", format!("there is no media {media}")).into())
        }
        _ => Ok(()),
    }
}

/// Whether the client of a channel has the picture of its logo; it may keep the one that it `had`.
pub(in crate::channels) async fn check_logo(
    library: &crate::library::Library,
    client: ClientId,
    config: &ChannelConfig,
    had: Option<Logo>,
) -> Result<(), OpError> {
    let digest = |logo: Logo| logo.sha256;
    match config.logo {
        Some(logo)
            if had.map(digest) != Some(logo.sha256)
                && library.logo_of(client, &logo).await?.is_none() =>
        {
            let message = "there is no such picture; send it with PUT to the channel's logo";
            Err(Violations::one("/logo/sha256", message).into())
        }
        _ => Ok(()),
    }
}
