//! Entry points for fuzzers: any bytes must be taken without a panic, and cutting them differently changes nothing.

use crate::{Argv, Bounds, Decoder, Limits, OwnedArgs, Parsed, Parser, ProtocolError, Value, value::DecodeError};

/// Parses `data` as requests, whole and in pieces of `step` bytes; panics when the outcomes differ.
pub fn requests(data: &[u8], step: usize) {
    for authenticated in [true, false] {
        let limits = Limits {
            authenticated,
            bulk_bytes: 1 << 20,
            ..Limits::default()
        };
        let whole = parse_all(data, data.len().max(1), &limits);
        assert_eq!(
            whole,
            parse_all(data, step.max(1), &limits),
            "cut into pieces of {step}: {}",
            data.escape_ascii()
        );
        for command in &whole.0 {
            let request = OwnedArgs::from_words(command);
            let raw = request.as_args().raw().unwrap_or_default();
            let unlimited = Limits {
                bulk_bytes: u64::MAX,
                ..Limits::default()
            };
            assert_eq!(parse_all(raw, raw.len(), &unlimited), (vec![command.clone()], None));
        }
    }
}

/// Decodes `data` as replies, whole and in pieces of `step` bytes; panics when the outcomes differ.
pub fn replies(data: &[u8], step: usize) {
    let whole = decode_all(data, data.len().max(1));
    assert_eq!(
        whole,
        decode_all(data, step.max(1)),
        "cut into pieces of {step}: {}",
        data.escape_ascii()
    );
}

type Words = Vec<Vec<u8>>;

fn parse_all(data: &[u8], step: usize, limits: &Limits) -> (Vec<Words>, Option<ProtocolError>) {
    let (mut parser, mut argv, mut commands) = (Parser::new(), Argv::new(), Vec::new());
    let mut buf: Vec<u8> = Vec::new();
    for piece in data.chunks(step) {
        buf.extend_from_slice(piece);
        let mut used = 0;
        loop {
            let rest = &buf[used..];
            match parser.parse(rest, limits, &mut argv) {
                Parsed::Command { consumed } => {
                    let args = argv.args(rest);
                    assert!(!args.is_empty() && consumed <= rest.len());
                    if let Some(raw) = args.raw() {
                        assert_eq!(raw, &rest[..consumed]);
                        let mut again = Vec::new();
                        crate::write_command(&mut again, args.iter());
                        assert_eq!(raw, again);
                    }
                    commands.push(args.iter().map(<[u8]>::to_vec).collect());
                    used += consumed;
                }
                Parsed::Empty { consumed } => used += consumed,
                Parsed::Incomplete => {
                    let needed = parser.bytes_needed();
                    assert!(needed == 0 || rest.len() < needed);
                    break;
                }
                Parsed::Error(error) => return (commands, Some(error)),
            }
        }
        buf.drain(..used);
    }
    (commands, None)
}

fn decode_all(data: &[u8], step: usize) -> (Vec<Value>, Option<DecodeError>) {
    let bounds = Bounds {
        depth: 8,
        bulk_bytes: 1 << 20,
        elements: 1 << 20,
    };
    let (mut decoder, mut values) = (Decoder::new(bounds), Vec::new());
    for piece in data.chunks(step) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    /// Bytes that look like protocol more often than chance would have it.
    fn almost_protocol(rng: &mut Rng) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"*",
            b"$",
            b"\r\n",
            b"\r",
            b"\n",
            b"*1\r\n",
            b"*2\r\n",
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n",
            b"$4\r\nPING\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"PING",
            b" ",
            b"\"a b\"",
            b"'",
            b"\\x41",
            b"\0",
            b"+OK\r\n",
            b"-ERR x\r\n",
            b":12\r\n",
            b",1.5\r\n",
            b"#t\r\n",
            b"_\r\n",
            b"(123\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"%1\r\n",
            b"~2\r\n",
            b">1\r\n",
            b"|1\r\n",
            b"!3\r\nERR\r\n",
            b"9",
            b"1048577",
            b"99999999999999999999",
            b"-",
        ];
        let mut bytes = Vec::new();
        for _ in 0..rng.below(30) {
            if rng.chance(1, 12) {
                bytes.push(rng.next_u64() as u8);
            } else {
                bytes.extend_from_slice(rng.pick::<&[u8]>(PIECES));
            }
        }
        bytes
    }

    #[test]
    fn garbage_is_taken_and_cuts_change_nothing() {
        let mut rng = Rng::new(20);
        for _ in 0..20_000 {
            let data = almost_protocol(&mut rng);
            let step = 1 + rng.below(9) as usize;
            requests(&data, step);
            replies(&data, step);
        }
    }

    #[test]
    fn long_lines_and_bulks_may_be_cut_anywhere_too() {
        let mut rng = Rng::new(21);
        for _ in 0..60 {
            let mut data = almost_protocol(&mut rng);
            let length = 60_000 + rng.below(10_000) as usize;
            match rng.below(4) {
                0 => data.extend(format!("*2\r\n$4\r\nECHO\r\n${length}\r\n").bytes()),
                1 => data.extend(b"*1\r\n$"),
                2 => data.extend(b"*"),
                _ => data.extend(b"ECHO "),
            }
            data.resize(data.len() + length, b'7');
            data.extend_from_slice(b"\r\nPING\r\n");
            requests(&data, 1 + rng.below(5000) as usize);
            replies(&data, 1 + rng.below(5000) as usize);
        }
    }
}
