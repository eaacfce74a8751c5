//! Why an embedded server could not be started. Every case is one sentence that says what is wrong
//! and what the operator can do; none of them has changed or removed anything on disk.

use std::path::PathBuf;
use std::time::Duration;

/// What kept an embedded PostgreSQL or Redis from starting.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "{program} is not installed: install Debian's package {package} (apt-get install {package}), \
         or set {setting} to use a server of your own"
    )]
    MissingProgram {
        program: &'static str,
        package: &'static str,
        setting: &'static str,
    },

    #[error(
        "no room for {server} in {path}: {free_mib} MiB are free and {needed_mib} MiB are needed; free some space there or choose another data_dir"
    )]
    NoRoom {
        server: &'static str,
        path: PathBuf,
        free_mib: u64,
        needed_mib: u64,
    },

    #[error("the disk that holds {path} is full, so {server} could not start: {last_words}")]
    DiskFull {
        server: &'static str,
        path: PathBuf,
        last_words: String,
    },

    #[error(
        "{path} was made by PostgreSQL {cluster}, but only PostgreSQL {installed} is installed: install \
         postgresql-{cluster}, or move the data with pg_upgrade"
    )]
    WrongVersion {
        path: PathBuf,
        cluster: String,
        installed: String,
    },

    #[error(
        "{path} is not empty and holds no PostgreSQL cluster: it was left as it is; move it away or choose another data_dir"
    )]
    NotACluster { path: PathBuf },

    #[error(
        "{path} is in the way and was not made by this daemon, so it was not removed: move it away"
    )]
    NotOurs { path: PathBuf },

    #[error(
        "{path} belongs to the user {owner}, but this daemon runs as {me}: run it as {owner}, or give the folder to {me} with chown -R"
    )]
    WrongOwner {
        path: PathBuf,
        owner: String,
        me: String,
    },

    #[error(
        "another daemon is running embedded servers in {path}: stop it first, or choose another data_dir"
    )]
    AlreadyRunning { path: PathBuf },

    #[error("a living {server} (process {pid}) already serves {path}: stop it first")]
    Occupied {
        server: &'static str,
        path: PathBuf,
        pid: String,
    },

    #[error(
        "PostgreSQL refuses to run as root, and this process may not switch to the user {user}: run the \
         daemon as an ordinary user, or give it CAP_SETUID and CAP_SETGID"
    )]
    CannotSwitchUser { user: String },

    #[error(
        "PostgreSQL refuses to run as root, and neither the user postgres nor nobody exists: create one, or run the daemon as an ordinary user"
    )]
    NoUnprivilegedUser,

    #[error("{server} ended at its start: {last_words}")]
    EndedAtStart {
        server: &'static str,
        last_words: String,
    },

    #[error("{server} did not answer within {} s: {last_words}", .waited.as_secs())]
    NotReady {
        server: &'static str,
        waited: Duration,
        last_words: String,
    },

    #[error("making a PostgreSQL cluster in {path} failed: {last_words}")]
    InitFailed { path: PathBuf, last_words: String },

    #[error("cannot {doing} {path}: {source}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

impl EmbeddedError {
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Whether the program was started as it should be and failed by itself.
    pub(super) const fn is_of_program(&self) -> bool {
        matches!(
            self,
            Self::EndedAtStart { .. } | Self::NotReady { .. } | Self::DiskFull { .. }
        )
    }

    /// The same refusal, told apart where the server's own last words speak of a full disk.
    pub(super) fn or_disk_full(self, server: &'static str, path: &std::path::Path) -> Self {
        match &self {
            Self::EndedAtStart { last_words, .. } | Self::InitFailed { last_words, .. }
                if last_words.contains("No space left on device") =>
            {
                Self::DiskFull {
                    server,
                    path: path.to_owned(),
                    last_words: last_words.clone(),
                }
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_by_the_servers_last_words() {
        let ended = |last_words: &str| EmbeddedError::EndedAtStart {
            server: "Redis",
            last_words: last_words.to_owned(),
        };
        let full = ended("Can't open the append-only file: No space left on device");
        let sentence = full.or_disk_full("Redis", "/data".as_ref()).to_string();
        assert!(
            sentence.starts_with("the disk that holds /data is full, so Redis could not start: "),
            "{sentence}"
        );
        let other = ended("bad option")
            .or_disk_full("Redis", "/data".as_ref())
            .to_string();
        assert_eq!(other, "Redis ended at its start: bad option");
    }
}
