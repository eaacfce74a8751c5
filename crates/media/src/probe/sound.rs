//! Which of a file's streams are its sound.

use playout_domain::languages::{Languages, Spoken};

use super::{AudioStream, Probed};

/// Two streams of one channel each are taken for left and right where they end so close to each other, in seconds.
const TOGETHER: f64 = 1.0;

/// The sound of an item: one stream, or the left and the right channel in a stream each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sound<'a> {
    /// All of it, or its left channel.
    pub first: &'a AudioStream,
    /// Its right channel, where that is a stream of its own.
    pub right: Option<&'a AudioStream>,
}

impl Sound<'_> {
    /// The numbers of its streams in the file.
    pub fn streams(&self) -> Vec<u32> {
        let right = self.right.map(|right| right.index);
        std::iter::once(self.first.index).chain(right).collect()
    }
}

impl Probed {
    /// The sound that is heard where `languages` are preferred: the first of these that the file has, else what the
    /// file marks as default, else what comes first. What is made for the blind, or talks about the film, is heard
    /// only where there is nothing else. Nothing where there is no sound.
    pub fn sound(&self, languages: &Languages) -> Option<Sound<'_>> {
        let all = match self.sounds.as_slice() {
            [] => self.audio.as_slice(),
            all => all,
        };
        let speaks = |language: Spoken| {
            move |stream: &&AudioStream| {
                let tag = stream.language.as_deref();
                !stream.aside && tag.is_some_and(|tag| language.is(tag))
            }
        };
        let wanted = languages
            .iter()
            .find_map(|language| best(all.iter().filter(speaks(language))));
        // As it was chosen when the file was looked into.
        let first = wanted.or_else(|| {
            let chosen = self.audio.as_ref().map(|audio| audio.index);
            let known = all.iter().find(|stream| Some(stream.index) == chosen);
            known.or(self.audio.as_ref())
        })?;
        Some(halves(first, all).unwrap_or(Sound { first, right: None }))
    }

    /// The numbers of the streams that make up that sound; none where there is none.
    pub fn sound_streams(&self, languages: &Languages) -> Vec<u32> {
        self.sound(languages)
            .map(|sound| sound.streams())
            .unwrap_or_default()
    }
}

/// Of several streams, the one that is heard.
pub(super) fn best<'a>(streams: impl Iterator<Item = &'a AudioStream>) -> Option<&'a AudioStream> {
    streams.max_by_key(|stream| {
        let rank = (!stream.aside, stream.default);
        (rank, std::cmp::Reverse(stream.index))
    })
}

/// Files of cameras and from studios have a stream for each channel: the first two of a kind are left and right.
fn halves<'a>(chosen: &'a AudioStream, all: &'a [AudioStream]) -> Option<Sound<'a>> {
    let alike = |stream: &&AudioStream| {
        let close = match (stream.ends(), chosen.ends()) {
            (Some(one), Some(other)) => (one - other).abs() <= TOGETHER,
            _ => true,
        };
        close
            && stream.channels == 1
            && !stream.aside
            && (&stream.codec, stream.sample_rate, &stream.language)
                == (&chosen.codec, chosen.sample_rate, &chosen.language)
    };
    let mut alike = all.iter().filter(alike);
    let (first, right) = (alike.next()?, alike.next()?);
    (chosen.channels == 1).then_some(Sound {
        first,
        right: Some(right),
    })
}
