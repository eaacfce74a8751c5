//! Where channels go: RTMP destinations, outputs and what they have sent.

use playout_actors::rtmp::Quality;
use playout_domain::Platform;
use playout_domain::far_end::State;
use playout_domain::output::{FailureKind, OutputStatus};

use super::channels::{held_by, looked_items};
use super::contract::{Named, all_of, answers, creates, nothing};
use super::schema::{
    Schema, body, either, flag, id, known, list, may, member, number, object, one_of, text, time,
    whole,
};
use crate::facade::problem::Kind;

pub(super) fn contracts() -> Vec<Named> {
    vec![
        ("getOutputs", looked_items("Output")),
        ("getOutputMetrics", answers(known("OutputMetrics"))),
        ("listDestinations", all_of(known("Destination")).tagged()),
        ("addDestination", creates(known("Destination")).tagged().takes("NewDestination").if_match().refuses([Kind::LimitExceeded])),
        ("getDestination", answers(known("Destination")).tagged()),
        ("updateDestination", answers(known("Destination")).tagged().patched_by("DestinationPatch").if_match().refuses([Kind::LimitExceeded])),
        ("removeDestination", nothing().if_match()),
        (
            "validateDestination",
            answers(known("DestinationTest")).query("publish", one_of(["true", "false"]).default("false"), "Whether up to the stream key, which a platform may show as the beginning of a stream."),
        ),
        ("listPlatforms", all_of(known("Platform"))),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let mut all = destinations();
    all.extend(outputs());
    all
}

fn encode(sent: bool) -> Schema {
    let transcoded = [
        member("videoBitrate", whole(), "Bits/s."),
        may(
            "resolution",
            known("Resolution"),
            "The channel's unless it is said otherwise.",
        ),
        may(
            "fps",
            known("FrameRate"),
            "The channel's unless it is said otherwise.",
        ),
        may(
            "audioBitrate",
            whole(),
            "Bits/s; the channel's unless it is said otherwise.",
        ),
    ];
    let rung = [member(
        "rung",
        known("Resolution"),
        "The rung of this size is sent as it is.",
    )];
    let (rung, transcoded) = match sent {
        true => (body(rung), body(transcoded)),
        false => (object(rung), object(transcoded)),
    };
    either([one_of(["copy"]), rung, transcoded])
}

fn destinations() -> Vec<(&'static str, Schema)> {
    let new = [
        may(
            "platform",
            one_of(Platform::ALL.map(Platform::name)).default("custom"),
            "What kind of server it is.",
        ),
        may(
            "serverUrl",
            text().or_null(),
            "Where it is: `rtmp` or `rtmps`; the platform's own unless it is said otherwise, and needed for `custom`.",
        ),
        may(
            "streamKey",
            text().or_null(),
            "Names the stream there; sealed as it arrives, and never answered.",
        ),
        may(
            "streamKeySet",
            flag(),
            "What reads answer may be sent back; it sets nothing.",
        ),
        may(
            "enabled",
            flag().default(true),
            "Whether the channel is pushed there.",
        ),
        may(
            "playbackUrl",
            text().or_null(),
            "Where viewers see it, to be looked at now and then.",
        ),
        may(
            "encode",
            encode(true).or_null(),
            "What is sent: `copy`, a rung, or what it is encoded to.",
        ),
        may(
            "allowLowerQuality",
            flag().default(false),
            "Whether a retry may send less, where the network does not take it.",
        ),
        may(
            "id",
            id().or_null(),
            "Of one that is there already, which keeps its key.",
        ),
    ];
    vec![
        ("NewDestination", body(new)),
        (
            "Destination",
            object([
                member("id", id(), "Its id."),
                member(
                    "platform",
                    one_of(Platform::ALL.map(Platform::name)),
                    "What kind of server it is.",
                ),
                member("serverUrl", text(), "Where it is."),
                member("streamKeySet", flag(), "Whether there is a key."),
                member("enabled", flag(), "Whether the channel is pushed there."),
                member("playbackUrl", text().or_null(), "Where viewers see it."),
                member("encode", encode(false), "What is sent."),
                member(
                    "allowLowerQuality",
                    flag(),
                    "Whether a retry may send less.",
                ),
            ]),
        ),
        (
            "DestinationTest",
            object([
                member("ok", flag(), "Whether it would take the stream."),
                member(
                    "step",
                    text().or_null(),
                    "Where it failed: `resolve`, `connect`, `tls`, `handshake`, `app`, `publish`.",
                ),
                member("reason", text().or_null(), "Why it failed, in a word."),
                member("detail", text().or_null(), "The same as a sentence."),
                member("address", text().or_null(), "The address that was reached."),
                member(
                    "steps",
                    list(object([
                        member("step", text(), "Which."),
                        member("seconds", number(), "How long it took."),
                    ])),
                    "What went well.",
                ),
                member(
                    "warnings",
                    list(object([
                        member(
                            "limit",
                            text(),
                            "What of the stream is more than the platform is documented to take.",
                        ),
                        member("message", text(), "The same as a sentence."),
                    ])),
                    "They refuse nothing.",
                ),
            ]),
        ),
        (
            "Platform",
            object([
                member(
                    "platform",
                    one_of(Platform::ALL.map(Platform::name)),
                    "Its name.",
                ),
                member(
                    "serverUrls",
                    list(text()),
                    "Where it takes streams, the usual one first.",
                ),
                member(
                    "streamKeyRequired",
                    flag(),
                    "Whether it takes no stream without a key.",
                ),
                member(
                    "sessionLimit",
                    whole(),
                    "Seconds after which a connection is made anew.",
                ),
                member(
                    "limits",
                    object([
                        member("maxVideoBitrate", whole(), "Bits/s."),
                        member("maxAudioBitrate", whole(), "Bits/s."),
                        member("maxResolution", known("Resolution"), ""),
                        member("maxFrameRate", known("FrameRate"), ""),
                        member("maxKeyFrameInterval", whole(), "Seconds."),
                    ])
                    .or_null(),
                    "What it asks of a stream, at most.",
                ),
            ]),
        ),
    ]
}

fn outputs() -> Vec<(&'static str, Schema)> {
    let states = [
        OutputStatus::Off,
        OutputStatus::Connecting,
        OutputStatus::Live,
        OutputStatus::Waiting,
        OutputStatus::Suspended,
    ];
    let failures = [
        FailureKind::Dns,
        FailureKind::Refused,
        FailureKind::Network,
        FailureKind::Tls,
        FailureKind::Rejected,
        FailureKind::RemoteClosed,
        FailureKind::Stalled,
        FailureKind::Local,
        FailureKind::Unknown,
    ];
    let hls = object([
        member("type", one_of(["hls"]), "HLS."),
        member("enabled", flag(), "Whether it is switched on."),
        member("active", flag(), "Whether a playlist is published now."),
        member("endpoint", text(), "The path of the master playlist."),
        member(
            "rungs",
            list(object([
                member("name", text(), "Its name."),
                member("endpoint", text(), "The path of its playlist."),
                member("resolution", known("Resolution"), ""),
                member("bitrate", whole(), "Video, bits/s."),
            ])),
            "Highest first.",
        ),
        member("targetDuration", whole(), "Seconds."),
        member("window", whole(), "Segments in the playlist."),
    ]);
    let rtmp = object([
        member("type", one_of(["rtmp"]), "A push."),
        member("destinationId", id(), "The destination."),
        member(
            "platform",
            one_of(Platform::ALL.map(Platform::name)),
            "What kind of server it is.",
        ),
        member("serverUrl", text(), "Where it is."),
        member("enabled", flag(), "Whether the client wants it."),
        member("status", one_of(states), "What it does."),
        member(
            "deliveringSince",
            time().or_null(),
            "Since when the server takes media.",
        ),
        member("connections", whole(), "Connections made since the start."),
        member("failures", whole(), "Failures in a row."),
        member(
            "lastFailure",
            object([
                member("kind", one_of(failures), "What kind of failure."),
                member("detail", text(), "A sentence."),
                member("at", time(), "When."),
            ])
            .or_null(),
            "The last failure.",
        ),
        member("nextAttempt", time().or_null(), "When it connects again."),
        member("bytes", whole(), "Bytes sent since the start."),
        member(
            "quality",
            one_of([Quality::Full, Quality::Lower]),
            "Whether less is sent than was chosen.",
        ),
        member(
            "farEnd",
            object([
                member("checkedAt", time().or_null(), "When it was last looked at."),
                member(
                    "state",
                    one_of([State::Unknown, State::Showing, State::NotShowing]),
                    "Whether it is shown.",
                ),
                member(
                    "why",
                    text().or_null(),
                    "What the last look saw, where it saw nothing go on.",
                ),
            ])
            .or_null(),
            "Whether what is sent is shown where viewers see it.",
        ),
    ]);
    vec![
        ("Output", either([hls, rtmp])),
        (
            "OutputMetrics",
            object([
                member("channelId", id(), "The channel."),
                member(
                    "hls",
                    object([
                        member("segments", whole(), "Segments published."),
                        member("bytes", whole(), "Their bytes."),
                        member("currentBitrate", whole(), "Bits/s of the newest."),
                        member(
                            "lastSegmentTime",
                            time().or_null(),
                            "When the newest was published.",
                        ),
                        member(
                            "lateSegments",
                            whole(),
                            "Those that came later than their media time allows.",
                        ),
                        member("discontinuities", whole(), "True breaks of the stream."),
                        member(
                            "silentAudioUnits",
                            whole(),
                            "Audio frames that silence stands for.",
                        ),
                    ]),
                    "Since the start.",
                ),
                member(
                    "deadAir",
                    number(),
                    "Seconds in which nothing but the slate was shown.",
                ),
                member(
                    "rtmp",
                    list(object([
                        member("destinationId", id(), "The destination."),
                        member("bytes", whole(), "Bytes sent."),
                        member("connections", whole(), "Connections made."),
                        member("failures", whole(), "Failures in a row."),
                    ])),
                    "Each destination.",
                ),
                held_by(),
            ]),
        ),
    ]
}
