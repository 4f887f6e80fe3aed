//! Replies as text: what `redis-cli` 7.0 shows, byte for byte.

use base::words::quote_into;
use resp::Value;

/// How replies are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: types named, elements numbered, strings quoted.
    Standard,
    /// For scripts: bytes as they are.
    Raw,
    /// Comma-separated values.
    Csv,
    /// JSON with strings as they are.
    Json,
    /// JSON in ASCII: strings hold the quoted form.
    QuotedJson,
}

/// What stands between parts in raw output.
#[derive(Clone, Debug)]
pub struct Delimiters {
    /// Between the elements of a reply.
    pub element: Vec<u8>,
    /// After each reply.
    pub reply: Vec<u8>,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self {
            element: b"\n".to_vec(),
            reply: b"\n".to_vec(),
        }
    }
}

/// The text of one reply, with the line end after it.
#[must_use]
pub fn reply(value: &Value, style: Style, delimiters: &Delimiters) -> Vec<u8> {
    let mut out = Vec::new();
    match style {
        Style::Standard => standard(&mut out, value, ""),
        Style::Raw => {
            raw(&mut out, value, &delimiters.element);
            out.extend_from_slice(&delimiters.reply);
        }
        Style::Csv => {
            csv(&mut out, value);
            out.push(b'\n');
        }
        Style::Json | Style::QuotedJson => {
            json(&mut out, value, style);
            out.push(b'\n');
        }
    }
    out
}

/// The bare bytes of a reply that is text for people anyway, such as INFO's.
#[must_use]
pub fn verbatim(value: &Value, delimiters: &Delimiters) -> Vec<u8> {
    let mut out = Vec::new();
    raw(&mut out, value, &delimiters.element);
    out
}

/// `bytes` in double quotes, with everything but printable ASCII escaped.
#[must_use]
pub fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    quote_into(&mut out, bytes);
    out
}

/// Keys that a server says have changed, for tracking clients.
#[must_use]
pub fn push(value: &Value, style: Style, delimiters: &Delimiters) -> Vec<u8> {
    let keys = match value.as_elements() {
        Some([name, Value::Array(keys)]) if name.as_bytes() == Some(b"invalidate") => keys,
        _ => return reply(value, style, delimiters),
    };
    let mut out = b"-> invalidate: ".to_vec();
    for (index, key) in keys.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b", '" } else { b"'" });
        out.extend_from_slice(key.as_bytes().unwrap_or_default());
        out.push(b'\'');
    }
    out.push(b'\n');
    out
}

fn standard(out: &mut Vec<u8>, value: &Value, prefix: &str) {
    match value {
        Value::Error(line) => labelled(out, "(error) ", line),
        Value::Simple(text) | Value::Verbatim { text, .. } => labelled(out, "", text),
        Value::Int(number) => labelled(out, "(integer) ", number.to_string().as_bytes()),
        Value::Double(text) => labelled(out, "(double) ", text),
        Value::BigNumber(digits) => labelled(out, "(big number) ", digits),
        Value::Bulk(bytes) => labelled(out, "", &quoted(bytes)),
        Value::NullBulk | Value::NullArray | Value::Null => out.extend_from_slice(b"(nil)\n"),
        Value::Boolean(true) => out.extend_from_slice(b"(true)\n"),
        Value::Boolean(false) => out.extend_from_slice(b"(false)\n"),
        Value::Array(elements) if elements.is_empty() => out.extend_from_slice(b"(empty array)\n"),
        Value::Set(elements) if elements.is_empty() => out.extend_from_slice(b"(empty set)\n"),
        Value::Push(elements) if elements.is_empty() => out.extend_from_slice(b"(empty push)\n"),
        Value::Map(pairs) if pairs.is_empty() => out.extend_from_slice(b"(empty hash)\n"),
        Value::Set(elements) => numbered(out, elements.len(), '~', prefix, |out, index, inner| {
            standard(out, &elements[index], inner);
        }),
        Value::Array(elements) | Value::Push(elements) => {
            numbered(out, elements.len(), ')', prefix, |out, index, inner| {
                standard(out, &elements[index], inner)
            });
        }
        Value::Map(pairs) => numbered(out, pairs.len(), '#', prefix, |out, index, inner| {
            pair(out, &pairs[index], inner);
        }),
        Value::Attributed { attributes, value } => {
            let inner = format!("{prefix}| ");
            for (index, attribute) in attributes.iter().enumerate() {
                out.extend_from_slice(if index == 0 { "| " } else { &inner }.as_bytes());
                pair(out, attribute, &inner);
            }
            out.extend_from_slice(prefix.as_bytes());
            standard(out, value, prefix);
        }
    }
}

/// `key => value`, each on the prefix of their element; a value that is several lines begins on its own.
fn pair(out: &mut Vec<u8>, (key, value): &(Value, Value), prefix: &str) {
    standard(out, key, prefix);
    out.pop();
    out.extend_from_slice(b" => ");
    if is_tall(value) {
        out.push(b'\n');
        out.extend_from_slice(prefix.as_bytes());
    }
    standard(out, value, prefix);
}

/// Whether a value's elements take more than one line.
fn is_tall(value: &Value) -> bool {
    match value {
        Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => match elements.as_slice() {
            [only] => is_tall(only),
            elements => !elements.is_empty(),
        },
        Value::Map(pairs) => match pairs.as_slice() {
            [(_, only)] => is_tall(only),
            pairs => !pairs.is_empty(),
        },
        _ => false,
    }
}

/// Numbers `count` elements, as wide as the largest number; what is inside them is indented by that.
fn numbered(
    out: &mut Vec<u8>,
    count: usize,
    separator: char,
    prefix: &str,
    mut element: impl FnMut(&mut Vec<u8>, usize, &str),
) {
    let width = count.to_string().len();
    let inner = format!("{prefix}{:1$}", "", width + 2);
    for index in 0..count {
        // The element around this one has already indented the first line.
        let indent = if index == 0 { "" } else { prefix };
        out.extend_from_slice(format!("{indent}{:>width$}{separator} ", index + 1).as_bytes());
        element(out, index, &inner);
    }
}

fn labelled(out: &mut Vec<u8>, label: &str, bytes: &[u8]) {
    out.extend_from_slice(label.as_bytes());
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

fn raw(out: &mut Vec<u8>, value: &Value, delimiter: &[u8]) {
    match value {
        Value::NullBulk | Value::NullArray | Value::Null => {}
        Value::Error(line) => labelled(out, "", line),
        Value::Simple(bytes)
        | Value::Bulk(bytes)
        | Value::BigNumber(bytes)
        | Value::Double(bytes)
        | Value::Verbatim { text: bytes, .. } => out.extend_from_slice(bytes),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"(true)" } else { b"(false)" }),
        Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => {
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                raw(out, element, delimiter);
            }
        }
        Value::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                raw(out, key, delimiter);
                out.push(b' ');
                raw(out, value, delimiter);
            }
        }
        Value::Attributed { value, .. } => raw(out, value, delimiter),
    }
}

fn csv(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Error(line) => {
            out.extend_from_slice(b"ERROR,");
            quote_into(out, line);
        }
        Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => quote_into(out, bytes),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        Value::NullBulk | Value::NullArray | Value::Null => out.extend_from_slice(b"NULL"),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => {
            separated(out, elements, csv);
        }
        // CSV has no maps.
        Value::Map(pairs) => separated(out, pairs, |out, (key, value)| {
            csv(out, key);
            out.push(b',');
            csv(out, value);
        }),
        Value::Attributed { value, .. } => csv(out, value),
    }
}

fn json(out: &mut Vec<u8>, value: &Value, style: Style) {
    match value {
        Value::Error(line) => {
            out.extend_from_slice(b"error:");
            json_string(out, line, style);
        }
        Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => {
            json_string(out, bytes, style);
        }
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        Value::NullBulk | Value::NullArray | Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => {
            out.push(b'[');
            separated(out, elements, |out, element| json(out, element, style));
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            separated(out, pairs, |out, (key, value)| {
                json_key(out, key, style);
                out.push(b':');
                json(out, value, style);
            });
            out.push(b'}');
        }
        Value::Attributed { value, .. } => json(out, value, style),
    }
}

/// JSON's keys are strings, whatever the protocol's are.
fn json_key(out: &mut Vec<u8>, key: &Value, style: Style) {
    let mut text = Vec::new();
    json(&mut text, key, style);
    if text.first() == Some(&b'"') {
        out.extend_from_slice(&text);
    } else {
        out.push(b'"');
        out.extend_from_slice(&text);
        out.push(b'"');
    }
}

fn json_string(out: &mut Vec<u8>, bytes: &[u8], style: Style) {
    if style == Style::QuotedJson {
        let text = quoted(bytes);
        for &byte in &text {
            out.extend_from_slice(if byte == b'\\' {
                b"\\\\"
            } else {
                std::slice::from_ref(&byte)
            });
        }
        return;
    }
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn separated<T>(out: &mut Vec<u8>, elements: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn check(value: &Value, style: Style, expected: &str) {
        let text = reply(value, style, &Delimiters::default());
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }

    #[test]
    fn nested_aggregates_are_numbered_and_indented() {
        let mut elements = vec![Value::Array(vec![
            bulk("a"),
            Value::Array(vec![Value::Int(1), Value::NullBulk]),
        ])];
        elements.extend((0..9).map(Value::Int));
        elements[9] = Value::Map(vec![
            (bulk("k"), Value::Set(vec![bulk("x"), bulk("y")])),
            (bulk("l"), Value::Int(2)),
        ]);
        check(
            &Value::Array(elements),
            Style::Standard,
            concat!(
                " 1) 1) \"a\"\n    2) 1) (integer) 1\n       2) (nil)\n",
                " 2) (integer) 0\n 3) (integer) 1\n 4) (integer) 2\n 5) (integer) 3\n 6) (integer) 4\n",
                " 7) (integer) 5\n 8) (integer) 6\n 9) (integer) 7\n",
                "10) 1# \"k\" => \n       1~ \"x\"\n       2~ \"y\"\n    2# \"l\" => (integer) 2\n",
            ),
        );
    }

    #[test]
    fn strings_in_every_style() {
        let value = Value::Array(vec![
            bulk("a\"\\\n\u{7}é"),
            Value::Map(vec![(Value::Int(1), Value::Boolean(true))]),
        ]);
        check(
            &value,
            Style::Standard,
            "1) \"a\\\"\\\\\\n\\a\\xc3\\xa9\"\n2) 1# (integer) 1 => (true)\n",
        );
        check(&value, Style::Csv, "\"a\\\"\\\\\\n\\a\\xc3\\xa9\",1,true\n");
        check(&value, Style::Json, "[\"a\\\"\\\\\\n\\u0007é\",{\"1\":true}]\n");
        check(
            &value,
            Style::QuotedJson,
            "[\"a\\\\\"\\\\\\\\\\\\n\\\\a\\\\xc3\\\\xa9\",{\"1\":true}]\n",
        );
        check(&value, Style::Raw, "a\"\\\n\u{7}é\n1 (true)\n");
    }

    #[test]
    fn attributes_stand_before_their_reply() {
        let value = Value::Attributed {
            attributes: vec![(bulk("ttl"), Value::Int(9))],
            value: Box::new(bulk("v")),
        };
        check(&value, Style::Standard, "| \"ttl\" => (integer) 9\n\"v\"\n");
        check(&value, Style::Json, "\"v\"\n");
    }
}
