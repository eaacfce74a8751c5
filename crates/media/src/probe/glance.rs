//! What a few bytes tell, before FFprobe is started: it takes a twentieth of a second, and folders are full of
//! what is no media.

use super::Refusal;

/// So many bytes from the beginning of a file are enough.
pub const GLANCE: usize = 4096;
/// No container holds two pictures in less.
const SHORTEST: u64 = 512;
/// How texts begin that name other files.
const PLAYLISTS: [&str; 5] = ["#EXTM3U", "ffconcat ", "v=0", "[playlist]", "<smil"];
/// What is in texts that name other files.
const MANIFESTS: [&str; 2] = ["<MPD", "<CompositionPlaylist"];

/// Why a file of `size` bytes that begins with `head` is no video; nothing where it may be one.
pub fn glance(size: u64, head: &[u8]) -> Option<Refusal> {
    if let Some(text) = text(head) {
        let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let begins = |marks: &[&str]| marks.iter().any(|mark| text.starts_with(mark));
        let holds = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
        if begins(&["YUV4MPEG2 "]) {
            return None;
        }
        return Some(match () {
            () if begins(&PLAYLISTS) || holds(&MANIFESTS) => Refusal::Playlist,
            () if holds(&["<svg"]) => Refusal::Image,
            () => Refusal::Text,
        });
    }
    (size < SHORTEST).then_some(Refusal::TooShort(size))
}

/// The bytes as text; nothing where they are none. A character may be cut at the end.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n' | '\x0c' | '\x1b');
    (!text.is_empty() && text.chars().all(printable)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_what_is_too_short_are_seen_at_a_glance() {
        let cut = format!("{}ä", "a".repeat(GLANCE - 1));
        for (head, refusal) in [
            ("Dear Sir or Madam,\r\n", Refusal::Text),
            (&cut, Refusal::Text),
            ("\u{feff}<html>", Refusal::Text),
            (
                "\n#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n",
                Refusal::Playlist,
            ),
            (
                "ffconcat version 1.0\nfile /etc/passwd\n",
                Refusal::Playlist,
            ),
            (
                "<?xml version=\"1.0\"?>\n<MPD profiles=\"x\">",
                Refusal::Playlist,
            ),
            ("<svg xmlns=\"http://www.w3.org/2000/svg\">", Refusal::Image),
        ] {
            let head = &head.as_bytes()[..head.len().min(GLANCE)];
            assert_eq!(glance(1 << 20, head), Some(refusal), "{head:?}");
        }
        let noise: Vec<u8> = (0..300_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        assert_eq!(glance(300, &noise), Some(Refusal::TooShort(300)));
    }

    #[test]
    fn what_may_be_media_is_left_to_ffprobe() {
        for head in [
            &b"\0\0\0\x20ftypisom\0\0\x02\0"[..],
            b"\x47\x40\x11\x10\0\x42\xf0\x25",
            b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
            b"RIFF\x10\0\0\0AVI LIST",
            b"YUV4MPEG2 W16 H16 F25:1\nFRAME\n",
            b"#!AMR\n\x3c\x91\x17",
            b"",
        ] {
            assert_eq!(glance(1 << 20, head), None, "{head:?}");
        }
    }
}
