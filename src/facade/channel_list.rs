//! `GET /api/v1/channels`: those that a selector means, or that have a status, by age or by name.
//!
//! By age a page ends with an id. By name it ends with a name and an id, so what is created or renamed meanwhile moves no
//! other channel from its place.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use playout_actors::channels::Looked;
use playout_domain::labels::Selector;
use playout_domain::{Channel, ChannelId, ChannelStatus};
use playout_media::prepare::hex;
use warp::reply::Response;

use super::answer;
use super::api::Call;
use super::channels::shown;
use super::page::Page;
use super::problem::Problem;
use super::request::narrowed;

/// Channels that are looked at together where not all of them are meant.
const TOGETHER: usize = 500;

/// What channels are ordered by. Those of one name are in the order of their ids, which is that of their age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ChannelSort {
    /// Oldest first.
    #[default]
    Created,
    /// Newest first.
    CreatedDescending,
    /// By name, small and capital letters alike.
    Name,
    /// The same from the end.
    NameDescending,
}

impl ChannelSort {
    /// Every order.
    pub(super) const ALL: [Self; 4] = [
        Self::Created,
        Self::CreatedDescending,
        Self::Name,
        Self::NameDescending,
    ];

    /// Its name in a query, as lists of media have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::CreatedDescending => "-created",
            Self::Name => "name",
            Self::NameDescending => "-name",
        }
    }

    /// Where a channel has its place.
    fn place(self, channel: &Channel) -> Place {
        let key = match self {
            Self::Created | Self::CreatedDescending => None,
            Self::Name | Self::NameDescending => Some(channel.config.name.to_lowercase()),
        };
        let id = channel.id;
        Place { key, id }
    }

    fn compare(self, one: &Place, other: &Place) -> Ordering {
        let order = (&one.key, one.id).cmp(&(&other.key, other.id));
        match self {
            Self::Created | Self::Name => order,
            Self::CreatedDescending | Self::NameDescending => order.reverse(),
        }
    }
}

impl FromStr for ChannelSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|sort| sort.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("it has to be one of {known}")
        })
    }
}

/// A place in the order: where a page ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// What it is ordered by before its id; nothing where that is its age.
    key: Option<String>,
    id: ChannelId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        match &self.key {
            None => Ok(()),
            Some(key) => write!(f, ".{}", hex(key.as_bytes())),
        }
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, key) = match text.split_once('.') {
            None => (text, None),
            Some((id, key)) => (id, Some(text_of(key).ok_or(())?)),
        };
        let id = id.parse().map_err(|_| ())?;
        Ok(Self { key, id })
    }
}

fn text_of(hex: &str) -> Option<String> {
    let digit = |at: usize| char::from(*hex.as_bytes().get(at)?).to_digit(16);
    let byte = |at: usize| u8::try_from(digit(2 * at)? * 16 + digit(2 * at + 1)?).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len().div_ceil(2)).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

/// Which channels are meant.
#[derive(Debug, Default)]
struct Meant {
    selector: Option<Selector>,
    status: Option<ChannelStatus>,
}

impl Meant {
    fn is_all(&self) -> bool {
        self.selector.is_none() && self.status.is_none()
    }

    fn means(&self, channel: &Channel) -> bool {
        let labels = &channel.config.labels;
        let selector = self.selector.as_ref();
        selector.is_none_or(|selector| selector.selects(labels))
            && self.status.is_none_or(|status| status == channel.status())
    }
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let [selector, status, sort, limit, cursor] = call
        .request
        .query(["selector", "status", "sort", "limit", "cursor"])?;
    let meant = Meant {
        selector: narrowed("selector", selector)?,
        status: narrowed("status", status)?,
    };
    let sort = narrowed::<ChannelSort>("sort", sort)?.unwrap_or_default();
    let page = Page::<Place>::read(limit, cursor)?;
    let by_name = matches!(sort, ChannelSort::Name | ChannelSort::NameDescending);
    if page
        .after
        .as_ref()
        .is_some_and(|after| after.key.is_some() != by_name)
    {
        return Err(Problem::bad_request(
            "The cursor is of a list in another order.",
        ));
    }
    let fetched = match sort {
        ChannelSort::Created => {
            let after = page.after.as_ref().map(|after| after.id);
            found(&call, &meant, after, page.fetch()).await?
        }
        sort => {
            let all = found(&call, &meant, None, usize::MAX).await?;
            ordered(all, sort, page.after.as_ref(), page.fetch())
        }
    };
    let (channels, next) = page.cut(fetched, |channel| sort.place(channel));
    answer::page(
        channels.iter().map(|looked| shown(&call, looked)).collect(),
        next,
    )
}

/// Those that are meant, in the order of their ids: those after `after`, `limit` at most.
async fn found(
    call: &Call,
    meant: &Meant,
    mut after: Option<ChannelId>,
    limit: usize,
) -> Result<Vec<Looked<Channel>>, Problem> {
    let channels = &call.app.channels;
    if meant.is_all() && limit <= TOGETHER + 1 {
        return Ok(channels.list(&call.who, after, limit).await?);
    }
    let mut found = Vec::new();
    loop {
        let some = channels.list(&call.who, after, TOGETHER).await?;
        // One that is stored damaged is left out, so some may be few.
        let is_last = some.is_empty();
        after = some.last().map(|looked| looked.id);
        found.extend(some.into_iter().filter(|looked| meant.means(looked)));
        if is_last || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// Those after `after` in an order, `limit` at most.
fn ordered(
    all: Vec<Looked<Channel>>,
    sort: ChannelSort,
    after: Option<&Place>,
    limit: usize,
) -> Vec<Looked<Channel>> {
    let placed = all.into_iter().map(|looked| (sort.place(&looked), looked));
    let later = |place: &Place| after.is_none_or(|after| sort.compare(place, after).is_gt());
    let mut placed: Vec<_> = placed.filter(|(place, _)| later(place)).collect();
    placed.sort_by(|(one, _), (other, _)| sort.compare(one, other));
    placed.truncate(limit);
    placed.into_iter().map(|(_, looked)| looked).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let id = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11".parse().unwrap();
        for key in [None, Some(String::new()), Some("é \0'x'".to_owned())] {
            let place = Place { key, id };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for other in [
            "",
            ".",
            "x.61",
            &format!("{id}.6"),
            &format!("{id}.zz"),
            &format!("{id}.ff"),
            &format!("{id}.é"),
        ] {
            assert!(other.parse::<Place>().is_err(), "{other}");
        }
    }

    #[test]
    fn names_come_in_their_order_and_those_of_one_name_by_age() {
        let place = |key: &str, n: u128| Place {
            key: Some(key.to_owned()),
            id: uuid::Uuid::from_u128(n).into(),
        };
        let mut places = [place("b", 1), place("a", 3), place("a", 2), place("", 9)];
        places.sort_by(|one, other| ChannelSort::Name.compare(one, other));
        let names = |places: &[Place]| -> Vec<String> {
            let one = |place: &Place| {
                format!(
                    "{}{}",
                    place.key.as_deref().unwrap(),
                    place.id.uuid().as_u128()
                )
            };
            places.iter().map(one).collect()
        };
        assert_eq!(names(&places), ["9", "a2", "a3", "b1"]);
        places.sort_by(|one, other| ChannelSort::NameDescending.compare(one, other));
        assert_eq!(names(&places), ["b1", "a3", "a2", "9"]);
    }
}
