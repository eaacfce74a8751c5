//! The daemon from its start to its end: what is started in which order, and stopped in the
//! opposite one.
//!
//! ```text
//! lock of data_dir → listener (answers 503) → embedded servers → store → living tier → ready
//! ```
//!
//! The first SIGTERM or SIGINT drains: no new connections, event streams end, channels leave the
//! air, servers stop; all of it in bounded time. The second ends the process at once. No child
//! outlives it either way.

mod activation;
mod certificate;
mod lock;
mod mark;
mod node;
mod on_air;
mod reach;
mod settings;
mod signals;
mod sockets;

use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_actors::process::Cgroups;
use playout_actors::{AlertsConfig, App, AppConfig};
use playout_store::embedded::Embedded;
use playout_store::{Server, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::mark::RunMark;
pub(crate) use self::reach::Reached;
pub(crate) use self::settings::certificate as certificate_files;
use self::signals::Signals;
use self::sockets::{SocketFile, Sockets};
use crate::config::Config;
use crate::facade::accept::{self, Terms};
use crate::facade::shutdown::Shutdown;
use crate::facade::tls::Tls;
use crate::facade::{Facade, Serves};

/// How long the channels may take to leave the air.
const LEAVE_AIR: Duration = Duration::from_secs(20);
/// How long the embedded servers may take to end; they need 25 s at most themselves.
const END_SERVERS: Duration = Duration::from_secs(30);

/// The file in `data_dir` with the admin token.
pub const ADMIN_TOKEN: &str = "admin.token";

/// Runs the daemon until it is told to end; `on_air` is a folder to put on air.
///
/// # Errors
/// One sentence saying what kept it from starting.
pub async fn run(config: Config, on_air: Option<PathBuf>) -> Result<(), String> {
    let inherited = sockets::inherited()?;
    let mut signals = Signals::listen()?;
    let data_dir = data_dir(&config.data_dir)?;
    let _lock = lock::take(&data_dir).await?;
    let mark = RunMark::look(&data_dir);
    // Before there is any child that it would have to take along.
    let cgroups = settings::cgroups();
    settings::check_tools()?;
    let alerts = settings::alerts(&config, &mark)?;
    let files = settings::certificate(&config);
    let tls = files.map(Tls::new).transpose()?;
    let sockets = Sockets::open(&config.http, inherited).await?;
    let (shutdown, shutting_down) = Shutdown::new();
    let facade = Facade::new(
        settings::facade(&config, &data_dir, &sockets),
        shutting_down.clone(),
    );
    let routes = |serves: Serves| Arc::clone(&facade).routes(serves);
    let (listeners, unix) = sockets.listeners(routes, tls.as_ref());
    let terms = Terms {
        limits: settings::connections(&config),
        proxies: settings::proxies(&config),
    };
    let http = tokio::spawn(accept::serve(listeners, terms, shutting_down));

    let servers = tokio::select! {
        servers = servers(&config, &data_dir) => servers?,
        // What has begun to start ends with the process.
        () = signals.next() => return Ok(()),
    };
    let daemon = Daemon {
        config,
        data_dir,
        cgroups,
        alerts,
        mark,
        on_air,
        facade,
        shutdown,
        http,
        _unix: unix,
        tls,
        signals,
    };
    let ended = daemon.run(servers.as_ref()).await;
    if let Some(servers) = servers {
        bounded("the embedded servers", END_SERVERS, servers.stop()).await;
    }
    ended
}

/// What is there before the database is.
struct Daemon {
    config: Config,
    data_dir: PathBuf,
    cgroups: Option<Cgroups>,
    alerts: AlertsConfig,
    mark: RunMark,
    on_air: Option<PathBuf>,
    facade: Arc<Facade>,
    shutdown: Shutdown,
    http: JoinHandle<()>,
    /// Removed at the end.
    _unix: Option<SocketFile>,
    tls: Option<Tls>,
    signals: Signals,
}

impl Daemon {
    /// From the database to the end of the living tier.
    async fn run(mut self, servers: Option<&Embedded>) -> Result<(), String> {
        let parts = (self.alerts.clone(), self.cgroups.clone());
        let started = tokio::select! {
            started = start(&self.config, &self.data_dir, parts, servers) => Some(started),
            () = self.signals.next() => None,
        };
        let app = match started {
            Some(Ok(app)) => {
                self.mark.begin(Timestamp::now());
                Some(app)
            }
            Some(Err(sentence)) => {
                self.end(None).await;
                return Err(sentence);
            }
            None => None,
        };
        let ended = match &app {
            Some(app) => self.stay(app).await,
            None => Ok(()),
        };
        tracing::info!("ending");
        self.signals.exit_at_the_next();
        self.end(app).await;
        tracing::info!("ended");
        ended
    }

    /// Ready: until a signal, or until something fails without which there is nothing to run for.
    async fn stay(&mut self, app: &App) -> Result<(), String> {
        self.facade.open(app.clone());
        if let Some(tls) = self.tls.take() {
            certificate::follow(tls, app.alerts.clone());
        } else {
            certificate::none(&app.alerts);
        }
        let url = self.facade.public_url().to_owned();
        let viewers = self.facade.viewer_url().to_owned();
        tracing::info!(url, data_dir = %self.data_dir.display(), "ready");
        let folder = self.on_air.take();
        let token = self.data_dir.join(ADMIN_TOKEN);
        let put_on_air = async {
            if let Some(folder) = folder {
                // Without the database nothing can be imported; what was on air is.
                app.store.until_recordable().await;
                on_air::put(app, &folder, [&url, &viewers], &token).await?;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = self.signals.next() => Ok(()),
            () = app.failed() => Err("the daemon's own loops failed again and again; its log tells why".to_owned()),
            failed = put_on_air => failed,
            _ = &mut self.http => Err("the HTTP listener failed; its log tells why".to_owned()),
        }
    }

    /// Everything down, in bounded time.
    async fn end(self, app: Option<App>) {
        self.shutdown.begin();
        let grace = self.config.http.shutdown_grace.duration() + Duration::from_secs(2);
        if !self.http.is_finished() {
            bounded("the HTTP listener", grace, self.http).await;
        }
        if let Some(app) = app {
            bounded("the channels", LEAVE_AIR, app.shutdown()).await;
            self.mark.end();
        }
    }
}

/// The servers that no URL is configured for, running.
async fn servers(config: &Config, data_dir: &Path) -> Result<Option<Embedded>, String> {
    let Some(wanted) = settings::embedded(config, data_dir) else {
        return Ok(None);
    };
    let started = Embedded::start(&wanted).await;
    started.map(Some).map_err(|error| error.to_string())
}

/// The store, the admin token, the living tier.
async fn start(
    config: &Config,
    data_dir: &Path,
    (alerts, cgroups): (AlertsConfig, Option<Cgroups>),
    servers: Option<&Embedded>,
) -> Result<App, String> {
    let settings = settings::store(config, data_dir, servers)?;
    let store = Store::connect(&settings)
        .await
        .map_err(|error| error.to_string())?;
    for server in [Server::Postgres, Server::Redis] {
        if let Some(no_room) = servers.and_then(|servers| servers.no_room(server)) {
            tokio::spawn(tell_no_room(store.clone(), server, no_room));
        }
    }
    let token = data_dir.join(ADMIN_TOKEN);
    let kept = match store.is_taken_up() {
        true => store.admin_token(&token).await.map(|()| true),
        false => Ok(false),
    };
    match kept {
        Ok(true) => {}
        // It may have gone away just now.
        Ok(false) | Err(StoreError::Unavailable(_)) => {
            tokio::spawn(admin_token_later(store.clone(), token));
        }
        Err(error) => return Err(error.to_string()),
    }
    let settings = AppConfig {
        cgroups,
        ..settings::app(config, data_dir, alerts)?
    };
    App::start(settings, store)
        .await
        .map_err(|error| error.to_string())
}

/// The store knows when a full disk keeps a server from running.
async fn tell_no_room(store: Store, server: Server, mut no_room: watch::Receiver<Option<String>>) {
    loop {
        let sentence = no_room.borrow_and_update().clone();
        store.no_room(server, sentence);
        if no_room.changed().await.is_err() {
            return;
        }
    }
}

/// The file holds a valid token once the database is there.
async fn admin_token_later(store: Store, file: PathBuf) {
    store.until_recordable().await;
    if let Err(error) = store.admin_token(&file).await {
        tracing::error!(%error, "the admin token file is not looked after");
    }
}

/// Waits for `work`, but not for ever.
async fn bounded<T>(what: &str, limit: Duration, work: impl Future<Output = T>) {
    if tokio::time::timeout(limit, work).await.is_err() {
        tracing::error!(
            what,
            seconds = limit.as_secs(),
            "did not end in time; going on without"
        );
    }
}

/// The folder of everything the daemon owns, made where it is missing; absolute.
fn data_dir(given: &Path) -> Result<PathBuf, String> {
    let cannot = |what: &str, error: std::io::Error| {
        format!("cannot {what} data_dir {}: {error}", given.display())
    };
    let folder = std::path::absolute(given).map_err(|error| cannot("find", error))?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(&folder)
        .map_err(|error| cannot("make", error))?;
    folder.canonicalize().map_err(|error| cannot("find", error))
}
