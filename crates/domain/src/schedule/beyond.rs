//! Entries that begin where their item is over, as long as it turns out to be. They were taken while less was known, and
//! show nothing.

use super::Schedule;
use super::element::Element;
use crate::ids::MediaId;
use crate::units::FrameRate;

impl Schedule {
    /// Where such entries are, and why they are such: a sentence each, in the order of the schedule's parts.
    pub fn beyond(&self, rate: FrameRate, frames: impl Fn(MediaId) -> Option<u64>) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |list: &str, n: usize, element: &Element| {
            let Element::Media {
                media_id, begins, ..
            } = element
            else {
                return;
            };
            if begins.get() == 0 {
                return;
            }
            if let Some(frames) = frames(*media_id).filter(|all| rate.nearest(*begins) >= *all) {
                let (begins, ends) = (begins.seconds(), rate.duration(frames).as_secs_f64());
                found.push(format!(
                    "{list}/{n}: in is {begins} s, but the item ends at {ends:.3} s"
                ));
            }
        };
        for (n, item) in self.rotation.items.iter().enumerate() {
            look("/rotation/items", n, &item.element);
        }
        for (n, filler) in self.rotation.fillers.iter().enumerate() {
            look("/rotation/fillers", n, filler);
        }
        for (k, block) in self.blocks.iter().enumerate() {
            let list = format!("/blocks/{k}/items");
            for (n, element) in block.items.iter().enumerate() {
                look(&list, n, element);
            }
        }
        for (k, day) in self.templates.iter().enumerate() {
            for (m, slot) in day.slots.iter().enumerate() {
                let list = format!("/templates/{k}/slots/{m}/items");
                for (n, element) in slot.items.iter().enumerate() {
                    look(&list, n, element);
                }
            }
        }
        for (k, slot) in self.slots.iter().enumerate() {
            let list = format!("/slots/{k}/items");
            for (n, element) in slot.items.iter().enumerate() {
                look(&list, n, element);
            }
        }
        found
    }
}
