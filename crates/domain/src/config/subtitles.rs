//! The subtitles that a channel offers: languages, each under the name that viewers choose it by.

use serde::Serialize;

use crate::language::Language;
use crate::violation::{Fields, member, quoted};

/// Languages of a channel at most.
pub const MAX_SUBTITLES: usize = 16;
/// Characters of a name at most.
pub const LONGEST_NAME: usize = 60;

/// One language that viewers can read along in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubtitleSetting {
    /// Which; each once.
    pub language: Language,
    /// What players show of it in their menus; each once.
    pub name: String,
    /// Whether it is shown to whoever has chosen nothing; one at most.
    pub default: bool,
}

impl SubtitleSetting {
    pub(super) fn read_all(fields: &mut Fields<'_, '_>) -> Vec<Self> {
        let mut read: Vec<Self> = Vec::new();
        let list = fields.list("subtitles", MAX_SUBTITLES).unwrap_or(&[]);
        let pointer = fields.pointer_to("subtitles");
        for (n, value) in list.iter().enumerate() {
            let mut one = Fields::open(value, member(&pointer, n), fields.violations());
            let language = one.required_parsed("language", str::parse::<Language>);
            let name = match one.value("name") {
                None => language.as_ref().map(|language| language.to_string()),
                Some(_) => one.parsed("name", check_name),
            };
            let default = one.boolean("default", false);
            if language.is_some()
                && read
                    .iter()
                    .any(|other| Some(&other.language) == language.as_ref())
            {
                one.refuse(
                    "language",
                    "language comes a second time; each is allowed once",
                );
            }
            if name.is_some() && read.iter().any(|other| Some(&other.name) == name.as_ref()) {
                one.refuse(
                    "name",
                    "name comes a second time; players could not tell the languages apart",
                );
            }
            if default && read.iter().any(|other| other.default) {
                one.refuse(
                    "default",
                    "default comes a second time; one language at most is the default",
                );
            }
            one.finish();
            if let (Some(language), Some(name)) = (language, name) {
                read.push(Self {
                    language,
                    name,
                    default,
                });
            }
        }
        read
    }
}

/// A name stands between quotation marks in a playlist (RFC 8216 §4.2), where nothing can stand for one.
fn check_name(name: &str) -> Result<String, String> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > LONGEST_NAME {
        return Err(format!(
            "name has {length} characters; 1 to {LONGEST_NAME} are allowed, and one at least that can be seen"
        ));
    }
    match name.chars().find(|c| *c == '"' || c.is_control()) {
        Some(wrong) => Err(format!(
            "name {} holds {wrong:?}; only text without quotation marks is allowed",
            quoted(name)
        )),
        None => Ok(name.to_owned()),
    }
}
