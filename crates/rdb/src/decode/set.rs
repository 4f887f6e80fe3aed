//! Sets.
//!
//! ```text
//! members     count, then member …
//! blocks      an intset; a listpack of member …
//! ```

use super::{Block, Home, Scratch, fits};
use crate::error::LoadError;
use crate::format::ValueType;
use crate::input::Input;
use ds::intset::{self, Intset};
use ds::listpack::Value;
use ds::{NewValue, Pack};
use keyspace::SetBuilder;
use std::io::Read;

const TWICE: &str = "a member that is in its set twice";

pub(super) fn read<R: Read, T>(
    input: &mut Input<R>,
    scratch: &mut Scratch,
    value_type: ValueType,
    home: &Home,
    then: impl FnOnce(Option<NewValue<'_>>) -> T,
) -> Result<T, LoadError> {
    let mut builder = SetBuilder::new(home.new_table(), home.encodings);
    match value_type {
        ValueType::SetIntset => return intset(&Block::read(input, value_type)?, home, then),
        ValueType::SetListpack => listpack(&Block::read(input, value_type)?, scratch, home, &mut builder)?,
        _ => {
            for _ in 0..input.length()? {
                let at = input.at();
                if !builder.add(input.text()?) {
                    return Err(LoadError::Corrupt { at, what: TWICE });
                }
            }
        }
    }
    Ok(finish(builder, then))
}

fn finish<T>(builder: SetBuilder, then: impl FnOnce(Option<NewValue<'_>>) -> T) -> T {
    if builder.get().is_empty() {
        return then(None);
    }
    builder.with_value(|value| then(Some(value)))
}

fn intset<T>(block: &Block<'_>, home: &Home, then: impl FnOnce(Option<NewValue<'_>>) -> T) -> Result<T, LoadError> {
    let members = intset::validate(block.bytes).map_err(|damage| block.damaged(damage))?;
    if fits(members, home.encodings.set_max_intset_entries) {
        return Ok(then(Some(NewValue::Pack(Pack::Intset, block.bytes))));
    }
    let mut builder = SetBuilder::new(home.new_table(), home.encodings);
    for member in Intset::new(block.bytes).iter() {
        Value::Int(member).with_text(|member| builder.add(member));
    }
    Ok(finish(builder, then))
}

fn listpack(block: &Block<'_>, scratch: &mut Scratch, home: &Home, builder: &mut SetBuilder) -> Result<(), LoadError> {
    let (pack, _) = block.unique_listpack(1, home, scratch)?;
    for (_, member) in pack {
        if !member.with_text(|member| builder.add(member)) {
            return Err(block.corrupt(TWICE));
        }
    }
    Ok(())
}
