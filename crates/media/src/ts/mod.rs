//! MPEG-TS at the level of its 188-byte packets (ISO/IEC 13818-1 §2.4): reading header fields,
//! patching time stamps and counters in place, and writing the few tables we need.

mod packet;
mod pes;
mod psi;

pub use packet::{PACKET, PacketView, SYNC, patch_continuity, patch_pcr, patch_pid};
pub use pes::{PesHeader, patch_pes_times, write_pes_header};
pub use psi::{Stream, StreamKind, parse_pat, parse_pmt, write_pat, write_pmt};
