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

/// Bars in a numbered picture: eleven bits of its number, and whether their sum is odd.
const BARS: usize = 12;

/// A clip of `frames` frames whose pictures carry their numbers, from `first` on, as bars of black and white; with
/// noise over them, so that every frame is about as large as every other. A key frame every two seconds.
pub fn numbered(name: &str, first: u32, frames: u32) -> PathBuf {
    make(&format!("{name}-{first}-{frames}.mp4"), |out| {
        let seconds = f64::from(frames) / 25.0;
        let bit = |n: usize| format!("bitand(floor((N+{first})/{}),1)", 1 << n);
        let sum: Vec<String> = (0..BARS - 1).map(bit).collect();
        let bar = format!("floor(X*{BARS}/W)");
        let video = format!(
            "color=black:s=48x4:r=25:d={seconds},geq=lum='if(if(eq({bar},{last}),mod({sum},2),\
             bitand(floor((N+{first})/pow(2,{bar})),1)),220,30)':cb=128:cr=128,\
             scale=320:180:flags=neighbor,setsar=1,noise=alls=12:allf=t",
            last = BARS - 1,
            sum = sum.join("+"),
        );
        let audio = format!("sine=frequency=400:sample_rate=48000:duration={seconds}");
        ffmpeg(&["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio])
            .args(["-frames:v", &frames.to_string()])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50"])
            .args([
                "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "mp4",
            ])
            .arg(out)
            .status()
            .expect("ffmpeg runs")
            .success()
    })
}

/// The numbers of pictures that were scaled to [`BARS`] grey pixels each; `None` for one that carries none.
pub fn numbers(pictures: &[u8]) -> Vec<Option<u32>> {
    let read = |picture: &[u8]| {
        let unclear = picture.iter().any(|luma| (90..160).contains(luma));
        let number = (0..)
            .zip(picture)
            .map(|(bar, luma)| u32::from(*luma > 125) << bar)
            .sum::<u32>();
        (!unclear && number.count_ones() % 2 == 0).then_some(number & 0x7ff)
    };
    pictures.chunks_exact(BARS).map(read).collect()
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
