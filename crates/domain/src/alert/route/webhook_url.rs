//! The URL of a webhook: `https://`, host, optional port, path.
//!
//! Checks the text alone, as [`HttpUrl`] does: a literal address that is not public is
//! refused unless the operator allows it, and then `http://` is taken, too. What a name resolves to is
//! checked where the connection is made. The path may hold a secret: nothing but the URL itself prints it.

use crate::destination::{HttpUrl, InvalidHttpUrl, MAX_URL_LENGTH};

/// The URL of a webhook, kept as it was written. Debug output holds no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl(HttpUrl);

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
        let url = HttpUrl::parse(text, allow_private).map_err(of_http)?;
        if !url.is_tls() && !allow_private {
            return Err(InvalidWebhookUrl::Scheme);
        }
        Ok(Self(url))
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What is asked for, and where.
    pub const fn http(&self) -> &HttpUrl {
        &self.0
    }
}

/// The same trouble, told of a webhook.
fn of_http(wrong: InvalidHttpUrl) -> InvalidWebhookUrl {
    match wrong {
        InvalidHttpUrl::TooLong(length) => InvalidWebhookUrl::TooLong(length),
        InvalidHttpUrl::Character => InvalidWebhookUrl::Character,
        InvalidHttpUrl::Scheme => InvalidWebhookUrl::Scheme,
        InvalidHttpUrl::Credentials => InvalidWebhookUrl::Credentials,
        InvalidHttpUrl::Host => InvalidWebhookUrl::Host,
        InvalidHttpUrl::Port => InvalidWebhookUrl::Port,
        InvalidHttpUrl::Fragment => InvalidWebhookUrl::Fragment,
        InvalidHttpUrl::NotPublic(host) => InvalidWebhookUrl::NotPublic(host),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_read_in_its_parts_and_its_path_is_not_printed() {
        let url = WebhookUrl::parse("https://hooks.example.com/in/t0ken?x=1", false).unwrap();
        let url = url.http();
        assert_eq!(
            (url.host(), url.port(), url.is_tls(), url.path().as_str()),
            ("hooks.example.com", 443, true, "/in/t0ken?x=1")
        );
        assert!(!format!("{url:?}").contains("t0ken"));
        let url = WebhookUrl::parse("https://[2606:4700::1]:8443?a", false).unwrap();
        let url = url.http();
        assert_eq!(
            (url.host(), url.authority(), url.port(), url.path().as_str()),
            ("2606:4700::1", "[2606:4700::1]:8443", 8443, "/?a")
        );
        let url = WebhookUrl::parse("http://127.0.0.1:9", true).unwrap();
        let url = url.http();
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
