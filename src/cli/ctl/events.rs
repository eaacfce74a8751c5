//! `ctl events`: what happens, a line each. A connection that is lost is made anew where it was.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::client::ClientError;
use super::super::{Failure, complain, say};
use super::output::Output;
use super::session::{Session, told};
use super::{channels, output};

/// How soon a lost connection is made anew.
const AGAIN: Duration = Duration::from_secs(1);
/// The daemon says something at least every 15 s, a comment where nothing happens: after so long it is gone.
const SILENT: Duration = Duration::from_secs(45);
/// That events were lost: told whatever kinds are asked for.
const RESET: &str = playout_domain::event::kind::RESET;

/// What happens.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Go on when the connection is lost, for ever.
    #[arg(short, long)]
    follow: bool,
    /// Only what happens on this channel: its name or id.
    #[arg(long)]
    channel: Option<String>,
    /// Only this kind of event, and `reset`; may be given again.
    #[arg(long = "type", value_name = "KIND")]
    kinds: Vec<String>,
    /// Go on after this event.
    #[arg(long, value_name = "EVENT-ID")]
    after: Option<String>,
    /// End after so many events.
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
}

impl Events {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut path = "/api/v1/events".to_owned();
        if let Some(channel) = &self.channel {
            path.push_str("?channel=");
            path.push_str(&channels::id_of(session, channel).await?);
        }
        let mut reader = Reader {
            id: self.after.clone(),
            ..Reader::default()
        };
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut was_there = false;
        loop {
            match session.client.follow(&path, reader.id.as_deref()).await {
                Ok(mut body) => {
                    was_there = true;
                    reader.begin_anew();
                    while let Ok(Some(Ok(frame))) = timeout(SILENT, body.frame()).await {
                        for event in reader.take(frame.data_ref().unwrap_or(&Bytes::new())) {
                            if !self.wants(&event.kind) {
                                continue;
                            }
                            if left == 0 {
                                return Ok(());
                            }
                            event.write(session.output);
                            left -= 1;
                        }
                        if left == 0 {
                            return Ok(());
                        }
                    }
                    if !self.follow {
                        return Err(Failure::Failed(
                            "the daemon has ended the stream".to_owned(),
                        ));
                    }
                    complain("playoutd: the connection was lost; it is made anew");
                }
                // Nobody is there for a moment. Who has never been is not waited for.
                Err(ClientError::Unreachable { .. }) if was_there && self.follow => {}
                Err(ClientError::Refused(refusal))
                    if was_there && self.follow && passes(refusal.status) => {}
                Err(error) => return Err(told(error)),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || kind == RESET || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

/// Whether a refusal passes by itself.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// An event as it came.
#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Event {
    fn write(&self, output: Output) {
        let Self { id, kind, data } = self;
        match output {
            Output::Name => say(id),
            Output::Json | Output::Jsonl => {
                say(&json!({ "id": id, "type": kind, "data": data }).to_string());
            }
            Output::Table => {
                let at = data["at"].as_str().unwrap_or("-");
                let channel = data["channelId"].as_str().unwrap_or("-");
                say(&output::printable(&format!(
                    "{at}  {kind:<20}  {channel}  {data}"
                )));
            }
        }
    }
}

/// Reads server-sent events (WHATWG HTML §9.2.6) as they come, whatever they are cut into.
#[derive(Debug, Default)]
struct Reader {
    /// The id of the last event: where to go on.
    id: Option<String>,
    /// What came of a line that has not ended.
    line: Vec<u8>,
    kind: String,
    data: String,
    next_id: String,
}

impl Reader {
    /// On another connection: half an event is none.
    fn begin_anew(&mut self) {
        *self = Self {
            id: self.id.take(),
            ..Self::default()
        };
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let line = String::from_utf8_lossy(&line).into_owned();
                    events.extend(self.line_ended(line.trim_end_matches('\r')));
                }
                other => self.line.push(*other),
            }
        }
        events
    }

    fn line_ended(&mut self, line: &str) -> Option<Event> {
        if !line.is_empty() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "id" => self.next_id = value.to_owned(),
                "event" => self.kind = value.to_owned(),
                "data" => self.data.push_str(value),
                // A comment, or what nobody asks for.
                _ => {}
            }
            return None;
        }
        let (kind, data) = (
            std::mem::take(&mut self.kind),
            std::mem::take(&mut self.data),
        );
        if data.is_empty() {
            return None;
        }
        self.id = Some(self.next_id.clone());
        Some(Event {
            id: self.next_id.clone(),
            kind,
            data: serde_json::from_str(&data).unwrap_or(Value::String(data)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_they_are_cut_into_and_half_of_one_is_none() {
        let stream = ": hello\n\nid: 1-1\nevent: channel.status\ndata: {\"n\":1}\n\nid: 1-2\r\nevent: reset\r\ndata: {}\r\n\r\n";
        let kinds = |events: &[Event]| -> Vec<String> {
            events
                .iter()
                .map(|event| format!("{} {}", event.id, event.kind))
                .collect()
        };
        for size in 1..stream.len() {
            let mut reader = Reader::default();
            let chunks = stream.as_bytes().chunks(size);
            let events: Vec<Event> = chunks.flat_map(|chunk| reader.take(chunk)).collect();
            assert_eq!(
                kinds(&events),
                ["1-1 channel.status", "1-2 reset"],
                "{size}"
            );
            assert_eq!(events[0].data, json!({ "n": 1 }));
        }
        let mut reader = Reader::default();
        reader.take(b"id: 1-1\nevent: a\ndata: {}\n\nid: 1-2\nevent: b\nda");
        reader.begin_anew();
        assert_eq!(reader.id.as_deref(), Some("1-1"));
        let again = reader.take(b"id: 1-2\nevent: b\ndata: {}\n\n");
        assert_eq!(kinds(&again), ["1-2 b"]);
    }
}
