//! The files beside an item that say something about it: `film.json` or `film.nfo` beside `film.mp4`, and what is said in it:
//! `film.srt`, `film.en.vtt`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use playout_domain::media::MediaItem;
use playout_domain::{Details, Language};
use playout_media::probe;
use playout_media::sidecar::{self, LARGEST};
use playout_media::subtitle::{Format, LARGEST_FILE, Track};
use playout_store::{Expected, Principal, Subtitle, SubtitleOrigin};
use tokio::task::spawn_blocking;

use super::import::{RefusedFile, described};
use super::{Inner, LibraryFact};
use crate::error::OpError;
use crate::hub::kind;
use crate::process::Roots;

/// Names of sidecars that say what an item is end so; the first that is there counts.
const ENDINGS: [&str; 2] = ["json", "nfo"];

/// A file beside an item's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sidecar {
    /// The item's file.
    pub(super) film: PathBuf,
    /// The one beside it.
    pub(super) file: PathBuf,
    pub(super) says: Says,
}

/// What a sidecar says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// What the item is.
    Details,
    /// What is said in it; in which language, where the file's name tells.
    Words(Format, Option<Language>),
}

impl Inner {
    /// What the sidecar of an item says; nothing where there is none, or none that can be read.
    pub(super) async fn sidecar(&self, item: &MediaItem) -> Details {
        let (path, roots) = (item.path.clone(), self.roots.of(item.client_id));
        let read = spawn_blocking(move || beside(&path, &roots)).await;
        read.unwrap_or_default()
    }

    /// Takes in what a sidecar says, whether it came with its item or later. Answers why it is refused, if it is.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn take_sidecar(
        &self,
        who: &Principal,
        sidecar: &Sidecar,
    ) -> Result<Option<RefusedFile>, OpError> {
        let item = self.read(|catalogue| {
            let known = catalogue.by_path(who.client, &sidecar.film)?;
            Some(known.item.clone())
        });
        let Some(item) = item else {
            // It is read when the item is taken.
            return Ok(None);
        };
        let reason = match &sidecar.says {
            Says::Details => {
                self.describe_anew(&item).await;
                return Ok(None);
            }
            Says::Words(format, language) => {
                let words = self.words(&item, &sidecar.file, *format, language.as_ref());
                match words.await {
                    Ok(None) => return Ok(None),
                    Ok(Some((subtitle, text))) => {
                        match self
                            .put_subtitle(who, subtitle, &text, Expected::Anything)
                            .await
                        {
                            Ok(()) => return Ok(None),
                            Err(OpError::Limit(exceeded)) => format!("{exceeded}."),
                            Err(OpError::Conflict { message, .. }) => format!("{message}."),
                            Err(error) => return Err(error),
                        }
                    }
                    Err(reason) => reason,
                }
            }
        };
        let path = sidecar.file.clone();
        Ok(Some(RefusedFile { path, reason }))
    }

    /// What a file beside an item has to say in it; nothing where that is known, or something else goes before it.
    ///
    /// # Errors
    /// What is wrong with it: a sentence.
    async fn words(
        &self,
        item: &MediaItem,
        file: &Path,
        format: Format,
        named: Option<&Language>,
    ) -> Result<Option<(Subtitle, String)>, String> {
        let said = || item.details.language.as_ref()?.parse().ok();
        let language: Language = named
            .cloned()
            .or_else(said)
            .unwrap_or(Language::undetermined());
        let (path, film, roots) = (
            file.to_owned(),
            item.path.clone(),
            self.roots.of(item.client_id),
        );
        let better = better(&film, format, named, &language);
        let reading = spawn_blocking(move || {
            if better.iter().any(|better| better.exists()) {
                return Ok(None);
            }
            read(&path, &roots, LARGEST_FILE).map(Some)
        });
        let bytes = match reading.await.map_err(|stopped| format!("{stopped}."))? {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("The file cannot be read: {error}.")),
        };
        let track =
            Track::parse(&bytes, format).map_err(|refusal| format!("Subtitles: {refusal}."))?;
        let text = track.to_webvtt();
        let (origin, cues) = (SubtitleOrigin::Sidecar, track.cues.len());
        let subtitle = Subtitle::new(item.id, language, origin, &text, cues);
        let known = self.read(|catalogue| catalogue.subtitles(item.id));
        let known = known
            .iter()
            .find(|known| known.language == subtitle.language);
        let stays = known.is_some_and(|known| {
            known.origin == SubtitleOrigin::Api || known.sha256 == subtitle.sha256
        });
        Ok((!stays).then_some((subtitle, text)))
    }

    /// Reads once more what the file of an item and its sidecar say about it.
    async fn describe_anew(&self, item: &MediaItem) {
        let sidecar = self.sidecar(item).await;
        let _turn = self.editing.lock().await;
        let id = item.id;
        let known =
            self.read(|catalogue| Some((catalogue.item(id)?.clone(), catalogue.findings(id)?)));
        let Some((item, findings)) = known else {
            return;
        };
        let Ok(judged) = probe::judge(&findings.probed) else {
            return;
        };
        let MediaItem { title, details, .. } = described(item.clone(), &findings, judged, sidecar);
        if (&title, &details) == (&item.title, &item.details) {
            return;
        }
        let is_of_another_series = details.series != item.details.series;
        self.write(|catalogue| {
            catalogue.change(id, |item| {
                item.title = title;
                item.details = details;
                item.version += 1;
                item.updated_at = Timestamp::now();
            });
        });
        self.work.notify_one();
        if is_of_another_series {
            self.tell(LibraryFact::Changed { media: id });
        }
        if let Some(item) = self.read(|catalogue| catalogue.item(id).cloned()) {
            self.publish(kind::MEDIA_CHANGED, item.client_id, item.to_json());
        }
    }
}

/// Files that go before one, should they be there: who names the language knows more, and WebVTT says more.
fn better(
    film: &Path,
    format: Format,
    named: Option<&Language>,
    language: &Language,
) -> Vec<PathBuf> {
    let endings = match (format, named) {
        (Format::Srt, Some(_)) => vec![format!("{language}.vtt")],
        (Format::Srt, None) => [
            "vtt".to_owned(),
            format!("{language}.vtt"),
            format!("{language}.srt"),
        ]
        .into(),
        (Format::WebVtt, Some(_)) => Vec::new(),
        (Format::WebVtt, None) => vec![format!("{language}.vtt"), format!("{language}.srt")],
    };
    endings
        .iter()
        .map(|ending| film.with_extension(ending))
        .collect()
}

/// The files of a folder that may have sidecars, by their names without the ending.
pub(super) struct Names<'a>(HashMap<&'a OsStr, Vec<&'a Path>>);

impl<'a> Names<'a> {
    /// Of everything in the folder.
    pub(super) fn of(paths: &'a [PathBuf]) -> Self {
        let mut names: HashMap<&OsStr, Vec<&Path>> = HashMap::new();
        for path in paths.iter().filter(|path| kind_of(path).is_none()) {
            if let Some(name) = path.file_stem() {
                names.entry(name).or_default().push(path);
            }
        }
        Self(names)
    }

    /// The files whose sidecar a file of the folder is, and what it says of them: it has the name of one that is none.
    pub(super) fn beside(&self, path: &Path) -> Option<(&[&'a Path], Says)> {
        let (kind, name) = (kind_of(path)?, path.file_stem()?);
        let films = |name: &OsStr| self.0.get(name).map(Vec::as_slice);
        match kind {
            Kind::Details => Some((films(name)?, Says::Details)),
            Kind::Words(format) => match films(name) {
                Some(films) => Some((films, Says::Words(format, None))),
                None => {
                    let (film, language) = name.to_str()?.rsplit_once('.')?;
                    let language = language.parse().ok()?;
                    Some((
                        films(OsStr::new(film))?,
                        Says::Words(format, Some(language)),
                    ))
                }
            },
        }
    }
}

/// What a sidecar may be by the end of its name.
enum Kind {
    Details,
    Words(Format),
}

fn kind_of(path: &Path) -> Option<Kind> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    match ending.as_str() {
        "srt" => Some(Kind::Words(Format::Srt)),
        "vtt" => Some(Kind::Words(Format::WebVtt)),
        ending => ENDINGS.contains(&ending).then_some(Kind::Details),
    }
}

fn beside(path: &Path, roots: &Roots) -> Details {
    for ending in ENDINGS {
        let file = path.with_extension(ending);
        if file == path {
            continue;
        }
        let read = match read(&file, roots, LARGEST) {
            Ok(bytes) if ending == "json" => sidecar::json(&bytes),
            Ok(bytes) => sidecar::nfo(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(details) => return details,
            Err(reason) => {
                tracing::warn!(file = %file.display(), reason, "a sidecar is passed over");
            }
        }
    }
    Details::default()
}

/// A sidecar whole; one that leads out of the roots, is too large or no file is an error.
fn read(file: &Path, roots: &Roots, largest: usize) -> io::Result<Vec<u8>> {
    if !roots.lead_to(file)? {
        return Err(io::Error::other("it leads to where media may not be read"));
    }
    let mut options = File::options();
    // A pipe in its place is not waited for.
    options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let file = options.open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(largest as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() {
        length if length > largest => Err(io::Error::other("it is too large")),
        _ => Ok(bytes),
    }
}
