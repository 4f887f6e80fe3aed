//! Lists.
//!
//! ```text
//! elements                 count, then element …
//! one block                a ziplist of elements
//! blocks                   count, then ziplist …
//!   of version 10          count, then kind block …      kind 2: a listpack of elements; 1: one long element
//! ```

use super::{Block, Home};
use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::Input;
use crate::ziplist;
use ds::NewValue;
use ds::list::End;
use ds::listpack;
use keyspace::ListBuilder;
use std::io::Read;

/// Kinds of blocks.
pub(crate) const PLAIN: u64 = 1;
pub(crate) const PACKED: u64 = 2;

pub(super) fn read<R: Read, T>(
    input: &mut Input<R>,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let mut builder = ListBuilder::new(&home.encodings, home.table.account());
    let blocks = if value_type == ValueType::ListZiplist {
        1
    } else {
        input.length()?
    };
    for _ in 0..blocks {
        match value_type {
            ValueType::List => builder.push(End::Tail, input.text()?),
            ValueType::ListQuicklist2 => match input.length()? {
                PLAIN => {
                    let at = input.at();
                    let element = input.text()?;
                    if element.is_empty() {
                        let what = "an empty element in a block of its own";
                        return Err(LoadError::Corrupt { at, what });
                    }
                    builder.push(End::Tail, element);
                }
                PACKED => packed(&Block::read(input, value_type)?, &mut builder)?,
                _ => return Err(input.corrupt("a block of a list of an unknown kind")),
            },
            _ => old(&Block::read(input, value_type)?, &mut builder)?,
        }
    }
    Ok(if builder.is_empty() {
        then(None)
    } else {
        then(Some(builder.finish()))
    })
}

fn packed(block: &Block<'_>, builder: &mut ListBuilder) -> Result<(), LoadError> {
    let elements = listpack::validate(block.bytes).map_err(|damage| block.damaged(damage))?;
    // Empty blocks have been seen; stock passes over them, too.
    if elements > 0 {
        builder.push_pack(block.bytes);
    }
    Ok(())
}

fn old(block: &Block<'_>, builder: &mut ListBuilder) -> Result<(), LoadError> {
    let mut pack = listpack::init().to_vec();
    let elements = ziplist::read(block.bytes, |value| {
        value.with_text(|text| listpack::append(&mut pack, text));
    });
    if elements.map_err(|damage| block.damaged(damage))? > 0 {
        builder.push_pack(&pack);
    }
    Ok(())
}
