//! Logos: the pictures that channels draw over what they play, each once for a client, called by their digests.

use playout_domain::ClientId;

use crate::Store;
use crate::error::StoreError;

impl Store {
    /// Keeps a picture of a client; one that is kept already is as if it were new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_logo(
        &self,
        client: ClientId,
        sha256: [u8; 32],
        png: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "INSERT INTO logos (client_id, sha256, png, kept_at) VALUES ($1, $2, $3, now())
                             ON CONFLICT (client_id, sha256) DO UPDATE SET kept_at = now()",
                            &[&client.uuid(), &sha256.as_slice(), &png],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// A picture, if `client` has it; of anybody where no client is named.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn logo(
        &self,
        client: Option<ClientId>,
        sha256: [u8; 32],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let client = client.map(|client| client.uuid());
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let row = session
                        .query_opt(
                            "SELECT png FROM logos WHERE sha256 = $1 AND ($2::uuid IS NULL OR client_id = $2) LIMIT 1",
                            &[&sha256.as_slice(), &client],
                        )
                        .await?;
                    Ok(row.map(|row| row.try_get(0)).transpose()?)
                })
            })
            .await
    }

    /// Forgets the pictures of a client that none of its channels has, but for those that have come in the last minutes:
    /// somebody is about to give them to a channel.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_logos(&self, client: ClientId) -> Result<(), StoreError> {
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    session
                        .execute(
                            "DELETE FROM logos WHERE client_id = $1 AND kept_at < now() - interval '10 minutes'
                                 AND NOT EXISTS (SELECT FROM channels WHERE channels.client_id = logos.client_id
                                     AND config->'logo'->>'sha256' = encode(logos.sha256, 'hex'))",
                            &[&client.uuid()],
                        )
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
