//! One transport stream packet (ISO/IEC 13818-1 §2.4.3.2): a read-only view and in-place patches.

use playout_domain::units::Pts33;

/// Length of a transport stream packet in bytes.
pub const PACKET: usize = 188;
/// The byte that begins every packet.
pub const SYNC: u8 = 0x47;

/// A read-only view of one packet.
#[derive(Clone, Copy)]
pub struct PacketView<'a>(&'a [u8]);

impl<'a> PacketView<'a> {
    /// A view of `bytes`; `None` unless they are one packet long and begin with the sync byte.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() == PACKET && bytes[0] == SYNC).then_some(Self(bytes))
    }

    /// The 13-bit packet identifier.
    pub fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    /// Whether a PES packet or a section begins in this packet.
    pub fn starts_unit(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// Whether the sender marked the packet as damaged, or scrambled it: neither can be used.
    pub fn is_damaged(self) -> bool {
        self.0[1] & 0x80 != 0 || self.0[3] & 0xc0 != 0
    }

    /// The 4-bit continuity counter.
    pub fn continuity(self) -> u8 {
        self.0[3] & 0x0f
    }

    /// Whether the packet carries payload; only such packets advance the continuity counter.
    pub fn has_payload(self) -> bool {
        self.0[3] & 0x10 != 0
    }

    /// The adaptation field's flags, if it has any.
    fn adaptation_flags(self) -> Option<u8> {
        (self.0[3] & 0x20 != 0 && self.0[4] > 0).then(|| self.0[5])
    }

    /// `random_access_indicator`: a key frame begins here.
    pub fn is_random_access(self) -> bool {
        self.adaptation_flags().is_some_and(|f| f & 0x40 != 0)
    }

    /// Whether the packet carries a program clock reference.
    pub fn has_pcr(self) -> bool {
        self.adaptation_flags().is_some_and(|f| f & 0x10 != 0) && self.0[4] >= 7
    }

    /// The payload, empty where there is none or the adaptation field's length is wrong.
    pub fn payload(self) -> &'a [u8] {
        if !self.has_payload() {
            return &[];
        }
        let start = if self.0[3] & 0x20 != 0 {
            5 + self.0[4] as usize
        } else {
            4
        };
        self.0.get(start..).unwrap_or(&[])
    }

    /// Where the payload begins in the packet.
    pub fn payload_offset(self) -> usize {
        PACKET - self.payload().len()
    }
}

/// Writes `pid` into the packet.
pub fn patch_pid(packet: &mut [u8], pid: u16) {
    let [high, low] = pid.to_be_bytes();
    packet[1] = (packet[1] & 0xe0) | (high & 0x1f);
    packet[2] = low;
}

/// Writes the continuity counter into the packet.
pub fn patch_continuity(packet: &mut [u8], counter: u8) {
    packet[3] = (packet[3] & 0xf0) | (counter & 0x0f);
}

/// Moves the packet's program clock reference by `offset` ticks of 90 kHz, modulo 2^33. The packet must
/// have one (`PacketView::has_pcr`); the 27 MHz extension stays.
pub fn patch_pcr(packet: &mut [u8], offset: i64) {
    let field = &mut packet[6..12];
    let base = (u64::from(field[0]) << 25)
        | (u64::from(field[1]) << 17)
        | (u64::from(field[2]) << 9)
        | (u64::from(field[3]) << 1)
        | u64::from(field[4] >> 7);
    let moved = Pts33::new(base).offset(offset).get();
    field[0] = (moved >> 25) as u8;
    field[1] = (moved >> 17) as u8;
    field[2] = (moved >> 9) as u8;
    field[3] = (moved >> 1) as u8;
    field[4] = (field[4] & 0x7f) | ((moved as u8 & 1) << 7);
}
