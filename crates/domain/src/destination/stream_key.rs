//! Stream keys: secrets that are passed on and never shown.
//!
//! Invariant: nothing prints or serialises a [`StreamKey`]; who needs it asks [`StreamKey::reveal`].

use std::fmt;

/// Characters of a key at most.
pub const MAX_KEY_LENGTH: usize = 512;

/// The secret that names a stream at its destination.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

/// A text that cannot be a stream key; the sentence never holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStreamKey {
    /// It has no characters.
    #[error("streamKey is empty; 1 to {MAX_KEY_LENGTH} characters are needed")]
    Empty,
    /// It has too many characters.
    #[error(
        "streamKey has more than {MAX_KEY_LENGTH} characters; 1 to {MAX_KEY_LENGTH} are allowed"
    )]
    TooLong,
    /// It has a character that would change the meaning of what it is written into.
    #[error(
        "streamKey holds a space, a control character or one beyond ASCII; \
         letters, digits and punctuation are allowed"
    )]
    Character,
}

impl StreamKey {
    /// The key `text`.
    ///
    /// # Errors
    /// [`InvalidStreamKey`] unless it is 1 … 512 visible ASCII characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidStreamKey> {
        let text = text.into();
        match text.len() {
            0 => Err(InvalidStreamKey::Empty),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(InvalidStreamKey::Character)
            }
            1..=MAX_KEY_LENGTH => Ok(Self(text)),
            _ => Err(InvalidStreamKey::TooLong),
        }
    }

    /// The secret itself, for the vault and for the process that pushes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(…)")
    }
}

/// What is known of a destination's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StreamKeySetting {
    /// There is none.
    #[default]
    Absent,
    /// There is one, sealed in the store; it stays.
    Kept,
    /// This one was given and is to be sealed.
    Given(StreamKey),
}

impl StreamKeySetting {
    /// Whether there is a key: what reads answer as `streamKeySet`.
    pub const fn is_set(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The key that was given, to be sealed.
    pub const fn given(&self) -> Option<&StreamKey> {
        match self {
            Self::Given(key) => Some(key),
            Self::Absent | Self::Kept => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let setting = StreamKeySetting::Given(StreamKey::new("live_sesame").unwrap());
        assert_eq!(format!("{setting:?}"), "Given(StreamKey(…))");
        assert_eq!(setting.given().map(StreamKey::reveal), Some("live_sesame"));
    }

    #[test]
    fn what_would_break_out_of_a_line_is_refused() {
        for wrong in ["", "a b", "key\nrtmp_app=x", "schlüssel", "a\0b"] {
            let refusal = StreamKey::new(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !refusal.contains(wrong), "{refusal}");
        }
        assert!(StreamKey::new("k".repeat(MAX_KEY_LENGTH)).is_ok());
        assert_eq!(
            StreamKey::new("k".repeat(MAX_KEY_LENGTH + 1)),
            Err(InvalidStreamKey::TooLong)
        );
    }
}
