//! Replies, as tests look at them.

use std::fmt::Write;

pub use resp::value::{Decoded, Value, decode};

/// Short ways to look into a reply.
pub trait Reply {
    /// Text of a string, status, error or integer, lossily; empty for other replies.
    fn text(&self) -> String;
    /// The bytes of any reply that is a text.
    fn bytes(&self) -> Option<&[u8]>;
    /// The number, of an integer reply only.
    fn int(&self) -> Option<i64>;
    /// The elements of an array, set or push; empty for others.
    fn items(&self) -> &[Value];
    /// On one line, each kind told from the others.
    fn show(&self) -> String;
}

impl Reply for Value {
    fn text(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            other => {
                let bytes = other.bytes().or(other.as_error()).unwrap_or_default();
                String::from_utf8_lossy(bytes).into_owned()
            }
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Double(bytes) | Self::BigNumber(bytes) => Some(bytes),
            other => other.as_bytes(),
        }
    }

    fn int(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n) } else { None }
    }

    fn items(&self) -> &[Value] {
        self.as_elements().unwrap_or_default()
    }

    fn show(&self) -> String {
        let mut out = String::new();
        show(self, &mut out);
        out
    }
}

fn show(value: &Value, out: &mut String) {
    let list = |out: &mut String, open: &str, items: &[Value]| {
        out.push_str(open);
        for (i, item) in items.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { ", " });
            show(item, out);
        }
        out.push(']');
    };
    let pairs = |out: &mut String, open: &str, items: &[(Value, Value)]| {
        out.push_str(open);
        for (i, (key, value)) in items.iter().enumerate() {
            out.push_str(if i == 0 { "" } else { ", " });
            show(key, out);
            out.push_str(": ");
            show(value, out);
        }
        out.push('}');
    };
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Simple(b) => write!(out, "+{}", b.escape_ascii()),
        Value::Error(b) => write!(out, "-{}", b.escape_ascii()),
        Value::Int(n) => write!(out, "(integer) {n}"),
        Value::Bulk(b) => write!(out, "\"{}\"", b.escape_ascii()),
        Value::NullBulk => write!(out, "(nil)"),
        Value::NullArray => write!(out, "(nil array)"),
        Value::Null => write!(out, "(null)"),
        Value::Double(b) => write!(out, "(double) {}", b.escape_ascii()),
        Value::Boolean(b) => write!(out, "({b})"),
        Value::BigNumber(b) => write!(out, "(big number) {}", b.escape_ascii()),
        Value::Verbatim { format, text } => write!(out, "{} \"{}\"", format.escape_ascii(), text.escape_ascii()),
        Value::Array(items) => return list(out, "[", items),
        Value::Set(items) => return list(out, "~[", items),
        Value::Push(items) => return list(out, ">[", items),
        Value::Map(items) => return pairs(out, "{", items),
        Value::Attributed { attributes, value } => {
            pairs(out, "|{", attributes);
            out.push(' ');
            return show(value, out);
        }
    };
}

/// Appends a request: an array of bulk strings.
pub fn write_command<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    resp::write_command(out, words);
}
