//! `ctl api METHOD PATH`: any request, for what has no command of its own.

use clap::Args;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::super::client::Answered;
use super::super::{Failure, write};
use super::body;
use super::session::{Session, told};

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
    /// A header of the request, as in 'If-Match: "3"'; may be given again.
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

fn header(given: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = given.split_once(':').ok_or("a header is NAME: VALUE")?;
    let name = name.trim().parse::<HeaderName>();
    let value = value.trim().parse::<HeaderValue>();
    name.ok()
        .zip(value.ok())
        .ok_or_else(|| "that is no header".to_owned())
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
        let path = format!("/api/v1{below}");
        let asked = session
            .client
            .exchange(method, &path, body.as_ref(), &self.headers);
        let Answered { is_json, bytes } = asked.await.map_err(told)?;
        match is_json.then(|| serde_json::from_slice::<Value>(&bytes)) {
            Some(Ok(answer)) => session.output.whole(&answer),
            // A table, a playlist, a picture: as it is.
            _ => write(&bytes)?,
        }
        Ok(())
    }
}
