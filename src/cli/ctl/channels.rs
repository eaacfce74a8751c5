//! `ctl channels`: one by its name or id, or many at once.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::super::{Failure, complain};
use super::body;
use super::output::Column;
use super::session::{Session, escaped};

const COLUMNS: [Column; 5] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("RESOLUTION", "resolution"),
    ("LABELS", "config.labels"),
];
const STATUS: [Column; 5] = [
    ("STATUS", "status"),
    ("DESIRED", "desired"),
    ("ON AIR", "onAir.kind"),
    ("UPTIME", "uptime"),
    ("RESTARTS", "restartCount"),
];
const RESULTS: [Column; 3] = [
    ("CHANNEL", "channelId"),
    ("STATUS", "status"),
    ("PROBLEM", "problem.detail"),
];

/// What is done.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List channels.
    List {
        /// Only those that a selector means: tier=gold,!test
        #[arg(short, long)]
        selector: Option<String>,
    },
    /// Show a channel.
    Get(One),
    /// Create a channel, STOPPED.
    Create {
        /// What it is called.
        name: String,
        /// Its resolution, such as 720p.
        #[arg(long)]
        resolution: Option<String>,
        /// A label of it; may be given again.
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = body::pair)]
        labels: Vec<(String, String)>,
        /// The rest of its configuration: JSON, @FILE, or - for stdin.
        #[arg(long, value_name = "JSON")]
        data: Option<String>,
    },
    /// Change channels by JSON merge patch.
    Update {
        #[command(flatten)]
        which: Many,
        /// What is changed: JSON, @FILE, or - for stdin.
        #[arg(long, value_name = "JSON")]
        data: String,
    },
    /// Put channels on air.
    Start(Many),
    /// Take channels off air.
    Stop(Many),
    /// Begin channels anew; viewers keep their playlists.
    Restart(Many),
    /// End the item that is on air.
    Skip(One),
    /// Delete channels that are off air.
    Delete(Many),
    /// How a channel does.
    Status(One),
}

/// One channel.
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its name or id.
    #[arg(value_name = "CHANNEL")]
    channel: String,
}

/// Channels, each by itself.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Many {
    /// Names or ids.
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Those that a selector means: tier=gold,!test
    #[arg(short, long)]
    selector: Option<String>,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::List { selector } => {
                let query = selector.map(|text| format!("?selector={}", escaped(&text)));
                let path = format!("/channels{}", query.unwrap_or_default());
                session.list(&path, &COLUMNS).await
            }
            Self::Get(one) => one.show(session, "", &COLUMNS).await,
            Self::Status(one) => one.show(session, "/status", &STATUS).await,
            Self::Create {
                name,
                resolution,
                labels,
                data,
            } => {
                let mut chosen = body::object(data.as_deref())?;
                chosen.insert("name".to_owned(), name.into());
                if let Some(resolution) = resolution {
                    chosen.insert("resolution".to_owned(), resolution.into());
                }
                if !labels.is_empty() {
                    let labels: BTreeMap<_, _> = labels.into_iter().collect();
                    chosen.insert("labels".to_owned(), json!(labels));
                }
                let made = session.post("/channels", Some(&chosen.into())).await?;
                session.output.one(&made, &COLUMNS);
                Ok(())
            }
            Self::Update { which, data } => {
                let patch = body::read(&data)?;
                which.each(session, "update", Some(patch)).await
            }
            Self::Start(which) => which.each(session, "start", None).await,
            Self::Stop(which) => which.each(session, "stop", None).await,
            Self::Restart(which) => which.each(session, "restart", None).await,
            Self::Delete(which) => which.each(session, "delete", None).await,
            Self::Skip(one) => {
                let id = id_of(session, &one.channel).await?;
                let status = session.post(&format!("/channels/{id}/skip"), None).await?;
                session.output.one(&status, &STATUS);
                Ok(())
            }
        }
    }
}

impl One {
    async fn show(
        &self,
        session: &mut Session,
        more: &str,
        columns: &[Column],
    ) -> Result<(), Failure> {
        let id = id_of(session, &self.channel).await?;
        let shown = session.get(&format!("/channels/{id}{more}")).await?;
        session.output.one(&shown, columns);
        Ok(())
    }
}

impl Many {
    /// Does one thing to each: to one by a request of its own, to several by one for all.
    async fn each(
        &self,
        session: &mut Session,
        operation: &str,
        patch: Option<Value>,
    ) -> Result<(), Failure> {
        if let [one] = &self.channels[..] {
            let id = id_of(session, one).await?;
            return alone(session, &id, operation, patch).await;
        }
        let mut asked = json!({ "operation": operation });
        match &self.selector {
            Some(selector) => asked["selector"] = selector.as_str().into(),
            None => {
                let mut ids = Vec::new();
                for channel in &self.channels {
                    ids.push(id_of(session, channel).await?);
                }
                asked["channelIds"] = json!(ids);
            }
        }
        if let Some(patch) = patch {
            asked["patch"] = patch;
        }
        let done = session.post("/channels/bulk", Some(&asked)).await?;
        let results = done["items"].as_array().cloned().unwrap_or_default();
        session.output.list(&results, &RESULTS);
        match done["failed"].as_u64() {
            Some(0) => Ok(()),
            failed => {
                let (failed, all) = (failed.unwrap_or_default(), results.len());
                complain(&format!("playoutd: {failed} of {all} channels: not done"));
                Err(Failure::Told)
            }
        }
    }
}

async fn alone(
    session: &mut Session,
    id: &str,
    operation: &str,
    patch: Option<Value>,
) -> Result<(), Failure> {
    let path = format!("/channels/{id}");
    let (done, columns) = match operation {
        "update" => {
            let patch = patch.unwrap_or_default();
            (
                session.ask(Method::PATCH, &path, Some(&patch)).await?,
                COLUMNS,
            )
        }
        "delete" => {
            session.ask(Method::DELETE, &path, None).await?;
            return Ok(());
        }
        order => (
            session.post(&format!("{path}/{order}"), None).await?,
            STATUS,
        ),
    };
    session.output.one(&done, &columns);
    Ok(())
}

pub(super) async fn id_of(session: &mut Session, channel: &str) -> Result<String, Failure> {
    session.id_of("/channels", "channel", channel).await
}
