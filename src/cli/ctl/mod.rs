//! `playoutd ctl`: the API of a running daemon, for people at a terminal and for scripts.
//!
//! Things are named by name or id; a name that several have is refused with their ids. What is answered goes to stdout,
//! as a table or as JSON; refusals go to stderr with every violation, and the exit code is 1.

mod api;
mod body;
mod channels;
mod collection;
mod events;
mod output;
mod session;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) use self::output::Output;
use self::session::Session;
use super::{Configuration, Failure};

/// Ask and order a running daemon.
#[derive(Debug, Args)]
pub(super) struct Ctl {
    #[command(flatten)]
    to: Target,
    /// How answers are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// Which daemon, with which token.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The configuration of a daemon on this machine.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its data folder, in place of the configured one.
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The daemon's address; else PLAYOUTD_URL, else the configured one.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// The file with the token; else the token in PLAYOUTD_TOKEN, else the admin token in the data folder.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the certificate, in PEM, of an authority to trust besides those that this machine trusts.
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Channels.
    #[command(subcommand, visible_alias = "channel")]
    Channels(channels::Command),
    /// The media library.
    #[command(subcommand)]
    Media(collection::Media),
    /// Access tokens.
    #[command(subcommand, visible_alias = "token")]
    Tokens(collection::Tokens),
    /// Clients: the owners of channels and media.
    #[command(subcommand, visible_alias = "client")]
    Clients(collection::Clients),
    /// Plans.
    #[command(subcommand, visible_alias = "plan")]
    Plans(collection::Plans),
    /// What is wrong.
    #[command(subcommand, visible_alias = "alert")]
    Alerts(collection::Alerts),
    /// Who is told of events.
    #[command(subcommand, visible_alias = "webhook")]
    Webhooks(collection::Webhooks),
    /// What happens.
    Events(events::Events),
    /// Any request, for what has no command of its own.
    Api(api::Api),
}

impl Target {
    fn session(&self, output: Output) -> Result<Session, Failure> {
        let configuration = Configuration {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
        };
        let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let daemon = super::RunningDaemon {
            configuration,
            url: self.url.clone().or_else(|| given("PLAYOUTD_URL")),
            token_file: self.token_file.clone(),
            ca: self.ca.clone(),
        };
        // A token on the command line would be seen by everybody who lists processes.
        let token = match self.token_file {
            Some(_) => None,
            None => given("PLAYOUTD_TOKEN"),
        };
        Ok(Session::new(daemon.client_with(token)?, output))
    }
}

/// Does what was asked.
pub(super) async fn run(ctl: Ctl) -> Result<(), Failure> {
    let mut session = ctl.to.session(ctl.output)?;
    match ctl.command {
        Command::Channels(command) => command.run(&mut session).await,
        Command::Media(command) => command.run(&mut session).await,
        Command::Tokens(command) => command.run(&mut session).await,
        Command::Clients(command) => command.run(&mut session).await,
        Command::Plans(command) => command.run(&mut session).await,
        Command::Alerts(command) => command.run(&mut session).await,
        Command::Webhooks(command) => command.run(&mut session).await,
        Command::Events(events) => events.run(&mut session).await,
        Command::Api(api) => api.run(&mut session).await,
    }
}
