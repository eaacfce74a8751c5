//! Another master key: made, taken into use, and everything sealed anew with it, while daemons run.
//!
//! ```text
//! new key into the key file ─▶ it seals, the old one opens ─▶ secrets sealed anew, channel by channel
//!                                    ─▶ nothing is left: the old one retires ─▶ it leaves the key file
//! ```
//!
//! Each step is one transaction or one replaced file, and what comes next follows from the database and
//! the key file alone ([`turn::turn`]). So whatever ends it, wherever: asked again it goes on from there, and
//! in between every daemon can open everything.
//!
//! Invariant: a key leaves the key file only when the database says that nothing is sealed with it, and a
//! key seals only when the key file holds it.

mod anew;
mod turn;

use playout_domain::ChannelId;
use serde_json::json;
use uuid::Uuid;

use crate::alert_routes;
use crate::audit::{Change, record};
use crate::channels::{Reseal, reseal};
use crate::columns::{count, now};
use crate::error::StoreError;
use crate::keys::{self, KeyState, KnownKey};
use crate::limits::LockedClient;
use crate::master_key::{self, KeySource, MasterKeyError};
use crate::principal::{Principal, operator};
use crate::session::{Client, Connection, Remembering};
use crate::vault::{KeyId, Keyring};
use crate::{database, migrate, webhooks};

pub(crate) use anew::{Anew, Resealed, anew};
use turn::{Turn, turn};

/// The lock of whoever rotates keys: "rotatkey" in ASCII.
const LOCK: i64 = 0x726f_7461_746b_6579;
/// Channels whose secrets are sealed anew between two reports.
const BATCH: i64 = 50;

/// What is to become of what the old key has sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKey {
    /// It is at hand: everything is sealed anew.
    AtHand,
    /// It is lost for good: what it has sealed is given up.
    Lost,
}

/// A step that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A new key is in the key file.
    Made(KeyId),
    /// It seals from now on; the one before still opens.
    TakenOver {
        /// The key before.
        from: Option<KeyId>,
        /// The key that seals.
        to: KeyId,
    },
    /// Secrets were sealed anew.
    Resealed {
        /// By this step.
        secrets: u64,
        /// Given up by this step, because their key is lost.
        given_up: u64,
        /// Still sealed with the old key.
        left: u64,
    },
    /// Nothing is sealed with this key any more.
    Retired(KeyId),
    /// The key file holds only what is needed.
    Removed,
}

/// A rotation under way.
#[derive(Debug)]
pub struct KeyRotation {
    client: Client,
    source: KeySource,
    old: OldKey,
    /// Whether this rotation has begun, be it by an earlier run that was cut short.
    begun: bool,
    /// The last channel whose secrets were looked at.
    after: Uuid,
    /// What could not be sealed anew: a sentence each.
    stuck: Vec<String>,
}

impl KeyRotation {
    /// Begins a rotation, or goes on with one that was cut short.
    ///
    /// # Errors
    /// [`StoreError::Setup`] when the key file does not fit the database, the database is not this
    /// build's, or another rotation is at work; [`StoreError::Unavailable`].
    pub async fn begin(
        database_url: &str,
        source: KeySource,
        old: OldKey,
    ) -> Result<Self, StoreError> {
        let config = database::settings(database_url)?;
        let client = database::reach(&config).await?;
        if !migrate::version(&client).await?.is_present() {
            return Err(StoreError::Setup(
                "the database is older than this playoutd: start the daemon once, which brings it up".to_owned(),
            ));
        }
        let sql = "SELECT pg_try_advisory_lock($1)";
        if !client.query_one(sql, &[&LOCK]).await?.try_get(0)? {
            return Err(StoreError::Setup(
                "another rotate-key is at work on this database".to_owned(),
            ));
        }
        let mut rotation = Self {
            client,
            source,
            old,
            begun: false,
            after: Uuid::nil(),
            stuck: Vec::new(),
        };
        rotation.look().await?;
        Ok(rotation)
    }

    /// Whether this goes on with a rotation that was cut short.
    pub fn is_resumed(&self) -> bool {
        self.begun
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let known = keys::known(&self.client).await?;
        let ring = self.ring()?;
        let mut needed = known.iter().filter(|key| key.state != KeyState::Retired);
        match self.old {
            OldKey::AtHand => needed
                .try_for_each(|key| key.is_held(&ring, &self.source))
                .map_err(StoreError::Setup)?,
            OldKey::Lost if needed.all(|key| ring.holds(key.id)) => {
                return Err(StoreError::Setup(format!(
                    "the key is not lost: {} holds what the database needs",
                    self.source.path().display()
                )));
            }
            OldKey::Lost => {}
        }
        let turn = self.turn(&known, &ring)?;
        self.begun = match turn {
            Turn::Make | Turn::Done => false,
            // Of a credential that the operator has just put a key into, or that is lost.
            Turn::TakeOver(_) => {
                matches!(self.source, KeySource::File(_)) && self.old == OldKey::AtHand
            }
            Turn::Reseal(_) | Turn::Remove(_) => true,
        };
        Ok(())
    }

    /// Does the next step; nothing when the rotation is done.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something cannot be sealed anew: it says what to mend before
    /// rotate-key is run again. [`StoreError::Setup`], [`StoreError::Unavailable`].
    pub async fn step(&mut self) -> Result<Option<Step>, StoreError> {
        let known = keys::known(&self.client).await?;
        let ring = self.ring()?;
        let step = match self.turn(&known, &ring)? {
            Turn::Done => return Ok(None),
            Turn::Make => self.make()?,
            Turn::TakeOver(to) => self.take_over(&known, &ring, to).await?,
            Turn::Reseal(old) => self.reseal(&ring, &old).await?,
            Turn::Remove(retired) => self.remove(&retired)?,
        };
        self.begun = true;
        Ok(Some(step))
    }

    fn turn(&self, known: &[KnownKey], ring: &Keyring) -> Result<Turn, StoreError> {
        let known: Vec<_> = known.iter().map(|key| (key.id, key.state)).collect();
        let file: Vec<_> = ring.ids().collect();
        let writable = matches!(self.source, KeySource::File(_));
        turn(&known, &file, writable, self.begun).map_err(|why| {
            StoreError::Setup(format!(
                "the master key {} {why}",
                self.source.path().display()
            ))
        })
    }

    /// The keys of the key file; none where it is lost altogether.
    fn ring(&self) -> Result<Keyring, StoreError> {
        match master_key::read(&self.source) {
            Err(MasterKeyError::Missing { .. }) if self.old == OldKey::Lost => {
                Ok(Keyring::new(&[]))
            }
            keys => Ok(Keyring::new(&keys.map_err(keys::setup)?)),
        }
    }

    fn make(&self) -> Result<Step, StoreError> {
        let new = master_key::random().map_err(StoreError::internal)?;
        let path = self.source.path();
        match master_key::read(&self.source) {
            Ok(mut keys) => {
                keys.push(new.clone());
                master_key::replace(path, &keys).map_err(keys::setup)?;
            }
            Err(_) => master_key::make(path).map_err(keys::setup)?,
        }
        let file = Keyring::new(&master_key::read(&self.source).map_err(keys::setup)?);
        let made = file.ids().last();
        made.map(Step::Made)
            .ok_or_else(|| StoreError::internal("the key file is empty"))
    }

    async fn take_over(
        &mut self,
        known: &[KnownKey],
        ring: &Keyring,
        to: KeyId,
    ) -> Result<Step, StoreError> {
        let from = known.iter().find(|key| key.state == KeyState::Sealing);
        let from = from.map(|key| key.id);
        let tx = self.client.transaction().await?;
        LockedClient::lock(&tx, operator()).await?;
        // Waits for whoever is sealing with the old one at this moment; nobody does afterwards.
        let sql = "UPDATE master_keys SET state = 'retiring' WHERE state = 'sealing'";
        tx.execute(sql, &[]).await?;
        keys::insert(&tx, ring, to).await?;
        let change = Change::between(
            "key.rotate",
            "master key",
            to.uuid(),
            from.map(|id| json!({ "keyId": id.to_string() })),
            Some(json!({ "keyId": to.to_string() })),
        );
        record(&tx, operator(), &Principal::rotation(), change).await?;
        tx.commit().await?;
        Ok(Step::TakenOver { from, to })
    }

    async fn reseal(&mut self, ring: &Keyring, old: &[KeyId]) -> Result<Step, StoreError> {
        let old_ids: Vec<&[u8]> = old.iter().map(KeyId::bytes).collect();
        let sql = "SELECT DISTINCT channel_id FROM rtmp_destinations
                   WHERE substring(stream_key FROM 2 FOR 8) = ANY ($1) AND channel_id > $2
                   ORDER BY channel_id LIMIT $3";
        let rows = self
            .client
            .query(sql, &[&old_ids, &self.after, &BATCH])
            .await?;
        let (mut secrets, mut given_up) = (0, 0);
        for row in &rows {
            let id: Uuid = row.try_get(0)?;
            let tx = self.client.transaction().await?;
            let done = reseal(&tx, ChannelId::from(id), ring, self.old).await?;
            tx.commit().await?;
            self.after = id;
            match done {
                Reseal::Done {
                    secrets: anew,
                    given_up: lost,
                } => {
                    secrets += anew;
                    given_up += lost;
                }
                Reseal::Stuck(why) => self.stuck.push(format!("channel {id}: {why}")),
            }
        }
        if rows.is_empty() {
            let tx = self.client.transaction().await?;
            let routes = alert_routes::reseal(&tx, ring, self.old).await?;
            let webhooks = webhooks::reseal(&tx, ring, self.old).await?;
            tx.commit().await?;
            self.stuck.extend(routes.stuck);
            self.stuck.extend(webhooks.stuck);
            secrets = routes.secrets + webhooks.secrets;
            given_up = routes.given_up + webhooks.given_up;
            if secrets + given_up == 0 {
                return self.retire(old).await;
            }
        }
        Ok(Step::Resealed {
            secrets,
            given_up,
            left: sealed_with(&self.client, &old_ids).await?,
        })
    }

    async fn retire(&mut self, old: &[KeyId]) -> Result<Step, StoreError> {
        let old_ids: Vec<&[u8]> = old.iter().map(KeyId::bytes).collect();
        let tx = self.client.transaction().await?;
        LockedClient::lock(&tx, operator()).await?;
        let left = sealed_with(&tx, &old_ids).await?;
        if left > 0 {
            return Err(StoreError::Conflict(format!(
                "{left} secrets are still sealed with the old key, which is kept for them; mend or delete what holds \
                 them and run rotate-key again: {}",
                self.stuck.join("; ")
            )));
        }
        let id = old[0];
        let sql = "UPDATE master_keys SET state = 'retired', retired_at = $2 WHERE key_id = $1";
        tx.execute(sql, &[&id.bytes(), &now()]).await?;
        let change = Change::between(
            "key.retire",
            "master key",
            id.uuid(),
            Some(json!({ "keyId": id.to_string() })),
            None,
        );
        record(&tx, operator(), &Principal::rotation(), change).await?;
        tx.commit().await?;
        Ok(Step::Retired(id))
    }

    fn remove(&self, retired: &[KeyId]) -> Result<Step, StoreError> {
        let mut keys = master_key::read(&self.source).map_err(keys::setup)?;
        keys.retain(|key| !retired.contains(&KeyId::of(key)));
        master_key::replace(self.source.path(), &keys).map_err(keys::setup)?;
        Ok(Step::Removed)
    }
}

async fn sealed_with(
    client: &Remembering<impl Connection>,
    keys: &[&[u8]],
) -> Result<u64, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM rtmp_destinations WHERE substring(stream_key FROM 2 FOR 8) = ANY ($1))
                    + (SELECT count(*) FROM alert_routes WHERE substring(secret FROM 2 FOR 8) = ANY ($1))
                    + (SELECT count(*) FROM webhooks WHERE substring(secret FROM 2 FOR 8) = ANY ($1))
                    + (SELECT count(*) FROM webhooks WHERE substring(old_secret FROM 2 FOR 8) = ANY ($1)) AS secrets";
    count(&client.query_one(sql, &[&keys]).await?, "secrets")
}
