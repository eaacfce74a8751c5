//! The built-in slate: what is on air when nothing else can be.
//!
//! It is made once for each profile, ahead of need, so it shares no fault with what it replaces: on
//! air it is read from memory and needs neither FFmpeg nor a file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use playout_domain::media::Profile;
use playout_domain::resources::Allowance;
use playout_media::demux::Demuxer;
use playout_media::ffmpeg;
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, ITEM_START};
use playout_media::prepare::{PrepareError, Preparer};
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;

use crate::process::{Launcher, SpawnError, Stdout};

/// Making a slate takes a second or two; longer than this, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no slate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlateError {
    /// FFmpeg could not be started.
    #[error("the slate cannot be made: {0}")]
    Spawn(#[from] SpawnError),
    /// FFmpeg failed.
    #[error("the slate cannot be made: FFmpeg {exit}: {tail}")]
    Ffmpeg {
        /// How it ended.
        exit: String,
        /// What it said.
        tail: String,
    },
    /// What came is not the profile's.
    #[error("the slate cannot be made: {0}")]
    Media(#[from] PrepareError),
    /// The file cannot be written or read.
    #[error("the slate cannot be kept in {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The slate of one profile: GOPs of several lengths, down to a single frame.
#[derive(Debug)]
pub(crate) struct Slate {
    /// Longest first; the last has one frame.
    gops: Vec<Gop>,
}

impl Slate {
    fn new(mut gops: Vec<Gop>) -> Option<Self> {
        gops.sort_by_key(|gop| std::cmp::Reverse(gop.frames));
        let fits_anywhere = gops.last().is_some_and(|gop| gop.frames == 1);
        fits_anywhere.then_some(Self { gops })
    }

    /// The longest piece of at most `room` frames; `room` is one at least.
    pub(super) fn piece(&self, room: u64) -> &Gop {
        let fits = self.gops.iter().find(|gop| u64::from(gop.frames) <= room);
        fits.unwrap_or(&self.gops[self.gops.len() - 1])
    }
}

/// The slates of all profiles in use.
#[derive(Debug)]
pub(crate) struct Slates {
    dir: PathBuf,
    launcher: Launcher,
    /// What making one may use.
    allowance: Allowance,
    /// By the profile's key. Held while one is made: making two at once is no faster.
    made: Mutex<HashMap<String, Arc<Slate>>>,
}

impl Slates {
    /// Slates kept in `dir`.
    pub(crate) fn new(dir: PathBuf, launcher: Launcher, allowance: Allowance) -> Self {
        Self {
            dir,
            launcher,
            allowance,
            made: Mutex::default(),
        }
    }

    /// The slate of `profile`: from memory, else from disk, else made.
    pub(crate) async fn get(&self, profile: &Profile) -> Result<Arc<Slate>, SlateError> {
        // Nothing is done to it that is done to programmes.
        let profile = &profile.spliced();
        let key = profile.key();
        let mut made = self.made.lock().await;
        if let Some(slate) = made.get(&key) {
            return Ok(Arc::clone(slate));
        }
        let base = self.dir.join(&key);
        let kept = tokio::task::spawn_blocking({
            let base = base.clone();
            move || load(&base)
        });
        let slate = match kept.await.ok().flatten() {
            Some(slate) => slate,
            None => self.make(profile, &base).await?,
        };
        let slate = Arc::new(slate);
        made.insert(key, Arc::clone(&slate));
        Ok(slate)
    }

    async fn make(&self, profile: &Profile, base: &Path) -> Result<Slate, SlateError> {
        let spec = self
            .launcher
            .spec(ffmpeg::slate(profile), format!("slate {}", profile.key()));
        let spec = spec.stdout(Stdout::PIPED).allowance(self.allowance);
        let mut process = self.launcher.spawn(spec).await?;
        let mut bytes = Vec::new();
        let read = async {
            if let Some(mut stdout) = process.take_stdout() {
                // What is missing shows in the end of the process or of the stream.
                let _ = stdout.read_to_end(&mut bytes).await;
            }
            process.last_words().await
        };
        let failed = |exit: String, tail: String| SlateError::Ffmpeg { exit, tail };
        let ended = tokio::time::timeout(PATIENCE, read).await;
        let (exit, tail) = ended.map_err(|_| failed("hangs".into(), String::new()))?;
        if !exit.success() {
            return Err(failed(exit.to_string(), tail));
        }
        let mut preparer = Preparer::new(profile);
        let mut file: Vec<u8> = preparer.push(&bytes)?.concat();
        let (rest, index) = preparer.finish()?;
        file.extend(rest.concat());
        let slate =
            parse(&file, &index).ok_or_else(|| failed("made no usable slate".into(), tail))?;
        keep(base, &file, &index).map_err(|source| SlateError::Io {
            path: self.dir.clone(),
            source,
        })?;
        Ok(slate)
    }
}

fn load(base: &Path) -> Option<Slate> {
    let index = GopIndex::parse(&fs::read(base.with_added_extension("idx")).ok()?).ok()?;
    let file = fs::read(base.with_added_extension("ts")).ok()?;
    parse(&file, &index)
}

fn parse(file: &[u8], index: &GopIndex) -> Option<Slate> {
    let gop = |number| {
        let place = index.gop(number)?;
        let bytes = file.get(place.offset as usize..(place.offset + place.len) as usize)?;
        let mut demuxer = Demuxer::starting_at(ITEM_START);
        demuxer.push(bytes).ok()?;
        demuxer.finish(true).ok()?;
        demuxer.next_gop()
    };
    Slate::new((0..index.gops.len()).map(gop).collect::<Option<Vec<_>>>()?)
}

/// The index is written last: where it is, the file is whole.
fn keep(base: &Path, file: &[u8], index: &GopIndex) -> std::io::Result<()> {
    if let Some(dir) = base.parent() {
        fs::create_dir_all(dir)?;
    }
    for (extension, bytes) in [("ts", file), ("idx", &serde_json::to_vec(index)?)] {
        let part = base.with_added_extension(format!("{extension}.part"));
        fs::write(&part, bytes)?;
        fs::rename(&part, base.with_added_extension(extension))?;
    }
    Ok(())
}
