//! The number texts of `redis.conf`: memory sizes, and integers as C's `strtoll` reads them.

/// Reads a memory size: digits and an optional unit (`b`, `k` = 1000, `kb` = 1024, `m`, `mb`, `g`, `gb`, any case).
///
/// The habits of stock servers are kept: no digits count as 0, more than 64 bits of digits as all ones, and a product
/// that overflows wraps.
#[must_use]
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let digits_end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if digits.len() >= 128 {
        return None;
    }
    let count = digits.iter().try_fold(0u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    Some(count.unwrap_or(u64::MAX).wrapping_mul(factor))
}

/// Writes a memory size as CONFIG REWRITE does: in the largest binary unit that divides it.
#[must_use]
pub fn format_memory(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// An integer in base 8 or 10 as C's `strtoll` reads it: leading space and a sign allowed, saturating, and nothing at all
/// is 0. `None` when something is left behind the digits.
#[must_use]
pub fn parse_c_integer(text: &[u8], base: u8) -> Option<CInteger> {
    if text.is_empty() {
        return Some(CInteger {
            value: 0,
            saturated: false,
        });
    }
    let start = text.iter().position(|&byte| !base::words::is_space(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(|digit| (b'0'..b'0' + base).contains(digit)) {
        return None;
    }
    let sign = if negative { -1 } else { 1 };
    let exact = digits.iter().try_fold(0i64, |sum, digit| {
        sum.checked_mul(i64::from(base))?
            .checked_add(sign * i64::from(digit - b'0'))
    });
    Some(CInteger {
        value: exact.unwrap_or(if negative { i64::MIN } else { i64::MAX }),
        saturated: exact.is_none(),
    })
}

/// What [`parse_c_integer`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CInteger {
    /// The number, or the end of the range that it exceeds.
    pub value: i64,
    /// True when the text means a number beyond 64 bits.
    pub saturated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("1k", Some(1000)),
            ("1Kb", Some(1024)),
            ("5MB", Some(5 << 20)),
            ("1g", Some(1_000_000_000)),
            ("1gB", Some(1 << 30)),
            ("12b", Some(12)),
            ("", Some(0)),
            ("k", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("18446744073709551615k", Some(18_446_744_073_709_550_616)),
            ("-1", None),
            ("1kx", None),
            ("1 k", None),
            ("1.5gb", None),
            ("5%", None),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), bytes, "{text}");
        }
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1kb"),
            (3 << 20, "3mb"),
            (1 << 40, "1024gb"),
            (1500, "1500"),
        ] {
            assert_eq!(format_memory(bytes), text);
        }
    }

    #[test]
    fn integers_as_c_reads_them() {
        let value = |text: &str, base| parse_c_integer(text.as_bytes(), base).map(|read| read.value);
        assert_eq!(value("", 10), Some(0));
        assert_eq!(value(" +5", 10), Some(5));
        assert_eq!(value("-007", 10), Some(-7));
        assert_eq!(value("99999999999999999999", 10), Some(i64::MAX));
        assert_eq!(value("-99999999999999999999", 10), Some(i64::MIN));
        assert_eq!(value("5 ", 10), None);
        assert_eq!(value("+", 10), None);
        assert_eq!(value("x", 10), None);
        assert_eq!(value("0777", 8), Some(0o777));
        assert_eq!(value("8", 8), None);
    }
}
