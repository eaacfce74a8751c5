//! What supervision promises: decisions as properties, their performance with real actors on a
//! paused clock.
#![allow(clippy::unwrap_used)]

mod decisions;
mod life;
