//! Logos: pictures that are drawn over what channels play. The database keeps them; FFmpeg reads a copy of each from
//! the library's own folder, where it is called by its digest.

use std::io;
use std::path::{Path, PathBuf};

use playout_domain::Violations;
use playout_domain::ids::ClientId;
use playout_domain::logo::Logo;
use playout_domain::media::Profile;
use playout_media::ffmpeg;
use playout_media::png;
use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;

use super::files::write_whole;
use super::{Inner, Library};
use crate::error::OpError;

impl Library {
    /// Takes a PNG for a client's channels; answers its digest.
    ///
    /// # Errors
    /// It is no PNG that can be drawn: a sentence; the database or the disk does not take it.
    pub async fn keep_logo(&self, client: ClientId, file: Vec<u8>) -> Result<[u8; 32], OpError> {
        let refused = |reason: String| OpError::from(Violations::one("", reason));
        png::examine(&file).map_err(|refusal| refused(refusal.to_string()))?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &file).as_ref());
        let inner = &self.inner;
        let kept = inner.files.logo(&Logo::new(sha256));
        if !tokio::fs::try_exists(&kept).await.unwrap_or(false) {
            let written = |error: io::Error| {
                OpError::unavailable(format!("the logo cannot be written: {error}"))
            };
            let candidate = kept.with_extension("candidate.part");
            write(&candidate, &file).await.map_err(written)?;
            let decoded = inner.decodes(&candidate).await;
            if decoded != Ok(true) {
                // What stays is overwritten by the next one like it.
                let _ = tokio::fs::remove_file(&candidate).await;
                return Err(match decoded {
                    Err(why) => OpError::unavailable(format!("the logo was not looked at: {why}")),
                    Ok(_) => refused("The PNG is damaged: its picture cannot be decoded.".into()),
                });
            }
            match tokio::fs::rename(&candidate, &kept).await {
                // Somebody sent the same.
                Err(_) if tokio::fs::try_exists(&kept).await.unwrap_or(false) => {}
                renamed => renamed.map_err(written)?,
            }
        }
        inner.store.keep_logo(client, sha256, file).await?;
        Ok(sha256)
    }

    /// The picture of a client's logo, if it has that.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn logo_of(&self, client: ClientId, logo: &Logo) -> Result<Option<Vec<u8>>, OpError> {
        Ok(self.inner.store.logo(Some(client), logo.sha256).await?)
    }

    /// Forgets the logos of a client that no channel has.
    pub async fn forget_logos(&self, client: ClientId) {
        // What stays is forgotten the next time; files on disk are for whoever has the same.
        if let Err(error) = self.inner.store.forget_logos(client).await {
            tracing::warn!(%client, %error, "logos that nobody has are kept for now");
        }
    }

    /// Where the picture of a profile's logo is, for FFmpeg; nothing where there is none to be had.
    pub(crate) async fn logo_file(&self, profile: &Profile) -> Option<PathBuf> {
        self.inner.logo_file(profile).await.ok().flatten()
    }
}

impl Inner {
    /// Where the picture of a profile's logo is; nothing where it has none.
    ///
    /// # Errors
    /// It has one, which is not to be had: a sentence.
    pub(super) async fn logo_file(&self, profile: &Profile) -> Result<Option<PathBuf>, String> {
        let Some(logo) = profile.treatment.logo else {
            return Ok(None);
        };
        let path = self.files.logo(&logo);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(Some(path));
        }
        let failed = |why: String| {
            tracing::warn!(
                logo = logo.digest(),
                why,
                "the logo of a channel is not to be had"
            );
            format!("The logo of the channel is not to be had: {why}.")
        };
        // Another daemon has taken it, or the folder is new.
        let stored = self.store.logo(None, logo.sha256).await;
        let file = stored
            .map_err(|error| failed(error.to_string()))?
            .ok_or_else(|| failed("it is not kept any more".to_owned()))?;
        write(&path, &file)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Some(path))
    }

    /// Whether the pixels of a PNG can be decoded; an error says why nobody looked.
    async fn decodes(&self, file: &Path) -> Result<bool, String> {
        let Some(_permit) = self.permit().await else {
            return Err("the daemon is being ended".to_owned());
        };
        self.succeeds(ffmpeg::decode_logo(file), "a logo").await
    }
}

async fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, bytes) = (path.to_owned(), bytes.to_vec());
    spawn_blocking(move || write_whole(&path, &bytes))
        .await
        .map_err(io::Error::other)?
}
