//! What a PNG file is made of (ISO/IEC 15948), and whether it is taken: nothing is decoded here.

use std::fmt;

/// Pixels across and down at most.
pub const MAX_SIDE: u32 = 4096;
/// Bytes of a file at most.
pub const MAX_BYTES: usize = 1 << 20;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// A PNG whose structure is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Png {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Why a file is not taken: a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is no PNG at all.
    NotPng,
    /// It ends before its end.
    CutShort,
    /// A part of it is not what its checksum says.
    Damaged([u8; 4]),
    /// Its parts are not those of a PNG, or not in their order.
    Disorder(&'static str),
    /// It is larger than what is taken.
    TooLarge(u32, u32),
    /// More bytes than are taken.
    TooLong(usize),
    /// It moves.
    Animated,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPng => f.write_str("The file is no PNG."),
            Self::CutShort => f.write_str("The PNG is cut short."),
            Self::Damaged(part) => {
                let part = String::from_utf8_lossy(part);
                write!(
                    f,
                    "The PNG is damaged: the checksum of its part {} is wrong.",
                    part.escape_default()
                )
            }
            Self::Disorder(what) => write!(f, "The PNG is damaged: {what}."),
            Self::TooLarge(width, height) => write!(
                f,
                "The PNG is {width}×{height} pixels; 1 to {MAX_SIDE} each way are allowed."
            ),
            Self::TooLong(bytes) => write!(
                f,
                "The PNG has {bytes} bytes; {MAX_BYTES} at most are allowed."
            ),
            Self::Animated => f.write_str("The PNG is animated; a still picture is needed."),
        }
    }
}

/// Looks at all parts of a file.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn examine(file: &[u8]) -> Result<Png, Refused> {
    if file.len() > MAX_BYTES {
        return Err(Refused::TooLong(file.len()));
    }
    let mut rest = file.strip_prefix(&SIGNATURE).ok_or(Refused::NotPng)?;
    let mut png = None;
    let (mut data, mut palette, mut indexed) = (false, false, false);
    loop {
        let Part { kind, body, behind } = part(rest)?;
        match (&kind, png) {
            (b"IHDR", None) => {
                let header = header(body)?;
                indexed = header.1;
                png = Some(header.0);
            }
            (b"IHDR", Some(_)) => return Err(Refused::Disorder("it has two headers")),
            (_, None) => return Err(Refused::Disorder("it does not begin with its header")),
            (b"acTL", _) => return Err(Refused::Animated),
            (b"PLTE", _) => {
                if data
                    || palette
                    || body.is_empty()
                    || !body.len().is_multiple_of(3)
                    || body.len() > 768
                {
                    return Err(Refused::Disorder("its palette cannot be right"));
                }
                palette = true;
            }
            (b"IDAT", _) => data = true,
            (b"IEND", Some(png)) => {
                return match (data, indexed && !palette, behind.is_empty()) {
                    (false, ..) => Err(Refused::Disorder("it has no picture")),
                    (_, true, _) => Err(Refused::Disorder("its palette is missing")),
                    (.., false) => Err(Refused::Disorder("something follows its end")),
                    _ => Ok(png),
                };
            }
            // Parts that a reader may not know have a small letter first.
            (kind, _) if kind[0].is_ascii_lowercase() => {}
            _ => return Err(Refused::Disorder("it has a part that nobody knows")),
        }
        rest = behind;
    }
}

/// A part of a file.
struct Part<'a> {
    kind: [u8; 4],
    body: &'a [u8],
    /// What follows it.
    behind: &'a [u8],
}

/// The first part of `rest`.
fn part(rest: &[u8]) -> Result<Part<'_>, Refused> {
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Refused::CutShort)?;
    let length = u32::from_be_bytes(*length) as usize;
    let sum_at = length.checked_add(4).ok_or(Refused::CutShort)?;
    let (covered, rest) = rest.split_at_checked(sum_at).ok_or(Refused::CutShort)?;
    let (sum, behind) = rest.split_first_chunk::<4>().ok_or(Refused::CutShort)?;
    let (kind, body) = covered.split_first_chunk::<4>().ok_or(Refused::CutShort)?;
    if !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(Refused::Disorder("the name of a part is none"));
    }
    match crc32(covered) == u32::from_be_bytes(*sum) {
        true => Ok(Part {
            kind: *kind,
            body,
            behind,
        }),
        false => Err(Refused::Damaged(*kind)),
    }
}

/// The size, and whether colours are those of a palette.
fn header(body: &[u8]) -> Result<(Png, bool), Refused> {
    let Ok(
        &[
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            depth,
            colour,
            0,
            0,
            interlace @ 0..=1,
        ],
    ) = <&[u8; 13]>::try_from(body)
    else {
        return Err(Refused::Disorder("its header cannot be right"));
    };
    let _either_way = interlace;
    let (width, height) = (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    );
    let depths: &[u8] = match colour {
        0 => &[1, 2, 4, 8, 16],
        2 | 4 | 6 => &[8, 16],
        3 => &[1, 2, 4, 8],
        _ => &[],
    };
    if !depths.contains(&depth) {
        return Err(Refused::Disorder("its header cannot be right"));
    }
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(Refused::TooLarge(width, height));
    }
    Ok((Png { width, height }, colour == 3))
}

/// CRC-32 (ISO 3309), bit by bit: files are small.
fn crc32(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(u32::MAX, fold)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let covered = [&kind[..], body].concat();
        let length = (body.len() as u32).to_be_bytes();
        [&length[..], &covered, &crc32(&covered).to_be_bytes()].concat()
    }

    fn ihdr(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        chunk(b"IHDR", &[&sides[..], &[depth, colour, 0, 0, 0]].concat())
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        [&SIGNATURE[..], &chunks.concat()].concat()
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn a_sound_file_is_taken_and_any_cut_or_flip_is_not() {
        let sound = file(&[
            ihdr(40, 20, 8, 6),
            chunk(b"tEXt", b"Title\0a"),
            chunk(b"IDAT", &[1, 2, 3]),
            chunk(b"IEND", &[]),
        ]);
        let size = Png {
            width: 40,
            height: 20,
        };
        assert_eq!(examine(&sound), Ok(size));
        for cut in 0..sound.len() {
            assert!(examine(&sound[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x10;
            assert!(examine(&flipped).is_err(), "flipped at {at}");
        }
        let mut longer = sound;
        longer.push(0);
        assert_eq!(
            examine(&longer),
            Err(Refused::Disorder("something follows its end"))
        );
    }

    #[test]
    fn every_refusal_has_its_reason() {
        let (data, end) = (chunk(b"IDAT", &[1]), chunk(b"IEND", &[]));
        let with = |parts: &[Vec<u8>]| examine(&file(parts)).unwrap_err();
        assert_eq!(examine(b"GIF89a"), Err(Refused::NotPng));
        assert_eq!(
            examine(&[0; MAX_BYTES + 1]),
            Err(Refused::TooLong(MAX_BYTES + 1))
        );
        assert_eq!(with(&[ihdr(4097, 1, 8, 6)]), Refused::TooLarge(4097, 1));
        assert_eq!(with(&[ihdr(0, 1, 8, 6)]), Refused::TooLarge(0, 1));
        let cannot_be = Refused::Disorder("its header cannot be right");
        assert_eq!(with(&[ihdr(1, 1, 4, 6)]), cannot_be);
        assert_eq!(with(&[chunk(b"IHDR", &[0; 12])]), cannot_be);
        let begins = Refused::Disorder("it does not begin with its header");
        assert_eq!(with(std::slice::from_ref(&data)), begins);
        assert_eq!(
            with(&[ihdr(1, 1, 8, 6), chunk(b"acTL", &[0; 8])]),
            Refused::Animated
        );
        assert_eq!(
            with(&[ihdr(1, 1, 8, 6), end.clone()]),
            Refused::Disorder("it has no picture")
        );
        assert_eq!(
            with(&[ihdr(1, 1, 8, 3), data.clone(), end.clone()]),
            Refused::Disorder("its palette is missing")
        );
        assert_eq!(
            with(&[ihdr(1, 1, 8, 3), chunk(b"PLTE", &[0; 4]), data, end]),
            Refused::Disorder("its palette cannot be right")
        );
        assert_eq!(
            with(&[ihdr(1, 1, 8, 6), chunk(b"ABCD", &[])]),
            Refused::Disorder("it has a part that nobody knows")
        );
        let huge = [&SIGNATURE[..], &u32::MAX.to_be_bytes(), b"IHDR"].concat();
        assert_eq!(examine(&huge), Err(Refused::CutShort));
    }
}
