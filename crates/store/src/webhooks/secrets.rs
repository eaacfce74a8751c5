//! What webhooks are signed with: sealed for its column and row, opened for whoever delivers, sealed anew when the
//! master key is another.

use jiff::Timestamp;
use playout_domain::WebhookId;
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{audited, lock};
use crate::Store;
use crate::audit::{Change, record};
use crate::error::StoreError;
use crate::keys;
use crate::principal::Principal;
use crate::rotate::{Anew, OldKey, Resealed, anew};
use crate::session::{Connection, Remembering, Transaction};
use crate::vault::{Keyring, Place};

/// The secret of a webhook as it is stored.
pub(crate) struct SealedSecret {
    pub(crate) webhook: WebhookId,
    pub(crate) place: Place,
    pub(crate) sealed: Vec<u8>,
}

impl Store {
    /// Puts the secret of a webhook that this transaction holds in the place of the one before, which is kept beside.
    pub(super) async fn rotate_secret(
        &self,
        tx: &Transaction<'_>,
        id: WebhookId,
        secret: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "SELECT secret FROM webhooks WHERE id = $1";
        let row = tx.query_one(sql, &[&id.uuid()]).await?;
        let before: Vec<u8> = row.try_get(0)?;
        let new = self.seal_text(tx, place(id), secret).await?;
        // One that cannot be opened has not signed either.
        let old = match self.open_webhook(place(id), &before) {
            Some(old) => Some(self.seal_text(tx, old_place(id), &old).await?),
            None => None,
        };
        let until = old.as_ref().map(|_| until);
        let sql =
            "UPDATE webhooks SET secret = $2, old_secret = $3, old_secret_until = $4 WHERE id = $1";
        tx.execute(sql, &[&id.uuid(), &new, &old, &until]).await?;
        Ok(())
    }

    /// What a webhook is signed with at `now`, the newest first; none where it cannot be opened.
    pub(super) fn secrets_of(
        &self,
        row: &Row,
        now: Timestamp,
    ) -> Result<Vec<Zeroizing<String>>, StoreError> {
        let id = WebhookId::from(row.try_get::<_, Uuid>("id")?);
        let sealed: Vec<u8> = row.try_get("secret")?;
        let old: Option<Vec<u8>> = row.try_get("old_secret")?;
        let until: Option<Timestamp> = row.try_get("old_secret_until")?;
        let Some(new) = self.open_webhook(place(id), &sealed) else {
            return Ok(Vec::new());
        };
        let old = old.filter(|_| until.is_some_and(|until| until > now));
        let old = old.and_then(|old| self.open_webhook(old_place(id), &old));
        Ok([Some(new), old].into_iter().flatten().collect())
    }

    /// One secret that cannot be opened silences one webhook, not all of them.
    fn open_webhook(&self, place: Place, sealed: &[u8]) -> Option<Zeroizing<String>> {
        let opened = self.vault().map_err(|error| error.to_string());
        let opened = opened.and_then(|vault| vault.open_text(place, sealed));
        opened
            .inspect_err(|error| {
                tracing::error!(webhook = %place.row, error, "the secret of a webhook cannot be opened");
            })
            .ok()
    }
}

/// Every secret of a webhook there is.
pub(crate) async fn secrets(
    session: &Remembering<impl Connection>,
) -> Result<Vec<SealedSecret>, StoreError> {
    let sql = "SELECT id, secret, old_secret FROM webhooks ORDER BY id";
    let mut all = Vec::new();
    for row in session.query(sql, &[]).await? {
        let webhook = WebhookId::from(row.try_get::<_, Uuid>(0)?);
        let sealed = |place, sealed| SealedSecret {
            webhook,
            place,
            sealed,
        };
        all.push(sealed(place(webhook), row.try_get(1)?));
        if let Some(old) = row.try_get(2)? {
            all.push(sealed(old_place(webhook), old));
        }
    }
    Ok(all)
}

/// Seals the secrets of all webhooks anew with the key that seals now.
pub(crate) async fn reseal(
    tx: &Transaction<'_>,
    ring: &Keyring,
    old: OldKey,
) -> Result<Resealed, StoreError> {
    let sealing = keys::sealing(tx).await?;
    let mut done = Resealed::default();
    for SealedSecret {
        webhook,
        place,
        sealed,
    } in secrets(tx).await?
    {
        match anew(ring, sealing, old, place, &sealed)? {
            Anew::Kept => {}
            Anew::Sealed(anew) => {
                let sql = format!("UPDATE webhooks SET {} = $2 WHERE id = $1", place.column);
                tx.execute(&sql, &[&webhook.uuid(), &anew]).await?;
                done.secrets += 1;
            }
            Anew::Lost => {
                give_up(tx, webhook, place).await?;
                done.given_up += 1;
            }
            Anew::Stuck(error) => done
                .stuck
                .push(format!("the secret of webhook {webhook}: {error}")),
        }
    }
    Ok(done)
}

/// The key of a secret is lost: without the one that signs there is no webhook, without the one before it is as if that
/// had run out.
async fn give_up(tx: &Transaction<'_>, id: WebhookId, place: Place) -> Result<(), StoreError> {
    if place.column == "old_secret" {
        let sql = "UPDATE webhooks SET old_secret = NULL, old_secret_until = NULL WHERE id = $1";
        tx.execute(sql, &[&id.uuid()]).await?;
        return Ok(());
    }
    let who = Principal::rotation();
    let before = lock(tx, &who, id, None).await?;
    let sql = "DELETE FROM webhooks WHERE id = $1";
    tx.execute(sql, &[&id.uuid()]).await?;
    let told = Some(audited(&before));
    let change = Change::between("webhook.key-lost", "webhook", id.uuid(), told, None);
    record(tx, before.client, &who, change).await
}

pub(super) const fn place(id: WebhookId) -> Place {
    Place {
        table: "webhooks",
        column: "secret",
        row: id.uuid(),
    }
}

const fn old_place(id: WebhookId) -> Place {
    Place {
        table: "webhooks",
        column: "old_secret",
        row: id.uuid(),
    }
}
