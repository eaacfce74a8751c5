//! Holds what the daemon answers against the OpenAPI document of its API: every answer has to be one that the document
//! allows, to the last member; and whatever it takes has to be allowed, too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{LazyLock, Mutex, PoisonError};

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::{Map, Value, json};

use super::http::Answer;

/// A request as it was sent.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl Asked<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// Where the document is, for the validator.
const ADDRESS: &str = "http://document/";

struct Contract {
    document: Value,
    /// Those that were needed so far, and where they are.
    compiled: Mutex<(Schemas, HashMap<String, SchemaIndex>)>,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let mut document = playoutd::facade::openapi_document("http://tv");
    close(&mut document["components"]["schemas"]);
    close(&mut document["components"]["responses"]);
    close(&mut document["paths"]);
    Contract {
        document,
        compiled: Mutex::new((Schemas::new(), HashMap::new())),
    }
});

/// An object may come to have more members than the document says; as long as it does not say so, it has none.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("type").is_some_and(says_object) && members.contains_key("properties") {
                members
                    .entry("additionalProperties")
                    .or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn says_object(kind: &Value) -> bool {
    kind == "object"
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.contains(&json!("object")))
}

/// Panics where `answer` to `asked` is not what the document allows.
pub fn hold(asked: &Asked<'_>, answer: &Answer) {
    let answer = &*uncoded(answer);
    if let Err(wrong) = CONTRACT.check(asked, answer) {
        panic!(
            "{} {} was answered {}, which the document does not allow: {wrong}\n{}\n{}",
            asked.method,
            asked.path,
            answer.status,
            String::from_utf8_lossy(asked.body),
            answer.text()
        );
    }
}

/// An answer as it is where it did not come compressed.
fn uncoded(answer: &Answer) -> Cow<'_, Answer> {
    let coding = answer.headers.get("content-encoding");
    // Of a HEAD there is none.
    if answer.body.is_empty() || coding.is_none_or(|coding| coding != "gzip") {
        return Cow::Borrowed(answer);
    }
    let mut body = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&answer.body[..]);
    gzip.read_to_end(&mut body).expect("gzip");
    Cow::Owned(Answer {
        body,
        ..answer.clone()
    })
}

impl Contract {
    fn check(&self, asked: &Asked<'_>, answer: &Answer) -> Result<(), String> {
        let (path, query) = asked.path.split_once('?').unwrap_or((asked.path, ""));
        let (path, is_page) = match path.strip_prefix("/api/v1") {
            Some(path) => (path, false),
            None => (path, true),
        };
        let method = asked
            .header("X-HTTP-Method-Override")
            .unwrap_or(asked.method);
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        if !known.contains(&method) {
            return Ok(());
        }
        let Some(template) = self.template(path, is_page) else {
            // Below a page the method may be seen first.
            return match answer.status {
                405 if is_page => self.is_problem("MethodNotAllowedProblem", answer),
                _ => self.is_problem("NotFoundProblem", answer),
            };
        };
        let method = match method {
            "HEAD" => "get".to_owned(),
            other => other.to_lowercase(),
        };
        let operation = &self.document["paths"][template][&method];
        if operation.is_null() {
            return match answer.status {
                // A value of the path that is none is seen before the method.
                404 => self.is_problem("NotFoundProblem", answer),
                _ => self.is_problem("MethodNotAllowedProblem", answer),
            };
        }
        let place = format!("/paths/{}/{method}", escaped(template));
        let status = answer.status.to_string();
        let mut documented = &operation["responses"][&status];
        let mut place_of_answer = format!("{place}/responses/{status}");
        if let Some(shared) = documented["$ref"].as_str() {
            place_of_answer = shared.trim_start_matches('#').to_owned();
            documented = self
                .document
                .pointer(&place_of_answer)
                .unwrap_or(&Value::Null);
        }
        if documented.is_null() {
            return Err(format!("{template} has no such status"));
        }
        self.headers(documented, answer)?;
        if asked.method != "HEAD" {
            self.body(documented, &place_of_answer, answer)?;
        }
        if answer.status < 300 && !is_page {
            self.taken(operation, template, &place, asked, query)?;
        }
        Ok(())
    }

    /// The path of the document that `path` is, words before values.
    fn template(&self, path: &str, is_page: bool) -> Option<&str> {
        let segments: Vec<&str> = path.split('/').collect();
        let paths = self.document["paths"].as_object()?;
        let fits = |template: &&String| {
            let wanted: Vec<&str> = template.split('/').collect();
            let mut pairs = wanted.iter().zip(&segments);
            let fit = |(wanted, given): (&&str, &&str)| {
                wanted == given || (wanted.starts_with('{') && !given.is_empty())
            };
            wanted.len() == segments.len() && pairs.all(fit)
        };
        // What lies outside the API names its server.
        let of_kind = paths
            .iter()
            .filter(|(_, item)| item["get"]["servers"].is_array() == is_page);
        let found = of_kind.map(|(template, _)| template).filter(fits);
        found
            .map(String::as_str)
            .min_by_key(|template| template.matches('{').count())
    }

    fn headers(&self, documented: &Value, answer: &Answer) -> Result<(), String> {
        let none = Map::new();
        for (name, header) in documented["headers"].as_object().unwrap_or(&none) {
            let there = answer.headers.contains_key(&name.to_ascii_lowercase());
            if !there && header["required"] == true {
                return Err(format!("the header {name} is missing"));
            }
        }
        Ok(())
    }

    fn body(&self, documented: &Value, place: &str, answer: &Answer) -> Result<(), String> {
        let Some(content) = documented["content"].as_object() else {
            return match answer.body.is_empty() {
                true => Ok(()),
                false => Err("there is a body".to_owned()),
            };
        };
        let given = answer.headers.get("content-type").map_or("", |given| given);
        let essence = given.split(';').next().unwrap_or_default().trim();
        if !content.contains_key(essence) && !content.contains_key("*/*") {
            return Err(format!("its type is {essence:?}"));
        }
        // Lines of JSON are no JSON.
        if !essence.ends_with("json") || essence.ends_with("ndjson") {
            return Ok(());
        }
        // A part of a file is no JSON, though the file is.
        if answer.status == 206 {
            return Ok(());
        }
        let body = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        self.validate(
            &format!("{place}/content/{}/schema", escaped(essence)),
            &body,
        )
    }

    /// What was taken, the document allows.
    fn taken(
        &self,
        operation: &Value,
        template: &str,
        place: &str,
        asked: &Asked<'_>,
        query: &str,
    ) -> Result<(), String> {
        let parameters = operation["parameters"].as_array();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let named = |one: &Value| one["in"] == "query" && one["name"] == name;
            if !parameters.is_some_and(|all| all.iter().any(named)) {
                return Err(format!("{template} takes no parameter {name}"));
            }
        }
        let given = asked.header("Content-Type").unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default();
        let content = operation["requestBody"]["content"].as_object();
        let Some(content) = content.filter(|_| !asked.body.is_empty()) else {
            return Ok(());
        };
        if !content.contains_key(essence) {
            return Err(format!("{template} takes no {essence}"));
        }
        let Ok(body) = serde_json::from_slice(asked.body) else {
            return Ok(());
        };
        let place = format!("{place}/requestBody/content/{}/schema", escaped(essence));
        let valid = self.validate(&place, &body);
        valid.map_err(|wrong| format!("what was sent is taken: {wrong}"))
    }

    fn is_problem(&self, name: &str, answer: &Answer) -> Result<(), String> {
        if answer.body.is_empty() {
            return Ok(());
        }
        let body = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        self.validate(&format!("/components/schemas/{name}"), &body)
    }

    fn validate(&self, place: &str, value: &Value) -> Result<(), String> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let (schemas, places) = &mut *compiled;
        let index = match places.get(place) {
            Some(index) => *index,
            None => {
                let mut compiler = Compiler::new();
                compiler.set_default_draft(Draft::V2020_12);
                compiler.enable_format_assertions();
                let document = compiler.add_resource(ADDRESS, self.document.clone());
                document.map_err(|error| format!("the document is none: {error:#}"))?;
                let index = compiler.compile(&format!("{ADDRESS}#{place}"), schemas);
                let index = index.map_err(|error| format!("{place} is no schema: {error:#}"))?;
                places.insert(place.to_owned(), index);
                index
            }
        };
        schemas
            .validate(value, index)
            .map_err(|error| format!("{error:#}"))
    }
}

/// A step of a JSON pointer, in a URL.
fn escaped(step: &str) -> String {
    let step = step.replace('~', "~0").replace('/', "~1");
    step.replace('{', "%7B")
        .replace('}', "%7D")
        .replace('+', "%2B")
}
