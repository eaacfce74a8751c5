//! The settings of the daemon: read once at the start, from built-in defaults and one TOML file,
//! the command line's flags on top.
//!
//! `config.toml` at the root of the repository is the manual: it names every setting with its
//! default, and a test holds it equal to [`Config::default`]. An unknown key, a wrong type and
//! a value out of its bounds are refused with file, line, key and what is allowed.

mod access;
mod admission;
mod alerts;
mod as_run;
mod bounded;
mod check;
mod disk;
mod http;
mod limits;
mod plans;
#[cfg(test)]
mod tests;
mod webhooks;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use playout_domain::ClientId;
use playout_domain::languages::Languages;
use playout_domain::loudness::{Loudness, Target};
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::facade::proxies::{Proxy, Told};

pub use access::AccessSettings;
pub use admission::AdmissionSettings;
pub use alerts::{AlertSettings, SmtpSettings, SmtpTls};
pub use as_run::AsRunSettings;
pub use bounded::{Count, Seconds, Secret};
pub use disk::DiskSettings;
pub use limits::LimitSettings;
pub use plans::PlanSettings;
pub use webhooks::WebhookSettings;

/// Every setting of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the daemon keeps everything it owns.
    pub data_dir: PathBuf,
    pub http: HttpSettings,
    pub access: AccessSettings,
    pub node: NodeSettings,
    pub database: DatabaseSettings,
    pub redis: RedisSettings,
    pub log: LogSettings,
    pub media: MediaSettings,
    pub loudness: LoudnessSettings,
    pub playout: PlayoutSettings,
    pub hls: HlsSettings,
    pub rtmp: RtmpSettings,
    pub limits: LimitSettings,
    pub admission: AdmissionSettings,
    pub plans: PlanSettings,
    pub disk: DiskSettings,
    pub alerts: AlertSettings,
    pub webhooks: WebhookSettings,
    pub as_run: AsRunSettings,
    pub sse: SseSettings,
}

/// `[http]`: the listener and what it holds its clients to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    pub bind: SocketAddr,
    pub viewer_bind: Option<SocketAddr>,
    pub unix_socket: Option<PathBuf>,
    pub unix_socket_mode: Count<0, 0o777>,
    pub public_url: Option<String>,
    pub viewer_url: Option<String>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub trusted_proxies: Vec<Proxy>,
    pub proxies_tell: Told,
    pub cors_origins: Vec<String>,
    pub max_connections: Count<1, 1_000_000>,
    pub max_connections_per_address: Count<1, 1_000_000>,
    pub max_body: Count<1024, 67_108_864>,
    pub head_timeout: Seconds<1, 300>,
    pub body_timeout: Seconds<1, 300>,
    pub handler_timeout: Seconds<1, 3600>,
    pub write_timeout: Seconds<1, 3600>,
    pub shutdown_grace: Seconds<0, 300>,
}

/// `[node]`: this daemon among those that share a database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    pub name: Option<String>,
    pub lease: Seconds<5, 600>,
}

/// `[database]`: PostgreSQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    pub url: Option<Secret>,
    pub pool_size: Count<2, 500>,
    pub statement_timeout: Seconds<1, 300>,
}

/// `[redis]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    pub url: Option<Secret>,
    pub prefix: String,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: String,
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    Human,
    /// One JSON object.
    Json,
}

/// `[media]`: the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaSettings {
    pub roots: Vec<PathBuf>,
    pub client_roots: Vec<OneClientsRoots>,
    pub prepare_jobs: Count<0, 64>,
    pub prepare_on_import: bool,
    pub collect_after: Seconds<0, 315_360_000>,
    pub max_file: Count<1024, 1_099_511_627_776>,
    pub upload_expiry: Seconds<1, 2_592_000>,
    pub fetch_time: Seconds<1, 86_400>,
    pub allow_private_urls: bool,
    pub watch_settle: Seconds<1, 3600>,
    pub audio_languages: Languages,
}

/// `[loudness]`: how loud channels are that do not say how loud they want to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoudnessSettings {
    pub normalise: bool,
    pub target: f64,
    pub true_peak: f64,
}

impl LoudnessSettings {
    /// What channels get of it.
    ///
    /// # Errors
    /// The key that is out of bounds, and what is allowed.
    pub fn loudness(&self) -> Result<Loudness, (&'static str, String)> {
        let target = Target::new(self.target, self.true_peak)?;
        Ok(match self.normalise {
            true => Loudness::To(target),
            false => Loudness::AsItIs,
        })
    }
}

/// The folders of one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneClientsRoots {
    pub client: ClientId,
    pub roots: Vec<PathBuf>,
}

/// `[playout]`: how the output is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlayoutSettings {
    pub source: SourceKind,
    pub buffer: Seconds<2, 60>,
    pub clock_origin: Seconds<1, 95_443>,
    pub font: PathBuf,
}

/// What reads prepared media for the splicer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// One FFmpeg per entry of the plan, copying.
    Ffmpeg,
    /// The daemon itself; what is not prepared still takes an FFmpeg.
    Direct,
}

/// `[hls]`: the packager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HlsSettings {
    pub target_duration: Seconds<2, 20>,
    pub window: Count<3, 1000>,
}

/// `[rtmp]`: where channels may be pushed to, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RtmpSettings {
    pub allow_private: bool,
    pub authorities: PathBuf,
    pub stalled_after: Seconds<2, 120>,
    pub suspended_retry: Seconds<1, 86_400>,
    pub far_end: FarEndSettings,
    pub session_limits: SessionLimits,
}

/// `[rtmp.far_end]`: how it is looked at what viewers are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FarEndSettings {
    pub grace: Seconds<0, 3600>,
    pub interval: Seconds<1, 3600>,
    pub looks: Count<1, 100>,
}

/// `[rtmp.session_limits]`: how long a connection may last on each platform; a day at most, so that no session sees
/// the clock of 33 bits wrap twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionLimits {
    pub youtube: Seconds<30, 86_400>,
    pub facebook: Seconds<30, 86_400>,
    pub twitch: Seconds<30, 86_400>,
    pub custom: Seconds<30, 86_400>,
}

/// `[sse]`: live events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SseSettings {
    pub heartbeat: Seconds<1, 300>,
    pub max_streams: Count<0, 1_000_000>,
    pub max_streams_per_client: Count<1, 1_000_000>,
    pub max_public_streams: Count<0, 1_000_000>,
    pub max_public_streams_per_address: Count<1, 1_000_000>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            http: HttpSettings::default(),
            access: AccessSettings::default(),
            node: NodeSettings::default(),
            database: DatabaseSettings::default(),
            redis: RedisSettings::default(),
            log: LogSettings::default(),
            media: MediaSettings::default(),
            loudness: LoudnessSettings::default(),
            playout: PlayoutSettings::default(),
            hls: HlsSettings::default(),
            rtmp: RtmpSettings::default(),
            limits: LimitSettings::default(),
            admission: AdmissionSettings::default(),
            plans: PlanSettings::default(),
            disk: DiskSettings::default(),
            alerts: AlertSettings::default(),
            webhooks: WebhookSettings::default(),
            as_run: AsRunSettings::default(),
            sse: SseSettings::default(),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            viewer_bind: None,
            unix_socket: None,
            unix_socket_mode: Count::of(0o660),
            public_url: None,
            viewer_url: None,
            tls_certificate: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            proxies_tell: Told::XForwardedFor,
            cors_origins: Vec::new(),
            max_connections: Count::of(10_000),
            max_connections_per_address: Count::of(1_000),
            max_body: Count::of(1024 * 1024),
            head_timeout: Seconds::of(20),
            body_timeout: Seconds::of(30),
            handler_timeout: Seconds::of(60),
            write_timeout: Seconds::of(60),
            shutdown_grace: Seconds::of(5),
        }
    }
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            name: None,
            lease: Seconds::of(20),
        }
    }
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: None,
            pool_size: Count::of(16),
            statement_timeout: Seconds::of(10),
        }
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "playoutd:".to_owned(),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            level: "info".to_owned(),
        }
    }
}

impl Default for MediaSettings {
    fn default() -> Self {
        Self {
            roots: vec![PathBuf::from("/")],
            client_roots: Vec::new(),
            prepare_jobs: Count::of(0),
            prepare_on_import: true,
            collect_after: Seconds::of(604_800),
            max_file: Count::of(107_374_182_400),
            upload_expiry: Seconds::of(86_400),
            fetch_time: Seconds::of(3_600),
            allow_private_urls: false,
            watch_settle: Seconds::of(5),
            audio_languages: Languages::NONE,
        }
    }
}

impl Default for LoudnessSettings {
    fn default() -> Self {
        Self {
            normalise: true,
            target: Target::EBU.integrated.get(),
            true_peak: Target::EBU.true_peak.get(),
        }
    }
}

impl Default for RtmpSettings {
    fn default() -> Self {
        Self {
            allow_private: false,
            authorities: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            stalled_after: Seconds::of(10),
            suspended_retry: Seconds::of(300),
            far_end: FarEndSettings::default(),
            session_limits: SessionLimits::default(),
        }
    }
}

impl Default for FarEndSettings {
    fn default() -> Self {
        Self {
            grace: Seconds::of(60),
            interval: Seconds::of(30),
            looks: Count::of(3),
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            youtube: Seconds::of(43_200),
            facebook: Seconds::of(28_800),
            twitch: Seconds::of(86_400),
            custom: Seconds::of(86_400),
        }
    }
}

impl Default for PlayoutSettings {
    fn default() -> Self {
        Self {
            source: SourceKind::Ffmpeg,
            buffer: Seconds::of(8),
            clock_origin: Seconds::of(10),
            font: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf".into(),
        }
    }
}

impl Default for HlsSettings {
    fn default() -> Self {
        Self {
            target_duration: Seconds::of(4),
            window: Count::of(10),
        }
    }
}

impl Default for SseSettings {
    fn default() -> Self {
        Self {
            heartbeat: Seconds::of(15),
            max_streams: Count::of(8_000),
            max_streams_per_client: Count::of(2_000),
            max_public_streams: Count::of(4_000),
            max_public_streams_per_address: Count::of(400),
        }
    }
}

impl Config {
    /// The settings of `file`; those it does not name have their defaults.
    ///
    /// # Errors
    /// One sentence with file, line, key and what is allowed.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: file.to_owned(),
            line: None,
            message: format!("cannot be read: {error}"),
        })?;
        Self::parse(&text, file)
    }

    /// As [`Config::read`], for a text that is already there.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(error, text, file))?;
        check::check(&config).map_err(|(key, message)| ConfigError {
            file: file.to_owned(),
            line: line_of_key(text, key),
            message: format!("{key}: {message}"),
        })?;
        Ok(config)
    }

    /// Where this daemon is reached by others, without a slash at the end.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        match &self.http.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => self.http.url(bound),
        }
    }

    /// Where viewers reach it, without a slash at the end; `bound` is the address for viewers alone, if there is one.
    pub fn viewer_url(&self, bound: Option<SocketAddr>, public_url: &str) -> String {
        match (&self.http.viewer_url, bound) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(bound)) => self.http.url(bound),
            (None, None) => public_url.to_owned(),
        }
    }
}

/// An address to connect to: that of this machine where the daemon listens on all of its own.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// A configuration that is not taken, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", file.display(), line.map(|n| format!(", line {n}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file as it was named.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: Option<usize>,
    /// The key, what is wrong with it, what is allowed.
    pub message: String,
}

impl ConfigError {
    fn from_toml(mut error: toml::de::Error, text: &str, file: &Path) -> Self {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let what = error
            .message()
            .replace("unknown field", "unknown key")
            .replace('\n', "; ");
        // Without its input the error's text is its message and then the key, as "in `http.bind`".
        error.set_input(None);
        let whole = error.to_string();
        let key = whole
            .lines()
            .find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        let message = match key {
            Some(key) => format!("{key}: {what}"),
            None => what,
        };
        Self {
            file: file.to_owned(),
            line,
            message,
        }
    }
}

/// The line, from 1, that sets a key as in `http.bind`.
fn line_of_key(text: &str, dotted: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = dotted.split('.').peekable();
    loop {
        let (key, value) = table.get_key_value(parts.next()?)?;
        if parts.peek().is_none() {
            return Some(text[..key.span().start].matches('\n').count() + 1);
        }
        table = value.get_ref().as_table()?;
    }
}
