//! AMF0, the notation of RTMP's commands (Action Message Format AMF 0, §2).
//!
//! Reads what servers send: bounded in depth and in number of values, and by its input in length.
//! Writes what a client says. Debug output shows the lengths of texts, never texts: a server may
//! repeat a stream key.

#[cfg(test)]
mod tests;

use std::fmt;

/// How deep values may lie within one another.
const MAX_DEPTH: usize = 8;
/// Values in one message at most, nested ones included.
const MAX_VALUES: usize = 1024;

/// A value; names of members are kept in their order and may repeat.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// §2.2
    Number(f64),
    /// §2.3
    Boolean(bool),
    /// §2.4, §2.14; what is not UTF-8 was replaced.
    Text(String),
    /// §2.5, §2.10 (an associative array), §2.18 (an object of a class, whose name is left out).
    Object(Vec<(String, Value)>),
    /// §2.12
    Array(Vec<Value>),
    /// §2.13; the time zone is reserved and left out.
    Date(f64),
    /// §2.7
    Null,
    /// §2.8, and §2.15: what the writer could not express.
    Undefined,
}

/// Bytes that are no AMF0, or more of it than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Amf0Error {
    /// They end within a value.
    #[error("a value is cut off")]
    CutOff,
    /// A marker that is not known or not used: references, AVM+.
    #[error("a value of the unknown kind {0:#04x}")]
    Marker(u8),
    /// Values within values within values.
    #[error("values lie more than {MAX_DEPTH} deep")]
    Depth,
    /// Too many values.
    #[error("more than {MAX_VALUES} values")]
    Number,
}

/// Takes values off the front of some bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// How many more values may come.
    budget: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            budget: MAX_VALUES,
        }
    }

    /// The next value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Amf0Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth > MAX_DEPTH {
            return Err(Amf0Error::Depth);
        }
        self.budget = self.budget.checked_sub(1).ok_or(Amf0Error::Number)?;
        let [marker] = self.array()?;
        Ok(match marker {
            0x00 => Value::Number(f64::from_be_bytes(self.array()?)),
            0x01 => Value::Boolean(self.array()? != [0]),
            0x02 => Value::Text(self.text()?),
            0x03 => Value::Object(self.members(depth)?),
            0x05 => Value::Null,
            0x06 | 0x0d => Value::Undefined,
            // The number of members is a hint (§2.10); their end is marked as an object's is.
            0x08 => {
                let _hint: [u8; 4] = self.array()?;
                Value::Object(self.members(depth)?)
            }
            0x0a => {
                let length = u32::from_be_bytes(self.array()?);
                let items = (0..length).map(|_| self.value(depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            0x0b => {
                let time = f64::from_be_bytes(self.array()?);
                let _zone: [u8; 2] = self.array()?;
                Value::Date(time)
            }
            // A long string and an XML document (§2.17) are written alike.
            0x0c | 0x0f => {
                let length = u32::from_be_bytes(self.array()?);
                Value::Text(self.text_of(length as usize)?)
            }
            0x10 => {
                let _class = self.text()?;
                Value::Object(self.members(depth)?)
            }
            other => return Err(Amf0Error::Marker(other)),
        })
    }

    /// Members up to the empty name and the marker that end them (§2.11).
    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut members = Vec::new();
        loop {
            let name = self.text()?;
            if name.is_empty() && self.rest.first() == Some(&0x09) {
                self.rest = &self.rest[1..];
                return Ok(members);
            }
            members.push((name, self.value(depth + 1)?));
        }
    }

    fn text(&mut self) -> Result<String, Amf0Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> Result<String, Amf0Error> {
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Amf0Error::CutOff)?;
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Amf0Error::CutOff)?;
        self.rest = rest;
        Ok(*array)
    }
}

impl Value {
    /// The text, when it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, when it is one.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of the member `name` of an object; the first where it repeats.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(known, _)| known == name)
                .and_then(|(_, value)| value.as_text()),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "Text({})", text.len()),
            Self::Object(members) => f
                .debug_list()
                .entries(members.iter().map(|(_, value)| value))
                .finish(),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Date(time) => write!(f, "Date({time})"),
            Self::Null => f.write_str("Null"),
            Self::Undefined => f.write_str("Undefined"),
        }
    }
}

/// Writes `value` at the end of `out`. A name longer than its 16 bits of length is cut at a character.
pub(super) fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(0x00);
            out.extend(number.to_be_bytes());
        }
        Value::Boolean(value) => out.extend([0x01, u8::from(*value)]),
        Value::Text(text) => write_text(out, text),
        Value::Object(members) => {
            out.push(0x03);
            for (name, value) in members {
                write_name(out, name);
                write(out, value);
            }
            out.extend([0, 0, 0x09]);
        }
        Value::Array(items) => {
            out.push(0x0a);
            out.extend((items.len() as u32).to_be_bytes());
            items.iter().for_each(|item| write(out, item));
        }
        Value::Date(time) => {
            out.push(0x0b);
            out.extend(time.to_be_bytes());
            out.extend([0, 0]);
        }
        Value::Null => out.push(0x05),
        Value::Undefined => out.push(0x06),
    }
}

/// Writes a text: a long string (§2.14) where the 16 bits of a string (§2.4) do not hold its length.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.push(0x02);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x0c);
            out.extend((text.len() as u32).to_be_bytes());
        }
    }
    out.extend(text.as_bytes());
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    let cut = name.floor_char_boundary(name.len().min(u16::MAX.into()));
    out.extend((cut as u16).to_be_bytes());
    out.extend(&name.as_bytes()[..cut]);
}
