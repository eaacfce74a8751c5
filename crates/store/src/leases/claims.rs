//! Leases asked for and renewed. One statement for all; where the server finds something damaged, one by one,
//! so that a broken page costs the channels on it and no other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::{ChannelId, NodeId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{NodeConfig, elapsed};
use crate::Store;
use crate::channels::ids;
use crate::database::attempt;
use crate::error::StoreError;
use crate::session::Transaction;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Everything that is this daemon's, under new epochs: it has started.
    Anew,
    /// What it does not hold yet.
    More,
}

/// What a renewal came to.
struct Renewed {
    /// Whether there are others.
    others: bool,
    /// Whether others hold channels.
    shared: bool,
    /// What is held and is not this daemon's in the database, by which epoch.
    missing: Vec<(ChannelId, i64)>,
    /// When it was asked, in milliseconds of [`elapsed`].
    sent: u64,
}

/// A channel that was granted.
struct Granted {
    id: ChannelId,
    epoch: i64,
    taken: Option<Timestamp>,
}

impl Granted {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ChannelId::from(row.try_get::<_, Uuid>("id")?),
            epoch: row.try_get("epoch")?,
            taken: row.try_get("taken_at")?,
        })
    }
}

impl Store {
    /// Says that this daemon lives, renews what it holds, and finds out whether there are others. What another
    /// holds is lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing is renewed.
    pub async fn renew_leases(&self) -> Result<(), StoreError> {
        for missing in self.renew_held().await? {
            self.miss(missing);
        }
        Ok(())
    }

    /// Notes that a renewal was not answered in time.
    pub fn renewal_failed(&self) {
        let leases = &self.0.leases;
        leases.granted.store(false, Ordering::Release);
        leases.settled.store(false, Ordering::Release);
    }

    /// Another daemon has the channel that was held, or it is gone.
    fn miss(&self, (id, epoch): (ChannelId, i64)) {
        tracing::warn!(channel = %id, "another daemon has this channel");
        self.0.leases.lose(id, epoch);
    }

    /// Renews; answers what is held and was not this daemon's in the database.
    async fn renew_held(&self) -> Result<Vec<(ChannelId, i64)>, StoreError> {
        let renewed = self.renew().await;
        let leases = &self.0.leases;
        if let Ok(Renewed { shared, .. }) = renewed {
            leases.shared.store(shared, Ordering::Release);
        }
        let before = leases.granted.swap(renewed.is_ok(), Ordering::AcqRel);
        let settled = before && renewed.is_ok();
        leases.settled.store(settled, Ordering::Release);
        let Renewed {
            others,
            missing,
            sent,
            ..
        } = renewed?;
        leases.count(sent);
        if !others {
            leases.term.alone.store(true, Ordering::Release);
            let noted = leases.alone.note().await;
            let failed = leases.not_noted.swap(noted.is_err(), Ordering::AcqRel);
            if let (Err(error), false) = (noted, failed) {
                tracing::warn!(%error, "that this daemon is alone is not noted on disk: it does not start without PostgreSQL");
            }
        }
        Ok(missing)
    }

    async fn renew(&self) -> Result<Renewed, StoreError> {
        let held = self.0.leases.all();
        let (store, asked) = (self.clone(), held.clone());
        let sent = elapsed();
        let (others, shared, kept) = self
            .database()
            .transact(move |tx| {
                Box::pin(async move {
                    let leases = &store.0.leases;
                    let other = other(tx, leases.node.id).await?;
                    let others = other.is_some();
                    leases.tell_other(other);
                    if others {
                        // Before the database hears of it: from then on another may take what runs out.
                        leases.alone.forget().await?;
                        // Until this is committed the database says that it is alone, and then the lease runs: no
                        // moment without either.
                        leases.count(sent);
                        if leases.term.alone.swap(false, Ordering::AcqRel) {
                            tracing::info!("another daemon is on the database; leases count now");
                        }
                    }
                    announce(tx, &leases.node, !others).await?;
                    let shared = shared(tx, leases.node.id).await?;
                    Ok((others, shared, renew(tx, &leases.node, &asked).await?))
                })
            })
            .await?;
        let mut missing = Vec::new();
        for (id, epoch) in held {
            match kept.iter().find(|(of, _)| *of == id) {
                Some((_, Some(epoch))) => self.0.leases.raise(id, *epoch),
                Some((_, None)) => {}
                None => missing.push((id, epoch)),
            }
        }
        Ok(Renewed {
            others,
            shared,
            missing,
            sent,
        })
    }

    /// Claims channels that are this daemon's, or nobody's. Answers those that it did not hold before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn claim_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        let (_, new) = self.claim(Claim::More).await?;
        Ok(new)
    }

    /// Answers all that were granted, and those among them that were not held before.
    async fn claim(&self, what: Claim) -> Result<(Vec<ChannelId>, Vec<ChannelId>), StoreError> {
        let leases = &self.0.leases;
        let _claiming = leases.claiming.write().await;
        let held: Vec<Uuid> = leases.held().keys().map(|id| id.uuid()).collect();
        let (node, except) = match what {
            Claim::Anew => (leases.node.clone(), Vec::new()),
            Claim::More => (leases.node.clone(), held.clone()),
        };
        let granted = self
            .database()
            .transact(move |tx| Box::pin(async move { claim(tx, &node, &except).await }))
            .await?;
        let all: Vec<ChannelId> = granted.iter().map(|one| one.id).collect();
        let new = all.iter().filter(|id| !held.contains(&id.uuid()));
        let new = new.copied().collect();
        for Granted { id, epoch, taken } in granted {
            leases.hold(id, epoch, taken);
        }
        Ok((all, new))
    }

    /// Says that this daemon is there, and claims what is its own. What it aired from the copies is lost only
    /// where it is granted neither way.
    async fn renew_and_claim(&self) -> Result<(), StoreError> {
        let missing = self.renew_held().await?;
        let claimed = self.claim(Claim::Anew).await;
        let granted = claimed.as_ref().map_or(&[][..], |(all, _)| all);
        for one in missing {
            if !granted.contains(&one.0) {
                self.miss(one);
            }
        }
        claimed.map(drop)
    }

    /// What a daemon does that has reached the database: it says that it is there, and claims what is its own.
    /// Where the database takes nothing new, it goes on with what it held.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_leases(&self) -> Result<(), StoreError> {
        let node = self.0.leases.node.id;
        let begun = async {
            self.renew_and_claim().await?;
            for sql in ADOPT {
                let adopted = self.database().transact(move |tx| {
                    Box::pin(async move { Ok(tx.execute(sql, &[&node.uuid()]).await?) })
                });
                if let Err(error) = adopted.await {
                    tracing::error!(%error, "what is nobody's is not taken as this daemon's");
                }
            }
            Ok(())
        };
        match begun.await {
            Err(StoreError::Unavailable(away)) => {
                tracing::warn!(%away, "leases cannot be claimed; what was held before is held on");
                let mine = self.database().run(move |session| {
                    Box::pin(async move {
                        let sql = "SELECT id, epoch, taken_at FROM channels WHERE node = $1";
                        let rows = session.query(sql, &[&node.uuid()]).await?;
                        rows.iter()
                            .map(Granted::read)
                            .collect::<Result<Vec<_>, _>>()
                    })
                });
                for Granted { id, epoch, taken } in mine.await? {
                    self.0.leases.hold(id, epoch, taken);
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Whether it was alone when it ran last: without the database that decides.
    pub(crate) async fn recall_alone(&self) {
        let leases = &self.0.leases;
        let alone = leases.alone.is_noted().await;
        leases.term.alone.store(alone, Ordering::Release);
        leases.shared.store(!alone, Ordering::Release);
    }

    /// Goes on with a channel as a copy says that it was held.
    pub(crate) fn resume_lease(&self, id: ChannelId, epoch: i64, taken: Option<Timestamp>) {
        self.0.leases.hold(id, epoch, taken);
    }

    /// A channel that is to be made, held before anybody can see it.
    pub(crate) async fn hold_new<T>(
        &self,
        id: ChannelId,
        making: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let leases = &self.0.leases;
        let _making = leases.claiming.read().await;
        let made = making.await;
        if made.is_ok() {
            leases.hold(id, FIRST_EPOCH, None);
        }
        made
    }

    /// Lets go of a channel that is gone, or that cannot be put on air now: it may be claimed again.
    pub fn end_lease(&self, id: ChannelId) {
        if let Some(lease) = self.0.leases.held().remove(&id) {
            lease.give_up();
        }
    }
}

/// The epoch of a channel that was just made.
pub(crate) const FIRST_EPOCH: i64 = 1;

/// A daemon that lives, or airs channels on without leases, other than this one. Of one that was alone and has no
/// channels nothing can be aired twice.
async fn other(tx: &Transaction<'_>, node: NodeId) -> Result<Option<(NodeId, String)>, StoreError> {
    let sql = |airs: &str| {
        format!(
            "SELECT id, name FROM nodes n
             WHERE id <> $1 AND (lease_until > now() OR (alone AND {airs})) ORDER BY id LIMIT 1"
        )
    };
    let has_channels = sql("EXISTS (SELECT FROM channels c WHERE c.node = n.id)");
    let asked = attempt(tx, async || {
        Ok(tx.query_opt(&has_channels, &[&node.uuid()]).await?)
    });
    let found = match asked.await? {
        Ok(found) => found,
        // What it has cannot be read.
        Err(_) => tx.query_opt(&sql("true"), &[&node.uuid()]).await?,
    };
    let read = |row: Row| Ok((NodeId::from(row.try_get::<_, Uuid>(0)?), row.try_get(1)?));
    found.map(read).transpose()
}

/// Whether another daemon holds a channel, as far as that can be read.
async fn shared(tx: &Transaction<'_>, node: NodeId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM channels WHERE node <> $1)";
    let asked = attempt(tx, async || Ok(tx.query_one(sql, &[&node.uuid()]).await?));
    Ok(match asked.await? {
        Ok(row) => row.try_get(0)?,
        Err(_) => true,
    })
}

async fn announce(tx: &Transaction<'_>, node: &NodeConfig, alone: bool) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO nodes (id, name, url, seen_at, lease_until, alone)
         VALUES ($1, $2, $3, now(), now() + make_interval(secs => $4), $5)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, seen_at = excluded.seen_at,
             lease_until = excluded.lease_until, alone = excluded.alone",
        &[
            &node.id.uuid(),
            &node.name,
            &node.url,
            &seconds(node.lease),
            &alone,
        ],
    )
    .await?;
    Ok(())
}

/// What is there from before there were nodes becomes this daemon's. What it has as well is in the way of that: such
/// an alert is over, such a rendition goes.
const ADOPT: [&str; 4] = [
    "UPDATE alerts a SET closed_at = now() WHERE node IS NULL AND closed_at IS NULL
        AND EXISTS (SELECT FROM alerts o WHERE o.node = $1 AND o.closed_at IS NULL
                        AND (o.kind, o.subject) = (a.kind, a.subject))",
    "UPDATE alerts SET node = $1 WHERE node IS NULL",
    "DELETE FROM renditions r WHERE node IS NULL
        AND EXISTS (SELECT FROM renditions o WHERE o.node = $1
                        AND (o.media_id, o.profile_key) = (r.media_id, r.profile_key))",
    "UPDATE renditions SET node = $1 WHERE node IS NULL",
];

/// A channel that is still held, and under which epoch; nothing: that cannot be read.
type StillHeld = (ChannelId, Option<i64>);

/// Answers those that are still held. What the database has of this daemon is this daemon's, under the later of
/// both epochs: nobody else writes its id, and an answer that was lost, or a database that was restored, makes no
/// other holder.
async fn renew(
    tx: &Transaction<'_>,
    node: &NodeConfig,
    held: &[(ChannelId, i64)],
) -> Result<Vec<StillHeld>, StoreError> {
    let sql = "WITH mine AS (
            SELECT c.id, h.epoch FROM channels c JOIN unnest($1::uuid[], $2::bigint[]) AS h (id, epoch) ON h.id = c.id
            WHERE c.node = $3 ORDER BY c.id FOR NO KEY UPDATE OF c)
        UPDATE channels c SET lease_until = now() + make_interval(secs => $4), epoch = greatest(c.epoch, mine.epoch)
        FROM mine WHERE c.id = mine.id RETURNING c.id, c.epoch";
    let lease = seconds(node.lease);
    let renew = async |some: &[(ChannelId, i64)]| -> Result<Vec<StillHeld>, StoreError> {
        let ids: Vec<Uuid> = some.iter().map(|(id, _)| id.uuid()).collect();
        let epochs: Vec<i64> = some.iter().map(|(_, epoch)| *epoch).collect();
        let rows = tx
            .query(sql, &[&ids, &epochs, &node.id.uuid(), &lease])
            .await?;
        let held = rows.iter().map(|row| {
            let id = ChannelId::from(row.try_get::<_, Uuid>(0)?);
            Ok((id, Some(row.try_get(1)?)))
        });
        held.collect()
    };
    if let Ok(kept) = attempt(tx, async || renew(held).await).await? {
        return Ok(kept);
    }
    tx.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let mut kept = Vec::new();
    for one in held {
        match attempt(tx, async || renew(&[*one]).await).await? {
            Ok(some) => kept.extend(some),
            // Nobody else can take it either.
            Err(_) => kept.push((one.0, None)),
        }
    }
    Ok(kept)
}

async fn claim(
    tx: &Transaction<'_>,
    node: &NodeConfig,
    except: &[Uuid],
) -> Result<Vec<Granted>, StoreError> {
    let sql = |filter: &str| {
        format!(
            "WITH due AS (SELECT id FROM channels WHERE (node IS NULL OR node = $1) AND {filter}
                 ORDER BY id FOR NO KEY UPDATE)
             UPDATE channels c SET node = $1, epoch = c.epoch + 1, lease_until = now() + make_interval(secs => $2)
             FROM due WHERE c.id = due.id RETURNING c.id, c.epoch, c.taken_at"
        )
    };
    let (id, lease) = (node.id.uuid(), seconds(node.lease));
    let all = attempt(tx, async || {
        Ok(tx
            .query(&sql("id <> ALL ($3)"), &[&id, &lease, &except])
            .await?)
    });
    if let Ok(rows) = all.await? {
        return rows.iter().map(Granted::read).collect();
    }
    tx.batch_execute("SET LOCAL enable_seqscan = off").await?;
    let mut granted = Vec::new();
    for channel in ids(tx).await? {
        let channel = channel.uuid();
        if except.contains(&channel) {
            continue;
        }
        let one = attempt(tx, async || {
            Ok(tx.query(&sql("id = $3"), &[&id, &lease, &channel]).await?)
        });
        for row in one.await?.unwrap_or_default() {
            granted.push(Granted::read(&row)?);
        }
    }
    Ok(granted)
}

pub(super) fn seconds(lease: Duration) -> f64 {
    lease.as_secs_f64()
}
