//! Webhooks, and the log of what they were told.

use playout_domain::alert::delivery::DeliveryState;
use playout_domain::event;
use playout_domain::webhook::{EVERY, MAX_DESCRIPTION};
use serde_json::json;

use super::contract::{Named, answers, creates, nothing, page_of};
use super::schema::{
    Member, Schema, body, flag, id, known, list, may, member, object, one_of, text, time, whole,
};
use crate::facade::problem::Kind;

pub(super) fn contracts() -> Vec<Named> {
    let webhook = || answers(known("Webhook")).tagged();
    vec![
        ("listWebhooks", page_of(known("Webhook"))),
        (
            "createWebhook",
            creates(known("MadeWebhook"))
                .tagged()
                .takes("NewWebhook")
                .refuses([Kind::Conflict]),
        ),
        ("getWebhook", webhook()),
        (
            "updateWebhook",
            webhook()
                .patched_by("WebhookPatch")
                .if_match()
                .refuses([Kind::Conflict]),
        ),
        ("deleteWebhook", nothing().if_match()),
        (
            "rotateWebhook",
            answers(known("MadeWebhook"))
                .tagged()
                .if_match()
                .refuses([Kind::Conflict]),
        ),
        (
            "testWebhook",
            answers(known("WebhookTest")).refuses([Kind::Conflict]),
        ),
        (
            "replayWebhook",
            answers(object([member(
                "deliveries",
                whole(),
                "So many are sent again.",
            )]))
            .takes("ReplaySpan")
            .refuses([Kind::Conflict]),
        ),
        (
            "listWebhookDeliveries",
            page_of(known("WebhookDelivery"))
                .query("state", state(), "Those in this state.")
                .query(
                    "event",
                    one_of(event::ALL.iter().copied()),
                    "Those of this kind of event.",
                ),
        ),
        ("getWebhookDelivery", answers(known("WholeWebhookDelivery"))),
        (
            "replayWebhookDelivery",
            answers(known("WebhookDelivery")).refuses([Kind::Conflict]),
        ),
    ]
}

fn state() -> Schema {
    one_of(DeliveryState::ALL.map(DeliveryState::name))
}

fn url() -> Schema {
    text().with("format", "uri")
}

fn kinds() -> Schema {
    list(one_of(
        [EVERY].into_iter().chain(event::ALL.iter().copied()),
    ))
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let secret = member(
        "secret",
        text(),
        "What it is signed with (Standard Webhooks): in this answer and nowhere else.",
    );
    vec![
        ("Webhook", object(webhook())),
        ("MadeWebhook", object(webhook().into_iter().chain([secret]))),
        ("NewWebhook", new_webhook()),
        ("WebhookDelivery", object(delivery())),
        (
            "WholeWebhookDelivery",
            object(delivery().into_iter().chain([
                member("body", Schema(json!({})), "What is sent."),
                member("answer", text().or_null(), "How the last answer began."),
            ])),
        ),
        (
            "WebhookTest",
            object([
                member("delivered", flag(), "Whether the receiver took it."),
                member("status", whole().or_null(), "What it answered."),
                member("answer", text().or_null(), "How the answer began."),
                member("error", text().or_null(), "Why it failed: a sentence."),
            ]),
        ),
        (
            "ReplaySpan",
            body([
                member("from", time(), "Events not before."),
                may("to", time(), "Before; now, unless it is said otherwise."),
                may(
                    "types",
                    list(one_of(event::ALL.iter().copied())).with("maxItems", event::ALL.len()),
                    "Of these kinds alone.",
                ),
                may("state", state(), "Those in this state alone."),
            ]),
        ),
    ]
}

fn new_webhook() -> Schema {
    body([
        member(
            "url",
            url(),
            "Where events are told: HTTPS, and public, unless the operator allows others.",
        ),
        member(
            "events",
            kinds()
                .with("minItems", 1)
                .with("maxItems", event::ALL.len() + 1),
            "The kinds that are told; `*` is all that are not frequent.",
        ),
        may("channelId", id(), "What happens on this channel alone."),
        may(
            "selector",
            text(),
            "What happens on the channels with these labels alone.",
        ),
        may("enabled", flag().default(true), "Whether anything is told."),
        may(
            "description",
            text().with("maxLength", MAX_DESCRIPTION),
            "What people call it.",
        ),
    ])
}

fn webhook() -> Vec<Member> {
    vec![
        member("id", id(), "Its id."),
        member("clientId", id(), "Whose it is."),
        member(
            "allClients",
            flag(),
            "Whether it hears what happens to everybody: the operator's.",
        ),
        member("url", text(), "Where events are told."),
        member("events", kinds(), "The kinds that are told."),
        may("channelId", id(), "Of this channel alone."),
        may("selector", text(), "Of channels with these labels alone."),
        member("enabled", flag(), "Whether anything is told."),
        member("description", text(), "What people call it."),
        member(
            "disabledReason",
            text().or_null(),
            "Why the daemon has switched it off.",
        ),
        member(
            "failingSince",
            time().or_null(),
            "Since when its receiver takes nothing.",
        ),
        member(
            "oldSecretUntil",
            time().or_null(),
            "Until when it is signed with the secret before, too.",
        ),
        member("createdAt", time(), "When it was made."),
        member("updatedAt", time(), "When it was last changed."),
    ]
}

fn delivery() -> Vec<Member> {
    vec![
        member("id", id(), "Its id; `webhook-id` of what is sent."),
        member("webhookId", id(), "By which webhook."),
        member("eventId", text(), "Of which event."),
        member("event", text(), "What kind of event."),
        member("channelId", id().or_null(), "On which channel."),
        member("state", state(), "How far it has come."),
        member("attempts", whole(), "How often it was tried."),
        member("lastStatus", whole().or_null(), "What was answered last."),
        member(
            "lastError",
            text().or_null(),
            "Why it failed last: a sentence.",
        ),
        member("createdAt", time(), "When the event was noted."),
        member("attemptedAt", time().or_null(), "When it was tried last."),
        member("nextAttemptAt", time().or_null(), "When it is tried next."),
        member(
            "finishedAt",
            time().or_null(),
            "When it was delivered, or given up.",
        ),
    ]
}
