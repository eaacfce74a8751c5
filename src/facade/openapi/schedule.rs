//! What channels play: schedules, plans, guides, and what really went out.

use playout_domain::as_run::{Kind as RowKind, Reason};
use playout_domain::schedule::{
    MAX_BLOCKS, MAX_DATES, MAX_ELEMENTS, MAX_FILLERS, MAX_NAME, MAX_ROTATION_ITEMS, MAX_SECONDS,
    MAX_SEED, MAX_SLOTS, MAX_TEMPLATES, MAX_WEIGHT, Order, Weekdays,
};
use serde_json::json;

use super::channels::held_by;
use super::contract::{Contract, Named, answers, creates, file, nothing, page_of};
use super::media::details;
use super::schema::{
    Member, Schema, body, either, flag, id, known, list, may, member, number, object, one_of,
    pattern, text, time, whole, words,
};
use crate::facade::problem::Kind;

/// Where an entry of a plan comes from.
const ORIGINS: [&str; 5] = ["rotation", "slot", "template", "filler", "play"];

pub(super) fn contracts() -> Vec<Named> {
    let part = |name: &str| answers(known(name)).tagged();
    let replaced = |name: &str, sent: &str| part(name).takes(sent).if_match();
    let guide = |name: &str| {
        file("application/json", "The programmes.")
            .of(known(name))
            .between(
                "From when: now, unless it is said otherwise.",
                "Until when: 24 hours after `from`.",
            )
    };
    let xmltv = || {
        file("application/xml", "XMLTV.").between(
            "From when: now, unless it is said otherwise.",
            "Until when: 24 hours after `from`.",
        )
    };
    vec![
        ("getRotation", part("LookedRotation")),
        ("replaceRotation", replaced("Rotation", "NewRotation")),
        ("getBlocks", part("LookedBlocks")),
        ("replaceBlocks", replaced("Blocks", "NewBlocks")),
        ("getTemplates", part("LookedTemplates")),
        ("replaceTemplates", replaced("Templates", "NewTemplates")),
        ("getSlots", part("LookedSlots")),
        ("replaceSlots", replaced("Slots", "NewSlots")),
        ("addSlots", creates(either([known("Slot"), known("Slots")])).tagged().takes("AddedSlots").if_match()),
        ("clearSlots", nothing().tagged().if_match()),
        ("getSlot", part("LookedSlot")),
        ("updateSlot", part("Slot").patched_by("SlotPatch").if_match()),
        ("removeSlot", nothing().tagged().if_match()),
        ("playItem", answers(known("PlanEntry")).takes("Play")),
        (
            "getChannelPlan",
            answers(known("Plan"))
                .between("From when: now, unless it is said otherwise.", "Until when, up to 31 days from now: an hour after `from`, unless it is said otherwise.")
                .query("until", time(), "The same as `to`."),
        ),
        ("getChannelGuide", guide("ChannelGuide")),
        ("getChannelXmltv", xmltv()),
        ("getGuide", guide("Guide")),
        ("getXmltv", xmltv()),
        ("getStations", file("audio/x-mpegurl", "An extended M3U.")),
        ("getAsRun", as_run()),
    ]
}

fn as_run() -> Contract {
    let page = page_of(known("AsRunEntry"));
    let limits = page.parameters;
    let log = object([
        member("from", time(), "From when."),
        member("to", time(), "Until when."),
        member("items", list(known("AsRunEntry")), "The rows of this page."),
        member(
            "nextCursor",
            text().or_null(),
            "What `cursor` takes for the next page; null: this is the last.",
        ),
        held_by(),
    ]);
    let mut contract = answers(log)
        .or_as("text/csv", text().said("RFC 4180, all of it."))
        .with_header("Vary", text().said("`Accept`."))
        .between(
            "From when: a day before `to`.",
            "Until when: now, unless it is said otherwise.",
        )
        .query(
            "format",
            one_of(["json", "csv"]),
            "How it is written; `Accept: text/csv` says the same.",
        )
        .refuses([Kind::Invalid]);
    contract.parameters.extend(limits);
    contract
}

/// A list of parts, as it is sent.
fn sent_items(of: Schema, most: usize) -> Schema {
    body([member(
        "items",
        list(of).with("maxItems", most),
        "All of them.",
    )])
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let mut all = vec![
        (
            "NewEntry",
            either([
                body(media_entry()),
                body([member("block", words(MAX_NAME), "A block, by its name.")]),
            ])
            .said("A media item, whole or between two points, or a block."),
        ),
        (
            "Entry",
            either([
                object(media_entry()),
                object([member("block", text(), "A block, by its name.")]),
            ]),
        ),
        ("NewRotation", new_rotation()),
        (
            "NewBlocks",
            sent_items(
                body([
                    member("name", words(MAX_NAME), "What it is called by."),
                    member("items", entries(), "In the order in which they play."),
                ]),
                MAX_BLOCKS,
            ),
        ),
        ("NewSlot", new_slot()),
        ("NewSlots", sent_items(known("NewSlot"), MAX_SLOTS)),
        ("AddedSlots", either([known("NewSlot"), known("NewSlots")])),
        ("NewTemplates", sent_items(new_template(), MAX_TEMPLATES)),
        (
            "Play",
            body([
                member("mediaId", id(), "What is played."),
                member(
                    "when",
                    one_of(["now", "next"]),
                    "At once, or when what is on air has ended.",
                ),
            ]),
        ),
        ("PlanEntry", object(plan_entry())),
        (
            "Plan",
            object([
                member("from", time(), "From when."),
                member("until", time(), "Until when."),
                member("items", list(known("PlanEntry")), "Whole entries."),
                member(
                    "nextFrom",
                    time().or_null(),
                    "Where to ask on, where one answer does not hold them all.",
                ),
                held_by(),
            ]),
        ),
        ("Listing", listing()),
        ("Guide", object(guide())),
        (
            "ChannelGuide",
            object(guide().into_iter().chain([held_by()])),
        ),
        ("AsRunEntry", as_run_entry()),
    ];
    let slots = || [member("items", list(known("Slot")), "All of them.")];
    let parts: [(_, _, Vec<Member>); 5] = [
        ("Rotation", "LookedRotation", rotation()),
        (
            "Blocks",
            "LookedBlocks",
            vec![member("items", list(block()), "All of them.")],
        ),
        (
            "Templates",
            "LookedTemplates",
            vec![member("items", list(template()), "All of them.")],
        ),
        ("Slots", "LookedSlots", slots().into()),
        ("Slot", "LookedSlot", slot()),
    ];
    for (name, looked, members) in parts {
        let object = object(members);
        let mut with_holder = object.clone();
        with_holder.0["properties"]["heldBy"] = held_by_schema();
        all.extend([(name, object), (looked, with_holder)]);
    }
    all
}

fn held_by_schema() -> serde_json::Value {
    let Schema(mut object) = object([held_by()]);
    object["properties"]["heldBy"].take()
}

fn media_entry() -> [Member; 3] {
    [
        member("mediaId", id(), "The item."),
        may(
            "in",
            number().within(&(0.0..=MAX_SECONDS)),
            "Seconds from its beginning where it begins.",
        ),
        may(
            "out",
            number()
                .with("exclusiveMinimum", 0)
                .with("maximum", MAX_SECONDS),
            "Seconds from its beginning where it ends.",
        ),
    ]
}

fn entries() -> Schema {
    list(known("NewEntry"))
        .with("minItems", 1)
        .with("maxItems", MAX_ELEMENTS)
}

fn duration() -> Schema {
    number()
        .with("exclusiveMinimum", 0)
        .with("maximum", MAX_SECONDS)
}

fn days() -> Schema {
    list(one_of(Weekdays::NAMES))
        .with("minItems", 1)
        .with("maxItems", Weekdays::NAMES.len())
}

fn new_rotation() -> Schema {
    let weight = || {
        may(
            "weight",
            whole().within(&(1..=MAX_WEIGHT)),
            "How often it comes in a round that is `weighted`.",
        )
    };
    let item = either([
        body(media_entry().into_iter().chain([weight()])),
        body([
            member("block", words(MAX_NAME), "A block, by its name."),
            weight(),
        ]),
    ]);
    body([
        member(
            "items",
            list(item).with("maxItems", MAX_ROTATION_ITEMS),
            "What plays round after round.",
        ),
        may(
            "order",
            one_of(Order::NAMES).default("ordered"),
            "In which order.",
        ),
        may(
            "seed",
            whole().within(&(0..=MAX_SEED)),
            "What the order of a `shuffled` rotation follows from.",
        ),
        may(
            "separation",
            body([
                may(
                    "item",
                    number().within(&(0.0..=MAX_SECONDS)),
                    "Seconds until the same item begins again.",
                ),
                may(
                    "series",
                    number().within(&(0.0..=MAX_SECONDS)),
                    "Seconds until one of the same series begins again.",
                ),
            ]),
            "How long something stays away, as far as there is anything else.",
        ),
        may(
            "fillers",
            list(body(media_entry())).with("maxItems", MAX_FILLERS),
            "Media items that pad up to a slot.",
        ),
    ])
}

fn rotation() -> Vec<Member> {
    let weight = || {
        may(
            "weight",
            whole(),
            "How often it comes in a round that is `weighted`; once, where it is missing.",
        )
    };
    let item = either([
        object(media_entry().into_iter().chain([weight()])),
        object([member("block", text(), "A block, by its name."), weight()]),
    ]);
    vec![
        member("items", list(item), "What plays round after round."),
        may(
            "order",
            one_of(Order::NAMES),
            "In which order; `ordered`, where it is missing.",
        ),
        may(
            "seed",
            whole(),
            "What the order of a `shuffled` rotation follows from.",
        ),
        may(
            "separation",
            object([
                member(
                    "item",
                    number(),
                    "Seconds until the same item begins again.",
                ),
                member(
                    "series",
                    number(),
                    "Seconds until one of the same series begins again.",
                ),
            ]),
            "How long something stays away, as far as there is anything else.",
        ),
        may(
            "fillers",
            list(known("Entry")),
            "Media items that pad up to a slot.",
        ),
    ]
}

fn block() -> Schema {
    object([
        member("name", text(), "What it is called by."),
        member(
            "items",
            list(known("Entry")),
            "In the order in which they play.",
        ),
    ])
}

fn new_slot() -> Schema {
    body([
        may(
            "id",
            id(),
            "Of one that is there already; a new one has none.",
        ),
        may(
            "at",
            text(),
            "When it begins, once: RFC 3339, or without an offset where there is a `zone`.",
        ),
        may(
            "time",
            text(),
            "The time of the day at which it begins, on every day or on `days`.",
        ),
        may(
            "zone",
            text(),
            "Whose clocks count: of the IANA database; needed beside `time`.",
        ),
        may("days", days(), "The days of the week on which it begins."),
        member("items", entries(), "What it plays, once."),
        may(
            "duration",
            duration(),
            "Seconds after which it ends at the latest.",
        ),
    ])
}

fn slot() -> Vec<Member> {
    vec![
        member("id", id(), "Its id."),
        may("at", time(), "When it begins, once."),
        may("time", text(), "The time of the day at which it begins."),
        may("zone", text(), "Whose clocks count."),
        may(
            "days",
            list(one_of(Weekdays::NAMES)),
            "The days of the week on which it begins; every day, where they are missing.",
        ),
        member("items", list(known("Entry")), "What it plays, once."),
        may(
            "duration",
            number(),
            "Seconds after which it ends at the latest.",
        ),
    ]
}

fn new_template() -> Schema {
    body([
        member("name", words(MAX_NAME), "What it is called by."),
        member("zone", text(), "Whose clocks count: of the IANA database."),
        may("days", days(), "The days of the week that it is for."),
        may(
            "dates",
            list(pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))
                .with("minItems", 1)
                .with("maxItems", MAX_DATES),
            "The dates that it is for; they go before days of the week.",
        ),
        member(
            "slots",
            list(body([
                member("time", text(), "When it begins: `20:15` or `20:15:30`."),
                member("items", entries(), "What it plays, once."),
                may(
                    "duration",
                    duration(),
                    "Seconds after which it ends at the latest.",
                ),
            ]))
            .with("maxItems", MAX_SLOTS),
            "What begins when.",
        ),
    ])
}

fn template() -> Schema {
    object([
        member("name", text(), "What it is called by."),
        member("zone", text(), "Whose clocks count."),
        may(
            "days",
            list(one_of(Weekdays::NAMES)),
            "The days of the week that it is for.",
        ),
        may(
            "dates",
            list(Schema(json!({ "type": "string", "format": "date" }))),
            "The dates that it is for.",
        ),
        member(
            "slots",
            list(object([
                member("time", text(), "When it begins."),
                member("items", list(known("Entry")), "What it plays, once."),
                may(
                    "duration",
                    number(),
                    "Seconds after which it ends at the latest.",
                ),
            ])),
            "What begins when.",
        ),
    ])
}

fn plan_entry() -> [Member; 9] {
    [
        member("start", time(), "When it begins."),
        member("end", time(), "When it ends."),
        member("duration", number(), "Seconds."),
        member(
            "mediaId",
            id().or_null(),
            "The item; null where there is nothing but fallback or slate.",
        ),
        member("title", text().or_null(), "What it is called."),
        member(
            "in",
            number(),
            "Seconds from the beginning of the item where it begins.",
        ),
        member("reason", one_of(ORIGINS).or_null(), "What has it."),
        member(
            "rotationIndex",
            whole().or_null(),
            "Its place in the rotation.",
        ),
        member("slotId", id().or_null(), "The slot that has it."),
    ]
}

fn listing() -> Schema {
    let programme = [
        member("start", time(), "When it begins."),
        member("end", time(), "When it ends."),
        member("mediaId", id(), "The item."),
    ];
    object([
        member("channelId", id(), "The channel."),
        member("name", text(), "What it is called."),
        member(
            "items",
            list(object(programme.into_iter().chain(details(true)))),
            "Its programmes, in the order of time.",
        ),
    ])
}

fn guide() -> [Member; 3] {
    [
        member("from", time(), "From when."),
        member("until", time(), "Until when."),
        member("items", list(known("Listing")), "The channels."),
    ]
}

fn as_run_entry() -> Schema {
    let reasons = || one_of(Reason::ALL.map(Reason::word));
    object([
        member("id", id(), "Its id."),
        member("channelId", id(), "The channel."),
        member(
            "type",
            one_of(["aired", "missing"]),
            "`missing`: a part of a planned entry that did not go out.",
        ),
        member("open", flag(), "Whether it is on air still."),
        member("start", time(), "When it began."),
        member(
            "end",
            time(),
            "When it ended, or where the newest segment does.",
        ),
        member("duration", number(), "Seconds."),
        member(
            "firstFrame",
            whole(),
            "Counted from the beginning of the channel.",
        ),
        member("frames", whole(), "How many."),
        member(
            "kind",
            one_of(RowKind::ALL.map(RowKind::word)),
            "What it was.",
        ),
        member("mediaId", id().or_null(), "The item."),
        member("title", text().or_null(), "What it was called."),
        member(
            "in",
            number().or_null(),
            "Seconds from the beginning of the item where it begins.",
        ),
        member(
            "made",
            one_of(["copy", "live", "both"]).or_null(),
            "Copied from the prepared file, encoded while it was on air, or both.",
        ),
        member("reason", reasons(), "Why it was shown, or why not."),
        member("message", text(), "The same as a sentence."),
        member(
            "by",
            text().or_null(),
            "The token that played or skipped it.",
        ),
        member(
            "ended",
            reasons().or_null(),
            "What ended it before the end of its item as planned.",
        ),
        member(
            "planned",
            object([
                member("start", time(), "When it was to begin."),
                member("end", time(), "When it was to end."),
                member("duration", number(), "Seconds."),
                member("mediaId", id(), "The item."),
                member("title", text().or_null(), "What it was called."),
                member("reason", one_of(ORIGINS), "What had it."),
                member("slotId", id().or_null(), "The slot that had it."),
            ])
            .or_null(),
            "The entry that the plan had.",
        ),
        member(
            "startDeviation",
            number().or_null(),
            "Seconds by which it began later.",
        ),
        member(
            "lengthDeviation",
            number().or_null(),
            "Seconds by which it was longer.",
        ),
    ])
}
