//! What DUMP answers and RESTORE takes: one value, the version, a checksum of both.
//!
//! ```text
//! type (1)  value (as in a file)  version (2, little-endian)  CRC-64 of all before (8, little-endian)
//! ```

use crate::decode::Home;
use crate::encode::{Encoder, FieldExpiries, type_byte};
use crate::error::LoadError;
use crate::format::{Format, VALKEY_VERSION, VERSION_WRITTEN, ValueType};
use crate::input::StringRef;
use crate::output::{Compression, StringWriter};
use crate::reader::{Reader, Verify};
use ds::crc64::crc64;
use keyspace::{NewValue, ValueRef};

const FOOTER_BYTES: usize = 10;

/// Why a payload is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// Its version is not read, or its checksum is wrong: "DUMP payload version or checksum are wrong".
    VersionOrChecksum,
    /// Its value makes no sense: "Bad data format".
    Format(LoadError),
    /// Its value is a module's.
    Module,
}

/// Appends the payload of `value` to `out`. A hash with expiring fields is written as Valkey 9 does.
pub fn write_payload(out: &mut Vec<u8>, value: ValueRef<'_>, compression: Compression) {
    let from = out.len();
    let expires = matches!(value, ValueRef::Hash(fields) if fields.expiring_len() > 0);
    let (form, version) = if expires {
        (FieldExpiries::Valkey, VALKEY_VERSION)
    } else {
        (FieldExpiries::Refused, VERSION_WRITTEN)
    };
    let mut body = Vec::new();
    let mut encoder = Encoder {
        out: &mut body,
        strings: &mut StringWriter::new(compression),
        gathered: &mut Vec::new(),
    };
    let type_byte = type_byte(value, form).expect("the form suits the value, which was just looked at");
    encoder.value(value, form).expect("appending to memory does not fail");
    out.push(type_byte);
    out.extend_from_slice(&body);
    out.extend_from_slice(&version.to_le_bytes());
    let sum = crc64(0, &out[from..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// A payload whose version and checksum are right.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    format: Format,
    type_byte: u8,
    body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Looks at the end of `payload`; its checksum is to be right.
    ///
    /// # Errors
    /// [`PayloadError::VersionOrChecksum`].
    pub fn open(payload: &'a [u8]) -> Result<Self, PayloadError> {
        Self::open_as(payload, Verify::Checksum)
    }

    /// As [`Self::open`], the checksum perhaps being of no interest.
    ///
    /// # Errors
    /// [`PayloadError::VersionOrChecksum`].
    pub fn open_as(payload: &'a [u8], verify: Verify) -> Result<Self, PayloadError> {
        let refused = PayloadError::VersionOrChecksum;
        let Some((front, footer)) = payload.split_last_chunk::<FOOTER_BYTES>() else {
            return Err(refused);
        };
        let [version_low, version_high, sum @ ..] = footer;
        let summed = &payload[..payload.len() - sum.len()];
        let format = Format::of_payload(u16::from_le_bytes([*version_low, *version_high]));
        let (Some(format), Some((type_byte, body))) = (format, front.split_first()) else {
            return Err(refused);
        };
        if verify == Verify::Checksum && crc64(0, summed) != u64::from_le_bytes(*sum) {
            return Err(refused);
        }
        Ok(Self {
            format,
            type_byte: *type_byte,
            body,
        })
    }

    /// Hands the value to `take`, made for `home`.
    ///
    /// # Errors
    /// [`PayloadError::Format`] or [`PayloadError::Module`].
    pub fn read<T>(&self, home: &Home, take: impl FnOnce(NewValue<'_>) -> T) -> Result<T, PayloadError> {
        let corrupt = |what| PayloadError::Format(LoadError::Corrupt { at: 0, what });
        let mut reader = Reader::of_value(self.body, self.format);
        match ValueType::from_byte(self.type_byte, self.format.family) {
            None => Err(corrupt("an unknown type")),
            Some(ValueType::Module | ValueType::ModulePreGa) => Err(PayloadError::Module),
            Some(ValueType::String) => {
                let value = reader.lone_string().map_err(PayloadError::Format)?;
                Ok(take(match value {
                    StringRef::Int(number) => NewValue::Int(number),
                    StringRef::Bytes(bytes) => NewValue::Bytes(bytes),
                }))
            }
            Some(collection) => {
                let taken = reader.lone_collection(collection, home, |value| value.map(take));
                taken
                    .map_err(PayloadError::Format)?
                    .ok_or(corrupt("a key with nothing in it"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(value: ValueRef<'_>) -> Vec<u8> {
        let mut out = b"kept".to_vec();
        write_payload(&mut out, value, Compression::Lzf);
        assert!(out.starts_with(b"kept"));
        out.split_off(4)
    }

    fn restore(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
        let home = Home::nowhere(keyspace::Encodings::default());
        Payload::open(payload)?.read(&home, |value| match value {
            NewValue::Int(number) => number.to_string().into_bytes(),
            NewValue::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        })
    }

    /// As stock 7.0.15 answers `DUMP` of the values 10, hello and nothing.
    #[test]
    fn payloads_are_those_of_stock() {
        assert_eq!(dump(ValueRef::Int(10)), b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb");
        assert_eq!(dump(ValueRef::Bytes(b"hello")), b"\x00\x05hello\n\x00cr\xdfve4 \n");
        assert_eq!(dump(ValueRef::Bytes(b"")), b"\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda");
    }

    #[test]
    fn payloads_come_back_and_damage_is_seen() {
        for value in [&b""[..], b"x", b"-123456789012", &[b'z'; 5000]] {
            let payload = dump(ValueRef::Bytes(value));
            assert_eq!(restore(&payload).unwrap(), value);
            for bit in 0..payload.len() * 8 {
                let mut damaged = payload.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    matches!(restore(&damaged), Err(PayloadError::VersionOrChecksum)),
                    "bit {bit}"
                );
            }
            for end in 0..payload.len() {
                assert!(matches!(restore(&payload[..end]), Err(PayloadError::VersionOrChecksum)));
            }
        }
    }

    #[test]
    fn what_cannot_be_restored_says_so() {
        let signed = |body: &[u8], version: u16| {
            let mut payload = body.to_vec();
            payload.extend_from_slice(&version.to_le_bytes());
            payload.extend_from_slice(&crc64(0, &payload).to_le_bytes());
            payload
        };
        assert!(matches!(
            restore(&signed(b"\0\x01x", 13)),
            Err(PayloadError::VersionOrChecksum)
        ));
        assert!(matches!(
            restore(&signed(b"", 10)),
            Err(PayloadError::VersionOrChecksum)
        ));
        assert!(matches!(restore(&signed(b"\0\x05x", 10)), Err(PayloadError::Format(_))));
        assert!(matches!(
            restore(&signed(b"\xf0\x05x", 10)),
            Err(PayloadError::Format(_))
        ));
        assert!(matches!(restore(&signed(b"\x02\0", 10)), Err(PayloadError::Format(_))));
        assert!(matches!(restore(&signed(b"\x07\0", 10)), Err(PayloadError::Module)));
        assert_eq!(restore(&signed(b"\0\x01x", 1)).unwrap(), b"x");
        assert_eq!(restore(&signed(b"\0\x01x", 80)).unwrap(), b"x");
    }
}
