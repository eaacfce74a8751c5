//! How far the preparing of several items is: pure, from what the daemon answers about each.

use serde_json::Value;

/// Ids asked about in one round, so that a large import does not ask thousands of times a second.
const ROUND: usize = 16;

/// One item as the daemon last told of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    title: String,
    /// Milliseconds of media: what it weighs in the whole.
    weight: u64,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// So much of one is prepared.
    Preparing(f64),
    Ready,
    /// Nobody has asked for it to be prepared yet; it plays by live transcode.
    Idle,
    /// It plays by live transcode or not at all, for this reason.
    Failed(String),
}

impl Item {
    /// From `GET /media/{id}`, or from an item of an import's report.
    pub(super) fn of(answer: &Value) -> Option<Self> {
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let seconds = answer["duration"].as_f64().unwrap_or_default();
        let state = match answer["status"].as_str()? {
            "ready" => State::Ready,
            "failed" | "refused" => State::Failed(text("reason").unwrap_or_default()),
            _ => match answer["renditions"].as_array() {
                Some(none) if none.is_empty() => State::Idle,
                list => State::Preparing(prepared(list.map_or(&[], Vec::as_slice))),
            },
        };
        Some(Self {
            id: text("id")?,
            title: text("title").unwrap_or_default(),
            weight: ((seconds * 1000.0) as u64).max(1),
            state,
        })
    }

    fn done(&self) -> u64 {
        match self.state {
            State::Preparing(part) => (self.weight as f64 * part) as u64,
            State::Ready | State::Idle | State::Failed(_) => self.weight,
        }
    }
}

/// How much of its renditions is there, of one.
fn prepared(renditions: &[Value]) -> f64 {
    if renditions.is_empty() {
        return 0.0;
    }
    let percents = renditions
        .iter()
        .map(|rendition| match rendition["status"].as_str() {
            Some("ready") => 100.0,
            _ => rendition["percent"]
                .as_f64()
                .unwrap_or_default()
                .clamp(0.0, 100.0),
        });
    percents.sum::<f64>() / renditions.len() as f64 / 100.0
}

/// How far all of them are.
#[derive(Debug)]
pub(super) struct Progress {
    items: Vec<Item>,
    /// Those still being prepared, in the order in which they are asked about.
    unfinished: Vec<String>,
}

impl Progress {
    pub(super) fn of(items: Vec<Item>) -> Self {
        let preparing = |item: &&Item| matches!(item.state, State::Preparing(_));
        let unfinished = items
            .iter()
            .filter(preparing)
            .map(|item| item.id.clone())
            .collect();
        Self { items, unfinished }
    }

    /// Whom to ask about now; nothing when all of it is done.
    pub(super) fn unfinished(&self) -> Option<&[String]> {
        let round = &self.unfinished[..self.unfinished.len().min(ROUND)];
        (!round.is_empty()).then_some(round)
    }

    /// Notes the daemon's answer about `id` (nothing: it was deleted meanwhile) and answers a line
    /// about it when it has come to its end.
    pub(super) fn learn(&mut self, id: &str, answer: Option<Item>) -> Option<String> {
        self.unfinished.retain(|unfinished| unfinished != id);
        let known = self.items.iter_mut().find(|item| item.id == id)?;
        let Some(item) = answer else {
            known.state = State::Failed("it was deleted".to_owned());
            return Some(format!("deleted: {}", known.title));
        };
        *known = item;
        match &known.state {
            State::Preparing(_) => {
                // To the end of the queue: others have their turn.
                self.unfinished.push(id.to_owned());
                None
            }
            State::Ready => Some(format!("prepared: {}", known.title)),
            State::Idle => Some(format!("imported: {}", known.title)),
            State::Failed(reason) => Some(format!("not prepared: {}: {reason}", known.title)),
        }
    }

    /// What all of it weighs.
    pub(super) fn whole(&self) -> u64 {
        self.items.iter().map(|item| item.weight).sum()
    }

    /// How much of that is done.
    pub(super) fn done(&self) -> u64 {
        self.items.iter().map(Item::done).sum()
    }

    /// Items that came to their end without being prepared.
    pub(super) fn failed(&self) -> usize {
        self.items
            .iter()
            .filter(|item| matches!(item.state, State::Failed(_)))
            .count()
    }

    /// As in "3 of 7 items".
    pub(super) fn summary(&self) -> String {
        let all = self.items.len();
        let begun = |item: &Item| matches!(item.state, State::Preparing(part) if part > 0.0);
        let queued = !self.unfinished.is_empty() && !self.items.iter().any(begun);
        let queued = if queued {
            ", the next in the queue"
        } else {
            ""
        };
        format!("{} of {all} items{queued}", all - self.unfinished.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn item(id: &str, seconds: f64, status: &str, percent: f64) -> Item {
        let renditions = json!([{ "status": "preparing", "percent": percent }]);
        let answer = json!({
            "id": id, "title": id, "duration": seconds, "status": status, "reason": "broken",
            "renditions": renditions,
        });
        Item::of(&answer).unwrap()
    }

    #[test]
    fn the_whole_is_weighed_by_duration() {
        let items = vec![
            item("a", 30.0, "preparing", 50.0),
            item("b", 10.0, "ready", 0.0),
        ];
        let progress = Progress::of(items);
        assert_eq!((progress.whole(), progress.done()), (40_000, 25_000));
        assert_eq!(progress.summary(), "1 of 2 items");
        assert_eq!(progress.unfinished(), Some(&["a".to_owned()][..]));
        let waiting = Progress::of(vec![item("a", 30.0, "preparing", 0.0)]);
        assert_eq!(waiting.summary(), "0 of 1 items, the next in the queue");
    }

    #[test]
    fn an_item_is_asked_about_until_it_has_come_to_its_end() {
        let mut progress = Progress::of(vec![
            item("a", 1.0, "preparing", 0.0),
            item("b", 1.0, "preparing", 0.0),
        ]);
        assert_eq!(
            progress.learn("a", Some(item("a", 1.0, "preparing", 40.0))),
            None
        );
        assert_eq!(progress.unfinished().unwrap(), ["b", "a"]);
        let line = progress
            .learn("a", Some(item("a", 1.0, "ready", 0.0)))
            .unwrap();
        assert_eq!(line, "prepared: a");
        let line = progress
            .learn("b", Some(item("b", 1.0, "failed", 0.0)))
            .unwrap();
        assert_eq!(line, "not prepared: b: broken");
        assert_eq!((progress.unfinished(), progress.failed()), (None, 1));
        assert_eq!(progress.done(), progress.whole());
    }

    #[test]
    fn what_nobody_wants_prepared_is_not_waited_for() {
        let answer = json!({ "id": "a", "status": "preparing", "renditions": [] });
        let reported = json!({ "id": "a", "status": "preparing" });
        let mut progress = Progress::of(vec![Item::of(&reported).unwrap()]);
        assert!(progress.unfinished().is_some());
        assert!(progress.learn("a", Item::of(&answer)).is_some());
        assert_eq!((progress.unfinished(), progress.failed()), (None, 0));
    }

    #[test]
    fn what_was_deleted_meanwhile_is_not_waited_for() {
        let mut progress = Progress::of(vec![item("a", 1.0, "preparing", 0.0)]);
        assert_eq!(progress.learn("a", None).unwrap(), "deleted: a");
        assert_eq!((progress.unfinished(), progress.failed()), (None, 1));
    }

    #[test]
    fn a_large_import_is_asked_about_in_rounds() {
        let many = (0..100).map(|n| item(&n.to_string(), 1.0, "preparing", 0.0));
        let mut progress = Progress::of(many.collect());
        let first = progress.unfinished().unwrap().to_vec();
        assert_eq!(first.len(), ROUND);
        for id in &first {
            progress.learn(id, Some(item(id, 1.0, "preparing", 1.0)));
        }
        assert_ne!(progress.unfinished().unwrap(), first);
    }
}
