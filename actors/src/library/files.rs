//! The library's own folder: where prepared files, thumbnails and findings are, and how they come
//! there whole. Everything here blocks.
//!
//! ```text
//! prepared/<profile>/<id>.ts    a prepared item
//! prepared/<profile>/<id>.idx   its index; written last, so that its presence says complete
//! thumbnails/<id>.jpg
//! findings/<id>.json            what ffprobe found, and in which file
//! logos/<sha256>.png            a picture that channels draw
//! subtitles/<id>.…              what is said in an item: see `subtitles`
//! uploads/<id>                  a file on its way, and how far it is
//! uploads/<id>.piece            where the piece began that counts only as a whole
//! uploads/<id>.metadata         what its client said about it, to the letter
//! library/<client>/<id>/<name>  a file that was sent to the library, and is an item's
//! *.part                        not complete: removed at the next start
//! ```

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use playout_domain::ids::{ArrivalId, ClientId, MediaId};
use playout_domain::logo::Logo;
use playout_domain::media::{MediaItem, Profile};
use playout_media::index::GopIndex;
use playout_media::probe::Probed;
use playout_store::{Arrival, Rendition};
use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::known::Findings;
use super::{OWN_FILES, Prepared, subtitles};

/// What a file that is being written is called, after its name.
const PART: &str = "part";
/// Counts files that are being written.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Stamp {
    /// How many bytes the file has.
    pub(super) const fn size(self) -> u64 {
        self.size
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            inode: file.ino(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredFindings {
    stamp: Stamp,
    probed: Probed,
}

/// What becomes of files that belong to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strays {
    Remove,
    Keep,
}

/// The library's own folder.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: Arc<PathBuf>,
}

impl Files {
    /// Makes the folders that are missing.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        for folder in [
            "prepared",
            "thumbnails",
            "findings",
            "logos",
            "uploads",
            subtitles::FOLDER,
            OWN_FILES,
        ] {
            fs::create_dir_all(dir.join(folder))?;
        }
        Ok(Self { dir: Arc::new(dir) })
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> PathBuf {
        self.dir.to_path_buf()
    }

    pub(super) fn prepared(&self, media: MediaId, profile: &Profile) -> PathBuf {
        self.dir
            .join("prepared")
            .join(profile.key())
            .join(format!("{media}.ts"))
    }

    /// Where the picture of a logo is.
    pub(super) fn logo(&self, logo: &Logo) -> PathBuf {
        let name = format!("{}.png", logo.digest());
        self.dir.join("logos").join(name)
    }

    /// Where the bytes of an arrival come to.
    pub(super) fn upload(&self, id: ArrivalId) -> PathBuf {
        self.dir.join("uploads").join(id.to_string())
    }

    /// Where it says where a piece began that counts only as a whole.
    pub(super) fn piece(&self, id: ArrivalId) -> PathBuf {
        self.dir.join("uploads").join(format!("{id}.piece"))
    }

    /// What the client of an upload has said about it, to the letter.
    pub(super) fn metadata(&self, id: ArrivalId) -> PathBuf {
        self.dir.join("uploads").join(format!("{id}.metadata"))
    }

    /// Where an arrival is kept that is all there.
    pub(super) fn own(&self, arrival: &Arrival) -> PathBuf {
        let folder = self.own_of(arrival.client_id);
        folder.join(arrival.id.to_string()).join(&arrival.name)
    }

    /// What lies where arrivals come to, and whose it is. Blocks.
    pub(super) fn uploads(&self) -> Vec<(PathBuf, ArrivalId)> {
        let files = entries(&self.dir.join("uploads")).into_iter();
        let named = files.filter_map(|file| {
            let id = file.file_stem()?.to_str()?.parse().ok()?;
            Some((file, id))
        });
        named.collect()
    }

    /// Where the files are kept that a client has sent.
    pub(super) fn own_of(&self, client: ClientId) -> PathBuf {
        self.dir.join(OWN_FILES).join(client.to_string())
    }

    /// Removes the file of a client's item where that client has sent it to the library. Blocks.
    pub(super) fn remove_own(&self, client: ClientId, file: &Path) {
        if file.starts_with(self.own_of(client)) {
            remove(file);
            if let Some(folder) = file.parent() {
                // Nothing else is in it.
                let _ = fs::remove_dir(folder);
            }
        }
    }

    fn thumbnail(&self, media: MediaId) -> PathBuf {
        self.dir.join("thumbnails").join(format!("{media}.jpg"))
    }

    fn findings(&self, media: MediaId) -> PathBuf {
        self.dir.join("findings").join(format!("{media}.json"))
    }

    /// The picture of an item, if there is one.
    pub(super) fn read_thumbnail(&self, media: MediaId) -> Option<Vec<u8>> {
        fs::read(self.thumbnail(media)).ok()
    }

    pub(super) fn write_thumbnail(&self, media: MediaId, jpeg: &[u8]) -> io::Result<()> {
        write_whole(&self.thumbnail(media), jpeg)
    }

    pub(super) fn write_findings(&self, media: MediaId, findings: &Findings) -> io::Result<()> {
        let stored = StoredFindings {
            stamp: findings.stamp,
            probed: (*findings.probed).clone(),
        };
        write_whole(&self.findings(media), &serde_json::to_vec(&stored)?)
    }

    fn read_findings(&self, media: MediaId) -> Option<Findings> {
        let json = fs::read(self.findings(media)).ok()?;
        let StoredFindings { stamp, probed } = serde_json::from_slice(&json).ok()?;
        Some(Findings {
            probed: Arc::new(probed),
            stamp,
        })
    }

    /// The library as the store and the disk have it. What is on disk and belongs to nothing is a stray: what
    /// a crash has left, and what was prepared of items that are gone.
    pub(super) fn load(
        &self,
        items: Vec<MediaItem>,
        renditions: Vec<Rendition>,
        strays: Strays,
    ) -> Catalogue {
        let mut catalogue = Catalogue::default();
        let mut known: HashSet<PathBuf> = HashSet::new();
        for item in items {
            let id = item.id;
            known.extend([self.thumbnail(id), self.findings(id)]);
            catalogue.insert(item, self.read_findings(id));
        }
        for rendition in &renditions {
            let path = self.prepared(rendition.media_id, &rendition.profile);
            match check(&path, rendition) {
                Ok(prepared) => {
                    known.extend([path.with_extension("idx"), path]);
                    catalogue.restore(rendition, prepared);
                }
                Err(reason) => {
                    let media = rendition.media_id;
                    tracing::warn!(%media, file = %path.display(), reason, "prepared anew");
                }
            }
        }
        if strays == Strays::Remove {
            self.remove_strays(&known);
        }
        catalogue
    }

    fn remove_strays(&self, known: &HashSet<PathBuf>) {
        let mut folders = vec![self.dir.join("thumbnails"), self.dir.join("findings")];
        folders.extend(entries(&self.dir.join("prepared")));
        for file in folders.iter().flat_map(|folder| entries(folder)) {
            if !known.contains(&file) && is_ours(&file) {
                tracing::info!(file = %file.display(), "removing what belongs to nothing");
                remove(&file);
            }
        }
    }

    /// Removes what was made of an item for a profile.
    pub(super) fn remove_prepared(&self, media: MediaId, profile: &Profile) {
        let path = self.prepared(media, profile);
        // Without its index a file counts for nothing.
        remove(&path.with_extension("idx"));
        remove(&path);
    }

    /// Removes everything that was made of an item.
    pub(super) fn remove(&self, media: MediaId) {
        remove(&self.thumbnail(media));
        remove(&self.findings(media));
        for folder in entries(&self.dir.join("prepared")) {
            for extension in ["idx", "ts"] {
                remove(&folder.join(format!("{media}.{extension}")));
            }
        }
    }
}

/// A rendition as it is on disk; an error says in words what is wrong.
fn check(path: &Path, rendition: &Rendition) -> Result<Prepared, String> {
    let json =
        fs::read(path.with_extension("idx")).map_err(|error| format!("its index: {error}"))?;
    let index = GopIndex::parse(&json).map_err(|error| error.to_string())?;
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    let expected = (
        rendition.profile.key(),
        rendition.frames,
        rendition.bytes,
        rendition.bytes,
    );
    if (index.profile.clone(), index.frames, index.bytes, size) != expected {
        return Err("it is not the file that was prepared".to_owned());
    }
    Ok(Prepared {
        path: path.to_owned(),
        index: Arc::new(index),
        heard: rendition.heard,
    })
}

/// The entries of a folder; none where it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(read) = fs::read_dir(folder) else {
        return Vec::new();
    };
    read.flatten().map(|entry| entry.path()).collect()
}

/// Only what this library names so is ever removed.
pub(super) fn is_ours(file: &Path) -> bool {
    let ours = ["ts", "idx", "jpg", "json", "vtt", PART].map(OsStr::new);
    file.extension()
        .is_some_and(|extension| ours.contains(&extension))
        && file.is_file()
}

pub(super) fn remove(file: &Path) {
    if let Err(error) = fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = %file.display(), %error, "a file stays");
    }
}

/// A file that is not complete yet: gone again, unless it is [finished](Partial::finish).
#[derive(Debug)]
pub(super) struct Partial {
    /// Where it will be.
    path: PathBuf,
    /// Where it is.
    part: PathBuf,
    file: Option<File>,
}

impl Partial {
    /// Begins the file that will be at `path`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut part = path.as_os_str().to_owned();
        // Two jobs never write to one file, even where an aborted one is still at it.
        part.push(format!(".{}.{PART}", PARTS.fetch_add(1, Ordering::Relaxed)));
        let part = PathBuf::from(part);
        let file = Some(File::create(&part)?);
        Ok(Self {
            path: path.to_owned(),
            part,
            file,
        })
    }

    /// Appends to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// It is complete: safe on disk, and then at its place.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        fs::rename(&self.part, &self.path)?;
        self.file = None;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            remove(&self.part);
        }
    }
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Partial::create(path)?;
    file.write(bytes)?;
    file.finish()
}
