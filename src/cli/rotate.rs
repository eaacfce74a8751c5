//! `playoutd rotate-key`: another master key, and everything sealed anew with it.

use playout_store::{KeyRotation, KeySource, OldKey, Step};

use super::{Failure, say};
use crate::config::Config;
use crate::daemon::Reached;

/// Rotates the key, with a line for each step as it is done.
pub(super) async fn run(config: &Config, old: OldKey) -> Result<(), Failure> {
    let reached = Reached::open(config).await.map_err(Failure::Failed)?;
    let rotated = rotate(&reached, old).await;
    reached.close().await;
    rotated.map_err(Failure::Failed)
}

async fn rotate(reached: &Reached, old: OldKey) -> Result<(), String> {
    let path = reached.master_key.path().display();
    let begun = KeyRotation::begin(&reached.url, reached.master_key.clone(), old).await;
    let mut rotation = begun.map_err(|error| error.to_string())?;
    if rotation.is_resumed() {
        say("A rotation that was cut short goes on.");
    }
    while let Some(step) = rotation.step().await.map_err(|error| error.to_string())? {
        say(&told(step));
    }
    say(&match reached.master_key {
        KeySource::File(_) => format!("Done. Back up {path}; dumps from before need the old key."),
        KeySource::Credential(_) => format!(
            "Done. Take the line of the old key out of what the credential {path} is loaded from; dumps from before \
             need it."
        ),
    });
    Ok(())
}

fn told(step: Step) -> String {
    match step {
        Step::Made(new) => format!("Key {new} was made; it is in the key file."),
        Step::TakenOver { from, to } => match from {
            Some(from) => format!("Key {to} seals from now on; key {from} still opens."),
            None => format!("Key {to} seals from now on."),
        },
        Step::Resealed {
            secrets,
            given_up: 0,
            left,
        } => format!("{secrets} secrets sealed anew, {left} left."),
        Step::Resealed {
            secrets,
            given_up,
            left,
        } => format!("{secrets} secrets sealed anew, {given_up} given up, {left} left."),
        Step::Retired(old) => format!("Nothing is sealed with key {old} any more."),
        Step::Removed => "The key file holds the new key alone.".to_owned(),
    }
}
