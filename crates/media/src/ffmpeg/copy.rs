//! Plays a prepared file without touching its pictures.

use std::path::Path;

use playout_domain::units::Ticks90k;

use super::Invocation;
use crate::index::ITEM_START;

/// Half a GOP: a copy lands late, on the key frame behind the place it was sent to.
const EARLIER: Ticks90k = Ticks90k::new(Ticks90k::PER_SECOND);

/// Copies a prepared file of so many rungs from the GOP whose key frame is shown at `from` on the item's clock, to its
/// end. What comes before `from` on the pipe is to be dropped; time stamps stay the file's own.
pub fn copy(prepared: &Path, rungs: usize, from: Ticks90k) -> Invocation {
    let mut line = Invocation::ffmpeg().with(["-copyts"]);
    // A seek counts from the container's start, which is the item's.
    if let Some(into) = from
        .checked_sub(ITEM_START + EARLIER)
        .filter(|into| into.get() > 0)
    {
        line = line.set("-ss", format_args!("{:.6}", into.seconds()));
    }
    line.own(prepared)
        .with(["-map", "0:v", "-map", "0:a", "-c", "copy"])
        .stream(rungs)
}
