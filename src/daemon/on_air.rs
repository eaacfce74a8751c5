//! `serve --on-air FOLDER`: from a folder of videos to a channel on air, and where to find it.
//!
//! Idempotent: the channel is found by its name, files that were imported before are not imported
//! again, a rotation that says the same is left alone.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use playout_actors::hub::{Filter, kind};
use playout_actors::{App, OpError};
use playout_domain::lifecycle::Operation;
use playout_domain::schedule::{Edit, RotationItem};
use playout_domain::{Channel, ChannelId, MediaItem};
use playout_store::Principal;
use serde_json::json;

/// The name of the channel.
const NAME: &str = "Demo";
/// How often a wait says that it goes on.
const NEWS: Duration = Duration::from_secs(5);
/// The longest wait for the first playlist before the addresses are printed all the same.
const FIRST_PLAYLIST: Duration = Duration::from_secs(60);

/// Puts `folder` on air and prints where to watch; the daemon is at `url`, and for viewers at `viewers`.
///
/// # Errors
/// One sentence: nothing in the folder can be played, or the channel cannot be started.
pub(super) async fn put(
    app: &App,
    folder: &Path,
    [url, viewers]: [&str; 2],
    token: &Path,
) -> Result<(), String> {
    let who = Principal::daemon();
    let items = import(app, &who, folder).await?;
    let channel = channel(app, &who).await?;
    set_rotation(app, &who, channel.id, &items).await?;
    let started = app
        .channels
        .operate(&who, channel.id, Operation::Start)
        .await;
    started.map_err(|error| failed("start the channel", &error))?;
    wait_for_playlist(app, channel.id).await;
    let id = channel.id;
    say(&format!(
        "On air: {} ({})\n  watch     {viewers}/watch/{id}\n  playlist  {viewers}/hls/{id}/index.m3u8\n  \
         API       {url}/api/v1/channels/{id}\n  token     {}",
        channel.config.name,
        items_of(items.len()),
        token.display()
    ));
    Ok(())
}

/// Every file of the folder that plays.
async fn import(app: &App, who: &Principal, folder: &Path) -> Result<Vec<MediaItem>, String> {
    let shown = folder.display();
    let folder = folder
        .canonicalize()
        .map_err(|error| format!("cannot open {shown}: {error}"))?;
    say(&format!("Looking at {shown} …"));
    let filter = Filter {
        kinds: Some(&[kind::MEDIA_IMPORTED]),
        ..Filter::default()
    };
    let mut imported = app.hub.subscribe(filter, None);
    let mut count = 0;
    let mut news = tokio::time::interval_at(tokio::time::Instant::now() + NEWS, NEWS);
    let mut work = std::pin::pin!(app.library.import(who, &folder));
    let report = loop {
        tokio::select! {
            report = &mut work => break report,
            Some(_) = imported.next() => count += 1,
            _ = news.tick() => say(&format!("  … {} so far", items_of(count))),
        }
    };
    let report = report.map_err(|error| failed(&format!("import {shown}"), &error))?;
    for file in &report.refused {
        say(&format!(
            "  not taken: {}: {}",
            file.path.display(),
            file.reason
        ));
    }
    if report.accepted.is_empty() {
        return Err(format!("nothing in {shown} can be played"));
    }
    Ok(report.accepted)
}

/// The channel of that name, the oldest if there are several; created if there is none.
async fn channel(app: &App, who: &Principal) -> Result<Channel, String> {
    const PAGE: usize = 200;
    let mut after = None;
    loop {
        let page = app.channels.list(who, after, PAGE).await;
        let page = page.map_err(|error| failed("read the channels", &error))?;
        after = page.last().map(|channel| channel.id);
        let last = page.len() < PAGE;
        if let Some(found) = page.into_iter().find(|channel| channel.config.name == NAME) {
            return Ok(found.view);
        }
        if last {
            let config = json!({ "name": NAME });
            let created = app.channels.create(who, &config).await;
            return created.map_err(|error| failed("create the channel", &error));
        }
    }
}

async fn set_rotation(
    app: &App,
    who: &Principal,
    id: ChannelId,
    items: &[MediaItem],
) -> Result<(), String> {
    let present = app.channels.schedule(who, id).await;
    let present = present.map_err(|error| failed("read the rotation", &error))?;
    let wanted = items.iter().map(|item| RotationItem::whole(item.id));
    if present.rotation.items.iter().cloned().eq(wanted) {
        return Ok(());
    }
    let items: Vec<_> = items
        .iter()
        .map(|item| json!({ "mediaId": item.id }))
        .collect();
    let set = app
        .channels
        .edit_schedule(who, id, Edit::Rotation(json!({ "items": items })), None)
        .await;
    set.map(drop)
        .map_err(|error| failed("set the rotation", &error))
}

async fn wait_for_playlist(app: &App, id: ChannelId) {
    let filter = Filter {
        channel: Some(id),
        ..Filter::default()
    };
    let mut events = app.hub.subscribe(filter, None);
    let published = || {
        app.channels
            .hls(id)
            .is_some_and(|output| output.master().is_some())
    };
    let wait = async {
        let mut news = tokio::time::interval_at(tokio::time::Instant::now() + NEWS, NEWS);
        while !published() {
            tokio::select! {
                event = events.next() => if event.is_none() {
                    news.tick().await;
                },
                _ = news.tick() => say("  … waiting for the first segments"),
            }
        }
    };
    if tokio::time::timeout(FIRST_PLAYLIST, wait).await.is_err() {
        say("  … no playlist yet; `GET /api/v1/channels/{id}/health` tells more");
    }
}

/// A refusal as one sentence.
fn failed(what: &str, error: &OpError) -> String {
    format!("cannot {what}: {error}")
}

fn items_of(count: usize) -> String {
    match count {
        1 => "1 item".to_owned(),
        count => format!("{count} items"),
    }
}

/// A line for whoever started the daemon; nobody may be reading.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
