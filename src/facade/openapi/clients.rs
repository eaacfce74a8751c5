//! Clients, what each is allowed, plans and tokens.

use playout_domain::Resolution;
use playout_domain::feature::Feature;
use playout_domain::limits::Limit;
use playout_domain::plans::{MAX_PLAN_NAME, MAX_TIER};
use playout_store::Scope;

use super::contract::{Named, answers, creates, nothing, page_of};
use super::schema::{
    Member, Schema, body, either, flag, id, known, list, may, member, object, one_of, pattern,
    text, time, whole, words,
};
use crate::facade::clients::{MAX_REASON, OPERATIONS};
use crate::facade::problem::Kind;
use crate::facade::tokens::MAX_NAME;

pub(super) fn contracts() -> Vec<Named> {
    let client = || answers(known("Client")).tagged();
    vec![
        (
            "listTokens",
            page_of(known("Token")).query("client", id(), "Those of one client."),
        ),
        (
            "createToken",
            creates(known("MadeToken"))
                .tagged()
                .takes("NewToken")
                .refuses([Kind::Conflict]),
        ),
        ("getToken", answers(known("Token")).tagged()),
        (
            "revokeToken",
            nothing().if_match().refuses([Kind::Conflict]),
        ),
        (
            "rotateToken",
            answers(known("MadeToken"))
                .tagged()
                .if_match()
                .refuses([Kind::Conflict]),
        ),
        (
            "listClients",
            page_of(known("Client")).query("plan", plan_name(), "Those with this plan."),
        ),
        (
            "createClient",
            creates(known("Client"))
                .tagged()
                .takes("NewClient")
                .refuses([Kind::Conflict]),
        ),
        ("getClient", client()),
        (
            "updateClient",
            client()
                .patched_by("ClientPatch")
                .if_match()
                .refuses([Kind::Conflict]),
        ),
        (
            "deleteClient",
            nothing().if_match().refuses([Kind::Conflict]),
        ),
        ("getClientLimits", answers(known("ClientLimits"))),
        (
            "checkClientLimits",
            answers(known("LimitCheck")).takes("AskedOperation"),
        ),
        (
            "putOverride",
            answers(known("Override"))
                .tagged()
                .takes("NewOverride")
                .if_match_or_none()
                .refuses([Kind::Conflict]),
        ),
        ("getOverride", answers(known("Override")).tagged()),
        ("deleteOverride", nothing().if_match()),
        ("listPlans", page_of(known("SubscriptionPlan"))),
        ("getPlan", answers(known("SubscriptionPlan")).tagged()),
        (
            "putPlan",
            answers(known("SubscriptionPlan"))
                .tagged()
                .or_answers(201, "It was made.", known("SubscriptionPlan"))
                .tagged()
                .takes("NewPlan")
                .if_match_or_none()
                .refuses([Kind::Conflict]),
        ),
        ("deletePlan", nothing().if_match().refuses([Kind::Conflict])),
    ]
}

/// What a plan is called.
pub(super) fn plan_name() -> Schema {
    pattern("^[a-z0-9-]+$")
        .with("minLength", 1)
        .with("maxLength", MAX_PLAN_NAME)
}

fn limit_of(limit: Limit) -> Schema {
    match limit {
        Limit::MaxResolution => one_of(Resolution::ALL.map(Resolution::name)),
        Limit::Features => list(one_of(Feature::ALL.map(Feature::name))),
        _ => whole(),
    }
    .or_null()
}

/// Limits, each absent or null where there is none.
fn limits(needed: bool) -> Schema {
    let members = Limit::ALL.map(|limit| {
        let (name, schema) = (limit.name(), limit_of(limit));
        match needed {
            true => member(name, schema, "null: unlimited."),
            false => may(name, schema, "null: unlimited."),
        }
    });
    if needed {
        object(members)
    } else {
        body(members)
    }
}

fn amount() -> Schema {
    either([whole(), text(), list(text())])
}

/// What a limit is passed by.
pub(super) fn exceeded() -> [Member; 4] {
    [
        member("limit", one_of(Limit::ALL.map(Limit::name)), "Which limit."),
        member("current", amount(), "The use now."),
        member("requested", amount(), "The use that was asked for."),
        member("allowed", amount(), "The most that is allowed."),
    ]
}

/// Why a plan does not allow something.
pub(super) fn refusal() -> Vec<Member> {
    let more = [
        member(
            "plan",
            plan_name().or_null(),
            "The client's plan; null where only its limits are known.",
        ),
        member(
            "upgradeTo",
            plan_name().or_null(),
            "The lowest plan above that allows it.",
        ),
    ];
    exceeded().into_iter().chain(more).collect()
}

fn name() -> Schema {
    words(MAX_NAME)
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let scopes = || list(one_of(Scope::ALL.map(Scope::name)));
    let limit_value = || either(Limit::ALL.map(limit_of));
    let token = || {
        vec![
            member("id", id(), "Its id."),
            member("clientId", id(), "Whose things it makes."),
            member("name", text(), "What people call it."),
            member(
                "prefix",
                text().or_null(),
                "How its secret begins; null where that is not known any more.",
            ),
            member("scopes", scopes(), "What it may do."),
            member(
                "createdAt",
                time(),
                "Since when there is this secret of it.",
            ),
            member(
                "expiresAt",
                time().or_null(),
                "From then on it is none any more; null: it stands until it is revoked.",
            ),
        ]
    };
    let secret = member(
        "token",
        text(),
        "The secret: in this answer and nowhere else.",
    );
    vec![
        ("Token", object(token())),
        ("MadeToken", object(token().into_iter().chain([secret]))),
        (
            "NewToken",
            body([
                member("name", name(), "What people call it."),
                may(
                    "scopes",
                    scopes()
                        .with("minItems", 1)
                        .with("maxItems", Scope::ALL.len())
                        .or_null(),
                    "What it may do; what the token that asks may, unless it is said otherwise.",
                ),
                may(
                    "expiresAt",
                    time().or_null(),
                    "From then on it is none any more; null or absent: it stands until it is revoked.",
                ),
                may(
                    "clientId",
                    id(),
                    "Of which client; of the one that asks, unless it is said otherwise.",
                ),
            ]),
        ),
        (
            "Client",
            object([
                member("id", id(), "Its id."),
                member("name", text(), "What people call it; no two have the same."),
                member("plan", plan_name(), "Its plan."),
                member("createdAt", time(), "When it was made."),
                member("updatedAt", time(), "When it was last changed."),
            ]),
        ),
        (
            "NewClient",
            body([
                member("name", name(), "What people call it; no two have the same."),
                member("plan", plan_name(), "Its plan."),
            ]),
        ),
        (
            "ClientPatch",
            body([
                may("name", name(), "What people call it."),
                may("plan", plan_name(), "Its plan."),
            ]),
        ),
        (
            "ClientLimits",
            object([
                member("plan", plan_name(), "Its plan."),
                member(
                    "limits",
                    limits(true),
                    "What counts: the plan with what is overridden.",
                ),
                member(
                    "usage",
                    object([
                        member("channels", whole(), "Channels there are."),
                        member("live", whole(), "Channels that are, or should be, on air."),
                        member("storageBytes", whole(), "Bytes of media."),
                        member("viewers", whole(), "Viewers now."),
                    ]),
                    "What it uses.",
                ),
                member(
                    "overrides",
                    list(known("Override")),
                    "What is overridden now.",
                ),
                member(
                    "overLimit",
                    list(object(exceeded())),
                    "What it uses beyond that.",
                ),
            ]),
        ),
        (
            "LimitCheck",
            object([
                member("allowed", flag(), "Whether it would be allowed now."),
                member(
                    "refusal",
                    object(refusal()).or_null(),
                    "What a refusal would say.",
                ),
            ]),
        ),
        ("AskedOperation", asked_operation()),
        (
            "Override",
            object([
                member("limit", one_of(Limit::ALL.map(Limit::name)), "Which limit."),
                member("value", limit_value(), "What it is; null: there is none."),
                member("reason", text(), "Why."),
                member(
                    "setBy",
                    text(),
                    "The token that set it; to the client itself always `operator`.",
                ),
                member("setAt", time(), "Since when."),
                member(
                    "expiresAt",
                    time().or_null(),
                    "From then on the plan counts again.",
                ),
            ]),
        ),
        (
            "NewOverride",
            body([
                member(
                    "value",
                    limit_value(),
                    "What it is, as a plan has this limit; null: there is none.",
                ),
                member("reason", words(MAX_REASON), "Why: one line."),
                may(
                    "expiresAt",
                    time().or_null(),
                    "From then on the plan counts again; null or absent: it stands until it is deleted.",
                ),
            ]),
        ),
        (
            "SubscriptionPlan",
            object([
                member("name", plan_name(), "What it is called."),
                member("tier", whole(), "Its place among plans."),
                member("limits", limits(true), "What it allows."),
                may(
                    "clients",
                    whole(),
                    "How many clients are on it; for the operator alone.",
                ),
                member("updatedAt", time(), "When it was last changed."),
            ]),
        ),
        (
            "NewPlan",
            body([
                may(
                    "tier",
                    whole().within(&(0..=MAX_TIER)).default(0),
                    "Its place among plans.",
                ),
                member(
                    "limits",
                    limits(false),
                    "What it allows; what is absent is unlimited.",
                ),
            ]),
        ),
    ]
}

fn asked_operation() -> Schema {
    let operation = |name: &'static str, more: Vec<Member>| {
        let named = member("operation", one_of([name]), "What would be done.");
        body([named].into_iter().chain(more))
    };
    let [create, update, push, start, media, viewers, bulk] = OPERATIONS;
    let features =
        || list(one_of(Feature::ALL.map(Feature::name))).with("maxItems", Feature::ALL.len());
    let channel = || member("channelId", id(), "Which channel.");
    either([
        operation(
            create,
            vec![
                may("resolution", known("Resolution"), "Of the channel."),
                may("rungs", whole().default(1), "Of its ladder."),
                may("destinations", whole().default(0), "By RTMP."),
                may("features", features(), "That it uses."),
            ],
        ),
        operation(
            update,
            vec![
                channel(),
                may(
                    "resolution",
                    known("Resolution"),
                    "That it will have; else it stays.",
                ),
                may("rungs", whole(), "Of its ladder; else they stay."),
                may("destinations", whole(), "By RTMP; else they stay."),
                may("features", features(), "That it will use; else they stay."),
            ],
        ),
        operation(push, vec![channel()]),
        operation(
            start,
            vec![may(
                "channelId",
                id(),
                "Which channel; else no more is asked than whether one more may be on air.",
            )],
        ),
        operation(
            media,
            vec![member("bytes", whole(), "Bytes that are added.")],
        ),
        operation(
            viewers,
            vec![member("viewers", whole(), "Viewers that come.")],
        ),
        operation(
            bulk,
            vec![member(
                "channels",
                whole(),
                "Channels that one request is about.",
            )],
        ),
    ])
}
