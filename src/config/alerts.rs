//! `[alerts]`: what raises one, and how it is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bounded::{Count, Seconds};

/// `[alerts]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    pub dead_air: Seconds<1, 3600>,
    pub nothing_playable: Seconds<1, 86_400>,
    pub quiet: Seconds<0, 86_400>,
    pub allow_private_webhooks: bool,
    pub smtp: SmtpSettings,
}

/// `[alerts.smtp]`: the operator's mail server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpSettings {
    pub host: Option<String>,
    pub port: Count<1, 65_535>,
    pub tls: SmtpTls,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    pub from: Option<String>,
}

/// How the connection to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// By STARTTLS, or no mail at all.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            dead_air: Seconds::of(30),
            nothing_playable: Seconds::of(60),
            quiet: Seconds::of(600),
            allow_private_webhooks: false,
            smtp: SmtpSettings::default(),
        }
    }
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            host: None,
            port: Count::of(587),
            tls: SmtpTls::StartTls,
            user: None,
            password_file: None,
            from: None,
        }
    }
}

impl SmtpSettings {
    /// What a type cannot say.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.host.is_some() && self.from.is_none() {
            let message = "a mail server needs alerts.smtp.from, whom mail comes from";
            return Err(("alerts.smtp.host", message.into()));
        }
        if self.user.is_some() && self.password_file.is_none() {
            return Err(("alerts.smtp.user", "needs a password_file beside it".into()));
        }
        if self.password_file.is_some() && self.user.is_none() {
            return Err(("alerts.smtp.password_file", "needs a user beside it".into()));
        }
        if self.user.is_some() && self.tls == SmtpTls::None && !self.is_here() {
            let message = "a password would go out unencrypted; set it to starttls or implicit";
            return Err(("alerts.smtp.tls", message.into()));
        }
        Ok(())
    }

    /// Whether the server is on this machine.
    fn is_here(&self) -> bool {
        matches!(
            self.host.as_deref(),
            Some("localhost" | "127.0.0.1" | "::1")
        )
    }
}
