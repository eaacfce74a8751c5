//! Cursor pagination: `?limit=` and `?cursor=`, where the cursor is what the page before answered.
//!
//! The cursor is the id of the last item: ids are in order of age, so what is created meanwhile
//! comes later (or, in lists that begin with the newest, before) and what is deleted is not missed.

use std::fmt::Display;
use std::str::FromStr;

use super::problem::Problem;
use super::request::Request;

/// Items of a page unless it is said otherwise.
pub(super) const DEFAULT_LIMIT: usize = 50;
/// Items of a page at most.
pub(super) const MAX_LIMIT: usize = 500;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page<I> {
    /// The items that follow this one.
    pub(super) after: Option<I>,
    /// So many at most.
    pub(super) limit: usize,
}

impl<I: FromStr + Display> Page<I> {
    /// Reads the query, which holds nothing else.
    ///
    /// # Errors
    /// 400: a limit out of bounds, or a cursor that no list has answered.
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        let [limit, cursor] = request.query(["limit", "cursor"])?;
        Self::read(limit, cursor)
    }

    /// The same, where the query holds more.
    ///
    /// # Errors
    /// As [`Page::of`].
    pub(super) fn read(limit: Option<String>, cursor: Option<String>) -> Result<Self, Problem> {
        let limit = limit.map_or(Ok(DEFAULT_LIMIT), |text| limit_of(&text))?;
        let after = cursor.map(|text| text.parse::<I>()).transpose();
        let after = after.map_err(|_| {
            Problem::bad_request("The cursor is none; take `nextCursor` of the page before.")
        })?;
        Ok(Self { after, limit })
    }

    /// How many to fetch: one more than shown, to know whether there is another page.
    pub(super) fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// The items to show of those fetched, and the cursor of the next page where there is one.
    pub(super) fn cut<T>(
        &self,
        mut fetched: Vec<T>,
        id: impl Fn(&T) -> I,
    ) -> (Vec<T>, Option<String>) {
        let more = fetched.len() > self.limit;
        fetched.truncate(self.limit);
        let next = fetched
            .last()
            .filter(|_| more)
            .map(|last| id(last).to_string());
        (fetched, next)
    }
}

fn limit_of(text: &str) -> Result<usize, Problem> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("`limit` has to be from 1 to {MAX_LIMIT}.")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_is_cut_and_the_next_begins_after_its_last() {
        let page = Page::<u32> {
            after: None,
            limit: 2,
        };
        assert_eq!(page.fetch(), 3);
        assert_eq!(
            page.cut(vec![4, 5, 6], |n| *n),
            (vec![4, 5], Some("5".to_owned()))
        );
        assert_eq!(page.cut(vec![4, 5], |n| *n), (vec![4, 5], None));
        assert_eq!(page.cut(vec![], |n| *n), (vec![], None));
    }

    #[test]
    fn a_limit_out_of_bounds_is_refused() {
        assert_eq!(limit_of("1").unwrap(), 1);
        assert_eq!(limit_of("500").unwrap(), 500);
        for bad in ["0", "501", "", "ten", "-1", "1.5"] {
            assert!(limit_of(bad).is_err(), "{bad}");
        }
    }
}
