//! Files on their way into the library. Until one is an item, or is given up, its length counts against the plan of its
//! client.

use jiff::Timestamp;
use playout_domain::limits::Raise;
use playout_domain::{ArrivalId, ClientId, Details, MediaId, TokenId};
use serde_json::{Value, json};
use std::str::FromStr;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{self, bigint, count, from_json, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::limits::{ARRIVING, Allowance, LockedClient, USED};
use crate::principal::{Principal, Scopes};

/// Arrivals of a client that have not ended, at most: each has a file, and some hold a connection.
pub const MOST_OPEN: u64 = 200;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrivalState {
    /// Bytes come, or are waited for.
    Arriving,
    /// It is all there, and being looked into.
    Importing,
    /// It is an item.
    Done,
    /// It is none, for a reason that is told.
    Failed,
}

impl ArrivalState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Arriving, Self::Importing, Self::Done, Self::Failed];

    /// Its name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arriving => "arriving",
            Self::Importing => "importing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for ArrivalState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or_else(|| format!("{text:?} is no state of an arrival"))
    }
}

/// A file on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Its id.
    pub id: ArrivalId,
    /// Whose it is.
    pub client_id: ClientId,
    /// Who brings it: the name of the token, and the token.
    pub actor: String,
    /// See `actor`.
    pub token: Option<TokenId>,
    /// Where it is fetched from; nothing: it is uploaded.
    pub url: Option<String>,
    /// What its file is called.
    pub name: String,
    /// What is said about it.
    pub details: Details,
    /// How many bytes it will have; nothing while that is not known.
    pub length: Option<u64>,
    /// How far it has come.
    pub state: ArrivalState,
    /// Why it failed: a sentence.
    pub reason: Option<String>,
    /// The item that it has become.
    pub media_id: Option<MediaId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is forgotten, unless more comes.
    pub expires_at: Timestamp,
}

impl Arrival {
    /// Who brings it, as they were when it began.
    pub fn who(&self) -> Principal {
        Principal {
            client: self.client_id,
            scopes: Scopes::CLIENT,
            token: self.token,
            name: self.actor.clone(),
            attempt: None,
        }
    }

    /// What the audit says of its beginning or its end.
    fn change(&self, what: &str) -> Change {
        let (operation, kind) = match (self.url.is_some(), what) {
            (true, "begin") => ("import.begin", "import"),
            (true, _) => ("import.end", "import"),
            (false, "begin") => ("upload.begin", "upload"),
            (false, _) => ("upload.end", "upload"),
        };
        let told =
            Some(json!({ "name": self.name, "url": self.shown_url(), "length": self.length }));
        let (before, after) = match what {
            "begin" => (None, told),
            _ => (told, None),
        };
        Change::between(operation, kind, self.id.uuid(), before, after)
    }

    /// Where it is fetched from, as far as everybody may see it: what follows a `?` may be a password.
    pub fn shown_url(&self) -> Option<&str> {
        self.url.as_ref()?.split(['?', '#']).next()
    }

    /// As the API answers it; `received` bytes are there.
    pub fn to_json(&self, received: u64) -> Value {
        json!({
            "id": self.id,
            "clientId": self.client_id,
            "url": self.shown_url(),
            "name": self.name,
            "length": self.length,
            "received": received,
            "state": self.state.name(),
            "reason": self.reason,
            "mediaId": self.media_id,
            "createdAt": self.created_at,
            "expiresAt": self.expires_at,
        })
    }
}

/// How much of its plan's storage a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageUse {
    /// Items in the library.
    pub items: u64,
    /// Bytes of their files and subtitles.
    pub used: u64,
    /// Bytes that files on their way will have.
    pub arriving: u64,
    /// Bytes that the plan allows; nothing: it sets no limit.
    pub allowed: Option<u64>,
}

impl Store {
    /// Begins an arrival; it is this daemon's.
    ///
    /// # Errors
    /// [`StoreError::Limit`]; [`StoreError::Conflict`] where the client has [`MOST_OPEN`] that have not ended.
    pub async fn insert_arrival(&self, who: &Principal, new: &Arrival) -> Result<(), StoreError> {
        let (who, new, node) = (who.clone(), new.clone(), self.0.leases.node());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let client = LockedClient::lock(tx, new.client_id).await?;
                    let bytes = new.length.unwrap_or(0);
                    client.check(tx, &Raise::AddMedia { bytes }).await?;
                    let sql = "SELECT count(*) AS open FROM arrivals
                               WHERE client_id = $1 AND state IN ('arriving', 'importing') AND expires_at > now()";
                    let row = tx.query_one(sql, &[&new.client_id.uuid()]).await?;
                    if count(&row, "open")? >= MOST_OPEN {
                        let sentence = format!("{MOST_OPEN} uploads and imports by URL have not ended");
                        return Err(StoreError::Conflict(sentence));
                    }
                    tx.execute(
                        "INSERT INTO arrivals (id, client_id, actor, token_id, url, name, details, length, state,
                                               node, created_at, expires_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                        &[
                            &new.id.uuid(),
                            &new.client_id.uuid(),
                            &text(&new.actor),
                            &new.token.map(TokenId::uuid),
                            &new.url,
                            &text(&new.name),
                            &columns::json(&new.details)?,
                            &new.length.map(bigint),
                            &new.state.name(),
                            &node.uuid(),
                            &whole_micros(new.created_at),
                            &whole_micros(new.expires_at),
                        ],
                    )
                    .await?;
                    record(tx, new.client_id, &who, new.change("begin")).await
                })
            })
            .await
    }

    /// It will have `length` bytes.
    ///
    /// # Errors
    /// [`StoreError::Limit`]; [`StoreError::NotFound`].
    pub async fn arrival_has(&self, known: &Arrival, length: u64) -> Result<(), StoreError> {
        let (id, client) = (known.id, known.client_id);
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let client = LockedClient::lock(tx, client).await?;
                    let sql = "SELECT coalesce(length, 0) AS length FROM arrivals WHERE id = $1";
                    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
                    let before = count(&row.ok_or(StoreError::NotFound)?, "length")?;
                    let bytes = length.saturating_sub(before);
                    client.check(tx, &Raise::AddMedia { bytes }).await?;
                    let sql = "UPDATE arrivals SET length = $2 WHERE id = $1";
                    tx.execute(sql, &[&id.uuid(), &bigint(length)]).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Notes how far an arrival has come.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn update_arrival(&self, arrival: &Arrival) -> Result<(), StoreError> {
        let arrival = arrival.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let written = session
                        .execute(
                            "UPDATE arrivals SET state = $2, reason = $3, media_id = $4, expires_at = $5 WHERE id = $1",
                            &[
                                &arrival.id.uuid(),
                                &arrival.state.name(),
                                &arrival.reason.as_deref().map(text),
                                &arrival.media_id.map(MediaId::uuid),
                                &whole_micros(arrival.expires_at),
                            ],
                        )
                        .await?;
                    if written == 0 { Err(StoreError::NotFound) } else { Ok(()) }
                })
            })
            .await
    }

    /// An arrival that is under way is kept until then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn renew_arrival(
        &self,
        id: ArrivalId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "UPDATE arrivals SET expires_at = $2 WHERE id = $1";
                    let until = whole_micros(expires_at);
                    match session.execute(sql, &[&id.uuid(), &until]).await? {
                        0 => Err(StoreError::NotFound),
                        _ => Ok(()),
                    }
                })
            })
            .await
    }

    /// Forgets an arrival that `who` has ended.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn end_arrival(&self, who: &Principal, ended: &Arrival) -> Result<(), StoreError> {
        let (who, ended) = (who.clone(), ended.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, ended.client_id).await?;
                    let sql = "DELETE FROM arrivals WHERE id = $1";
                    if tx.execute(sql, &[&ended.id.uuid()]).await? == 0 {
                        return Err(StoreError::NotFound);
                    }
                    record(tx, ended.client_id, &who, ended.change("end")).await
                })
            })
            .await
    }

    /// Forgets an arrival whose time is over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_arrival(&self, id: ArrivalId) -> Result<(), StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM arrivals WHERE id = $1";
                    match session.execute(sql, &[&id.uuid()]).await? {
                        0 => Err(StoreError::NotFound),
                        _ => Ok(()),
                    }
                })
            })
            .await
    }

    /// Forgets what was coming to other daemons and expired a week ago: they are gone, or would have.
    pub async fn forget_lost_arrivals(&self) -> Result<u64, StoreError> {
        let node = self.0.leases.node();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "DELETE FROM arrivals WHERE node <> $1 AND expires_at < now() - interval '7 days'";
                    Ok(session.execute(sql, &[&node.uuid()]).await?)
                })
            })
            .await
    }

    /// An arrival of this daemon that `who` may know of.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn arrival(&self, who: &Principal, id: ArrivalId) -> Result<Arrival, StoreError> {
        let node = self.0.leases.node();
        let read = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM arrivals WHERE id = $1 AND node = $2";
                    let row = session.query_opt(sql, &[&id.uuid(), &node.uuid()]).await?;
                    row.as_ref().map(arrival).transpose()
                })
            })
            .await?;
        read.filter(|found| who.sees(found.client_id))
            .ok_or(StoreError::NotFound)
    }

    /// The imports by URL of this daemon that `who` may know of, oldest first: those behind `after`, `limit` at most.
    pub async fn imports(
        &self,
        who: &Principal,
        after: Option<ArrivalId>,
        limit: usize,
    ) -> Result<Vec<Arrival>, StoreError> {
        let (only, node) = (who.only_uuid(), self.0.leases.node());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM arrivals WHERE node = $1 AND url IS NOT NULL
                                   AND ($2::uuid IS NULL OR client_id = $2) AND ($3::uuid IS NULL OR id > $3)
                               ORDER BY id LIMIT $4";
                    let after = after.map(ArrivalId::uuid);
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let rows = session
                        .query(sql, &[&node.uuid(), &only, &after, &limit])
                        .await?;
                    rows.iter().map(arrival).collect()
                })
            })
            .await
    }

    /// Every arrival of this daemon, oldest first.
    pub async fn arrivals(&self) -> Result<Vec<Arrival>, StoreError> {
        let node = self.0.leases.node();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM arrivals WHERE node = $1 ORDER BY id";
                    let rows = session.query(sql, &[&node.uuid()]).await?;
                    rows.iter().map(arrival).collect()
                })
            })
            .await
    }

    /// How much storage a client uses, and may use.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn storage(&self, client: ClientId) -> Result<StorageUse, StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let row = session
                        .query_opt(
                            &format!(
                                "SELECT l.*,
                                    (SELECT count(*) FROM media WHERE client_id = $1) AS items,
                                    {USED} AS used,
                                    {ARRIVING} AS arriving
                             FROM client_limits l WHERE l.client_id = $1"
                            ),
                            &[&client.uuid()],
                        )
                        .await?
                        .ok_or(StoreError::NotFound)?;
                    let allowance = Allowance::of(&row)?;
                    Ok(StorageUse {
                        items: count(&row, "items")?,
                        used: count(&row, "used")?,
                        arriving: count(&row, "arriving")?,
                        allowed: allowance.limits.storage_bytes,
                    })
                })
            })
            .await
    }
}

fn arrival(row: &Row) -> Result<Arrival, StoreError> {
    let length: Option<i64> = row.try_get("length")?;
    Ok(Arrival {
        id: ArrivalId::from(row.try_get::<_, Uuid>("id")?),
        client_id: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        actor: row.try_get("actor")?,
        token: row
            .try_get::<_, Option<Uuid>>("token_id")?
            .map(TokenId::from),
        url: row.try_get("url")?,
        name: row.try_get("name")?,
        details: from_json(row, "details")?,
        length: length.and_then(|length| u64::try_from(length).ok()),
        state: parsed(row, "state")?,
        reason: row.try_get("reason")?,
        media_id: row
            .try_get::<_, Option<Uuid>>("media_id")?
            .map(MediaId::from),
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
