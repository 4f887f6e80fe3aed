//! The numbers of the format: versions, opcodes, value types, string encodings.

use crate::error::LoadError;
use std::fmt;

/// The version that is written: Redis 7, Redis 8 and Valkey 9 all read it.
pub const VERSION_WRITTEN: u16 = 10;

/// The newest version of the Redis family that is read.
pub const REDIS_VERSION_MAX: u16 = 12;

/// The one version of Valkey's own that is read.
pub const VALKEY_VERSION: u16 = 80;

/// The first version that ends with a checksum.
pub(crate) const CHECKSUM_SINCE: u16 = 5;

/// Bytes of the header: the magic word and the version in digits.
pub(crate) const HEADER_BYTES: usize = 9;

/// Who defined the version: some type numbers mean different things to the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `REDIS0001` to `REDIS0012`.
    Redis,
    /// `VALKEY080`.
    Valkey,
}

/// The format of one RDB file or stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Whose numbering it uses.
    pub family: Family,
    /// Its version in that numbering.
    pub version: u16,
}

impl Format {
    /// Reads the nine bytes at the beginning.
    ///
    /// # Errors
    /// [`LoadError::BadMagic`] if they are something else, [`LoadError::Version`] if the version is not read.
    pub fn parse(header: &[u8; HEADER_BYTES]) -> Result<Self, LoadError> {
        let (family, digits) = if let Some(digits) = header.strip_prefix(b"REDIS") {
            (Family::Redis, digits)
        } else if let Some(digits) = header.strip_prefix(b"VALKEY") {
            (Family::Valkey, digits)
        } else {
            return Err(LoadError::BadMagic(*header));
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(LoadError::BadMagic(*header));
        }
        let version = digits
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let format = Self { family, version };
        if format.is_read() {
            Ok(format)
        } else {
            Err(LoadError::Version(format))
        }
    }

    /// The format of a DUMP payload, which has a version but no magic word.
    #[must_use]
    pub fn of_payload(version: u16) -> Option<Self> {
        let family = if version == VALKEY_VERSION {
            Family::Valkey
        } else {
            Family::Redis
        };
        Some(Self { family, version }).filter(|format| format.is_read())
    }

    fn is_read(self) -> bool {
        match self.family {
            Family::Redis => (1..=REDIS_VERSION_MAX).contains(&self.version),
            Family::Valkey => self.version == VALKEY_VERSION,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Redis => write!(f, "{}", self.version),
            Family::Valkey => write!(f, "{} of Valkey", self.version),
        }
    }
}

/// What may stand where a value type is expected, from the top of the byte's range down.
pub(crate) mod opcode {
    pub(crate) const EOF: u8 = 255;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EXPIRE_SECONDS: u8 = 253;
    pub(crate) const EXPIRE_MILLIS: u8 = 252;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const FREQUENCY: u8 = 249;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    pub(crate) const FUNCTION: u8 = 245;
    pub(crate) const SLOT_INFO: u8 = 244;
    /// Valkey's slot import state; from version 13 on, Redis' metadata of a key.
    pub(crate) const SLOT_IMPORT: u8 = 243;
    /// Valkey's, from version 81 on: a command within a save.
    pub(crate) const UPDATE: u8 = 242;
}

/// The two upper bits of a length: 6 bits here, 14 bits in two bytes, 32 or 64 bits following, or a special string.
pub(crate) mod length {
    pub(crate) const BITS_14: u8 = 0x40;
    pub(crate) const BITS_32: u8 = 0x80;
    pub(crate) const BITS_64: u8 = 0x81;
    pub(crate) const SPECIAL: u8 = 0xc0;
}

/// The special forms of a string.
pub(crate) mod special {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const LZF: u8 = 3;
}

/// The parts of a module's data.
pub(crate) mod module_part {
    pub(crate) const END: u64 = 0;
    pub(crate) const SIGNED: u64 = 1;
    pub(crate) const UNSIGNED: u64 = 2;
    pub(crate) const FLOAT: u64 = 3;
    pub(crate) const DOUBLE: u64 = 4;
    pub(crate) const STRING: u64 = 5;
}

/// How a value is laid out, whatever number its family gives that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum ValueType {
    String,
    List,
    Set,
    /// Scores as text.
    ZsetText,
    Hash,
    /// Scores as eight bytes.
    Zset,
    ModulePreGa,
    Module,
    HashZipmap,
    ListZiplist,
    SetIntset,
    ZsetZiplist,
    HashZiplist,
    ListQuicklist,
    Stream1,
    HashListpack,
    ZsetListpack,
    ListQuicklist2,
    Stream2,
    SetListpack,
    Stream3,
    /// Redis 7.4 release candidates: field expiries, absolute.
    HashMetadataPreGa,
    HashListpackExPreGa,
    /// Redis 7.4 and later: field expiries, relative to the soonest.
    HashMetadata,
    HashListpackEx,
    /// Valkey 9: field expiries, after each value.
    HashExpiring,
}

impl ValueType {
    /// The type that `byte` stands for in `family`; `None` if it stands for none.
    #[must_use]
    pub fn from_byte(byte: u8, family: Family) -> Option<Self> {
        Some(match (byte, family) {
            (0, _) => Self::String,
            (1, _) => Self::List,
            (2, _) => Self::Set,
            (3, _) => Self::ZsetText,
            (4, _) => Self::Hash,
            (5, _) => Self::Zset,
            (6, _) => Self::ModulePreGa,
            (7, _) => Self::Module,
            (9, _) => Self::HashZipmap,
            (10, _) => Self::ListZiplist,
            (11, _) => Self::SetIntset,
            (12, _) => Self::ZsetZiplist,
            (13, _) => Self::HashZiplist,
            (14, _) => Self::ListQuicklist,
            (15, _) => Self::Stream1,
            (16, _) => Self::HashListpack,
            (17, _) => Self::ZsetListpack,
            (18, _) => Self::ListQuicklist2,
            (19, _) => Self::Stream2,
            (20, _) => Self::SetListpack,
            (21, _) => Self::Stream3,
            (22, Family::Redis) => Self::HashMetadataPreGa,
            (23, Family::Redis) => Self::HashListpackExPreGa,
            (24, Family::Redis) => Self::HashMetadata,
            (25, Family::Redis) => Self::HashListpackEx,
            (22, Family::Valkey) => Self::HashExpiring,
            _ => return None,
        })
    }

    /// What the packed form of the value is called in errors.
    pub(crate) fn block_name(self) -> &'static str {
        match self {
            Self::HashZipmap => "Zipmap",
            Self::ListZiplist | Self::ListQuicklist => "List ziplist",
            Self::ListQuicklist2 => "List listpack",
            Self::SetIntset => "Intset",
            Self::SetListpack => "Set listpack",
            Self::ZsetZiplist => "Zset ziplist",
            Self::ZsetListpack => "Zset listpack",
            Self::HashZiplist => "Hash ziplist",
            Self::HashListpack | Self::HashListpackEx | Self::HashListpackExPreGa => "Hash listpack",
            Self::Stream1 | Self::Stream2 | Self::Stream3 => "Stream listpack",
            other => other.name(),
        }
    }

    /// What the value is to a user, as `TYPE` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List | Self::ListZiplist | Self::ListQuicklist | Self::ListQuicklist2 => "list",
            Self::Set | Self::SetIntset | Self::SetListpack => "set",
            Self::ZsetText | Self::Zset | Self::ZsetZiplist | Self::ZsetListpack => "zset",
            Self::Hash
            | Self::HashZipmap
            | Self::HashZiplist
            | Self::HashListpack
            | Self::HashMetadataPreGa
            | Self::HashListpackExPreGa
            | Self::HashMetadata
            | Self::HashListpackEx
            | Self::HashExpiring => "hash",
            Self::Stream1 | Self::Stream2 | Self::Stream3 => "stream",
            Self::ModulePreGa | Self::Module => "module",
        }
    }
}

/// The number under which a module saves: nine characters of six bits, then ten bits of its own version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleId(pub u64);

impl ModuleId {
    /// The module type's name of nine characters.
    #[must_use]
    pub fn name(self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..9)
            .map(|place| char::from(ALPHABET[(self.0 >> (58 - 6 * place)) as usize & 63]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        for version in 1..=12 {
            let header = format!("REDIS{version:04}");
            let format = Format::parse(header.as_bytes().try_into().unwrap()).unwrap();
            assert_eq!(
                format,
                Format {
                    family: Family::Redis,
                    version
                }
            );
        }
        assert_eq!(Format::parse(b"VALKEY080").unwrap().family, Family::Valkey);
        for refused in [
            b"REDIS0000",
            b"REDIS0013",
            b"REDIS0080",
            b"VALKEY079",
            b"VALKEY081",
            b"VALKEY011",
        ] {
            assert!(matches!(Format::parse(refused), Err(LoadError::Version(_))));
        }
        for foreign in [b"RODIS0010", b"REDIS001x", b"*1\r\n$4\r\nP", b"VALKEY 80"] {
            assert!(matches!(Format::parse(foreign), Err(LoadError::BadMagic(_))));
        }
        assert_eq!(Format::of_payload(10).unwrap().family, Family::Redis);
        assert_eq!(Format::of_payload(80).unwrap().family, Family::Valkey);
        assert_eq!(Format::of_payload(13), None);
    }

    #[test]
    fn type_22_is_read_by_family() {
        assert_eq!(
            ValueType::from_byte(22, Family::Redis),
            Some(ValueType::HashMetadataPreGa)
        );
        assert_eq!(ValueType::from_byte(22, Family::Valkey), Some(ValueType::HashExpiring));
        assert_eq!(ValueType::from_byte(24, Family::Valkey), None);
        assert_eq!(ValueType::from_byte(8, Family::Redis), None);
    }

    #[test]
    fn module_names() {
        // "AAAAAAAAB", version 3.
        assert_eq!(ModuleId((1 << 10) | 3).name(), "AAAAAAAAB");
        assert_eq!(ModuleId(u64::MAX).name(), "_________");
    }
}
