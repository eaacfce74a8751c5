//! The routes by which alerts are told. Secrets are sealed here; they leave to the process that signs with
//! them and to nobody else.

use std::fmt;

use playout_domain::alert::route::{
    AlertRoute, MAX_ROUTES, Mailbox, RouteConfig, Target, WebhookUrl,
};
use playout_domain::{AlertKind, AlertRouteId, ClientId};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Store;
use crate::audit::{Change, record};
use crate::columns::{now, now_after, of_version, parsed, text};
use crate::error::StoreError;
use crate::keys;
use crate::limits::LockedClient;
use crate::principal::Principal;
use crate::rotate::{Anew, OldKey, Resealed, anew};
use crate::session::{Connection, Remembering, Transaction};
use crate::vault::{Keyring, Place, Vault};

/// A route with what its webhooks are signed with.
#[derive(Clone)]
pub struct StoredRoute {
    /// The route.
    pub route: AlertRoute,
    /// The secret; nothing for a mailbox, and where it cannot be opened.
    pub secret: Option<Zeroizing<String>>,
}

impl fmt::Debug for StoredRoute {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRoute")
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Stores a new route of `who`, with the secret of a webhook sealed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the client has [`MAX_ROUTES`] already.
    pub async fn create_alert_route(
        &self,
        who: &Principal,
        config: &RouteConfig,
        secret: Option<&str>,
    ) -> Result<AlertRoute, StoreError> {
        let at = now();
        let route = AlertRoute {
            id: AlertRouteId::from(Uuid::now_v7()),
            client: who.client,
            config: config.clone(),
            disabled_reason: None,
            created_at: at,
            updated_at: at,
        };
        let secret = secret.map(|secret| Zeroizing::new(secret.to_owned()));
        let (store, who, stored) = (self.clone(), who.clone(), route.clone());
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let sealed = match secret {
                        Some(secret) => Some(store.seal_text(tx, place(stored.id), &secret).await?),
                        None => None,
                    };
                    insert(tx, &who, &stored, sealed.as_deref()).await
                })
            })
            .await?;
        Ok(route)
    }

    /// Puts `config` in the place of what was chosen for a route; the secret stays. `disabled_reason` says
    /// why the daemon has switched it off.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::VersionMismatch`].
    pub async fn update_alert_route(
        &self,
        who: &Principal,
        id: AlertRouteId,
        config: &RouteConfig,
        disabled_reason: Option<&str>,
        version: Option<u64>,
    ) -> Result<AlertRoute, StoreError> {
        let (who, config) = (who.clone(), config.clone());
        let reason = disabled_reason.map(text);
        self.database()
            .transact(move |tx| {
                Box::pin(async move { update(tx, &who, id, config, reason, version).await })
            })
            .await
    }

    /// Deletes a route with its deliveries.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none that `who` may see; [`StoreError::VersionMismatch`].
    pub async fn delete_alert_route(
        &self,
        who: &Principal,
        id: AlertRouteId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let who = who.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    let before = lock(tx, &who, id, version).await?;
                    let sql = "DELETE FROM alert_routes WHERE id = $1";
                    tx.execute(sql, &[&id.uuid()]).await?;
                    let told = Some(audited(&before));
                    let change = change("alert_route.delete", id, told, None);
                    record(tx, before.client, &who, change).await
                })
            })
            .await
    }

    /// The routes that `who` may see, in the order of their ids: those after `after`, `limit` at most.
    pub async fn alert_routes(
        &self,
        who: &Principal,
        after: Option<AlertRouteId>,
        limit: usize,
    ) -> Result<Vec<AlertRoute>, StoreError> {
        let only = who.only_uuid();
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let sql =
                        "SELECT * FROM alert_routes WHERE ($1::uuid IS NULL OR client_id = $1)
                                   AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3";
                    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                    let after = after.map(AlertRouteId::uuid);
                    let rows = session.query(sql, &[&only, &after, &limit]).await?;
                    rows.iter().map(route).collect()
                })
            })
            .await
    }

    /// Every route of everybody, with its secret.
    pub async fn all_alert_routes(&self) -> Result<Vec<StoredRoute>, StoreError> {
        let found = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT * FROM alert_routes ORDER BY id";
                    let rows = session.query(sql, &[]).await?;
                    let with_secret = |row: &Row| {
                        let sealed: Option<Vec<u8>> = row.try_get("secret")?;
                        Ok::<_, StoreError>((route(row)?, sealed))
                    };
                    rows.iter().map(with_secret).collect::<Result<Vec<_>, _>>()
                })
            })
            .await?;
        let vault = self.vault()?;
        let opened = |(route, sealed): (AlertRoute, Option<Vec<u8>>)| StoredRoute {
            secret: sealed.and_then(|sealed| open_route(vault, route.id, &sealed)),
            route,
        };
        Ok(found.into_iter().map(opened).collect())
    }
}

/// One secret that cannot be opened silences one route, not all of them.
fn open_route(vault: &Vault, id: AlertRouteId, sealed: &[u8]) -> Option<Zeroizing<String>> {
    let secret = vault.open_text(place(id), sealed);
    secret
        .inspect_err(|error| tracing::error!(route = %id, error, "the secret of an alert route cannot be opened"))
        .ok()
}

/// The secret of a route as it is stored.
pub(crate) struct SealedSecret {
    pub(crate) route: AlertRouteId,
    pub(crate) place: Place,
    pub(crate) sealed: Vec<u8>,
}

/// Every secret of a route there is.
pub(crate) async fn secrets(
    session: &Remembering<impl Connection>,
) -> Result<Vec<SealedSecret>, StoreError> {
    let sql = "SELECT id, secret FROM alert_routes WHERE secret IS NOT NULL ORDER BY id";
    let rows = session.query(sql, &[]).await?;
    let read = |row: &Row| {
        let route = AlertRouteId::from(row.try_get::<_, Uuid>(0)?);
        Ok(SealedSecret {
            route,
            place: place(route),
            sealed: row.try_get(1)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Seals the secrets of all routes anew with the key that seals now.
pub(crate) async fn reseal(
    tx: &Transaction<'_>,
    ring: &Keyring,
    old: OldKey,
) -> Result<Resealed, StoreError> {
    let sealing = keys::sealing(tx).await?;
    let mut done = Resealed::default();
    for secret in secrets(tx).await? {
        let (id, place) = (secret.route, secret.place);
        match anew(ring, sealing, old, place, &secret.sealed)? {
            Anew::Kept => {}
            Anew::Sealed(anew) => {
                let sql = "UPDATE alert_routes SET secret = $2 WHERE id = $1";
                tx.execute(sql, &[&id.uuid(), &anew]).await?;
                done.secrets += 1;
            }
            Anew::Lost => {
                let who = Principal::rotation();
                let before = lock(tx, &who, id, None).await?;
                let sql = "DELETE FROM alert_routes WHERE id = $1";
                tx.execute(sql, &[&id.uuid()]).await?;
                let change = change("alert_route.key-lost", id, Some(audited(&before)), None);
                record(tx, before.client, &who, change).await?;
                done.given_up += 1;
            }
            Anew::Stuck(error) => done
                .stuck
                .push(format!("the secret of alert route {id}: {error}")),
        }
    }
    Ok(done)
}

const fn place(id: AlertRouteId) -> Place {
    Place {
        table: "alert_routes",
        column: "secret",
        row: id.uuid(),
    }
}

async fn insert(
    tx: &Transaction<'_>,
    who: &Principal,
    route: &AlertRoute,
    sealed: Option<&[u8]>,
) -> Result<(), StoreError> {
    LockedClient::lock(tx, route.client).await?;
    let sql = "SELECT count(*) FROM alert_routes WHERE client_id = $1";
    let there: i64 = tx
        .query_one(sql, &[&route.client.uuid()])
        .await?
        .try_get(0)?;
    if usize::try_from(there).unwrap_or(usize::MAX) >= MAX_ROUTES {
        return Err(StoreError::Conflict(format!(
            "there are {MAX_ROUTES} alert routes already; delete one first"
        )));
    }
    let Chosen {
        target,
        minimum,
        kinds,
    } = Chosen::of(&route.config);
    tx.execute(
        "INSERT INTO alert_routes (id, client_id, type, target, secret, minimum, kinds, enabled, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        &[
            &route.id.uuid(),
            &route.client.uuid(),
            &route.config.target.name(),
            &target,
            &sealed,
            &minimum,
            &kinds,
            &route.config.enabled,
            &route.created_at,
        ],
    )
    .await?;
    let change = change("alert_route.create", route.id, None, Some(audited(route)));
    record(tx, route.client, who, change).await
}

async fn update(
    tx: &Transaction<'_>,
    who: &Principal,
    id: AlertRouteId,
    config: RouteConfig,
    disabled_reason: Option<String>,
    version: Option<u64>,
) -> Result<AlertRoute, StoreError> {
    let before = lock(tx, who, id, version).await?;
    let after = AlertRoute {
        config,
        disabled_reason,
        updated_at: now_after(before.updated_at),
        ..before.clone()
    };
    let Chosen {
        target,
        minimum,
        kinds,
    } = Chosen::of(&after.config);
    tx.execute(
        "UPDATE alert_routes SET target = $2, minimum = $3, kinds = $4, enabled = $5, disabled_reason = $6,
             updated_at = $7 WHERE id = $1",
        &[
            &id.uuid(),
            &target,
            &minimum,
            &kinds,
            &after.config.enabled,
            &after.disabled_reason,
            &after.updated_at,
        ],
    )
    .await?;
    let told = (Some(audited(&before)), Some(audited(&after)));
    let change = change("alert_route.update", id, told.0, told.1);
    record(tx, after.client, who, change).await?;
    Ok(after)
}

/// Locks the owner of a route that `who` may know of, and then the route.
async fn lock(
    tx: &Transaction<'_>,
    who: &Principal,
    id: AlertRouteId,
    version: Option<u64>,
) -> Result<AlertRoute, StoreError> {
    let sql = "SELECT client_id FROM alert_routes WHERE id = $1";
    let owner = tx.query_opt(sql, &[&id.uuid()]).await?;
    let owner = ClientId::from(owner.ok_or(StoreError::NotFound)?.try_get::<_, Uuid>(0)?);
    if !who.sees(owner) {
        return Err(StoreError::NotFound);
    }
    LockedClient::lock(tx, owner).await?;
    // It may have been deleted while this waited.
    let sql = "SELECT * FROM alert_routes WHERE id = $1 FOR UPDATE";
    let row = tx.query_opt(sql, &[&id.uuid()]).await?;
    let route = route(&row.ok_or(StoreError::NotFound)?)?;
    of_version(version, route.version())?;
    Ok(route)
}

/// What was chosen, as the columns hold it.
struct Chosen {
    target: String,
    minimum: &'static str,
    kinds: Vec<&'static str>,
}

impl Chosen {
    fn of(config: &RouteConfig) -> Self {
        Self {
            target: match &config.target {
                Target::Webhook(url) => url.as_str().to_owned(),
                Target::Email(mailbox) => mailbox.as_str().to_owned(),
            },
            minimum: config.minimum.name(),
            kinds: config.kinds.iter().map(|kind| kind.name()).collect(),
        }
    }
}

/// The route as the audit keeps it: the path of a URL may hold a secret.
fn audited(route: &AlertRoute) -> Value {
    let mut told = route.config.to_json();
    if let Target::Webhook(url) = &route.config.target {
        told["url"] = format!("{}/…", url.http().authority()).into();
    }
    told["disabledReason"] = json!(route.disabled_reason);
    told
}

fn change(
    operation: &'static str,
    id: AlertRouteId,
    before: Option<Value>,
    after: Option<Value>,
) -> Change {
    Change {
        operation,
        subject_kind: "alert_route",
        subject: id.uuid(),
        detail: json!({ "before": before, "after": after }),
    }
}

fn route(row: &Row) -> Result<AlertRoute, StoreError> {
    let target: &str = row.try_get("target")?;
    let target = match row.try_get("type")? {
        // Whether private addresses are allowed was asked when it was written, and is when it is used.
        "webhook" => WebhookUrl::parse(target, true)
            .map(Target::Webhook)
            .map_err(StoreError::internal)?,
        _ => target
            .parse::<Mailbox>()
            .map(Target::Email)
            .map_err(StoreError::internal)?,
    };
    let kinds: Vec<&str> = row.try_get("kinds")?;
    let kinds = kinds.into_iter().map(str::parse::<AlertKind>);
    Ok(AlertRoute {
        id: AlertRouteId::from(row.try_get::<_, Uuid>("id")?),
        client: ClientId::from(row.try_get::<_, Uuid>("client_id")?),
        config: RouteConfig {
            target,
            minimum: parsed(row, "minimum")?,
            kinds: kinds
                .collect::<Result<_, _>>()
                .map_err(StoreError::Internal)?,
            enabled: row.try_get("enabled")?,
        },
        disabled_reason: row.try_get("disabled_reason")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
