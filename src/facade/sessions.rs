//! `/api/v1/session`: a browser exchanges a token for a cookie that no script reads and no other site sends.
//!
//! The cookie is `HttpOnly` and `SameSite=Strict`, and where the daemon is reached by HTTPS `Secure` and bound to its host
//! (`__Host-`, RFC 6265bis §4.1.3.2). What changes something needs the session's `csrfToken` besides, in `X-CSRF-Token`: it
//! is told to whoever can read an answer, which other sites cannot.

use playout_media::prepare::hex;
use playout_store::{Principal, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use warp::http::header::{self, HeaderName};
use warp::reply::Response;

use super::Facade;
use super::answer;
use super::api::Call;
use super::problem::Problem;
use super::request::Request;

/// Where it is.
pub(super) const PATH: &str = "/session";

const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// `GET`: who one is.
pub(super) fn get(call: &Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    let cookie = cookie(&call.facade, &call.request);
    let cookie = cookie.filter(|_| call.credential.is_session());
    answer::ok(&shown(&call.facade, &call.who, cookie))
}

/// `POST`: a session for the token that asks.
pub(super) async fn begin(call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    if call.credential.is_session() {
        let detail = "A session is begun with a token, in `Authorization`.";
        return Err(Problem::conflict("session", detail));
    }
    let times = call.facade.settings.access.session;
    let made = call.app.store.create_session(&call.who, times).await;
    let secret = made.map_err(|error| Problem::of_stored("token", error))?;
    let shown = shown(&call.facade, &call.who, Some(&secret));
    let mut response = answer::created(&format!("/api/v1{PATH}"), &shown)?;
    set_cookie(&call.facade, &mut response, &secret, "");
    Ok(response)
}

/// `DELETE`: the session is none any more.
pub(super) async fn end(call: Call) -> Result<Response, Problem> {
    let [] = call.request.query([])?;
    if !call.credential.is_session() {
        return Err(Problem::missing("The token that asks is no session."));
    }
    let ended = call.app.store.end_session(&call.who, &call.credential);
    match ended.await {
        // Whoever ended it, it is ended.
        Ok(()) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(Problem::of_stored("session", error)),
    }
    let mut response = answer::nothing();
    set_cookie(&call.facade, &mut response, "", "; Max-Age=0");
    Ok(response)
}

fn shown(facade: &Facade, who: &Principal, cookie: Option<&str>) -> Value {
    json!({
        "clientId": who.client,
        "tokenId": who.token,
        "name": who.name,
        "scopes": who.scopes,
        "csrfToken": cookie.map(csrf_token),
        "idleTimeout": cookie.map(|_| facade.settings.access.session.idle.as_secs()),
    })
}

/// The secret of the session that a request comes with.
pub(super) fn cookie<'a>(facade: &Facade, request: &'a Request) -> Option<&'a str> {
    let name = cookie_name(facade.public_url());
    let cookies = request.headers.get_all(header::COOKIE).into_iter();
    let pairs = cookies.filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (given, value) = pair.trim().split_once('=')?;
        (given == name && !value.is_empty()).then_some(value)
    })
}

/// 401: there is no such session; the browser is told to forget it.
pub(super) fn over(facade: &Facade) -> Problem {
    let cookie = written(facade, "", "; Max-Age=0");
    Problem::unauthenticated("The session has ended; log in again.")
        .header(header::SET_COOKIE, &cookie)
}

/// # Errors
/// 403: nothing shows that a page of the daemon asks.
pub(super) fn check_origin(request: &Request, cookie: &str) -> Result<(), Problem> {
    let given = request.header(CSRF_TOKEN).unwrap_or_default();
    match given.as_bytes().ct_eq(csrf_token(cookie).as_bytes()).into() {
        true => Ok(()),
        false => Err(Problem::csrf_token_missing()),
    }
}

/// Follows from the session's secret, and does not lead back to it.
fn csrf_token(cookie: &str) -> String {
    hex(&Sha256::digest(format!("csrf {cookie}")))
}

fn set_cookie(facade: &Facade, response: &mut Response, value: &str, attributes: &str) {
    let cookie = written(facade, value, attributes);
    answer::set(response, header::SET_COOKIE, &cookie);
}

fn written(facade: &Facade, value: &str, attributes: &str) -> String {
    let secure = match is_secure(facade.public_url()) {
        true => "; Secure",
        false => "",
    };
    let name = cookie_name(facade.public_url());
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{attributes}")
}

/// The name of the cookie of a daemon that is reached at this URL.
pub(super) fn cookie_name(public_url: &str) -> &'static str {
    match is_secure(public_url) {
        true => "__Host-playoutd_session",
        false => "playoutd_session",
    }
}

fn is_secure(public_url: &str) -> bool {
    public_url.starts_with("https://")
}
