//! Finds items: by words, tag and status, in an order, page by page.
//!
//! A page goes on after the sort key and the id of the last item of the page before, so what is added, changed or
//! deleted meanwhile neither repeats nor hides anything else.

use std::fmt;
use std::str::FromStr;

use playout_domain::media::MediaStatus;
use playout_domain::{MediaId, MediaItem};
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::rows::item;
use crate::Store;
use crate::error::StoreError;
use crate::principal::Principal;

/// Words of a search at most: what follows is not looked at.
const MAX_WORDS: usize = 10;

/// What items are ordered by. Those of one key are in the order of their ids, which is that of their age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MediaSort {
    /// Oldest first.
    #[default]
    Created,
    /// Newest first.
    CreatedDescending,
    /// By title, small and capital letters alike.
    Title,
    /// The same from the end.
    TitleDescending,
    /// Shortest first.
    Duration,
    /// Longest first.
    DurationDescending,
}

impl MediaSort {
    /// Every order.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::CreatedDescending,
        Self::Title,
        Self::TitleDescending,
        Self::Duration,
        Self::DurationDescending,
    ];

    /// Its name in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::CreatedDescending => "-created",
            Self::Title => "title",
            Self::TitleDescending => "-title",
            Self::Duration => "duration",
            Self::DurationDescending => "-duration",
        }
    }

    fn key(self) -> Option<&'static str> {
        match self {
            Self::Created | Self::CreatedDescending => None,
            Self::Title | Self::TitleDescending => Some("lower(title)"),
            Self::Duration | Self::DurationDescending => Some("duration_us"),
        }
    }

    /// How it is ordered, and what comes later compares.
    fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::Created | Self::Title | Self::Duration => ("ASC", ">"),
            _ => ("DESC", "<"),
        }
    }
}

impl FromStr for MediaSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|sort| sort.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`sort` has to be one of {known}.")
        })
    }
}

/// What is asked for. The default asks for everything.
#[derive(Debug, Clone, Default)]
pub struct MediaQuery {
    /// Each begins a word of title, series or tags.
    pub words: Vec<String>,
    /// One of the item's tags.
    pub tag: Option<String>,
    /// How far it has come.
    pub status: Option<MediaStatus>,
    /// The order.
    pub sort: MediaSort,
    /// The items that follow this one.
    pub after: Option<MediaCursor>,
    /// So many at most.
    pub limit: u32,
}

impl MediaQuery {
    /// The words in a text that somebody typed: what is neither letter nor digit parts them.
    pub fn words_of(text: &str) -> Vec<String> {
        parted(text).take(MAX_WORDS).collect()
    }

    /// Whether it asks for items in the order of their age, without looking at what they are.
    pub fn is_plain(&self) -> bool {
        self.words.is_empty()
            && self.tag.is_none()
            && self.status.is_none()
            && self.sort == MediaSort::Created
    }
}

/// The words in a text, in small letters.
pub(super) fn parted(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Where a page ends: the last item, and what it was ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaCursor {
    /// The item.
    pub id: MediaId,
    /// Its sort key; nothing where items are ordered by age.
    pub key: Option<SortKey>,
}

/// A sort key as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor")]
pub struct InvalidCursor;

impl fmt::Display for MediaCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        match &self.key {
            None => Ok(()),
            Some(SortKey::Number(number)) => write!(f, ".n{number}"),
            Some(SortKey::Text(text)) => {
                f.write_str(".t")?;
                text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for MediaCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (id, key) = match text.split_once('.') {
            None => (text, None),
            Some((id, key)) => (id, Some(key)),
        };
        let key = match key.map(|key| key.split_at_checked(1)) {
            None => None,
            Some(Some(("n", number))) => {
                Some(SortKey::Number(number.parse().map_err(|_| InvalidCursor)?))
            }
            Some(Some(("t", hex))) => Some(SortKey::Text(text_of(hex).ok_or(InvalidCursor)?)),
            Some(_) => return Err(InvalidCursor),
        };
        let id = id.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { id, key })
    }
}

fn text_of(hex: &str) -> Option<String> {
    let digit = |at: usize| char::from(*hex.as_bytes().get(at)?).to_digit(16);
    let bytes =
        (0..hex.len().div_ceil(2)).map(|at| Some((digit(2 * at)? * 16 + digit(2 * at + 1)?) as u8));
    let text = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    (!text.contains('\0')).then_some(text)
}

impl Store {
    /// Items that `who` may know of and that `query` asks for, in its order; each with where a page ends with it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`]: the cursor is of a list in another order.
    pub async fn search_media(
        &self,
        who: &Principal,
        query: MediaQuery,
    ) -> Result<Vec<(MediaItem, MediaCursor)>, StoreError> {
        let client = who.only_uuid();
        let statement = Statement::of(&query, client)?;
        let sort = query.sort;
        self.database()
            .run(move |session| {
                Box::pin(async move {
                    let values: Vec<&(dyn ToSql + Sync)> =
                        statement.values.iter().map(|value| &**value as _).collect();
                    let rows = session.query(&statement.sql, &values).await?;
                    rows.iter().map(|row| found(row, sort)).collect()
                })
            })
            .await
    }
}

fn found(row: &Row, sort: MediaSort) -> Result<(MediaItem, MediaCursor), StoreError> {
    let item = item(row)?;
    let key = match sort {
        MediaSort::Created | MediaSort::CreatedDescending => None,
        MediaSort::Title | MediaSort::TitleDescending => {
            Some(SortKey::Text(row.try_get("sort_key")?))
        }
        MediaSort::Duration | MediaSort::DurationDescending => {
            Some(SortKey::Number(row.try_get("sort_key")?))
        }
    };
    let id = item.id;
    Ok((item, MediaCursor { id, key }))
}

/// A statement and what is put into it.
struct Statement {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Statement {
    fn of(query: &MediaQuery, client: Option<uuid::Uuid>) -> Result<Self, StoreError> {
        let key = query.sort.key();
        let mut statement = Self {
            sql: format!(
                "SELECT *, {} AS sort_key FROM media WHERE true",
                key.unwrap_or("NULL")
            ),
            values: Vec::new(),
        };
        if let Some(client) = client {
            statement.and("client_id = $", client);
        }
        if !query.words.is_empty() {
            let words = query.words.iter().map(|word| format!("{word}:*"));
            let words = words.collect::<Vec<_>>().join(" & ");
            statement.and_with("search @@ to_tsquery('simple', $", words, ")");
        }
        if let Some(tag) = &query.tag {
            statement.and("tags @> $", json!([tag]));
        }
        if let Some(status) = query.status {
            statement.and("status = $", status.name());
        }
        let (order, later) = query.sort.direction();
        if let Some(MediaCursor { id, key: at }) = &query.after {
            match (key, at) {
                (None, None) => statement.and(&format!("id {later} $"), id.uuid()),
                (Some(key @ "lower(title)"), Some(SortKey::Text(at))) => {
                    statement.after(key, later, at.clone(), id.uuid());
                }
                (Some(key @ "duration_us"), Some(SortKey::Number(at))) => {
                    statement.after(key, later, *at, id.uuid());
                }
                _ => {
                    return Err(StoreError::Conflict(
                        "the cursor is of a list in another order".to_owned(),
                    ));
                }
            }
        }
        let by = key
            .map(|key| format!("{key} {order}, "))
            .unwrap_or_default();
        statement.values.push(Box::new(i64::from(query.limit)));
        let limit = statement.values.len();
        statement.sql += &format!(" ORDER BY {by}id {order} LIMIT ${limit}");
        Ok(statement)
    }

    /// Adds a condition, which ends with a `$` for `value`.
    fn and(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        self.and_with(condition, value, "");
    }

    fn and_with(&mut self, before: &str, value: impl ToSql + Sync + Send + 'static, after: &str) {
        self.values.push(Box::new(value));
        self.sql += &format!(" AND {before}{}{after}", self.values.len());
    }

    fn after(
        &mut self,
        key: &str,
        later: &str,
        at: impl ToSql + Sync + Send + 'static,
        id: uuid::Uuid,
    ) {
        self.values.push(Box::new(at));
        self.values.push(Box::new(id));
        let n = self.values.len();
        self.sql += &format!(" AND ({key}, id) {later} (${}, ${n})", n - 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let id: MediaId = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11".parse().unwrap();
        for key in [
            None,
            Some(SortKey::Number(-7)),
            Some(SortKey::Text("é 'x'".to_owned())),
            Some(SortKey::Text(String::new())),
        ] {
            let cursor = MediaCursor { id, key };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in [
            "",
            ".",
            "x.n1",
            &format!("{id}."),
            &format!("{id}.é"),
            &format!("{id}.t1"),
            &format!("{id}.t00"),
            &format!("{id}.tff"),
            &format!("{id}.n"),
            &format!("{id}.x1"),
        ] {
            assert!(wrong.parse::<MediaCursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_letters_and_digits_whatever_is_between_them() {
        let words = MediaQuery::words_of(" The.great_film: 'part' 2 & !É | (x) \\");
        assert_eq!(words, ["the", "great", "film", "part", "2", "é", "x"]);
        assert!(MediaQuery::words_of(" ' & | ! : * () ").is_empty());
    }
}
