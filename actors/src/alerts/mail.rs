//! An alert as a mail: what is sent to a webhook, in words.

use serde_json::Value;

/// Characters of a subject at most.
const MAX_SUBJECT: usize = 150;

/// Subject and text for a payload as webhooks get it.
pub(super) fn write(payload: &Value) -> (String, String) {
    let data = &payload["data"];
    let of = |name: &str| data[name].as_str().unwrap_or_default();
    let mark = match payload["type"].as_str() {
        Some("alert.closed") => "over".to_owned(),
        Some("alert.test") => "test".to_owned(),
        _ => of("severity").to_uppercase(),
    };
    let name = match of("name") {
        "" => "playoutd",
        name => name,
    };
    let subject: String = format!("[{mark}] {name}: {}", of("title"))
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SUBJECT)
        .collect();
    let mut text = format!("{}.\n\n{}\n\n", of("title"), of("detail"));
    for (label, field) in [
        ("Kind", "kind"),
        ("Severity", "severity"),
        ("State", "state"),
        ("Since", "openedAt"),
        ("Until", "closedAt"),
        ("Channel", "channelId"),
        ("Item", "mediaId"),
        ("Output", "destinationId"),
        ("Alert", "id"),
    ] {
        if !of(field).is_empty() {
            text.push_str(&format!("{label:9} {}\n", of(field)));
        }
    }
    if let Some(count) = data["occurrences"].as_u64() {
        text.push_str(&format!("{:9} {count}\n", "Failures"));
    }
    (subject, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mail_says_what_it_is_about_in_its_subject_and_the_rest_in_lines() {
        let payload = json!({
            "type": "alert.opened", "timestamp": "2026-11-24T08:00:00Z",
            "data": {
                "id": "0195", "kind": "channel.error", "severity": "critical", "state": "open",
                "title": "The channel is in ERROR", "detail": "FFmpeg ended", "name": "News\r\nBcc: x",
                "channelId": "0196", "mediaId": null, "openedAt": "2026-11-24T08:00:00Z",
                "closedAt": null, "occurrences": 3,
            },
        });
        let (subject, text) = write(&payload);
        assert_eq!(subject, "[CRITICAL] News  Bcc: x: The channel is in ERROR");
        assert!(
            text.starts_with("The channel is in ERROR.\n\nFFmpeg ended\n\n"),
            "{text}"
        );
        assert!(text.contains("\nChannel   0196\n"), "{text}");
        assert!(text.contains("\nFailures  3\n"), "{text}");
        assert!(!text.contains("Until") && !text.contains("Item"), "{text}");
        let mut over = payload;
        over["type"] = "alert.closed".into();
        over["data"]["name"] = Value::Null;
        assert_eq!(write(&over).0, "[over] playoutd: The channel is in ERROR");
    }
}
