//! What lies outside `/api/v1`: what viewers fetch, whether the daemon is well, and the page of this document. All of it is
//! public, and none takes a token.

use serde_json::{Map, Value, json};

use super::schema::{Schema, known, member, object, one_of, text};
use super::{parameters, problems};
use crate::facade::problem::Kind;

/// One of them.
struct Page {
    template: &'static str,
    id: &'static str,
    summary: &'static str,
    /// What it is of.
    kinds: &'static [&'static str],
    /// Whether it is there as bytes: asked for in parts, or not again where it is known.
    is_file: bool,
    refusals: &'static [Kind],
}

const PAGES: [Page; 8] = [
    Page {
        template: "/hls/{channelId}/index.m3u8",
        id: "getMasterPlaylist",
        summary: "The rungs and languages of a channel on air (RFC 8216).",
        kinds: &["application/vnd.apple.mpegurl"],
        is_file: true,
        refusals: &[Kind::NotFound, Kind::Unavailable],
    },
    Page {
        template: "/hls/{channelId}/{file}",
        id: "getHlsFile",
        summary: "A playlist of a rung or a language, or a segment, as the playlist before names it.",
        kinds: &["application/vnd.apple.mpegurl", "video/mp2t", "text/vtt"],
        is_file: true,
        refusals: &[Kind::NotFound, Kind::Unavailable],
    },
    Page {
        template: "/watch/{channelId}",
        id: "getWatchPage",
        summary: "A page that plays a channel.",
        kinds: &["text/html"],
        is_file: true,
        refusals: &[Kind::NotFound],
    },
    Page {
        template: "/watch/{channelId}/events",
        id: "followWatchedChannel",
        summary: "What everybody may know of what happens on a channel, as it happens (server-sent events).",
        kinds: &["text/event-stream"],
        is_file: false,
        refusals: &[Kind::NotFound, Kind::TooManyRequests, Kind::Unavailable],
    },
    Page {
        template: "/watch/assets/{file}",
        id: "getWatchAsset",
        summary: "What the page is made of.",
        kinds: &["*/*"],
        is_file: true,
        refusals: &[Kind::NotFound],
    },
    Page {
        template: "/docs",
        id: "getReference",
        summary: "This document for people.",
        kinds: &["text/html"],
        is_file: true,
        refusals: &[],
    },
    Page {
        template: "/healthz",
        id: "getHealth",
        summary: "Whether the process answers.",
        kinds: &["application/json"],
        is_file: false,
        refusals: &[],
    },
    Page {
        template: "/readyz",
        id: "getReadiness",
        summary: "Whether the daemon can do its work, and which part cannot.",
        kinds: &["application/json"],
        is_file: false,
        refusals: &[Kind::Unavailable],
    },
];

/// What every one of them may be refused with.
const ALWAYS: [Kind; 3] = [Kind::BadRequest, Kind::MethodNotAllowed, Kind::Internal];

/// Their paths, below `public_url` itself.
pub(super) fn paths(public_url: &str, refusals: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let all = PAGES.iter();
    all.map(|page| (page.template.to_owned(), page.path(public_url, refusals)))
        .collect()
}

/// What two of them answer.
pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    let parts = Schema(json!({ "type": "object" }));
    vec![
        (
            "Health",
            object([member("status", one_of(["ok"]), "It answers.")]),
        ),
        (
            "Readiness",
            object([
                member("status", one_of(["ready"]), "It can do its work."),
                member("parts", parts, "How each part does."),
            ]),
        ),
    ]
}

impl Page {
    fn path(&self, public_url: &str, refusals: &mut Map<String, Value>) -> Value {
        let kinds: Vec<Kind> = ALWAYS.iter().chain(self.refusals).copied().collect();
        let mut responses = problems::of_kinds(&kinds, refusals);
        let content: Map<String, Value> = self
            .kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), json!({ "schema": self.schema().0 })))
            .collect();
        let answer = |meaning: &str| json!({ "description": meaning, "content": content });
        responses.insert("200".to_owned(), answer("It is answered."));
        if self.is_file {
            responses.insert("206".to_owned(), answer("A part of it, as `Range` says."));
            let known = json!({ "description": "It is the one that `If-None-Match` names." });
            responses.insert("304".to_owned(), known);
            responses.extend(problems::of_kinds(&[Kind::RangeNotSatisfiable], refusals));
        }
        json!({
            "parameters": parameters(self.template),
            "get": {
                "operationId": self.id,
                "summary": self.summary,
                "tags": ["public"],
                "servers": [{ "url": public_url }],
                "security": [],
                "responses": responses,
            },
        })
    }

    fn schema(&self) -> Schema {
        match self.id {
            "getHealth" => known("Health"),
            "getReadiness" => known("Readiness"),
            _ => text(),
        }
    }
}
