//! Whether a URL can be one of PostgreSQL or of Redis. What is wrong is said in words of our own, in which nothing
//! of the URL is: it may hold a password.

use std::error::Error;

/// What a URL of PostgreSQL looks like.
const DATABASE: &str = "postgresql://user:password@host:5432/database";
/// What a URL of Redis looks like.
const REDIS: &str = "redis://:password@host:6379/0, or redis+unix:///path/of/the/socket";

/// Checks a URL of PostgreSQL, or a list of `key=value` pairs as libpq takes it.
///
/// # Errors
/// What is wrong with it.
pub fn check_database(url: &str) -> Result<(), String> {
    let known = ["postgres://", "postgresql://"];
    if url.contains("://") && !known.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("is no URL of PostgreSQL; it looks like {DATABASE}"));
    }
    let config: tokio_postgres::Config = url.parse().map_err(|wrong: tokio_postgres::Error| {
        // Of an option that is known only its name is told.
        let why = wrong.source().map(ToString::to_string).unwrap_or_default();
        match why.strip_prefix("invalid value for option ") {
            Some(option) => format!("has a wrong value of {option}; it looks like {DATABASE}"),
            None => format!("cannot be understood; it looks like {DATABASE}"),
        }
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(format!("names no host; it looks like {DATABASE}"));
    }
    Ok(())
}

/// Checks a URL of Redis.
///
/// # Errors
/// What is wrong with it.
pub fn check_redis(url: &str) -> Result<(), String> {
    match url.split_once("://") {
        Some(("redis+unix", path)) if path.starts_with('/') => return Ok(()),
        Some(("redis" | "redis-cluster" | "redis-sentinel", _)) => {}
        Some(("rediss", _)) => {
            return Err("asks for TLS, which is not supported for Redis".to_owned());
        }
        _ => return Err(format!("is no URL of Redis; it looks like {REDIS}")),
    }
    fred::types::config::Config::from_url(url)
        .map(drop)
        .map_err(|_| format!("cannot be understood; it looks like {REDIS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_postgresql_are_told_from_others() {
        for right in [
            "postgres://playoutd:secret@db.example.org/playoutd",
            "postgresql://me@%2Frun%2Fpostgresql:5432/playoutd",
            "postgresql://me@[::1]:5433/x?connect_timeout=3",
            "host=/run/postgresql user=playoutd",
        ] {
            assert_eq!(check_database(right), Ok(()), "{right}");
        }
        for (wrong, words) in [
            ("mysql://me:hunter2@db/x", "no URL of PostgreSQL"),
            ("POSTGRES:me:hunter2@db", "cannot be understood"),
            ("postgres://me:hunter2@db:notaport/x", "`port`"),
            (
                "postgres://me:hunter2@db/x?hunter2=1",
                "cannot be understood",
            ),
            ("postgres:///x", "no host"),
            ("", "no host"),
        ] {
            let said = check_database(wrong).err().unwrap_or_default();
            assert!(said.contains(words), "{wrong}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn urls_of_redis_are_told_from_others() {
        for right in [
            "redis://:secret@redis.example.org:6379/0",
            "redis://r",
            "redis+unix:///run/redis/a socket",
        ] {
            assert_eq!(check_redis(right), Ok(()), "{right}");
        }
        for (wrong, words) in [
            ("http://:hunter2@r", "no URL of Redis"),
            ("r:6379", "no URL of Redis"),
            ("redis+unix://socket", "no URL of Redis"),
            ("redis://:hunter2@r:notaport", "cannot be understood"),
            ("redis://:hunter2@r/first", "cannot be understood"),
            ("redis://", "cannot be understood"),
            ("rediss://:hunter2@r", "TLS"),
            ("", "no URL of Redis"),
        ] {
            let said = check_redis(wrong).err().unwrap_or_default();
            assert!(said.contains(words), "{wrong}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
