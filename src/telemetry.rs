//! Where log lines go and what they look like: stderr, for people or as one JSON object a line.
//!
//! The level comes from `RUST_LOG` where it is set (the usual `tracing` directives), else from
//! the configuration.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Sends the daemon's log lines to stderr from here on.
///
/// # Errors
/// One sentence, when the level is no list of directives.
pub fn start(settings: &LogSettings) -> Result<(), String> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let directives = directives.as_deref().unwrap_or(&settings.level);
    let filter = filter(directives)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Human => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
    };
    // A second start in one process (tests) keeps the first one's lines.
    let _ = started;
    Ok(())
}

/// The filter that `directives` describe, as in `info` or `info,playoutd=debug`.
///
/// # Errors
/// One sentence that names them.
pub fn filter(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| format!("the log level `{directives}` is not understood: {error}"))
}
