//! The audit, searched: by what was done, to what, by whom and when, of one client or, for the operator, of all.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use playout_domain::{ClientId, TokenId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{AuditEntry, entry};
use crate::Store;
use crate::columns::{bigint, count, text};
use crate::error::StoreError;
use crate::principal::Principal;
use crate::private_file::hex;

/// Bytes of what is told on one page, at most; an entry that is larger is a page by itself.
const LARGEST_PAGE: i64 = 4 << 20;

/// The audit as its client sees it: a token of the operator's is `operator`, whatever that calls it. A client's own are in
/// its own chain, or older than that.
const TO_ITS_CLIENT: &str = "(SELECT a.client_id, a.seq, a.at, a.operation, a.subject_kind, a.subject_id, a.detail, a.hash,
        CASE WHEN own THEN a.actor ELSE 'operator' END AS actor, CASE WHEN own THEN a.token_id END AS token_id
    FROM audit a, LATERAL (SELECT a.token_id IS NULL
        OR EXISTS (SELECT FROM audit c WHERE c.subject_id = a.token_id AND c.subject_kind = 'token' AND c.client_id = a.client_id)
        OR EXISTS (SELECT FROM tokens t WHERE t.id = a.token_id AND t.client_id = a.client_id) AS own) o) AS shown";

/// Which entries are meant; what is not said does not narrow them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of whose chain.
    pub client: Option<ClientId>,
    /// What was done, such as `channel.update`; or what it begins with, as in `channel`.
    pub operation: Option<String>,
    /// To which thing.
    pub subject: Option<Uuid>,
    /// By whom.
    pub actor: Option<String>,
    /// With which token.
    pub token: Option<TokenId>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// The newest first, not the oldest.
    pub newest_first: bool,
}

/// An entry with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundEntry {
    /// Whose chain.
    pub client: ClientId,
    /// What it says.
    pub entry: AuditEntry,
    /// Its hash in the chain, in hexadecimal digits.
    pub hash: String,
}

impl FoundEntry {
    /// Where the page behind it begins.
    pub fn cursor(&self) -> AuditCursor {
        AuditCursor {
            at: self.entry.at,
            client: self.client,
            seq: self.entry.seq,
        }
    }
}

/// The place of an entry among those of all chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    at: Timestamp,
    client: ClientId,
    seq: u64,
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, client, seq } = self;
        write!(f, "{}.{seq}.{client}", at.as_microsecond())
    }
}

impl FromStr for AuditCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let none = || format!("{text:?} is no cursor");
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or_else(none);
        // Before 1970 nothing was done.
        let at = next()?.parse::<i64>().ok().filter(|at| *at >= 0);
        let at = at.ok_or_else(none)?;
        let seq = next()?.parse::<u32>().map_err(|_| none())?;
        let client = next()?.parse().map_err(|_| none())?;
        Ok(Self {
            at: Timestamp::from_microsecond(at).map_err(|_| none())?,
            client,
            seq: u64::from(seq),
        })
    }
}

impl Store {
    /// The entries that `who` may see and `filter` means: those behind `after`, `limit` at most and [`LARGEST_PAGE`] or
    /// one; and whether there are more.
    pub async fn search_audit(
        &self,
        who: &Principal,
        filter: &AuditFilter,
        after: Option<AuditCursor>,
        limit: usize,
    ) -> Result<(Vec<FoundEntry>, bool), StoreError> {
        let (only, filter) = (who.only_uuid(), filter.clone());
        let text = |given: Option<String>| given.map(|given| text(&given));
        let (operation, actor) = (text(filter.operation), text(filter.actor));
        let (beyond, order) = match filter.newest_first {
            true => ("<", "DESC"),
            false => (">", "ASC"),
        };
        let shown = if only.is_some() {
            TO_ITS_CLIENT
        } else {
            "audit"
        };
        let sql = format!(
            "WITH found AS (SELECT client_id, seq, at, actor, token_id, operation, subject_kind, subject_id, detail::text AS detail, hash
             FROM {shown} WHERE ($1::uuid IS NULL OR client_id = $1) AND ($2::uuid IS NULL OR client_id = $2)
                 AND ($3::text IS NULL OR operation = $3 OR starts_with(operation, $3 || '.'))
                 AND ($4::uuid IS NULL OR subject_id = $4) AND ($5::text IS NULL OR actor = $5)
                 AND ($6::uuid IS NULL OR token_id = $6)
                 AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
                 AND ($9::timestamptz IS NULL OR (at, client_id, seq) {beyond} ($9, $10::uuid, $11::bigint))
             ORDER BY at {order}, client_id {order}, seq {order} LIMIT $12),
             sized AS (SELECT *, row_number() OVER page AS place, sum(octet_length(detail)) OVER page AS size FROM found
                       WINDOW page AS (ORDER BY at {order}, client_id {order}, seq {order}))
             SELECT *, (SELECT count(*) FROM found) AS there FROM sized WHERE place = 1 OR size <= $13 ORDER BY place"
        );
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let rows = session
                        .query(
                            &sql,
                            &[
                                &only,
                                &filter.client.map(ClientId::uuid),
                                &operation,
                                &filter.subject,
                                &actor,
                                &filter.token.map(TokenId::uuid),
                                &filter.from,
                                &filter.to,
                                &after.map(|after| after.at),
                                &after.map(|after| after.client.uuid()),
                                &after.map(|after| bigint(after.seq)),
                                &i64::try_from(limit + 1).unwrap_or(i64::MAX),
                                &LARGEST_PAGE,
                            ],
                        )
                        .await?;
                    let shown = rows.iter().take(limit);
                    let there = rows.first().map_or(Ok(0), |row| count(row, "there"))?;
                    let more = there > shown.len() as u64;
                    Ok((shown.map(found).collect::<Result<_, _>>()?, more))
                })
            })
            .await
    }
}

fn found(row: &Row) -> Result<FoundEntry, StoreError> {
    Ok(FoundEntry {
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        entry: entry(row)?,
        hash: hex(row.try_get("hash")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let cursor = AuditCursor {
            at: "2026-11-30T08:00:00.123456Z".parse().unwrap(),
            client: crate::operator(),
            seq: 7,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let written = cursor.to_string();
        for bad in [
            "",
            "1",
            "1.2",
            "x.2.00000000-0000-7000-8000-000000000001",
            &written[..written.len() - 1],
            &format!("{written}.1"),
            &written.replacen(".7.", ".-7.", 1),
            "9999999999999999999.1.00000000-0000-7000-8000-000000000001",
            "-300000000000000000.1.00000000-0000-7000-8000-000000000001",
        ] {
            assert!(bad.parse::<AuditCursor>().is_err(), "{bad}");
        }
    }
}
