//! How fast requests are taken: of one token ([`Access::request`]), and of those who try tokens that there are not
//! ([`Access::attempt`]). What is refused is told when to come again.
//!
//! A try counts once for each secret, however many requests bring it at once, so a script that goes on with a token that was
//! revoked slows nobody but itself; and whoever comes with a token that is known is let in, however many others are tried
//! from the same address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use playout_domain::TokenId;
use playout_domain::breaker::Moment;
use playout_domain::pace::{Left, Pace, Paces};
use playout_store::{Credential, Principal, SessionTimes};
use warp::http::header::HeaderName;
use warp::reply::Response;

use super::answer;
use super::origin::Origin;
use super::problem::Problem;

/// Tokens, addresses and secrets remembered at most, each.
const REMEMBERED: usize = 20_000;

/// What the configuration says.
#[derive(Debug, Clone, Copy)]
pub struct AccessPolicy {
    /// How long sessions of browsers last.
    pub session: SessionTimes,
    /// How fast one token may ask; nothing: as fast as it can.
    pub requests: Option<Pace>,
    /// How fast wrong tokens may be tried.
    pub attempts: Pace,
}

/// Everybody that asks.
#[derive(Debug)]
pub(super) struct Access {
    begun: Instant,
    requests: Option<Mutex<Paces<Asker>>>,
    attempts: Mutex<Attempts>,
}

#[derive(Debug)]
struct Attempts {
    by_origin: Paces<Origin>,
    by_prefix: Paces<String>,
    /// Secrets that were wrong.
    wrong: HashSet<[u8; 32]>,
    /// Secrets that it is being found out of, and by how many requests each.
    asked: HashMap<[u8; 32], usize>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asker {
    /// A token, with every session that was begun with it.
    Token(TokenId),
    /// A secret that is of none.
    Secret([u8; 32]),
}

/// One try of a secret that is not known: it counts, until it is found to be right.
pub(super) struct Attempt<'a> {
    access: &'a Access,
    origin: Origin,
    credential: &'a Credential,
    counted: bool,
}

impl Access {
    pub(super) fn new(policy: &AccessPolicy) -> Self {
        let paces = |pace| Mutex::new(Paces::new(pace, REMEMBERED));
        Self {
            begun: Instant::now(),
            requests: policy.requests.map(paces),
            attempts: Mutex::new(Attempts {
                by_origin: Paces::new(policy.attempts, REMEMBERED),
                by_prefix: Paces::new(policy.attempts, REMEMBERED),
                wrong: HashSet::new(),
                asked: HashMap::new(),
            }),
        }
    }

    fn now(&self) -> Moment {
        self.begun.elapsed()
    }

    /// One more request of who comes with this.
    ///
    /// # Errors
    /// 429: there were too many.
    pub(super) fn request(
        &self,
        who: &Principal,
        credential: &Credential,
    ) -> Result<Quota, Problem> {
        let Some(requests) = &self.requests else {
            return Ok(Quota(None));
        };
        let mut requests = lock(requests);
        let pace = requests.pace();
        let secret = || Asker::Secret(credential.digest());
        let asker = who.token.map_or_else(secret, Asker::Token);
        match requests.take(asker, self.now()) {
            Ok(left) => Ok(Quota(Some((pace, left)))),
            Err(more_in) => {
                let detail = "The token sends more requests than it may; wait before the next.";
                let left = Left { count: 0, more_in };
                let problem = Problem::too_many_requests(detail, more_in);
                Err(Quota(Some((pace, left)))
                    .fields()
                    .into_iter()
                    .fold(problem, |problem, (name, value)| {
                        problem.header(name, &value)
                    }))
            }
        }
    }

    /// Somebody at `address` comes with a secret that nobody knows yet.
    ///
    /// # Errors
    /// 429: too many wrong ones came from there, or began like this one.
    pub(super) fn attempt<'a>(
        &'a self,
        address: IpAddr,
        credential: &'a Credential,
    ) -> Result<Attempt<'a>, Problem> {
        let (origin, now, mut attempts) = (Origin::of(address), self.now(), lock(&self.attempts));
        let digest = credential.digest();
        let counted = !attempts.wrong.contains(&digest) && !attempts.asked.contains_key(&digest);
        if counted {
            let slow = |more_in| {
                let detail = "Too many tokens that there are not were tried; wait before the next.";
                Problem::too_many_requests(detail, more_in)
            };
            attempts.by_origin.take(origin, now).map_err(slow)?;
            let prefix = credential.prefix().to_owned();
            if let Err(more_in) = attempts.by_prefix.take(prefix, now) {
                attempts.by_origin.give_back(&origin);
                return Err(slow(more_in));
            }
        }
        *attempts.asked.entry(digest).or_default() += 1;
        Ok(Attempt {
            access: self,
            origin,
            credential,
            counted,
        })
    }
}

impl Attempt<'_> {
    /// There is no such token.
    pub(super) fn was_wrong(self) {
        let mut attempts = lock(&self.access.attempts);
        if attempts.wrong.len() >= REMEMBERED {
            attempts.wrong.clear();
        }
        attempts.wrong.insert(self.credential.digest());
    }

    /// There is, or it could not be found out.
    pub(super) fn was_none(self) {
        if self.counted {
            let mut attempts = lock(&self.access.attempts);
            attempts.by_origin.give_back(&self.origin);
            let prefix = self.credential.prefix().to_owned();
            attempts.by_prefix.give_back(&prefix);
        }
    }
}

impl Drop for Attempt<'_> {
    /// Also where it is not found out, because nobody waits for it any more.
    fn drop(&mut self) {
        let mut attempts = lock(&self.access.attempts);
        let digest = self.credential.digest();
        if let Some(asking) = attempts.asked.get_mut(&digest) {
            *asking -= 1;
            if *asking == 0 {
                attempts.asked.remove(&digest);
            }
        }
    }
}

/// What is left to a token, as the `RateLimit` fields tell it (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota(Option<(Pace, Left)>);

impl Quota {
    fn fields(self) -> Vec<(HeaderName, String)> {
        let Some((pace, left)) = self.0 else {
            return Vec::new();
        };
        let seconds = |time: std::time::Duration| time.as_millis().div_ceil(1000).max(1);
        let window = seconds(pace.whole());
        let policy = format!("\"token\";q={};w={window}", pace.burst);
        let now = format!("\"token\";r={};t={}", left.count, seconds(left.more_in));
        vec![
            (HeaderName::from_static("ratelimit-policy"), policy),
            (HeaderName::from_static("ratelimit"), now),
        ]
    }

    /// The same answer, with what is left.
    pub(super) fn told(self, mut response: Response) -> Response {
        for (name, value) in self.fields() {
            answer::set(&mut response, name, &value);
        }
        response
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    fn access(requests: u32, attempts: u32) -> Access {
        let pace = |burst| Pace { burst, every: HOUR };
        Access::new(&AccessPolicy {
            session: SessionTimes {
                idle: HOUR,
                longest: HOUR,
            },
            requests: Some(pace(requests)),
            attempts: pace(attempts),
        })
    }

    fn secret(n: usize) -> Credential {
        Credential::of(&format!("playoutd_{n:08}{n:0>56}"))
    }

    fn token(n: u128) -> Principal {
        Principal {
            token: Some(uuid::Uuid::from_u128(n).into()),
            ..Principal::daemon()
        }
    }

    #[test]
    fn a_token_asks_as_often_as_it_may_with_all_its_sessions_and_another_is_not_held_back() {
        let access = access(2, 1);
        for left in [1, 0] {
            let quota = access.request(&token(1), &secret(left)).unwrap();
            let fields = quota.fields();
            assert_eq!(fields[0].1, "\"token\";q=2;w=7200");
            assert!(fields[1].1.starts_with(&format!("\"token\";r={left};t=")));
        }
        let refused = access.request(&token(1), &secret(2));
        let refused = refused.unwrap_err().into_response();
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "3600");
        assert!(
            refused.headers()["ratelimit"]
                .to_str()
                .unwrap()
                .starts_with("\"token\";r=0;")
        );
        assert!(access.request(&token(2), &secret(3)).is_ok());
    }

    #[test]
    fn wrong_secrets_from_one_address_are_slowed_and_right_ones_do_not_count() {
        let (access, here) = (access(1, 3), "192.0.2.7".parse().unwrap());
        for n in 0..3 {
            access.attempt(here, &secret(n)).unwrap().was_wrong();
            let right = secret(100 + n);
            if let Ok(attempt) = access.attempt(here, &right) {
                attempt.was_none();
            }
        }
        assert_eq!(
            access.attempt(here, &secret(3)).err().unwrap().status(),
            429
        );
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert!(
            access.attempt(mapped, &secret(3)).is_err(),
            "the same address"
        );
        assert!(access.attempt(here, &secret(0)).is_ok(), "no news");
        let there = "192.0.2.8".parse().unwrap();
        assert!(access.attempt(there, &secret(3)).is_ok());
    }

    #[test]
    fn a_secret_that_is_being_asked_for_counts_once_however_many_bring_it() {
        let (access, here) = (access(1, 2), "192.0.2.7".parse().unwrap());
        let right = secret(1);
        let asked: Vec<Attempt<'_>> = (0..50)
            .map(|_| access.attempt(here, &right).unwrap())
            .collect();
        access.attempt(here, &secret(2)).unwrap().was_wrong();
        assert!(
            access.attempt(here, &secret(3)).is_err(),
            "it counts until it is found to be right"
        );
        asked.into_iter().for_each(Attempt::was_none);
        access.attempt(here, &secret(3)).unwrap().was_wrong();
        assert!(access.attempt(here, &secret(4)).is_err());
        assert!(
            access.attempt(here, &right).is_err(),
            "nobody asks for it any more"
        );
    }

    #[test]
    fn of_ipv6_a_whole_64_is_one_address() {
        let access = access(1, 1);
        let at = |text: &str| text.parse().unwrap();
        access
            .attempt(at("2001:db8::1"), &secret(1))
            .unwrap()
            .was_wrong();
        assert!(access.attempt(at("2001:db8::2"), &secret(2)).is_err());
        assert!(access.attempt(at("2001:db8:0:1::1"), &secret(2)).is_ok());
    }

    #[test]
    fn a_secret_is_not_guessed_from_many_addresses() {
        let access = access(1, 2);
        let guess = |n: u8| {
            let credential = Credential::of(&format!("playoutd_01234567{n:0>56}"));
            let from = IpAddr::from([198, 51, 100, n]);
            access
                .attempt(from, &credential)
                .map(Attempt::was_wrong)
                .is_ok()
        };
        assert_eq!([1, 2, 3].map(guess), [true, true, false]);
    }
}
