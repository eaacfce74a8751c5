//! Reads a prepared file GOP by GOP, by its index. No process, no start cost.
//!
//! The item's grid of audio units and the channel's round differently, so a GOP may need the first unit of
//! the next one: the pieces are read in order through one demuxer, beginning one GOP early.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use playout_media::demux::Demuxer;
use playout_media::gop::Gop;
use playout_media::index::{GopIndex, GopPlace};

use super::SourceError;
use crate::library::Prepared;
use crate::playout::blocking::blocking;

/// A prepared file being read.
#[derive(Debug)]
pub(in crate::playout) struct DirectSource {
    prepared: Prepared,
    file: Arc<File>,
    demuxer: Demuxer,
    /// The number of the GOP that is read next.
    read: usize,
    /// The number of the GOP that is handed over next.
    next: usize,
    /// Whether the last GOP was read.
    ended: bool,
}

impl DirectSource {
    /// Opens `prepared` to be read from GOP number `next` on.
    pub(in crate::playout) async fn open(
        prepared: Prepared,
        next: usize,
    ) -> Result<Self, SourceError> {
        let path = prepared.path.clone();
        let opened = blocking(move || File::open(&path)).await;
        let file = Arc::new(opened.map_err(|source| at(&prepared, source))?);
        let index = &prepared.index;
        let first = index.gop(next).map_or(index.frames, |place| place.frame);
        let demuxer = Demuxer::starting_at(GopIndex::time_of(first, index.frame_rate));
        let read = next.saturating_sub(1);
        Ok(Self {
            prepared,
            file,
            demuxer,
            read,
            next,
            ended: false,
        })
    }

    /// The number of the GOP that is handed over next.
    pub(in crate::playout) fn position(&self) -> usize {
        self.next
    }

    /// The next GOP; `None` behind the last. Cancel-safe.
    pub(in crate::playout) async fn next(&mut self) -> Result<Option<Gop>, SourceError> {
        loop {
            if let Some(gop) = self.demuxer.next_gop() {
                self.next += 1;
                return Ok(Some(gop));
            }
            if self.ended {
                return Ok(None);
            }
            match self.prepared.index.gop(self.read) {
                Some(place) => {
                    let file = Arc::clone(&self.file);
                    let read = blocking(move || read_piece(&file, place)).await;
                    self.demuxer
                        .push(&read.map_err(|source| at(&self.prepared, source))?)?;
                    self.read += 1;
                }
                None => {
                    self.demuxer.finish(true)?;
                    self.ended = true;
                }
            }
        }
    }
}

fn at(prepared: &Prepared, source: std::io::Error) -> SourceError {
    SourceError::Io {
        path: prepared.path.clone(),
        source,
    }
}

fn read_piece(file: &File, place: GopPlace) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    Ok(bytes)
}
