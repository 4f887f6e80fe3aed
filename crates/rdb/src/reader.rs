//! RDB data, record by record: pulled, in bounded memory, from whatever comes.
//!
//! ```text
//! magic, version            9 bytes: REDIS0010, VALKEY080
//! FA name value             aux fields: two strings each
//! F5 code                   function libraries
//! FE n  FB keys expiring    a database begins; how large it is
//! FC ms | F8 idle | F9 freq type key value
//! ...                       what precedes a key belongs to it
//! FF sum                    the end; from version 5 on, CRC-64 of all before
//! ```
//!
//! A key's record comes before its value. The value is then read ([`Reader::string`]) or, if the next record is asked
//! for, passed over: every type of every version can be passed over, also those that have no home here.

use crate::decode::{self, Home, Scratch};
use crate::error::LoadError;
use crate::format::{CHECKSUM_SINCE, Family, Format, HEADER_BYTES, ModuleId, ValueType, module_part, opcode};
use crate::input::{Input, StringHead, StringRef};
use base::Millis;
use ds::NewValue;
use std::io::Read;

/// What RDB data consists of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A fact about the data. Unknown ones are to be ignored.
    Aux {
        /// Its name.
        name: &'a [u8],
        /// Its value as text.
        value: &'a [u8],
    },
    /// The keys that follow are in this database.
    SelectDb(u64),
    /// How large the database is; a hint.
    Resize {
        /// The number of keys.
        keys: u64,
        /// The number of keys with an expiry.
        expiring: u64,
    },
    /// How large a hash slot is; a hint.
    Slot {
        /// The slot.
        slot: u64,
        /// The number of keys.
        keys: u64,
        /// The number of keys with an expiry.
        expiring: u64,
    },
    /// The source of a function library.
    Function(&'a [u8]),
    /// Data that a module keeps beside the keys; passed over.
    ModuleAux(ModuleId),
    /// The state of a slot that Valkey was moving; passed over.
    SlotImport,
    /// A key ([`Reader::key`]), its value to be read or passed over.
    Key(KeyHead),
    /// The end; all bytes were read.
    End(Checksum),
}

/// What is known of a key before its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHead {
    /// When it expires, if it does.
    pub expiry: Option<Millis>,
    /// Seconds since it was last used, as an LRU policy counts them.
    pub idle_seconds: Option<u64>,
    /// How often it is used, as an LFU policy counts it.
    pub frequency: Option<u8>,
    /// How the value is laid out.
    pub value_type: ValueType,
    /// The number of the type.
    pub type_byte: u8,
}

/// What the end said of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Verified,
    /// It was switched off by the writer.
    Disabled,
    /// It was not looked at, as asked.
    Ignored,
    /// The version has none.
    Absent,
}

/// Whether the checksum at the end is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It must be right, unless the writer switched it off.
    Checksum,
    /// It may be anything.
    Nothing,
}

/// A string value, as it comes.
#[derive(Debug)]
pub enum StringValue<'a> {
    /// All of it: the key, and the string.
    Whole(&'a [u8], StringRef<'a>),
    /// So many bytes, to be read by [`Reader::piece`].
    Long(u64),
}

/// What of the last key's value is still to come.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Nothing,
    Value(ValueType),
    Bytes(u64),
    Ended,
}

/// Strings above this length are handed out in pieces.
const WHOLE_STRING_MAX: u64 = 64 * 1024;

/// Reads RDB data record by record.
pub struct Reader<R> {
    input: Input<R>,
    format: Format,
    verify: Verify,
    pending: Pending,
    key: Vec<u8>,
    name: Vec<u8>,
    scratch: Scratch,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If there is none, or the version is not one that is read.
    pub fn open(input: R, verify: Verify) -> Result<Self, LoadError> {
        let mut input = Input::new(input);
        let header: [u8; HEADER_BYTES] = input.array()?;
        let format = Format::parse(&header)?;
        Ok(Self::of(input, format, verify))
    }

    /// A reader for a single value: the body of a DUMP payload.
    pub(crate) fn of_value(input: R, format: Format) -> Self {
        Self::of(Input::new(input), format, Verify::Nothing)
    }

    fn of(input: Input<R>, format: Format, verify: Verify) -> Self {
        Self {
            input,
            format,
            verify,
            pending: Pending::Nothing,
            key: Vec::new(),
            name: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Whose format it is, and which version.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many bytes were read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.input.at()
    }

    /// The key of the last [`Record::Key`].
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The source, and what was taken from it beyond what was read.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        self.input.into_parts()
    }

    /// The next record. After the end there is nothing more: it is a mistake to ask, and answered with an error.
    ///
    /// # Errors
    /// Any [`LoadError`] that says how the data is wrong or could not be read.
    pub fn next_record(&mut self) -> Result<Record<'_>, LoadError> {
        self.pass_value()?;
        let mut head = Attributes::default();
        loop {
            match self.input.byte()? {
                opcode::EXPIRE_SECONDS => {
                    let seconds = i32::from_le_bytes(self.input.array()?);
                    head.expiry = Some(Millis(i64::from(seconds) * 1000)).filter(|_| seconds != -1);
                }
                opcode::EXPIRE_MILLIS => {
                    let millis = self.input.millis()?;
                    head.expiry = Some(Millis(millis)).filter(|_| millis != -1);
                }
                opcode::IDLE => head.idle_seconds = Some(self.input.length()?),
                opcode::FREQUENCY => head.frequency = Some(self.input.byte()?),
                byte if byte >= opcode::UPDATE => return self.special_record(byte),
                byte => return self.key_record(byte, head),
            }
        }
    }

    fn special_record(&mut self, byte: u8) -> Result<Record<'_>, LoadError> {
        match byte {
            opcode::AUX => {
                self.name.clear();
                self.name.extend_from_slice(self.input.text()?);
                Ok(Record::Aux {
                    name: &self.name,
                    value: self.input.text()?,
                })
            }
            opcode::SELECT_DB => Ok(Record::SelectDb(self.input.length()?)),
            opcode::RESIZE_DB => Ok(Record::Resize {
                keys: self.input.length()?,
                expiring: self.input.length()?,
            }),
            opcode::SLOT_INFO => {
                let slot = self.input.length()?;
                Ok(Record::Slot {
                    slot,
                    keys: self.input.length()?,
                    expiring: self.input.length()?,
                })
            }
            opcode::FUNCTION => Ok(Record::Function(self.input.text()?)),
            opcode::FUNCTION_PRE_GA => Err(LoadError::Unsupported {
                at: self.input.at() - 1,
                what: "a function library in the format of 7.0 release candidates".into(),
            }),
            opcode::MODULE_AUX => self.module_aux(),
            opcode::SLOT_IMPORT if self.format.family == Family::Valkey => {
                pass_slot_import(&mut self.input)?;
                Ok(Record::SlotImport)
            }
            opcode::EOF => self.end().map(Record::End),
            _ => Err(self.input.corrupt("an unknown record, perhaps of a newer version")),
        }
    }

    fn module_aux(&mut self) -> Result<Record<'_>, LoadError> {
        let module = ModuleId(self.input.length()?);
        if self.input.length()? != module_part::UNSIGNED {
            return Err(self.input.corrupt("module data does not say when to load it"));
        }
        self.input.length()?;
        pass_module_parts(&mut self.input)?;
        Ok(Record::ModuleAux(module))
    }

    fn end(&mut self) -> Result<Checksum, LoadError> {
        self.pending = Pending::Ended;
        if self.format.version < CHECKSUM_SINCE {
            return Ok(Checksum::Absent);
        }
        let found = if self.verify == Verify::Checksum {
            self.input.sum()
        } else {
            0
        };
        let expected = u64::from_le_bytes(self.input.array()?);
        match (self.verify, expected) {
            (Verify::Nothing, _) => Ok(Checksum::Ignored),
            (Verify::Checksum, 0) => Ok(Checksum::Disabled),
            (Verify::Checksum, _) if expected == found => Ok(Checksum::Verified),
            (Verify::Checksum, _) => Err(LoadError::BadChecksum { expected, found }),
        }
    }

    #[inline]
    fn key_record(&mut self, byte: u8, attributes: Attributes) -> Result<Record<'_>, LoadError> {
        let Some(value_type) = ValueType::from_byte(byte, self.format.family) else {
            return Err(self.input.corrupt("an unknown type, perhaps of a newer version"));
        };
        self.key.clear();
        let key = self.input.text()?;
        self.key.extend_from_slice(key);
        self.pending = Pending::Value(value_type);
        Ok(Record::Key(KeyHead {
            expiry: attributes.expiry,
            idle_seconds: attributes.idle_seconds,
            frequency: attributes.frequency,
            value_type,
            type_byte: byte,
        }))
    }

    /// The value of the last key, which must be a string that was not read yet.
    ///
    /// # Errors
    /// As [`Self::next_record`].
    pub fn string(&mut self) -> Result<StringValue<'_>, LoadError> {
        assert!(
            matches!(self.pending, Pending::Value(ValueType::String)),
            "a string is read once, and only where there is one"
        );
        self.pending = Pending::Nothing;
        match self.input.string_head()? {
            StringHead::Raw(bytes) if bytes > WHOLE_STRING_MAX => {
                self.pending = Pending::Bytes(bytes);
                Ok(StringValue::Long(bytes))
            }
            head => {
                let value = self.input.string_after(head)?;
                Ok(StringValue::Whole(&self.key, value))
            }
        }
    }

    /// The value of the last key, which must be neither a string nor a module's and not read yet: `then` gets the key
    /// and the value, or `None` if nothing is in it.
    ///
    /// # Errors
    /// As [`Self::next_record`].
    pub fn collection<T>(
        &mut self,
        home: &Home,
        then: impl FnOnce(&[u8], Option<NewValue<'_>>) -> T,
    ) -> Result<T, LoadError> {
        let Pending::Value(value_type) = std::mem::replace(&mut self.pending, Pending::Nothing) else {
            panic!("a collection is read once, and only where there is one");
        };
        let key = &self.key;
        decode::collection(&mut self.input, &mut self.scratch, value_type, home, |value| {
            then(key, value)
        })
    }

    /// The collection that is all there is.
    pub(crate) fn lone_collection<T>(
        &mut self,
        value_type: ValueType,
        home: &Home,
        then: impl FnOnce(Option<NewValue<'_>>) -> T,
    ) -> Result<T, LoadError> {
        decode::collection(&mut self.input, &mut self.scratch, value_type, home, then)
    }

    /// The string that is all there is.
    pub(crate) fn lone_string(&mut self) -> Result<StringRef<'_>, LoadError> {
        self.input.string()
    }

    /// The next piece of a long string; `None` after the last.
    ///
    /// # Errors
    /// As [`Self::next_record`].
    pub fn piece(&mut self) -> Result<Option<&[u8]>, LoadError> {
        let Pending::Bytes(left) = self.pending else {
            return Ok(None);
        };
        let piece = self.input.piece(left)?;
        let left = left - piece.len() as u64;
        self.pending = if left == 0 {
            Pending::Nothing
        } else {
            Pending::Bytes(left)
        };
        Ok(Some(piece))
    }

    /// The module that wrote the value of the last key, which must be a module's; the value stays unread.
    ///
    /// # Errors
    /// As [`Self::next_record`].
    pub fn module(&mut self) -> Result<ModuleId, LoadError> {
        let id = ModuleId(self.input.length()?);
        self.pending = Pending::Nothing;
        Ok(id)
    }

    /// Passes over what is left of the last key's value.
    fn pass_value(&mut self) -> Result<(), LoadError> {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => Ok(()),
            Pending::Bytes(left) => self.input.skip(left),
            Pending::Value(value_type) => pass_value(&mut self.input, value_type),
            Pending::Ended => {
                self.pending = Pending::Ended;
                Err(self.input.corrupt("the end was read already"))
            }
        }
    }
}

/// What stands before a key.
#[derive(Default)]
struct Attributes {
    expiry: Option<Millis>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

/// Passes over a value. Compressed strings are unpacked on the way, so that their damage shows.
fn pass_value<R: Read>(input: &mut Input<R>, value_type: ValueType) -> Result<(), LoadError> {
    use ValueType as V;
    match value_type {
        V::String
        | V::HashZipmap
        | V::ListZiplist
        | V::SetIntset
        | V::ZsetZiplist
        | V::HashZiplist
        | V::HashListpack
        | V::ZsetListpack
        | V::SetListpack
        | V::HashListpackExPreGa => pass_string(input),
        V::HashListpackEx => {
            input.millis()?;
            pass_string(input)
        }
        V::List | V::Set | V::ListQuicklist => pass_each(input, pass_string),
        V::ListQuicklist2 => pass_each(input, |input| {
            input.length()?;
            pass_string(input)
        }),
        V::Hash => pass_each(input, pass_pair),
        V::Zset => pass_each(input, |input| {
            pass_string(input)?;
            input.skip(8)
        }),
        V::ZsetText => pass_each(input, |input| {
            pass_string(input)?;
            pass_score_text(input)
        }),
        V::HashExpiring => pass_each(input, |input| {
            pass_pair(input)?;
            input.skip(8)
        }),
        V::HashMetadata | V::HashMetadataPreGa => {
            if value_type == V::HashMetadata {
                input.millis()?;
            }
            pass_each(input, |input| {
                input.length()?;
                pass_pair(input)
            })
        }
        V::Stream1 | V::Stream2 | V::Stream3 => pass_stream(input, value_type),
        V::Module => {
            input.length()?;
            pass_module_parts(input)
        }
        V::ModulePreGa => Err(input.corrupt("module data in the format of 4.0 release candidates")),
    }
}

fn pass_each<R: Read>(
    input: &mut Input<R>,
    mut pass: impl FnMut(&mut Input<R>) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    for _ in 0..input.length()? {
        pass(input)?;
    }
    Ok(())
}

fn pass_string<R: Read>(input: &mut Input<R>) -> Result<(), LoadError> {
    match input.string_head()? {
        StringHead::Int(_) => Ok(()),
        StringHead::Raw(bytes) => input.skip(bytes),
        head @ StringHead::Lzf { .. } => input.string_after(head).map(drop),
    }
}

fn pass_pair<R: Read>(input: &mut Input<R>) -> Result<(), LoadError> {
    pass_string(input)?;
    pass_string(input)
}

/// A score as text behind its length, where 253 to 255 mean not-a-number and the infinities.
fn pass_score_text<R: Read>(input: &mut Input<R>) -> Result<(), LoadError> {
    match input.byte()? {
        253..=255 => Ok(()),
        bytes => input.skip(u64::from(bytes)),
    }
}

fn pass_stream<R: Read>(input: &mut Input<R>, value_type: ValueType) -> Result<(), LoadError> {
    let lengths = |input: &mut Input<R>, count: usize| (0..count).try_for_each(|_| input.length().map(drop));
    let later = value_type >= ValueType::Stream2;
    pass_each(input, pass_pair)?;
    // How long it is, its last id; then its first id, the highest one deleted, how many were ever added.
    lengths(input, 3)?;
    if later {
        lengths(input, 5)?;
    }
    // Groups: name, last id given out, how many were read; what is pending; the consumers.
    pass_each(input, |input| {
        pass_string(input)?;
        lengths(input, if later { 3 } else { 2 })?;
        pass_each(input, |input| {
            input.skip(16 + 8)?;
            lengths(input, 1)
        })?;
        pass_each(input, |input| {
            pass_string(input)?;
            input.skip(if value_type == ValueType::Stream3 { 16 } else { 8 })?;
            pass_each(input, |input| input.skip(16))
        })
    })
}

fn pass_module_parts<R: Read>(input: &mut Input<R>) -> Result<(), LoadError> {
    loop {
        match input.length()? {
            module_part::END => return Ok(()),
            module_part::SIGNED | module_part::UNSIGNED => drop(input.length()?),
            module_part::FLOAT => input.skip(4)?,
            module_part::DOUBLE => input.skip(8)?,
            module_part::STRING => pass_string(input)?,
            _ => return Err(input.corrupt("module data of an unknown kind")),
        }
    }
}

/// The name of a job, and ranges of slots.
fn pass_slot_import<R: Read>(input: &mut Input<R>) -> Result<(), LoadError> {
    pass_string(input)?;
    pass_each(input, |input| {
        input.length()?;
        input.length().map(drop)
    })
}
