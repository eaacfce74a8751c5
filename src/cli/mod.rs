//! The command line: one subcommand per job, and exit codes that scripts can rely on.
//!
//! 0: done. 1: it could not be done, one sentence on stderr says why; of `verify`: something is wrong. 2: the command line or the
//! configuration is not what it should be.

mod client;
mod completions;
mod ctl;
mod import;
mod release;
mod rotate;
mod token;
mod verify;
mod way;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use playout_store::OldKey;

use crate::config::Config;
use crate::daemon::{self, ADMIN_TOKEN};
use crate::telemetry;

use self::client::Client;

/// Puts 24x7 channels on air from a media library, and keeps them there.
#[derive(Debug, Parser)]
#[command(name = "playoutd", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(Serve),
    /// Say whether a configuration is right, and what is wrong with it.
    CheckConfig(Configuration),
    /// Import files and folders into the library of the running daemon.
    Import(Import),
    /// Ask and order a running daemon: channels, media, tokens, clients, plans, alerts, webhooks, events.
    Ctl(ctl::Ctl),
    /// Write what a shell completes behind `playoutd`.
    Completions {
        /// For which shell.
        #[arg(value_enum)]
        shell: completions::Which,
    },
    /// Access tokens of the running daemon.
    #[command(subcommand)]
    Token(Token),
    /// Look for damage and tampering in what is kept: channels, sealed secrets, audit, master key. Nothing is
    /// written, and a daemon may run meanwhile.
    Verify(Verify),
    /// Make a new master key and seal everything anew with it. A daemon may run meanwhile; cut short, it goes
    /// on when it is run again.
    RotateKey(RotateKey),
    /// Say that another daemon on the database does not run: the others take its channels. Needed for one that was
    /// alone when it was last seen.
    Release(Release),
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    configuration: Configuration,
    /// Answer one JSON document in place of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RotateKey {
    #[command(flatten)]
    configuration: Configuration,
    /// The old key is lost for good: give up the stream keys that it has sealed. They have to be entered again.
    #[arg(long)]
    lost_key: bool,
}

#[derive(Debug, Args)]
struct Release {
    #[command(flatten)]
    configuration: Configuration,
    /// Its name or its id.
    #[arg(value_name = "NODE")]
    node: String,
}

#[derive(Debug, Args)]
struct Configuration {
    /// The configuration; without one, every setting has its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for everything the daemon owns, in place of the configured one.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    configuration: Configuration,
    /// The address and port to listen on, in place of the configured one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind: Option<SocketAddr>,
    /// Import this folder, put a channel that plays it on air, and print where to watch.
    #[arg(long, value_name = "FOLDER")]
    on_air: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Import {
    #[command(flatten)]
    daemon: RunningDaemon,
    /// Files and folders; folders are read with everything below them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Create a token with the rights of the admin token, and print it. It is shown only once.
    Create {
        #[command(flatten)]
        daemon: RunningDaemon,
        /// What the token is for.
        #[arg(long, default_value = "command line")]
        name: String,
    },
}

/// Where the running daemon is.
#[derive(Debug, Args)]
struct RunningDaemon {
    #[command(flatten)]
    configuration: Configuration,
    /// The daemon's address, in place of the configured one: http://HOST:PORT, https://HOST:PORT or unix:/PATH.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the certificate, in PEM, of an authority to trust besides those that this machine trusts.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The file with the token to ask with, in place of the admin token in the data folder.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Why a command was not done.
#[derive(Debug)]
enum Failure {
    /// The configuration or the command line: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
    /// As `Failed`, and everything about it has been said.
    Told,
}

impl Configuration {
    fn load(&self) -> Result<Config, Failure> {
        let config = self
            .config
            .as_deref()
            .map_or_else(|| Ok(Config::default()), Config::read);
        let mut config = config.map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }
}

impl RunningDaemon {
    fn client(&self) -> Result<Client, Failure> {
        self.client_with(None)
    }

    /// A client with this token, where there is one, in place of the one in a file.
    fn client_with(&self, token: Option<String>) -> Result<Client, Failure> {
        let config = self.configuration.load()?;
        let (url, at) = match &self.url {
            Some(url) => (url.clone(), None),
            None => way::to_daemon(&config.http),
        };
        let client = match token {
            Some(token) => Client::with_token(&url, &token),
            None => {
                let admin = || config.data_dir.join(ADMIN_TOKEN);
                Client::new(&url, &self.token_file.clone().unwrap_or_else(admin))
            }
        };
        let client = client.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(client.through(at, self.ca.as_deref()))
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => self::serve(serve),
        Command::CheckConfig(configuration) => check_config(&configuration),
        Command::Import(import) => import
            .daemon
            .client()
            .and_then(|client| block_on(import::run(client, &import.paths))),
        Command::Ctl(ctl) => block_on(ctl::run(ctl)),
        Command::Completions { shell } => {
            completions::write(shell);
            Ok(())
        }
        Command::Token(Token::Create { daemon, name }) => daemon
            .client()
            .and_then(|client| block_on(token::create(client, &name))),
        Command::Verify(verify) => verify
            .configuration
            .load()
            .and_then(|config| block_on(verify::run(&config, verify.json))),
        Command::Release(release) => release
            .configuration
            .load()
            .and_then(|config| block_on(release::run(&config, &release.node))),
        Command::RotateKey(rotate) => rotate.configuration.load().and_then(|config| {
            let old = match rotate.lost_key {
                true => OldKey::Lost,
                false => OldKey::AtHand,
            };
            block_on(rotate::run(&config, old))
        }),
    };
    let (code, sentence) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Told) => return ExitCode::from(1),
        Err(Failure::Failed(sentence)) => (1, sentence),
        Err(Failure::Usage(sentence)) => (2, sentence),
    };
    let _ = writeln!(std::io::stderr(), "playoutd: {sentence}");
    ExitCode::from(code)
}

fn serve(serve: Serve) -> Result<(), Failure> {
    let mut config = serve.configuration.load()?;
    if let Some(bind) = serve.bind {
        config.http.bind = bind;
    }
    telemetry::start(&config.log).map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(daemon::run(config, serve.on_air));
    // What still runs then is not worth waiting for: everything that matters has been ended.
    runtime.shutdown_background();
    ended.map_err(Failure::Failed)
}

fn check_config(configuration: &Configuration) -> Result<(), Failure> {
    let config = configuration.load()?;
    if let Some(files) = daemon::certificate_files(&config) {
        let unfit =
            |sentence| Failure::Usage(format!("http.tls_certificate, http.tls_key: {sentence}"));
        files.check().map_err(unfit)?;
    }
    match &configuration.config {
        Some(file) => say(&format!("{} is right.", file.display())),
        None => say("The built-in defaults are right; name a file with --config."),
    }
    Ok(())
}

/// Runs a command beside the daemon.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?
        .block_on(work)
}

/// A line for the one who typed the command; nobody may be reading any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// An answer as it came. Nobody may be reading any more; what cannot be written for another reason is missing where it was
/// to go.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let sentence = format!("the answer cannot be written: {error}");
            Err(Failure::Failed(sentence))
        }
        _ => Ok(()),
    }
}

/// A line about what was not done.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A path as the daemon can be told it: absolute, and text.
fn absolute(path: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(path)
        .map_err(|error| format!("{}: cannot be found: {error}", path.display()))?;
    absolute.into_os_string().into_string().map_err(|_| {
        format!(
            "{}: the name is not UTF-8; import the folder that holds it",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.toml");
        std::fs::write(
            &file,
            "data_dir = \"there\"\n[http]\nbind = \"127.0.0.1:9\"\n",
        )
        .unwrap();
        let given = |data_dir: Option<&str>| Configuration {
            config: Some(file.clone()),
            data_dir: data_dir.map(PathBuf::from),
        };
        let config = given(None).load().unwrap();
        assert_eq!(
            (config.data_dir.to_str(), config.http.bind.port()),
            (Some("there"), 9)
        );
        let config = given(Some("here")).load().unwrap();
        assert_eq!(
            (config.data_dir.to_str(), config.http.bind.port()),
            (Some("here"), 9)
        );
        std::fs::write(&file, "nonsense = 1").unwrap();
        assert!(matches!(given(None).load(), Err(Failure::Usage(text)) if text.contains("line 1")));
    }

    #[test]
    fn a_path_is_made_absolute_and_has_to_be_text() {
        assert_eq!(absolute(Path::new("/a/b c")), Ok("/a/b c".to_owned()));
        assert!(absolute(Path::new("films")).unwrap().ends_with("/films"));
        let name = std::ffi::OsStr::from_bytes(b"/films/\xff.mp4");
        assert!(absolute(Path::new(name)).unwrap_err().contains("UTF-8"));
    }
}
