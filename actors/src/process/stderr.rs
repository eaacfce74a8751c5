//! Reads a child's standard error: keeps a bounded, printable tail of it as the reason for a
//! failure, and passes lines on.
//!
//! The text comes from programs that read strangers' files: control characters are escaped, and
//! no amount of output makes the tail grow.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::spec::Stderr;

/// Most bytes kept.
const KEPT: usize = 4096;
/// Longest line read; the rest of a longer one is dropped.
const LINE: usize = 1024;
/// Lines waiting for their reader: some two blocks of FFmpeg's report.
const WAITING_LINES: usize = 64;

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Lines {
    fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |l| l.len() + 1);
        }
    }
}

/// The last lines a child wrote.
#[derive(Debug)]
pub(super) struct Tail {
    lines: Arc<Mutex<Lines>>,
    /// Its sender is dropped when the pipe has been read to its end.
    open: watch::Receiver<()>,
}

impl Tail {
    pub(super) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(lines.bytes);
        for line in &lines.lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
        text
    }

    /// Returns when the child has closed its standard error.
    pub(super) async fn closed(&mut self) {
        while self.open.changed().await.is_ok() {}
    }
}

/// Who reads the lines, beside the tail.
#[derive(Debug)]
enum Reader {
    Nobody,
    /// Of progress: one that lags misses a report; the next one comes in half a second.
    Progress(mpsc::Sender<String>),
    /// Of everything: it is waited for.
    Lines(mpsc::Sender<String>),
}

/// Starts reading `pipe` in a task that ends with it.
pub(super) fn collect(
    pipe: Option<OwnedFd>,
    wanted: Stderr,
) -> io::Result<(Tail, Option<mpsc::Receiver<String>>)> {
    let lines = Arc::new(Mutex::new(Lines::default()));
    let (closing, open) = watch::channel(());
    let (reader, taken) = match wanted {
        Stderr::Tail => (Reader::Nobody, None),
        Stderr::Progress => {
            let (tx, rx) = mpsc::channel(WAITING_LINES);
            (Reader::Progress(tx), Some(rx))
        }
        Stderr::Lines => {
            let (tx, rx) = mpsc::channel(WAITING_LINES);
            (Reader::Lines(tx), Some(rx))
        }
    };
    if let Some(pipe) = pipe {
        let pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let lines = Arc::clone(&lines);
        tokio::spawn(async move {
            read(pipe, &lines, reader).await;
            drop(closing);
        });
    }
    Ok((Tail { lines, open }, taken))
}

async fn read(mut pipe: pipe::Receiver, tail: &Mutex<Lines>, reader: Reader) {
    let mut splitter = Splitter::default();
    let mut buffer = [0_u8; 4096];
    loop {
        let read = match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let mut lines = Vec::new();
        splitter.push(&buffer[..read], |line| lines.push(printable(line)));
        for line in lines {
            sort(line, tail, &reader).await;
        }
    }
    let mut last = None;
    splitter.finish(|line| last = Some(printable(line)));
    if let Some(line) = last {
        sort(line, tail, &reader).await;
    }
}

async fn sort(line: String, tail: &Mutex<Lines>, reader: &Reader) {
    let progress = is_progress(&line);
    let keep = |line| {
        tail.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    };
    match reader {
        Reader::Progress(reader) if progress => drop(reader.try_send(line)),
        Reader::Lines(reader) => {
            if !progress {
                keep(line.clone());
            }
            // A reader that is gone is not waited for.
            drop(reader.send(line).await);
        }
        _ => keep(line),
    }
}

/// `frame=12`, `out_time_us=480000`, `stream_0_0_q=28.0`: one word, `=`, and a value without
/// words before it.
fn is_progress(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| {
        !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    })
}

fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(line).chars() {
        if c == '\t' {
            text.push(' ');
        } else if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// Splits bytes at line ends (`\n`, `\r`), however they arrive; empty lines are left out.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.finish(&mut each);
            } else if self.line.len() < LINE {
                self.line.push(byte);
            }
        }
    }

    fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            each(&self.line);
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut splitter = Splitter::default();
        for part in parts {
            splitter.push(part, |l| out.push(printable(l)));
        }
        splitter.finish(|l| out.push(printable(l)));
        out
    }

    #[test]
    fn lines_are_found_across_reads_and_control_characters_escaped() {
        assert_eq!(
            split(&[b"fra", b"me=1\nbad \x1b[31m\xff\r\n", b"end"]),
            ["frame=1", "bad \\u{1b}[31m\u{fffd}", "end"]
        );
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_without_bound() {
        let line = split(&[&vec![b'x'; 100_000]]);
        assert_eq!(line[0].len(), LINE);
    }

    #[test]
    fn the_tail_keeps_the_last_4_kib() {
        let mut lines = Lines::default();
        for n in 0..10_000 {
            lines.push(format!("line {n}"));
        }
        assert!(lines.bytes <= KEPT);
        assert_eq!(lines.lines.back().map(String::as_str), Some("line 9999"));
        assert_eq!(
            lines.bytes,
            lines.lines.iter().map(|l| l.len() + 1).sum::<usize>()
        );
    }

    #[test]
    fn progress_is_told_from_messages() {
        for line in [
            "frame=12",
            "out_time_us=480000",
            "speed=  1x",
            "stream_0_0_q=28.0",
        ] {
            assert!(is_progress(line), "{line}");
        }
        for line in [
            "[mov @ 0x5] moov atom not found",
            "Error: a=b",
            "x264 [info]: frame I:1",
            "=1",
        ] {
            assert!(!is_progress(line), "{line}");
        }
    }
}
