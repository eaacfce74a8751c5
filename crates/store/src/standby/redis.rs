//! The copy in Redis: a hash for each kind, `<prefix>node:<id>:copy:<kind>`, `…:copy:counts`, how many records
//! each has at least, and `…:copy:revision`, up to where it is complete.
//!
//! Redis may lose what it has and go on: emptied, started anew, short of memory. So nothing is added to a copy that is
//! not at the revision that was written last, and one with fewer records than it should have is none. What replaces
//! a whole hash is written beside it and takes its place at once; while hashes are replaced there is no revision.

use std::collections::HashMap;

use fred::prelude::{HashesInterface, KeysInterface};

use super::contents::counts;
use super::{Contents, Counts, Due, Kind, Records};
use crate::error::StoreError;
use crate::hot::Hot;

const REVISION: &str = "revision";
const COUNTS: &str = "counts";
/// Records sent at once.
const CHUNK: usize = 200;

fn key(hot: &Hot, name: &str) -> String {
    hot.own(&format!("copy:{name}"))
}

/// What is there; nothing when no copy was ever complete here, or a part of it is lost.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(crate) async fn load(hot: &Hot) -> Result<Option<Contents>, StoreError> {
    let Some(revision) = revision(hot).await? else {
        return Ok(None);
    };
    let mut records = Records::new();
    for kind in kinds() {
        let of_kind: HashMap<String, String> = hot
            .bounded(hot.now().hgetall(key(hot, kind.name())))
            .await?;
        records.extend(of_kind.into_iter().map(|(id, json)| ((kind, id), json)));
    }
    let noted: Option<String> = hot.bounded(hot.now().get(key(hot, COUNTS))).await?;
    let noted: Option<Counts> = noted.and_then(|json| serde_json::from_str(&json).ok());
    let there = counts(&records);
    let is_there = |(kind, count): (&String, &usize)| there.get(kind).unwrap_or(&0) >= count;
    if !noted
        .as_ref()
        .is_some_and(|noted| noted.iter().all(is_there))
    {
        tracing::error!(
            ?noted,
            ?there,
            "Redis has lost a part of the copy: it is not used"
        );
        return Ok(None);
    }
    Ok(Some(Contents { revision, records }))
}

/// Up to where the copy is complete; nothing when there is none.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn revision(hot: &Hot) -> Result<Option<u64>, StoreError> {
    hot.bounded(hot.now().get(key(hot, REVISION))).await
}

/// Writes what is due, and then the revision.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn write(hot: &Hot, revision: u64, due: &Due) -> Result<(), StoreError> {
    match due {
        Due::All(records) => {
            for kind in kinds() {
                let of_kind = records.iter().filter(|((of, _), _)| *of == kind);
                write_beside(hot, kind, of_kind.map(|((_, id), json)| (id, json))).await?;
            }
            hot.bounded(hot.now().del::<(), _>(key(hot, REVISION)))
                .await?;
            let counts = counts(records);
            for kind in kinds() {
                replace(hot, kind, counts.contains_key(kind.name())).await?;
            }
            note(hot, &counts).await?;
        }
        Due::Some(due, counts) => {
            let mine = || due.iter().filter(|((kind, _), _)| kind.is_in_redis());
            for ((kind, id), json) in mine() {
                let Some(json) = json else { continue };
                let pair = (id.as_str(), json.as_str());
                hot.bounded(hot.now().hset::<(), _, _>(key(hot, kind.name()), pair))
                    .await?;
            }
            // In this order there are never fewer than is noted, wherever it is cut short.
            note(hot, counts).await?;
            for ((kind, id), _) in mine().filter(|(_, json)| json.is_none()) {
                hot.bounded(
                    hot.now()
                        .hdel::<(), _, _>(key(hot, kind.name()), id.as_str()),
                )
                .await?;
            }
        }
    }
    let revision = i64::try_from(revision).map_err(StoreError::internal)?;
    set(hot, REVISION, revision.to_string()).await
}

fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| kind.is_in_redis())
}

async fn note(hot: &Hot, counts: &Counts) -> Result<(), StoreError> {
    let json = serde_json::to_string(counts).map_err(StoreError::internal)?;
    set(hot, COUNTS, json).await
}

async fn set(hot: &Hot, name: &str, value: String) -> Result<(), StoreError> {
    let key = key(hot, name);
    hot.bounded(hot.now().set::<(), _, _>(key, value, None, None, false))
        .await
}

fn beside(hot: &Hot, kind: Kind) -> String {
    key(hot, &format!("{}:new", kind.name()))
}

async fn write_beside<'a>(
    hot: &Hot,
    kind: Kind,
    records: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), StoreError> {
    let beside = beside(hot, kind);
    let records: Vec<(&str, &str)> = records
        .map(|(id, json)| (id.as_str(), json.as_str()))
        .collect();
    hot.bounded(hot.now().del::<(), _>(&beside)).await?;
    for chunk in records.chunks(CHUNK) {
        hot.bounded(hot.now().hset::<(), _, _>(&beside, chunk.to_vec()))
            .await?;
    }
    Ok(())
}

/// Puts what is written beside a hash in its place; there is nothing beside it for no records.
async fn replace(hot: &Hot, kind: Kind, any: bool) -> Result<(), StoreError> {
    let key = key(hot, kind.name());
    match any {
        true => {
            let beside = beside(hot, kind);
            hot.bounded(hot.now().rename::<(), _, _>(beside, key)).await
        }
        false => hot.bounded(hot.now().del::<(), _>(key)).await,
    }
}
