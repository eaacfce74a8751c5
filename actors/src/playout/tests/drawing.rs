//! However drawing begins, ends and fails, the programme comes out, each frame once and in its place, and no filler. The
//! feeder as it is, with real FFmpeg, which fails as told where it draws. What viewers see of it is judged in
//! `tests/daemon/overlay.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::ids::MediaId;
use playout_domain::lifecycle::Generation;
use playout_domain::media::{MediaItem, MediaStatus};
use playout_domain::overlay::{Overlay, Version};
use playout_domain::plan::{Plan, PlannedItem};
use playout_domain::resources::Allowances;
use playout_domain::units::{Frame, Ticks90k, Timeline};
use playout_media::ffmpeg::{self, Invocation, Means, Tool};
use playout_media::prepare::Preparer;
use playout_media::probe::{self, Probed};
use playout_store::{Principal, Rendition, testing};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::failing::{PROFILE, RATE, World, runtime};
use crate::admission::Transcodes;
use crate::channels::OnAirKind;
use crate::library::{Library, Prepared};
use crate::playout::clock::Clock;
use crate::playout::facts::{Fact, Facts};
use crate::playout::feeder::{Feeder, frame_of};
use crate::playout::filler::Filler;
use crate::playout::gate::StartGate;
use crate::playout::opening::Equipment;
use crate::playout::queue::Queue;
use crate::playout::view::View;
use crate::playout::{Programme, SourceKind};
use crate::process::{Launcher, Tools};

const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
/// The first frame is due so many frames later: time enough to draw on it.
const AHEAD: u64 = 25 * 8;
const ENOUGH: Duration = Duration::from_secs(120);

/// FFmpeg, that fails where it draws, as the file beside it says.
const SCRIPT: &str = r#"#!/bin/sh
fault=$(dirname "$0")/fault
case "$*" in
    *drawtext=*) [ ! -f "$fault" ] || read -r how <"$fault" ;;
esac
case $how in
    fails) echo "no ink" >&2; exit 1 ;;
    hangs) exec sleep 120 ;;
esac
exec ffmpeg "$@"
"#;

/// A GOP as it was fed.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Frame,
    frames: u64,
    kind: OnAirKind,
    /// The frame of the item that is its first.
    item: u64,
    drawn: Option<Version>,
    /// Whether it was there before it had to go out.
    in_time: bool,
}

/// What is fed, and what becomes of the programme meanwhile.
struct Stage {
    world: World,
    library: Library,
    launcher: Launcher,
    timeline: Timeline,
    now: Timestamp,
    ahead: u64,
    /// Whether a GOP is taken when it is over, as on air, and not as soon as it is there.
    paced: bool,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let tools = world.dir.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let ffmpeg = tools.join("ffmpeg");
        fs::write(&ffmpeg, SCRIPT).unwrap();
        fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools {
            ffmpeg,
            ..Tools::default()
        };
        let now = Timestamp::now();
        Self {
            library: world.library().await,
            world,
            launcher: Launcher::new(tools).unwrap(),
            timeline: Timeline {
                epoch: now - Duration::from_secs(1_000),
                frame_rate: RATE,
                clock_origin: Ticks90k::new(0),
            },
            now,
            ahead: AHEAD,
            paced: false,
        }
    }

    /// From now on whoever draws `fails` or `hangs`.
    fn fault(&self, how: &str) {
        let fault = self.world.dir.path().join("tools/fault");
        fs::write(fault, format!("{how}\n")).unwrap();
    }

    fn start(&self) -> Frame {
        self.timeline.frame_at(self.now) + self.ahead
    }

    /// What is drawn on the first frames, so many or all. The clock begins with it.
    fn overlay(&mut self, until: Option<u64>) -> Option<Arc<Overlay>> {
        self.now = Timestamp::now();
        let until = until.map(|frames| self.timeline.wall(self.start() + frames));
        let overlay = json!({ "lowerThird": { "title": "x" }, "until": until });
        Some(read(&overlay))
    }

    /// Feeds the first frames of `planned`, with `overlay`. After each GOP `then` may change the programme.
    async fn feeds(
        &self,
        planned: Vec<PlannedItem>,
        overlay: Option<Arc<Overlay>>,
        frames: u64,
        mut then: impl FnMut(&Seen, &[Fact], &mut Programme) -> bool,
    ) -> (Vec<Seen>, Vec<Fact>) {
        let start = self.start();
        let programme = Programme {
            plan: Plan::looping(start, planned),
            overlay,
            ..Programme::default()
        };
        let clock = Clock::starting(self.timeline, self.now, Frame::new(0));
        let (to, mut told) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue::new(start, 200));
        let equipment = Equipment {
            label: "a channel".into(),
            profile: PROFILE,
            timeline: self.timeline,
            source: SourceKind::Direct,
            library: self.library.clone(),
            launcher: self.launcher.clone(),
            allowances: Allowances::default(),
            group: None,
            gate: StartGate::new(4),
            clock,
            queue: Arc::clone(&queue),
            view: View::default(),
            facts: Facts {
                generation: Generation(1),
                to,
            },
            font: Path::new(FONT).into(),
            transcodes: Transcodes::everywhere(),
        };
        let filler = Filler::new(self.library.clone(), PROFILE, Arc::clone(&self.world.slate));
        let (in_charge, programme) = watch::channel(Arc::new(programme));
        let feeder = Feeder::new(equipment, filler, programme, start);
        let (mut seen, mut facts) = (Vec::new(), Vec::new());
        let read = async {
            loop {
                let fed = queue.pop().await;
                if self.paced {
                    sleep_until(clock.instant(fed.end())).await;
                }
                facts.extend(std::iter::from_fn(|| told.try_recv().ok()).map(|(_, fact)| fact));
                let gop = Seen {
                    at: fed.at,
                    frames: u64::from(fed.gop.frames),
                    kind: fed.shows.kind,
                    item: frame_of(&fed.gop, RATE),
                    drawn: fed.drawn,
                    in_time: Instant::now() < clock.instant(fed.end()),
                };
                seen.push(gop);
                let mut programme = Programme::clone(&in_charge.borrow());
                if then(&gop, &facts, &mut programme) {
                    in_charge.send_replace(Arc::new(programme));
                }
                if fed.end() >= start + frames {
                    return;
                }
            }
        };
        tokio::time::timeout(ENOUGH, async {
            tokio::select! {
                ended = feeder.run() => panic!("{ended}"),
                () = read => {}
            }
        })
        .await
        .unwrap();
        facts.extend(std::iter::from_fn(|| told.try_recv().ok()).map(|(_, fact)| fact));
        (seen, facts)
    }
}

fn read(overlay: &Value) -> Arc<Overlay> {
    Arc::new(Overlay::parse(overlay).unwrap())
}

fn run(invocation: &Invocation) -> Vec<u8> {
    let program = match invocation.program {
        Tool::Ffmpeg => "ffmpeg",
        Tool::Ffprobe => "ffprobe",
    };
    let mut command = Command::new(program);
    let ran = command.args(&invocation.args).stdin(Stdio::null()).output();
    ran.unwrap().stdout
}

/// An item of so many frames.
struct Clip {
    media: MediaItem,
    probed: Probed,
}

impl Clip {
    fn new(dir: &Path, frames: u64) -> Self {
        let path = dir.join(format!("{}.mp4", Uuid::now_v7()));
        let made = Command::new("ffmpeg")
            .args(["-loglevel", "error", "-f", "lavfi", "-i"])
            .arg("testsrc=s=160x90:r=25")
            .args(["-frames:v", &frames.to_string()])
            .args(["-c:v", "libx264", "-preset", "ultrafast"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
        let probed = probe::parse(&run(&ffmpeg::probe(&path)), "").unwrap();
        let media = MediaItem {
            id: MediaId::from(Uuid::now_v7()),
            duration: RATE.duration(frames),
            status: MediaStatus::Ready,
            ..testing::media(Principal::daemon().client, &path)
        };
        Self { media, probed }
    }

    fn prepared(&self) -> (Rendition, Prepared) {
        let original = &self.media.path;
        let encoded = run(&ffmpeg::prepare(
            original,
            &self.probed,
            &PROFILE,
            Means::NONE,
        ));
        let mut preparer = Preparer::new(&PROFILE);
        let mut file = preparer.push(&encoded).unwrap().concat();
        let (rest, index) = preparer.finish().unwrap();
        file.extend(rest.concat());
        let path = original.with_extension("ts");
        fs::write(&path, file).unwrap();
        let rendition = Rendition {
            id: Uuid::now_v7().into(),
            media_id: self.media.id,
            profile: PROFILE,
            frames: index.frames,
            bytes: index.bytes,
            created_at: Timestamp::now(),
            heard: None,
            unneeded_since: None,
        };
        let prepared = Prepared {
            path,
            index: Arc::new(index),
            heard: None,
        };
        (rendition, prepared)
    }
}

/// Puts in an item of so many frames, which is prepared; answers it.
fn shelved(stage: &Stage, frames: u64) -> MediaId {
    let clip = Clip::new(stage.world.dir.path(), frames);
    let (rendition, prepared) = clip.prepared();
    stage
        .library
        .shelve_original(clip.media.clone(), clip.probed.clone());
    stage.library.shelve_rendition(&rendition, prepared);
    clip.media.id
}

/// Every frame of the plan is there, in its turn; `from` is the first of the item.
fn assert_whole(seen: &[Seen], from: u64, of: u64) {
    let (mut at, mut item) = (seen[0].at, from);
    for gop in seen {
        assert_eq!((gop.at, gop.kind), (at, OnAirKind::Scheduled), "{seen:?}");
        assert_eq!(gop.item, item, "{seen:?}");
        at += gop.frames;
        item += gop.frames;
        if item == of {
            item = from;
        }
    }
}

fn failures(facts: &[Fact]) -> Vec<String> {
    let failed = facts.iter().filter_map(|fact| match fact {
        Fact::OverlayFailed { error, .. } => Some(error.to_string()),
        _ => None,
    });
    failed.collect()
}

fn unchanged(_: &Seen, _: &[Fact], _: &mut Programme) -> bool {
    false
}

#[test]
fn what_fails_while_it_draws_gives_way_to_what_is_prepared_and_is_over_with_its_time() {
    runtime().block_on(async {
        for how in ["fails", "hangs"] {
            let mut stage = Stage::new().await;
            let planned = vec![PlannedItem::whole(shelved(&stage, 300), 300)];
            stage.fault(how);
            let overlay = stage.overlay(Some(150));
            let (seen, facts) = stage.feeds(planned, overlay, 300, unchanged).await;
            assert_whole(&seen, 0, 300);
            assert!(seen.iter().all(|gop| gop.drawn.is_none() && gop.in_time));
            let failed = failures(&facts);
            assert_eq!(failed.len(), 1, "{failed:?}");
            let why = ["no ink", "did not come in time"][usize::from(how == "hangs")];
            assert!(failed[0].contains(why), "{failed:?}");
            let last = facts.last();
            assert!(matches!(last, Some(Fact::OverlayOver)), "{facts:?}");
        }
    });
}

#[test]
fn what_is_drawn_is_told_once_whatever_was_before() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let planned = vec![PlannedItem::whole(shelved(&stage, 130), 130)];
        let overlay = stage.overlay(None);
        let (seen, facts) = stage.feeds(planned, overlay, 390, unchanged).await;
        assert_whole(&seen, 0, 130);
        assert!(seen.iter().all(|gop| gop.drawn.is_some()), "{seen:?}");
        let told = |fact: &&Fact| matches!(fact, Fact::OverlayDrawn | Fact::OverlayFailed { .. });
        assert_eq!(facts.iter().filter(told).count(), 1, "{facts:?}");
    });
}

#[test]
fn an_item_that_is_prepared_while_it_is_drawn_on_goes_on_at_the_same_frame() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let clip = Clip::new(stage.world.dir.path(), 500);
        let (rendition, prepared) = clip.prepared();
        let mut prepared = Some(prepared);
        stage
            .library
            .shelve_original(clip.media.clone(), clip.probed.clone());
        // Its GOPs are counted from there, and not as those of the prepared file.
        let planned = vec![PlannedItem {
            in_frame: 20,
            ..PlannedItem::whole(clip.media.id, 480)
        }];
        let overlay = stage.overlay(Some(300));
        let becomes = |gop: &Seen, _: &[Fact], _: &mut Programme| {
            assert!(gop.drawn.is_some() || prepared.is_none());
            if let Some(prepared) = prepared.take() {
                stage.library.shelve_rendition(&rendition, prepared);
            }
            false
        };
        let (seen, facts) = stage.feeds(planned, overlay, 480, becomes).await;
        assert_whole(&seen, 20, 500);
        let drawn = seen.iter().filter(|gop| gop.drawn.is_some());
        assert_eq!(drawn.map(|gop| gop.frames).sum::<u64>(), 300, "{seen:?}");
        assert_eq!(failures(&facts), [""; 0]);
    });
}

#[test]
fn an_item_that_is_shorter_than_it_was_thought_is_no_failure_to_draw() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let clip = Clip::new(stage.world.dir.path(), 100);
        let next = shelved(&stage, 100);
        stage
            .library
            .shelve_original(clip.media.clone(), clip.probed.clone());
        let planned = vec![
            PlannedItem::whole(clip.media.id, 250),
            PlannedItem::whole(next, 100),
        ];
        let overlay = stage.overlay(None);
        let (seen, facts) = stage.feeds(planned, overlay, 350, unchanged).await;
        assert_eq!(failures(&facts), [""; 0]);
        let early = |fact: &Fact| matches!(fact, Fact::EndedEarly { .. });
        assert!(facts.iter().any(early), "{facts:?}");
        let next: Vec<_> = seen
            .iter()
            .filter(|gop| gop.at >= seen[0].at + 250)
            .collect();
        assert!(next.iter().all(|gop| gop.drawn.is_some()), "{seen:?}");
    });
}

#[test]
fn an_item_without_an_original_goes_out_without_and_that_is_no_failure() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let clip = Clip::new(stage.world.dir.path(), 120);
        let (rendition, prepared) = clip.prepared();
        stage
            .library
            .shelve(clip.media.clone(), None, &rendition, prepared);
        let planned = vec![
            PlannedItem::whole(clip.media.id, 120),
            PlannedItem::whole(shelved(&stage, 120), 120),
        ];
        let overlay = stage.overlay(None);
        let (seen, facts) = stage.feeds(planned, overlay, 480, unchanged).await;
        assert_whole(&seen, 0, 120);
        assert_eq!(failures(&facts), [""; 0]);
        for gop in &seen {
            let second = gop.at.since(seen[0].at) % 240 >= 120;
            assert_eq!(gop.drawn.is_some(), second, "{seen:?}");
        }
    });
}

#[test]
fn no_picture_is_left_alone_behind_what_is_drawn() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let clip = Clip::new(stage.world.dir.path(), 151);
        stage
            .library
            .shelve_original(clip.media.clone(), clip.probed.clone());
        let planned = vec![PlannedItem::whole(clip.media.id, 151)];
        let overlay = stage.overlay(Some(150));
        let (seen, _) = stage.feeds(planned, overlay, 151, unchanged).await;
        assert_whole(&seen, 0, 151);
    });
}

#[test]
fn changes_one_upon_the_other_cost_no_frame() {
    runtime().block_on(async {
        let mut stage = Stage::new().await;
        let planned = vec![PlannedItem::whole(shelved(&stage, 130), 130)];
        let mut number = 0;
        let changes = |_: &Seen, _: &[Fact], programme: &mut Programme| {
            number += 1;
            let title = json!({ "lowerThird": { "title": format!("{number}") } });
            programme.overlay = (number % 3 > 0).then(|| read(&title));
            true
        };
        let overlay = stage.overlay(None);
        let (seen, facts) = stage.feeds(planned, overlay, 650, changes).await;
        assert_whole(&seen, 0, 130);
        assert_eq!(failures(&facts), [""; 0]);
    });
}

#[test]
fn where_there_is_no_time_to_draw_nothing_fails() {
    runtime().block_on(async {
        let mut stage = Stage {
            ahead: 25,
            paced: true,
            ..Stage::new().await
        };
        let (item, other) = (shelved(&stage, 600), shelved(&stage, 600));
        let planned = vec![PlannedItem::whole(item, 600)];
        let overlay = stage.overlay(None);
        let mut cut = None;
        let start = stage.start();
        // Another item has to be there at once, when something has been drawn for long, or tried.
        let plays = |gop: &Seen, facts: &[Fact], programme: &mut Programme| match cut {
            None if gop.at >= start + 150 => {
                cut = Some(facts.len());
                // The next one is on its way.
                let now = gop.at + 2 * gop.frames;
                programme.plan.play_now(now, PlannedItem::whole(other, 600))
            }
            Some(before) if gop.item == 0 => {
                assert_eq!(gop.drawn, None, "there is no time");
                assert_eq!(failures(&facts[before..]), [""; 0]);
                false
            }
            _ => false,
        };
        let (seen, _) = stage.feeds(planned, overlay, 350, plays).await;
        let scheduled = |gop: &Seen| gop.kind == OnAirKind::Scheduled;
        assert!(seen.iter().all(scheduled), "{seen:?}");
        let others = seen.iter().filter(|gop| gop.at > start && gop.item == 0);
        assert_eq!(others.count(), 1, "it was interrupted: {seen:?}");
    });
}
