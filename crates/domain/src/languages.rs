//! Which language is heard, where a file has its sound in several.

use crate::violation::{Fields, describe, member, quoted};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Languages that can be preferred at most.
pub const MAX_LANGUAGES: usize = 4;

/// Codes of ISO 639-2 of which there are two: for terminology, and the bibliographic one that Matroska files have.
const TWINS: [(&str, &str); 20] = [
    ("sqi", "alb"),
    ("hye", "arm"),
    ("eus", "baq"),
    ("mya", "bur"),
    ("zho", "chi"),
    ("ces", "cze"),
    ("nld", "dut"),
    ("fra", "fre"),
    ("kat", "geo"),
    ("deu", "ger"),
    ("ell", "gre"),
    ("isl", "ice"),
    ("mkd", "mac"),
    ("mri", "mao"),
    ("msa", "may"),
    ("fas", "per"),
    ("ron", "rum"),
    ("slk", "slo"),
    ("bod", "tib"),
    ("cym", "wel"),
];

/// A language: three letters of ISO 639-2 or 639-3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Language([u8; 3]);

impl Language {
    /// The three letters; of two codes for one language, the one for terminology.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether a file means this language by `tag`; what stands behind a dash is a region.
    pub fn is(&self, tag: &str) -> bool {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        language.parse() == Ok(*self)
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let small = text.to_ascii_lowercase();
        let twin = TWINS.iter().find(|(_, other)| *other == small);
        match twin.map_or(small.as_str(), |(code, _)| code).as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_lowercase) => Ok(Self([a, b, c])),
            _ => Err(format!(
                "a language {} is not known; three letters of ISO 639-2 are needed, such as eng",
                quoted(text)
            )),
        }
    }
}

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.code().to_owned()
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The languages that are preferred, the first most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<Language>", try_from = "Vec<Language>")]
pub struct Languages([Option<Language>; MAX_LANGUAGES]);

impl Languages {
    /// None: a file's own choice is heard.
    pub const NONE: Self = Self([None; MAX_LANGUAGES]);

    /// These.
    ///
    /// # Errors
    /// There are too many, or one comes twice: a sentence.
    pub fn new(languages: &[Language]) -> Result<Self, String> {
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
    pub fn iter(&self) -> impl Iterator<Item = Language> {
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

impl From<Languages> for Vec<Language> {
    fn from(languages: Languages) -> Self {
        languages.iter().collect()
    }
}

impl TryFrom<Vec<Language>> for Languages {
    type Error = String;

    fn try_from(languages: Vec<Language>) -> Result<Self, String> {
        Self::new(&languages)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_codes_of_one_language_are_one() {
        let german: Language = "ger".parse().unwrap();
        assert_eq!(german.code(), "deu");
        assert!(german.is("deu") && german.is("GER") && german.is("ger-CH"));
        assert!(!german.is("eng") && !german.is("") && !german.is("de"));
        for wrong in ["", "de", "germ", "d3u", "ééé"] {
            assert!(wrong.parse::<Language>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn preferences_keep_their_order_and_are_few() {
        let [a, b] = ["fra", "eng"].map(|code| code.parse().unwrap());
        let both = Languages::new(&[a, b]).unwrap();
        assert_eq!(both.key(), "fra.eng");
        assert_eq!(Languages::NONE.key(), "");
        let json = serde_json::to_value(both).unwrap();
        assert_eq!(json, serde_json::json!(["fra", "eng"]));
        assert_eq!(serde_json::from_value::<Languages>(json).unwrap(), both);
        assert!(Languages::new(&[a, b, a]).is_err());
        assert!(Languages::new(&[a; 5]).is_err());
    }
}
