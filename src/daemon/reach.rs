//! The database for a command beside the daemon: the configured one, or the private one of the data
//! folder, through its socket while the daemon runs and started for the command while it does not.

use std::path::{Path, PathBuf};

use playout_store::KeySource;
use playout_store::embedded::{Attached, Embedded, EmbeddedConfig, Which, attach};

use super::lock::{self, Lock};
use super::settings;
use crate::config::Config;

/// A database within reach.
#[derive(Debug)]
pub(crate) struct Reached {
    /// Where it is.
    pub(crate) url: String,
    /// Where the master key is that it is sealed with.
    pub(crate) master_key: KeySource,
    /// The data folder, absolute.
    pub(crate) data_dir: PathBuf,
    server: Server,
}

#[derive(Debug)]
enum Server {
    /// Somebody else's.
    Configured,
    /// The running daemon's.
    Daemon { _attached: Attached },
    /// Ours, for as long as the command takes; no daemon starts meanwhile.
    Ours { postgres: Embedded, _lock: Lock },
}

impl Reached {
    /// Reaches the database that `config` names.
    ///
    /// # Errors
    /// One sentence: there is none, or what is in the way.
    pub(crate) async fn open(config: &Config) -> Result<Self, String> {
        let shown = config.data_dir.display();
        let data_dir = config
            .data_dir
            .canonicalize()
            .map_err(|error| format!("cannot open data_dir {shown}: {error}"))?;
        let (url, server) = match &config.database.url {
            Some(url) => (url.reveal().to_owned(), Server::Configured),
            None => private(&data_dir).await?,
        };
        Ok(Self {
            url,
            master_key: settings::master_key(&data_dir),
            data_dir,
            server,
        })
    }

    /// Ends what was started.
    pub(crate) async fn close(self) {
        if let Server::Ours { postgres, .. } = self.server {
            postgres.stop().await;
        }
    }
}

async fn private(data_dir: &Path) -> Result<(String, Server), String> {
    if !data_dir.join("postgres/PG_VERSION").exists() {
        return Err(format!(
            "there is no database in {}: no daemon has run there",
            data_dir.display()
        ));
    }
    let Some(lock) = lock::free(data_dir)? else {
        let attached = attach(data_dir).map_err(|error| error.to_string())?;
        let url = attached.database_url().to_owned();
        return Ok((
            url,
            Server::Daemon {
                _attached: attached,
            },
        ));
    };
    let wanted = EmbeddedConfig {
        which: Which::OnlyPostgres,
        ..EmbeddedConfig::new(data_dir)
    };
    let postgres = Embedded::start(&wanted)
        .await
        .map_err(|error| error.to_string())?;
    let url = postgres.database_url().map(str::to_owned);
    let url = url.ok_or("there is no database to connect to")?;
    Ok((
        url,
        Server::Ours {
            postgres,
            _lock: lock,
        },
    ))
}
