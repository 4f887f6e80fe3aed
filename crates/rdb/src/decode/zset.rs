//! Sorted sets.
//!
//! ```text
//! members          count, then member score …      score: a double, eight bytes
//!   of old         count, then member text …       text: its length, a byte, then so many; 253 to 255: nan, inf, -inf
//! blocks           a ziplist or listpack of member score …, in order
//! ```

use super::{Block, Home, Scratch, fits};
use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::Input;
use crate::ziplist;
use base::number;
use ds::listpack::{Listpack, Value};
use ds::{NewValue, Pack};
use keyspace::ZsetBuilder;
use std::cmp::Ordering;
use std::io::Read;

const TWICE: &str = "a member that is in its sorted set twice";
const NO_SCORE: &str = "a score that is no number";

const TEXT_NAN: u8 = 253;
const TEXT_INFINITY: u8 = 254;
const TEXT_MINUS_INFINITY: u8 = 255;

pub(super) fn read<R: Read, T>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let mut builder = ZsetBuilder::new(&home.encodings, home.new_table());
    match value_type {
        ValueType::ZsetListpack => return listpack(&Block::read(input, value_type)?, scratch, home, then),
        ValueType::ZsetZiplist => ziplist(&Block::read(input, value_type)?, &mut builder)?,
        _ => {
            for _ in 0..input.length()? {
                scratch.text.clear();
                scratch.text.extend_from_slice(input.text()?);
                let at = input.at();
                let corrupt = |what| LoadError::Corrupt { at, what };
                let score = match value_type {
                    ValueType::ZsetText => score_text(input)?,
                    _ => Some(f64::from_le_bytes(input.array()?)),
                };
                let score = score.filter(|score| !score.is_nan()).ok_or(corrupt(NO_SCORE))?;
                builder.push(&scratch.text, score).map_err(|_| corrupt(TWICE))?;
            }
        }
    }
    Ok(if builder.is_empty() {
        then(None)
    } else {
        then(Some(builder.finish()))
    })
}

fn score_text<R: Read>(input: &mut Input<R>) -> Result<Option<f64>, LoadError> {
    Ok(match input.byte()? {
        TEXT_NAN => None,
        TEXT_INFINITY => Some(f64::INFINITY),
        TEXT_MINUS_INFINITY => Some(f64::NEG_INFINITY),
        len => number::parse_f64(input.bytes(u64::from(len))?),
    })
}

fn listpack<T>(
    block: &Block<'_>,
    scratch: &mut Scratch,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let (pack, members) = block.unique_listpack(2, home, scratch)?;
    if members == 0 {
        return Ok(then(None));
    }
    in_order(pack).map_err(|what| block.corrupt(what))?;
    if fits(members, home.encodings.zset_max_listpack_entries) {
        return Ok(then(Some(NewValue::Pack(Pack::Zset, pack.bytes()))));
    }
    let mut builder = ZsetBuilder::from_pack(pack.bytes().to_vec(), &home.encodings, home.new_table());
    Ok(then(Some(builder.finish())))
}

/// Scores must be numbers, and members in the order of these, or else of their texts.
fn in_order(pack: Listpack<'_>) -> Result<(), &'static str> {
    let mut last: Option<(f64, Value<'_>)> = None;
    for (_, member, score) in pack.pairs() {
        let score = score_of(score).ok_or(NO_SCORE)?;
        if let Some((last_score, last_member)) = last {
            let texts = || last_member.with_text(|last| member.with_text(|text| last.cmp(text)));
            let order = last_score
                .partial_cmp(&score)
                .unwrap_or(Ordering::Equal)
                .then_with(texts);
            if order == Ordering::Greater {
                return Err("a sorted set that is not in order");
            }
        }
        last = Some((score, member));
    }
    Ok(())
}

fn score_of(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(number as f64),
        Value::Bytes(text) => number::parse_f64(text),
    }
}

fn ziplist(block: &Block<'_>, builder: &mut ZsetBuilder) -> Result<(), LoadError> {
    let (mut member, mut wrong): (Option<Value<'_>>, _) = (None, None);
    ziplist::read(block.bytes, |value| {
        let Some(text) = member.take() else {
            member = Some(value);
            return;
        };
        match score_of(value) {
            None => wrong = Some(NO_SCORE),
            Some(score) if text.with_text(|text| builder.push(text, score)).is_err() => wrong = Some(TWICE),
            Some(_) => {}
        }
    })
    .map_err(|damage| block.damaged(damage))?;
    if member.is_some() {
        wrong = Some("a sorted set with a member without a score");
    }
    wrong.map_or(Ok(()), |what| Err(block.corrupt(what)))
}
