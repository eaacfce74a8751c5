//! Servers that outlive the process that starts them, for tests: one pair for all test processes of a
//! run. A watcher process ends them and removes their folder when the run's own process is gone,
//! however it went.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::child::{self, Attachment, Log, Order};
use super::{Durability, EmbeddedConfig, EmbeddedError, percent_encoded, postgres, redis};

/// Waits for process `$1` to end, then ends the servers named in the folder `$2` and removes it. A
/// zombie counts as ended: it may take its new parent a while to look.
const WATCHER: &str = r#"
alive() { [ -n "$1" ] && [ -e "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"; }
while alive "$1"; do sleep 0.1; done
redis=$(cat "$2/redis.pid")
postgres=$(cat "$2/postgres.pid")
[ -n "$redis" ] && kill -KILL "$redis"
[ -n "$postgres" ] && kill -QUIT "$postgres"
left=200
while alive "$postgres" && [ $left -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
rm -rf "$2" "$2.lock"
"#;

/// Where the servers are.
pub(crate) struct Detached {
    /// The URL of database `postgres`, less its name.
    pub(crate) postgres: String,
    pub(crate) redis: String,
}

/// Starts forgetful servers under `folder`, to end with process `until`.
pub(crate) async fn start(folder: &Path, until: u32) -> Result<Detached, EmbeddedError> {
    let run = folder.join("run");
    fs::create_dir_all(&run).map_err(EmbeddedError::io("make the folder", &run))?;
    let log = folder.join("servers.log");
    let log = Log::File(Arc::new(
        File::create(&log).map_err(EmbeddedError::io("make", &log))?,
    ));
    let watcher = Order {
        program: "/bin/sh".into(),
        args: vec![
            "-c".into(),
            WATCHER.into(),
            "playoutd-test-watcher".into(),
            until.to_string().into(),
            folder.into(),
        ],
        become_user: None,
        folders: Vec::new(),
        attachment: Attachment::Detached,
        log: log.clone(),
    };
    child::spawn(watcher)
        .await
        .map_err(EmbeddedError::io("start", "/bin/sh"))?;

    let config = EmbeddedConfig {
        durability: Durability::Forgetful,
        ..EmbeddedConfig::new(folder)
    };
    let mut redis = redis::prepare(&config, &run).await?;
    let mut postgres = postgres::prepare(&config, &run).await?;
    for (recipe, pid_file) in [
        (&mut redis.recipe, "redis.pid"),
        (&mut postgres.recipe, "postgres.pid"),
    ] {
        recipe.order.attachment = Attachment::Detached;
        recipe.order.log = log.clone();
        let child = recipe.launch().await?;
        let pid = child.id().unwrap_or_default().to_string();
        let pid_file = folder.join(pid_file);
        fs::write(&pid_file, pid).map_err(EmbeddedError::io("write", &pid_file))?;
    }
    let refused = |error: tokio_postgres::Error| EmbeddedError::EndedAtStart {
        server: "PostgreSQL",
        last_words: error.to_string(),
    };
    let config = postgres::client_config(&postgres.socket_folder, "postgres");
    postgres::make_database(&config).await.map_err(refused)?;
    Ok(Detached {
        postgres: format!(
            "postgresql://{}@{}:5432/",
            postgres::USER,
            percent_encoded(&postgres.socket_folder)
        ),
        redis: format!("redis+unix://{}", redis.socket.display()),
    })
}
