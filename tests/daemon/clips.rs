//! Clips that look and sound different on every frame, made once and shared by all tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A clip of `frames` frames at 25 frames a second, 320×180; the same `seed` gives the same clip.
pub fn clip(seed: u32, frames: u32) -> PathBuf {
    make(&format!("clip-{seed}-{frames}.mp4"), |out| {
        let seconds = f64::from(frames) / 25.0;
        let video = format!(
            "testsrc2=size=320x180:rate=25:duration={seconds},hue=h={}",
            seed * 77 % 360
        );
        let audio = format!(
            "sine=frequency={}:sample_rate=48000:duration={seconds}",
            200 + 90 * seed
        );
        ffmpeg(&["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio])
            .args([
                "-frames:v",
                &frames.to_string(),
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-crf",
                "18",
            ])
            .args([
                "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "mp4",
            ])
            .arg(out)
            .status()
            .expect("ffmpeg runs")
            .success()
    })
}

/// An `ffmpeg` that says only what went wrong.
pub fn ffmpeg(inputs: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
        .args(inputs);
    command
}

/// The file `name`, made by `write` if no test before made it. Tests run in processes of their own, so
/// each writes beside the name and renames.
pub fn make(name: &str, write: impl FnOnce(&Path) -> bool) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips-1");
    std::fs::create_dir_all(&dir).expect("a folder for clips");
    let path = dir.join(name);
    if !path.exists() {
        let part = dir.join(format!(".{}-{name}", std::process::id()));
        assert!(write(&part), "{name} cannot be made");
        std::fs::rename(&part, &path).expect("renames");
    }
    path
}
