//! Plays a stream for a few seconds, to see whether it goes on.

use std::time::Duration;

use playout_domain::destination::ServerUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::check::{Connection, Limits, READ, Run, StreamName, app_and_name, talk};
use super::dialogue::Progress;
use super::explain::Trouble;
use super::fault::Fault;
use super::refusal::{Refusal, Step};
use crate::address::Reach;
use crate::rtmp::dialogue::Dialogue;
use crate::tls::TrustRoots;

/// Media has to go on for so long: servers send a burst of what they have kept to whoever begins to play.
const GOES_ON: Duration = Duration::from_secs(2);

/// What to play, and how.
#[derive(Debug, Clone, Copy)]
pub struct Play<'a> {
    /// Where: the path names app and stream.
    pub server: &'a ServerUrl,
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// Whose certificates are taken.
    pub roots: &'a TrustRoots,
    /// How long it may take in all.
    pub limit: Duration,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playing {
    /// Media whose time goes on.
    Moving,
    /// None: a sentence says why.
    Still(&'static str),
}

/// Plays a stream until it is seen that it goes on, or the time is over.
///
/// # Errors
/// [`Refusal`]: the stream could not be asked for.
pub async fn play(asked: &Play<'_>) -> Result<Playing, Refusal> {
    let begun = Instant::now();
    let limits = Limits {
        step: asked.limit,
        whole: asked.limit,
    };
    let mut run = Run::of(asked.server, limits);
    let (mut stream, _) = run.open(asked.reach, asked.roots).await?;
    let (app, name) = app_and_name(asked.server.app(), StreamName::InPath);
    let mut dialogue = run.dialogue(app);
    dialogue.expect_media();
    let answered = talk(&mut stream, &mut dialogue, Progress::Connected);
    run.step(Step::App, answered).await?;
    dialogue.play(name);
    let until = begun + asked.limit;
    let watched = watch(&mut stream, &mut dialogue, until).await;
    watched.map_err(|trouble| run.refusal(Step::Play, &trouble))
}

async fn watch(
    stream: &mut Box<dyn Connection>,
    dialogue: &mut Dialogue,
    until: Instant,
) -> Result<Playing, Trouble> {
    let mut buffer = vec![0; READ];
    // When the first media came, and the time of the newest.
    let mut seen: Option<(Instant, u32)> = None;
    loop {
        let out = dialogue.outgoing();
        let read = async {
            stream.write_all(&out).await?;
            stream.flush().await?;
            stream.read(&mut buffer).await
        };
        let Ok(read) = timeout_at(until, read).await else {
            return Ok(Playing::Still(match seen {
                None => "the stream is asked for, and no media comes",
                Some(_) => "the stream's media does not go on",
            }));
        };
        match read? {
            0 => {
                return Ok(Playing::Still(
                    "the server closes the connection when the stream is asked for",
                ));
            }
            read => match dialogue.received(&buffer[..read]) {
                Err(Fault::Stream(_)) => {
                    return Ok(Playing::Still("the server has no such stream"));
                }
                Err(Fault::Closed) => return Ok(Playing::Still("the server ends the stream")),
                received => received?,
            },
        }
        let Some(newest) = dialogue.newest_media() else {
            continue;
        };
        match seen {
            None => seen = Some((Instant::now(), newest)),
            // Of a clock that wraps (RTMP 1.0 §5.1).
            Some((first, before)) if newest.wrapping_sub(before) as i32 > 0 => {
                if first.elapsed() >= GOES_ON {
                    return Ok(Playing::Moving);
                }
                seen = Some((first, newest));
            }
            Some(_) => {}
        }
    }
}
