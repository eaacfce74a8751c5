//! What is sent to other people's services, as servers of the test's own meet it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod smtp;
mod webhook;
