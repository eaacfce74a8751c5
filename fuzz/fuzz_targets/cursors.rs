//! Whatever is sent as a cursor: it is none, or the one that it reads back as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use playout_store::{AuditCursor, MediaCursor};

fuzz_target!(|input: &str| {
    if let Ok(cursor) = input.parse::<AuditCursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(cursor) = input.parse::<MediaCursor>() {
        let again = cursor.to_string().parse::<MediaCursor>();
        assert_eq!(again.map(|again| again.to_string()), Ok(cursor.to_string()));
    }
});
