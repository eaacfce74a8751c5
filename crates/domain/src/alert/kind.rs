//! The kinds of alerts there are, and what is settled for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; viewers see nothing of it.
    Info,
    /// Viewers see nothing of it yet, or something stands in.
    #[default]
    Warning,
    /// Somebody has to act.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|severity| severity.name() == text);
        found.ok_or_else(|| {
            let given = crate::violation::quoted(text);
            format!("{given} is no severity; it is info, warning or critical")
        })
    }
}

/// Whom an alert is told. Telling the client and telling the operator are separate routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// The client whose thing it is.
    Client,
    /// The operator alone: it is the daemon's own.
    Operator,
    /// The client, and the operator, because the client cannot mend it alone.
    Both,
}

impl Audience {
    /// Whether the owner of the subject is told.
    pub const fn tells_client(self) -> bool {
        matches!(self, Self::Client | Self::Both)
    }

    /// Whether the operator is told.
    pub const fn tells_operator(self) -> bool {
        matches!(self, Self::Operator | Self::Both)
    }
}

/// A kind of alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// The sources of a channel fail one after the other.
    SourceFailing,
    /// The budget of recovery is spent: the channel is in ERROR.
    ChannelError,
    /// An item cannot be played on; the channel passes over it.
    ItemBroken,
    /// Entries of a channel's schedule begin where their items are over, and show nothing.
    PointsBeyond,
    /// Viewers have seen nothing of the plan for a while: it is empty, or nothing in it can be played.
    NothingPlayable,
    /// Viewers have seen nothing but the slate for a while.
    DeadAir,
    /// A stored channel is damaged and was left alone.
    Quarantined,
    /// A channel is on air beyond what the plan allows, and goes off air after the grace.
    ChannelOverLimit,
    /// A channel waits for a place on its node.
    ChannelWaiting,
    /// What a channel plays is not prepared, and there is no place on the node to transcode it.
    TranscodeWaiting,
    /// An output was given up after failures in a row.
    OutputSuspended,
    /// A platform takes an output and shows nothing.
    OutputNotShowing,
    /// What is to be drawn over a channel cannot be; its programme goes out without.
    OverlayFailing,
    /// An item could not be prepared; it is transcoded while it plays.
    MediaNotPrepared,
    /// A watched folder cannot be seen.
    FolderMissing,
    /// PostgreSQL does not answer.
    PostgresDown,
    /// Redis does not answer.
    RedisDown,
    /// What channels report about themselves did not fit any more and was dropped.
    TelemetryLost,
    /// Nothing is prepared or taken in, for want of room on the disk of the data folder.
    PreparingPaused,
    /// The disk of the data folder is nearly full.
    DiskFull,
    /// The certificate of the HTTP listener ends soon, or its new files cannot be used.
    CertificateTrouble,
    /// The receiver of an alert route takes nothing.
    RouteFailing,
    /// A webhook took nothing for days and was switched off.
    WebhookDisabled,
    /// Events were lost before they were written down for webhooks.
    WebhookEventsLost,
    /// The last run of the daemon did not end by itself.
    UncleanStop,
}

/// What is settled for a kind.
struct Settled {
    name: &'static str,
    severity: Severity,
    audience: Audience,
    /// So many failures in a row raise it.
    after: u32,
    title: &'static str,
}

const fn settled(
    name: &'static str,
    severity: Severity,
    audience: Audience,
    after: u32,
    title: &'static str,
) -> Settled {
    Settled {
        name,
        severity,
        audience,
        after,
        title,
    }
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::SourceFailing,
        Self::ChannelError,
        Self::ItemBroken,
        Self::PointsBeyond,
        Self::NothingPlayable,
        Self::DeadAir,
        Self::Quarantined,
        Self::ChannelOverLimit,
        Self::ChannelWaiting,
        Self::TranscodeWaiting,
        Self::OutputSuspended,
        Self::OutputNotShowing,
        Self::OverlayFailing,
        Self::MediaNotPrepared,
        Self::FolderMissing,
        Self::PostgresDown,
        Self::RedisDown,
        Self::TelemetryLost,
        Self::PreparingPaused,
        Self::DiskFull,
        Self::CertificateTrouble,
        Self::RouteFailing,
        Self::WebhookDisabled,
        Self::WebhookEventsLost,
        Self::UncleanStop,
    ];

    #[rustfmt::skip]
    const fn settled(self) -> Settled {
        use Audience::{Both, Client, Operator};
        use Severity::{Critical, Info, Warning};
        match self {
            Self::SourceFailing => settled("channel.source_failing", Warning, Client, 3, "Sources of the channel fail again and again"),
            Self::ChannelError => settled("channel.error", Critical, Both, 1, "The channel is in ERROR: recovery has spent its budget"),
            Self::ItemBroken => settled("channel.item_broken", Warning, Client, 1, "An item cannot be played on and is passed over"),
            Self::PointsBeyond => settled("channel.points_beyond", Warning, Client, 1, "Entries of the schedule begin where their items are over"),
            Self::NothingPlayable => settled("channel.nothing_playable", Warning, Client, 1, "The channel shows nothing of its plan"),
            Self::DeadAir => settled("channel.dead_air", Critical, Client, 1, "The channel shows nothing but the slate"),
            Self::Quarantined => settled("channel.quarantined", Critical, Operator, 1, "The stored channel is damaged and was left alone"),
            Self::ChannelOverLimit => settled("channel.over_limit", Warning, Both, 1, "The channel is on air beyond what the plan allows"),
            Self::ChannelWaiting => settled("channel.waiting", Critical, Both, 1, "The channel waits for a place on the node"),
            Self::TranscodeWaiting => settled("channel.transcode_waiting", Warning, Both, 1, "There is no place on the node to transcode what the channel plays"),
            Self::OutputSuspended => settled("output.suspended", Critical, Client, 1, "An output is suspended after failures in a row"),
            Self::OutputNotShowing => settled("output.not_showing", Critical, Client, 1, "A platform takes an output and does not show it"),
            Self::OverlayFailing => settled("channel.overlay_failing", Warning, Client, 2, "The overlay of the channel cannot be drawn"),
            Self::MediaNotPrepared => settled("media.not_prepared", Info, Client, 1, "An item could not be prepared and is transcoded while it plays"),
            Self::FolderMissing => settled("media.folder_missing", Warning, Both, 1, "A watched folder cannot be seen"),
            Self::PostgresDown => settled("store.postgres_down", Critical, Operator, 3, "PostgreSQL does not answer; changes are refused"),
            Self::RedisDown => settled("store.redis_down", Warning, Operator, 3, "Redis does not answer; the daemon works without it"),
            Self::TelemetryLost => settled("store.telemetry_lost", Warning, Operator, 1, "Reports of channels were dropped"),
            Self::PreparingPaused => settled("disk.preparing_paused", Warning, Operator, 1, "Nothing is prepared or taken in until there is room on the disk"),
            Self::DiskFull => settled("disk.full", Critical, Operator, 1, "The disk of the data folder is nearly full"),
            Self::CertificateTrouble => settled("http.certificate", Warning, Operator, 1, "The certificate of the HTTP listener ends soon or cannot be replaced"),
            Self::RouteFailing => settled("alerts.route_failing", Warning, Both, 3, "The receiver of an alert route takes nothing"),
            Self::WebhookDisabled => settled("webhooks.disabled", Warning, Client, 1, "A webhook is switched off: its receiver takes nothing"),
            Self::WebhookEventsLost => settled("webhooks.events_lost", Warning, Operator, 1, "Events were lost before they were written down for webhooks"),
            Self::UncleanStop => settled("daemon.unclean_stop", Warning, Operator, 1, "The daemon's last run did not end by itself"),
        }
    }

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        self.settled().name
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        self.settled().severity
    }

    /// Whom it concerns.
    pub const fn audience(self) -> Audience {
        self.settled().audience
    }

    /// So many failures in a row raise it.
    pub const fn after(self) -> u32 {
        self.settled().after
    }

    /// What it is, in a sentence without its full stop.
    pub const fn title(self) -> &'static str {
        self.settled().title
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for AlertKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for AlertKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let given = crate::violation::quoted(text);
            let known = Self::ALL.map(Self::name).join(", ");
            format!("{given} is no kind of alert; it is one of {known}")
        })
    }
}

/// What the daemon leans on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The truth.
    Postgres,
    /// The hot copy.
    Redis,
    /// The way of channels' reports to the stores.
    Telemetry,
    /// Room in the data folder.
    Disk,
}

impl Service {
    /// The kind of alert that its failures raise.
    pub const fn alert(self) -> AlertKind {
        match self {
            Self::Postgres => AlertKind::PostgresDown,
            Self::Redis => AlertKind::RedisDown,
            Self::Telemetry => AlertKind::TelemetryLost,
            Self::Disk => AlertKind::DiskFull,
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Telemetry => "telemetry",
            Self::Disk => "disk",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_names_and_a_wrong_one_is_told_them_all() {
        for kind in AlertKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(kind.after() >= 1, "{kind} would be raised by nothing");
        }
        let refused = "channel.explodes".parse::<AlertKind>();
        let refused = refused.expect_err("it is none");
        assert!(
            refused.contains("channel.dead_air") && refused.contains("daemon.unclean_stop"),
            "{refused}"
        );
    }

    #[test]
    fn three_failures_in_a_row_raise_the_alert_on_a_channels_sources() {
        assert_eq!(AlertKind::SourceFailing.after(), 3);
        assert_eq!(AlertKind::SourceFailing.audience(), Audience::Client);
        assert!(AlertKind::ChannelError.audience().tells_operator());
    }
}
