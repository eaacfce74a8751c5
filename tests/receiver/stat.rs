//! Reads nginx's `/stat`: XML without attributes, one element for each fact.

use std::time::Duration;

/// Somebody who publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// The app.
    pub app: String,
    /// The stream's name: the key.
    pub name: String,
    /// Bytes of media that came from the publisher.
    pub bytes_in: u64,
    /// How long the stream has been there.
    pub time: Duration,
}

/// The streams that have a publisher.
pub(super) fn publishers(stat: &str) -> Vec<Publisher> {
    let mut found = Vec::new();
    for application in elements(stat, "application") {
        let app = text(application, "name");
        for stream in elements(application, "stream") {
            let client = elements(stream, "client").any(|client| client.contains("<publishing/>"));
            if client {
                found.push(Publisher {
                    app: app.clone(),
                    name: text(stream, "name"),
                    bytes_in: text(stream, "bytes_in").parse().unwrap_or(0),
                    time: Duration::from_millis(text(stream, "time").parse().unwrap_or(0)),
                });
            }
        }
    }
    found
}

/// What is in each `<name>…</name>`, from the first on; elements of one name do not lie in one another here.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

fn text(xml: &str, name: &str) -> String {
    let text = elements(xml, name).next().unwrap_or_default();
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.trim().to_owned(), |text, (from, to)| {
        text.replace(from, to)
    })
}
