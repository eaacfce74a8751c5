//! P-prepare: whatever channels need, people say and the disk has room for, next is what is on air soonest of what fits.
//!
//! The oracle knows needs and words alone, and looks at all jobs anew each time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use playout_domain::ids::ChannelId;
use playout_domain::prepare::{JobId, JobOrder};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

const ITEMS: usize = 7;
const CHANNELS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A channel needs these, some at a second.
    Need(usize, BTreeMap<usize, Option<i64>>),
    /// Somebody says something.
    Say(usize, JobOrder),
    /// The next is taken, with room for so many seconds of media beside what runs.
    Take(u64),
    /// What was taken first fails.
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    let needs = btree_map(0..ITEMS, option::of(0..50_i64), 0..ITEMS);
    prop_oneof![
        4 => (0..CHANNELS, needs).prop_map(|(channel, needs)| Step::Need(channel, needs)),
        2 => (0..ITEMS, proptest::sample::select(&JobOrder::ALL))
            .prop_map(|(item, order)| Step::Say(item, order)),
        3 => (0..30_u64).prop_map(Step::Take),
        1 => Just(Step::Fail),
    ]
}

/// What is known of an item without the code under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Waiting,
    Running,
    Held,
    Failed,
}

struct Oracle {
    is: [Is; ITEMS],
    needs: [BTreeMap<usize, Option<i64>>; CHANNELS],
    hands: [Option<(Option<i64>, i64)>; ITEMS],
    seconds: Vec<u64>,
}

impl Oracle {
    fn due(&self, item: usize) -> Option<i64> {
        let all = self.needs.iter().filter_map(|needs| *needs.get(&item)?);
        all.min()
    }

    /// The lower goes first.
    fn turn(&self, item: usize) -> (u8, i64, i64, usize) {
        let by_hand = self.hands[item].and_then(|(due, place)| Some((due?, place)));
        match (by_hand, self.due(item)) {
            (Some((at, place)), due) if due.is_none_or(|due| at <= due) => (0, at, place, item),
            (_, Some(due)) => (0, due, i64::MAX, item),
            (_, None) => match self.hands[item] {
                Some((_, place)) => (1, 0, place, item),
                None => {
                    let places = self
                        .needs
                        .iter()
                        .filter_map(|needs| needs.keys().position(|named| *named == item));
                    let place = places.min().map(|place| place as i64);
                    place.map_or((3, 0, 0, item), |place| (2, 0, place, item))
                }
            },
        }
    }

    fn waiting(&self) -> impl Iterator<Item = usize> {
        (0..ITEMS).filter(|item| self.is[*item] == Is::Waiting)
    }

    fn bytes(&self, item: usize) -> u64 {
        let bits = self.seconds[item] * (PROFILE.video_bitrate.0 + PROFILE.audio_bitrate.0);
        (bits as f64 / 8.0 * 1.05) as u64
    }

    fn first(&self, spare: u64) -> Option<usize> {
        let running = (0..ITEMS).filter(|item| self.is[*item] == Is::Running);
        let taken: u64 = running.map(|item| self.bytes(item)).sum();
        let fits = |item: &usize| self.bytes(*item) + taken <= spare;
        self.waiting()
            .filter(fits)
            .min_by_key(|item| self.turn(*item))
    }

    /// What follows from what somebody says; whether it is taken.
    fn say(&mut self, item: usize, order: JobOrder) -> bool {
        let places = self.hands.iter().flatten().map(|(_, place)| *place);
        let places: Vec<i64> = places.collect();
        match (order, self.is[item]) {
            (JobOrder::Pause | JobOrder::Cancel, Is::Waiting | Is::Running) => {
                self.is[item] = Is::Held;
                if order == JobOrder::Cancel {
                    self.hands[item] = None;
                }
            }
            (JobOrder::Next, Is::Waiting) => {
                let first = self.waiting().map(|item| self.turn(item)).min();
                let due = first.filter(|turn| turn.0 == 0).map(|turn| turn.1);
                let place = places.iter().min().copied().unwrap_or(0).min(-1);
                self.hands[item] = Some((due, place - 1_000));
            }
            _ => return false,
        }
        true
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn media(item: usize) -> MediaId {
    uuid::Uuid::from_u128(item as u128 + 1).into()
}

fn job(item: usize) -> JobId {
    JobId::new(media(item), PROFILE.key())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn p_prepare_next_is_the_soonest_that_fits(
        seconds in vec(1..20_u64, ITEMS),
        steps in vec(step(), 1..40),
    ) {
        let who = Principal::daemon();
        let mut catalogue = Catalogue::default();
        for (item, length) in seconds.iter().enumerate() {
            let known = MediaItem {
                id: media(item),
                duration: Duration::from_secs(*length),
                ..testing::media(who.client, format!("/{item}.mp4"))
            };
            catalogue.insert(known, None);
        }
        catalogue.resume(Some(&PROFILE));
        let mut oracle = Oracle {
            is: [Is::Waiting; ITEMS],
            needs: Default::default(),
            hands: [None; ITEMS],
            seconds,
        };
        let mut orders = Vec::new();
        for step in steps {
            match step {
                Step::Need(channel, needs) => {
                    let id = ChannelId::from(uuid::Uuid::from_u128(channel as u128));
                    let each = needs.iter().zip(0..).map(|((item, due), place)| {
                        (media(*item), Need { due: due.map(at), place })
                    });
                    catalogue.need(id, &PROFILE, &each.collect());
                    oracle.needs[channel] = needs;
                }
                // What has failed or is held is not spoken of: that is another test's.
                Step::Say(item, order) => {
                    let planned = catalogue.plan(&job(item), order, &who);
                    if matches!(oracle.is[item], Is::Held | Is::Failed) || order == JobOrder::Retry {
                        continue;
                    }
                    let planned = planned.unwrap();
                    prop_assert_eq!(planned.is_some(), oracle.say(item, order));
                    if let Some(planned) = planned {
                        if let Some((due, place)) = oracle.hands[item].as_mut().filter(|_| order == JobOrder::Next) {
                            let hand = planned.mark.hand.unwrap();
                            prop_assert_eq!(hand.due, due.map(at));
                            *place = hand.place;
                            let others = oracle.hands.iter().enumerate().filter(|(other, _)| *other != item);
                            let others: BTreeSet<i64> = others.filter_map(|(_, hand)| Some((*hand)?.1)).collect();
                            prop_assert!(others.iter().all(|other| *other > hand.place));
                        }
                        catalogue.apply(&job(item), order, planned.mark.hand).unwrap();
                        catalogue.leaving.clear();
                        orders.retain(|order: &orders::Order| order.media != media(item));
                    }
                }
                Step::Take(room) => {
                    let spare = room * (PROFILE.video_bitrate.0 + PROFILE.audio_bitrate.0) / 8;
                    let first = oracle.first(spare);
                    let taken = catalogue.next(spare);
                    prop_assert_eq!(taken.as_ref().map(|order| order.media), first.map(media));
                    if let Some(item) = first {
                        oracle.is[item] = Is::Running;
                    }
                    orders.extend(taken);
                }
                Step::Fail => {
                    if orders.is_empty() {
                        continue;
                    }
                    let order = orders.remove(0);
                    prop_assert!(catalogue.done(&order, Err("It failed.".to_owned())).is_some());
                    let item = (0..ITEMS).find(|item| media(*item) == order.media).unwrap();
                    oracle.is[item] = Is::Failed;
                    oracle.hands[item] = None;
                }
            }
            let mut expected: Vec<usize> = oracle.waiting().collect();
            expected.sort_by_key(|item| oracle.turn(*item));
            let waiting: Vec<MediaId> = catalogue.lineup.iter().map(|job| job.media).collect();
            prop_assert_eq!(waiting, expected.into_iter().map(media).collect::<Vec<_>>());
        }
    }
}
