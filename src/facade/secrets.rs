//! Refuses secrets where they do not belong: in the query, which histories, proxies and logs keep (RFC 6750 §5.3).

use super::problem::Problem;
use super::request::Request;

/// What people call a token, without `-` and `_`.
const NAMES: [&str; 5] = ["token", "accesstoken", "authorization", "apikey", "bearer"];

/// Refuses a request whose query names a secret. Nothing of it is repeated, and no log has it.
///
/// # Errors
/// 400.
pub(super) fn refuse_in_query(request: &Request) -> Result<(), Problem> {
    match request.parameter_names().any(|name| is_secret(&name)) {
        false => Ok(()),
        true => Err(Problem::bad_request(
            "A token has no place in the query, where histories, proxies and logs keep it: revoke this one, and send \
             another as in `Authorization: Bearer …`.",
        )),
    }
}

fn is_secret(name: &str) -> bool {
    let bare = name.chars().filter(|c| !matches!(c, '-' | '_'));
    let bare: String = bare.flat_map(char::to_lowercase).collect();
    NAMES.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_any_of_its_names() {
        for name in [
            "token",
            "access_token",
            "Authorization",
            "api_key",
            "API-Key",
            "apikey",
            "bearer",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["", "tokens", "cursor", "key", "q"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
