//! An item as the API answers it.

use playout_domain::loudness::Heard;
use playout_domain::media::MediaItem;
use playout_domain::prepare::JobState;
use playout_store::Subtitle;
use serde::Serialize;
use serde_json::{Value, json};

/// An item prepared into one profile, or on the way there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RenditionView {
    /// The profile's key.
    pub profile: String,
    /// How far it has come.
    pub status: JobState,
    /// The same in percent.
    pub percent: f64,
    /// While it is measured how loud the item is: how much of it was listened to, in percent.
    pub measured_percent: Option<f64>,
    /// Seconds until it is ready, as far as can be told.
    pub eta_seconds: Option<u64>,
    /// Its length in frames, once ready.
    pub frames: Option<u64>,
    /// Its size, once ready.
    pub bytes: Option<u64>,
    /// How loud it has become, once ready; nothing where it has no sound.
    pub loudness: Option<Heard>,
    /// What is not as the profile wants it, although it is ready: a sentence.
    pub warning: Option<String>,
    /// Why it could not be prepared.
    pub reason: Option<String>,
}

/// An item and what is prepared of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaView {
    /// The item.
    pub item: MediaItem,
    /// By the profile's key.
    pub renditions: Vec<RenditionView>,
    /// What is said in it, by language.
    pub subtitles: Vec<Subtitle>,
}

impl MediaView {
    /// The item as the API answers it.
    pub fn to_json(&self) -> Value {
        let mut view = self.item.to_json();
        if let Some(fields) = view.as_object_mut() {
            fields.insert("renditions".into(), json!(self.renditions));
            let subtitles = self.subtitles.iter().map(Subtitle::to_json);
            fields.insert("subtitles".into(), subtitles.collect());
        }
        view
    }
}
