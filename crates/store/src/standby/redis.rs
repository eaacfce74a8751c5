//! The copy in Redis: a hash for each kind, `<prefix>node:<id>:copy:<kind>`, and `…:copy:revision`, up to where
//! it is complete. What replaces a whole hash is written beside it and takes its place at once.

use std::collections::HashMap;

use fred::prelude::{HashesInterface, KeysInterface};

use super::{Contents, Due, Kind, Records};
use crate::error::StoreError;
use crate::hot::Hot;

/// Records sent at once.
const CHUNK: usize = 200;

fn key(hot: &Hot, name: &str) -> String {
    hot.own(&format!("copy:{name}"))
}

/// What is there; nothing when no copy was ever complete here.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(crate) async fn load(hot: &Hot) -> Result<Option<Contents>, StoreError> {
    let revision: Option<u64> = hot.bounded(hot.now().get(key(hot, "revision"))).await?;
    let Some(revision) = revision else {
        return Ok(None);
    };
    let mut records = Records::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_in_redis()) {
        let of_kind: HashMap<String, String> = hot
            .bounded(hot.now().hgetall(key(hot, kind.name())))
            .await?;
        records.extend(of_kind.into_iter().map(|(id, json)| ((kind, id), json)));
    }
    Ok(Some(Contents { revision, records }))
}

/// Writes what is due, and then the revision.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(super) async fn write(hot: &Hot, revision: u64, due: &Due) -> Result<(), StoreError> {
    match due {
        Due::All(records) => {
            for kind in Kind::ALL.into_iter().filter(|kind| kind.is_in_redis()) {
                let of_kind = records.iter().filter(|((of, _), _)| *of == kind);
                replace(hot, kind, of_kind.map(|((_, id), json)| (id, json))).await?;
            }
        }
        Due::Some(due) => {
            let mine = due.iter().filter(|((kind, _), _)| kind.is_in_redis());
            for ((kind, id), json) in mine {
                let key = key(hot, kind.name());
                match json {
                    Some(json) => {
                        let pair = (id.as_str(), json.as_str());
                        hot.bounded(hot.now().hset::<(), _, _>(key, pair)).await?;
                    }
                    None => {
                        hot.bounded(hot.now().hdel::<(), _, _>(key, id.as_str()))
                            .await?;
                    }
                }
            }
        }
    }
    let revision = i64::try_from(revision).map_err(StoreError::internal)?;
    let key = key(hot, "revision");
    hot.bounded(hot.now().set::<(), _, _>(key, revision, None, None, false))
        .await
}

async fn replace<'a>(
    hot: &Hot,
    kind: Kind,
    records: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), StoreError> {
    let (key, beside) = (
        key(hot, kind.name()),
        key(hot, &format!("{}:new", kind.name())),
    );
    let records: Vec<(&str, &str)> = records
        .map(|(id, json)| (id.as_str(), json.as_str()))
        .collect();
    hot.bounded(hot.now().del::<(), _>(&beside)).await?;
    for chunk in records.chunks(CHUNK) {
        hot.bounded(hot.now().hset::<(), _, _>(&beside, chunk.to_vec()))
            .await?;
    }
    if records.is_empty() {
        hot.bounded(hot.now().del::<(), _>(key)).await
    } else {
        hot.bounded(hot.now().rename::<(), _, _>(beside, key)).await
    }
}
