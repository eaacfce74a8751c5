//! Alerts, who is told of them, and what was done about failures.

use playout_domain::AlertKind;
use playout_domain::alert::delivery::DeliveryState;
use playout_domain::alert::recovery::{FallbackStrategy, RecoveryKind};
use playout_domain::alert::route::MAX_ADDRESS;
use playout_domain::alert::{AlertState, Audience, Severity};
use playout_domain::destination::MAX_URL_LENGTH;

use super::contract::{Contract, Named, answers, creates, nothing, page_of};
use super::schema::{
    Member, Schema, body, either, flag, id, known, list, may, member, number, object, one_of, text,
    time, whole, words,
};
use crate::facade::problem::Kind;

pub(super) fn contracts() -> Vec<Named> {
    let events = Contract::default().or_file(
        200,
        "text/event-stream",
        "Server-sent events; docs/api.md names their kinds.",
    );
    vec![
        (
            "listAlerts",
            page_of(known("Alert"))
                .query(
                    "state",
                    one_of(AlertState::ALL.map(AlertState::name)),
                    "Those in this state.",
                )
                .query(
                    "severity",
                    one_of(Severity::ALL.map(Severity::name)),
                    "Those of this severity.",
                )
                .query("channel", id(), "Those of this channel."),
        ),
        ("getAlert", answers(known("Alert"))),
        (
            "acknowledgeAlert",
            answers(known("Alert")).refuses([Kind::Conflict]),
        ),
        ("listAlertRoutes", page_of(known("AlertRoute"))),
        (
            "createAlertRoute",
            creates(known("MadeAlertRoute"))
                .tagged()
                .takes("NewAlertRoute")
                .refuses([Kind::Conflict]),
        ),
        ("getAlertRoute", answers(known("AlertRoute")).tagged()),
        (
            "updateAlertRoute",
            answers(known("AlertRoute"))
                .tagged()
                .patched_by("AlertRoutePatch")
                .if_match()
                .refuses([Kind::Conflict]),
        ),
        ("deleteAlertRoute", nothing().if_match()),
        (
            "testAlertRoute",
            answers(object([
                member("delivered", flag(), "Whether it arrived."),
                member("error", text().or_null(), "Why not: a sentence."),
            ])),
        ),
        (
            "listAlertDeliveries",
            page_of(known("AlertDelivery"))
                .query(
                    "state",
                    one_of(DeliveryState::ALL.map(DeliveryState::name)),
                    "Those in this state.",
                )
                .query("route", id(), "Those by this route.")
                .query("alert", id(), "Those of this alert."),
        ),
        (
            "retryAlertDelivery",
            answers(known("AlertDelivery")).refuses([Kind::Conflict]),
        ),
        (
            "followEvents",
            events
                .query("channel", id(), "Of this channel alone.")
                .header(
                    "Last-Event-ID",
                    text(),
                    "The `id` of the last event seen: those after it come first.",
                )
                .refuses([Kind::NotFound]),
        ),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let made = route().into_iter().chain([may(
        "secret",
        text(),
        "What a webhook is signed with: here and nowhere else.",
    )]);
    vec![
        ("Alert", alert()),
        ("HistoryEntry", history_entry()),
        ("NewAlertRoute", new_route()),
        ("AlertRoute", object(route())),
        ("MadeAlertRoute", object(made)),
        (
            "AlertDelivery",
            object([
                member("id", id(), "Its id."),
                member("routeId", id(), "By which route."),
                member("alertId", id(), "Of which alert."),
                member(
                    "event",
                    text(),
                    "What is told: `alert.opened` or `alert.closed`.",
                ),
                member(
                    "state",
                    one_of(DeliveryState::ALL.map(DeliveryState::name)),
                    "How far it has come.",
                ),
                member("attempts", whole(), "How often it was tried."),
                member(
                    "lastError",
                    text().or_null(),
                    "Why it failed last: a sentence.",
                ),
                member("createdAt", time(), "Since when."),
                member("nextAttemptAt", time().or_null(), "When it is tried next."),
                member("finishedAt", time().or_null(), "When it was over."),
            ]),
        ),
    ]
}

fn severity() -> Schema {
    one_of(Severity::ALL.map(Severity::name))
}

fn kinds() -> Schema {
    one_of(AlertKind::ALL.map(AlertKind::name))
}

fn alert() -> Schema {
    object([
        member("id", id(), "Its id."),
        member("kind", kinds(), "What kind of trouble."),
        member("severity", severity(), "How bad it is."),
        member(
            "audience",
            one_of([Audience::Client, Audience::Operator, Audience::Both]),
            "Who is told.",
        ),
        member("title", text(), "What it is, as a sentence."),
        member("detail", text(), "The latest cause."),
        member(
            "state",
            one_of(AlertState::ALL.map(AlertState::name)),
            "How far it has come.",
        ),
        member("clientId", id(), "Whose it is."),
        member(
            "name",
            text().or_null(),
            "What people call the channel or item.",
        ),
        member("occurrences", whole(), "Failures that belong to it."),
        member(
            "reopened",
            whole(),
            "How often it came back soon after it was over.",
        ),
        member("openedAt", time(), "When it was raised."),
        member("lastAt", time(), "When it last happened, or changed."),
        member(
            "acknowledgedAt",
            time().or_null(),
            "When somebody said that it is known.",
        ),
        member("acknowledgedBy", text().or_null(), "Who."),
        member("closedAt", time().or_null(), "When it was over."),
        member("channelId", id().or_null(), "On which channel."),
        member("mediaId", id().or_null(), "With which item."),
        member("destinationId", id().or_null(), "At which destination."),
        member("watchedFolderId", id().or_null(), "In which folder."),
        member("routeId", id().or_null(), "By which route."),
        member("webhookId", id().or_null(), "By which webhook."),
    ])
}

fn new_route() -> Schema {
    let common = || {
        [
            may(
                "minimumSeverity",
                severity().default(Severity::default()),
                "The least that is told.",
            ),
            may(
                "kinds",
                list(kinds()).with("maxItems", AlertKind::ALL.len()),
                "The kinds that are told; none: every kind.",
            ),
            may("enabled", flag().default(true), "Whether anything is told."),
        ]
    };
    let webhook = [
        member("type", one_of(["webhook"]), "By a POST."),
        member(
            "url",
            words(MAX_URL_LENGTH).with("format", "uri"),
            "`https://`, at a public address.",
        ),
    ];
    let email = [
        member("type", one_of(["email"]), "By mail."),
        member("address", words(MAX_ADDRESS), "A mailbox."),
    ];
    either([
        body(webhook.into_iter().chain(common())),
        body(email.into_iter().chain(common())),
    ])
}

fn route() -> Vec<Member> {
    vec![
        member("id", id(), "Its id."),
        member("clientId", id(), "Whose it is."),
        member("type", one_of(["webhook", "email"]), "How it is told."),
        may("url", text(), "Of a webhook."),
        may("address", text(), "Of an e-mail."),
        member("minimumSeverity", severity(), "The least that is told."),
        member(
            "kinds",
            list(kinds()),
            "The kinds that are told; none: every kind.",
        ),
        member("enabled", flag(), "Whether anything is told."),
        member(
            "disabledReason",
            text().or_null(),
            "Why the daemon has switched it off.",
        ),
        member("createdAt", time(), "When it was made."),
        member("updatedAt", time(), "When it was last changed."),
    ]
}

fn history_entry() -> Schema {
    object([
        member("id", id(), "Its id."),
        member("channelId", id(), "The channel."),
        member("at", time(), "When."),
        member(
            "failure",
            text(),
            "What failed: `source`, `item`, `playout`, `output` or `preparing`.",
        ),
        member("mediaId", id().or_null(), "Of which item."),
        member("destinationId", id().or_null(), "Of which output."),
        member("error", text(), "Why: a sentence."),
        member(
            "type",
            one_of(RecoveryKind::ALL.map(RecoveryKind::name)),
            "What was done.",
        ),
        member("delay", number(), "Seconds until then."),
        member("attempt", whole(), "The how manyth try it is."),
        member("maxAttempts", whole(), "How many there are."),
        member(
            "fallbackStrategy",
            one_of(FallbackStrategy::ALL.map(FallbackStrategy::name)).or_null(),
            "What came in its place.",
        ),
    ])
}
