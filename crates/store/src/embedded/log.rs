//! A server's log: every line goes to `tracing`, the last ones are kept to say why it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

const KEPT: usize = 12;

/// The last lines a server wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// What the server complained of, or else its last lines.
    pub(crate) fn sentence(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let complaints: Vec<&str> = lines
            .iter()
            .map(|line| line.trim())
            .filter(|line| weight(line) > Weight::Note)
            .collect();
        let last = || {
            lines
                .iter()
                .rev()
                .take(3)
                .rev()
                .map(|line| line.trim())
                .collect::<Vec<_>>()
        };
        let told = if complaints.is_empty() {
            last()
        } else {
            complaints
        };
        if told.is_empty() {
            "it said nothing".to_owned()
        } else {
            told.join("; ")
        }
    }
}

/// Follows both outputs of `child` until they are closed.
pub(crate) fn follow(
    server: &'static str,
    child: &mut Child,
    words: &LastWords,
) -> Vec<JoinHandle<()>> {
    let mut readers = Vec::new();
    if let Some(out) = child.stdout.take() {
        readers.push(tokio::spawn(copy(server, out, words.clone())));
    }
    if let Some(err) = child.stderr.take() {
        readers.push(tokio::spawn(copy(server, err, words.clone())));
    }
    readers
}

async fn copy(server: &'static str, pipe: impl AsyncRead + Unpin, words: LastWords) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        match weight(&line) {
            Weight::Note => tracing::debug!(server, "{line}"),
            Weight::Warning => tracing::warn!(server, "{line}"),
            Weight::Error => tracing::error!(server, "{line}"),
        }
        words.push(line);
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Note,
    Warning,
    Error,
}

/// How grave a line is, by the marks of PostgreSQL (`FATAL:`), initdb (`error:`) and Redis (`*** FATAL`, `# `).
fn weight(line: &str) -> Weight {
    // What PostgreSQL tells those who knock too early, and those it leaves when it is stopped, is no fault.
    const EXPECTED: [&str; 3] = [
        "the database system is starting up",
        "the database system is shutting down",
        "terminating connection due to administrator command",
    ];
    if EXPECTED.iter().any(|sentence| line.contains(sentence)) {
        return Weight::Note;
    }
    const ERRORS: [&str; 4] = ["FATAL", "PANIC:", "error:", "could not"];
    if ERRORS.iter().any(|mark| line.contains(mark)) {
        Weight::Error
    } else if line.contains("WARNING:")
        || line.contains("ERROR:")
        || line.contains(" # Can't")
        || line.contains(" # Fatal")
    {
        Weight::Warning
    } else {
        Weight::Note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_before_chatter() {
        let words = LastWords::default();
        assert_eq!(words.sentence(), "it said nothing");
        words.push("LOG:  starting PostgreSQL".into());
        assert_eq!(words.sentence(), "LOG:  starting PostgreSQL");
        words.push(
            "FATAL:  could not write lock file \"postmaster.pid\": No space left on device".into(),
        );
        words.push("LOG:  database system is shut down".into());
        assert_eq!(
            words.sentence(),
            "FATAL:  could not write lock file \"postmaster.pid\": No space left on device"
        );
    }
}
