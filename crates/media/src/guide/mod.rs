//! The guide: what channels show when, as viewers and their players are told it.
//!
//! Entries of a plan become programmes; those are written as XMLTV and JSON, and channels as a playlist for IPTV
//! players. Nothing is written beyond so many bytes: what is asked for may be long, and be said a lot about.

mod m3u;
mod sized;
mod xmltv;

pub use m3u::{Station, m3u};
pub use sized::{TooLong, json};
pub use xmltv::xmltv;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter::{Peekable, successors};

use jiff::Timestamp;
use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::units::Frame;
use playout_domain::{Details, Plan, PlanEntry};
use serde::Serialize;

/// What is shown from when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Programme {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// What is shown.
    pub media_id: MediaId,
}

/// A channel and its programmes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The channel; players know it by this.
    pub id: ChannelId,
    /// What it is called.
    pub name: String,
    /// In the order of time.
    pub programmes: Vec<Programme>,
}

/// What channels show, and what is said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guide {
    /// The channels, in the order in which they are told.
    pub channels: Vec<Listing>,
    /// What is said about the items; an item that is gone is not among them.
    pub about: BTreeMap<MediaId, Details>,
}

/// A channel and its programmes as JSON tells them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListingView<'a> {
    channel_id: ChannelId,
    name: &'a str,
    items: Vec<ProgrammeView<'a>>,
}

/// A programme as JSON tells it.
#[derive(Debug, Serialize)]
struct ProgrammeView<'a> {
    #[serde(flatten)]
    programme: &'a Programme,
    /// What is said about it; `null` where nothing is.
    #[serde(flatten)]
    about: Cow<'a, Details>,
}

impl Guide {
    /// How many programmes there are.
    pub fn programmes(&self) -> usize {
        let channels = self.channels.iter();
        channels.map(|listing| listing.programmes.len()).sum()
    }

    /// The channels as JSON tells them.
    pub fn view(&self) -> Vec<ListingView<'_>> {
        let channels = self.channels.iter();
        channels.map(|listing| self.view_of(listing)).collect()
    }

    fn view_of<'a>(&'a self, listing: &'a Listing) -> ListingView<'a> {
        let programmes = listing.programmes.iter();
        let items = programmes.map(|programme| ProgrammeView {
            programme,
            about: self.said_about(programme.media_id),
        });
        ListingView {
            channel_id: listing.id,
            name: &listing.name,
            items: items.collect(),
        }
    }

    /// What is said about an item; of one that is gone, nothing.
    fn said_about(&self, media: MediaId) -> Cow<'_, Details> {
        let said = self.about.get(&media);
        said.map_or_else(|| Cow::Owned(Details::default()), Cow::Borrowed)
    }
}

/// Entries of a plan, in order, as programmes: an item that goes on at once where it was is one programme, whatever
/// cut it; one that begins again is another.
pub fn programmes<I: Iterator<Item = PlanEntry>>(entries: I) -> Programmes<I> {
    Programmes {
        entries: entries.peekable(),
    }
}

/// See [`programmes`].
pub struct Programmes<I: Iterator<Item = PlanEntry>> {
    entries: Peekable<I>,
}

impl<I: Iterator<Item = PlanEntry>> Iterator for Programmes<I> {
    type Item = PlanEntry;

    fn next(&mut self) -> Option<PlanEntry> {
        let mut whole = self.entries.next()?;
        while let Some(next) = self.entries.next_if(|next| goes_on(&whole, next)) {
            whole.end = next.end;
        }
        Some(whole)
    }
}

/// Whether `next` shows the item of `entry` on, at once.
fn goes_on(entry: &PlanEntry, next: &PlanEntry) -> bool {
    next.media_id == entry.media_id
        && next.start == entry.end
        && next.in_frame == entry.item_frame(entry.end)
}

/// The programme that `plan` has at `at`, and the one that comes next, be it at once or later.
pub fn now_and_next(plan: &Plan, at: Frame) -> [Option<PlanEntry>; 2] {
    let Some(mut first) = plan.after(at) else {
        return [None, None];
    };
    let before = |entry: &PlanEntry| match entry.start.get() {
        0 => None,
        _ => plan.at(entry.start.before(1)),
    };
    while let Some(earlier) = before(&first).filter(|earlier| goes_on(earlier, &first)) {
        first.start = earlier.start;
        first.in_frame = earlier.in_frame;
    }
    let entries = successors(Some(first), |entry| plan.after(entry.end));
    let mut programmes = programmes(entries);
    let first = programmes.next();
    match first.is_some_and(|first| first.start <= at) {
        true => [first, programmes.next()],
        false => [None, first],
    }
}

#[cfg(test)]
mod tests;
