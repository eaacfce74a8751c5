//! P4 (2.4, 2.5, 4.6): however a source fails, the frames of the plan come out, each once and in its place, and a
//! place that cannot be read is filled and followed by the next item on time. The feeder and the splicer as they are;
//! in FFmpeg's place a script that reads prepared files and fails as drawn. What the real one makes of it is judged
//! in `tests/daemon/recovery.rs` and `tests/faults/sources.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::LowerRungs;
use playout_domain::config::RecoverySettings;
use playout_domain::ids::MediaId;
use playout_domain::lifecycle::Generation;
use playout_domain::media::{DEFAULT_AUDIO_BITRATE, MediaItem, MediaStatus, Profile};
use playout_domain::plan::{Plan, PlannedItem};
use playout_domain::resolution::Resolution;
use playout_domain::resources::Allowances;
use playout_domain::units::{BitsPerSecond, Frame, FrameRate};
use playout_media::ffmpeg;
use playout_media::index::GopIndex;
use playout_media::prepare::Preparer;
use playout_media::probe::{Colour, Probed, VideoStream};
use playout_media::splice::{Layout, Splicer};
use playout_partners::TrustRoots;
use playout_partners::address::Reach;
use playout_partners::download::Downloader;
use playout_store::testing::{self, TestStore};
use playout_store::{Principal, Rendition};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use super::support::{self, Clip, SILENCE};
use super::timeline;
use crate::admission::Transcodes;
use crate::channels::OnAirKind;
use crate::hub::Hub;
use crate::library::{Library, LibraryConfig, Prepared};
use crate::playout::clock::Clock;
use crate::playout::facts::{Fact, Facts};
use crate::playout::feeder::Feeder;
use crate::playout::filler::Filler;
use crate::playout::gate::StartGate;
use crate::playout::opening::Equipment;
use crate::playout::queue::{Fed, Queue};
use crate::playout::slate::{Slate, Slates};
use crate::playout::view::View;
use crate::playout::{Programme, SourceKind};
use crate::process::{Launcher, Tools};

pub(super) const RATE: FrameRate = FrameRate::F25;
pub(super) const PROFILE: Profile = Profile {
    resolution: Resolution::P240,
    frame_rate: RATE,
    video_bitrate: BitsPerSecond(300_000),
    audio_bitrate: DEFAULT_AUDIO_BITRATE,
    lower: LowerRungs::NONE,
    treatment: playout_domain::Treatment::PLAIN,
};
/// How far ahead of the time everything is: nothing runs dry.
const AHEAD: u64 = 25 * 600;
pub(super) const VIDEO: u16 = 0x100;
pub(super) const AUDIO: u16 = 0x110;
const ENOUGH: Duration = Duration::from_secs(60);

/// Stands in for FFmpeg: copies a prepared file from where it was asked to, and fails as the file beside it says. Its
/// runs are counted for each item. Where some frames are to be encoded, their GOPs come out of another file.
const SCRIPT: &str = r#"#!/bin/sh
ss=0
encoded=
while [ $# -gt 0 ]; do
    case "$1" in
        -ss) ss=$2; shift ;;
        -i) case "$2" in file:*) in=${2#file:} ;; esac; shift ;;
        *fps=*trim=start_pts=*)
            encoded=$(printf %s "$1" | sed 's/.*trim=start_pts=\([0-9]*\):end_pts=\([0-9]*\).*/\1-\2/') ;;
    esac
    shift
done
about=${in%.ts}
if [ "$encoded" ]; then
    fault=$about/encoded/$encoded.fault
    file=$about/encoded/$encoded
    offset=0
else
    run=0
    while ! mkdir "$about/run$run" 2>/dev/null; do run=$((run + 1)); done
    fault=$about/fault$run
    file=$in
    read -r offset <"$about/from/$ss"
fi
[ -f "$fault" ] || exec tail -c "+$((offset + 1))" "$file"
read -r bytes how <"$fault"
[ "$how" = IsLate ] && sleep 8
tail -c "+$((offset + 1))" "$file" | head -c "$bytes"
case $how in
    Fails) exit 1 ;;
    BreaksOff) exit 0 ;;
    IsKilled) kill -9 $$ ;;
    WritesGarbage) tail -c "+$((offset + 1001))" "$file" | tr '\000-\177' '\200-\377' ;;
    Hangs) exec sleep 60 ;;
esac
"#;

#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Fails,
    BreaksOff,
    IsKilled,
    WritesGarbage,
    Hangs,
    /// Nothing comes for eight seconds.
    IsLate,
}

/// What becomes of one run of a source: after how many bytes, and how.
pub(super) type Fault = (u64, How);

#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Frames of each GOP.
    pub(super) gops: Vec<u64>,
    /// Of its first runs, in order.
    pub(super) faults: Vec<Option<Fault>>,
}

fn item() -> impl Strategy<Value = Item> {
    let how = prop_oneof![
        3 => Just(How::Fails),
        3 => Just(How::BreaksOff),
        4 => Just(How::IsKilled),
        2 => Just(How::WritesGarbage),
        1 => Just(How::Hangs),
    ];
    let bytes = prop_oneof![1 => Just(0), 1 => 0..20_000_u64, 4 => 20_000..120_000_u64];
    // Between two packets, or within one.
    let cut = (bytes, any::<bool>())
        .prop_map(|(bytes, whole)| bytes - if whole { bytes % 188 } else { 0 });
    let fault = prop::option::weighted(0.7, (cut, how));
    let gops = (
        prop::collection::vec(Just(RATE.gop_frames()), 1..5),
        1..=RATE.gop_frames(),
    );
    (gops, prop::collection::vec(fault, 0..3)).prop_map(|((mut gops, last), faults)| {
        gops.push(last);
        Item { gops, faults }
    })
}

/// What was fed of a plan, and what was told meanwhile.
pub(super) struct Outcome {
    pub(super) fed: Vec<(Frame, u64, OnAirKind, Option<MediaId>)>,
    pub(super) facts: Vec<Fact>,
    pub(super) stream: Vec<u8>,
}

/// Changes a plan after a fact; answers whether it did.
type Answers = dyn Fn(&Fact, &mut Plan) -> bool;

pub(super) struct World {
    store: TestStore,
    pub(super) dir: TempDir,
    /// How far ahead of the time everything is, in frames.
    pub(super) ahead: u64,
    launcher: Launcher,
    pub(super) slate: Arc<Slate>,
}

impl World {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let real = Launcher::new(Tools::default()).unwrap();
        let slates = Slates::new(
            dir.path().join("slates"),
            real,
            Allowances::default().prepare,
        );
        let slate = slates.get(&PROFILE).await.unwrap();
        let script = dir.path().join("ffmpeg");
        fs::write(&script, SCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools {
            ffmpeg: script,
            ..Tools::default()
        };
        Self {
            store: testing::fresh().await,
            dir,
            ahead: AHEAD,
            launcher: Launcher::new(tools).unwrap(),
            slate,
        }
    }

    /// Feeds the items one after another, as fast as they come.
    async fn airs(&self, items: &[(MediaId, &Item)]) -> Outcome {
        let library = self.library().await;
        let mut planned = Vec::new();
        for (number, (media_id, item)) in items.iter().enumerate() {
            let frames = shelve(&library, self.dir.path(), *media_id, number as u32, item);
            planned.push(PlannedItem::whole(*media_id, frames));
        }
        let frames = planned.iter().map(|item| item.frames).sum();
        self.feeds(library, planned, frames, None).await
    }

    pub(super) async fn library(&self) -> Library {
        let config = LibraryConfig {
            dir: self.dir.path().join("media"),
            parallel_prepares: 1,
            default_profile: None,
            collect_after: Duration::from_secs(3600),
            allowances: Allowances::default(),
            roots: Default::default(),
            intake: Default::default(),
            downloader: Downloader::new(&TrustRoots::nobody(), Reach::Anywhere),
            font: "/nowhere".into(),
        };
        let (hub, launcher) = (Arc::new(Hub::default()), self.launcher.clone());
        let opened = Library::start(config, (*self.store).clone(), hub, launcher).await;
        opened.unwrap().0
    }

    /// Feeds the first frames of what is planned. What `answers` makes of the plan at a fact is the plan then; nothing is taken
    /// out of the queue before it has changed it once.
    pub(super) async fn feeds(
        &self,
        library: Library,
        planned: Vec<PlannedItem>,
        frames: u64,
        answers: Option<&Answers>,
    ) -> Outcome {
        let timeline = timeline();
        let now = Timestamp::now();
        let start = timeline.frame_at(now) + self.ahead;
        let end = start + frames;
        let programme = Programme {
            plan: Plan::looping(start, planned),
            recovery: RecoverySettings {
                restart_delay: Duration::from_millis(10),
                health_check_interval: Duration::from_secs(2),
                ..RecoverySettings::default()
            },
            ..Programme::default()
        };
        let (to, mut told) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue::new(start, 200));
        let equipment = Equipment {
            label: "a channel".into(),
            profile: PROFILE,
            timeline,
            source: SourceKind::Ffmpeg,
            library: library.clone(),
            launcher: self.launcher.clone(),
            allowances: Allowances::default(),
            group: None,
            gate: StartGate::new(4),
            clock: Clock::starting(timeline, now, Frame::new(0)),
            queue: Arc::clone(&queue),
            view: View::default(),
            facts: Facts {
                generation: Generation(1),
                to,
            },
            font: Path::new("/nowhere").into(),
            transcodes: Transcodes::everywhere(),
        };
        let filler = Filler::new(library, PROFILE, Arc::clone(&self.slate));
        let (in_charge, programme) = watch::channel(Arc::new(programme));
        let feeder = Feeder::new(equipment, filler, programme, start);
        let mut splicer = Splicer::new(timeline, Layout::StreamPerRung(1));
        let (mut fed, mut stream) = (Vec::new(), Vec::new());
        let mut facts = Vec::new();
        let changed = Notify::new();
        let listen = async {
            while let Some((_, fact)) = told.recv().await {
                let mut programme = Programme::clone(&in_charge.borrow());
                if answers.is_some_and(|answers| answers(&fact, &mut programme.plan)) {
                    let _ = in_charge.send(Arc::new(programme));
                    changed.notify_one();
                }
                facts.push(fact);
            }
        };
        let read = async {
            if answers.is_some() {
                changed.notified().await;
            }
            loop {
                let Fed {
                    at,
                    gop,
                    source,
                    shows,
                    ..
                } = queue.pop().await;
                let frames = u64::from(gop.frames);
                fed.push((at, frames, shows.kind, shows.media));
                for bytes in splicer.splice(gop, at, source).streams {
                    stream.extend_from_slice(&bytes);
                }
                if at + frames >= end {
                    return;
                }
            }
        };
        tokio::time::timeout(ENOUGH, async {
            tokio::select! {
                // The feeder hears of a change before anything is taken.
                biased;
                ended = feeder.run() => panic!("{ended}"),
                () = read => {}
                () = listen => panic!("nothing is told any more"),
            }
        })
        .await
        .unwrap();
        facts.extend(std::iter::from_fn(|| told.try_recv().ok()).map(|(_, fact)| fact));
        Outcome { fed, facts, stream }
    }
}

/// Prepares a clip, and writes beside it how the script is to read it. Answers its frames.
pub(super) fn shelve(library: &Library, dir: &Path, id: MediaId, number: u32, item: &Item) -> u64 {
    let (file, index) = prepare(number, &item.gops);
    let about = dir.join(id.to_string());
    let path: PathBuf = about.with_extension("ts");
    fs::create_dir_all(about.join("from")).unwrap();
    fs::write(&path, file).unwrap();
    for (number, gop) in index.gops.iter().enumerate() {
        let copy = ffmpeg::copy(&path, 1, GopIndex::time_of(gop.frame, RATE));
        let seek = copy.args.iter().position(|arg| arg == "-ss");
        let name = seek.map_or("0".into(), |at| copy.args[at + 1].clone());
        // A seek lands where it was asked to or, as often, a GOP before.
        let lands = index.gops[number - number % 2].offset;
        fs::write(about.join("from").join(name), format!("{lands}\n")).unwrap();
    }
    for (run, fault) in item.faults.iter().enumerate() {
        if let Some((bytes, how)) = fault {
            fs::write(
                about.join(format!("fault{run}")),
                format!("{bytes} {how:?}\n"),
            )
            .unwrap();
        }
    }
    let (frames, bytes) = (index.frames, index.bytes);
    let rendition = Rendition {
        id: Uuid::now_v7().into(),
        media_id: id,
        profile: PROFILE,
        frames,
        bytes,
        created_at: Timestamp::now(),
        heard: None,
        unneeded_since: None,
    };
    let media = MediaItem {
        id,
        duration: RATE.duration(frames),
        status: MediaStatus::Ready,
        ..testing::media(Principal::daemon().client, &path)
    };
    let index = Arc::new(index);
    let prepared = Prepared {
        path,
        index,
        heard: None,
    };
    library.shelve(media, Some(original()), &rendition, prepared);
    frames
}

/// A prepared file whose GOPs are of so many frames, and what lies where in it.
pub(super) fn prepare(number: u32, gops: &[u64]) -> (Vec<u8>, GopIndex) {
    let clip = Clip::plain(number, RATE, gops);
    let mut preparer = Preparer::new(&PROFILE);
    let mut file: Vec<u8> = preparer.push(&clip.bytes()).unwrap().concat();
    let (rest, index) = preparer.finish().unwrap();
    file.extend(rest.concat());
    (file, index)
}

/// What was found in the file that an item was made from.
fn original() -> Probed {
    let video = VideoStream {
        index: 0,
        codec: "h264".into(),
        width: 426,
        height: 240,
        pixel_aspect: (1, 1),
        rotation: 0,
        time_base: (1, 90_000),
        start: 0,
        duration: None,
        frame_rate: Some(25.0),
        interlaced: false,
        colour: Colour::default(),
        encrypted: false,
    };
    Probed {
        format: "mpegts".into(),
        start: 0,
        duration: None,
        size: 1,
        details: Default::default(),
        video: Some(video),
        audio: None,
        sounds: Vec::new(),
    }
}

/// Whether two sources of an item failed one after the other and nothing came between: it may be filled then.
fn fails_twice(facts: &[Fact], item: MediaId) -> bool {
    let of_it = facts.iter().filter_map(|fact| match fact {
        Fact::SourceFailed { media, .. } => (*media == item).then_some(true),
        Fact::Recovered { media } => (*media == item).then_some(false),
        _ => None,
    });
    let of_it: Vec<bool> = of_it.collect();
    of_it.windows(2).any(|pair| pair == [true, true])
}

fn judge(items: &[(MediaId, &Item)], outcome: &Outcome) -> Result<(), TestCaseError> {
    let mut names = Vec::new();
    let mut fed = outcome.fed.iter().peekable();
    let mut at = outcome.fed[0].0;
    for (number, (id, item)) in items.iter().enumerate() {
        let (begins, ends) = (at, at + item.gops.iter().sum::<u64>());
        while let Some((place, frames, kind, media)) = fed.next_if(|(place, ..)| *place < ends) {
            prop_assert_eq!(*place, at, "each begins where the one before it ends");
            at += *frames;
            prop_assert!(at <= ends, "the next item begins on time");
            let shown = begins.since(Frame::new(0))..ends.since(Frame::new(0));
            match kind {
                OnAirKind::Scheduled => {
                    prop_assert_eq!(*media, Some(*id));
                    let first = place.get() - shown.start;
                    names.extend((first..first + frames).map(|frame| Some(name(number, frame))));
                }
                _ => {
                    prop_assert!(
                        fails_twice(&outcome.facts, *id),
                        "{kind:?} for item {number}: {:?}",
                        outcome.facts
                    );
                    names.extend((0..*frames).map(|_| None));
                }
            }
        }
    }
    let mut pictures = support::stamped(&outcome.stream, VIDEO);
    pictures.sort_by_key(|picture| picture.pts);
    prop_assert_eq!(pictures.len(), names.len());
    for pair in pictures.windows(2) {
        prop_assert_eq!(
            pair[1].pts - pair[0].pts,
            3_600,
            "one frame after the other"
        );
    }
    for (picture, name) in pictures.iter().zip(&names) {
        if let Some(name) = name {
            prop_assert_eq!(&picture.name, name);
        }
    }
    has_whole_sound(&outcome.stream)
}

/// One unit of sound after the other, none of an item twice.
pub(super) fn has_whole_sound(stream: &[u8]) -> Result<(), TestCaseError> {
    let sound = support::stamped(stream, AUDIO);
    for pair in sound.windows(2) {
        prop_assert_eq!(
            pair[1].pts - pair[0].pts,
            support::UNIT,
            "no hole in the sound"
        );
        let repeated = pair[0].name == pair[1].name && pair[0].name != SILENCE;
        prop_assert!(
            !repeated || !pair[0].name.starts_with("<a"),
            "{} twice",
            pair[0].name
        );
    }
    Ok(())
}

pub(super) fn name(item: usize, frame: u64) -> String {
    format!("<v{item}/0/{frame}>")
}

#[test]
fn p4_however_a_source_fails_the_plan_comes_out() {
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(support::cases(100));
    let held = runner.run(&prop::collection::vec(item(), 1..4), |items| {
        let ids = items
            .iter()
            .map(|item| (MediaId::from(Uuid::now_v7()), item));
        let items: Vec<_> = ids.collect();
        judge(&items, &runtime.block_on(world.airs(&items)))
    });
    held.unwrap();
}

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn sound(gops: usize) -> Item {
    let (gops, faults) = (vec![RATE.gop_frames(); gops], Vec::new());
    Item { gops, faults }
}

#[test]
fn what_begins_where_another_was_given_up_is_played() {
    let outcome = runtime().block_on(async {
        let (world, gone, next) = (World::new().await, Uuid::now_v7(), Uuid::now_v7());
        let (gone, next) = (MediaId::from(gone), MediaId::from(next));
        let library = world.library().await;
        let frames = shelve(&library, world.dir.path(), next, 0, &sound(6));
        let planned = vec![
            PlannedItem::whole(gone, 100),
            PlannedItem::whole(next, frames),
        ];
        // As the channel does: the next one begins where nothing more is to be had.
        let skips = |fact: &Fact, plan: &mut Plan| match fact {
            Fact::ItemBroken { at, .. } => plan.skip(*at),
            _ => false,
        };
        let outcome = world.feeds(library, planned, frames, Some(&skips)).await;
        (outcome.fed, next)
    });
    let (fed, next) = outcome;
    for (at, _, kind, media) in fed {
        assert_eq!(
            (kind, media),
            (OnAirKind::Scheduled, Some(next)),
            "at {at:?}"
        );
    }
}
