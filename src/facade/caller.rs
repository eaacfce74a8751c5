//! Who asks: whoever the bearer token belongs to (RFC 6750 §2.1), or the session of a browser, by its cookie.

use playout_actors::App;
use playout_store::{Credential, Principal, StoreError};
use warp::http::{Method, header};

use super::Facade;
use super::problem::Problem;
use super::request::Request;
use super::sessions;

/// Who asks, and with what.
///
/// # Errors
/// 401: with nothing, or with what is no token or session; 403: by a session, without what shows that the page of the
/// daemon asks; 429: too many wrong tokens were tried; 503: it cannot be found out.
pub(super) async fn of(
    facade: &Facade,
    app: &App,
    request: &Request,
) -> Result<(Principal, Credential), Problem> {
    let Some(given) = request.header(header::AUTHORIZATION) else {
        let cookie = sessions::cookie(facade, request).ok_or_else(|| {
            Problem::unauthenticated("Send a token, as in `Authorization: Bearer …`.")
        })?;
        let credential = Credential::of_session(cookie);
        let who = known(facade, app, request, &credential).await?;
        let who = who.ok_or_else(|| sessions::over(facade))?;
        if !reads(&request.method) {
            sessions::check_origin(request, cookie)?;
        }
        let times = facade.settings.access.session;
        app.store.session_used(&who, &credential, times);
        return Ok((who, credential));
    };
    let secret = bearer(given).ok_or_else(|| {
        Problem::unauthenticated("`Authorization` has to be `Bearer` and a token.")
    })?;
    let credential = Credential::of(secret);
    let who = known(facade, app, request, &credential).await?;
    let who =
        who.ok_or_else(|| Problem::unauthenticated("The token is not known, or has ended."))?;
    Ok((who, credential))
}

async fn known(
    facade: &Facade,
    app: &App,
    request: &Request,
    credential: &Credential,
) -> Result<Option<Principal>, Problem> {
    let attempt = match app.store.knows(credential) {
        true => None,
        false => Some(facade.access.attempt(request.address(), credential)?),
    };
    let known = app.store.principal_of(credential).await;
    match (&known, attempt) {
        (Ok(None), Some(attempt)) => attempt.was_wrong(),
        (_, Some(attempt)) => attempt.was_none(),
        (_, None) => {}
    }
    known.map_err(|error| match error {
        StoreError::Unavailable(away) => Problem::unavailable(
            "PostgreSQL does not answer, and the token was not used within a day: it cannot be checked now.",
            away.retry_after(),
        ),
        error => Problem::of_store(error),
    })
}

/// Whether a method changes nothing (RFC 9110 §9.2.1).
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bearer_token_is_read_as_rfc_6750_writes_it() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
