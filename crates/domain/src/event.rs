//! The kinds of events there are: what the event stream and webhooks tell.

/// Writes the kinds, and the list of them all.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The kinds of events there are.
        pub mod kind {
            $($(#[$doc])* pub const $name: &str = $text;)*
        }

        /// Every kind.
        pub const ALL: &[&str] = &[$(kind::$name),*];
    };
}

kinds! {
    /// A channel was created.
    CHANNEL_CREATED = "channel.created";
    /// A channel's configuration was changed.
    CHANNEL_UPDATED = "channel.updated";
    /// A channel was deleted.
    CHANNEL_DELETED = "channel.deleted";
    /// A channel is stored damaged and was left off air.
    CHANNEL_QUARANTINED = "channel.quarantined";
    /// A channel was taken over from a daemon that has gone.
    CHANNEL_TAKEN = "channel.taken";
    /// A channel has left the air here: another daemon has it, or may have it.
    CHANNEL_LOST = "channel.lost";
    /// A channel's status changed.
    CHANNEL_STATUS = "channel.status";
    /// A channel published a segment.
    CHANNEL_SEGMENT = "channel.segment";
    /// A channel on air reports how it does.
    CHANNEL_HEARTBEAT = "channel.heartbeat";
    /// Something else is on air.
    CHANNEL_ONAIR = "channel.onair";
    /// A failure was handled.
    CHANNEL_RECOVERY = "channel.recovery";
    /// An RTMP output does something else.
    OUTPUT_STATUS = "output.status";
    /// An RTMP output failed too often and is tried slowly.
    OUTPUT_SUSPENDED = "output.suspended";
    /// An RTMP output that was suspended delivers again, or is not wanted any more.
    OUTPUT_RESUMED = "output.resumed";
    /// It was found out whether what an RTMP output sends is shown.
    OUTPUT_FAR_END = "output.farEnd";
    /// An item that failed is delivered again.
    CHANNEL_RECOVERED = "channel.recovered";
    /// An overlay cannot be drawn for now.
    CHANNEL_OVERLAY_FAILED = "channel.overlay_failed";
    /// An overlay is drawn, at first or again.
    CHANNEL_OVERLAY_DRAWN = "channel.overlay_drawn";
    /// An alert was raised, or came back.
    ALERT_OPENED = "alert.opened";
    /// An alert happened once more, or somebody knows of it.
    ALERT_UPDATED = "alert.updated";
    /// An alert is over.
    ALERT_CLOSED = "alert.closed";
    /// An item was accepted into the library.
    MEDIA_IMPORTED = "media.imported";
    /// An item is being prepared.
    MEDIA_PROGRESS = "media.progress";
    /// An item is prepared.
    MEDIA_READY = "media.ready";
    /// An item could not be prepared; it is transcoded live.
    MEDIA_FAILED = "media.failed";
    /// A job of the prepare queue is in another state.
    MEDIA_JOB = "media.job";
    /// What was prepared and nobody needed was removed.
    MEDIA_COLLECTED = "media.collected";
    /// Somebody has paused the prepare queue.
    QUEUE_PAUSED = "queue.paused";
    /// Somebody has the prepare queue go on.
    QUEUE_RESUMED = "queue.resumed";
    /// A file was not accepted into the library.
    MEDIA_REFUSED = "media.refused";
    /// What is said about an item was changed.
    MEDIA_CHANGED = "media.changed";
    /// The file of an item is gone from a watched folder.
    MEDIA_MISSING = "media.missing";
    /// A watched folder cannot be seen any more.
    FOLDER_MISSING = "folder.missing";
    /// A watched folder is there again.
    FOLDER_FOUND = "folder.found";
    /// A folder is watched no more.
    FOLDER_REMOVED = "folder.removed";
    /// An item was deleted from the library.
    MEDIA_DELETED = "media.deleted";
    /// The audit was tampered with.
    AUDIT_BROKEN = "audit.broken";
    /// A store is away or takes nothing new.
    STORE_DEGRADED = "store.degraded";
    /// A store works again.
    STORE_RECOVERED = "store.recovered";
    /// Heartbeats were lost: no store took them.
    TELEMETRY_LOST = "telemetry.lost";
    /// What waited is written: no more of it is lost.
    TELEMETRY_RECOVERED = "telemetry.recovered";
    /// What is done about the room on the daemon's disk is another thing now.
    DISK_STAGE = "disk.stage";
    /// Events were lost: read everything anew.
    RESET = "reset";
}

/// The kinds that happen every few seconds on each channel and item. Who wants everything gets them only where they
/// are named: hardly anybody does, and they would bury the rest.
pub const FREQUENT: [&str; 3] = [
    kind::CHANNEL_SEGMENT,
    kind::CHANNEL_HEARTBEAT,
    kind::MEDIA_PROGRESS,
];

/// The kind that is called so, if there is one.
pub fn named(text: &str) -> Option<&'static str> {
    ALL.iter().copied().find(|kind| *kind == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_there_once_and_named_by_its_subject() {
        for kind in ALL {
            assert_eq!(named(kind), Some(*kind));
            assert_eq!(ALL.iter().filter(|other| *other == kind).count(), 1);
            assert!(kind.contains('.') || *kind == kind::RESET, "{kind}");
        }
        assert_eq!(named("channel.explodes"), None);
    }
}
