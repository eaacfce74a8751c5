//! What a copy and a transcode cost on this node: guessed at first, then the mean of what sources really took.

use playout_domain::admission::Cost;
use playout_domain::media::Profile;

/// What the daemon itself keeps of a channel: its newest segments (docs/performance.md).
const OWN: u64 = 32 << 20;
/// Copying one channel's prepared media, before it was measured: thousandths of a core, and bytes of its process.
const COPY: (f64, f64) = (10.0, (32 << 20) as f64);
/// Thousandths of a core for a million pixels a second, before it was measured.
const PER_MEGAPIXEL: f64 = 40.0;
/// Bytes of memory for each pixel of a picture, before that was measured, beside those of a copy.
const PER_PIXEL: f64 = 240.0;
/// What a measurement counts for in the mean.
const WEIGHT: f64 = 0.05;

/// What was measured on this node.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of a copy, in thousandths of a core.
    copy: f64,
    /// The bytes of its process.
    copy_memory: f64,
    /// Of a transcode, for a million pixels a second.
    per_megapixel: f64,
    /// The bytes of its process for each pixel of a picture, beside those of a copy.
    per_pixel: f64,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            copy: COPY.0,
            copy_memory: COPY.1,
            per_megapixel: PER_MEGAPIXEL,
            per_pixel: PER_PIXEL,
        }
    }
}

impl Measured {
    /// Of one more copy.
    pub(super) fn copy(&self) -> Cost {
        Cost {
            cpu: (self.copy.ceil() as u32).max(1),
            memory: OWN + self.copy_memory as u64,
        }
    }

    /// Of a transcode into `profile`.
    pub(super) fn transcode(&self, profile: &Profile) -> Cost {
        Cost {
            cpu: ((self.per_megapixel * megapixels(profile)).ceil() as u32).max(1),
            memory: (self.copy_memory + pixels(profile) as f64 * self.per_pixel) as u64,
        }
    }

    /// Of a transcode for a million pixels a second, in thousandths of a core.
    pub(super) fn per_megapixel(&self) -> u32 {
        self.per_megapixel.round() as u32
    }

    /// A copy took so much of a core, and of memory.
    pub(super) fn copied(&mut self, cpu: f64, memory: u64) {
        weigh(&mut self.copy, 1000.0 * cpu);
        weigh(&mut self.copy_memory, memory as f64);
    }

    /// A transcode into `profile` took so much of a core, and of memory.
    pub(super) fn transcoded(&mut self, profile: &Profile, cpu: f64, memory: u64) {
        let each = 1000.0 * cpu / megapixels(profile).max(0.1);
        weigh(&mut self.per_megapixel, each);
        let more = (memory as f64 - self.copy_memory).max(0.0);
        weigh(
            &mut self.per_pixel,
            more / (pixels(profile) as f64).max(1.0),
        );
    }
}

/// Brings a mean a little nearer to what was measured.
fn weigh(mean: &mut f64, measured: f64) {
    *mean += (measured - *mean) * WEIGHT;
}

/// Millions of pixels a second that a profile encodes.
fn megapixels(profile: &Profile) -> f64 {
    pixels(profile) as f64 * profile.frame_rate.as_f64() / 1e6
}

/// The pixels of one picture on every rung.
fn pixels(profile: &Profile) -> u64 {
    profile.rungs().map(|rung| rung.resolution.pixels()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playout_domain::ChannelConfig;
    use playout_domain::overlay::Font;

    #[test]
    fn what_sources_take_is_what_the_next_ones_are_taken_to_cost() {
        let profile = Profile::of(&ChannelConfig::named("One"), Font::default());
        let mut measured = Measured::default();
        for _ in 0..500 {
            measured.copied(0.25, 100 << 20);
            measured.transcoded(&profile, 0.5, 400 << 20);
        }
        let near = |measured: u64, wanted: u64| measured.abs_diff(wanted) <= wanted / 50;
        let (copy, transcode) = (measured.copy(), measured.transcode(&profile));
        assert!(near(copy.cpu.into(), 250), "{copy:?}");
        assert!(near(copy.memory, OWN + (100 << 20)), "{copy:?}");
        assert!(near(transcode.cpu.into(), 500), "{transcode:?}");
        assert!(near(transcode.memory, 400 << 20), "{transcode:?}");
    }
}
