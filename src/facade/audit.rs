//! `GET /api/v1/audit`: who changed what, page by page as JSON, or whole as CSV or as JSON lines.

use futures_util::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use playout_actors::App;
use playout_domain::violation::{Violations, quoted};
use playout_store::{AuditCursor, AuditFilter, FoundEntry, Principal};
use serde_json::{Value, json};
use std::str::FromStr;
use warp::Reply;
use warp::http::header;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::csv::Csv;
use super::page::Page;
use super::problem::Problem;
use super::request::time_of;

/// Entries that are read at once for what comes whole.
const BATCH: usize = 1_000;

const COLUMNS: [&str; 10] = [
    "clientId",
    "seq",
    "at",
    "actor",
    "tokenId",
    "operation",
    "subjectType",
    "subjectId",
    "detail",
    "hash",
];

/// The formats there are.
pub(super) const FORMATS: [&str; 3] = ["json", "csv", "ndjson"];
/// The orders there are.
pub(super) const ORDERS: [&str; 2] = ["newest", "oldest"];

/// The parameters of the query.
const QUERY: [&str; 11] = [
    "client",
    "operation",
    "subject",
    "actor",
    "tokenId",
    "from",
    "to",
    "order",
    "format",
    "limit",
    "cursor",
];

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    JsonLines,
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [
        client,
        operation,
        subject,
        actor,
        token,
        from,
        to,
        order,
        format,
        limit,
        cursor,
    ] = call.request.query(QUERY)?;
    let mut violations = Violations::default();
    let format = match format.as_deref() {
        None | Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some("ndjson") => Format::JsonLines,
        Some(other) => {
            let message = format!("{} is no format; it is json, csv or ndjson", quoted(other));
            violations.add("/format", message);
            Format::Json
        }
    };
    let newest_first = match order.as_deref() {
        None => format == Format::Json,
        Some("newest") => true,
        Some("oldest") => false,
        Some(other) => {
            let message = format!("{} is no order; it is newest or oldest", quoted(other));
            violations.add("/order", message);
            true
        }
    };
    let filter = AuditFilter {
        client: read("client", client, &mut violations),
        operation,
        subject: read("subject", subject, &mut violations),
        actor,
        token: read("tokenId", token, &mut violations),
        from: time("from", from, &mut violations),
        to: time("to", to, &mut violations),
        newest_first,
    };
    if format != Format::Json && (limit.is_some() || cursor.is_some()) {
        violations.add("/format", "this format comes whole, not in pages");
    }
    let filter = violations.or(filter);
    let filter = filter.map_err(|violations| Problem::invalid(&violations))?;
    let page = Page::<AuditCursor>::read(limit, cursor)?;
    match format {
        Format::Json => as_json(&call, &filter, &page).await,
        whole => as_file(call, filter, whole).await,
    }
}

fn read<T: FromStr>(name: &str, text: Option<String>, violations: &mut Violations) -> Option<T> {
    let text = text?;
    let id = text.parse().ok();
    if id.is_none() {
        violations.add(
            format!("/{name}"),
            format!("{} is not an id", quoted(&text)),
        );
    }
    id
}

fn time(name: &str, text: Option<String>, violations: &mut Violations) -> Option<Timestamp> {
    let time = time_of(&text?);
    time.map_err(|wrong| violations.add(format!("/{name}"), wrong))
        .ok()
}

async fn as_json(
    call: &Call,
    filter: &AuditFilter,
    page: &Page<AuditCursor>,
) -> Result<Response, Problem> {
    let store = &call.app.store;
    let found = store.search_audit(&call.who, filter, page.after, page.limit);
    let (found, more) = found.await.map_err(Problem::of_store)?;
    let last = found.last().filter(|_| more);
    let next = last.map(|last| last.cursor().to_string());
    answer::page(found.iter().map(view).collect(), next)
}

/// Everything that is meant, read while it is sent.
async fn as_file(call: Call, filter: AuditFilter, format: Format) -> Result<Response, Problem> {
    let (media_type, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "audit.csv"),
        _ => ("application/x-ndjson", "audit.ndjson"),
    };
    // What cannot be read at all is told; what breaks off later breaks the answer off.
    let store = &call.app.store;
    let first = store.search_audit(&call.who, &filter, None, BATCH);
    let first = first.await.map_err(Problem::of_store)?;
    let head = match format {
        Format::Csv => COLUMNS.join(",") + "\r\n",
        _ => String::new(),
    };
    let batches = batches(call.app, call.who, filter, first);
    let texts = batches.map(move |batch| {
        batch.map(|found| match format {
            Format::Csv => rows(&found),
            _ => found
                .iter()
                .map(|found| format!("{}\n", view(found)))
                .collect(),
        })
    });
    let texts = stream::once(async move { Ok(head) }).chain(texts);
    let mut response = warp::reply::stream(texts).into_response();
    let disposition = format!("attachment; filename=\"{name}\"");
    for (header, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, &disposition),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        answer::set(&mut response, header, value);
    }
    Ok(response)
}

fn batches(
    app: App,
    who: Principal,
    filter: AuditFilter,
    first: (Vec<FoundEntry>, bool),
) -> impl Stream<Item = Result<Vec<FoundEntry>, playout_store::StoreError>> {
    let until = filter.to.unwrap_or_else(Timestamp::now);
    // What is done meanwhile has no end.
    let filter = AuditFilter {
        to: Some(until),
        ..filter
    };
    stream::try_unfold(Some(first), move |batch| {
        let (app, who, filter) = (app.clone(), who.clone(), filter.clone());
        async move {
            let Some((batch, more)) = batch else {
                return Ok(None);
            };
            let next = match batch.last().filter(|_| more) {
                Some(last) => {
                    let after = Some(last.cursor());
                    Some(app.store.search_audit(&who, &filter, after, BATCH).await?)
                }
                None => None,
            };
            Ok(Some((batch, next)))
        }
    })
}

fn rows(found: &[FoundEntry]) -> String {
    let mut csv = Csv::rows();
    for FoundEntry {
        client,
        entry,
        hash,
    } in found
    {
        csv.row()
            .plain(Some(client))
            .plain(Some(entry.seq))
            .plain(Some(entry.at))
            .text(Some(&entry.actor))
            .plain(entry.token)
            .plain(Some(&entry.operation))
            .plain(Some(&entry.subject_kind))
            .plain(Some(entry.subject))
            .text(Some(&entry.detail.to_string()))
            .plain(Some(hash));
    }
    csv.finish()
}

fn view(found: &FoundEntry) -> Value {
    let entry = &found.entry;
    json!({
        "clientId": found.client,
        "seq": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "tokenId": entry.token,
        "operation": entry.operation,
        "subjectType": entry.subject_kind,
        "subjectId": entry.subject,
        "detail": entry.detail,
        "hash": found.hash,
    })
}
