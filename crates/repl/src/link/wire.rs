//! Lines to and from the primary, outside of its stream.

use base::{Offset, ReplId, number};
use resp::write_command;

use super::down::LinkDown;
use crate::effect::{Effect, Form};

/// What a refusal before or instead of the data means.
pub(super) fn refusal(line: &str) -> LinkDown {
    let reply = line.to_owned();
    match line.split_once(' ').map_or(line, |(code, _)| code) {
        "-LOADING" => LinkDown::PrimaryLoading,
        "-NOAUTH" | "-WRONGPASS" => LinkDown::WrongPassword { reply },
        "-NOPERM" => LinkDown::NoPermission { reply },
        code if code.starts_with('-') => LinkDown::PrimaryNotReady { reply },
        _ => LinkDown::ProtocolError {
            detail: format!("'{line}' in reply to PING"),
        },
    }
}

/// `<id> <offset>` after `+FULLRESYNC`.
pub(super) fn parse_full_resync(rest: &str) -> Option<(ReplId, Offset)> {
    let (id, offset) = rest.split_once(' ')?;
    let offset = number::parse_u64(offset.trim().as_bytes())?;
    Some((ReplId::parse(id.as_bytes())?, Offset(offset)))
}

/// The line before a payload.
pub(super) fn parse_payload_header(line: &str) -> Option<Form> {
    let rest = line.strip_prefix('$')?;
    match rest.strip_prefix("EOF:") {
        Some(mark) => Some(Form::Marked {
            mark: mark.as_bytes().try_into().ok()?,
        }),
        None => Some(Form::Sized {
            bytes: number::parse_u64(rest.as_bytes())?,
        }),
    }
}

/// Moves bytes from `input` to `line` up to the next line end; a whole line is given, without its end.
pub(super) fn take_line(line: &mut Vec<u8>, input: &mut &[u8]) -> Option<String> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        line.extend_from_slice(input);
        *input = &[];
        return None;
    };
    line.extend_from_slice(&input[..end]);
    *input = &input[end + 1..];
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    line.clear();
    Some(text)
}

/// A request to the primary.
pub(super) fn send(effects: &mut Vec<Effect>, words: &[&[u8]]) {
    let mut bytes = Vec::new();
    write_command(&mut bytes, words.iter().copied());
    effects.push(Effect::ToPrimary { bytes });
}

/// `REPLCONF ACK <offset>`.
pub(super) fn send_ack(effects: &mut Vec<Effect>, applied: Offset) {
    send(effects, &[b"REPLCONF", b"ACK", applied.to_string().as_bytes()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_they_are_wherever_the_bytes_are_cut() {
        let bytes = b"+PONG\r\n\n-LOADING x\r\n";
        for cut in 0..bytes.len() {
            let (mut line, mut lines) = (Vec::new(), Vec::new());
            for mut part in [&bytes[..cut], &bytes[cut..]] {
                while let Some(whole) = take_line(&mut line, &mut part) {
                    lines.push(whole);
                }
            }
            assert_eq!(lines, ["+PONG", "", "-LOADING x"]);
        }
    }

    #[test]
    fn headers_are_read_strictly() {
        let mark = [b'a'; 40];
        let marked = format!("$EOF:{}", "a".repeat(40));
        assert_eq!(parse_payload_header(&marked), Some(Form::Marked { mark }));
        assert_eq!(parse_payload_header("$183"), Some(Form::Sized { bytes: 183 }));
        for wrong in ["183", "$", "$-1", "$1x", "$EOF:short", "+OK", ""] {
            assert_eq!(parse_payload_header(wrong), None, "{wrong}");
        }
        let id = "0".repeat(40);
        assert_eq!(parse_full_resync(&format!("{id} 7")), Some((ReplId::NONE, Offset(7))));
        for wrong in [id.as_str(), "x 7", &format!("{id} -1"), &format!("{id} 7 8"), ""] {
            assert_eq!(parse_full_resync(wrong), None, "{wrong}");
        }
    }
}
