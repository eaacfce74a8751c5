//! The part of an overlay that always stands: a lower third without a beginning and an end. It is drawn while preparing, like
//! a logo, and so it is a part of the profile; which is copied everywhere, and holds its texts in itself.

use super::{LowerThird, MAX_SUBTITLE, MAX_TITLE};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A character has four bytes at most.
const TITLE_BYTES: usize = MAX_TITLE * 4;
const SUBTITLE_BYTES: usize = MAX_SUBTITLE * 4;

/// Which font texts are drawn in: the beginning of its file's SHA-256. All zero: one that could not be read.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Font(pub [u8; 8]);

impl fmt::Display for Font {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Font {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Font({self})")
    }
}

/// A lower third in its font. See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Said", try_from = "Said")]
pub struct Caption {
    title: Line<TITLE_BYTES>,
    subtitle: Option<Line<SUBTITLE_BYTES>>,
    font: Font,
}

impl Caption {
    /// `third` in `font`; nothing where a line is longer than one of an overlay can be.
    pub fn new(third: &LowerThird, font: Font) -> Option<Self> {
        let subtitle = match third.subtitle.as_deref() {
            Some(text) => Some(Line::new(text)?),
            None => None,
        };
        Some(Self {
            title: Line::new(&third.title)?,
            subtitle,
            font,
        })
    }

    /// The large line.
    pub fn title(&self) -> &str {
        self.title.as_str()
    }

    /// The small line below it.
    pub fn subtitle(&self) -> Option<&str> {
        self.subtitle.as_ref().map(Line::as_str)
    }

    /// Which font it is drawn in.
    pub const fn font(&self) -> Font {
        self.font
    }

    /// Its part of a profile's key: a digest of its lines, and the font.
    pub(crate) fn key(&self) -> String {
        // No line has a line break.
        let lines = [self.title(), "\n", self.subtitle().unwrap_or_default()];
        let bytes = lines.iter().flat_map(|line| line.bytes());
        format!("text.{:032x}.{}", fnv(bytes), self.font)
    }
}

/// FNV-1a of 128 bits: the same everywhere and always.
fn fnv(bytes: impl Iterator<Item = u8>) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

/// A line of `N` bytes at most; what is behind its end is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Line<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Line<N> {
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        let length = text.len();
        Some(Self { bytes, length })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Debug for Line<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// How it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subtitle: Option<String>,
    font: String,
}

impl From<Caption> for Said {
    fn from(caption: Caption) -> Self {
        Self {
            title: caption.title().to_owned(),
            subtitle: caption.subtitle().map(str::to_owned),
            font: caption.font.to_string(),
        }
    }
}

impl TryFrom<Said> for Caption {
    type Error = String;

    fn try_from(said: Said) -> Result<Self, String> {
        let Said {
            title,
            subtitle,
            font,
        } = said;
        let is_digest = font.len() == 16 && font.bytes().all(|digit| digit.is_ascii_hexdigit());
        let whole = u64::from_str_radix(&font, 16).ok().filter(|_| is_digest);
        let font = whole.ok_or("a font is no digest; 16 hexadecimal digits are needed")?;
        let third = LowerThird { title, subtitle };
        Self::new(&third, Font(font.to_be_bytes()))
            .ok_or_else(|| "a line of a text is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::overlay::Overlay;
    use serde_json::{Value, json};

    const FONT: Font = Font([0xab; 8]);

    fn parsed(value: &Value) -> Overlay {
        Overlay::parse(value).unwrap()
    }

    #[test]
    fn a_lower_third_without_times_always_stands_and_nothing_else_does() {
        let third = json!({ "title": "News", "subtitle": "of the day" });
        let (from, until) = ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z");
        for (said, stands, passes) in [
            (json!({ "lowerThird": third }), true, false),
            (json!({ "lowerThird": third, "clock": {} }), true, true),
            (json!({ "clock": {} }), false, true),
            (json!({ "lowerThird": third, "from": from }), false, true),
            (json!({ "lowerThird": third, "until": until }), false, true),
            (
                json!({ "lowerThird": third, "clock": {}, "from": from, "until": until }),
                false,
                true,
            ),
        ] {
            let overlay = parsed(&said);
            assert_eq!(overlay.standing().is_some(), stands, "{said}");
            let passing = overlay.passing();
            assert_eq!(passing.is_some(), passes, "{said}");
            let Some(passing) = passing else { continue };
            // Together they are all of it, and nothing is in both.
            assert_eq!(passing.clock, overlay.clock, "{said}");
            assert_eq!(
                passing.lower_third.is_some(),
                !stands && overlay.lower_third.is_some()
            );
            assert_eq!((passing.from, passing.until), (overlay.from, overlay.until));
        }
    }

    #[test]
    fn its_key_tells_texts_and_fonts_apart_and_it_reads_as_it_is_written() {
        let caption = |title: &str, subtitle: Option<&str>, font| {
            let (title, subtitle) = (title.to_owned(), subtitle.map(str::to_owned));
            Caption::new(&LowerThird { title, subtitle }, font).unwrap()
        };
        let longest = caption(&"😀".repeat(60), Some(&"😀".repeat(80)), FONT);
        let all = [
            caption("ab", None, FONT),
            caption("a", Some("b"), FONT),
            caption("ab", None, Font::default()),
            caption("ab\0", None, FONT),
            longest,
        ];
        for (n, one) in all.iter().enumerate() {
            let read: Caption = serde_json::from_value(json!(one)).unwrap();
            assert_eq!(read, *one);
            assert!(one.key().len() < 60, "fit for a folder");
            for other in &all[n + 1..] {
                assert!(one != other && one.key() != other.key());
            }
        }
        // It names folders that are there when the daemon is started again.
        assert_eq!(
            all[0].key(),
            "text.a68d622d538b5822836dbc7977affdf8.abababababababab"
        );
        assert_eq!(
            json!(all[1]),
            json!({ "title": "a", "subtitle": "b", "font": "abababababababab" })
        );
        let third = LowerThird {
            title: "x".repeat(241),
            subtitle: None,
        };
        assert_eq!(Caption::new(&third, FONT), None);
        for wrong in [
            json!({ "title": "a", "font": "+bababababababab" }),
            json!({ "title": "a", "font": "ab" }),
            json!({ "title": "a".repeat(300), "font": "abababababababab" }),
        ] {
            assert!(serde_json::from_value::<Caption>(wrong).is_err());
        }
    }
}
