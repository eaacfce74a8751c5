//! The address of a mailbox: a plain `name@host` (RFC 5321 §4.1.2 without quoted names and address literals).

use std::fmt;
use std::str::FromStr;

use crate::destination::check_host;

/// Characters before the `@` at most (RFC 5321 §4.5.3.1.1).
const MAX_NAME: usize = 64;
/// Characters of an address at most (RFC 5321 §4.5.3.1.3).
pub const MAX_ADDRESS: usize = 254;

/// The address of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox(String);

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no e-mail address; one such as ops@example.org is needed, of {MAX_ADDRESS} characters at most"
)]
pub struct InvalidMailbox;

impl Mailbox {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mailbox {
    type Err = InvalidMailbox;

    fn from_str(text: &str) -> Result<Self, InvalidMailbox> {
        let (name, host) = text.rsplit_once('@').ok_or(InvalidMailbox)?;
        let atom = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b))
        };
        let fits = text.len() <= MAX_ADDRESS && name.len() <= MAX_NAME;
        let is_name = !host.starts_with('[') && matches!(check_host(host), Ok(None));
        if fits && is_name && name.split('.').all(atom) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidMailbox)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_taken_and_what_could_break_out_of_a_line_is_not() {
        for fine in ["ops@example.org", "a.b+tv@mail.example.co", "x@localhost"] {
            assert_eq!(fine.parse::<Mailbox>().map(|m| m.0), Ok(fine.to_owned()));
        }
        let long = format!("{}@example.org", "x".repeat(65));
        for wrong in [
            "",
            "ops",
            "@example.org",
            "ops@",
            "ops@exa mple.org",
            "a b@example.org",
            "ops@example.org\r\nRCPT TO:<x@y.org>",
            "<ops@example.org>",
            "a..b@example.org",
            "ops@127.0.0.1",
            "ops@[127.0.0.1]",
            "a,b@example.org",
            "\"a b\"@example.org",
            "öps@example.org",
            &long,
        ] {
            assert_eq!(wrong.parse::<Mailbox>(), Err(InvalidMailbox), "{wrong:?}");
        }
    }
}
