//! Edge: everything that speaks to somebody else's service.
//!
//! Where a client's URL leads is looked up once and checked ([`address`]); the connection is made to a
//! checked address and never by name. Whatever another service sends is bounded and never trusted, and
//! nothing here prints or returns a secret.

pub mod address;
pub mod download;
mod http;
pub mod playback;
pub mod rtmp;
pub mod smtp;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
pub mod webhook;

pub use tls::{InvalidCertificates, TrustRoots};
