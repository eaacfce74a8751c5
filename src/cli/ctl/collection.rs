//! What is listed, shown, made, changed and deleted in one way: media, tokens, clients, plans, alerts, webhooks.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::super::{Failure, absolute, complain};
use super::body;
use super::output::Column;
use super::session::{Session, escaped};

/// A kind of thing, and how it is shown.
struct Kind {
    /// Where its things are.
    path: &'static str,
    /// What one is called.
    what: &'static str,
    columns: &'static [Column],
}

const MEDIA: Kind = Kind {
    path: "/media",
    what: "media item",
    columns: &[
        ("ID", "id"),
        ("TITLE", "title"),
        ("DURATION", "duration"),
        ("STATUS", "status"),
    ],
};
const TOKENS: Kind = Kind {
    path: "/tokens",
    what: "token",
    columns: &[
        ("ID", "id"),
        ("NAME", "name"),
        ("PREFIX", "prefix"),
        ("SCOPES", "scopes"),
        ("EXPIRES", "expiresAt"),
    ],
};
const CLIENTS: Kind = Kind {
    path: "/clients",
    what: "client",
    columns: &[
        ("ID", "id"),
        ("NAME", "name"),
        ("PLAN", "plan"),
        ("CREATED", "createdAt"),
    ],
};
const PLANS: Kind = Kind {
    path: "/plans",
    what: "plan",
    columns: &[("NAME", "name"), ("TIER", "tier"), ("LIMITS", "limits")],
};
const ALERTS: Kind = Kind {
    path: "/alerts",
    what: "alert",
    columns: &[
        ("ID", "id"),
        ("KIND", "kind"),
        ("SEVERITY", "severity"),
        ("STATE", "state"),
        ("NAME", "name"),
        ("DETAIL", "detail"),
    ],
};
const WEBHOOKS: Kind = Kind {
    path: "/webhooks",
    what: "webhook",
    columns: &[
        ("ID", "id"),
        ("URL", "url"),
        ("EVENTS", "events"),
        ("ENABLED", "enabled"),
        ("DESCRIPTION", "description"),
    ],
};
const DELIVERIES: [Column; 5] = [
    ("ID", "id"),
    ("EVENT", "event"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("LAST ERROR", "lastError"),
];

/// One thing.
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, or its name where it has one.
    #[arg(value_name = "ID")]
    id: String,
}

/// What is sent.
#[derive(Debug, Args)]
pub(super) struct Data {
    /// JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON")]
    data: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Media {
    /// List the library.
    List {
        /// Only what is found by these words.
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
    },
    /// Show an item.
    Get(One),
    /// Import files and folders that the daemon can see, or a URL; preparing goes on afterwards.
    Import {
        /// Paths, or https:// URLs.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Remove an item from the library; its file stays.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// List tokens, without their secrets.
    List,
    /// Show a token.
    Get(One),
    /// Make a token; with `-o name` its secret alone is written.
    Create {
        /// What it is for.
        name: String,
        /// What it may do; may be given again: read, operate, configure, admin.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Whose it is: the name or id of a client.
        #[arg(long)]
        client: Option<String>,
        /// When it ends, as in 2030-01-31T20:15:00Z.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// End a token at once.
    #[command(visible_alias = "revoke")]
    Delete(One),
    /// Give a token another secret.
    Rotate(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Clients {
    /// List clients.
    List,
    /// Show a client.
    Get(One),
    /// Make a client.
    Create {
        /// What it is called.
        name: String,
        /// Its plan.
        #[arg(long)]
        plan: String,
    },
    /// Change a client by JSON merge patch.
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        data: Data,
    },
    /// What a client is allowed, and what it uses of it.
    Limits(One),
    /// Delete a client that has nothing.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Plans {
    /// List plans, lowest tier first.
    List,
    /// Show a plan.
    Get(One),
    /// Make or replace a plan.
    Put {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        data: Data,
    },
    /// Delete a plan that no client is on.
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Alerts {
    /// List alerts, newest first.
    List {
        /// Only those in this state: open, acknowledged, closed.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show an alert.
    Get(One),
    /// Say that somebody knows.
    Ack(One),
}

#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    /// List webhooks.
    List,
    /// Show a webhook.
    Get(One),
    /// Make a webhook; its secret is shown this once.
    Create {
        // Not `url`: that is the daemon's.
        /// Where it leads.
        #[arg(value_name = "URL")]
        leads_to: String,
        /// A kind of event; may be given again. Without one: all that are not frequent.
        #[arg(long = "event", value_name = "KIND", default_value = "*")]
        events: Vec<String>,
        /// Only of channels that a selector means.
        #[arg(short, long)]
        selector: Option<String>,
        /// What people call it.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Change a webhook by JSON merge patch.
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        data: Data,
    },
    /// Give a webhook another secret; both sign for a day.
    Rotate(One),
    /// Send a test.
    Test(One),
    /// What it was told, newest first.
    Deliveries {
        #[command(flatten)]
        one: One,
        /// Only those in this state: pending, delivered, dead.
        #[arg(long)]
        state: Option<String>,
    },
    /// Send again what happened in a span of time.
    Replay {
        #[command(flatten)]
        one: One,
        /// From when, as in 2030-01-31T20:15:00Z.
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Until when; else until now.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// Only those in this state: pending, delivered, dead.
        #[arg(long)]
        state: Option<String>,
    },
    /// Delete a webhook.
    Delete(One),
}

impl Kind {
    async fn list(
        &self,
        session: &mut Session,
        query: &[(&str, Option<String>)],
    ) -> Result<(), Failure> {
        let given = query
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let query: Vec<String> = given
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let path = format!("{}{mark}{}", self.path, query.join("&"));
        session.list(&path, self.columns).await
    }

    /// Where a thing is. What has a name and no id is there under its name.
    async fn at(&self, session: &mut Session, one: &One) -> Result<String, Failure> {
        let id = match self.path {
            "/plans" => escaped(&one.id),
            path => session.id_of(path, self.what, &one.id).await?,
        };
        Ok(format!("{}/{id}", self.path))
    }

    async fn get(&self, session: &mut Session, one: &One) -> Result<(), Failure> {
        let at = self.at(session, one).await?;
        let shown = session.get(&at).await?;
        session.output.one(&shown, self.columns);
        Ok(())
    }

    async fn change(
        &self,
        session: &mut Session,
        method: Method,
        one: &One,
        data: &Data,
    ) -> Result<(), Failure> {
        let body = body::read(&data.data)?;
        let at = self.at(session, one).await?;
        let changed = session.ask(method, &at, Some(&body)).await?;
        session.output.one(&changed, self.columns);
        Ok(())
    }

    async fn delete(&self, session: &mut Session, one: &One) -> Result<(), Failure> {
        let at = self.at(session, one).await?;
        session.ask(Method::DELETE, &at, None).await.map(drop)
    }

    /// What is done to a thing besides, without more to say.
    async fn act(&self, session: &mut Session, one: &One, act: &str) -> Result<Value, Failure> {
        let at = self.at(session, one).await?;
        session.post(&format!("{at}/{act}"), None).await
    }
}

impl Media {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::List { search } => MEDIA.list(session, &[("q", search)]).await,
            Self::Get(one) => MEDIA.get(session, &one).await,
            Self::Delete(one) => MEDIA.delete(session, &one).await,
            Self::Import { paths } => import(session, paths).await,
        }
    }
}

/// Each by itself: what is refused of one keeps no other.
async fn import(session: &mut Session, paths: Vec<String>) -> Result<(), Failure> {
    let (mut accepted, mut failed) = (Vec::new(), false);
    for path in paths {
        let body = match path.contains("://") {
            true => json!({ "url": path }),
            false => {
                let path = absolute(&PathBuf::from(path)).map_err(Failure::Failed)?;
                json!({ "path": path })
            }
        };
        match session.post("/media", Some(&body)).await {
            Err(Failure::Told) => failed = true,
            Err(other) => return Err(other),
            Ok(report) => {
                let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
                for refused in list("refused") {
                    let text = |name: &str| refused[name].as_str().unwrap_or_default();
                    complain(&format!(
                        "not imported: {}: {}",
                        text("path"),
                        text("reason")
                    ));
                    failed = true;
                }
                match report.get("accepted") {
                    Some(_) => accepted.extend(list("accepted")),
                    // A URL that is on its way.
                    None => accepted.push(report),
                }
            }
        }
    }
    session.output.list(&accepted, MEDIA.columns);
    match failed {
        true => Err(Failure::Told),
        false => Ok(()),
    }
}

impl Tokens {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let made = match self {
            Self::List => return TOKENS.list(session, &[]).await,
            Self::Get(one) => return TOKENS.get(session, &one).await,
            Self::Delete(one) => return TOKENS.delete(session, &one).await,
            Self::Rotate(one) => TOKENS.act(session, &one, "rotate").await?,
            Self::Create {
                name,
                scopes,
                client,
                expires,
            } => {
                let mut chosen = json!({ "name": name });
                if !scopes.is_empty() {
                    chosen["scopes"] = json!(scopes);
                }
                if let Some(expires) = expires {
                    chosen["expiresAt"] = expires.into();
                }
                if let Some(client) = client {
                    chosen["clientId"] = session.id_of("/clients", "client", &client).await?.into();
                }
                session.post("/tokens", Some(&chosen)).await?
            }
        };
        session.output.secret(&made, TOKENS.columns, "token");
        Ok(())
    }
}

impl Clients {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::List => CLIENTS.list(session, &[]).await,
            Self::Get(one) => CLIENTS.get(session, &one).await,
            Self::Delete(one) => CLIENTS.delete(session, &one).await,
            Self::Update { one, data } => CLIENTS.change(session, Method::PATCH, &one, &data).await,
            Self::Create { name, plan } => {
                let chosen = json!({ "name": name, "plan": plan });
                let made = session.post("/clients", Some(&chosen)).await?;
                session.output.one(&made, CLIENTS.columns);
                Ok(())
            }
            Self::Limits(one) => {
                let at = CLIENTS.at(session, &one).await?;
                let limits = session.get(&format!("{at}/limits")).await?;
                session.output.whole(&limits);
                Ok(())
            }
        }
    }
}

impl Plans {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            // They are few, and answered whole.
            Self::List => {
                let plans = session.get(PLANS.path).await?;
                let items = plans["items"].as_array().cloned().unwrap_or_default();
                session.output.list(&items, PLANS.columns);
                Ok(())
            }
            Self::Get(one) => PLANS.get(session, &one).await,
            Self::Delete(one) => PLANS.delete(session, &one).await,
            Self::Put { one, data } => PLANS.change(session, Method::PUT, &one, &data).await,
        }
    }
}

impl Alerts {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::List { state } => ALERTS.list(session, &[("state", state)]).await,
            Self::Get(one) => ALERTS.get(session, &one).await,
            Self::Ack(one) => {
                let known = ALERTS.act(session, &one, "acknowledge").await?;
                session.output.one(&known, ALERTS.columns);
                Ok(())
            }
        }
    }
}

impl Webhooks {
    pub(super) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let made = match self {
            Self::List => return WEBHOOKS.list(session, &[]).await,
            Self::Get(one) => return WEBHOOKS.get(session, &one).await,
            Self::Delete(one) => return WEBHOOKS.delete(session, &one).await,
            Self::Update { one, data } => {
                return WEBHOOKS.change(session, Method::PATCH, &one, &data).await;
            }
            Self::Test(one) => {
                let tested = WEBHOOKS.act(session, &one, "test").await?;
                session.output.whole(&tested);
                return match tested["delivered"] == true {
                    true => Ok(()),
                    false => Err(Failure::Told),
                };
            }
            Self::Deliveries { one, state } => {
                let at = WEBHOOKS.at(session, &one).await?;
                let query = state.map(|state| format!("?state={}", escaped(&state)));
                let path = format!("{at}/deliveries{}", query.unwrap_or_default());
                return session.list(&path, &DELIVERIES).await;
            }
            Self::Replay {
                one,
                from,
                to,
                state,
            } => {
                let at = WEBHOOKS.at(session, &one).await?;
                let mut span = json!({ "from": from });
                for (name, value) in [("to", to), ("state", state)] {
                    if let Some(value) = value {
                        span[name] = value.into();
                    }
                }
                let replayed = session.post(&format!("{at}/replay"), Some(&span)).await?;
                session.output.whole(&replayed);
                return Ok(());
            }
            Self::Rotate(one) => WEBHOOKS.act(session, &one, "rotate").await?,
            Self::Create {
                leads_to,
                events,
                selector,
                description,
            } => {
                let mut chosen =
                    json!({ "url": leads_to, "events": events, "description": description });
                if let Some(selector) = selector {
                    chosen["selector"] = selector.into();
                }
                session.post("/webhooks", Some(&chosen)).await?
            }
        };
        session.output.secret(&made, WEBHOOKS.columns, "secret");
        Ok(())
    }
}
