//! The font that standing texts are drawn in: what it is called in profiles, and whether it can be drawn in.

use std::path::{Path, PathBuf};

use playout_domain::media::Profile;
use playout_domain::overlay::Font;
use playout_media::ffmpeg;
use ring::digest::{SHA256, digest};
use tokio::sync::OnceCell;

use super::{Inner, Library};

/// The daemon's font, as it was when it was started.
pub(super) struct FontFile {
    path: PathBuf,
    id: Font,
    /// Set once something was drawn in it.
    good: OnceCell<()>,
}

impl FontFile {
    /// Reads it. One that cannot be read is no reason not to start: nothing but texts needs it.
    pub(super) async fn open(path: PathBuf) -> Self {
        let id = match tokio::fs::read(&path).await {
            Ok(file) => {
                let mut id = Font::default();
                let whole = digest(&SHA256, &file);
                for (byte, of) in id.0.iter_mut().zip(whole.as_ref()) {
                    *byte = *of;
                }
                id
            }
            Err(error) => {
                tracing::warn!(font = %path.display(), %error, "the font of texts cannot be read");
                Font::default()
            }
        };
        Self {
            path,
            id,
            good: OnceCell::new(),
        }
    }
}

impl Library {
    /// The font of this daemon's texts.
    pub fn font(&self) -> Font {
        self.inner.font.id
    }

    /// The file of the font, where a profile has a text; nothing where it cannot be drawn in.
    pub(crate) async fn font_file(&self, profile: &Profile) -> Option<&Path> {
        self.inner.font_file(profile).await.ok().flatten()
    }
}

impl Inner {
    /// The file of the font; nothing where a profile has no text.
    ///
    /// # Errors
    /// It has one, and nothing can be drawn in that font: a sentence.
    pub(super) async fn font_file(&self, profile: &Profile) -> Result<Option<&Path>, String> {
        if profile.treatment.caption.is_none() {
            return Ok(None);
        }
        let FontFile { path, good, .. } = &self.font;
        let tried = good.get_or_try_init(|| async {
            match self.succeeds(ffmpeg::try_font(path), "a font").await {
                Ok(true) => Ok(()),
                Ok(false) => Err("no text can be drawn in it".to_owned()),
                Err(why) => Err(why),
            }
        });
        tried.await.map_err(|why| {
            let font = path.display();
            tracing::warn!(%font, why, "the text of a channel is not drawn");
            format!("The font {font} cannot be used: {why}.")
        })?;
        Ok(Some(path))
    }
}
