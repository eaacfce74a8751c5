//! Child processes: how they are started, confined, watched, ended and measured.
//!
//! - [`Launcher`] starts every child of the daemon, from the one thread that never ends.
//! - [`Process`] owns one running child; dropping it kills the child's whole group and leaves no
//!   zombie behind.
//! - [`stats`] reads what a process has used, from `/proc`.
//!
//! Invariants: no child outlives the daemon, however the daemon dies; no child is started to read a
//! stranger's file that lies outside the [`Roots`].

mod cgroup;
mod confine;
mod group;
mod launcher;
mod list;
mod overseer;
mod roots;
mod running;
mod spec;
mod stats;
mod stderr;
#[cfg(test)]
mod tests;

pub(crate) use cgroup::ChannelGroup;
pub use cgroup::{Cgroups, NotDelegated};
pub use group::ExitKind;
pub use launcher::{Launcher, SpawnError};
pub(crate) use list::{Begun, Role, Running, Sampled, Shown};
pub use roots::Roots;
pub use running::Process;
pub use spec::{Limits, Priority, Spec, Stderr, Stdin, Stdout, Tools};
pub use stats::{ProcessStats, stats};
