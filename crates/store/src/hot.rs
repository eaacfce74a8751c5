//! The hot copy in Redis: what channels do at this moment. Best effort: Redis may be down, then
//! nothing waits and nothing breaks; the client reconnects by itself, and the breaker around it refuses
//! at once meanwhile.
//!
//! Keys, each after the prefix:
//!
//! - `channel:<id>`: a hash of one JSON value, `heartbeat`, gone a day after the last write;
//! - `token:<digest>`: a token that PostgreSQL knew within a day ([`crate::tokens`]);
//! - `pulse`: written to find out whether Redis takes anything;
//! - `node:<id>:copy:…`: what a daemon airs ([`crate::standby`]);
//! - `node:<id>:journal`, `…:journal:refused`, `…:heartbeats`: streams of what PostgreSQL does not have yet.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::prelude::{
    Builder, ClientLike, Config, Error, ErrorKind, HashesInterface, KeysInterface, ReconnectPolicy,
    ServerConfig,
};
use fred::types::Expiration;
use fred::types::config::Options;
use playout_domain::{ChannelId, NodeId};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::StoreError;
use crate::gate::Gate;
use crate::heartbeats::Heartbeat;

/// How long anybody waits for Redis.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an untouched channel is remembered, in seconds.
const REMEMBERED: i64 = 24 * 3600;

/// The hot copy.
#[derive(Clone)]
pub struct Hot {
    client: Client,
    prefix: String,
    /// Tells the keys of this daemon's own from those of all that share the server.
    node: NodeId,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for Hot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hot")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Hot {
    /// Connects in the background, for as long as it takes; waits a moment for the first connection.
    pub(crate) async fn connect(
        gate: Arc<Gate>,
        url: &str,
        prefix: &str,
        node: NodeId,
    ) -> Result<Self, StoreError> {
        let mut config = match url.strip_prefix("redis+unix://") {
            // A path as it is: a URL's reader would take a space or a percent sign for something else.
            Some(path) => Config {
                server: ServerConfig::new_unix_socket(path),
                ..Config::default()
            },
            None => Config::from_url(url).map_err(|wrong| {
                StoreError::Setup(format!("redis.url is not valid: {}", wrong.details()))
            })?,
        };
        config.fail_fast = false;
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                connection.unresponsive.max_timeout = Some(Duration::from_secs(10));
                connection.unresponsive.interval = Duration::from_secs(2);
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = 10_000;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 100, 1_000, 2))
            .build()
            .map_err(|wrong| {
                StoreError::Setup(format!("redis.url cannot be used: {}", wrong.details()))
            })?;
        drop(client.connect()); // the task goes on, and ends with the client
        if timeout(PATIENCE, client.wait_for_connect()).await.is_err() {
            tracing::warn!("Redis does not answer; going on without its hot copy until it does");
        }
        Ok(Self {
            client,
            prefix: prefix.to_owned(),
            node,
            gate,
        })
    }

    /// Puts a heartbeat into the hot copy of its channel.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] within a second when Redis does not take it.
    pub async fn publish_heartbeat(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        let json = serde_json::to_value(beat).map_err(StoreError::internal)?;
        self.put(beat.channel, "heartbeat", &json).await
    }

    /// The last heartbeat of a channel, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] within a second when Redis does not answer.
    pub async fn heartbeat(&self, channel: ChannelId) -> Result<Option<Heartbeat>, StoreError> {
        let json = self.get(channel, "heartbeat").await?;
        json.map(serde_json::from_value)
            .transpose()
            .map_err(StoreError::internal)
    }

    /// Forgets a channel; if Redis is down, it forgets by itself within a day.
    pub async fn forget_channel(&self, channel: ChannelId) {
        let forgotten = self
            .bounded(self.now().del::<(), _>(self.key(channel)))
            .await;
        if let Err(error) = forgotten {
            tracing::debug!(%error, %channel, "the hot copy of a deleted channel stays for a day");
        }
    }

    /// The breaker around Redis.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether Redis answers now.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let now = self.now();
        let ping = self.command(async { now.ping::<String>(None).await.map(drop) });
        self.gate.look(Box::pin(ping)).await
    }

    /// Asks a Redis that is away whether it is back, and takes what is new; nothing while it is not, or
    /// somebody else asks.
    pub(crate) async fn probe(&self) -> Option<Result<(), StoreError>> {
        self.gate.probe(self.command(self.set_pulse())).await
    }

    /// Asks a Redis that takes nothing new whether it does again.
    pub(crate) async fn probe_full(&self) {
        let set = Box::pin(self.command(self.set_pulse()));
        if self.gate.look(set).await.is_ok() {
            self.gate.takes();
        }
    }

    async fn set_pulse(&self) -> Result<(), Error> {
        let key = self.named("pulse");
        let (expire, now) = (Some(Expiration::EX(60)), self.now());
        now.set(key, "1", expire, None, false).await
    }

    async fn put(&self, channel: ChannelId, field: &str, value: &Value) -> Result<(), StoreError> {
        let key = self.key(channel);
        let now = self.now();
        self.bounded(async {
            now.hset::<(), _, _>(&key, (field, value.to_string()))
                .await?;
            now.expire::<(), _>(&key, REMEMBERED, None).await
        })
        .await
    }

    async fn get(&self, channel: ChannelId, field: &str) -> Result<Option<Value>, StoreError> {
        let text: Option<String> = self
            .bounded(self.now().hget(self.key(channel), field))
            .await?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(StoreError::internal)
    }

    /// The client for a command that is sent now or not at all.
    pub(crate) fn now(&self) -> WithOptions<Client> {
        let options = Options {
            timeout: Some(PATIENCE),
            max_attempts: Some(1),
            fail_fast: true,
            ..Options::default()
        };
        self.client.with_options(&options)
    }

    /// Sends a command, if Redis is not known to be away.
    pub(crate) async fn bounded<T>(
        &self,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        // On the heap: a command of the client is a large future.
        self.gate.through(Box::pin(self.command(command))).await
    }

    async fn command<T>(
        &self,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        if !self.client.is_connected() {
            return Err(StoreError::away("Redis is not connected"));
        }
        match timeout(PATIENCE, command).await {
            Ok(done) => done.map_err(refusal),
            Err(_) => Err(StoreError::away("Redis has not answered within 1 s")),
        }
    }

    fn key(&self, channel: ChannelId) -> String {
        self.named(&format!("channel:{channel}"))
    }

    /// A key of this store.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A key of this daemon's own, which no other that shares the server looks at.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{}node:{}:{name}", self.prefix, self.node)
    }
}

/// What Redis, or the way there, says no with.
fn refusal(error: Error) -> StoreError {
    let details = error.details();
    let sentence = format!("Redis: {details}");
    let begins = |words: &[&str]| words.iter().any(|word| details.starts_with(word));
    if begins(&["MISCONF", "OOM", "READONLY"]) {
        return StoreError::full(sentence);
    }
    // The client says the last one of a connection that is gone, and has no kind of its own for it.
    let away = begins(&["LOADING", "BUSY", "MASTERDOWN", "Failed to route"])
        || matches!(
            error.kind(),
            ErrorKind::IO
                | ErrorKind::Timeout
                | ErrorKind::Canceled
                | ErrorKind::Routing
                | ErrorKind::Backpressure
                | ErrorKind::Auth
        );
    if away {
        StoreError::away(sentence)
    } else {
        StoreError::Internal(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_gone_is_away_and_a_wrong_order_is_a_fault() {
        let of = |words: &'static str| refusal(Error::new(ErrorKind::Unknown, words));
        for away in ["Failed to route command.", "LOADING Redis is loading"] {
            assert!(matches!(of(away), StoreError::Unavailable(_)), "{away}");
        }
        let fault = of("ERR unknown command 'EXPLODE'");
        assert!(matches!(fault, StoreError::Internal(_)), "{fault}");
    }
}
