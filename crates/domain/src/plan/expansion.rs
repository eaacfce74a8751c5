//! What was expanded of a plan so far, shared by all who hold the plan. Follows from the plan's tail alone, so
//! it is neither stored nor compared.

use super::walk::Walker;
use super::{PlanEntry, Tail};
use crate::units::Frame;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that are kept at most; what was before is expanded again when it is asked for.
const MOST: usize = 4_096;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Expansion(Mutex<Option<Expanded>>);

#[derive(Debug)]
struct Expanded {
    walker: Walker,
    /// Without a hole among them.
    entries: VecDeque<PlanEntry>,
    /// Whether the first of the entries is the first of the tail.
    whole: bool,
}

impl Expanded {
    fn of(tail: &Tail) -> Self {
        Self {
            walker: Walker::new(Arc::clone(&tail.basis), tail.state.clone()),
            entries: VecDeque::new(),
            whole: true,
        }
    }
}

impl Expansion {
    /// How many entries were expanded that begin before `frame`.
    pub(super) fn count(&self, frame: Frame) -> usize {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map_or(0, |expanded| {
            expanded
                .entries
                .partition_point(|entry| entry.start < frame)
        })
    }

    /// The entry of `tail` that is on air at `frame`, or else comes next, as far as anybody looks ahead.
    pub(super) fn after(&self, tail: &Tail, frame: Frame) -> Option<PlanEntry> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = |expanded: &Expanded| {
            !expanded.whole
                && expanded
                    .entries
                    .front()
                    .is_none_or(|first| frame < first.start)
        };
        let mut expanded = match kept.take() {
            Some(expanded) if !forgotten(&expanded) => expanded,
            _ => Expanded::of(tail),
        };
        // Where nothing can be played one slot after another would be passed over, to the end of time.
        let limit = tail.basis.horizon(frame);
        while expanded.entries.back().is_none_or(|last| last.end <= frame) {
            let Some(entry) = expanded.walker.next(limit) else {
                break;
            };
            expanded.entries.push_back(entry);
            if expanded.entries.len() > MOST {
                expanded.entries.pop_front();
                expanded.whole = false;
            }
        }
        let entries = &kept.insert(expanded).entries;
        let n = entries.partition_point(|entry| entry.end <= frame);
        // The same answer, whatever was asked for before.
        let entry = entries.get(n).copied();
        entry.filter(|entry| entry.start <= limit)
    }
}
