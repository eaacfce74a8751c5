//! The pictures that viewers see, decoded all the time: which frame of which item each is, and where the programme
//! does not go on frame by frame.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::viewer::{FINGERPRINTS, fingerprint, pictures_of_file};

/// The items of a rotation by the fingerprints of their pictures.
pub struct Programme {
    places: HashMap<String, (usize, usize)>,
    lengths: Vec<usize>,
}

impl Programme {
    pub fn of(files: &[PathBuf]) -> Self {
        let pictures: Vec<Vec<String>> = files.iter().map(|file| pictures_of_file(file)).collect();
        let lengths = pictures.iter().map(Vec::len).collect();
        let mut places = HashMap::new();
        for (file, pictures) in pictures.into_iter().enumerate() {
            for (frame, picture) in pictures.into_iter().enumerate() {
                let twin = places.insert(picture, (file, frame));
                assert!(
                    twin.is_none(),
                    "pictures {twin:?} and {:?} are the same",
                    (file, frame)
                );
            }
        }
        Self { places, lengths }
    }

    fn after(&self, (file, frame): (usize, usize)) -> (usize, usize) {
        if frame + 1 < self.lengths[file] {
            (file, frame + 1)
        } else {
            ((file + 1) % self.lengths.len(), 0)
        }
    }
}

/// What was seen.
#[derive(Debug, Default, Clone)]
pub struct Pictures {
    pub seen: u64,
    /// Pictures of the fallback or the slate.
    pub stand_in: u64,
    /// Places at which a picture of the plan is not followed by its next, nor by a stand-in.
    pub cuts: u64,
    last: Option<(usize, usize)>,
}

impl Pictures {
    fn saw(&mut self, programme: &Programme, picture: &str) {
        self.seen += 1;
        let place = programme.places.get(picture).copied();
        match (self.last, place) {
            (Some(last), Some(place)) if programme.after(last) != place => self.cuts += 1,
            (_, None) => self.stand_in += 1,
            _ => {}
        }
        self.last = place;
    }
}

/// A decoder that is fed segment by segment.
pub struct Decoder {
    ffmpeg: Child,
    reading: Option<JoinHandle<()>>,
    said: Option<JoinHandle<String>>,
}

impl Decoder {
    /// Begins; what it sees is added to `pictures`.
    pub fn begin(programme: Arc<Programme>, pictures: Arc<Mutex<Pictures>>) -> Self {
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-xerror"])
            .args(["-f", "mpegts", "-i", "pipe:0"])
            .args(FINGERPRINTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ffmpeg runs");
        let stdout = BufReader::new(ffmpeg.stdout.take().expect("piped"));
        let mut stderr = ffmpeg.stderr.take().expect("piped");
        pictures.lock().unwrap_or_else(PoisonError::into_inner).last = None;
        let reading = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(picture) = fingerprint(&line) {
                    let mut pictures = pictures.lock().unwrap_or_else(PoisonError::into_inner);
                    pictures.saw(&programme, &picture);
                }
            }
        });
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self {
            ffmpeg,
            reading: Some(reading),
            said: Some(said),
        }
    }

    /// Takes the next segment; answers whether the decoder still runs.
    pub fn segment(&mut self, bytes: &[u8]) -> bool {
        let stdin = self.ffmpeg.stdin.as_mut();
        stdin.is_some_and(|stdin| stdin.write_all(bytes).is_ok())
    }

    /// Decodes what is left; answers what it complained of.
    pub fn end(mut self) -> Option<String> {
        drop(self.ffmpeg.stdin.take());
        let status = self.ffmpeg.wait().expect("waits");
        let said = self.said.take().map(|said| said.join().expect("reads"));
        if let Some(reading) = self.reading.take() {
            reading.join().expect("reads");
        }
        let said = said.unwrap_or_default();
        (!status.success() || !said.is_empty()).then(|| format!("the decoder: {status}, {said}"))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}
