//! Subtitles: what is said in an item, one text for each language. They belong to the item and go with it.

use std::str::FromStr;

use jiff::Timestamp;
use playout_domain::limits::Raise;
use playout_domain::version::written_at;
use playout_domain::{ClientId, Language, MediaId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{bigint, count, of_version, parsed, text, whole_micros};
use crate::error::StoreError;
use crate::expected::Expected;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::private_file::hex;
use crate::session::Transaction;
use crate::standby::Kind;

/// Languages of an item at most.
pub const MOST_SUBTITLES: u64 = 64;

/// Who brought a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubtitleOrigin {
    /// Somebody, through the API.
    Api,
    /// A file beside the item's.
    Sidecar,
}

impl SubtitleOrigin {
    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Sidecar => "sidecar",
        }
    }
}

impl FromStr for SubtitleOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Api, Self::Sidecar]
            .into_iter()
            .find(|origin| origin.name() == text);
        found.ok_or_else(|| format!("{text:?} brings no subtitles"))
    }
}

/// What is said in an item, in one language; the text itself is apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subtitle {
    /// Of which item.
    pub media_id: MediaId,
    /// In which language; each once.
    pub language: Language,
    /// The text's length in UTF-8.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// How many times something is said.
    pub cues: u64,
    /// Who brought it.
    pub origin: SubtitleOrigin,
    /// When that was.
    pub updated_at: Timestamp,
}

impl Subtitle {
    /// Of a text of `cues` cues.
    pub fn new(
        media_id: MediaId,
        language: Language,
        origin: SubtitleOrigin,
        text: &str,
        cues: usize,
    ) -> Self {
        Self {
            media_id,
            language,
            bytes: text.len() as u64,
            sha256: hex(&Sha256::digest(text)),
            cues: cues as u64,
            origin,
            updated_at: whole_micros(Timestamp::now()),
        }
    }

    /// Whether it describes `text`.
    pub fn is_of(&self, text: &str) -> bool {
        hex(&Sha256::digest(text)) == self.sha256
    }

    /// Another each time it is brought: that time, in microseconds.
    pub fn version(&self) -> u64 {
        written_at(self.updated_at)
    }

    /// As the API answers it.
    pub fn to_json(&self) -> Value {
        json!({
            "language": self.language,
            "bytes": self.bytes,
            "cues": self.cues,
            "origin": self.origin,
            "updatedAt": self.updated_at,
        })
    }

    fn kept_as(&self) -> String {
        kept_as(self.media_id, &self.language)
    }
}

fn kept_as(media: MediaId, language: &Language) -> String {
    format!("{media}.{language}")
}

impl Store {
    /// Stores a text in place of the one that the item has in its language.
    ///
    /// # Errors
    /// [`StoreError::Limit`]; [`StoreError::NotFound`] when there is no such item for `who`; [`StoreError::Conflict`]
    /// where it has [`MOST_SUBTITLES`]; [`StoreError::VersionMismatch`]: what is there is of another version.
    pub async fn save_subtitle(
        &self,
        who: &Principal,
        subtitle: &Subtitle,
        content: &str,
        expected: impl Into<Expected>,
    ) -> Result<(), StoreError> {
        let (id, kept, expected) = (subtitle.kept_as(), subtitle.clone(), expected.into());
        let (who, subtitle, content) = (who.clone(), subtitle.clone(), content.to_owned());
        self.database()
            .transact(move |tx| {
                Box::pin(async move { save(tx, &who, (&subtitle, expected), &content).await })
            })
            .await?;
        self.0.standby.put(Kind::Subtitle, id, &kept);
        Ok(())
    }

    /// Takes a text away.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none for `who`; [`StoreError::VersionMismatch`].
    pub async fn delete_subtitle(
        &self,
        who: &Principal,
        media: MediaId,
        language: &Language,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let id = kept_as(media, language);
        let (who, language) = (who.clone(), language.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let client = locked(tx, &who, media).await?.0;
                    let before = found(tx, media, &language).await?;
                    let before = before.ok_or(StoreError::NotFound)?;
                    of_version(version, before.version())?;
                    let sql = "DELETE FROM subtitles WHERE media_id = $1 AND language = $2";
                    tx.execute(sql, &[&media.uuid(), &language.as_str()])
                        .await?;
                    let deleted = change("media.subtitle.delete", media, Some(told(&before)), None);
                    record(tx, client, &who, deleted).await
                })
            })
            .await?;
        self.0.standby.remove(Kind::Subtitle, id);
        Ok(())
    }

    /// Every text there is, without what it says: the database's; for a daemon that starts while that is away, what is
    /// kept.
    pub async fn all_subtitles(&self) -> Result<Vec<Subtitle>, StoreError> {
        let standby = &self.0.standby;
        let read = self
            .database()
            .run(|session| {
                Box::pin(async move {
                    let sql = "SELECT media_id, language, bytes, sha256, cues, origin, updated_at
                               FROM subtitles ORDER BY media_id, language";
                    let rows = session.query(sql, &[]).await?;
                    rows.iter().map(subtitle).collect()
                })
            })
            .await;
        match read {
            Err(StoreError::Unavailable(_))
                if standby.is_loaded(Kind::Subtitle) || self.falls_back() =>
            {
                let kept = standby.all(Kind::Subtitle).into_iter();
                Ok(kept.map(|(_, subtitle)| subtitle).collect())
            }
            read => {
                let subtitles: Vec<Subtitle> = read?;
                standby.load(
                    Kind::Subtitle,
                    subtitles.iter().map(|kept| (kept.kept_as(), kept)),
                );
                Ok(subtitles)
            }
        }
    }

    /// How many texts there are, and when the newest came: as long as both are the same, all of them are.
    pub async fn subtitles_mark(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.database()
            .run(|session| {
                Box::pin(async move {
                    let sql = "SELECT count(*) AS there, max(updated_at) AS newest FROM subtitles";
                    let row = session.query_one(sql, &[]).await?;
                    Ok((count(&row, "there")?, row.try_get("newest")?))
                })
            })
            .await
    }

    /// What is said in an item, as it is stored; nothing where it has nothing in that language.
    pub async fn subtitle_content(
        &self,
        media: MediaId,
        language: &Language,
    ) -> Result<Option<String>, StoreError> {
        let language = language.clone();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT content FROM subtitles WHERE media_id = $1 AND language = $2";
                    let row = session
                        .query_opt(sql, &[&media.uuid(), &language.as_str()])
                        .await?;
                    Ok(row.map(|row| row.try_get("content")).transpose()?)
                })
            })
            .await
    }
}

async fn save(
    tx: &Transaction<'_>,
    who: &Principal,
    (new, expected): (&Subtitle, Expected),
    content: &str,
) -> Result<(), StoreError> {
    let (client, locked) = locked(tx, who, new.media_id).await?;
    let before = found(tx, new.media_id, &new.language).await?;
    expected.check(before.as_ref().map(Subtitle::version))?;
    if before.is_none() {
        let sql = "SELECT count(*) AS there FROM subtitles WHERE media_id = $1";
        let row = tx.query_one(sql, &[&new.media_id.uuid()]).await?;
        if count(&row, "there")? >= MOST_SUBTITLES {
            let sentence = format!("the item has subtitles in {MOST_SUBTITLES} languages already");
            return Err(StoreError::Conflict(sentence));
        }
    }
    let known = before.as_ref().map_or(0, |before| before.bytes);
    let bytes = new.bytes.saturating_sub(known);
    locked.check(tx, &Raise::AddMedia { bytes }).await?;
    tx.execute(
        "INSERT INTO subtitles (media_id, language, content, bytes, sha256, cues, origin, updated_at)
         VALUES ($1, $2, $3, $4, sha256(convert_to($3, 'UTF8')), $5, $6, $7)
         ON CONFLICT (media_id, language) DO UPDATE SET content = excluded.content, bytes = excluded.bytes,
             sha256 = excluded.sha256, cues = excluded.cues, origin = excluded.origin, updated_at = excluded.updated_at",
        &[
            &new.media_id.uuid(),
            &new.language.as_str(),
            &text(content),
            &bigint(new.bytes),
            &bigint(new.cues),
            &new.origin.name(),
            &whole_micros(new.updated_at),
        ],
    )
    .await?;
    let saved = change(
        "media.subtitle",
        new.media_id,
        before.as_ref().map(told),
        Some(told(new)),
    );
    record(tx, client, who, saved).await
}

/// The client of an item that `who` may know of, locked.
async fn locked(
    tx: &Transaction<'_>,
    who: &Principal,
    media: MediaId,
) -> Result<(ClientId, LockedClient), StoreError> {
    let sql = "SELECT client_id FROM media WHERE id = $1";
    let row = tx.query_opt(sql, &[&media.uuid()]).await?;
    let client = ClientId::from(
        row.ok_or(StoreError::NotFound)?
            .try_get::<_, Uuid>("client_id")?,
    );
    if !who.sees(client) {
        return Err(StoreError::NotFound);
    }
    let locked = LockedClient::lock(tx, client).await?;
    // It may have been deleted before the lock was had.
    let sql = "SELECT 1 FROM media WHERE id = $1 FOR KEY SHARE";
    let there = tx.query_opt(sql, &[&media.uuid()]).await?;
    there.ok_or(StoreError::NotFound)?;
    Ok((client, locked))
}

async fn found(
    tx: &Transaction<'_>,
    media: MediaId,
    language: &Language,
) -> Result<Option<Subtitle>, StoreError> {
    let sql = "SELECT media_id, language, bytes, sha256, cues, origin, updated_at FROM subtitles
               WHERE media_id = $1 AND language = $2";
    let row = tx
        .query_opt(sql, &[&media.uuid(), &language.as_str()])
        .await?;
    row.as_ref().map(subtitle).transpose()
}

fn change(
    operation: &'static str,
    media: MediaId,
    before: Option<Value>,
    after: Option<Value>,
) -> Change {
    Change::between(operation, "media", media.uuid(), before, after)
}

/// What the audit tells of a text.
fn told(subtitle: &Subtitle) -> Value {
    json!({ "language": subtitle.language, "sha256": subtitle.sha256, "origin": subtitle.origin })
}

fn subtitle(row: &Row) -> Result<Subtitle, StoreError> {
    let sha256: Vec<u8> = row.try_get("sha256")?;
    Ok(Subtitle {
        media_id: MediaId::from(row.try_get::<_, Uuid>("media_id")?),
        language: parsed(row, "language")?,
        bytes: count(row, "bytes")?,
        sha256: hex(&sha256),
        cues: count(row, "cues")?,
        origin: parsed(row, "origin")?,
        updated_at: row.try_get("updated_at")?,
    })
}
