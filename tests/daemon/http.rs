//! The HTTP client of the tests: every answer has to be one that the API's document allows. Where it is measured how fast answers
//! come the plain one does, of which nothing else is asked.

use super::contract::{self, Asked};
pub use super::plain::{Answer, Event, EventStream, request_on};

/// Sends one request and reads the whole answer.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let answer = super::plain::request(address, method, path, headers, body)?;
    let asked = Asked {
        method,
        path,
        headers,
        body,
    };
    contract::hold(&asked, &answer);
    Ok(answer)
}
