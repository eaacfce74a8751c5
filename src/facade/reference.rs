//! `/docs`: the OpenAPI document as a page for people. Public, as the document is.
//!
//! Plain HTML without a script, written from the document alone, so it can say nothing else. It loads nothing; its one style is
//! allowed by its digest. Everybody can ask for it, so it is written once.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use warp::http::{Method, header};
use warp::reply::Response;

use super::api::{self, Asked};
use super::media::tag;
use super::problem::Problem;
use super::representation::Representation;
use super::request::Request;
use super::{Facade, answer, openapi_document};

const STYLE: &str = include_str!("reference.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn answer(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let page = facade.reference.get_or_init(|| {
        let body = Bytes::from(page(&openapi_document(facade.public_url())));
        Representation {
            etag: tag(&body),
            body,
            content_type: "text/html; charset=utf-8",
            cache_control: "no-cache".to_owned(),
        }
    });
    let mut response = page.clone().answer(request)?;
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    answer::set(&mut response, header::CONTENT_SECURITY_POLICY, &policy);
    answer::set(&mut response, header::REFERRER_POLICY, "no-referrer");
    answer::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    Ok(response)
}

/// The page of a document.
fn page(document: &Value) -> String {
    let mut html = String::new();
    let title = text(&document["info"]["title"]);
    let version = text(&document["info"]["version"]);
    html += "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">";
    html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">";
    let _ = write!(
        html,
        "<title>{title} API {version}</title><style>{STYLE}</style></head><body>"
    );
    navigation(&mut html, document);
    let _ = write!(
        html,
        "<main><h1>{title} API {version}</h1><p>{}</p>",
        text(&document["info"]["description"])
    );
    let _ = write!(
        html,
        "<p>Below <code>{}</code>; the same for programs: <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p>",
        text(&document["servers"][0]["url"])
    );
    for tag in names(&document["tags"]) {
        let _ = write!(html, "<h2 id=\"tag-{tag}\">{tag}</h2>");
        for (path, method, one) in operations(document).filter(|(_, _, one)| one["tags"][0] == tag)
        {
            operation(&mut html, document, path, method, one);
        }
    }
    for (title, wanted) in [("Schemas", false), ("Problems", true)] {
        let _ = write!(html, "<h2 id=\"{title}\">{title}</h2>");
        for (name, schema) in
            components(document).filter(|(name, _)| name.ends_with("Problem") == wanted)
        {
            let _ = write!(html, "<article id=\"{0}\"><h3>{0}</h3>", escaped(name));
            if schema["description"].is_string() {
                let _ = write!(html, "<p>{}</p>", text(&schema["description"]));
            }
            members(&mut html, schema);
            html += "</article>";
        }
    }
    html += "</main></body></html>\n";
    html
}

fn navigation(html: &mut String, document: &Value) {
    *html += "<nav>";
    for tag in names(&document["tags"]) {
        let _ = write!(
            html,
            "<details open><summary><a href=\"#tag-{tag}\">{tag}</a></summary><ul>"
        );
        for (_, _, one) in operations(document).filter(|(_, _, one)| one["tags"][0] == tag) {
            let _ = write!(
                html,
                "<li><a href=\"#{0}\">{0}</a></li>",
                text(&one["operationId"])
            );
        }
        *html += "</ul></details>";
    }
    for title in ["Schemas", "Problems"] {
        let _ = write!(html, "<p><a href=\"#{title}\"><b>{title}</b></a></p>");
    }
    *html += "</nav>";
}

fn operation(html: &mut String, document: &Value, path: &str, method: &str, one: &Value) {
    let _ = write!(
        html,
        "<article id=\"{}\"><h3><span class=\"method {method}\">{}</span> {}</h3><p>{}</p>",
        text(&one["operationId"]),
        method.to_uppercase(),
        escaped(path),
        text(&one["summary"]),
    );
    if one["description"].is_string() {
        let _ = write!(html, "<p>{}</p>", text(&one["description"]));
    }
    match one["x-scope"].as_str() {
        Some(scope) => drop(write!(
            html,
            "<p class=\"scope\">Scope: <code>{}</code></p>",
            escaped(scope)
        )),
        None => *html += "<p class=\"scope\">Public.</p>",
    }
    let shared = &document["paths"][path]["parameters"];
    let parameters = [shared, &one["parameters"]];
    let parameters = parameters.into_iter().filter_map(Value::as_array).flatten();
    rows(
        html,
        "Parameters",
        parameters.map(|parameter| {
            let place = text(&parameter["in"]);
            let name = format!(
                "<code>{}</code> <small>{place}</small>",
                text(&parameter["name"])
            );
            Row {
                name,
                needed: parameter["required"] == true,
                kind: kind(&parameter["schema"]),
                meaning: text(&parameter["description"]),
            }
        }),
    );
    let body = &one["requestBody"];
    rows(
        html,
        "Body",
        entries(&body["content"]).map(|(media_type, content)| Row {
            name: format!("<code>{}</code>", escaped(media_type)),
            needed: body["required"] == true,
            kind: kind(&content["schema"]),
            meaning: text(&body["description"]),
        }),
    );
    rows(
        html,
        "Answers",
        entries(&one["responses"]).map(|(status, response)| {
            let shared = response["$ref"]
                .as_str()
                .and_then(|path| document.pointer(path.strip_prefix('#')?));
            let response = shared.unwrap_or(response);
            let content = entries(&response["content"]);
            let kinds: Vec<String> = content
                .map(|(media_type, content)| {
                    format!(
                        "<small>{}</small> {}",
                        escaped(media_type),
                        kind(&content["schema"])
                    )
                })
                .collect();
            let headers = entries(&response["headers"])
                .map(|(name, _)| format!("<code>{}</code>", escaped(name)));
            let headers = headers.collect::<Vec<_>>().join(" ");
            Row {
                name: format!("<code>{status}</code>"),
                needed: false,
                kind: kinds.join("<br>"),
                meaning: format!("{} {headers}", text(&response["description"])),
            }
        }),
    );
    *html += "</article>";
}

struct Row {
    name: String,
    needed: bool,
    kind: String,
    meaning: String,
}

fn rows(html: &mut String, title: &str, rows: impl Iterator<Item = Row>) {
    let mut table = String::new();
    for row in rows {
        let needed = if row.needed { " class=\"needed\"" } else { "" };
        let _ = write!(
            table,
            "<tr><td><span{needed}>{}</span></td><td>{}</td><td>{}</td></tr>",
            row.name, row.kind, row.meaning
        );
    }
    if !table.is_empty() {
        let _ = write!(html, "<h4>{title}</h4><table>{table}</table>");
    }
}

/// What a schema is made of, as a table; of what has no members, in words.
fn members(html: &mut String, schema: &Value) {
    match schema["properties"].is_object() {
        true => rows(
            html,
            "Members",
            members_of(schema).map(|(name, member)| Row {
                name: format!("<code>{}</code>", escaped(name)),
                needed: is_needed(schema, name),
                kind: kind(member),
                meaning: text(&member["description"]),
            }),
        ),
        false => drop(write!(html, "<p>{}</p>", kind(schema))),
    }
}

/// The members of an object, those that it needs first.
fn members_of(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let [needed, others] = [true, false].map(|wanted| {
        let all = entries(&schema["properties"]);
        all.filter(move |(name, _)| is_needed(schema, name) == wanted)
    });
    needed.chain(others)
}

fn is_needed(schema: &Value, name: &str) -> bool {
    let needed = schema["required"].as_array();
    needed.is_some_and(|all| all.iter().any(|one| one == name))
}

/// What a value is, in a few words.
fn kind(schema: &Value) -> String {
    if schema.is_null() {
        return "bytes".to_owned();
    }
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    for choices in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let each: Vec<String> = choices.iter().map(kind).collect();
            return each.join(" or ");
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let mut each: Vec<String> = Vec::new();
    if let Some(values) = schema["enum"].as_array() {
        let shown = |value: &Value| {
            format!(
                "<code>{}</code>",
                escaped(value.as_str().unwrap_or(&value.to_string()))
            )
        };
        return values.iter().map(shown).collect::<Vec<_>>().join(" ");
    }
    for kind in kinds {
        each.push(match kind {
            "array" => format!(
                "list{} of {}",
                size(schema, "Items"),
                self::kind(&schema["items"])
            ),
            "object" => whole_object(schema),
            "string" => format!("{}{}", text_kind(schema), size(schema, "Length")),
            "integer" => format!("whole number{}", bounds(schema)),
            "number" => format!("number{}", bounds(schema)),
            "boolean" => "<code>true</code> <code>false</code>".to_owned(),
            other => escaped(other),
        });
    }
    let mut kind = match each.is_empty() {
        true => "any".to_owned(),
        false => each.join(" or "),
    };
    if !schema["default"].is_null() {
        let _ = write!(
            kind,
            " (<code>{}</code>)",
            escaped(&schema["default"].to_string())
        );
    }
    kind
}

fn whole_object(schema: &Value) -> String {
    if !schema["properties"].is_object() {
        return match &schema["additionalProperties"] {
            values @ Value::Object(_) => format!("object of {}", kind(values)),
            _ => "object".to_owned(),
        };
    }
    let mut list = "object<ul>".to_owned();
    for (name, member) in members_of(schema) {
        let needed = if is_needed(schema, name) {
            " class=\"needed\""
        } else {
            ""
        };
        let _ = write!(
            list,
            "<li><code{needed}>{}</code> {} {}</li>",
            escaped(name),
            kind(member),
            text(&member["description"])
        );
    }
    list + "</ul>"
}

fn text_kind(schema: &Value) -> String {
    match (schema["format"].as_str(), schema["pattern"].as_str()) {
        (Some(format), _) => escaped(format),
        (None, Some(pattern)) => format!("text as <code>{}</code>", escaped(pattern)),
        (None, None) => "text".to_owned(),
    }
}

fn size(schema: &Value, of: &str) -> String {
    range(&schema[format!("min{of}")], &schema[format!("max{of}")])
}

fn bounds(schema: &Value) -> String {
    range(&schema["minimum"], &schema["maximum"])
}

fn range(least: &Value, most: &Value) -> String {
    match (least.is_null(), most.is_null()) {
        (false, false) => format!(", {least} to {most}"),
        (true, false) => format!(", up to {most}"),
        (false, true) if *least != 0 => format!(", from {least}"),
        _ => String::new(),
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &'static str, &Value)> {
    let paths = entries(&document["paths"]);
    paths.flat_map(|(path, item)| {
        let there = METHODS
            .into_iter()
            .filter(|method| item[method].is_object());
        there.map(move |method| (path, method, &item[method]))
    })
}

fn components(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    entries(&document["components"]["schemas"])
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = value.as_object().into_iter().flat_map(Map::iter);
    entries.map(|(name, value)| (name.as_str(), value))
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|one| one["name"].as_str())
}

/// A text of the document as HTML: what stands between backticks is code.
fn text(value: &Value) -> String {
    let escaped = escaped(value.as_str().unwrap_or_default());
    let mut parts = escaped.split('`');
    let mut html = parts.next().unwrap_or_default().to_owned();
    while let Some(code) = parts.next() {
        let _ = write!(
            html,
            "<code>{code}</code>{}",
            parts.next().unwrap_or_default()
        );
    }
    html
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_operation_and_every_schema_has_its_place_and_every_link_leads_to_one() {
        let document = openapi_document("http://tv");
        let page = page(&document);
        let places: Vec<&str> = page
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        for (_, _, one) in operations(&document) {
            assert!(
                places.contains(&one["operationId"].as_str().unwrap_or_default()),
                "{one}"
            );
        }
        for (name, _) in components(&document) {
            assert!(places.contains(&name), "{name}");
        }
        for link in page
            .split("href=\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(places.contains(&link), "{link} leads nowhere");
        }
    }

    #[test]
    fn what_is_said_is_text_and_never_html() {
        assert_eq!(
            text(&json!("<b> & `a<b`")),
            "&lt;b&gt; &amp; <code>a&lt;b</code>"
        );
        assert_eq!(
            kind(&json!({ "type": ["integer", "null"], "minimum": 1, "maximum": 9 })),
            "whole number, 1 to 9 or null"
        );
        assert_eq!(
            kind(&json!({ "$ref": "#/components/schemas/Rung" })),
            "<a href=\"#Rung\">Rung</a>"
        );
    }
}
