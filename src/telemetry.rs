//! Where log lines go and what they look like: stderr, for people or as one JSON object a line.
//!
//! The level comes from `RUST_LOG` where it is set (the usual `tracing` directives), else from
//! the configuration.
//!
//! Invariant: an event is one line, whatever is in its fields. Names of files, titles and what FFmpeg says come
//! from strangers.

mod one_line;

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use self::one_line::OneLine;
use crate::config::{LogFormat, LogSettings};

/// Sends the daemon's log lines to stderr from here on.
///
/// # Errors
/// One sentence, when the level is no list of directives.
pub fn start(settings: &LogSettings) -> Result<(), String> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let directives = directives.as_deref().unwrap_or(&settings.level);
    let filter = filter(directives)?;
    let started = match settings.format {
        LogFormat::Json => json(filter, std::io::stderr).try_init(),
        LogFormat::Human => {
            human(filter, std::io::stderr().is_terminal(), std::io::stderr).try_init()
        }
    };
    // A second start in one process (tests) keeps the first one's lines.
    let _ = started;
    Ok(())
}

fn human(
    filter: EnvFilter,
    colours: bool,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        .with_target(false)
        .fmt_fields(OneLine)
        .finish()
}

fn json(
    filter: EnvFilter,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .finish()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            assert!(text.ends_with('\n'));
            text.trim_end_matches('\n')
                .split('\n')
                .map(str::to_owned)
                .collect()
        }
    }

    const FORGED: &str = "a\n2026-11-24T20:00:00Z  INFO ready\r\x1b[2J\u{9b}31m\u{202e}.mp4";

    /// One event for each way into a field.
    fn tell() {
        let path = std::path::Path::new(FORGED);
        let error = std::io::Error::other(FORGED);
        tracing::warn!(file = %path.display(), "not prepared");
        tracing::warn!(file = ?path, reason = FORGED, "not prepared");
        tracing::warn!(%error, "not prepared");
        tracing::warn!(error = &error as &dyn std::error::Error, "not prepared");
        tracing::warn!("{FORGED}");
        let span = tracing::info_span!("import", file = %path.display());
        span.in_scope(|| tracing::info!("within"));
    }

    const EVENTS: usize = 6;

    #[test]
    fn an_event_is_one_line_whatever_strangers_call_their_files() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let log = Log::default();
            let (filter, to) = (filter("info").unwrap(), log.clone());
            let to = move || to.clone();
            match format {
                LogFormat::Human => {
                    tracing::subscriber::with_default(human(filter, false, to), tell)
                }
                LogFormat::Json => tracing::subscriber::with_default(json(filter, to), tell),
            }
            let lines = log.lines();
            assert_eq!(lines.len(), EVENTS, "{lines:#?}");
            for line in &lines {
                assert!(line.contains("\\n"), "{line}");
                assert!(!line.contains(['\r', '\x1b']), "{line:?}");
                if format == LogFormat::Human {
                    assert!(!line.contains(['\u{9b}', '\u{202e}']), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_our_own_stays_as_it_is() {
        let log = Log::default();
        let to = log.clone();
        let subscriber = human(filter("info").unwrap(), false, move || to.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(channel = %"Käse – 日本", n = 7, said = "two \"words\"", "on air");
        });
        let line = log.lines().remove(0);
        let expected = r#" INFO on air channel=Käse – 日本 n=7 said="two \"words\"""#;
        assert!(line.ends_with(expected), "{line}");
    }
}
