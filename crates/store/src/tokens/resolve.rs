//! Who comes with a token: memory knows for half a second, then the database decides, so that a token that is revoked
//! anywhere is none within a second everywhere; while it cannot be asked, memory knows for a day, and after it Redis and
//! the copy on disk. An order of Redis before the database would make what is revoked hang on Redis
//! (decision 30).
//!
//! Invariant: what the database says of a token, when it answers, is what counts; one that it does not know is
//! forgotten everywhere.

use std::collections::HashSet;
use std::time::Duration;

use fred::prelude::{Expiration, KeysInterface};
use jiff::Timestamp;
use playout_domain::{ClientId, TokenId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use zeroize::Zeroizing;

use super::known::{Answer, Looked, USABLE};
use super::{SESSION_PREFIX, TokenDigest, digest, new_secret, prefix, principal};
use crate::Store;
use crate::error::StoreError;
use crate::master_key::Key;
use crate::principal::{Principal, Scopes};
use crate::private_file::{hex, unhex};
use crate::standby::Kind;

/// How long the database may think before what is known otherwise is used.
const MOMENT: Duration = Duration::from_millis(500);

/// A token as it is kept outside the database, under its digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptToken {
    token_id: Option<TokenId>,
    client_id: ClientId,
    #[serde(alias = "scope")]
    scopes: Scopes,
    name: String,
    /// From then on it is none any more.
    expires_at: Option<Timestamp>,
    /// When the database last knew it.
    confirmed_at: Timestamp,
}

/// What somebody came with, without the secret itself: enough to ask again whether it is still good.
#[derive(Clone)]
pub struct Credential {
    pub(super) digest: TokenDigest,
    pub(super) prefix: String,
    of: CredentialOf,
    /// Seals what is answered to it, and follows from the secret alone.
    pub(crate) answers: Key,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CredentialOf {
    Token,
    Session,
}

impl Credential {
    /// Of the secret of a token.
    pub fn of(secret: &str) -> Self {
        Self {
            digest: digest(secret),
            prefix: prefix(secret),
            of: CredentialOf::Token,
            answers: answers(secret),
        }
    }

    /// Of the secret of a session: never the same as a token's.
    pub fn of_session(secret: &str) -> Self {
        Self {
            digest: digest(&format!("session {secret}")),
            prefix: prefix(secret),
            of: CredentialOf::Session,
            answers: answers(secret),
        }
    }

    pub(super) fn new_session() -> Result<Zeroizing<String>, StoreError> {
        new_secret(SESSION_PREFIX)
    }

    /// Whether it is that of a session.
    pub fn is_session(&self) -> bool {
        self.of == CredentialOf::Session
    }

    /// Tells secrets apart, and tells nothing of them.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// How the secret begins: as much of it as may be shown.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

fn answers(secret: &str) -> Key {
    Zeroizing::new(digest(&format!("answers {secret}")))
}

/// The answer, when it is there.
async fn told(answer: &mut watch::Receiver<Option<Answer>>) -> Answer {
    match answer.wait_for(Option::is_some).await {
        Ok(told) => told.clone().unwrap_or(Ok(None)),
        Err(_) => Err(StoreError::busy("a question about a token was given up")),
    }
}

impl KeptToken {
    fn of(principal: &Principal, expires_at: Option<Timestamp>) -> Self {
        Self {
            token_id: principal.token,
            client_id: principal.client,
            scopes: principal.scopes,
            name: principal.name.clone(),
            expires_at,
            confirmed_at: Timestamp::now(),
        }
    }

    /// Who it is, until when, and how long ago the database knew it; nothing when that is too long.
    fn usable(self) -> Option<(Principal, Option<Timestamp>, Duration)> {
        let age = Timestamp::now().duration_since(self.confirmed_at);
        // The clock may have been set back.
        let age = Duration::try_from(age).unwrap_or_default();
        let principal = Principal {
            client: self.client_id,
            scopes: self.scopes,
            token: self.token_id,
            name: self.name,
            attempt: None,
        };
        (age < USABLE).then_some((principal, self.expires_at, age))
    }
}

impl Store {
    /// Who comes with `secret`; nobody when it is no token.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be found out now.
    pub async fn principal(&self, secret: &str) -> Result<Option<Principal>, StoreError> {
        self.principal_of(&Credential::of(secret)).await
    }

    /// The same, by what is kept of a secret.
    ///
    /// # Errors
    /// As [`Store::principal`].
    pub async fn principal_of(
        &self,
        credential: &Credential,
    ) -> Result<Option<Principal>, StoreError> {
        let digest = credential.digest;
        let usable = match self.0.tokens.look(&digest) {
            Looked::Fresh(principal) => return Ok(Some(principal)),
            Looked::Usable(principal) => Some(principal),
            // Another daemon may know that a session was used.
            Looked::Expired if !credential.is_session() => return Ok(None),
            Looked::Expired => None,
            Looked::Unknown => None,
        };
        // Whoever asks for the same waits for the same answer.
        let (mut answer, asks) = self.0.tokens.ask(digest);
        if let Some(sender) = asks {
            let (store, credential) = (self.clone(), credential.clone());
            tokio::spawn(async move {
                let answer = store.ask_database(credential).await;
                store.0.tokens.asked(&digest);
                sender.send_replace(Some(answer));
            });
        }
        match timeout(MOMENT, told(&mut answer)).await {
            Ok(Err(StoreError::Unavailable(_))) | Err(_) => {}
            Ok(answered) => return answered,
        }
        let elsewhere = match usable {
            Some(principal) => Some(principal),
            None => self.known_to_redis(&digest).await,
        };
        match elsewhere {
            Some(principal) => Ok(Some(principal)),
            None => told(&mut answer).await,
        }
    }

    /// Ends when `credential` is none any more, within a second wherever that was done: for whoever was let in for long.
    pub fn ended(&self, credential: &Credential) -> impl Future<Output = ()> + Send + use<> {
        let mut sender = self.0.tokens.watch(credential.digest);
        async move { while sender.changed().await.is_ok() {} }
    }

    /// Asks the database for every token that is known: what was revoked elsewhere is none here, also should the database
    /// go away before anybody comes with it.
    pub(crate) async fn confirm_known_tokens(&self) -> Result<(), StoreError> {
        self.confirm_tokens(self.0.tokens.known()).await
    }

    /// The same for those that somebody was let in with for long. While the database does not answer, what was let in
    /// stays until its time is over.
    pub(crate) async fn confirm_watched_tokens(&self) -> Result<(), StoreError> {
        let watched = self.0.tokens.watched();
        for digest in &watched {
            if self.0.tokens.look(digest) == Looked::Expired {
                self.0.tokens.forget(digest);
            }
        }
        self.confirm_tokens(watched).await
    }

    async fn confirm_tokens(&self, asked: Vec<TokenDigest>) -> Result<(), StoreError> {
        if asked.is_empty() {
            return Ok(());
        }
        let digests: Vec<Vec<u8>> = asked.iter().map(|digest| digest.to_vec()).collect();
        let there = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = "SELECT digest FROM tokens WHERE digest = ANY($1)
                                   AND (expires_at IS NULL OR expires_at > now())
                               UNION ALL SELECT digest FROM sessions WHERE digest = ANY($1) AND expires_at > now()";
                    let rows = session.query(sql, &[&digests]).await?;
                    let digest = |row: &Row| row.try_get::<_, Vec<u8>>("digest");
                    Ok(rows.iter().map(digest).collect::<Result<HashSet<_>, _>>()?)
                })
            })
            .await?;
        for digest in asked.iter().filter(|digest| !there.contains(&digest[..])) {
            self.forget_token(digest).await;
        }
        Ok(())
    }

    /// Whether memory knows who comes with it, so that nobody has to be asked.
    pub fn knows(&self, credential: &Credential) -> bool {
        let looked = self.0.tokens.look(&credential.digest);
        looked.principal().is_some()
    }

    async fn ask_database(&self, credential: Credential) -> Result<Option<Principal>, StoreError> {
        let Credential {
            digest, prefix, of, ..
        } = credential;
        let begun = Instant::now();
        let found = self
            .database()
            .run(move |session| {
                Box::pin(async move {
                    let sql = match of {
                        // Those from before prefixes were kept have none.
                        CredentialOf::Token => "SELECT * FROM tokens WHERE prefix IN ($1, '') AND (expires_at IS NULL OR expires_at > now())",
                        CredentialOf::Session => "SELECT t.id, t.client_id, t.name, t.scopes, t.prefix, t.created_at, s.digest,
                                least(s.expires_at, t.expires_at) AS expires_at
                            FROM sessions s JOIN tokens t ON t.id = s.token_id
                            WHERE s.prefix = $1 AND least(s.expires_at, t.expires_at) > now()",
                    };
                    let rows = session.query(sql, &[&prefix]).await?;
                    let same = |row: &&Row| row.try_get("digest").is_ok_and(|known: &[u8]| known.ct_eq(&digest).into());
                    let known = |row: &Row| Ok((principal(row)?, row.try_get("expires_at")?));
                    rows.iter().find(same).map(known).transpose()
                })
            })
            .await?;
        let Some((principal, expires_at)) = found else {
            self.forget_token(&digest).await;
            return Ok(None);
        };
        self.confirm_token(digest, &principal, expires_at, begun)
            .await;
        Ok(Some(principal))
    }

    /// The database knows this token, as of when it was asked.
    pub(super) async fn confirm_token(
        &self,
        digest: TokenDigest,
        principal: &Principal,
        expires_at: Option<Timestamp>,
        asked: Instant,
    ) {
        let tokens = &self.0.tokens;
        if !tokens.confirm(digest, principal, expires_at, asked.elapsed()) {
            return;
        }
        let kept = KeptToken::of(principal, expires_at);
        self.0.standby.put(Kind::Token, hex(&digest), &kept);
        let Ok(json) = serde_json::to_string(&kept) else {
            return;
        };
        let seconds = i64::try_from(USABLE.as_secs()).unwrap_or(i64::MAX);
        let (now, expire) = (self.hot().now(), Some(Expiration::EX(seconds)));
        let set = now.set::<(), _, _>(self.token_key(&digest), json, expire, None, false);
        if let Err(error) = self.hot().bounded(set).await {
            tracing::debug!(%error, "Redis does not know a token");
            self.0.tokens.not_kept(&digest);
        }
    }

    /// The database does not know this token: nobody does.
    pub(crate) async fn forget_token(&self, digest: &TokenDigest) {
        self.0.tokens.forget(digest);
        self.standby_and_redis_forget(digest).await;
    }

    /// This token was revoked just now, by this daemon.
    pub(crate) async fn end_token(&self, digest: &TokenDigest) {
        self.0.tokens.fell(digest);
        self.standby_and_redis_forget(digest).await;
    }

    async fn standby_and_redis_forget(&self, digest: &TokenDigest) {
        self.0.standby.remove(Kind::Token, hex(digest));
        self.take_from_redis(digest).await;
    }

    async fn take_from_redis(&self, digest: &TokenDigest) {
        let now = self.hot().now();
        let gone = now.del::<(), _>(self.token_key(digest));
        match self.hot().bounded(gone).await {
            Ok(()) => self.0.tokens.forgotten(digest),
            Err(error) => {
                tracing::debug!(%error, "Redis knows a token for longer than it is good");
            }
        }
    }

    /// Takes from Redis the tokens that ended while it was away.
    pub(crate) async fn end_tokens(&self) {
        for digest in self.0.tokens.ended() {
            if self.hot().gate().check().is_err() {
                return;
            }
            self.take_from_redis(&digest).await;
        }
    }

    async fn known_to_redis(&self, digest: &TokenDigest) -> Option<Principal> {
        if self.0.tokens.has_ended(digest) {
            return None;
        }
        let key = self.token_key(digest);
        let json: Option<String> = self.hot().bounded(self.hot().now().get(key)).await.ok()?;
        let kept: KeptToken = serde_json::from_str(&json?).ok()?;
        let (principal, expires_at, age) = kept.usable()?;
        let tokens = &self.0.tokens;
        tokens.confirm(*digest, &principal, expires_at, age);
        tokens.look(digest).principal()
    }

    /// Takes into memory what the copy on disk knows of tokens, and takes out of it what is too old.
    pub(crate) fn resume_tokens(&self) {
        let standby = &self.0.standby;
        for (id, kept) in standby.all::<KeptToken>(Kind::Token) {
            let digest = unhex(&id).and_then(|bytes| TokenDigest::try_from(bytes).ok());
            match (digest, kept.usable()) {
                (Some(digest), Some((principal, expires_at, age))) => {
                    self.0.tokens.confirm(digest, &principal, expires_at, age);
                }
                _ => standby.remove(Kind::Token, id),
            }
        }
    }

    fn token_key(&self, digest: &TokenDigest) -> String {
        self.hot().named(&format!("token:{}", hex(digest)))
    }
}
