//! The one place where a plan's limits are checked: inside the transaction that raises the use, under
//! a lock of the client's row, so that requests at once cannot pass a limit by racing.

use playout_domain::ClientId;
use playout_domain::limits::{PlanLimits, Raise, Usage};
use tokio_postgres::Transaction;

use crate::columns::{count, from_json};
use crate::error::StoreError;

/// Bytes that the library of client `$1` has.
pub(crate) const USED: &str =
    "(SELECT coalesce(sum(size), 0)::bigint FROM media WHERE client_id = $1)
                               + (SELECT coalesce(sum(s.bytes), 0)::bigint FROM subtitles s
                                  JOIN media m ON m.id = s.media_id WHERE m.client_id = $1)";

/// Bytes that the files on their way to client `$1` will have. Those of a daemon that is gone count until they expire.
pub(crate) const ARRIVING: &str = "(SELECT coalesce(sum(length), 0)::bigint FROM arrivals
                                    WHERE client_id = $1 AND state IN ('arriving', 'importing') AND expires_at > now())";

/// A client whose row this transaction holds until it ends.
pub(crate) struct LockedClient {
    id: ClientId,
    limits: PlanLimits,
}

impl LockedClient {
    /// Waits for the client's row and takes it. Always the first lock of a transaction.
    pub(crate) async fn lock(
        transaction: &Transaction<'_>,
        id: ClientId,
    ) -> Result<Self, StoreError> {
        // NO KEY: rows that only refer to the client may be written meanwhile.
        let row = transaction
            .query_opt(
                "SELECT p.limits FROM clients c JOIN plans p ON p.id = c.plan_id
                 WHERE c.id = $1 FOR NO KEY UPDATE OF c",
                &[&id.uuid()],
            )
            .await?
            .ok_or(StoreError::NotFound)?;
        Ok(Self {
            id,
            limits: from_json(&row, "limits")?,
        })
    }

    /// Refuses what the client's plan does not allow on top of what the client uses now.
    pub(crate) async fn check(
        &self,
        transaction: &Transaction<'_>,
        raise: &Raise,
    ) -> Result<(), StoreError> {
        let row = transaction
            .query_one(
                &format!(
                    "SELECT (SELECT count(*) FROM channels WHERE client_id = $1) AS channels,
                        (SELECT count(*) FROM channels WHERE client_id = $1 AND desired = 'LIVE') AS live,
                        {USED} + {ARRIVING} AS storage_bytes"
                ),
                &[&self.id.uuid()],
            )
            .await?;
        let usage = Usage {
            channels: count(&row, "channels")?,
            live: count(&row, "live")?,
            storage_bytes: count(&row, "storage_bytes")?,
        };
        Ok(self.limits.check(raise, &usage)?)
    }
}
