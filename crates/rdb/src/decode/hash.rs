//! Hashes.
//!
//! ```text
//! fields                  count, then field value …
//! expiring (Valkey)       count, then field value moment(8) …   moment: milliseconds since the epoch, -1 for none
//! metadata (Redis)        soonest(8) count, then after field value …    after: moment - soonest + 1, 0 for none
//!   of 7.4's candidates   count, then moment field value …              0 for none
//! blocks                  a zipmap; a ziplist or listpack of field value …
//! listpack with expiries  soonest(8), a listpack of field value moment …    0 for none
//!   of 7.4's candidates   without soonest
//! ```

use super::{Block, Home, Scratch, fits};
use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::Input;
use crate::{ziplist, zipmap};
use base::Millis;
use ds::listpack::{Listpack, Value};
use ds::{NewValue, Pack};
use keyspace::hash::HashBuilder;
use std::io::Read;

const TWICE: &str = "a field that is in its hash twice";

/// The latest moment that a field can expire at.
const EXPIRY_MAX: u64 = (1 << 46) - 1;

pub(super) fn read<R: Read, T>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    use ValueType as V;
    let mut builder = builder(home);
    match value_type {
        V::HashListpack => return listpack(&Block::read(input, value_type)?, scratch, home, then),
        V::HashZipmap => zipmap(&Block::read(input, value_type)?, &mut builder)?,
        V::HashZiplist => ziplist(&Block::read(input, value_type)?, &mut builder)?,
        V::HashListpackEx => {
            input.millis()?;
            listpack_ex(&Block::read(input, value_type)?, scratch, home, &mut builder)?;
        }
        V::HashListpackExPreGa => listpack_ex(&Block::read(input, value_type)?, scratch, home, &mut builder)?,
        _ => fields(input, scratch, value_type, home, &mut builder)?,
    }
    Ok(if builder.is_empty() {
        then(None)
    } else {
        then(Some(builder.finish()))
    })
}

fn builder(home: &Home) -> HashBuilder {
    HashBuilder::new(&home.encodings, home.new_table())
}

/// The forms of one field after the other.
fn fields<R: Read>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    builder: &mut HashBuilder,
) -> Result<(), LoadError> {
    let soonest = match value_type {
        ValueType::HashMetadata => input.millis()?,
        _ => 1,
    };
    for _ in 0..input.length()? {
        let mut expiry = match value_type {
            ValueType::HashMetadata | ValueType::HashMetadataPreGa => after(input.length()?, soonest),
            _ => Ok(None),
        }
        .map_err(|what| input.corrupt(what))?;
        scratch.text.clear();
        scratch.text.extend_from_slice(input.text()?);
        let at = input.at();
        let added = if value_type == ValueType::HashExpiring {
            // The moment comes last, so the value has to wait, too.
            let value = input.text()?.to_vec();
            let millis = input.millis()?;
            expiry = (millis != -1).then_some(Millis(millis));
            home.drops(expiry) || builder.push(&scratch.text, &value, expiry).is_ok()
        } else {
            let value = input.text()?;
            home.drops(expiry) || builder.push(&scratch.text, value, expiry).is_ok()
        };
        if !added {
            return Err(LoadError::Corrupt { at, what: TWICE });
        }
    }
    Ok(())
}

/// A moment, given as the time after the one before `soonest`; 0 for none.
fn after(after: u64, soonest: i64) -> Result<Option<Millis>, &'static str> {
    if after == 0 {
        return Ok(None);
    }
    let moment = u64::try_from(soonest)
        .ok()
        .and_then(|soonest| after.checked_add(soonest));
    match moment {
        Some(moment) if moment - 1 <= EXPIRY_MAX => Ok(Some(Millis((moment - 1) as i64))),
        _ => Err("a field that expires beyond the end of time"),
    }
}

fn listpack<T>(
    block: &Block<'_>,
    scratch: &mut Scratch,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let (pack, fields) = block.unique_listpack(2, home, scratch)?;
    if fields == 0 {
        return Ok(then(None));
    }
    if fits(fields, home.encodings.hash_max_listpack_entries) {
        return Ok(then(Some(NewValue::Pack(Pack::Hash, pack.bytes()))));
    }
    let mut builder = HashBuilder::from_pack(pack.bytes().to_vec(), &home.encodings, home.new_table());
    Ok(then(Some(builder.finish())))
}

fn zipmap(block: &Block<'_>, builder: &mut HashBuilder) -> Result<(), LoadError> {
    let mut unique = true;
    zipmap::read(block.bytes, |field, value| {
        unique &= builder.push(field, value, None).is_ok()
    })
    .map_err(|damage| block.damaged(damage))?;
    unique.then_some(()).ok_or(block.corrupt(TWICE))
}

fn ziplist(block: &Block<'_>, builder: &mut HashBuilder) -> Result<(), LoadError> {
    let mut unique = true;
    let mut field: Option<Value<'_>> = None;
    ziplist::read(block.bytes, |value| match field.take() {
        None => field = Some(value),
        Some(field) => unique &= push(builder, field, value, None),
    })
    .map_err(|damage| block.damaged(damage))?;
    if field.is_some() {
        return Err(block.corrupt("a hash with a field without a value"));
    }
    unique.then_some(()).ok_or(block.corrupt(TWICE))
}

fn listpack_ex(
    block: &Block<'_>,
    scratch: &mut Scratch,
    home: &Home,
    builder: &mut HashBuilder,
) -> Result<(), LoadError> {
    let (pack, _) = block.unique_listpack(3, home, scratch)?;
    for (field, value, moment) in triples(pack) {
        let moment = match moment {
            Value::Int(moment) => u64::try_from(moment).ok(),
            Value::Bytes(_) => None,
        };
        let expiry = moment
            .ok_or("a field that expires at no moment")
            .and_then(|moment| after(moment, 1))
            .map_err(|what| block.corrupt(what))?;
        if !home.drops(expiry) && !push(builder, field, value, expiry) {
            return Err(block.corrupt(TWICE));
        }
    }
    Ok(())
}

fn triples(pack: Listpack<'_>) -> impl Iterator<Item = (Value<'_>, Value<'_>, Value<'_>)> {
    let mut values = pack.iter().map(|(_, value)| value);
    std::iter::from_fn(move || Some((values.next()?, values.next()?, values.next()?)))
}

fn push(builder: &mut HashBuilder, field: Value<'_>, value: Value<'_>, expiry: Option<Millis>) -> bool {
    field.with_text(|field| value.with_text(|value| builder.push(field, value, expiry).is_ok()))
}
