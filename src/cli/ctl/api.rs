//! `ctl api METHOD PATH`: any request, for what has no command of its own.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::super::Failure;
use super::body;
use super::session::Session;

/// A request.
#[derive(Debug, Args)]
pub(super) struct Api {
    /// GET, POST, PUT, PATCH or DELETE.
    method: String,
    /// Where, below /api/v1: /channels, or with a query /media?limit=5
    path: String,
    /// What is sent: JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
}

impl Api {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let method = self.method.to_ascii_uppercase();
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let method = known.into_iter().find(|known| *known == method.as_str());
        let Some(method) = method else {
            let sentence = format!("{} is no method of the API", self.method);
            return Err(Failure::Usage(sentence));
        };
        let below = self.path.strip_prefix("/api/v1").unwrap_or(&self.path);
        if !below.starts_with('/') {
            let sentence = format!("{} is no path; one begins with a slash", self.path);
            return Err(Failure::Usage(sentence));
        }
        let body = self.data.as_deref().map(body::read).transpose()?;
        match session.ask(method, below, body.as_ref()).await? {
            Value::Null => {}
            answer => session.output.whole(&answer),
        }
        Ok(())
    }
}
