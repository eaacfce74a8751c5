//! `playoutd verify`: looks at what is kept, and says what is damaged or was tampered with.

use playout_actors::app::AUDIT_HEADS;
use playout_store::{ExportedHeads, Fault, Verification, verify};
use serde_json::{Value, json};

use super::{Failure, say};
use crate::config::Config;
use crate::daemon::Reached;

/// Looks and tells: a line for each fault and a summary, or one JSON document.
pub(super) async fn run(config: &Config, as_json: bool) -> Result<(), Failure> {
    let reached = Reached::open(config).await.map_err(Failure::Failed)?;
    let looked = look(&reached).await;
    reached.close().await;
    let found = looked.map_err(Failure::Failed)?;
    if as_json {
        say(&document(&found).to_string());
    } else {
        for line in lines(&found) {
            say(&line);
        }
    }
    match found.faults.is_empty() {
        true => Ok(()),
        false => Err(Failure::Told),
    }
}

async fn look(reached: &Reached) -> Result<Verification, String> {
    let path = reached.data_dir.join(AUDIT_HEADS);
    // Before the database: what is exported later is not in the moment that is looked at.
    let exported = ExportedHeads::read(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = verify(&reached.url, &reached.master_key, &exported).await;
    found.map_err(|error| error.to_string())
}

fn lines(found: &Verification) -> Vec<String> {
    let mut lines: Vec<String> = found.faults.iter().map(Fault::to_string).collect();
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    let several = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let faults = match found.faults.len() {
        0 => "nothing is wrong".to_owned(),
        count => several(count as u64, "fault", "faults"),
    };
    lines.push(format!(
        "Looked at {}, {}, {} of audit in {} against {}: {faults}.",
        several(found.channels, "channel", "channels"),
        several(found.secrets, "sealed secret", "sealed secrets"),
        several(found.entries, "entry", "entries"),
        several(found.chains, "chain", "chains"),
        several(found.exported, "exported head", "exported heads"),
    ));
    lines
}

fn document(found: &Verification) -> Value {
    json!({
        "ok": found.faults.is_empty(),
        "channels": found.channels,
        "secrets": found.secrets,
        "auditChains": found.chains,
        "auditEntries": found.entries,
        "exportedHeads": found.exported,
        "faults": found.faults.iter().map(Fault::to_json).collect::<Vec<_>>(),
        "notes": found.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_told_in_one_line_after_the_faults() {
        let mut found = Verification {
            channels: 1,
            entries: 12,
            chains: 2,
            exported: 3,
            ..Verification::default()
        };
        assert_eq!(
            lines(&found),
            [
                "Looked at 1 channel, 0 sealed secrets, 12 entries of audit in 2 chains against 3 exported heads: \
                 nothing is wrong."
            ]
        );
        found.faults.push(Fault::ExportedHead { line: 7 });
        let told = lines(&found);
        assert_eq!(told[0], "exported audit heads: line 7 is not readable");
        assert!(told[1].ends_with(": 1 fault."), "{}", told[1]);
        let document = document(&found);
        assert_eq!(document["ok"], false);
        assert_eq!(document["faults"][0]["line"], 7);
    }
}
