//! Reading RDB data only to see whether it is whole: what `redis-check-rdb` does.

use crate::error::LoadError;
use crate::format::Format;
use crate::reader::{Checksum, KeyHead, Reader, Record, Verify};
use base::Millis;
use std::io::Read;

/// Something that the check came past.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckEvent<'a> {
    /// An aux field.
    Aux(&'a [u8], &'a [u8]),
    /// A database begins.
    SelectDb(u64),
    /// A function library of so many bytes.
    Function(usize),
    /// A key, and what precedes its value.
    Key(&'a [u8], KeyHead),
}

/// What the data held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Its format.
    pub format: Format,
    /// How many keys.
    pub keys: u64,
    /// How many of them expire.
    pub expiring: u64,
    /// How many of them have expired by the time given.
    pub expired: u64,
    /// How many function libraries.
    pub functions: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What the end said.
    pub checksum: Checksum,
}

/// Reads all of `input`, telling `event` the offset and what begins there. `now` decides what has expired.
///
/// Follows the structure of every type; what is inside packed blocks (listpacks and their like) is not looked at.
///
/// # Errors
/// What stopped it.
pub fn check(
    input: impl Read,
    now: Millis,
    event: &mut dyn FnMut(u64, CheckEvent<'_>),
) -> Result<CheckReport, LoadError> {
    let mut reader = Reader::open(input, Verify::Checksum)?;
    let mut report = CheckReport {
        format: reader.format(),
        keys: 0,
        expiring: 0,
        expired: 0,
        functions: 0,
        bytes: 0,
        checksum: Checksum::Absent,
    };
    loop {
        let at = reader.bytes_read();
        match reader.next_record()? {
            Record::Aux { name, value } => event(at, CheckEvent::Aux(name, value)),
            Record::SelectDb(index) => event(at, CheckEvent::SelectDb(index)),
            Record::Function(code) => {
                report.functions += 1;
                event(at, CheckEvent::Function(code.len()));
            }
            Record::Key(head) => {
                report.keys += 1;
                report.expiring += u64::from(head.expiry.is_some());
                report.expired += u64::from(head.expiry.is_some_and(|expiry| expiry < now));
                event(at, CheckEvent::Key(reader.key(), head));
            }
            Record::End(checksum) => {
                report.checksum = checksum;
                report.bytes = reader.bytes_read();
                return Ok(report);
            }
            Record::Resize { .. } | Record::Slot { .. } | Record::ModuleAux(_) | Record::SlotImport => {}
        }
    }
}
