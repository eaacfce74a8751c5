//! Where in an item's time its file is damaged, as a short list for people.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::units::Ticks90k;

/// Stretches of a kind with less than a second between them are one.
const NEAR: Ticks90k = Ticks90k::new(Ticks90k::PER_SECOND);
/// Most stretches of a kind; beyond that, those with the least between them become one.
const MOST: usize = 32;

/// What of an item is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damaged {
    /// Pictures could not be decoded, or not wholly: the last good one stands still, or what can be guessed is shown.
    Picture,
    /// Sound could not be decoded: there is silence.
    Sound,
    /// The file breaks off before the end that it tells.
    Missing,
}

/// A damaged stretch, in the time of the prepared item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Where it begins.
    pub from: Ticks90k,
    /// Where it is over.
    pub to: Ticks90k,
    /// What is damaged.
    pub what: Damaged,
}

impl Damage {
    /// As the API answers it: times in seconds.
    pub fn to_json(&self) -> Value {
        let seconds = |at: Ticks90k| (at.seconds() * 1_000.0).round() / 1_000.0;
        json!({ "from": seconds(self.from), "to": seconds(self.to), "what": self.what })
    }
}

/// `found`, in the order of time, as few stretches as say the same: those that are near each other are one,
/// and there are never many.
pub fn summed_up(found: impl IntoIterator<Item = Damage>) -> Vec<Damage> {
    let mut found: Vec<Damage> = found.into_iter().filter(|d| d.from < d.to).collect();
    found.sort_by_key(|damage| (damage.what, damage.from, damage.to));
    let mut sum: Vec<Damage> = Vec::new();
    for kind in found.chunk_by(|a, b| a.what == b.what) {
        let mut few: Vec<Damage> = Vec::new();
        for next in kind {
            match few.last_mut() {
                Some(last) if next.from.saturating_sub(last.to) < NEAR => {
                    last.to = last.to.max(next.to);
                }
                _ => few.push(*next),
            }
        }
        while few.len() > MOST {
            let between = |n: &usize| few[*n].from.saturating_sub(few[*n - 1].to);
            let Some(nearest) = (1..few.len()).min_by_key(between) else {
                break;
            };
            few[nearest - 1].to = few.remove(nearest).to;
        }
        sum.extend(few);
    }
    sum.sort_by_key(|damage| (damage.from, damage.to, damage.what));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(from: u64, to: u64) -> Damage {
        let at = |tenths| Ticks90k::new(tenths * 9_000);
        Damage {
            from: at(from),
            to: at(to),
            what: Damaged::Picture,
        }
    }

    #[test]
    fn what_is_near_is_one_and_kinds_are_kept_apart() {
        let sound = Damage {
            what: Damaged::Sound,
            ..picture(24, 26)
        };
        let found = [
            picture(31, 40),
            picture(10, 15),
            sound,
            picture(24, 30),
            picture(12, 13),
            picture(50, 50),
        ];
        assert_eq!(summed_up(found), [picture(10, 40), sound]);
        let apart = [picture(10, 15), picture(25, 30)];
        assert_eq!(summed_up(apart), apart);
    }

    #[test]
    fn there_are_never_many_and_nothing_is_lost() {
        let many = (0..1_000).map(|n| picture(n * 20 + n % 7, n * 20 + 8));
        let sum = summed_up(many.clone());
        assert_eq!(sum.len(), MOST);
        for damage in many {
            let within = |whole: &&Damage| whole.from <= damage.from && damage.to <= whole.to;
            assert!(sum.iter().any(|whole| within(&whole)), "{damage:?}");
        }
    }

    #[test]
    fn it_is_told_in_seconds() {
        let told = picture(198, 201).to_json();
        assert_eq!(told, json!({ "from": 19.8, "to": 20.1, "what": "picture" }));
    }
}
