//! Reading arguments as the types that commands want.

use crate::error::{Error, Result};
use base::DbIndex;
use resp::Args;

/// What handlers ask of [`Args`].
pub trait ArgsExt<'a> {
    /// Word `at` as a key.
    fn key(self, at: usize) -> &'a [u8];
    /// Word `at` as an integer.
    fn int(self, at: usize) -> Result<i64>;
    /// Word `at` as an integer from `min` to `max`.
    fn ranged_int(self, at: usize, min: i64, max: i64) -> Result<i64>;
    /// Word `at` as how many of something, from 0 on.
    fn count(self, at: usize) -> Result<usize>;
    /// Word `at` as an integer of 32 bits.
    fn int32(self, at: usize) -> Result<i32>;
    /// Word `at` as a database number that this server has.
    fn db(self, at: usize, databases: u32) -> Result<DbIndex>;
    /// Whether word `at` is `word`, letter case aside.
    fn is(self, at: usize, word: &str) -> bool;
    /// Word `at` as text, for messages.
    fn text(self, at: usize) -> String;
}

impl<'a> ArgsExt<'a> for Args<'a> {
    fn key(self, at: usize) -> &'a [u8] {
        self.get(at)
    }

    fn int(self, at: usize) -> Result<i64> {
        base::number::parse_i64(self.get(at)).ok_or(Error::NotAnInteger)
    }

    fn ranged_int(self, at: usize, min: i64, max: i64) -> Result<i64> {
        let number = self.int(at)?;
        if number < min || number > max {
            // The grammar is stock's.
            return Err(Error::err(format_args!(
                "value is out of range, value must between {min} and {max}"
            )));
        }
        Ok(number)
    }

    fn count(self, at: usize) -> Result<usize> {
        const NEGATIVE: Error = Error::fixed("ERR value is out of range, must be positive");
        let number = self.int(at).map_err(|_| NEGATIVE)?;
        usize::try_from(number).map_err(|_| NEGATIVE)
    }

    fn int32(self, at: usize) -> Result<i32> {
        // The grammar is stock's.
        const OUT_OF_RANGE: Error =
            Error::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
        i32::try_from(self.int(at)?).map_err(|_| OUT_OF_RANGE)
    }

    fn db(self, at: usize, databases: u32) -> Result<DbIndex> {
        let number = self.int32(at)?;
        match u32::try_from(number) {
            Ok(index) if index < databases => Ok(DbIndex(index)),
            _ => Err(Error::DbIndexOutOfRange),
        }
    }

    fn is(self, at: usize, word: &str) -> bool {
        self.try_get(at)
            .is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn text(self, at: usize) -> String {
        String::from_utf8_lossy(self.get(at)).into_owned()
    }
}
