//! What a type cannot say: values that are read but cannot be right. No sentence here repeats a URL: it may hold a
//! password.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use warp::http::Uri;

use super::Config;

/// A key, and what is wrong with its value.
pub(super) type Fault = (&'static str, String);

pub(super) fn check(config: &Config) -> Result<(), Fault> {
    let of = |key: &'static str| move |sentence: String| (key, sentence);
    folder(&config.data_dir).map_err(of("data_dir"))?;
    config.http.check()?;
    if let Some(url) = &config.database.url {
        playout_store::urls::check_database(url.reveal()).map_err(of("database.url"))?;
    }
    if let Some(url) = &config.redis.url {
        playout_store::urls::check_redis(url.reveal()).map_err(of("redis.url"))?;
    }
    level(&config.log.level).map_err(of("log.level"))?;
    roots(&config.media.roots).map_err(of("media.roots"))?;
    let named = &config.media.client_roots;
    for (at, one) in named.iter().enumerate() {
        roots(&one.roots).map_err(of("media.client_roots"))?;
        if named[..at].iter().any(|other| other.client == one.client) {
            let sentence = format!("names the client {} twice", one.client);
            return Err(("media.client_roots", sentence));
        }
    }
    config.loudness.loudness().map_err(|(field, sentence)| {
        let key = match field {
            "target" => "loudness.target",
            _ => "loudness.true_peak",
        };
        (key, sentence)
    })?;
    folder(&config.rtmp.authorities).map_err(of("rtmp.authorities"))?;
    config.disk.check()?;
    config.alerts.smtp.check()
}

fn roots(roots: &[PathBuf]) -> Result<(), String> {
    if roots.is_empty() {
        return Err("has to name one folder at least".to_owned());
    }
    for root in roots {
        folder(root)?;
        if !root.is_absolute() {
            return Err(format!("`{}` is not absolute", root.display()));
        }
    }
    Ok(())
}

pub(super) fn folder(path: &Path) -> Result<(), String> {
    match path.as_os_str().as_bytes() {
        [] => Err("is empty".to_owned()),
        bytes if bytes.contains(&0) => Err("has a NUL character in it".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn public_url(url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or("has to begin with http:// or https:// and a host")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("cannot have a user or a password in it".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("cannot have a query or a fragment".to_owned());
    }
    let uri: Uri = url.parse().map_err(|_| {
        "is no URL; it looks like https://tv.example.org or https://example.org/tv".to_owned()
    })?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let port = authority.strip_prefix(host).unwrap_or_default();
    let right = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    right
        .then_some(())
        .ok_or("has a port that is none".to_owned())
}

/// A word alone is taken for a target by `tracing`, which is then all that is logged.
fn level(directives: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    crate::telemetry::filter(directives)?;
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let wrong = directives
        .split(',')
        .map(str::trim)
        .find(|word| !word.contains(['=', '[', ']', '{', '}']) && !is_level(word));
    match wrong {
        None => Ok(()),
        Some(word) => Err(format!(
            "`{word}` is no level; there are {}, and target=level for a part of the daemon",
            LEVELS.join(", ")
        )),
    }
}
