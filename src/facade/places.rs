//! Places that are given out: so many in all, and so many of them to one, so that nobody takes them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places. Clones are the same ones.
#[derive(Debug)]
pub(super) struct Places<K> {
    taken: Arc<Mutex<Taken<K>>>,
    /// So many in all.
    most: usize,
    /// So many of them to one.
    each: usize,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    /// Whoever has one at least.
    by: HashMap<K, usize>,
}

/// A place that is taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    taken: Arc<Mutex<Taken<K>>>,
    by: Option<K>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// Whoever asks has as many as one may have.
    Own,
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self {
            taken: Arc::clone(&self.taken),
            ..*self
        }
    }
}

impl<K: Copy + Eq + Hash> Places<K> {
    pub(super) fn new(most: usize, each: usize) -> Self {
        let taken = Taken {
            all: 0,
            by: HashMap::new(),
        };
        Self {
            taken: Arc::new(Mutex::new(taken)),
            most,
            each,
        }
    }

    /// One for `by`; nothing: for whoever may have all.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(&self, by: Option<K>) -> Result<Place<K>, Full> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.most {
            return Err(Full::All);
        }
        if let Some(by) = by {
            let has = taken.by.get(&by).copied().unwrap_or(0);
            if has >= self.each {
                return Err(Full::Own);
            }
            taken.by.insert(by, has + 1);
        }
        taken.all += 1;
        Ok(Place {
            taken: Arc::clone(&self.taken),
            by,
        })
    }

    /// So many there are in all.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// So many one may have.
    pub(super) fn each(&self) -> usize {
        self.each
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        let Some(by) = &self.by else { return };
        match taken.by.get_mut(by) {
            Some(has) if *has > 1 => *has -= 1,
            _ => drop(taken.by.remove(by)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nobody_takes_all_and_what_is_given_back_is_there_again() {
        let places = Places::new(4, 2);
        let first = places.take(Some(1)).unwrap();
        let _second = places.take(Some(1)).unwrap();
        assert_eq!(places.take(Some(1)).err(), Some(Full::Own));
        let _other = places.take(Some(2)).unwrap();
        drop(first);
        let again = places.take(Some(1)).unwrap();
        let last = places.take(None).unwrap();
        assert_eq!(places.take(None).err(), Some(Full::All));
        assert_eq!(places.take(Some(3)).err(), Some(Full::All));
        drop((again, last));
        assert!(places.clone().take(Some(3)).is_ok());
        assert_eq!(lock(&places.taken).by.len(), 2, "who has none is forgotten");
    }

    #[test]
    fn whoever_may_have_all_is_held_to_their_number_alone() {
        let places = Places::<u8>::new(3, 0);
        let taken: Vec<_> = (0..3).map(|_| places.take(None).unwrap()).collect();
        assert_eq!(places.take(None).err(), Some(Full::All));
        drop(taken);
        assert_eq!(places.take(Some(1)).err(), Some(Full::Own));
    }
}
