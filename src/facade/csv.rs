//! CSV as RFC 4180 writes it, for spreadsheets that take what looks like a formula for one.
//!
//! Text that people wrote is quoted, and begins with an apostrophe where a spreadsheet would calculate it: the title of an item
//! that somebody uploaded must not run on the machine of whoever opens the file.

use std::fmt::{Display, Write};

/// What a formula begins with in some spreadsheet; the wide forms are taken for the narrow ones.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A table that is being written.
#[derive(Debug)]
pub(super) struct Csv {
    text: String,
}

/// What each row ends with.
const END: &str = "\r\n";

impl Csv {
    /// A table of these columns.
    pub(super) fn new(columns: &[&str]) -> Self {
        Self {
            text: columns.join(",") + END,
        }
    }

    /// Rows of a table whose columns were written before.
    pub(super) fn rows() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Begins a row.
    pub(super) fn row(&mut self) -> Row<'_> {
        Row {
            text: &mut self.text,
            first: true,
        }
    }

    /// The whole.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A row that is being written.
pub(super) struct Row<'a> {
    text: &'a mut String,
    first: bool,
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.text.push_str(END);
    }
}

impl Row<'_> {
    /// A value of ours, which holds neither separators nor quotes; nothing: an empty field.
    pub(super) fn plain(mut self, value: Option<impl Display>) -> Self {
        self.separate();
        if let Some(value) = value {
            // To write into a text does not fail.
            let _ = write!(self.text, "{value}");
        }
        self
    }

    /// What people wrote.
    pub(super) fn text(mut self, value: Option<&str>) -> Self {
        self.separate();
        if let Some(value) = value {
            self.text.push('"');
            if value.starts_with(FORMULA) {
                self.text.push('\'');
            }
            self.text.push_str(&value.replace('"', "\"\""));
            self.text.push('"');
        }
        self
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_is_quoted_and_never_a_formula() {
        let mut csv = Csv::new(&["n", "title", "note"]);
        csv.row()
            .plain(Some(-1.5))
            .text(Some("News, \"live\"\nand more"))
            .text(None);
        csv.row()
            .plain(None::<u8>)
            .text(Some("=HYPERLINK(\"http://x\")"))
            .text(Some("a=b"));
        for formula in ["+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＠x"] {
            csv.row().plain(Some(1)).text(Some(formula)).text(Some(""));
        }
        let text = csv.finish();
        let expected = "n,title,note\r\n-1.5,\"News, \"\"live\"\"\nand more\",\r\n\
                        ,\"'=HYPERLINK(\"\"http://x\"\")\",\"a=b\"\r\n1,\"'+1\",\"\"\r\n1,\"'-1\",\"\"\r\n";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.matches(",\"'").count(), 9);
        assert!(text.ends_with("\"'＠x\",\"\"\r\n"));
    }
}
