//! `playoutd completions SHELL`: what a shell offers behind `playoutd`, written from the command line's own definition.

use std::io::Write;

use clap::{CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::Cli;

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
}

/// Writes the script; nobody may be reading any more.
pub(super) fn write(which: Which) {
    let _ = std::io::stdout().write_all(&script(which));
}

fn script(which: Which) -> Vec<u8> {
    let shell = match which {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "playoutd", &mut script);
    script
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    /// What bash offers when Tab is pressed at the end of `line`.
    fn offered(line: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("playoutd.bash");
        std::fs::write(&file, script(Which::Bash)).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let (last, before) = (words.len() - 1, words[words.len().saturating_sub(2)]);
        let press = format!(
            "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD={last}; \
             _playoutd playoutd \"${{COMP_WORDS[{last}]}}\" {before}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash")
            .args(["--norc", "--noprofile", "-c", &press, "bash"])
            .arg(&file)
            .args(&words)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_offers_commands_flags_and_their_values() {
        assert_eq!(offered("playoutd ct"), ["ctl"]);
        let resources = offered("playoutd ctl ");
        for resource in ["channels", "media", "webhooks", "events", "api"] {
            assert!(
                resources.iter().any(|offer| offer == resource),
                "{resource}: {resources:?}"
            );
        }
        assert_eq!(offered("playoutd ctl channels sta"), ["start", "status"]);
        assert_eq!(offered("playoutd ctl events --fol"), ["--follow"]);
        assert_eq!(offered("playoutd ctl -o js"), ["json", "jsonl"]);
        assert_eq!(offered("playoutd completions z"), ["zsh"]);
    }

    #[test]
    fn zsh_is_told_the_same_commands() {
        let script = String::from_utf8(script(Which::Zsh)).unwrap();
        assert!(script.starts_with("#compdef playoutd"));
        for command in [
            "'channels:Channels'",
            "'start:Put channels on air'",
            "'webhooks:Who is told of events'",
        ] {
            assert!(script.contains(command), "{command}");
        }
        // Where there is a zsh, it says whether it can read that.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("_playoutd");
        std::fs::write(&file, &script).unwrap();
        if let Ok(checked) = Command::new("zsh").arg("-n").arg(&file).output() {
            assert!(
                checked.status.success(),
                "{}",
                String::from_utf8_lossy(&checked.stderr)
            );
        }
    }
}
