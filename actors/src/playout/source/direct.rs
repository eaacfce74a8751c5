//! Reads a prepared file GOP by GOP, by its index. No process, no start cost.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use playout_media::demux::{DemuxError, Demuxer};
use playout_media::gop::Gop;
use playout_media::index::{GopPlace, ITEM_START};

use super::SourceError;
use crate::library::Prepared;

/// A prepared file being read.
#[derive(Debug)]
pub(in crate::playout) struct DirectSource {
    prepared: Prepared,
    file: Arc<File>,
    /// The number of the next GOP.
    next: usize,
}

impl DirectSource {
    /// Opens `prepared` to be read from GOP number `next` on.
    pub(in crate::playout) async fn open(prepared: Prepared, next: usize) -> Result<Self, SourceError> {
        let path = prepared.path.clone();
        let opened = blocking(move || File::open(&path)).await;
        let file = opened.map_err(|source| SourceError::Io { path: prepared.path.clone(), source })?;
        Ok(Self { prepared, file: Arc::new(file), next })
    }

    /// The next GOP; `None` behind the last.
    pub(in crate::playout) async fn next(&mut self) -> Result<Option<Gop>, SourceError> {
        let Some(place) = self.prepared.index.gop(self.next) else { return Ok(None) };
        let file = Arc::clone(&self.file);
        let read = blocking(move || read_gop(&file, place)).await;
        let gop = read.map_err(|source| SourceError::Io { path: self.prepared.path.clone(), source })??;
        self.next += 1;
        Ok(Some(gop))
    }
}

/// Reads the GOP at `place` of a prepared file. Blocks.
pub(in crate::playout) fn read_gop(file: &File, place: GopPlace) -> std::io::Result<Result<Gop, DemuxError>> {
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    Ok(parse_gop(&bytes))
}

fn parse_gop(bytes: &[u8]) -> Result<Gop, DemuxError> {
    let mut demuxer = Demuxer::starting_at(ITEM_START);
    demuxer.push(bytes)?;
    demuxer.finish(true)?;
    demuxer.next_gop().ok_or(DemuxError::NoKeyFrame)
}

/// Runs `work` where it may block. A panic there is passed on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
