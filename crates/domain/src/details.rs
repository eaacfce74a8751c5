//! What people call an item of the library and say about it: read from its file, from a sidecar beside it, or written
//! through the API.
//!
//! What was written through the API stays when the file or its sidecar says something else later: an item
//! remembers which fields were.

use crate::config::merge_patch;
use crate::violation::{Fields, Violations, describe, member, quoted};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Characters of a title at most.
pub const MAX_TITLE: usize = 200;
/// Characters of a description at most.
pub const MAX_DESCRIPTION: usize = 10_000;
/// Characters of any other text at most.
pub const MAX_TEXT: usize = 100;
/// Tags of an item at most.
pub const MAX_TAGS: usize = 50;
/// The greatest number of a season or an episode.
pub const MAX_NUMBER: u64 = 100_000;
/// Every field, in the order in which it is read.
const FIELDS: [&str; 9] = [
    "title",
    "description",
    "tags",
    "genre",
    "language",
    "rating",
    "series",
    "season",
    "episode",
];

/// What is said about an item; each is nothing where nobody said it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// What it is called.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Words to find it by: in small letters, each once.
    pub tags: Vec<String>,
    /// The genre.
    pub genre: Option<String>,
    /// The language that is spoken, as a tag of BCP 47.
    pub language: Option<String>,
    /// For whom it is fit, as its authority writes it ("TV-PG", "FSK 12").
    pub rating: Option<String>,
    /// The series that it belongs to.
    pub series: Option<String>,
    /// The number of the season.
    pub season: Option<u32>,
    /// The number of the episode in the season.
    pub episode: Option<u32>,
}

impl Details {
    /// Reads what a client wrote: unknown fields, wrong types and what is too long are refused.
    ///
    /// # Errors
    /// Every violation, each with its pointer.
    pub fn parse(value: &Value) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let mut text = |name: &'static str, most: usize| {
            fields.parsed(name, |given| checked(name, given, most))
        };
        let details = Self {
            title: text("title", MAX_TITLE),
            description: text("description", MAX_DESCRIPTION),
            genre: text("genre", MAX_TEXT),
            rating: text("rating", MAX_TEXT),
            series: text("series", MAX_TITLE),
            language: fields.parsed("language", language),
            season: number(&mut fields, "season"),
            episode: number(&mut fields, "episode"),
            tags: tags(&mut fields),
        };
        fields.finish();
        violations.or(details)
    }

    /// What a stranger's file says, as far as it can be used: what is too long is cut, what is nonsense left out.
    pub fn tidy(self) -> Self {
        let text = |given: Option<String>, most| given.and_then(|given| tidied(&given, most));
        let mut tags: Vec<String> = Vec::new();
        for tag in self.tags.iter().filter_map(|tag| tidied(tag, MAX_TEXT)) {
            let tag = tag.to_lowercase();
            if tags.len() < MAX_TAGS && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        let number = |given: Option<u32>| given.filter(|n| u64::from(*n) <= MAX_NUMBER);
        Self {
            title: text(self.title, MAX_TITLE),
            description: text(self.description, MAX_DESCRIPTION),
            tags,
            genre: text(self.genre, MAX_TEXT),
            language: self.language.and_then(|tag| language(tag.trim()).ok()),
            rating: text(self.rating, MAX_TEXT),
            series: text(self.series, MAX_TITLE),
            season: number(self.season),
            episode: number(self.episode),
        }
    }

    /// These, and where they say nothing, those of `others`.
    pub fn or(self, others: Self) -> Self {
        Self {
            title: self.title.or(others.title),
            description: self.description.or(others.description),
            tags: if self.tags.is_empty() {
                others.tags
            } else {
                self.tags
            },
            genre: self.genre.or(others.genre),
            language: self.language.or(others.language),
            rating: self.rating.or(others.rating),
            series: self.series.or(others.series),
            season: self.season.or(others.season),
            episode: self.episode.or(others.episode),
        }
    }

    /// What `found` says, but for the fields that are named in `edited`: these stay as they are here.
    pub fn refreshed(&self, found: Self, edited: &[String]) -> Self {
        let (mut fields, kept) = (found.fields(), self.fields());
        for name in edited {
            match kept.get(name) {
                Some(value) => fields.insert(name.clone(), value.clone()),
                None => fields.remove(name),
            };
        }
        serde_json::from_value(Value::Object(fields)).unwrap_or_default()
    }

    /// These with `patch` merged onto them (RFC 7396), and the names of the fields that it named.
    ///
    /// # Errors
    /// Every violation of the result; a title that would be gone.
    pub fn patched(&self, patch: &Value) -> Result<(Self, Vec<String>), Violations> {
        let Value::Object(changes) = patch else {
            let message = format!(
                "an object of changes is needed here, not {}",
                describe(patch)
            );
            return Err(Violations::one("", message));
        };
        let merged = merge_patch(&Value::Object(self.fields()), patch);
        let patched = Self::parse(&merged)?;
        if patched.title.is_none() {
            return Err(Violations::one("/title", "an item has to have a title"));
        }
        // A member of null that is no field would be merged away unseen.
        let mut violations = Violations::default();
        for name in changes
            .keys()
            .filter(|name| !FIELDS.contains(&name.as_str()))
        {
            let message = format!(
                "{} is not a field here; there are {}",
                quoted(name),
                FIELDS.join(", ")
            );
            violations.add(member("", name), message);
        }
        violations.or((patched, changes.keys().cloned().collect()))
    }

    /// The names of the fields that say something.
    pub fn named(&self) -> Vec<String> {
        self.fields().keys().cloned().collect()
    }

    /// As the API answers them.
    pub fn to_json(&self) -> Value {
        json!(self)
    }

    /// The fields that say something.
    fn fields(&self) -> Map<String, Value> {
        let Value::Object(mut fields) = self.to_json() else {
            return Map::new();
        };
        fields.retain(|_, value| !value.is_null() && *value != json!([]));
        fields
    }
}

fn number(fields: &mut Fields<'_, '_>, name: &'static str) -> Option<u32> {
    let number = fields.whole_number(name)?;
    if number > MAX_NUMBER {
        fields.refuse(
            name,
            format!("{name} is {number}; at most {MAX_NUMBER} is allowed"),
        );
        return None;
    }
    u32::try_from(number).ok()
}

fn tags(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let mut tags = Vec::new();
    let pointer = fields.pointer_to("tags");
    for (at, tag) in fields
        .list("tags", MAX_TAGS)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let read = match tag.as_str() {
            Some(text) => checked("a tag", text, MAX_TEXT),
            None => Err(format!("a tag is {}; a text is needed", describe(tag))),
        };
        match read.map(|tag| tag.to_lowercase()) {
            Ok(tag) if tags.contains(&tag) => {}
            Ok(tag) => tags.push(tag),
            Err(message) => fields.violations().add(member(&pointer, at), message),
        }
    }
    tags
}

/// Text of a client: something, not too long, and without control characters but for line ends.
fn checked(name: &str, given: &str, most: usize) -> Result<String, String> {
    let text = given.trim();
    let length = text.chars().count();
    if length == 0 {
        return Err(format!("{name} is empty; null takes it away"));
    }
    if length > most {
        return Err(format!(
            "{name} has {length} characters; at most {most} are allowed"
        ));
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return Err(format!("{name} holds a control character"));
    }
    Ok(text.to_owned())
}

fn tidied(given: &str, most: usize) -> Option<String> {
    let printable = given
        .chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    let text: String = printable.take(most).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A tag of BCP 47 as far as its form goes.
fn language(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let begins = text.len() >= 2 && text.as_bytes()[0].is_ascii_alphabetic();
    if begins && text.len() <= 35 && text.split('-').all(part) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is no language; a tag such as en, deu or pt-BR is needed",
        quoted(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> Details {
        Details {
            title: Some("Film".into()),
            tags: vec!["night".into()],
            series: Some("Films".into()),
            season: Some(1),
            ..Details::default()
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_takes_away() {
        let patch = json!({ "tags": ["Day", "day", " sun "], "season": null, "language": "pt-BR" });
        let (patched, named) = film().patched(&patch).unwrap();
        let expected = Details {
            tags: vec!["day".into(), "sun".into()],
            season: None,
            language: Some("pt-BR".into()),
            ..film()
        };
        assert_eq!(patched, expected);
        assert_eq!(named, ["language", "season", "tags"]);
    }

    #[test]
    fn every_violation_of_a_patch_is_named() {
        let patch = json!({ "title": " ", "tags": [1, "ok", ""], "season": -1, "language": "english language",
            "genre": "a\u{7}b", "colour": "red", "episode": 100_001 });
        let refused = film().patched(&patch).unwrap_err();
        let pointers: Vec<&str> = refused.0.iter().map(|v| v.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/title",
                "/genre",
                "/language",
                "/season",
                "/episode",
                "/tags/0",
                "/tags/2",
                "/colour"
            ]
        );
        for (patch, pointer) in [
            (json!([]), ""),
            (json!({ "title": null }), "/title"),
            (json!({ "colour": null }), "/colour"),
        ] {
            assert_eq!(film().patched(&patch).unwrap_err().0[0].pointer, pointer);
        }
    }

    #[test]
    fn what_was_edited_stays_and_what_was_not_follows_the_file() {
        let edited = ["title".to_owned(), "genre".to_owned()];
        let found = Details {
            title: Some("From the file".into()),
            genre: Some("drama".into()),
            season: Some(2),
            ..Details::default()
        };
        let expected = Details {
            title: Some("Film".into()),
            season: Some(2),
            ..Details::default()
        };
        assert_eq!(film().refreshed(found, &edited), expected);
    }

    #[test]
    fn what_strangers_say_is_tidied() {
        let wild = Details {
            title: Some(format!("\u{1}{}", "x".repeat(500))),
            genre: Some(" \n".into()),
            language: Some("nonsense!".into()),
            season: Some(u32::MAX),
            tags: vec!["A".into(), "a".into(), "".into()],
            ..Details::default()
        };
        let tidy = wild.tidy();
        assert_eq!(tidy.title.map(|title| title.len()), Some(MAX_TITLE - 1));
        assert_eq!((tidy.genre, tidy.language, tidy.season), (None, None, None));
        assert_eq!(tidy.tags, ["a"]);
    }
}
