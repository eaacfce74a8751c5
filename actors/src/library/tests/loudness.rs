//! Items are measured once, and what is prepared of them is as loud as its profile wants.

use std::fs;

use playout_domain::Treatment;
use playout_domain::loudness::{Gain, Loudness, Target};
use playout_domain::prepare::JobId;

use super::*;

fn treated(target: f64) -> Profile {
    Profile {
        treatment: Treatment {
            loudness: Loudness::To(Target::new(target, -1.0).unwrap()),
            ..Treatment::PLAIN
        },
        ..PROFILE
    }
}

/// FFmpeg itself, that leaves a folder behind for each time that it measured: files it may not write.
fn counting(folder: &Path) -> Tools {
    let at = folder.display();
    stand_in(
        folder,
        &format!(
            "case \"$*\" in *ebur128*' -f null -') mkdir {at}/measured.$$;; esac\nexec ffmpeg \"$@\""
        ),
    )
}

fn measured(folder: &Path) -> usize {
    let names = names(folder);
    let measured = names.iter().filter(|name| name.starts_with("measured."));
    measured.count()
}

/// A clip that sounds as `expression` says, in FFmpeg's words of the time `t`.
fn sounding(path: &Path, expression: &str, frames: u32) {
    let source = format!("aevalsrc=exprs='{expression}':s=48000");
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=160x120:r=25",
        "-f",
        "lavfi",
        "-i",
        &source,
    ];
    run_ffmpeg(path, &inputs, frames);
}

impl House {
    /// Has an item prepared into a profile, and waits for it.
    async fn prepare(
        &mut self,
        media: MediaId,
        profile: &Profile,
    ) -> (RenditionView, Arc<Published>) {
        self.library.want(media, profile);
        loop {
            let ready = self.event(kind::MEDIA_READY).await;
            if ready.data["profile"] == profile.key() {
                return (self.rendition(media, profile).await, ready);
            }
        }
    }

    async fn rendition(&self, media: MediaId, profile: &Profile) -> RenditionView {
        let renditions = self.view(media).await.renditions.into_iter();
        let mut own = renditions.filter(|rendition| rendition.profile == profile.key());
        own.next().unwrap()
    }
}

#[tokio::test]
async fn an_item_is_measured_once_and_again_when_its_file_is_another() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(counting(tools.path()), 1).await;
    let path = house.input().join("quiet.mp4");
    sounding(&path, "0.03*sin(2*PI*400*t)", 75);
    let item = house.import_one(&path).await;
    assert_eq!(item.loudness, []);
    let (ebu, loud) = (treated(-23.0), treated(-16.0));
    let (rendition, ready) = house.prepare(item.id, &ebu).await;
    let came = rendition.loudness.and_then(|heard| heard.integrated);
    assert!(
        came.is_some_and(|came| (came + 23.0).abs() <= 1.0),
        "{came:?}"
    );
    assert_eq!(rendition.warning, None);
    assert_eq!(ready.data["loudness"]["integrated"], json!(came));

    let known = house.view(item.id).await.item.loudness;
    let [only] = &known[..] else {
        panic!("one sound: {known:?}");
    };
    let before = only.heard.integrated.unwrap();
    assert!((-36.0..-30.0).contains(&before), "{before}");
    // What is transcoded while it plays has the same gain.
    let original = house.library.original(item.id).unwrap();
    let gain = original.gain(&ebu.treatment);
    assert!((gain.decibels - (-23.0 - before)).abs() < 0.01, "{gain:?}");
    assert_eq!(original.gain(&Treatment::PLAIN), Gain::NONE);

    let (rendition, _) = house.prepare(item.id, &loud).await;
    let came = rendition.loudness.and_then(|heard| heard.integrated);
    assert!(
        came.is_some_and(|came| (came + 16.0).abs() <= 1.0),
        "{came:?}"
    );
    assert_eq!(
        measured(tools.path()),
        1,
        "what is known is not measured again"
    );

    house.queue.stop().await;
    assert_eq!(
        house.store.media(item.id).await.unwrap().unwrap().loudness,
        known
    );
    let mut house = house.restarted(|_| {}).await;
    assert_eq!(house.view(item.id).await.item.loudness, known);
    assert_eq!(house.rendition(item.id, &loud).await, rendition);

    sounding(&path, "0.5*sin(2*PI*400*t)", 75);
    let changed = house.import_one(&path).await;
    assert_eq!((changed.id, &changed.loudness[..]), (item.id, &[][..]));
    house.prepare(item.id, &ebu).await;
    let now = house.view(item.id).await.item.loudness;
    let louder = now[0].heard.integrated.unwrap() - before;
    assert!((louder - 24.4).abs() < 0.5, "{louder} LU louder");
    assert_eq!(measured(tools.path()), 2);
    house.queue.stop().await;
}

#[tokio::test]
async fn a_gain_is_found_by_trying_where_peaks_are_limited_and_what_misses_is_told() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(counting(tools.path()), 1).await;
    let path = house.input().join("drums.mp4");
    sounding(
        &path,
        "0.8*exp(-60*mod(t,0.5))*sin(2*PI*200*t)+0.1*sin(2*PI*350*t)",
        50,
    );
    let drums = house.import_one(&path).await;
    let loud = treated(-14.0);
    let (rendition, _) = house.prepare(drums.id, &loud).await;
    assert_eq!(rendition.warning, None, "{:?}", rendition.loudness);
    let runs = measured(tools.path());
    assert!(runs >= 2, "{runs}");
    let known = house.view(drums.id).await.item.loudness;
    let found = known[0].found[0];
    let gain = house
        .library
        .original(drums.id)
        .unwrap()
        .gain(&loud.treatment);
    assert_eq!((gain.decibels, gain.limit.is_some()), (found.gain, true));

    // So short that no peak below the ceiling is loud enough.
    let path = house.input().join("ticks.mp4");
    sounding(&path, "0.9*lt(mod(t,1),0.006)*sin(2*PI*900*t)", 50);
    let ticks = house.import_one(&path).await;
    let (rendition, ready) = house.prepare(ticks.id, &loud).await;
    let warning = rendition.warning.unwrap();
    assert!(warning.contains("below the target"), "{warning}");
    assert_eq!(ready.data["warning"], json!(warning));
    house.queue.stop().await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_prepared_as_it_is() {
    let tools = tempfile::tempdir().unwrap();
    let deaf = stand_in(
        tools.path(),
        "case \"$*\" in *ebur128*' -f null -') echo '[error] deaf' >&2; exit 1;; esac\nexec ffmpeg \"$@\"",
    );
    let mut house = House::with(deaf, 1).await;
    let path = house.input().join("quiet.mp4");
    sounding(&path, "0.03*sin(2*PI*400*t)", 50);
    let item = house.import_one(&path).await;
    let (rendition, _) = house.prepare(item.id, &treated(-23.0)).await;
    assert!(rendition.warning.is_some(), "{rendition:?}");
    assert_eq!(house.view(item.id).await.item.loudness, []);
    let silent = house.input().join("silent.mp4");
    let inputs = ["-f", "lavfi", "-i", "testsrc=s=160x120:r=25"];
    run_ffmpeg(&silent, &inputs, 10);
    let silent = house.import_one(&silent).await;
    let (rendition, _) = house.prepare(silent.id, &treated(-23.0)).await;
    assert_eq!((rendition.loudness, rendition.warning), (None, None));
    fs::remove_file(path).unwrap();
    house.queue.stop().await;
}

#[tokio::test]
async fn how_far_measuring_has_come_is_told() {
    let tools = tempfile::tempdir().unwrap();
    let go = tools.path().join("go");
    let script = format!(
        "case \"$*\" in *ebur128*' -f null -') printf 'out_time_us=1500000\\nprogress=continue\\n' >&2
         while [ ! -e {} ]; do sleep 0.05; done;; esac\nexec ffmpeg \"$@\"",
        go.display()
    );
    let mut house = House::with(stand_in(tools.path(), &script), 1).await;
    let path = house.input().join("quiet.mp4");
    sounding(&path, "0.03*sin(2*PI*400*t)", 75);
    let item = house.import_one(&path).await;
    let profile = treated(-23.0);
    house.library.want(item.id, &profile);
    let told = loop {
        let told = house.event(kind::MEDIA_PROGRESS).await;
        if told.data["profile"] == profile.key() {
            break told;
        }
    };
    let (measured, percent) = (&told.data["measuredPercent"], &told.data["percent"]);
    assert!(
        (49.0..51.0).contains(&measured.as_f64().unwrap()),
        "{told:?}"
    );
    assert_eq!(percent, 0.0);
    let rendition = house.rendition(item.id, &profile).await;
    assert_eq!(json!(rendition.measured_percent), *measured);
    let job = JobId::new(item.id, profile.key());
    let job = house.library.job(&house.who, &job).unwrap();
    assert_eq!(job.measured_percent, rendition.measured_percent);
    fs::write(&go, "").unwrap();
    let (rendition, _) = house.prepare(item.id, &profile).await;
    assert_eq!(
        (rendition.percent, rendition.measured_percent),
        (100.0, None)
    );
    house.queue.stop().await;
}
