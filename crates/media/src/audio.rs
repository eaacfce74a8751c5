//! AAC access units in ADTS (ISO/IEC 13818-7 §6.2): cutting them out of PES payload, and silence.

use bytes::Bytes;
use playout_domain::units::{AUDIO_UNIT_TICKS, Ticks90k};

/// How long one access unit lasts: 1024 samples at 48 kHz are 1920 ticks, exactly.
pub const UNIT: Ticks90k = Ticks90k::new(AUDIO_UNIT_TICKS);

/// One AAC access unit with its ADTS header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioUnit {
    /// When its first sample is heard, on the clock of its source.
    pub pts: Ticks90k,
    /// The unit, ADTS header included.
    pub data: Bytes,
}

/// Why audio could not be cut into access units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdtsError {
    /// There is no ADTS header where one must be.
    #[error("an audio packet does not begin with an ADTS header")]
    NoSync,
    /// A unit is longer than the packet that carries it.
    #[error("an audio access unit is cut short")]
    Truncated,
    /// Another sample rate than every profile has.
    #[error("audio is not AAC at 48 kHz")]
    NotProfile,
}

/// Cuts the payload of one audio PES packet into access units, the first at `pts`.
pub fn split_adts(payload: &Bytes, pts: Ticks90k) -> Result<Vec<AudioUnit>, AdtsError> {
    let mut units = Vec::new();
    let (mut at, mut pts) = (0, pts);
    while at < payload.len() {
        let head = payload.get(at..at + 7).ok_or(AdtsError::Truncated)?;
        if head[0] != 0xff || head[1] & 0xf6 != 0xf0 {
            return Err(AdtsError::NoSync);
        }
        if (head[2] >> 2) & 0x0f != 3 {
            return Err(AdtsError::NotProfile);
        }
        let len = (usize::from(head[3] & 3) << 11)
            | (usize::from(head[4]) << 3)
            | usize::from(head[5] >> 5);
        if len < 7 || at + len > payload.len() {
            return Err(AdtsError::Truncated);
        }
        units.push(AudioUnit {
            pts,
            data: payload.slice(at..at + len),
        });
        at += len;
        pts += UNIT;
    }
    Ok(units)
}

/// One access unit of stereo silence, for the place of a unit that a source did not deliver.
pub fn silent_unit() -> Bytes {
    // AAC-LC, 48 kHz, stereo, 16 bytes in all; the payload is an empty channel pair.
    Bytes::from_static(&[
        0xff, 0xf1, 0x4c, 0x80, 0x02, 0x1f, 0xfc, 0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23,
        0x80,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_one_unit() {
        let two = Bytes::from([silent_unit(), silent_unit()].concat());
        let units = split_adts(&two, Ticks90k::new(10)).expect("two units");
        assert_eq!(
            units.iter().map(|u| u.pts.get()).collect::<Vec<_>>(),
            [10, 1930]
        );
    }

    #[test]
    fn damage_is_named() {
        let unit = silent_unit();
        assert_eq!(
            split_adts(&unit.slice(1..), Ticks90k::new(0)),
            Err(AdtsError::NoSync)
        );
        assert_eq!(
            split_adts(&unit.slice(..12), Ticks90k::new(0)),
            Err(AdtsError::Truncated)
        );
    }
}
