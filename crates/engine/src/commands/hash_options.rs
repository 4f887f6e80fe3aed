//! What the commands with `FIELDS numfields field …` share.

use super::string_options::{Expiration, invalid_expire_time};
use crate::{ArgsExt, Error, Result};
use base::{Millis, Now};
use resp::Args;

/// The latest moment at which a field may expire: Redis keeps 46 bits of it.
pub(super) fn latest_moment() -> Millis {
    const BITS: u32 = 46;
    Millis((1 << BITS) - 1)
}

/// The words after `FIELDS numfields`, which stand at word `at` and must be as many. `not_positive` is the error for a
/// number that is none.
pub(super) fn fields_of<'a>(args: Args<'a>, at: usize, not_positive: &'static str) -> Result<Args<'a>> {
    if !args.is(at, "fields") {
        return Err(Error::fixed(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    words_of(args, at, 1, not_positive)
}

/// As [`fields_of`] where every field takes `each` words.
fn words_of<'a>(args: Args<'a>, at: usize, each: usize, not_positive: &'static str) -> Result<Args<'a>> {
    const MISMATCH: Error = Error::fixed("ERR The `numfields` parameter must match the number of arguments");
    let count = args.try_get(at + 1).and_then(base::number::parse_i64);
    let count = count
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0);
    let count = count.ok_or(Error::fixed(not_positive))?;
    let words = args.len() - at - 2;
    if count.checked_mul(each) != Some(words) {
        return Err(MISMATCH);
    }
    Ok(args.skip(at + 2))
}

/// What must be true of the key, or of all the fields, for HSETEX to go ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Absent,
    Present,
}

/// Whose options they are: not all go with both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    SetEx,
    GetEx,
}

/// The options of HSETEX and HGETEX.
pub(super) struct Options<'a> {
    /// Of the key. Only Valkey has it; its stream may.
    pub(super) key_condition: Option<Condition>,
    /// Of the fields.
    pub(super) condition: Option<Condition>,
    pub(super) expiration: Option<Expiration<'a>>,
    /// The fields; with HSETEX each is followed by its value.
    pub(super) fields: Args<'a>,
}

impl<'a> Options<'a> {
    /// Reads the words after the key.
    pub(super) fn parse(args: Args<'a>, target: Target) -> Result<Self> {
        let (mut key_condition, mut condition, mut expiration) = (None, None, None);
        let mut at = 2;
        loop {
            let word = args.try_get(at).ok_or(Error::fixed("ERR missing FIELDS argument"))?;
            let value = || args.try_get(at + 1).ok_or(Error::Syntax);
            let given = match word.to_ascii_lowercase().as_slice() {
                b"fields" => break,
                b"nx" | b"xx" | b"fnx" | b"fxx" if target == Target::SetEx => {
                    let of_fields = word.len() == 3;
                    let wanted = if word[word.len() - 2].eq_ignore_ascii_case(&b'n') {
                        Condition::Absent
                    } else {
                        Condition::Present
                    };
                    let condition = if of_fields { &mut condition } else { &mut key_condition };
                    if condition.replace(wanted).is_some() {
                        return Err(Error::fixed(if of_fields {
                            "ERR Only one of FXX or FNX arguments can be specified"
                        } else {
                            "ERR Only one of XX or NX arguments can be specified"
                        }));
                    }
                    at += 1;
                    continue;
                }
                b"keepttl" if target == Target::SetEx => Expiration::Keep,
                b"persist" if target == Target::GetEx => Expiration::Persist,
                b"ex" => Expiration::AfterSeconds(value()?),
                b"px" => Expiration::AfterMillis(value()?),
                b"exat" => Expiration::AtSeconds(value()?),
                b"pxat" => Expiration::AtMillis(value()?),
                _ => {
                    let line = [b"ERR unknown argument: ", crate::error::quoted(word)].concat();
                    return Err(Error::quoting(line));
                }
            };
            at += if matches!(given, Expiration::Keep | Expiration::Persist) {
                1
            } else {
                2
            };
            if expiration.replace(given).is_some() {
                return Err(Error::fixed(match target {
                    Target::SetEx => "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                    Target::GetEx => "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified",
                }));
            }
        }
        let each = if target == Target::SetEx { 2 } else { 1 };
        let fields = words_of(args, at, each, super::hash_expire::POSITIVE)?;
        Ok(Self {
            key_condition,
            condition,
            expiration,
            fields,
        })
    }

    /// The moment of the expiry asked for, if one is. `command` is named in the error.
    pub(super) fn deadline(&self, command: &str, now: Now) -> Result<Option<Millis>> {
        let Some(expiration) = self.expiration else {
            return Ok(None);
        };
        let at = expiration.deadline(command, now)?;
        if at.is_some_and(|at| at > latest_moment()) {
            return Err(invalid_expire_time(command));
        }
        Ok(at)
    }
}
