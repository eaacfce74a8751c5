//! The configuration of a channel: what its client chooses.

use playout_domain::config::{
    CPU, HEALTH_CHECK_INTERVAL, InteractionFeature, LONGEST_NAME, MAX_DESTINATIONS,
    MAX_NAME_LENGTH, MAX_RESTARTS, MAX_SUBTITLES, MEMORY, RESTART_DELAY, RecoverySettings,
};
use playout_domain::labels::{LONGEST, MAX_LABELS};
use playout_domain::languages::MAX_LANGUAGES;
use playout_domain::logo::{Corner, MARGINS, OPACITIES, WIDTHS};
use playout_domain::loudness::{CEILINGS, TARGETS};
use playout_domain::overlay::{MAX_SUBTITLE, MAX_TITLE};
use playout_domain::treatment::Fit;
use playout_domain::{FrameRate, MAX_RUNGS, Resolution, language};
use serde_json::json;

use super::schema::{
    Member, Schema, body, either, flag, id, known, list, map, may, member, number, object, one_of,
    pattern, text, time, whole, words,
};

/// A key or a value of a label.
const LABEL: &str = "[A-Za-z0-9][A-Za-z0-9_./-]*";

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        (
            "Resolution",
            one_of(Resolution::ALL.map(Resolution::name))
                .said("The size of a picture, by its height."),
        ),
        (
            "FrameRate",
            one_of(FrameRate::ALL).said("Frames per second."),
        ),
        (
            "Corner",
            one_of(Corner::ALL).said("A corner of the picture."),
        ),
        ("Rung", body(rung())),
        ("Loudness", loudness()),
        ("Logo", body(logo())),
        ("NewOverlay", new_overlay()),
        ("Overlay", overlay()),
        ("NewChannel", body(config(true))),
        (
            "Config",
            object(config(false)).said("What the client chose; it may be sent back."),
        ),
    ]
}

fn rung() -> [Member; 2] {
    [
        member("resolution", known("Resolution"), ""),
        member("bitrate", whole(), "Video, bits/s."),
    ]
}

fn loudness() -> Schema {
    let target = body([
        may(
            "target",
            number().within(&TARGETS),
            "The integrated loudness, LUFS.",
        ),
        may(
            "truePeak",
            number().within(&CEILINGS),
            "What no peak passes, dBTP.",
        ),
    ]);
    either([one_of(["off"]), target]).said("How loud everything is (EBU R 128); `off`: as it is.")
}

fn logo() -> [Member; 5] {
    [
        member("sha256", pattern("^[0-9a-fA-F]{64}$"), "Of the picture."),
        may("position", known("Corner"), "Where it is drawn."),
        may(
            "margin",
            number().within(&MARGINS),
            "From the edges, in percent of the picture.",
        ),
        may(
            "width",
            number().within(&WIDTHS),
            "In percent of the picture's width.",
        ),
        may(
            "opacity",
            number().within(&OPACITIES),
            "How much it covers what is behind it.",
        ),
    ]
}

fn lower_third() -> [Member; 2] {
    [
        member("title", words(MAX_TITLE), "The large line."),
        may(
            "subtitle",
            words(MAX_SUBTITLE).or_null(),
            "The small line below it.",
        ),
    ]
}

fn clock() -> [Member; 4] {
    [
        may("timeZone", text().default("UTC"), "Of the IANA database."),
        may("position", known("Corner"), "The corner that it is in."),
        may("seconds", flag().default(true), "Whether it has seconds."),
        may(
            "twelveHours",
            flag().default(false),
            "Whether it counts to twelve, with AM and PM.",
        ),
    ]
}

fn new_overlay() -> Schema {
    body([
        may(
            "lowerThird",
            body(lower_third()).or_null(),
            "Who is seen, or what this is about.",
        ),
        may("clock", body(clock()).or_null(), "What time it is."),
        may(
            "from",
            time().or_null(),
            "The first moment that it is drawn at; null: at once.",
        ),
        may(
            "until",
            time().or_null(),
            "The first moment that it is not drawn at any more; null: until it is taken away.",
        ),
    ])
    .said("What is drawn over the programme; a lower third or a clock is needed.")
}

fn overlay() -> Schema {
    object([
        member(
            "lowerThird",
            object([
                member("title", text(), "The large line."),
                member("subtitle", text().or_null(), "The small line below it."),
            ])
            .or_null(),
            "Who is seen, or what this is about.",
        ),
        member(
            "clock",
            object([
                member("timeZone", text(), "Of the IANA database."),
                member("position", known("Corner"), ""),
                member("seconds", flag(), "Whether it has seconds."),
                member(
                    "twelveHours",
                    flag(),
                    "Whether it counts to twelve, with AM and PM.",
                ),
            ])
            .or_null(),
            "What time it is.",
        ),
        member(
            "from",
            time().or_null(),
            "The first moment that it is drawn at; null: at once.",
        ),
        member(
            "until",
            time().or_null(),
            "The first moment that it is not drawn at any more; null: until it is taken away.",
        ),
    ])
    .said("What is drawn over the programme.")
}

/// The configuration of a channel: as it is sent, or as it is answered.
fn config(sent: bool) -> Vec<Member> {
    let part = |name, schema: Schema, meaning: &str| match sent {
        true => may(name, schema, meaning),
        false => member(name, schema, meaning),
    };
    let recovery = RecoverySettings::default();
    let fits: [Fit; 2] = [Fit::Letterbox, Fit::Crop];
    let label = |repeat: &str| format!("^({LABEL}){repeat}$");
    let labels = map(pattern(&label("?")).with("maxLength", LONGEST))
        .with("maxProperties", MAX_LABELS)
        .with(
            "propertyNames",
            json!({ "pattern": label(""), "maxLength": LONGEST }),
        );
    vec![
        member(
            "name",
            words(MAX_NAME_LENGTH),
            "What people call it; one character at least can be seen.",
        ),
        part(
            "resolution",
            known("Resolution"),
            "The size of the picture: `720p` unless it is said otherwise.",
        ),
        part(
            "frameRate",
            known("FrameRate"),
            "Frames per second: 25 unless it is said otherwise.",
        ),
        part(
            "bitrate",
            whole(),
            "Video, bits/s: from a quarter to four times what is usual for the resolution, which it is unless it is said otherwise.",
        ),
        part(
            "ladder",
            list(known("Rung"))
                .with("minItems", 1)
                .with("maxItems", MAX_RUNGS),
            "The sizes in which it is offered, the channel's own resolution and bitrate first, each smaller than the one before.",
        ),
        part(
            "fallbackVideo",
            id().or_null(),
            "The media item that plays when the plan has nothing; null: the built-in slate.",
        ),
        part("hlsEnabled", flag(), "Whether it is served as HLS."),
        part(
            "rtmpDestinations",
            list(known(if sent {
                "NewDestination"
            } else {
                "Destination"
            }))
            .with("maxItems", MAX_DESTINATIONS),
            "Where it is pushed to by RTMP.",
        ),
        part(
            "monetizationSettings",
            settings(
                sent,
                [
                    ("enabled", flag(), "Whether it earns."),
                    (
                        "currency",
                        pattern("^[A-Z]{3}$"),
                        "In which money (ISO 4217).",
                    ),
                ],
            ),
            "How it earns.",
        ),
        part("analyticsEnabled", flag(), "Whether viewers are counted."),
        part(
            "interactionFeatures",
            list(
                settings(
                    sent,
                    [
                        ("feature", one_of(InteractionFeature::ALL), "What."),
                        ("enabled", flag(), "Whether they can."),
                    ],
                )
                .with("required", ["feature"]),
            )
            .with("maxItems", InteractionFeature::ALL.len()),
            "What viewers can do, each once.",
        ),
        part(
            "monetizationEnabled",
            flag(),
            "Whether the engine for ads is used; a plan may withhold it.",
        ),
        part(
            "aiOptimizationEnabled",
            flag(),
            "Whether the AI engine is used; a plan may withhold it.",
        ),
        part(
            "multiPlatformEnabled",
            flag(),
            "Whether it is distributed to platforms; a plan may withhold it.",
        ),
        part(
            "interactionEnabled",
            flag(),
            "Whether viewers interact; a plan may withhold it.",
        ),
        part(
            "recoverySettings",
            settings(
                sent,
                [
                    (
                        "maxRestarts",
                        whole().within(&MAX_RESTARTS).default(recovery.max_restarts),
                        "So many failures in five minutes, and the channel is in ERROR.",
                    ),
                    (
                        "restartDelay",
                        number()
                            .within(&RESTART_DELAY)
                            .default(recovery.restart_delay.as_secs_f64()),
                        "Seconds before the second restart in a row; it doubles.",
                    ),
                    (
                        "healthCheckInterval",
                        number()
                            .within(&HEALTH_CHECK_INTERVAL)
                            .default(recovery.health_check_interval.as_secs_f64()),
                        "Seconds between heartbeats, and without media until a source counts as hung.",
                    ),
                ],
            ),
            "How its processes are kept running.",
        ),
        part(
            "resourceSettings",
            settings(
                sent,
                [
                    (
                        "memory",
                        whole().within(&MEMORY).or_null(),
                        "Bytes; null: what the daemon allows.",
                    ),
                    (
                        "cpu",
                        number().within(&CPU).or_null(),
                        "A fraction of one core; null: what the daemon allows.",
                    ),
                ],
            ),
            "What each of its processes may use.",
        ),
        part(
            "loudness",
            if sent {
                known("Loudness").or_null()
            } else {
                known("Loudness")
            },
            "",
        ),
        part(
            "audioLanguages",
            nullable(
                sent,
                list(pattern("^[A-Za-z]{2,3}$")).with("maxItems", MAX_LANGUAGES),
            ),
            "The languages that are preferred where a file has its sound in several, the first most.",
        ),
        part(
            "fit",
            one_of(fits),
            "What becomes of pictures of another shape.",
        ),
        part(
            "logo",
            if sent {
                known("Logo").or_null()
            } else {
                object(logo()).or_null()
            },
            "What is drawn over all that it plays.",
        ),
        part(
            "overlay",
            known(if sent { "NewOverlay" } else { "Overlay" }).or_null(),
            "What is drawn over the programme.",
        ),
        part(
            "subtitles",
            list(body([
                member("language", language_tag(), "Which; each once."),
                part(
                    "name",
                    words(LONGEST_NAME),
                    "What players show; the tag unless it is said otherwise.",
                ),
                part(
                    "default",
                    flag(),
                    "Whether it is shown to whoever has chosen nothing; one at most.",
                ),
            ]))
            .with("maxItems", MAX_SUBTITLES),
            "The languages that viewers can read along in.",
        ),
        part("labels", labels, "What it is found by."),
    ]
}

fn nullable(sent: bool, schema: Schema) -> Schema {
    if sent { schema.or_null() } else { schema }
}

/// A few settings that belong together.
fn settings<const N: usize>(sent: bool, members: [(&'static str, Schema, &str); N]) -> Schema {
    match sent {
        true => body(members.map(|(name, schema, meaning)| may(name, schema, meaning))),
        false => object(members.map(|(name, schema, meaning)| member(name, schema, meaning))),
    }
}

/// A tag of BCP 47.
pub(super) fn language_tag() -> Schema {
    words(language::LONGEST).said("A tag of BCP 47, as in `en` or `pt-BR`.")
}
