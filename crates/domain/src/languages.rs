//! Which language is heard, where a file has its sound in several.

use crate::language::Language;
use crate::violation::{Fields, describe, member, quoted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Languages that can be preferred at most.
pub const MAX_LANGUAGES: usize = 4;

/// A language that is spoken: what a tag of BCP 47 begins with, two letters or three. Copied where a [`Language`] is
/// too large.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Spoken([u8; 3]);

impl Spoken {
    /// The letters, the shortest code that there is: `de` for `deu` and `ger`.
    pub fn code(&self) -> &str {
        let code = std::str::from_utf8(&self.0).unwrap_or_default();
        code.trim_end_matches('\0')
    }

    /// Whether a file means this language by `tag`; files have codes of three letters, and what stands behind a dash
    /// is a region.
    pub fn is(&self, tag: &str) -> bool {
        let first = tag.split(['-', '_']).next().unwrap_or_default();
        first.parse() == Ok(*self)
    }
}

impl FromStr for Spoken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let language: Language = text.parse()?;
        match *language.as_str().as_bytes() {
            [a, b] => Ok(Self([a, b, 0])),
            [a, b, c] => Ok(Self([a, b, c])),
            _ => Err(format!(
                "a language {} says more than what is spoken; a code such as de or eng is needed",
                quoted(text)
            )),
        }
    }
}

impl TryFrom<String> for Spoken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Spoken> for String {
    fn from(language: Spoken) -> Self {
        language.code().to_owned()
    }
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The languages that are preferred, the first most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<Spoken>", try_from = "Vec<Spoken>")]
pub struct Languages([Option<Spoken>; MAX_LANGUAGES]);

impl Languages {
    /// None: a file's own choice is heard.
    pub const NONE: Self = Self([None; MAX_LANGUAGES]);

    /// These.
    ///
    /// # Errors
    /// There are too many, or one comes twice: a sentence.
    pub fn new(languages: &[Spoken]) -> Result<Self, String> {
        let mut these = Self::NONE;
        if languages.len() > MAX_LANGUAGES {
            let given = languages.len();
            return Err(format!(
                "{given} languages are given; {MAX_LANGUAGES} at most are allowed"
            ));
        }
        for (at, (place, language)) in these.0.iter_mut().zip(languages).enumerate() {
            if languages[..at].contains(language) {
                return Err(format!(
                    "{language:?} comes a second time; each is allowed once"
                ));
            }
            *place = Some(*language);
        }
        Ok(these)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Spoken> {
        self.0.into_iter().flatten()
    }

    /// Reads the field `audioLanguages`; `default` stands in for it.
    pub(crate) fn read(fields: &mut Fields<'_, '_>, default: Self) -> Self {
        const NAME: &str = "audioLanguages";
        if fields.value(NAME).is_none_or(serde_json::Value::is_null) {
            return default;
        }
        let Some(list) = fields.list(NAME, MAX_LANGUAGES) else {
            return default;
        };
        let pointer = fields.pointer_to(NAME);
        let mut read = Vec::new();
        for (at, value) in list.iter().enumerate() {
            let language = match value.as_str() {
                Some(text) => text.parse(),
                None => Err(format!(
                    "a language is {}; a text is needed",
                    describe(value)
                )),
            };
            match language {
                Ok(language) => read.push(language),
                Err(refusal) => fields.violations().add(member(&pointer, at), refusal),
            }
        }
        Self::new(&read).unwrap_or_else(|refusal| {
            fields.refuse(NAME, refusal);
            default
        })
    }

    /// Its part of a profile's key; nothing where none is preferred.
    pub(crate) fn key(&self) -> String {
        let codes: Vec<String> = self.iter().map(String::from).collect();
        codes.join(".")
    }
}

impl From<Languages> for Vec<Spoken> {
    fn from(languages: Languages) -> Self {
        languages.iter().collect()
    }
}

impl TryFrom<Vec<Spoken>> for Languages {
    type Error = String;

    fn try_from(languages: Vec<Spoken>) -> Result<Self, String> {
        Self::new(&languages)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_codes_of_one_language_are_one() {
        let german: Spoken = "ger".parse().unwrap();
        assert_eq!((german.code(), "deu".parse()), ("de", Ok(german)));
        assert!(german.is("deu") && german.is("GER") && german.is("ger-CH") && german.is("de"));
        assert!(!german.is("eng") && !german.is("") && !german.is("und"));
        let swiss: Spoken = "gsw".parse().unwrap();
        assert_eq!(swiss.code(), "gsw");
        for wrong in ["", "q", "germ", "d3u", "ééé", "de-AT"] {
            assert!(wrong.parse::<Spoken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn preferences_keep_their_order_and_are_few() {
        let [a, b] = ["fra", "eng"].map(|code| code.parse().unwrap());
        let both = Languages::new(&[a, b]).unwrap();
        assert_eq!(both.key(), "fr.en");
        assert_eq!(Languages::NONE.key(), "");
        let json = serde_json::to_value(both).unwrap();
        assert_eq!(json, serde_json::json!(["fr", "en"]));
        assert_eq!(serde_json::from_value::<Languages>(json).unwrap(), both);
        assert!(Languages::new(&[a, b, a]).is_err());
        assert!(Languages::new(&[a; 5]).is_err());
    }
}
