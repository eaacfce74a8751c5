//! What is done while the disk of the data folder fills up: oldest spool goes first, then nothing more is prepared,
//! which is a warning, then it is an alert that somebody has to act on.
//!
//! ```text
//!          below `spool`          below `prepare`, trimmed      below `alert`, and paused
//!   roomy ───────────────▶ spool ──────────────────────▶ prepare ──────────────────────▶ alert
//!     ◀──────────────────────  ◀───────────────────────────  ◀─────────────────────────────
//!                     each when there is a tenth more than where it began
//! ```
//!
//! Decides only. One step up at a look at most, so that each has had its effect before the next is taken; down as
//! far as the room allows.

/// Where each step begins: fewer free bytes than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Spool is removed, the oldest first.
    pub spool: u64,
    /// Nothing is prepared.
    pub prepare: u64,
    /// It is an alert, and what live channels published last is removed, too.
    pub alert: u64,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stage {
    /// There is room.
    #[default]
    Roomy,
    /// Spool is removed.
    Spool,
    /// Nothing is prepared besides, and somebody is warned.
    Prepare,
    /// And somebody has to act.
    Alert,
}

impl Stage {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roomy => "roomy",
            Self::Spool => "spool",
            Self::Prepare => "prepare",
            Self::Alert => "alert",
        }
    }
}

/// What of the spool has to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Of each channel on air, what its playlist lists.
    Window,
    /// Of each channel on air, what a start begins with.
    Burst,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Remove spool until so many bytes more are free, and say how many are: [`Pressure::trimmed`].
    Trim {
        /// What has to stay.
        keep: Keep,
        /// Bytes that are missing.
        missing: u64,
    },
    /// Begin nothing more, stop what is being prepared, and warn.
    PausePreparing,
    /// Go on preparing; the warning is over.
    ResumePreparing,
    /// Tell.
    Raise,
    /// Tell that it is over.
    Close,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Pressure {
    thresholds: Thresholds,
    stage: Stage,
}

impl Pressure {
    /// There is room, as far as is known.
    pub const fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            stage: Stage::Roomy,
        }
    }

    /// How far it has come.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// So many bytes are free.
    pub fn looked(&mut self, free: u64) -> Vec<Effect> {
        let effects = self.down(free);
        if self.stage == Stage::Roomy && free < self.thresholds.spool {
            self.stage = Stage::Spool;
        }
        if self.stage == Stage::Roomy {
            return effects;
        }
        let keep = match self.stage {
            Stage::Alert => Keep::Burst,
            _ => Keep::Window,
        };
        let missing = enough(self.thresholds.spool).saturating_sub(free);
        [effects, vec![Effect::Trim { keep, missing }]].concat()
    }

    /// Spool was removed, and so many bytes are free.
    pub fn trimmed(&mut self, free: u64) -> Vec<Effect> {
        match self.stage {
            Stage::Spool if free < self.thresholds.prepare => {
                self.stage = Stage::Prepare;
                vec![Effect::PausePreparing]
            }
            Stage::Prepare if free < self.thresholds.alert => {
                self.stage = Stage::Alert;
                vec![Effect::Raise]
            }
            _ => self.down(free),
        }
    }

    /// Takes back what there is room enough for.
    fn down(&mut self, free: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.stage == Stage::Alert && free >= enough(self.thresholds.alert) {
            self.stage = Stage::Prepare;
            effects.push(Effect::Close);
        }
        if self.stage == Stage::Prepare && free >= enough(self.thresholds.prepare) {
            self.stage = Stage::Spool;
            effects.push(Effect::ResumePreparing);
        }
        if self.stage == Stage::Spool && free >= enough(self.thresholds.spool) {
            self.stage = Stage::Roomy;
        }
        effects
    }
}

/// What is free when a step that began below `threshold` is over: a tenth more.
fn enough(threshold: u64) -> u64 {
    threshold.saturating_add(threshold / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Thresholds = Thresholds {
        spool: 1_000,
        prepare: 500,
        alert: 100,
    };

    /// One look: what is free, what is free once spool is removed, where that leads, and what is done besides removing.
    type Look = (u64, u64, Stage, &'static [Effect]);

    fn follow(looks: &[Look]) {
        let mut pressure = Pressure::new(AT);
        for (n, (free, after, stage, expected)) in looks.iter().enumerate() {
            let mut done = pressure.looked(*free);
            let trims = |effect: &Effect| matches!(effect, Effect::Trim { .. });
            if done.iter().any(trims) {
                done.retain(|effect| !trims(effect));
                done.extend(pressure.trimmed(*after));
            }
            assert_eq!(
                (pressure.stage(), done.as_slice()),
                (*stage, *expected),
                "look {n}"
            );
        }
    }

    #[test]
    fn a_disk_that_fills_up_climbs_one_step_at_a_look_and_comes_back() {
        use Effect::{Close, PausePreparing, Raise, ResumePreparing};
        use Stage::{Alert, Prepare, Roomy, Spool};
        follow(&[
            (5_000, 0, Roomy, &[]),
            (999, 999, Spool, &[]),
            (600, 600, Spool, &[]),
            (499, 499, Prepare, &[PausePreparing]),
            (300, 300, Prepare, &[]),
            (99, 99, Alert, &[Raise]),
            (0, 0, Alert, &[]),
            // Between the step and a tenth more nothing changes.
            (105, 105, Alert, &[]),
            (110, 110, Prepare, &[Close]),
            (549, 549, Prepare, &[]),
            (550, 550, Spool, &[ResumePreparing]),
            (1_099, 1_099, Spool, &[]),
            (1_100, 1_100, Roomy, &[]),
        ]);
    }

    #[test]
    fn a_disk_that_is_full_at_once_still_goes_step_by_step() {
        use Effect::{Close, PausePreparing, Raise, ResumePreparing};
        follow(&[
            (0, 0, Stage::Prepare, &[PausePreparing]),
            (0, 0, Stage::Alert, &[Raise]),
            (9_000, 0, Stage::Roomy, &[Close, ResumePreparing]),
        ]);
    }

    #[test]
    fn what_removing_spool_mends_goes_no_further() {
        use Stage::{Roomy, Spool};
        follow(&[
            (400, 700, Spool, &[]),
            (480, 520, Spool, &[]),
            (480, 1_100, Roomy, &[]),
        ]);
    }

    #[test]
    fn what_live_channels_published_last_goes_only_when_nothing_else_helped() {
        let keep = |pressure: &mut Pressure| match pressure.looked(0).last() {
            Some(Effect::Trim { keep, missing }) => (*keep, *missing),
            other => panic!("{other:?}"),
        };
        let mut pressure = Pressure::new(AT);
        for expected in [Keep::Window, Keep::Window, Keep::Burst] {
            assert_eq!(keep(&mut pressure), (expected, 1_100));
            pressure.trimmed(0);
        }
    }

    #[test]
    fn thresholds_of_nothing_never_do_anything() {
        let none = Thresholds {
            spool: 0,
            prepare: 0,
            alert: 0,
        };
        assert_eq!(Pressure::new(none).looked(0), []);
    }
}
