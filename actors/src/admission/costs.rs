//! What a copy and a transcode cost on this node: guessed at first, then the mean of what sources really took.

use playout_domain::admission::Cost;
use playout_domain::media::Profile;

/// Copying one channel's prepared media, before it was measured.
const COPY: Cost = Cost {
    cpu: 10,
    memory: 64 << 20,
};
/// Thousandths of a core for a million pixels a second, before it was measured; and bytes of memory for each pixel of a picture.
const PER_MEGAPIXEL: f64 = 40.0;
const PER_PIXEL: u64 = 240;
/// What a measurement counts for in the mean.
const WEIGHT: f64 = 0.05;

/// What was measured on this node.
#[derive(Debug)]
pub(super) struct Measured {
    /// In thousandths of a core.
    copy: f64,
    /// The same for a million pixels a second.
    per_megapixel: f64,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            copy: f64::from(COPY.cpu),
            per_megapixel: PER_MEGAPIXEL,
        }
    }
}

impl Measured {
    /// Of one more copy.
    pub(super) fn copy(&self) -> Cost {
        Cost {
            cpu: (self.copy.ceil() as u32).max(1),
            ..COPY
        }
    }

    /// Of a transcode into `profile`.
    pub(super) fn transcode(&self, profile: &Profile) -> Cost {
        Cost {
            cpu: ((self.per_megapixel * megapixels(profile)).ceil() as u32).max(1),
            memory: COPY.memory + pixels(profile) * PER_PIXEL,
        }
    }

    /// Of a transcode for a million pixels a second, in thousandths of a core.
    pub(super) fn per_megapixel(&self) -> u32 {
        self.per_megapixel.round() as u32
    }

    /// A copy took so much of a core.
    pub(super) fn copied(&mut self, cpu: f64) {
        self.copy += (1000.0 * cpu - self.copy) * WEIGHT;
    }

    /// A transcode into `profile` took so much of a core.
    pub(super) fn transcoded(&mut self, profile: &Profile, cpu: f64) {
        let each = 1000.0 * cpu / megapixels(profile).max(0.1);
        self.per_megapixel += (each - self.per_megapixel) * WEIGHT;
    }
}

/// Millions of pixels a second that a profile encodes.
fn megapixels(profile: &Profile) -> f64 {
    pixels(profile) as f64 * profile.frame_rate.as_f64() / 1e6
}

/// The pixels of one picture on every rung.
fn pixels(profile: &Profile) -> u64 {
    profile.rungs().map(|rung| rung.resolution.pixels()).sum()
}
