//! Sessions of browsers, the audit, and the places on the node.

use playout_domain::admission::Kind as Claim;
use playout_store::Scope;
use serde_json::json;

use super::contract::{Named, answers, creates, nothing, page_of};
use super::schema::{
    Schema, id, known, list, map, member, number, object, one_of, text, time, whole,
};
use crate::facade::audit::{FORMATS, ORDERS};
use crate::facade::problem::Kind;

pub(super) fn contracts() -> Vec<Named> {
    let cookie = || text().said("The cookie of the session.");
    vec![
        ("getSession", answers(known("Session"))),
        (
            "beginSession",
            creates(known("Session"))
                .with_header("Set-Cookie", cookie())
                .refuses([Kind::Conflict]),
        ),
        (
            "endSession",
            nothing()
                .with_header("Set-Cookie", text().said("Takes the cookie away."))
                .refuses([Kind::NotFound]),
        ),
        (
            "searchAudit",
            page_of(known("AuditEntry"))
                .or_as("text/csv", text())
                .or_as("application/x-ndjson", text())
                .query("client", id(), "Of one client alone.")
                .query(
                    "operation",
                    text(),
                    "What was done: `channel.update`, or all of `channel`.",
                )
                .query("subject", id(), "The id of what was changed.")
                .query("actor", text(), "The name of the token.")
                .query("tokenId", id(), "The token.")
                .between("Not before.", "Before.")
                .query(
                    "order",
                    one_of(ORDERS),
                    "Which come first; `newest` as JSON, else `oldest`.",
                )
                .query(
                    "format",
                    one_of(FORMATS),
                    "`json` comes in pages, the others whole.",
                )
                .refuses([Kind::Invalid]),
        ),
        ("getNode", answers(known("NodePlaces"))),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let cost = || {
        object([
            member("cpu", number(), "In cores."),
            member("memory", whole(), "In bytes."),
        ])
    };
    let waiting = object([
        member("channelId", id(), "Which channel."),
        member("tier", whole(), "The tier of its client's plan."),
        member(
            "claim",
            one_of(Claim::ALL.map(Claim::name)),
            "To be on air, or to be transcoded while it plays.",
        ),
        member(
            "place",
            whole(),
            "Its place among those of its kind, from 1.",
        ),
    ]);
    vec![
        (
            "Session",
            object([
                member("clientId", id(), "Whose things are made with it."),
                member("tokenId", id().or_null(), "The token that it stands for."),
                member("name", text(), "What people call that."),
                member(
                    "scopes",
                    list(one_of(Scope::ALL.map(Scope::name))),
                    "What it may do.",
                ),
                member(
                    "csrfToken",
                    text().or_null(),
                    "What `X-CSRF-Token` takes; null: a token asks.",
                ),
                member(
                    "idleTimeout",
                    whole().or_null(),
                    "Seconds without a request after which it ends.",
                ),
            ]),
        ),
        (
            "AuditEntry",
            object([
                member("clientId", id(), "Whose chain."),
                member("seq", whole(), "Its place in it, from 1, without a gap."),
                member("at", time(), "When."),
                member(
                    "actor",
                    text(),
                    "Who: the name of the token, or the part of the daemon.",
                ),
                member("tokenId", id().or_null(), "With which token."),
                member(
                    "operation",
                    text(),
                    "What was done, such as `channel.create`.",
                ),
                member("subjectType", text(), "To what kind of thing."),
                member("subjectId", id(), "To which."),
                member(
                    "detail",
                    map(Schema(json!({}))),
                    "`before` and `after`; null where there was or is nothing.",
                ),
                member("hash", text(), "Its hash in the chain."),
            ]),
        ),
        (
            "NodePlaces",
            object([
                member("capacity", cost(), "What there is for channels."),
                member("used", cost(), "What is taken of it."),
                member(
                    "copy",
                    cost(),
                    "What one more channel costs, as it was measured.",
                ),
                member(
                    "transcodeCpuPerMegapixel",
                    number(),
                    "Cores that a transcode costs for a million pixels a second.",
                ),
                member("waiting", list(waiting), "Who waits, in order."),
            ]),
        ),
    ]
}
