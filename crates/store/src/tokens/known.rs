//! Tokens in memory, with when the database last confirmed them.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::TokenDigest;
use crate::error::StoreError;
use crate::principal::Principal;

/// How long a token that was confirmed is taken for known without asking.
const FRESH: Duration = Duration::from_millis(500);
/// How long it is taken for known while the database cannot be asked.
pub(super) const USABLE: Duration = Duration::from_secs(24 * 3600);
/// How often what is kept of it elsewhere is renewed.
const RENEWED: Duration = Duration::from_secs(3600);
/// How soon it is tried again, where that failed.
const AGAIN: Duration = Duration::from_secs(60);
/// Tokens remembered at most.
const REMEMBERED: usize = 10_000;

/// What the database says of a token, or why it says nothing.
pub(super) type Answer = Result<Option<Principal>, StoreError>;

/// How long a query may have been under way: it ends earlier.
const LONGEST_QUERY: Duration = Duration::from_secs(600);

/// The tokens that are known.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<TokenDigest, Known>,
    /// Those that the database is being asked for, and where its answer will be.
    asked: HashMap<TokenDigest, watch::Receiver<Option<Answer>>>,
    /// Those that were revoked a moment ago: what a query that began before says of them does not count.
    fallen: HashMap<TokenDigest, Instant>,
    /// Those that are none any more, and that Redis may still have.
    ended: HashSet<TokenDigest>,
    /// When sessions were said to be in use.
    extended: HashMap<TokenDigest, Instant>,
    /// Those that somebody was let in with for long; whoever waits hears that the sender is gone.
    watched: HashMap<TokenDigest, watch::Sender<()>>,
}

#[derive(Debug)]
struct Known {
    principal: Principal,
    /// From then on it is none.
    expires_at: Option<Timestamp>,
    /// When the database last said so.
    confirmed: Instant,
    /// When that was written elsewhere.
    kept: Option<Instant>,
}

/// What is known of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// It was confirmed just now.
    Fresh(Principal),
    /// It was confirmed within a day: good while the database cannot be asked.
    Usable(Principal),
    /// Its time is over.
    Expired,
    /// Nothing.
    Unknown,
}

impl Looked {
    /// Who it is, as far as is known.
    pub(super) fn principal(self) -> Option<Principal> {
        match self {
            Self::Fresh(principal) | Self::Usable(principal) => Some(principal),
            Self::Expired | Self::Unknown => None,
        }
    }
}

impl Known {
    fn stands(&self) -> bool {
        self.expires_at.is_none_or(|at| Timestamp::now() < at)
    }
}

impl Tokens {
    pub(super) fn look(&self, digest: &TokenDigest) -> Looked {
        let state = self.lock();
        match state.known.get(digest) {
            Some(known) if !known.stands() => Looked::Expired,
            Some(known) if known.confirmed.elapsed() < FRESH => {
                Looked::Fresh(known.principal.clone())
            }
            Some(known) if known.confirmed.elapsed() < USABLE => {
                Looked::Usable(known.principal.clone())
            }
            _ => Looked::Unknown,
        }
    }

    /// Where the database's answer about a token will be; with it, for the first one, where to put it.
    pub(super) fn ask(
        &self,
        digest: TokenDigest,
    ) -> (
        watch::Receiver<Option<Answer>>,
        Option<watch::Sender<Option<Answer>>>,
    ) {
        let mut state = self.lock();
        // Whoever asked and went without an answer is not waited for.
        let under_way = state.asked.get(&digest);
        if let Some(answer) = under_way.filter(|answer| answer.has_changed().is_ok()) {
            return (answer.clone(), None);
        }
        let (sender, answer) = watch::channel(None);
        state.asked.insert(digest, answer.clone());
        (answer, Some(sender))
    }

    /// The database has answered, or not.
    pub(super) fn asked(&self, digest: &TokenDigest) {
        self.lock().asked.remove(digest);
    }

    /// Whether it is time to say that a session is in use, which is said once `every` so long.
    pub(super) fn extends(&self, digest: &TokenDigest, every: Duration) -> bool {
        let mut state = self.lock();
        let just_now = |at: &Instant| at.elapsed() < every;
        if state.extended.get(digest).is_some_and(just_now) {
            return false;
        }
        if state.extended.len() >= REMEMBERED {
            state.extended.retain(|_, at| just_now(at));
        }
        state.extended.insert(*digest, Instant::now());
        true
    }

    /// All that were confirmed within a day.
    pub(super) fn known(&self) -> Vec<TokenDigest> {
        self.lock().known.keys().copied().collect()
    }

    /// What has no sender any more when the token is none.
    pub(super) fn watch(&self, digest: TokenDigest) -> watch::Receiver<()> {
        let mut state = self.lock();
        let watched = state.watched.entry(digest);
        watched.or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// All that somebody was let in with for long and still is.
    pub(super) fn watched(&self) -> Vec<TokenDigest> {
        let mut state = self.lock();
        state.watched.retain(|_, sender| !sender.is_closed());
        state.watched.keys().copied().collect()
    }

    /// It was revoked now: what was asked before, and says otherwise, does not count.
    pub(super) fn fell(&self, digest: &TokenDigest) {
        let (now, mut state) = (Instant::now(), self.lock());
        state
            .fallen
            .retain(|_, fell| fell.elapsed() < LONGEST_QUERY);
        state.fallen.insert(*digest, now);
        state.known.remove(digest);
        state.watched.remove(digest);
        state.ended.insert(*digest);
    }

    /// A token that was confirmed `age` ago. Answers whether that should be kept elsewhere.
    pub(super) fn confirm(
        &self,
        digest: TokenDigest,
        principal: &Principal,
        expires_at: Option<Timestamp>,
        age: Duration,
    ) -> bool {
        let now = Instant::now();
        let Some(confirmed) = now.checked_sub(age) else {
            return false;
        };
        let mut state = self.lock();
        if state
            .fallen
            .get(&digest)
            .is_some_and(|fell| *fell >= confirmed)
        {
            return false;
        }
        if state.known.len() >= REMEMBERED && !state.known.contains_key(&digest) {
            let oldest = state.known.iter().min_by_key(|(_, known)| known.confirmed);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                state.known.remove(&oldest);
            }
        }
        let before = state.known.get(&digest);
        let same =
            before.filter(|known| known.principal == *principal && known.expires_at == expires_at);
        let kept = same.and_then(|known| known.kept);
        let keep = age < FRESH && kept.is_none_or(|kept| kept.elapsed() >= RENEWED);
        let known = Known {
            principal: principal.clone(),
            expires_at,
            confirmed,
            kept: if keep { Some(now) } else { kept },
        };
        state.known.insert(digest, known);
        state.ended.remove(&digest);
        keep
    }

    /// It could not be written elsewhere: it is tried again in a minute.
    pub(super) fn not_kept(&self, digest: &TokenDigest) {
        if let Some(known) = self.lock().known.get_mut(digest) {
            known.kept = Instant::now().checked_sub(RENEWED - AGAIN);
        }
    }

    /// It is none any more, and that Redis has it is not heard of.
    pub(super) fn forget(&self, digest: &TokenDigest) {
        let mut state = self.lock();
        let known = state.known.remove(digest).is_some();
        state.watched.remove(digest);
        // Whatever is tried as a token comes here: what was one is never crowded out.
        if known || state.ended.len() < REMEMBERED {
            state.ended.insert(*digest);
        }
    }

    /// Redis does not have it any more.
    pub(super) fn forgotten(&self, digest: &TokenDigest) {
        self.lock().ended.remove(digest);
    }

    pub(super) fn has_ended(&self, digest: &TokenDigest) -> bool {
        self.lock().ended.contains(digest)
    }

    pub(super) fn ended(&self) -> Vec<TokenDigest> {
        self.lock().ended.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jiff::SignedDuration;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_fresh_for_a_moment_and_usable_for_a_day() {
        let (tokens, digest, who) = (Tokens::default(), [1; 32], Principal::daemon());
        assert_eq!(tokens.look(&digest), Looked::Unknown);
        assert!(
            tokens.confirm(digest, &who, None, Duration::ZERO),
            "it is news"
        );
        assert!(!tokens.confirm(digest, &who, None, Duration::ZERO));
        assert_eq!(tokens.look(&digest), Looked::Fresh(who.clone()));
        tokio::time::advance(FRESH).await;
        assert_eq!(tokens.look(&digest), Looked::Usable(who.clone()));
        tokio::time::advance(RENEWED).await;
        assert!(
            tokens.confirm(digest, &who, None, Duration::ZERO),
            "an hour later"
        );
        tokio::time::advance(USABLE).await;
        assert_eq!(tokens.look(&digest), Looked::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_a_token_was_revoked_does_not_bring_it_back() {
        let (tokens, who) = (Tokens::default(), Principal::daemon());
        tokens.confirm([1; 32], &who, None, Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        tokens.fell(&[1; 32]);
        tokio::time::advance(Duration::from_millis(100)).await;
        let before = Duration::from_millis(200);
        assert!(!tokens.confirm([1; 32], &who, None, before));
        assert_eq!(tokens.look(&[1; 32]), Looked::Unknown);
        assert!(tokens.has_ended(&[1; 32]));
        tokens.confirm([1; 32], &who, None, Duration::ZERO);
        assert_eq!(tokens.look(&[1; 32]), Looked::Fresh(who));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_the_same_waits_for_the_same_answer() {
        let tokens = Tokens::default();
        let (_, first) = tokens.ask([1; 32]);
        let (mut answer, second) = tokens.ask([1; 32]);
        assert!(second.is_none());
        let (_, other) = tokens.ask([2; 32]);
        assert!(other.is_some());
        first.unwrap().send_replace(Some(Ok(None)));
        assert_eq!(
            *answer.wait_for(Option::is_some).await.unwrap(),
            Some(Ok(None))
        );
        // One that goes without an answer is not waited for.
        drop(other);
        assert!(tokens.ask([2; 32]).1.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_let_in_for_long_hears_of_the_end_and_is_forgotten_when_gone() {
        let tokens = Tokens::default();
        let (mut first, mut second) = (tokens.watch([1; 32]), tokens.watch([1; 32]));
        let gone = tokens.watch([2; 32]);
        assert_eq!(tokens.watched().len(), 2);
        drop(gone);
        assert_eq!(tokens.watched(), [[1; 32]]);
        tokens.forget(&[1; 32]);
        assert!(first.changed().await.is_err() && second.changed().await.is_err());
        let mut other = tokens.watch([3; 32]);
        tokens.fell(&[3; 32]);
        assert!(other.changed().await.is_err());
        assert!(tokens.watched().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_is_not_known_any_more() {
        let (tokens, who) = (Tokens::default(), Principal::daemon());
        let hour = SignedDuration::from_hours(1);
        tokens.confirm([1; 32], &who, Some(Timestamp::now() + hour), Duration::ZERO);
        tokens.confirm([2; 32], &who, Some(Timestamp::now() - hour), Duration::ZERO);
        assert_eq!(tokens.look(&[1; 32]), Looked::Fresh(who));
        assert_eq!(tokens.look(&[2; 32]), Looked::Expired);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_kept_elsewhere_is_as_old_as_it_was_there() {
        let (tokens, digest, who) = (Tokens::default(), [1; 32], Principal::daemon());
        tokio::time::advance(2 * USABLE).await;
        assert!(!tokens.confirm(digest, &who, None, USABLE - FRESH));
        assert_eq!(tokens.look(&digest), Looked::Usable(who));
        tokio::time::advance(FRESH).await;
        assert_eq!(tokens.look(&digest), Looked::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn when_there_are_too_many_the_oldest_goes() {
        let (tokens, who) = (Tokens::default(), Principal::daemon());
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            digest
        };
        for n in 0..=REMEMBERED {
            tokens.confirm(digest(n), &who, None, Duration::ZERO);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(tokens.look(&digest(0)), Looked::Unknown);
        assert_ne!(tokens.look(&digest(1)), Looked::Unknown);
        assert_ne!(tokens.look(&digest(REMEMBERED)), Looked::Unknown);
    }
}
