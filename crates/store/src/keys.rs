//! The master keys that the database knows of: which one seals, which ones are still needed, and whether
//! the key file holds them. That is found out before anything is written.

use tokio_postgres::Row;

use crate::Store;
use crate::columns::now;
use crate::error::StoreError;
use crate::master_key::{self, KeySource, MasterKeyError};
use crate::session::{Connection, Remembering, Transaction};
use crate::vault::{KeyId, Keyring, Place};

impl Store {
    /// Text, sealed with the key that seals now.
    pub(crate) async fn seal_text(
        &self,
        tx: &Transaction<'_>,
        place: Place,
        secret: &str,
    ) -> Result<Vec<u8>, StoreError> {
        let sealing = sealing(tx).await?;
        let sealed = self.vault()?.seal(sealing, place, secret.as_bytes());
        sealed.map_err(StoreError::internal)
    }
}

/// What is sealed as a key's check value.
const CHECK: &[u8] = b"playoutd";

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Seals and opens.
    Sealing,
    /// Opens until everything is sealed anew.
    Retiring,
    /// Not needed any more.
    Retired,
}

/// A key that the database knows of.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) id: KeyId,
    pub(crate) state: KeyState,
    check_value: Vec<u8>,
}

impl KnownKey {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let id = KeyId::from_bytes(row.try_get("key_id")?);
        Ok(Self {
            id: id.ok_or_else(|| StoreError::internal("master_keys.key_id is no key id"))?,
            state: match row.try_get("state")? {
                "sealing" => KeyState::Sealing,
                "retiring" => KeyState::Retiring,
                _ => KeyState::Retired,
            },
            check_value: row.try_get("check_value")?,
        })
    }

    /// Whether `ring` holds just this key.
    ///
    /// # Errors
    /// One sentence for the operator.
    pub(crate) fn is_held(&self, ring: &Keyring, source: &KeySource) -> Result<(), String> {
        if !ring.holds(self.id) {
            return Err(wrong_key(ring, source, self.id));
        }
        if ring.open_sealed(place(self.id), &self.check_value).is_err() {
            let path = source.path().display();
            return Err(format!(
                "the master key {path} does not open the check value of key {}: the database was changed by another hand",
                self.id
            ));
        }
        Ok(())
    }
}

/// What a database asks of the key file.
pub(crate) enum Expected {
    /// Nothing was ever sealed.
    Nothing,
    /// These keys, but for those that are retired.
    Keys(Vec<KnownKey>),
    /// One of these: the database is from before keys were noted, and its secrets name them.
    OneOf(Vec<KeyId>),
}

impl Expected {
    /// A key that is needed; none where nothing was ever sealed.
    fn needed(&self) -> Option<KeyId> {
        match self {
            Self::Nothing => None,
            Self::Keys(known) => {
                let mut needed = known.iter().filter(|key| key.state != KeyState::Retired);
                needed.next().map(|key| key.id)
            }
            Self::OneOf(ids) => ids.first().copied(),
        }
    }

    fn is_met(&self, ring: &Keyring, source: &KeySource) -> Result<(), String> {
        match self {
            Self::Nothing => Ok(()),
            Self::Keys(known) => {
                let mut needed = known.iter().filter(|key| key.state != KeyState::Retired);
                needed.try_for_each(|key| key.is_held(ring, source))
            }
            Self::OneOf(ids) if ids.iter().any(|id| ring.holds(*id)) => Ok(()),
            Self::OneOf(ids) => Err(wrong_key(ring, source, ids[0])),
        }
    }
}

fn wrong_key(ring: &Keyring, source: &KeySource, wanted: KeyId) -> String {
    let held: Vec<String> = ring.ids().map(|id| id.to_string()).collect();
    format!(
        "the master key {} (key id {}) is not the one that the database is sealed with (key id {wanted}): \
         put that one there; nothing was written. If it is lost for good, `playoutd rotate-key --lost-key` gives up \
         what it has sealed",
        source.path().display(),
        held.join(", "),
    )
}

/// What the check value of a key is sealed for.
fn place(id: KeyId) -> Place {
    Place {
        table: "master_keys",
        column: "check_value",
        row: id.uuid(),
    }
}

/// What the database asks of the key file. Reads alone.
pub(crate) async fn expected(
    client: &Remembering<impl Connection>,
) -> Result<Expected, StoreError> {
    let exists = async |table: &str| -> Result<bool, StoreError> {
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        Ok(client.query_one(sql, &[&table]).await?.try_get(0)?)
    };
    if exists("master_keys").await? {
        let known = known(client).await?;
        if known.iter().any(|key| key.state == KeyState::Sealing) {
            return Ok(Expected::Keys(known));
        }
    }
    if !exists("rtmp_destinations").await? {
        return Ok(Expected::Nothing);
    }
    let sql = "SELECT DISTINCT substring(stream_key FROM 1 FOR 33) FROM rtmp_destinations WHERE stream_key IS NOT NULL";
    let rows = client.query(sql, &[]).await?;
    let mut ids = Vec::new();
    for row in &rows {
        ids.extend(KeyId::of_sealed(row.try_get(0)?));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(match ids.is_empty() {
        true => Expected::Nothing,
        false => Expected::OneOf(ids),
    })
}

/// Every key of the database, oldest first.
pub(crate) async fn known(
    client: &Remembering<impl Connection>,
) -> Result<Vec<KnownKey>, StoreError> {
    let sql = "SELECT key_id, state, check_value FROM master_keys ORDER BY created_at, key_id";
    client
        .query(sql, &[])
        .await?
        .iter()
        .map(KnownKey::read)
        .collect()
}

/// Reads the key file and sees that it fits the database. A key is made only while nothing was ever
/// sealed: one that was lost is to be restored, not replaced. The database is not written to.
///
/// # Errors
/// [`StoreError::Setup`], one sentence.
pub(crate) async fn check(
    client: &Remembering<impl Connection>,
    source: &KeySource,
) -> Result<Keyring, StoreError> {
    let expected = expected(client).await?;
    let keys = match (master_key::read(source), expected.needed(), source) {
        (Err(MasterKeyError::Missing { .. }), None, KeySource::File(path)) => {
            master_key::make(path).map_err(setup)?;
            master_key::read(source)
        }
        (Err(MasterKeyError::Missing { path }), Some(id), _) => {
            return Err(StoreError::Setup(format!(
                "the master key {path} is missing, and the database is sealed with it (key id {id}): restore it from a \
                 backup, or, if it is lost for good, give up what it has sealed with `playoutd rotate-key --lost-key`"
            )));
        }
        (read, ..) => read,
    };
    let ring = Keyring::new(&keys.map_err(setup)?);
    expected.is_met(&ring, source).map_err(StoreError::Setup)?;
    Ok(ring)
}

pub(crate) fn setup(error: MasterKeyError) -> StoreError {
    StoreError::Setup(error.to_string())
}

/// Notes the key of a database that knows of none yet.
pub(crate) async fn note_first(
    client: &Remembering<impl Connection>,
    ring: &Keyring,
) -> Result<(), StoreError> {
    let sealing = match expected(client).await? {
        Expected::Keys(_) => return Ok(()),
        Expected::OneOf(ids) => ids.into_iter().find(|id| ring.holds(*id)),
        Expected::Nothing => None,
    };
    match sealing.or_else(|| ring.ids().next()) {
        Some(id) => insert(client, ring, id).await,
        None => Err(StoreError::internal("there is no master key to note")),
    }
}

/// Adds a key that seals from now on. The caller has seen that no other does.
pub(crate) async fn insert(
    client: &Remembering<impl Connection>,
    ring: &Keyring,
    id: KeyId,
) -> Result<(), StoreError> {
    let check = ring
        .seal(id, place(id), CHECK)
        .map_err(StoreError::internal)?;
    client
        .execute(
            "INSERT INTO master_keys (key_id, state, check_value, created_at) VALUES ($1, 'sealing', $2, $3)
             ON CONFLICT (key_id) DO UPDATE SET state = 'sealing', check_value = excluded.check_value, retired_at = NULL",
            &[&id.bytes(), &check, &now()],
        )
        .await?;
    Ok(())
}

/// The key to seal with until `tx` ends: another one does not take over before.
pub(crate) async fn sealing(tx: &Transaction<'_>) -> Result<KeyId, StoreError> {
    let sql = "SELECT key_id FROM master_keys WHERE state = 'sealing' FOR SHARE";
    // Where this waits for the one that takes over, the first answer is that the old one seals no more.
    let row = match tx.query_opt(sql, &[]).await? {
        Some(row) => Some(row),
        None => tx.query_opt(sql, &[]).await?,
    };
    let row = row.ok_or_else(|| StoreError::internal("no master key is noted"))?;
    KeyId::from_bytes(row.try_get(0)?).ok_or_else(|| StoreError::internal("no key id"))
}
