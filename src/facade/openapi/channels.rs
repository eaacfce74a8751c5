//! Channels: what is done to them, and how they do.

use playout_actors::channels::{OnAirKind, OverlayPhase};
use playout_domain::{ChannelStatus, Desired};

use super::contract::{Contract, Named, answers, creates, file, nothing, page_of};
use super::schema::{
    Member, Schema, body, either, flag, id, known, list, may, member, number, object, one_of, text,
    time, whole,
};
use crate::facade::bulk::{MOST, OPERATIONS};
use crate::facade::channel_list::ChannelSort;
use crate::facade::logo::PNG;
use crate::facade::problem::Kind;

pub(super) fn contracts() -> Vec<Named> {
    let channel = || known("Channel");
    let changed = || answers(channel()).tagged().refuses([Kind::LimitExceeded]);
    let operated = || answers(channel()).tagged();
    vec![
        (
            "listChannels",
            page_of(known("LookedChannel"))
                .query("selector", text(), "Those that fulfil each of its terms, as in `tier=gold,!test`.")
                .query("status", one_of(ChannelStatus::ALL), "Those of this status.")
                .query(
                    "sort",
                    one_of(ChannelSort::ALL.map(ChannelSort::name)).default("created"),
                    "What they are ordered by; `-` from the end.",
                ),
        ),
        (
            "createChannel",
            creates(channel()).tagged().takes("NewChannel").refuses([Kind::LimitExceeded, Kind::Conflict]),
        ),
        (
            "bulkChannels",
            answers(known("BulkResult")).takes("Bulk").refuses([Kind::LimitExceeded]).described(
                "The scope depends on `operation`: `operate` for `start`, `stop` and `restart`, `configure` for `update` and `delete`.",
            ),
        ),
        ("getChannel", answers(known("LookedChannel")).tagged()),
        ("updateChannel", changed().if_match().patched_by("ChannelPatch")),
        ("deleteChannel", nothing().if_match()),
        ("startChannel", operated().refuses([Kind::LimitExceeded])),
        ("stopChannel", operated()),
        ("restartChannel", operated()),
        ("skipItem", operated()),
        ("getChannelStatus", answers(known("ChannelStatus"))),
        ("getChannelHealth", answers(known("ChannelHealth"))),
        ("getChannelProcesses", looked_items("Process")),
        ("getLogo", file("image/png", "The picture as it was sent.")),
        ("putLogo", changed().if_match().takes_file(PNG, "A PNG of 4096 pixels each way at most.")),
        ("deleteLogo", nothing().if_match()),
        ("getOverlay", answers(known("Overlay")).tagged()),
        ("putOverlay", changed().if_match().takes("NewOverlay")),
        ("deleteOverlay", nothing().if_match()),
        ("getChannelHistory", page_of(known("HistoryEntry"))),
    ]
}

/// A list about a channel, with the daemon that holds it where that is another.
pub(super) fn looked_items(name: &str) -> Contract {
    answers(object([
        member("items", list(known(name)), "All there are."),
        held_by(),
    ]))
}

/// What is told where another daemon holds the channel.
pub(super) fn held_by() -> Member {
    may(
        "heldBy",
        known("Node"),
        "The daemon that holds the channel, where that is another.",
    )
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("Node", node()),
        ("Channel", object(channel())),
        (
            "LookedChannel",
            object(channel().into_iter().chain([held_by()])),
        ),
        ("Bulk", bulk()),
        ("BulkResult", bulk_result()),
        ("ChannelStatus", status()),
        ("OnAir", on_air()),
        (
            "ProgrammeNow",
            object([
                member("mediaId", id(), "The item."),
                member("title", text().or_null(), "What it is called."),
                member("start", time(), "When it begins."),
                member("end", time(), "When it ends."),
            ]),
        ),
        ("ChannelHealth", health()),
        ("Process", process()),
    ]
}

fn node() -> Schema {
    object([
        member("id", id(), "Its id."),
        member("name", text(), "What people call it."),
        member(
            "url",
            text().or_null(),
            "Where it is reached, if it says so.",
        ),
    ])
    .said("A daemon on the database.")
}

fn statuses() -> Schema {
    one_of(ChannelStatus::ALL).said(
        "What it does: STARTING until the first segment; ERROR when recovery's budget is spent.",
    )
}

fn desired() -> Schema {
    one_of([Desired::Stopped, Desired::Live]).said("What it should do.")
}

fn channel() -> Vec<Member> {
    vec![
        member("id", id(), "Its id."),
        member("clientId", id(), "Whose it is."),
        member("name", text(), "What people call it."),
        member("status", statuses(), ""),
        member("desired", desired(), ""),
        member("createdAt", time(), "When it was created."),
        member("updatedAt", time(), "When its configuration last changed."),
        member("resolution", known("Resolution"), ""),
        member("bitrate", whole(), "Video, bits/s."),
        member(
            "fallbackVideo",
            id().or_null(),
            "The media item that plays when the plan has nothing.",
        ),
        member(
            "hlsEndpoint",
            text().with("format", "uri"),
            "Where its playlist is.",
        ),
        member(
            "rtmpDestinations",
            list(known("Destination")),
            "Where it is pushed to by RTMP.",
        ),
        member("analyticsEnabled", flag(), "As in `config`."),
        member("monetizationEnabled", flag(), "As in `config`."),
        member("aiOptimizationEnabled", flag(), "As in `config`."),
        member("multiPlatformEnabled", flag(), "As in `config`."),
        member("interactionEnabled", flag(), "As in `config`."),
        member(
            "totalUptime",
            number(),
            "Seconds LIVE since it was created.",
        ),
        member(
            "restartCount",
            whole(),
            "Automatic restarts since it was created.",
        ),
        member(
            "lastStartTime",
            time().or_null(),
            "When it was last put on air.",
        ),
        member(
            "lastStopTime",
            time().or_null(),
            "When it was last taken off air.",
        ),
        member(
            "version",
            whole(),
            "Counts the changes of the configuration.",
        ),
        member("config", known("Config"), ""),
    ]
}

fn bulk() -> Schema {
    body([
        member(
            "operation",
            one_of(OPERATIONS),
            "What is done; it needs the scope that the same operation on one channel needs.",
        ),
        may(
            "channelIds",
            list(id()).with("maxItems", MOST),
            "To which, each once; or `selector`.",
        ),
        may(
            "selector",
            text(),
            "To those that fulfil each of its terms; or `channelIds`.",
        ),
        may(
            "patch",
            known("ChannelPatch"),
            "The changes; of `update` alone.",
        ),
    ])
}

fn bulk_result() -> Schema {
    object([
        member("succeeded", whole(), "Of so many it was done."),
        member("failed", whole(), "Of so many it was refused."),
        member(
            "items",
            list(object([
                member("channelId", id(), "The channel."),
                member(
                    "status",
                    statuses().or_null(),
                    "What it does now; null where it was refused or is deleted.",
                ),
                member(
                    "problem",
                    known("Problem").or_null(),
                    "What the same request to this channel alone would have answered.",
                ),
            ])),
            "What became of each, in the order in which they were named.",
        ),
    ])
}

fn on_air() -> Schema {
    object([
        member(
            "kind",
            one_of([OnAirKind::Scheduled, OnAirKind::Fallback, OnAirKind::Slate]),
            "What viewers see.",
        ),
        member("mediaId", id().or_null(), "Of the library."),
        member("since", time(), "Since when."),
        member(
            "until",
            time().or_null(),
            "Until when, as far as that is known.",
        ),
    ])
}

fn status() -> Schema {
    let phases = [
        OverlayPhase::Waiting,
        OverlayPhase::Drawn,
        OverlayPhase::Failing,
        OverlayPhase::Over,
    ];
    object([
        member("channelId", id(), "The channel."),
        member("status", statuses(), ""),
        member("desired", desired(), ""),
        member(
            "recovering",
            flag(),
            "Whether something else than the plan's item is on air because its source failed.",
        ),
        member(
            "onAir",
            known("OnAir").or_null(),
            "What viewers see; null off air.",
        ),
        member(
            "overlay",
            object([
                member("state", one_of(phases), "How it goes with it."),
                member("error", text().or_null(), "Why it cannot be drawn."),
                member("retryAt", time().or_null(), "When it is tried again."),
            ])
            .or_null(),
            "How it goes with the overlay; null where there is none.",
        ),
        member(
            "now",
            known("ProgrammeNow").or_null(),
            "What the plan has now.",
        ),
        member(
            "next",
            known("ProgrammeNow").or_null(),
            "What the plan has after that.",
        ),
        member("liveSince", time().or_null(), "Since when it is LIVE."),
        member(
            "waitsAt",
            whole().or_null(),
            "Its place, from 1, among the channels that wait for room on the node.",
        ),
        held_by(),
    ])
}

fn health() -> Schema {
    object([
        member("status", statuses(), ""),
        member("uptime", number(), "Seconds LIVE since the last start."),
        member(
            "lastSegmentTime",
            time().or_null(),
            "When the newest segment was published.",
        ),
        member(
            "segments",
            whole(),
            "Segments published since the last start.",
        ),
        member(
            "restartCount",
            whole(),
            "Automatic restarts since the last start.",
        ),
        member("currentBitrate", whole(), "Bits/s of the newest segments."),
        member("buffered", number(), "Seconds of media read ahead."),
        member("recovering", flag(), "As in status."),
        member("errorCount", whole(), "Failures of sources in a row."),
        member(
            "onAir",
            known("OnAir").or_null(),
            "What viewers see; null off air.",
        ),
        held_by(),
    ])
}

fn process() -> Schema {
    let rtmp = object([
        member("kind", one_of(["rtmp"]), "A platform."),
        member(
            "destinationId",
            id(),
            "Which of the channel's destinations.",
        ),
    ]);
    let splicer = object([member(
        "kind",
        one_of(["splicer"]),
        "The channel's own clock, inside the daemon.",
    )]);
    object([
        member("id", text(), "Its name within the daemon."),
        member("channelId", id(), "The channel."),
        member("ffmpegPid", whole(), "The process."),
        member(
            "status",
            text(),
            "What it does: `RUNNING`, or `WAITING` where it has read ahead.",
        ),
        member("startTime", time(), "Since when."),
        member("lastHeartbeat", time(), "When it last got on."),
        member("inputSource", text(), "What it reads."),
        member(
            "outputTargets",
            list(either([splicer, rtmp])),
            "Where its output goes.",
        ),
        member("cpuUsage", number(), "A fraction of one core."),
        member("memoryUsage", whole(), "Bytes."),
        member("readBytes", whole(), "Bytes read from disks."),
        member("writeBytes", whole(), "Bytes written to disks."),
        member("networkBandwidth", whole(), "Bits/s piped."),
        member("errorCount", whole(), "Failures of sources in a row."),
        member("maxRestarts", whole(), "As in `recoverySettings`."),
        member("restartDelay", number(), "As in `recoverySettings`."),
        member("healthCheckInterval", number(), "As in `recoverySettings`."),
    ])
}
