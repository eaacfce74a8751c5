//! Hears all of a file's sound to find out how loud it is, and writes nothing but messages.

use std::path::Path;

use playout_domain::languages::Languages;
use playout_domain::loudness::Gain;

use super::Invocation;
use super::sound::{self, Head, Samples};
use crate::probe::Probed;

/// Measures the sound of `input` that is played of it where `languages` are preferred, brought to stereo, after `gain`
/// is done to it. Its messages are for [`crate::loudness::Meter`]. Nothing where there is no sound.
pub fn measure(
    input: &Path,
    probed: &Probed,
    languages: &Languages,
    gain: &Gain,
) -> Option<Invocation> {
    let sound = probed.sound(languages)?;
    let zero = probed.begin() - probed.start as f64 / 1e6;
    let length = probed.length().map(|length| length.as_secs_f64());
    let head = Head::of(&Samples::ALL, zero, false);
    let line = Invocation::ffmpeg()
        .with(["-loglevel", "level+info"])
        .with(["-progress", "pipe:2", "-stats_period", "0.5"])
        .stranger(input)
        .sound(0, &sound, head, sound::meter(length, gain), true)
        .with(["-f", "null", "-"]);
    Some(line)
}
