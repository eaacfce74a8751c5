//! Answers as they are written: tables for people, JSON for scripts, names for loops.

use clap::ValueEnum;
use serde_json::Value;

use super::super::say;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Output {
    /// Columns.
    Table,
    /// One JSON document; of a list an array.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// The id alone, one a line.
    Name,
}

/// A column of a table: its head, and where in an item it is, as a path of members.
pub(super) type Column = (&'static str, &'static str);

impl Output {
    /// Writes a list.
    pub(super) fn list(self, items: &[Value], columns: &[Column]) {
        match self {
            Self::Table => table(items, columns).iter().for_each(|line| say(line)),
            Self::Json => say(&pretty(&Value::Array(items.to_vec()))),
            Self::Jsonl => items.iter().for_each(|item| say(&item.to_string())),
            Self::Name => items.iter().for_each(|item| say(&name(item))),
        }
    }

    /// Writes one thing.
    pub(super) fn one(self, item: &Value, columns: &[Column]) {
        match self {
            Self::Json => say(&pretty(item)),
            other => other.list(std::slice::from_ref(item), columns),
        }
    }

    /// Writes one thing with a secret that is shown this once: beside the table, and for names alone.
    pub(super) fn secret(self, item: &Value, columns: &[Column], member: &str) {
        let secret = item[member].as_str().unwrap_or_default();
        match self {
            Self::Name => say(secret),
            Self::Table => {
                self.one(item, columns);
                say(&format!("{member}: {secret}"));
            }
            Self::Json | Self::Jsonl => self.one(item, columns),
        }
    }

    /// Writes an answer that has no columns: as JSON, whatever is asked for.
    pub(super) fn whole(self, answer: &Value) {
        match self {
            Self::Jsonl => say(&answer.to_string()),
            _ => say(&pretty(answer)),
        }
    }
}

/// What a thing is known by in other commands.
fn name(item: &Value) -> String {
    let known = ["id", "channelId", "name"].map(|member| item[member].as_str());
    known
        .into_iter()
        .flatten()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// The lines of a table, its head first; a column is as wide as its widest cell.
fn table(items: &[Value], columns: &[Column]) -> Vec<String> {
    let head = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |item: &Value| columns.iter().map(|(_, path)| cell(item, path)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(items.iter().map(row)).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|n| {
            rows.iter()
                .map(|row| row[n].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// What stands at `path` of an item, on one line and without what would move a cursor.
fn cell(item: &Value, path: &str) -> String {
    let found = path.split('.').fold(item, |value, member| &value[member]);
    let text = match found {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts = items.iter().map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            });
            texts.collect::<Vec<_>>().join(",")
        }
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                format!("{key}={value}")
            });
            pairs.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    match text.is_empty() {
        true => "-".to_owned(),
        false => printable(&text),
    }
}

/// A text of somebody else's on one line, without what would move a cursor.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_as_wide_as_what_is_in_it_and_names_are_what_commands_take() {
        let items = [
            json!({ "id": "1", "name": "Zürich\u{1b}[2J", "config": { "labels": { "a": "b", "c": "" } }, "list": ["x", 7] }),
            json!({ "id": "22", "name": "", "config": {}, "on": true }),
        ];
        let columns = [
            ("ID", "id"),
            ("NAME", "name"),
            ("LABELS", "config.labels"),
            ("LIST", "list"),
            ("ON", "on"),
        ];
        assert_eq!(
            table(&items, &columns),
            [
                "ID  NAME        LABELS  LIST  ON",
                "1   Zürich [2J  a=b,c=  x,7   -",
                "22  -           -       -     true",
            ]
        );
        assert_eq!(name(&items[1]), "22");
        assert_eq!(name(&json!({ "name": "free" })), "free");
    }
}
