//! Numbers that look random and are the same every time for one seed (xorshift, Marsaglia 2003).

/// See the module's head.
pub struct Numbers(u64);

impl Numbers {
    /// Those of a seed.
    pub fn seeded(seed: u64) -> Self {
        // It must not be zero, and small ones begin with small numbers.
        Self(seed ^ 0x2545_f491_4f6c_dd1d | 1)
    }

    /// The next, from 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
