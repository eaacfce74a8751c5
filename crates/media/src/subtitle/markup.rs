//! What a cue carries besides its words.
//!
//! `<i>`, `<b>`, `<u>`, `<c>` and `<v>` stay, each closed again; tags that players know and that mean nothing here
//! (`<font>`, `<ruby>`, `<rt>`, `<lang>`, times of karaoke) go, and what is in them stays; everything else is no markup and is
//! written so that it is shown as it is.

/// References that stand for a character (WebVTT §6.4: those of HTML that players know).
const REFERENCES: [&str; 6] = ["&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"];

/// A text as WebVTT writes it: no empty line, no arrow, every tag closed. Empty where nothing would be seen.
pub(super) fn clean(text: &str) -> String {
    let mut out = Out::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => match tag(rest) {
                Some((tag, length)) => {
                    out.tag(&tag);
                    rest = &rest[length..];
                    continue;
                }
                None => out.text("&lt;"),
            },
            '&' => {
                if let Some(reference) = REFERENCES.into_iter().find(|r| rest.starts_with(r)) {
                    out.text(reference);
                    rest = &rest[reference.len()..];
                    continue;
                }
                out.text("&amp;");
            }
            '>' => out.text("&gt;"),
            c => out.text(c.encode_utf8(&mut [0; 4])),
        }
        rest = &rest[c.len_utf8()..];
    }
    out.finish()
}

/// A tag, as it is to be written.
enum Tag {
    Open { name: &'static str, written: String },
    Close(String),
    Break,
    Dropped,
}

/// The tag with which `text` begins, and how long it is; nothing where that is none.
fn tag(text: &str) -> Option<(Tag, usize)> {
    let end = text.find('>')?;
    let inner = &text[1..end];
    if inner.contains('<') {
        return None;
    }
    let length = end + 1;
    if let Some(name) = inner.strip_prefix('/') {
        let name = name.trim().to_ascii_lowercase();
        let known = kept(&name).is_some() || is_dropped(&name);
        return known.then_some((Tag::Close(name), length));
    }
    if inner.starts_with(|c: char| c.is_ascii_digit())
        && inner
            .bytes()
            .all(|b| b.is_ascii_digit() || b":.".contains(&b))
    {
        return Some((Tag::Dropped, length));
    }
    let (head, annotation) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    let mut classes = head.split('.');
    let name = classes.next().unwrap_or_default().to_ascii_lowercase();
    if matches!(name.as_str(), "br" | "br/") {
        return Some((Tag::Break, length));
    }
    let Some(name) = kept(&name) else {
        return is_dropped(&name).then_some((Tag::Dropped, length));
    };
    let mut written = name.to_owned();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for class in classes.filter(|class| !class.is_empty() && class.chars().all(is_plain)) {
        written.push('.');
        written.push_str(class);
    }
    if name == "v" {
        let speaker = annotation.split_whitespace().collect::<Vec<_>>().join(" ");
        if speaker.is_empty() {
            return Some((Tag::Dropped, length));
        }
        written.push(' ');
        written.push_str(&escaped(&speaker));
    }
    Some((Tag::Open { name, written }, length))
}

/// The tag of that name, if it stays.
fn kept(name: &str) -> Option<&'static str> {
    ["i", "b", "u", "c", "v"]
        .into_iter()
        .find(|known| *known == name)
}

fn is_dropped(name: &str) -> bool {
    ["font", "ruby", "rt", "lang"].contains(&name)
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = REFERENCES.into_iter().find(|r| rest.starts_with(r));
        out.push_str(reference.unwrap_or("&amp;"));
        rest = &rest[reference.map_or(1, str::len)..];
    }
    out + rest
}

#[derive(Default)]
struct Out {
    written: String,
    /// The tags that are open.
    open: Vec<&'static str>,
    /// Whether something would be seen.
    seen: bool,
}

impl Out {
    fn text(&mut self, text: &str) {
        self.seen |= !text.trim().is_empty() && !["&nbsp;", "&lrm;", "&rlm;"].contains(&text);
        self.written.push_str(text);
    }

    fn tag(&mut self, tag: &Tag) {
        match tag {
            Tag::Open { name, written } => {
                self.open.push(name);
                self.written.push_str(&format!("<{written}>"));
            }
            Tag::Close(name) => {
                if self.open.iter().any(|open| open == name) {
                    while let Some(open) = self.open.pop() {
                        self.written.push_str(&format!("</{open}>"));
                        if open == name {
                            break;
                        }
                    }
                }
            }
            Tag::Break => self.written.push('\n'),
            Tag::Dropped => {}
        }
    }

    fn finish(mut self) -> String {
        if !self.seen {
            return String::new();
        }
        while let Some(open) = self.open.pop() {
            self.written.push_str(&format!("</{open}>"));
        }
        let lines = self.written.lines().map(str::trim_end);
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }
}
