//! What is sent: JSON from the command line, a file, or stdin.

use std::io::Read;

use serde_json::{Map, Value};

use super::super::Failure;

/// Reads `--data`: JSON, `@FILE`, or `-` for stdin.
///
/// # Errors
/// It cannot be read, or is no JSON.
pub(super) fn read(given: &str) -> Result<Value, Failure> {
    let unreadable = |what: &str, error: std::io::Error| {
        Failure::Usage(format!("{what} cannot be read: {error}"))
    };
    let text = match (given, given.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| unreadable("stdin", error))?;
            text
        }
        (_, Some(file)) => {
            std::fs::read_to_string(file).map_err(|error| unreadable(file, error))?
        }
        (text, None) => text.to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("--data is no JSON: {error}")))
}

/// The same as an object; an empty one where nothing is given.
pub(super) fn object(given: Option<&str>) -> Result<Map<String, Value>, Failure> {
    match given.map(read).transpose()? {
        None => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(Failure::Usage("--data has to be a JSON object".to_owned())),
    }
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_json_here_or_in_a_file() {
        assert_eq!(read("{\"a\": 1}").unwrap(), json!({ "a": 1 }));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        let at = format!("@{}", file.path().display());
        assert_eq!(read(&at).unwrap(), json!([1]));
        for bad in ["{", "@/nowhere", ""] {
            assert!(matches!(read(bad), Err(Failure::Usage(_))), "{bad}");
        }
        assert!(object(Some("[1]")).is_err() && object(None).unwrap().is_empty());
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("a").is_err());
    }
}
