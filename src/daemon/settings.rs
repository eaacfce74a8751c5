//! From the configuration to what each part of the daemon wants to know.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playout_actors::library::{ClientRoots, Intake};
use playout_actors::process::{Cgroups, Tools};
use playout_actors::rtmp::{FarEndSettings, RtmpSettings, SessionLimits, TrustRoots};
use playout_actors::{AlertsConfig, AppConfig, PlayoutSettings, SourceKind, WebhooksConfig};
use playout_domain::admission::Cost;
use playout_domain::alert::route::RoutePolicy;
use playout_domain::config::{ChannelConfig, Policy};
use playout_domain::media::Profile;
use playout_domain::overlay::Font;
use playout_domain::pace::Pace;
use playout_partners::smtp::{Mailer, SmtpConfig, SmtpTls};
use playout_store::embedded::{Embedded, EmbeddedConfig, Which};
use playout_store::{KeySource, SessionTimes, StoreConfig};
use zeroize::Zeroizing;

use super::mark::RunMark;
use super::node;
use super::sockets::Sockets;
use crate::config::{self, AccessSettings, AdmissionSettings, Config};
use crate::facade::accept::ConnectionLimits;
use crate::facade::access::AccessPolicy;
use crate::facade::cors::Origins;
use crate::facade::proxies::TrustedProxies;
use crate::facade::request::BodyLimits;
use crate::facade::tls::CertificateFiles;
use crate::facade::{self, Serves, StreamLimits};

/// The name of the key in the data folder, and as a credential.
const MASTER_KEY: &str = "master.key";

/// The folder in `data_dir` with the copy of what is needed to air.
const STANDBY: &str = "standby";
/// How long channels wait for servers that do not come, where they can go on air without.
const SERVERS: Duration = Duration::from_secs(10);

/// The servers to run here: those that no URL is configured for.
pub(super) fn embedded(config: &Config, data_dir: &Path) -> Option<EmbeddedConfig> {
    let which = match (&config.database.url, &config.redis.url) {
        (None, None) => Which::Both,
        (None, Some(_)) => Which::OnlyPostgres,
        (Some(_), None) => Which::OnlyRedis,
        (Some(_), Some(_)) => return None,
    };
    // With a copy of what is needed to air, channels go on air without them.
    let copy = data_dir.join(STANDBY).join("revision").exists();
    Some(EmbeddedConfig {
        which,
        may_come_later: copy.then_some(SERVERS),
        ..EmbeddedConfig::new(data_dir)
    })
}

/// Where the database and Redis are: as configured, else the servers that run here.
///
/// # Errors
/// One sentence, when there is neither, or this daemon's identity cannot be read.
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
        patience: StoreConfig::PATIENCE,
        statement_timeout: config.database.statement_timeout.duration(),
        key_prefix: config.redis.prefix.clone(),
        master_key: master_key(data_dir),
        standby: Some(data_dir.join(STANDBY)),
        node: node::identity(config, data_dir)?,
        private: config.database.url.is_none(),
    })
}

/// Where the master key is: the systemd credential of that name where the service was given one, else the
/// file in the data folder.
pub(super) fn master_key(data_dir: &Path) -> KeySource {
    key_source(std::env::var_os("CREDENTIALS_DIRECTORY"), data_dir)
}

fn key_source(credentials: Option<OsString>, data_dir: &Path) -> KeySource {
    let credential = credentials.map(|folder| Path::new(&folder).join(MASTER_KEY));
    match credential {
        Some(path) if path.exists() => KeySource::Credential(path),
        _ => KeySource::File(data_dir.join(MASTER_KEY)),
    }
}

/// Where cgroup v2 is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The daemon's own control group, where it is delegated; told once either way.
pub(super) fn cgroups() -> Option<Cgroups> {
    match Cgroups::take_over(Path::new(CGROUPS)) {
        Ok(cgroups) => {
            tracing::info!(group = %cgroups.home().display(), "each channel has a control group of its own");
            Some(cgroups)
        }
        Err(reason) => {
            tracing::info!(%reason, "channels have no control groups; each process has its own limits");
            None
        }
    }
}

/// What the living tier wants to know.
///
/// # Errors
/// One sentence: the certificates of `rtmp.authorities` cannot be read.
pub(super) fn app(
    config: &Config,
    data_dir: &Path,
    alerts: AlertsConfig,
) -> Result<AppConfig, String> {
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let policy = policy(config);
    Ok(AppConfig {
        data_dir: data_dir.to_owned(),
        as_run_kept: config.as_run.keep.duration(),
        capacity: capacity(&config.admission),
        grace: config.plans.grace.duration(),
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
            font: config.playout.font.clone(),
        },
        policy,
        rtmp: rtmp(&config.rtmp, policy)?,
        media_roots: media_roots(&config.media),
        intake: Intake {
            expiry: config.media.upload_expiry.duration(),
            largest: config.media.max_file.get() as u64,
            fetch_time: config.media.fetch_time.duration(),
            allow_private: config.media.allow_private_urls,
            settle: config.media.watch_settle.duration(),
        },
        prepare_jobs: match config.media.prepare_jobs.get() {
            0 => (processors() / 2).max(1),
            jobs => jobs,
        },
        default_profile: config
            .media
            .prepare_on_import
            .then(|| Profile::of(&ordinary(&policy), Font::default())),
        collect_after: config.media.collect_after.duration(),
        allowances: config.limits.allowances(),
        cgroups: None,
        disk: config.disk.thresholds(),
        alerts,
        webhooks: WebhooksConfig {
            keep: config.webhooks.keep.duration(),
            allow_private: config.alerts.allow_private_webhooks,
            ..WebhooksConfig::default()
        },
    })
}

/// Where each client's media may lie.
fn media_roots(config: &config::MediaSettings) -> ClientRoots {
    let folders = |roots: &[PathBuf]| roots.iter().map(|root| resolved(root)).collect();
    let named = config.client_roots.iter();
    let named = named.map(|one| (one.client, folders(&one.roots)));
    ClientRoots::new(folders(&config.roots), named)
}

fn policy(config: &Config) -> Policy {
    Policy {
        allow_private_destinations: config.rtmp.allow_private,
        // What is out of bounds was refused with the file.
        loudness: config.loudness.loudness().unwrap_or_default(),
        languages: config.media.audio_languages,
    }
}

/// A channel that says nothing about what it wants to be.
fn ordinary(policy: &Policy) -> ChannelConfig {
    ChannelConfig {
        loudness: policy.loudness,
        audio_languages: policy.languages,
        ..ChannelConfig::named("default")
    }
}

fn rtmp(config: &config::RtmpSettings, policy: Policy) -> Result<RtmpSettings, String> {
    let limits = &config.session_limits;
    let unusable = |why: String| {
        let file = config.authorities.display();
        format!("rtmp.authorities: the certificates in {file} cannot be used: {why}")
    };
    let pem = std::fs::read(&config.authorities).map_err(|error| unusable(error.to_string()))?;
    Ok(RtmpSettings {
        reach: policy.into(),
        authorities: config.authorities.clone(),
        roots: TrustRoots::of(&pem).map_err(|error| unusable(error.to_string()))?,
        stalled_after: config.stalled_after.duration(),
        suspended_retry: config.suspended_retry.duration(),
        sessions: SessionLimits {
            youtube: limits.youtube.duration(),
            facebook: limits.facebook.duration(),
            twitch: limits.twitch.duration(),
            custom: limits.custom.duration(),
        },
        far_end: FarEndSettings::new(
            config.far_end.grace.duration(),
            config.far_end.interval.duration(),
            u32::try_from(config.far_end.looks.get()).unwrap_or(u32::MAX),
        ),
    })
}

/// What raises alerts, and how they are told.
///
/// # Errors
/// One sentence: the mail server cannot be used as configured.
pub(super) fn alerts(config: &Config, mark: &RunMark) -> Result<AlertsConfig, String> {
    let settings = &config.alerts;
    Ok(AlertsConfig {
        dead_air: settings.dead_air.duration(),
        nothing_playable: settings.nothing_playable.duration(),
        quiet: settings.quiet.duration(),
        policy: RoutePolicy {
            allow_private: settings.allow_private_webhooks,
        },
        mailer: mailer(&settings.smtp)?,
        unclean_stop: mark.unclean.clone(),
        ..AlertsConfig::default()
    })
}

/// Who sends mail; nobody where no mail server is configured.
fn mailer(smtp: &config::SmtpSettings) -> Result<Option<Mailer>, String> {
    let (Some(host), Some(from)) = (&smtp.host, &smtp.from) else {
        return Ok(None);
    };
    let credentials = match (&smtp.user, &smtp.password_file) {
        (Some(user), Some(file)) => Some((user.clone(), password(file)?)),
        _ => None,
    };
    let config = SmtpConfig {
        host: host.clone(),
        port: u16::try_from(smtp.port.get()).unwrap_or(u16::MAX),
        tls: match smtp.tls {
            config::SmtpTls::StartTls => SmtpTls::StartTls,
            config::SmtpTls::Implicit => SmtpTls::Implicit,
            config::SmtpTls::None => SmtpTls::None,
        },
        credentials,
        from: from.clone(),
        authority: None,
    };
    let mailer = Mailer::new(config).map_err(|error| format!("alerts.smtp: {error}"))?;
    Ok(Some(mailer))
}

/// The first line of a file; of a systemd credential where the path is not absolute.
fn password(file: &Path) -> Result<Zeroizing<String>, String> {
    let path = credential(file);
    let text = std::fs::read_to_string(&path).map(Zeroizing::new);
    let text = text.map_err(|error| {
        format!(
            "alerts.smtp.password_file {} cannot be read: {error}",
            path.display()
        )
    })?;
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// What the facade wants to know.
pub(super) fn facade(config: &Config, data_dir: &Path, sockets: &Sockets) -> facade::Settings {
    let bound = sockets.address(Serves::Everything);
    let public_url = config.public_url(bound.unwrap_or(config.http.bind));
    facade::Settings {
        body: BodyLimits {
            bytes: config.http.max_body.get(),
            time: config.http.body_timeout.duration(),
        },
        viewer_url: config.viewer_url(sockets.address(Serves::Viewers), &public_url),
        public_url,
        origins: Origins::new(&config.http.cors_origins),
        handler: config.http.handler_timeout.duration(),
        data_dir: data_dir.to_owned(),
        max_file: config.media.max_file.get() as u64,
        access: AccessPolicy {
            session: SessionTimes {
                idle: config.access.session_idle.duration(),
                longest: config.access.session_longest.duration(),
            },
            requests: requests(&config.access),
            attempts: Pace {
                burst: u32::try_from(config.access.wrong_tokens.get()).unwrap_or(u32::MAX),
                every: config.access.wrong_token_pause.duration(),
            },
        },
        heartbeat: config.sse.heartbeat.duration(),
        streams: StreamLimits {
            all: config.sse.max_streams.get(),
            of_client: config.sse.max_streams_per_client.get(),
            public: config.sse.max_public_streams.get(),
            of_address: config.sse.max_public_streams_per_address.get(),
        },
        patience: config.http.write_timeout.duration(),
    }
}

/// What this node has for channels.
fn capacity(admission: &AdmissionSettings) -> Cost {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = match admission.cpu.get() {
        0 => cores * 900,
        percent => percent * 10,
    };
    let memory = match admission.memory.get() as u64 {
        0 => memory_of_the_machine().unwrap_or(u64::MAX) / 5 * 4,
        bytes => bytes,
    };
    Cost {
        cpu: u32::try_from(cpu).unwrap_or(u32::MAX),
        memory,
    }
}

/// In bytes, as the kernel says it (proc(5)).
fn memory_of_the_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// How fast one token may ask.
fn requests(access: &AccessSettings) -> Option<Pace> {
    let per_second = u32::try_from(access.requests_per_second.get()).unwrap_or(u32::MAX);
    let every = Duration::from_secs(1).checked_div(per_second)?;
    let burst = u32::try_from(access.burst.get()).unwrap_or(u32::MAX);
    Some(Pace { burst, every })
}

/// What the accept loop wants to know.
pub(super) fn connections(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.http.max_connections.get(),
        of_address: config.http.max_connections_per_address.get(),
        spares_this_machine: true,
        head: config.http.head_timeout.duration(),
        unacknowledged: config.http.write_timeout.duration(),
        grace: config.http.shutdown_grace.duration(),
    }
}

/// The certificate of the listeners by TCP; none where they are not encrypted. A key that is not absolute is a systemd
/// credential of that name.
pub(crate) fn certificate(config: &Config) -> Option<CertificateFiles> {
    let http = &config.http;
    let (Some(certificate), Some(key)) = (&http.tls_certificate, &http.tls_key) else {
        return None;
    };
    Some(CertificateFiles {
        certificate: certificate.clone(),
        key: credential(key),
    })
}

/// The file itself; a systemd credential where the path is not absolute.
fn credential(file: &Path) -> PathBuf {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    match credentials {
        Some(folder) if file.is_relative() => Path::new(&folder).join(file),
        _ => file.to_owned(),
    }
}

/// Who is believed when it says where a request comes from.
pub(super) fn proxies(config: &Config) -> TrustedProxies {
    TrustedProxies::new(&config.http.trusted_proxies, config.http.proxies_tell)
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
        tracing::warn!(root = %root.display(), %error, "this root of media.roots or media.client_roots is not there");
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
    fn a_credential_goes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeySource::File(PathBuf::from("/data/master.key"));
        let of = |credentials: Option<&Path>| {
            key_source(
                credentials.map(|path| path.as_os_str().to_owned()),
                Path::new("/data"),
            )
        };
        assert_eq!(of(None), file);
        // Of another service's credentials none is called so.
        assert_eq!(of(Some(folder.path())), file);
        let path = folder.path().join("master.key");
        std::fs::write(&path, "").unwrap();
        assert_eq!(of(Some(folder.path())), KeySource::Credential(path));
    }

    #[test]
    fn mail_is_sent_where_a_server_is_named_and_its_password_is_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let mark = RunMark::look(folder.path());
        let settings = |more: &str| {
            let text = format!("[alerts.smtp]\n{more}");
            alerts(&parse(&text), &mark)
        };
        assert!(settings("").unwrap().mailer.is_none());
        let server = "host = \"smtp.example.org\"\nfrom = \"TV <tv@example.org>\"\n";
        assert!(settings(server).unwrap().mailer.is_some());
        let login = format!("{server}user = \"tv\"\npassword_file = {file:?}\n");
        let refused = settings(&login).unwrap_err();
        assert!(refused.contains("cannot be read"), "{refused}");
        std::fs::write(&file, "hunter2\nmore\n").unwrap();
        assert_eq!(*password(&file).unwrap(), "hunter2");
        let config = settings(&login).unwrap();
        assert!(config.mailer.is_some() && !format!("{config:?}").contains("hunter2"));
        let refused = settings("host = \"h\"\nfrom = \"nobody\"").unwrap_err();
        assert!(refused.starts_with("alerts.smtp: from is"), "{refused}");
    }

    #[test]
    fn no_number_of_jobs_means_half_the_processors_and_never_none() {
        let alerts = AlertsConfig::default;
        let jobs = |text| {
            app(&parse(text), Path::new("/data"), alerts())
                .unwrap()
                .prepare_jobs
        };
        assert_eq!(jobs(""), (processors() / 2).max(1));
        assert_eq!(jobs("[media]\nprepare_jobs = 7"), 7);
    }
}
