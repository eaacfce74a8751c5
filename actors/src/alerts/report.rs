//! The handle's half that other parts speak to: failures and recoveries. Nothing here waits.

use std::time::Duration;

use playout_domain::alert::recovery::{RecoveryAction, StreamFailure};
use playout_domain::alert::{Key, Report, Service, Signal, Subject};
use playout_domain::{AlertKind, Channel, ChannelId, ClientId, DestinationId, HistoryId, MediaId};
use playout_store::{HistoryEntry, Quarantined, operator};
use uuid::Uuid;

use super::{ErrorHandler, desk};
use crate::channels::OnAirKind;
use crate::hub::{Event, kind};

/// Entries of a schedule that an alert tells of at most.
const MOST_ENTRIES: usize = 5;

/// A failure on a channel: the seed's `StreamError`.
#[derive(Debug, Clone, Copy)]
pub struct StreamError<'a> {
    /// On which channel.
    pub channel: &'a Channel,
    /// What failed.
    pub failure: StreamFailure,
    /// Of which item.
    pub media: Option<MediaId>,
    /// Of which output.
    pub destination: Option<DestinationId>,
    /// Why: a sentence, without any secret.
    pub error: &'a str,
}

/// What belongs to an error in the log, each a field of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorContext {
    /// Whose.
    pub client: Option<ClientId>,
    /// On which channel.
    pub channel: Option<ChannelId>,
    /// Of which item.
    pub media: Option<MediaId>,
    /// Of which output.
    pub destination: Option<DestinationId>,
    /// What failed: `source`, `item`, `PostgreSQL` …
    pub failure: &'static str,
    /// What is done about it.
    pub action: Option<RecoveryAction>,
}

impl ErrorHandler {
    /// Takes a failure on a channel: logged, published, kept in the channel's history, and counted.
    /// Answers what is done about it.
    pub fn handle_stream_failure(&self, failed: StreamError<'_>) -> RecoveryAction {
        let StreamError {
            channel,
            failure,
            media,
            destination,
            error,
        } = failed;
        let action = failure.action();
        let context = ErrorContext {
            client: Some(channel.client_id),
            channel: Some(channel.id),
            media,
            destination,
            failure: failure.name(),
            action: Some(action),
        };
        self.log_error(error, context);
        let entry = HistoryEntry {
            id: HistoryId::from(Uuid::now_v7()),
            channel: channel.id,
            at: desk::now(),
            failure: failure.name().to_owned(),
            media_id: media,
            destination_id: destination,
            error: playout_domain::alert::detail(error),
            action,
        };
        self.inner.hub.publish(Event {
            kind: kind::CHANNEL_RECOVERY,
            client: Some(channel.client_id),
            channel: Some(channel.id),
            data: entry.to_json(),
        });
        self.inner.desk().journal.entry(entry);
        self.inner.to_write.notify_one();
        let key = match (failure, media, destination) {
            (StreamFailure::Source { .. } | StreamFailure::Playout { .. }, ..) => {
                Some(of_channel(AlertKind::SourceFailing, channel.id))
            }
            (StreamFailure::Item { .. }, Some(media), _) => Some(broken(channel.id, media)),
            (StreamFailure::Output { spent: true, .. }, _, Some(output)) => Some(Key::new(
                AlertKind::OutputSuspended,
                Subject::Output(channel.id, output),
            )),
            _ => None,
        };
        if let Some(key) = key {
            self.fail(key, channel, error);
        }
        action
    }

    /// A channel's sources have delivered without a failure for a while.
    pub fn stream_healthy(&self, channel: ChannelId) {
        self.recovered(of_channel(AlertKind::SourceFailing, channel));
    }

    /// A channel is in ERROR, or otherwise beyond what the daemon can mend: the operator is told, and by a
    /// route of its own the client.
    pub fn escalate_to_support(&self, channel: &Channel, error: &str) {
        self.fail(
            of_channel(AlertKind::ChannelError, channel.id),
            channel,
            error,
        );
    }

    /// A channel that was in ERROR is LIVE again.
    pub fn channel_live(&self, channel: ChannelId) {
        self.recovered(of_channel(AlertKind::ChannelError, channel));
    }

    /// The overlay of a channel cannot be drawn.
    pub fn overlay_failed(&self, channel: &Channel, error: &str) {
        let key = of_channel(AlertKind::OverlayFailing, channel.id);
        self.fail(key, channel, error);
    }

    /// It is drawn, or nobody wants it any more.
    pub fn overlay_well(&self, channel: ChannelId) {
        self.recovered(of_channel(AlertKind::OverlayFailing, channel));
    }

    /// Entries of a channel's schedule show nothing, each for a reason; none: all is well.
    pub fn points_beyond(&self, channel: &Channel, entries: &[String]) {
        let key = of_channel(AlertKind::PointsBeyond, channel.id);
        let told = &entries[..entries.len().min(MOST_ENTRIES)];
        let error = match entries.len() - told.len() {
            _ if told.is_empty() => return self.recovered(key),
            0 => told.join("; "),
            more => format!("{}; and {more} more", told.join("; ")),
        };
        self.fail(key, channel, &error);
    }

    /// Viewers of a channel see something else now.
    pub fn on_air(&self, channel: &Channel, shown: OnAirKind) {
        let config = &self.inner.config;
        let (dead_air, nothing_playable) = (config.dead_air, config.nothing_playable);
        let lasting = |kind, what: &str, patience: Duration| {
            let error = format!("viewers see {what}, for {} s by now", patience.as_secs());
            let report = report(of_channel(kind, channel.id), channel, &error);
            self.inner.signal(Signal::Lasting(report, patience));
        };
        let over = |kind| self.recovered(of_channel(kind, channel.id));
        match shown {
            OnAirKind::Slate => lasting(AlertKind::DeadAir, "nothing but the slate", dead_air),
            OnAirKind::Fallback | OnAirKind::Scheduled => over(AlertKind::DeadAir),
        }
        match shown {
            OnAirKind::Slate | OnAirKind::Fallback => {
                lasting(
                    AlertKind::NothingPlayable,
                    "nothing of the plan",
                    nothing_playable,
                );
            }
            OnAirKind::Scheduled => over(AlertKind::NothingPlayable),
        }
    }

    /// An item was shown to its end.
    pub fn item_played(&self, channel: ChannelId, media: MediaId) {
        self.recovered(broken(channel, media));
    }

    /// A channel plays these items from now on: what was broken and is not among them is over.
    pub fn items_kept(&self, channel: ChannelId, keeps: impl Fn(MediaId) -> bool) {
        let gone: Vec<Key> = self
            .inner
            .desk()
            .open()
            .map(|alert| alert.key)
            .filter(|key| match key.subject {
                Subject::Item(of, media) => of == channel && !keeps(media),
                _ => false,
            })
            .collect();
        for key in gone {
            self.recovered(key);
        }
    }

    /// A channel is off air by its client's wish, or deleted.
    pub fn channel_gone(&self, channel: ChannelId) {
        self.inner.signal(Signal::Gone(channel));
    }

    /// A channel is stored damaged. The operator is told, and nobody else: whose it is may be what is damaged.
    pub(crate) fn quarantined(&self, damaged: &Quarantined) {
        self.raise(Report {
            key: of_channel(AlertKind::Quarantined, damaged.id),
            client: operator(),
            name: damaged.name.clone(),
            error: damaged.reason.clone(),
        });
    }

    /// Alerts on channels that nobody wants on air are over, and that a channel is damaged when it is not.
    pub(crate) fn forget_unless(
        &self,
        is_wanted: impl Fn(ChannelId) -> bool,
        is_damaged: impl Fn(ChannelId) -> bool,
    ) {
        let gone: Vec<Key> = self
            .inner
            .desk()
            .open()
            .filter_map(|alert| {
                let channel = alert.key.subject.channel()?;
                let stays = match alert.kind() {
                    AlertKind::Quarantined => is_damaged(channel),
                    _ => is_wanted(channel),
                };
                (!stays).then_some(alert.key)
            })
            .collect();
        for key in gone {
            self.recovered(key);
        }
    }

    /// Something that the daemon leans on does not answer. Answers what is done meanwhile.
    pub fn handle_service_failure(&self, service: Service, error: &str) -> RecoveryAction {
        let action = service.action();
        let context = ErrorContext {
            failure: service.name(),
            action: Some(action),
            ..ErrorContext::default()
        };
        self.log_error(error, context);
        self.raise(Report {
            key: Key::new(service.alert(), Subject::Daemon),
            client: operator(),
            name: None,
            error: error.to_owned(),
        });
        action
    }

    /// Something that the daemon leans on answers again.
    pub fn service_recovered(&self, service: Service) {
        self.recovered(Key::new(service.alert(), Subject::Daemon));
    }

    /// Any other trouble. Counted: its kind says how many in a row raise it.
    pub fn raise(&self, report: Report) {
        self.inner.signal(Signal::Failed(report));
    }

    /// What is open of a kind.
    pub(crate) fn open_of(&self, kind: AlertKind) -> Vec<Key> {
        let desk = self.inner.desk();
        let of_kind = desk.open().filter(|alert| alert.kind() == kind);
        of_kind.map(|alert| alert.key).collect()
    }

    /// Any other trouble is over.
    pub fn recovered(&self, key: Key) {
        self.inner.signal(Signal::Recovered(key));
    }

    /// Writes an error with its context to the log, each part a field of its own.
    pub fn log_error(&self, error: &str, context: ErrorContext) {
        let ErrorContext {
            client,
            channel,
            media,
            destination,
            failure,
            action,
        } = context;
        let action = action.as_ref();
        tracing::warn!(
            client = client.map(tracing::field::display),
            channel = channel.map(tracing::field::display),
            media = media.map(tracing::field::display),
            destination = destination.map(tracing::field::display),
            failure,
            error,
            action = action.map(|action| action.kind.name()),
            attempt = action.map(|action| action.attempt),
            max_attempts = action.map(|action| action.max_attempts),
            delay = action.map(|action| action.delay.as_secs_f64()),
            fallback = action
                .and_then(|action| action.fallback_strategy)
                .map(|to| to.name()),
            "a failure was handled"
        );
    }

    /// What is known of the last run.
    pub(super) fn look_back(&self) {
        let key = Key::new(AlertKind::UncleanStop, Subject::Daemon);
        match &self.inner.config.unclean_stop {
            Some(begun) => self.raise(Report {
                key,
                client: operator(),
                name: None,
                error: format!(
                    "the run that began at {begun} did not end by itself: it was killed, or the machine stopped"
                ),
            }),
            None => self.recovered(key),
        }
    }

    fn fail(&self, key: Key, channel: &Channel, error: &str) {
        self.inner
            .signal(Signal::Failed(report(key, channel, error)));
    }
}

fn report(key: Key, channel: &Channel, error: &str) -> Report {
    Report {
        key,
        client: channel.client_id,
        name: Some(channel.config.name.clone()),
        error: error.to_owned(),
    }
}

const fn of_channel(kind: AlertKind, channel: ChannelId) -> Key {
    Key::new(kind, Subject::Channel(channel))
}

const fn broken(channel: ChannelId, media: MediaId) -> Key {
    Key::new(AlertKind::ItemBroken, Subject::Item(channel, media))
}
