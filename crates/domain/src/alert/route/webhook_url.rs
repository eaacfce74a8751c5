//! The URL of a webhook: `https://`, host, optional port, path.
//!
//! Checks the text alone, as [`crate::destination::ServerUrl`] does: a literal address that is not public is
//! refused unless the operator allows it, and then `http://` is taken, too. What a name resolves to is
//! checked where the connection is made. The path may hold a secret: nothing but the URL itself prints it.

use std::fmt;
use std::ops::Range;

use crate::destination::{MAX_URL_LENGTH, check_host, is_public, split_port};

/// The URL of a webhook, kept as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl {
    /// As it was written.
    text: String,
    tls: bool,
    /// Where the host is in the text, without brackets.
    host: Range<usize>,
    /// Host and port as they were written.
    authority: Range<usize>,
    /// The port, when one was written.
    port: Option<u16>,
}

/// A text that is no URL of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// It is too long.
    #[error("url has {0} characters; at most {MAX_URL_LENGTH} are allowed")]
    TooLong(usize),
    /// It holds a character that URLs do not.
    #[error("url holds a space, a control character or one beyond ASCII; percent-encode it")]
    Character,
    /// It is no https URL.
    #[error("url has to begin with https://")]
    Scheme,
    /// It holds a user name or a password.
    #[error("url holds credentials before an @; receivers check the signature instead")]
    Credentials,
    /// It has no host, or none that can be.
    #[error("url has no valid host; a name such as hooks.example.com or an address is needed")]
    Host,
    /// The port is none.
    #[error("url has an invalid port; a number from 1 to 65535 is allowed")]
    Port,
    /// It has a fragment.
    #[error("url holds a #; a fragment is never sent")]
    Fragment,
    /// It points into a network that is not public.
    #[error(
        "url points at {0}, which is not a public address; \
         the operator has not allowed private webhooks"
    )]
    NotPublic(String),
}

impl WebhookUrl {
    /// Reads `text`; addresses that are not public, and `http://`, only when `allow_private`.
    ///
    /// # Errors
    /// [`InvalidWebhookUrl`], the first thing wrong with it.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidWebhookUrl> {
        if text.len() > MAX_URL_LENGTH {
            return Err(InvalidWebhookUrl::TooLong(text.chars().count()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidWebhookUrl::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidWebhookUrl::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" if allow_private => false,
            _ => return Err(InvalidWebhookUrl::Scheme),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidWebhookUrl::Credentials);
        }
        let (host, port) = match split_port(authority) {
            Ok(parts) => parts,
            Err(crate::destination::InvalidServerUrl::Port) => return Err(InvalidWebhookUrl::Port),
            Err(_) => return Err(InvalidWebhookUrl::Host),
        };
        let address = check_host(host).map_err(|_| InvalidWebhookUrl::Host)?;
        if path.contains('#') {
            return Err(InvalidWebhookUrl::Fragment);
        }
        if path.contains('\\') {
            return Err(InvalidWebhookUrl::Character);
        }
        if !allow_private && !is_public(host, address) {
            return Err(InvalidWebhookUrl::NotPublic(host.to_ascii_lowercase()));
        }
        let begin = scheme.len() + "://".len();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host_begin = begin + usize::from(host.len() > bare.len());
        Ok(Self {
            text: text.to_owned(),
            tls,
            host: host_begin..host_begin + bare.len(),
            authority: begin..begin + authority.len(),
            port,
        })
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    /// Host and port as they were written: what the `Host` header names.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.clone()]
    }

    /// The port: the one written, else 443, or 80 without TLS.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Path and query, beginning with a slash.
    pub fn path(&self) -> String {
        match &self.text[self.authority.end..] {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "WebhookUrl({scheme}://{}/…)", self.authority())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_read_in_its_parts_and_its_path_is_not_printed() {
        let url = WebhookUrl::parse("https://hooks.example.com/in/t0ken?x=1", false).unwrap();
        assert_eq!(
            (url.host(), url.port(), url.is_tls(), url.path().as_str()),
            ("hooks.example.com", 443, true, "/in/t0ken?x=1")
        );
        assert!(!format!("{url:?}").contains("t0ken"));
        let url = WebhookUrl::parse("https://[2606:4700::1]:8443?a", false).unwrap();
        assert_eq!(
            (url.host(), url.authority(), url.port(), url.path().as_str()),
            ("2606:4700::1", "[2606:4700::1]:8443", 8443, "/?a")
        );
        let url = WebhookUrl::parse("http://127.0.0.1:9", true).unwrap();
        assert_eq!(
            (url.host(), url.port(), url.path().as_str()),
            ("127.0.0.1", 9, "/")
        );
    }

    #[test]
    fn what_leads_inside_or_nowhere_is_refused_in_a_sentence() {
        for (wrong, why) in [
            ("hooks.example.com", "https://"),
            ("ftp://example.com/", "https://"),
            ("http://example.com/", "https://"),
            ("https://", "host"),
            ("https://exa mple.com", "space"),
            ("https://me:pw@example.com/", "credentials"),
            ("https://example.com:0/", "port"),
            ("https://example.com:66000/", "port"),
            ("https://example.com/#x", "fragment"),
            ("https://example.com\\@127.0.0.1/", "percent-encode"),
            ("https://127.0.0.1/", "not a public address"),
            ("https://127.1/", "host"),
            ("https://[::1]/", "not a public address"),
            ("https://[::ffff:10.0.0.1]/", "not a public address"),
            ("https://169.254.169.254/latest", "not a public address"),
            ("https://localhost/", "not a public address"),
            ("https://db.internal/", "not a public address"),
        ] {
            let refused = WebhookUrl::parse(wrong, false).unwrap_err().to_string();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
    }
}
