//! Whatever is merged onto a channel's configuration: it is refused, or what becomes of it reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use playout_domain::config::{ChannelConfig, Policy};
use serde_json::{Value, json};

fuzz_target!(|input: &[u8]| {
    let Ok(patch) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let policy = Policy::PUBLIC;
    let before = ChannelConfig::parse(&json!({ "name": "One" }), &policy).expect("a configuration");
    let Ok(after) = before.patched(&patch, &policy) else {
        return;
    };
    // Stream keys are not told, so destinations do not read back by themselves.
    if after.rtmp_destinations.is_empty() {
        let told = after.to_json_public();
        let again = ChannelConfig::parse(&told, &policy).expect("what is told is right");
        assert_eq!(again.to_json_public(), told);
    }
    // A patch of nothing changes nothing.
    let same = after.patched(&json!({}), &policy).expect("it was right before");
    assert_eq!(same.to_json_public(), after.to_json_public());
});
