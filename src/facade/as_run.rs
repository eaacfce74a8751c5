//! `GET /channels/{id}/as-run`: what really went out, and what was planned and did not, as JSON page by page or as CSV.

use jiff::{SignedDuration, Timestamp};
use playout_actors::as_run::Told;
use playout_domain::as_run::PlannedEntry;
use playout_domain::violation::{Violations, quoted};
use playout_domain::{AsRunId, ChannelId};
use serde_json::{Value, json};
use warp::http::header;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::csv::Csv;
use super::page::Page;
use super::problem::Problem;
use super::request::time_of;

/// How much is told where the query does not say.
const DEFAULT_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// Rows that one CSV holds at most: a month of half minutes.
const MOST_ROWS: usize = 100_000;
/// Rows that are read at once for it.
const BATCH: usize = 5_000;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    from: Timestamp,
    to: Timestamp,
    format: Format,
    page: Page<AsRunId>,
}

pub(super) async fn as_run(call: Call, id: ChannelId) -> Result<Response, Problem> {
    let query = ["from", "to", "format", "limit", "cursor"];
    let accept = call.request.header(header::ACCEPT).map(str::to_owned);
    let query = call.request.query(query)?;
    let asked = asked(query, accept.as_deref(), Timestamp::now());
    let asked = asked.map_err(|violations| Problem::invalid(&violations))?;
    let mut response = match asked.format {
        Format::Json => as_json(&call, id, &asked).await?,
        Format::Csv => as_csv(&call, id, &asked).await?,
    };
    answer::set(&mut response, header::VARY, "Accept");
    Ok(response)
}

async fn as_json(call: &Call, id: ChannelId, asked: &Asked) -> Result<Response, Problem> {
    let Asked { from, to, page, .. } = asked;
    let channels = &call.app.channels;
    let looked = channels
        .as_run(&call.who, id, (*from, *to), page.after, page.fetch())
        .await?;
    let (told, next) = page.cut(looked.view, |told| told.entry.id);
    let items: Vec<Value> = told.iter().map(view).collect();
    let mut body = json!({ "from": from, "to": to, "items": items, "nextCursor": next });
    if let Some(holder) = looked.held_by {
        body["heldBy"] = json!(holder);
    }
    answer::ok(&body)
}

async fn as_csv(call: &Call, id: ChannelId, asked: &Asked) -> Result<Response, Problem> {
    let mut csv = Csv::new(&COLUMNS);
    let (mut after, mut rows) = (None, 0);
    loop {
        let times = (asked.from, asked.to);
        let channels = &call.app.channels;
        let told = channels.as_run(&call.who, id, times, after, BATCH).await?;
        rows += told.len();
        if rows > MOST_ROWS {
            return Err(Problem::bad_request(format!(
                "Between `from` and `to` are more than {MOST_ROWS} rows, which is more than one CSV holds: ask for less."
            )));
        }
        for told in told.iter() {
            write(&mut csv, told);
        }
        after = told.last().map(|told| told.entry.id);
        if told.len() < BATCH {
            break;
        }
    }
    let mut response = Response::new(csv.finish().into());
    let name = format!("attachment; filename=\"as-run-{id}.csv\"");
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (header::CONTENT_DISPOSITION, &name),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (header, value) in headers {
        answer::set(&mut response, header, value);
    }
    Ok(response)
}

/// What a query asks for, from yesterday until now where it does not say.
fn asked(
    [from, to, format, limit, cursor]: [Option<String>; 5],
    accept: Option<&str>,
    now: Timestamp,
) -> Result<Asked, Violations> {
    let mut violations = Violations::default();
    let mut time = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let time = time_of(text);
        time.map_err(|wrong| violations.add(format!("/{name}"), wrong))
            .ok()
    };
    let (begins, ends) = (time("from", &from), time("to", &to));
    let until = ends.unwrap_or(now);
    let before = until.saturating_sub(DEFAULT_WINDOW);
    let since = begins.unwrap_or_else(|| before.unwrap_or(Timestamp::MIN));
    let readable = begins.is_some() == from.is_some() && ends.is_some() == to.is_some();
    if readable && since >= until {
        let message = format!("{until} is not after `from`, which is {since}");
        violations.add("/to", message);
    }
    let format = match format.as_deref() {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        None if accept.is_some_and(wants_csv) => Format::Csv,
        None => Format::Json,
        Some(other) => {
            let message = format!("{} is no format; it is json or csv", quoted(other));
            violations.add("/format", message);
            Format::Json
        }
    };
    if format == Format::Csv {
        for (name, given) in [("limit", &limit), ("cursor", &cursor)] {
            if given.is_some() {
                violations.add(format!("/{name}"), "a CSV comes whole, not in pages");
            }
        }
    }
    let page = Page::read(limit.clone(), cursor.clone());
    if page.is_err() {
        for (name, limit, cursor) in [("limit", limit, None), ("cursor", None, cursor)] {
            if let Err(problem) = Page::<AsRunId>::read(limit, cursor) {
                violations.add(format!("/{name}"), problem.detail());
            }
        }
    }
    match page {
        Ok(page) => violations.or(Asked {
            from: since,
            to: until,
            format,
            page,
        }),
        Err(_) => Err(violations),
    }
}

/// Whether an `Accept` header names CSV and would not rather have JSON.
fn wants_csv(accept: &str) -> bool {
    let kinds = accept.split(',').map(|kind| kind.split(';').next());
    let mut kinds = kinds.flatten().map(|kind| kind.trim().to_ascii_lowercase());
    kinds
        .find(|kind| kind == "text/csv" || kind == "application/json")
        .is_some_and(|kind| kind == "text/csv")
}

/// To the microsecond.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Seconds into its item at which a row begins.
fn item_seconds(told: &Told) -> Option<f64> {
    let row = &told.entry.row;
    let each = told.entry.seconds() / row.frames.max(1) as f64;
    row.item_frame.map(|frame| micros(frame as f64 * each))
}

fn kind_of_row(told: &Told) -> &'static str {
    match told.entry.row.missing {
        true => "missing",
        false => "aired",
    }
}

fn planned_seconds(planned: &PlannedEntry) -> f64 {
    micros(planned.end.duration_since(planned.start).as_secs_f64())
}

fn view(told: &Told) -> Value {
    let entry = &told.entry;
    let row = &entry.row;
    let deviation = entry.deviation().filter(|_| !told.open);
    let planned = entry.planned.as_ref().map(|planned| {
        json!({
            "start": planned.start,
            "end": planned.end,
            "duration": planned_seconds(planned),
            "mediaId": planned.media_id,
            "title": planned.title,
            "reason": planned.source(),
            "slotId": planned.slot(),
        })
    });
    json!({
        "id": entry.id,
        "channelId": entry.channel_id,
        "type": kind_of_row(told),
        "open": told.open,
        "start": entry.from,
        "end": entry.until,
        "duration": entry.seconds(),
        "firstFrame": row.start,
        "frames": row.frames,
        "kind": row.kind,
        "mediaId": row.media_id,
        "title": entry.title,
        "in": item_seconds(told),
        "made": entry.made(),
        "reason": row.reason,
        "message": entry.message(),
        "by": row.by,
        "ended": row.ended,
        "planned": planned,
        "startDeviation": entry.deviation().map(|(start, _)| start),
        "lengthDeviation": deviation.map(|(_, length)| length),
    })
}

const COLUMNS: [&str; 24] = [
    "start",
    "end",
    "duration",
    "type",
    "kind",
    "title",
    "mediaId",
    "in",
    "frames",
    "made",
    "reason",
    "message",
    "by",
    "ended",
    "plannedStart",
    "plannedEnd",
    "plannedDuration",
    "plannedTitle",
    "plannedMediaId",
    "plannedReason",
    "startDeviation",
    "lengthDeviation",
    "open",
    "id",
];

fn write(csv: &mut Csv, told: &Told) {
    let entry = &told.entry;
    let row = &entry.row;
    let planned = entry.planned.as_ref();
    csv.row()
        .plain(Some(entry.from))
        .plain(Some(entry.until))
        .plain(Some(entry.seconds()))
        .plain(Some(kind_of_row(told)))
        .plain(Some(row.kind))
        .text(entry.title.as_deref())
        .plain(row.media_id)
        .plain(item_seconds(told))
        .plain(Some(row.frames))
        .plain(entry.made())
        .plain(Some(row.reason))
        .text(Some(&entry.message()))
        .text(row.by.as_deref())
        .plain(row.ended)
        .plain(planned.map(|planned| planned.start))
        .plain(planned.map(|planned| planned.end))
        .plain(planned.map(planned_seconds))
        .text(planned.and_then(|planned| planned.title.as_deref()))
        .plain(planned.map(|planned| planned.media_id))
        .plain(planned.map(PlannedEntry::source))
        .plain(entry.deviation().map(|(start, _)| start))
        .plain(
            entry
                .deviation()
                .filter(|_| !told.open)
                .map(|(_, length)| length),
        )
        .plain(Some(told.open))
        .plain(Some(entry.id));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn query(given: &[(&str, &str)]) -> [Option<String>; 5] {
        ["from", "to", "format", "limit", "cursor"].map(|name| {
            let found = given.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_query_asks_for_the_last_day_as_json_or_for_what_it_says() {
        let now: Timestamp = "2030-01-31T20:00:00Z".parse().unwrap();
        let default = asked(query(&[]), None, now).unwrap();
        assert_eq!((default.to, default.format), (now, Format::Json));
        assert_eq!(default.from.to_string(), "2030-01-30T20:00:00Z");
        let day = [
            ("from", "2030-01-01T00:00:00+01:00"),
            ("to", "2030-01-02T00:00:00+01:00"),
        ];
        let asked_for = asked(query(&day), Some("text/csv"), now).unwrap();
        assert_eq!(asked_for.from.to_string(), "2029-12-31T23:00:00Z");
        assert_eq!(asked_for.format, Format::Csv);
        for (accept, format) in [
            ("*/*", Format::Json),
            ("application/json, text/csv", Format::Json),
            ("Text/CSV; header=present, */*;q=0.1", Format::Csv),
        ] {
            assert_eq!(asked(query(&[]), Some(accept), now).unwrap().format, format);
        }
        let json = asked(query(&[("format", "json")]), Some("text/csv"), now);
        assert_eq!(json.unwrap().format, Format::Json);
        let page = asked(query(&[("limit", "7")]), None, now).unwrap().page;
        assert_eq!((page.fetch(), page.after), (8, None));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let now: Timestamp = "2030-01-31T20:00:00Z".parse().unwrap();
        let pointers = |given: &[(&str, &str)]| -> Vec<String> {
            let violations = asked(query(given), None, now).unwrap_err();
            violations.0.into_iter().map(|each| each.pointer).collect()
        };
        let all = [
            ("from", "soon"),
            ("to", "2030-01-31"),
            ("format", "xml"),
            ("limit", "0"),
            ("cursor", "7"),
        ];
        assert_eq!(
            pointers(&all),
            ["/from", "/to", "/format", "/limit", "/cursor"]
        );
        assert_eq!(pointers(&[("from", "2030-01-31T20:00:00Z")]), ["/to"]);
        let backwards = [
            ("from", "2030-01-02T00:00:00Z"),
            ("to", "2030-01-01T00:00:00Z"),
        ];
        assert_eq!(pointers(&backwards), ["/to"]);
        assert_eq!(pointers(&[("format", "csv"), ("limit", "5")]), ["/limit"]);
    }
}
