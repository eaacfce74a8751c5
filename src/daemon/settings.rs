//! From the configuration to what each part of the daemon wants to know.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use playout_actors::process::Tools;
use playout_actors::rtmp::{RtmpSettings, SessionLimits};
use playout_actors::{AppConfig, PlayoutSettings, SourceKind};
use playout_domain::config::{ChannelConfig, Policy};
use playout_domain::media::Profile;
use playout_store::StoreConfig;
use playout_store::embedded::{Embedded, EmbeddedConfig, Which};

use crate::config::{self, Config};
use crate::facade;
use crate::facade::accept::ConnectionLimits;
use crate::facade::request::BodyLimits;

/// The servers to run here: those that no URL is configured for.
pub(super) fn embedded(config: &Config, data_dir: &Path) -> Option<EmbeddedConfig> {
    let which = match (&config.database.url, &config.redis.url) {
        (None, None) => Which::Both,
        (None, Some(_)) => Which::OnlyPostgres,
        (Some(_), None) => Which::OnlyRedis,
        (Some(_), Some(_)) => return None,
    };
    Some(EmbeddedConfig {
        which,
        ..EmbeddedConfig::new(data_dir)
    })
}

/// Where the database and Redis are: as configured, else the servers that run here.
///
/// # Errors
/// One sentence, when there is neither.
pub(super) fn store(
    config: &Config,
    data_dir: &Path,
    servers: Option<&Embedded>,
) -> Result<StoreConfig, String> {
    let url = |given: &Option<config::Secret>, here: Option<&str>, what: &str| {
        let url = given.as_ref().map(config::Secret::reveal).or(here);
        url.map(str::to_owned)
            .ok_or_else(|| format!("there is no {what} to connect to"))
    };
    let database = servers.and_then(Embedded::database_url);
    let redis = servers.and_then(Embedded::redis_url);
    Ok(StoreConfig {
        database_url: url(&config.database.url, database, "database")?,
        redis_url: url(&config.redis.url, redis, "Redis")?,
        pool_size: u32::try_from(config.database.pool_size.get()).unwrap_or(u32::MAX),
        statement_timeout: config.database.statement_timeout.duration(),
        key_prefix: config.redis.prefix.clone(),
        master_key: data_dir.join("master.key"),
    })
}

/// What the living tier wants to know.
pub(super) fn app(config: &Config, data_dir: &Path) -> AppConfig {
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    AppConfig {
        data_dir: data_dir.to_owned(),
        tools: Tools::default(),
        playout: PlayoutSettings {
            source: match config.playout.source {
                config::SourceKind::Ffmpeg => SourceKind::Ffmpeg,
                config::SourceKind::Direct => SourceKind::Direct,
            },
            buffer: seconds(config.playout.buffer.duration()),
            clock_origin: seconds(config.playout.clock_origin.duration()),
            target_duration: seconds(config.hls.target_duration.duration()),
            window: config.hls.window.get(),
        },
        policy: Policy {
            allow_private_destinations: config.rtmp.allow_private,
        },
        rtmp: rtmp(&config.rtmp),
        media_roots: config
            .media
            .roots
            .iter()
            .map(|root| resolved(root))
            .collect(),
        prepare_jobs: match config.media.prepare_jobs.get() {
            0 => (processors() / 2).max(1),
            jobs => jobs,
        },
        default_profile: config
            .media
            .prepare_on_import
            .then(|| Profile::of(&ChannelConfig::named("default"))),
    }
}

fn rtmp(config: &config::RtmpSettings) -> RtmpSettings {
    let limits = &config.session_limits;
    RtmpSettings {
        allow_private: config.allow_private,
        authorities: config.authorities.clone(),
        stalled_after: config.stalled_after.duration(),
        sessions: SessionLimits {
            youtube: limits.youtube.duration(),
            facebook: limits.facebook.duration(),
            twitch: limits.twitch.duration(),
            custom: limits.custom.duration(),
        },
    }
}

/// What the facade wants to know.
pub(super) fn facade(config: &Config, data_dir: &Path, bound: SocketAddr) -> facade::Settings {
    facade::Settings {
        body: BodyLimits {
            bytes: config.http.max_body.get(),
            time: config.http.body_timeout.duration(),
        },
        public_url: config.public_url(bound),
        data_dir: data_dir.to_owned(),
        heartbeat: config.sse.heartbeat.duration(),
        max_streams: config.sse.max_streams.get(),
        patience: config.http.write_timeout.duration(),
    }
}

/// What the accept loop wants to know.
pub(super) fn connections(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.http.max_connections.get(),
        head: config.http.head_timeout.duration(),
        unacknowledged: config.http.write_timeout.duration(),
        grace: config.http.shutdown_grace.duration(),
    }
}

/// Whether the programs that the daemon runs are installed.
///
/// # Errors
/// One sentence that says what to install.
pub(super) fn check_tools() -> Result<(), String> {
    let tools = Tools::default();
    for program in [&tools.ffmpeg, &tools.ffprobe] {
        if !installed(program) {
            return Err(format!(
                "{} is not installed: install Debian's package ffmpeg (apt-get install ffmpeg)",
                program.display()
            ));
        }
    }
    Ok(())
}

fn installed(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A root with its symbolic links followed. One that is not there (a disk not mounted yet) keeps
/// nobody off the air: nothing can be imported from it, and that is all.
fn resolved(root: &Path) -> PathBuf {
    root.canonicalize().unwrap_or_else(|error| {
        tracing::warn!(root = %root.display(), %error, "this root of media.roots is not there");
        root.to_owned()
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("my.toml")).unwrap()
    }

    #[test]
    fn a_server_without_a_url_runs_here() {
        let database = "[database]\nurl = \"postgres://db/x\"\n";
        let redis = "[redis]\nurl = \"redis://r\"\n";
        for (text, which) in [
            (String::new(), Some(Which::Both)),
            (database.to_owned(), Some(Which::OnlyRedis)),
            (redis.to_owned(), Some(Which::OnlyPostgres)),
            (format!("{database}{redis}"), None),
        ] {
            let embedded = embedded(&parse(&text), Path::new("/data"));
            assert_eq!(embedded.map(|config| config.which), which, "{text}");
        }
    }

    #[test]
    fn no_number_of_jobs_means_half_the_processors_and_never_none() {
        let jobs = |text| app(&parse(text), Path::new("/data")).prepare_jobs;
        assert_eq!(jobs(""), (processors() / 2).max(1));
        assert_eq!(jobs("[media]\nprepare_jobs = 7"), 7);
    }
}
