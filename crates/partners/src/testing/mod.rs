//! For tests: somebody else's services, as far as they are needed, behaving as badly as they are told to.
#![allow(clippy::expect_used, clippy::unwrap_used)] // a test that cannot have its servers has failed

mod mail_server;
mod receiver;

/// What is waited for comes within this.
const BOUND: std::time::Duration = std::time::Duration::from_secs(30);

pub use mail_server::{Fault, Mail, MailServer};
pub use receiver::{Behaviour, Received, Receiver};
