//! What an operation is asked and what it answers, beside what the table of routes says of it.

use serde_json::{Map, Value, json};

use super::schema::{Schema, known, list, member, object, text, time, whole};
use crate::facade::channels::{JSON, MERGE_PATCH};
use crate::facade::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::facade::problem::Kind;

/// See the module's head.
#[derive(Debug, Clone, Default)]
pub(super) struct Contract {
    /// Parameters of the query and headers.
    pub(super) parameters: Vec<Value>,
    /// The body of the request.
    pub(super) body: Option<Value>,
    /// Answers of success, by their status.
    pub(super) answers: Vec<(u16, Value)>,
    /// What has to be said beside its summary.
    pub(super) description: Option<&'static str>,
    /// Refusals besides those that follow from the table.
    pub(super) refusals: Vec<Kind>,
}

/// A contract and the name of its operation.
pub(super) type Named = (&'static str, Contract);

/// An operation that answers JSON.
pub(super) fn answers(schema: Schema) -> Contract {
    Contract::default().or_answers(200, "It is answered.", schema)
}

/// An operation that answers one page of a list.
pub(super) fn page_of(of: Schema) -> Contract {
    let cursor = text()
        .or_null()
        .said("What `cursor` takes for the next page; null: this is the last.");
    answers(object([
        member("items", list(of), "The items of this page."),
        member("nextCursor", cursor, ""),
    ]))
    .paged()
}

/// An operation that answers a whole list.
pub(super) fn all_of(of: Schema) -> Contract {
    answers(object([member("items", list(of), "All there are.")]))
}

/// An operation that creates something.
pub(super) fn creates(schema: Schema) -> Contract {
    let created = Contract::default().or_answers(201, "It is there from now on.", schema);
    created.with_header("Location", text().said("Where it is."))
}

/// An operation that answers with nothing.
pub(super) fn nothing() -> Contract {
    let mut contract = Contract::default();
    contract
        .answers
        .push((204, json!({ "description": "It is done." })));
    contract
}

/// An operation that answers a file: whole, a part of it, or that it is known already.
pub(super) fn file(content_type: &str, meaning: &str) -> Contract {
    let file = json!({ "description": meaning, "content": { content_type: { "schema": { "type": "string" } } } });
    let mut contract = Contract::default();
    for (status, answer) in [
        (200, file.clone()),
        (206, file),
        (
            304,
            json!({ "description": "It is the one that `If-None-Match` names." }),
        ),
    ] {
        contract.answers.push((status, answer));
        contract = contract.with_header("ETag", text().said("Names these bytes."));
    }
    contract
        .header(
            "If-None-Match",
            text(),
            "The `ETag` of what is known already.",
        )
        .header(
            "Range",
            text(),
            "`bytes=0-99`: a part of it; others are answered with the whole.",
        )
        .header(
            "If-Range",
            text(),
            "The `ETag` that the part is to be of; of another the whole is answered.",
        )
        .refuses([Kind::RangeNotSatisfiable])
}

impl Contract {
    /// Another answer of success.
    pub(super) fn or_answers(mut self, status: u16, meaning: &str, schema: Schema) -> Self {
        let content = json!({ "application/json": { "schema": schema.0 } });
        let answer = json!({ "description": meaning, "content": content });
        self.answers.push((status, answer));
        self
    }

    /// Another answer of success, in another media type than JSON. A stream has no schema: one would be taken for that of
    /// each thing in it.
    pub(super) fn or_file(mut self, status: u16, media_type: &str, meaning: &str) -> Self {
        let content = json!({ media_type: {} });
        let answer = json!({ "description": meaning, "content": content });
        self.answers.push((status, answer));
        self
    }

    /// The file is JSON, whole.
    pub(super) fn of(mut self, schema: Schema) -> Self {
        let whole = self.answers.iter_mut().find(|(status, _)| *status == 200);
        if let Some((_, answer)) = whole {
            answer["content"][JSON[0]]["schema"] = schema.0;
        }
        self
    }

    /// The last answer in another media type as well.
    pub(super) fn or_as(mut self, media_type: &str, schema: Schema) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            answer["content"][media_type] = json!({ "schema": schema.0 });
        }
        self
    }

    /// The last answer has a header.
    pub(super) fn with_header(mut self, name: &str, schema: Schema) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            let Schema(mut schema) = schema;
            let said = schema
                .as_object_mut()
                .and_then(|of| of.remove("description"));
            answer["headers"][name] =
                json!({ "description": said, "required": true, "schema": schema });
        }
        self
    }

    /// The last answer may have a header.
    pub(super) fn with_optional_header(self, name: &str, schema: Schema) -> Self {
        let mut contract = self.with_header(name, schema);
        if let Some((_, answer)) = contract.answers.last_mut() {
            answer["headers"][name]["required"] = false.into();
        }
        contract
    }

    /// The last answer has the version as its `ETag`.
    pub(super) fn tagged(self) -> Self {
        self.with_header("ETag", text().said("The version, for `If-Match`."))
    }

    /// It is made conditional by `If-Match`.
    pub(super) fn if_match(self) -> Self {
        let meaning =
            "Only if this is the version that is there now: a tag as in `\"3\"`, or `*` for any.";
        self.header("If-Match", text(), meaning)
            .refuses([Kind::PreconditionFailed])
    }

    /// The same where it makes what is not there.
    pub(super) fn if_match_or_none(self) -> Self {
        let meaning = "`*`: only if there is nothing yet.";
        self.if_match().header("If-None-Match", text(), meaning)
    }

    /// A parameter of the query.
    pub(super) fn query(mut self, name: &str, schema: Schema, meaning: &str) -> Self {
        let one =
            json!({ "name": name, "in": "query", "description": meaning, "schema": schema.0 });
        self.parameters.push(one);
        self
    }

    /// Two times of the query that bound what is answered.
    pub(super) fn between(self, from: &str, to: &str) -> Self {
        self.query("from", time(), from).query("to", time(), to)
    }

    fn paged(self) -> Self {
        let limit = whole().within(&(1..=MAX_LIMIT)).default(DEFAULT_LIMIT);
        self.query("limit", limit, "Items of a page at most.")
            .query("cursor", text(), "`nextCursor` of the page before.")
    }

    /// A header of the request.
    pub(super) fn header(mut self, name: &str, schema: Schema, meaning: &str) -> Self {
        let one =
            json!({ "name": name, "in": "header", "description": meaning, "schema": schema.0 });
        self.parameters.push(one);
        self
    }

    /// A header that has to be there.
    pub(super) fn needs_header(self, name: &str, schema: Schema, meaning: &str) -> Self {
        let mut contract = self.header(name, schema, meaning);
        if let Some(header) = contract.parameters.last_mut() {
            header["required"] = true.into();
        }
        contract
    }

    /// It takes JSON.
    pub(super) fn takes(self, name: &str) -> Self {
        self.takes_as(JSON, known(name))
    }

    /// It takes a JSON merge patch.
    pub(super) fn patched_by(self, name: &str) -> Self {
        self.takes_as(MERGE_PATCH, known(name))
    }

    fn takes_as(mut self, media_types: &[&str], schema: Schema) -> Self {
        let each = media_types.iter();
        let content: Map<String, Value> = each
            .map(|name| ((*name).to_owned(), json!({ "schema": schema.0 })))
            .collect();
        self.body = Some(json!({ "required": true, "content": content }));
        self.refuses([
            Kind::MalformedJson,
            Kind::BodyTimeout,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::Invalid,
        ])
    }

    /// It takes a file.
    pub(super) fn takes_file(mut self, media_types: &[&str], meaning: &str) -> Self {
        let each = media_types.iter();
        let content: Map<String, Value> =
            each.map(|name| ((*name).to_owned(), json!({}))).collect();
        self.body = Some(json!({ "description": meaning, "required": true, "content": content }));
        self.refuses([
            Kind::BodyTimeout,
            Kind::BodyTooLarge,
            Kind::UnsupportedMediaType,
            Kind::Invalid,
        ])
    }

    /// With more than a summary.
    pub(super) fn described(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// It refuses so as well.
    pub(super) fn refuses(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.refusals.extend(kinds);
        self
    }
}
