//! Where the servers' programs are: PostgreSQL in Debian's versioned folders or on the PATH, Redis on the PATH.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::error::EmbeddedError;

/// Where to look for the servers' programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder that holds one folder per PostgreSQL version (`<version>/bin/postgres`).
    pub postgres_versions: PathBuf,
    /// Folders looked through in the manner of `PATH`.
    pub path: OsString,
}

impl Default for Programs {
    fn default() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            postgres_versions: "/usr/lib/postgresql".into(),
            path,
        }
    }
}

/// One installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Postgres {
    pub(super) version: String,
    pub(super) bin: PathBuf,
}

/// The PostgreSQL for a cluster of `version`, or the newest one for a new cluster.
pub(super) fn postgres(
    programs: &Programs,
    version: Option<&str>,
    cluster: &Path,
) -> Result<Postgres, EmbeddedError> {
    let mut found = installed(programs);
    found.sort_by_key(|postgres| postgres.version.parse::<u32>().unwrap_or(0));
    let Some(newest) = found.last() else {
        return Err(EmbeddedError::MissingProgram {
            program: "PostgreSQL",
            package: "postgresql",
            setting: "database.url",
        });
    };
    let Some(version) = version else {
        return Ok(newest.clone());
    };
    found
        .iter()
        .find(|postgres| postgres.version == version)
        .cloned()
        .ok_or_else(|| EmbeddedError::WrongVersion {
            path: cluster.to_owned(),
            cluster: version.to_owned(),
            installed: found
                .iter()
                .map(|postgres| postgres.version.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn installed(programs: &Programs) -> Vec<Postgres> {
    let versions = std::fs::read_dir(&programs.postgres_versions)
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<Postgres> = versions
        .map(|entry| Postgres {
            version: entry.file_name().to_string_lossy().into_owned(),
            bin: entry.path().join("bin"),
        })
        .filter(|postgres| complete(&postgres.bin))
        .collect();
    for bin in std::env::split_paths(&programs.path).filter(|bin| complete(bin)) {
        if let Some(version) =
            version_of(&bin).filter(|version| found.iter().all(|known| known.version != *version))
        {
            found.push(Postgres { version, bin });
        }
    }
    found
}

fn complete(bin: &Path) -> bool {
    bin.is_absolute() && bin.join("postgres").is_file() && bin.join("initdb").is_file()
}

/// The major version. A program is asked once: it is another server's restart that asks again, and one that hangs
/// then would hold up everything.
fn version_of(bin: &Path) -> Option<String> {
    static ASKED: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let known = || ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = known().get(bin).cloned();
    before.or_else(|| {
        let version = ask_version(bin)?;
        known().insert(bin.to_owned(), version.clone());
        Some(version)
    })
}

/// From `postgres (PostgreSQL) 15.18 (Debian …)`.
fn ask_version(bin: &Path) -> Option<String> {
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let digits: String = text
        .split_whitespace()
        .nth(2)?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    (!digits.is_empty()).then_some(digits)
}

pub(super) fn redis(programs: &Programs) -> Result<PathBuf, EmbeddedError> {
    std::env::split_paths(&programs.path)
        .chain(
            ["/usr/bin".into(), "/usr/local/bin".into()]
                .into_iter()
                .filter(|_| !programs.path.is_empty()),
        )
        .map(|bin: PathBuf| bin.join("redis-server"))
        .find(|program| program.is_absolute() && program.is_file())
        .ok_or(EmbeddedError::MissingProgram {
            program: "Redis",
            package: "redis-server",
            setting: "redis.url",
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_asked_for_its_version_once() {
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let script = format!(
            "#!/bin/sh\necho x >>{}\necho 'postgres (PostgreSQL) 15.18 (Debian)'\n",
            asked.display()
        );
        for program in ["postgres", "initdb"] {
            let program = folder.path().join(program);
            std::fs::write(&program, &script).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let programs = Programs {
            postgres_versions: folder.path().join("none"),
            path: folder.path().into(),
        };
        for _ in 0..3 {
            let found = postgres(&programs, Some("15"), Path::new("cluster")).unwrap();
            assert_eq!(found.bin, folder.path());
        }
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n");
    }
}
