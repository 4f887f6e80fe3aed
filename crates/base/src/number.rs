//! Numbers as text, by the protocol's strict rules: one number, one spelling where integers are concerned, and what
//! C's `strtod` takes where floating point is.

/// Reads a signed integer in its only canonical spelling.
///
/// No spaces, no `+`, no leading zeros, no `-0`: exactly the texts that [`write_i64`] can produce.
#[must_use]
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    // Most texts that are none begin or end like none, or are longer than the longest.
    match text {
        [b'-' | b'0'..=b'9', .., b'0'..=b'9'] | [b'0'..=b'9'] if text.len() <= I64_TEXT_BYTES_MAX => {
            parse_short_i64(text)
        }
        _ => None,
    }
}

/// The longest text of a signed integer: a sign and nineteen digits.
const I64_TEXT_BYTES_MAX: usize = 20;

fn parse_short_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            if magnitude == 0 || magnitude > i64::MIN.unsigned_abs() {
                return None;
            }
            Some((magnitude as i64).wrapping_neg())
        }
        digits => parse_u64(digits)?.try_into().ok(),
    }
}

/// Reads an unsigned integer in its only canonical spelling: digits without leading zeros.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => return Some(0),
        [b'1'..=b'9', ..] if text.len() <= 20 => {}
        _ => return None,
    }
    // Nineteen digits cannot overflow; only the twentieth needs watching.
    let (first, last) = text.split_at(text.len().min(19));
    let mut value = 0u64;
    for &byte in first {
        value = value * 10 + digit(byte)?;
    }
    for &byte in last {
        value = value.checked_mul(10)?.checked_add(digit(byte)?)?;
    }
    Some(value)
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}

/// Appends `value` in decimal.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(out, value.unsigned_abs());
}

/// Appends `value` in decimal.
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Reads a double as stock servers do: everything that C's `strtod` takes as a whole, hexadecimal and `inf` included,
/// but no leading space and no NaN, and nothing that overflows, or underflows to zero.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    read_f64(text).and_then(|(value, exact_range)| exact_range.then_some(value))
}

/// Reads a double as C's `strtod` does where only the end of the text is checked afterwards: leading white space is
/// skipped, a zero byte ends the text, too large becomes infinite and too small zero, no text at all is 0. Not NaN.
#[must_use]
pub fn parse_f64_loosely(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let blank = |byte: &&u8| byte.is_ascii_whitespace() || **byte == 0x0b;
    let start = text.iter().take_while(blank).count();
    read_f64(&text[start..]).map(|(value, _)| value)
}

/// Reads digits, perhaps with a point among them, whose number and power of ten are both doubles: dividing one by the other
/// then rounds once, as it must. `None` where that is not so, whatever the text is.
#[inline]
fn read_short_decimal(magnitude: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    // Fifteen digits are less than 2⁵³.
    if magnitude.len() > 16 {
        return None;
    }
    if let Some(value) = read_eight_or_more(magnitude) {
        return Some(value as f64);
    }
    let mut value = 0u64;
    let mut point = None;
    for (at, byte) in magnitude.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    match point {
        None if magnitude.is_empty() || magnitude.len() == 16 => None,
        None => Some(value as f64),
        Some(_) if magnitude.len() == 1 => None,
        Some(at) => Some(value as f64 / POWERS[magnitude.len() - at - 1]),
    }
}

/// Reads eight to fifteen digits, eight at a time.
#[inline]
fn read_eight_or_more(text: &[u8]) -> Option<u64> {
    const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let (first, last) = (text.first_chunk()?, text.last_chunk()?);
    let more = text.len() - 8;
    let first = digits_of(u64::from_le_bytes(*first))?;
    // The first of the last eight are among the first eight, too: zeros in their place.
    let new = u64::MAX.checked_shl(64 - 8 * more as u32).unwrap_or(0);
    let last = digits_of(u64::from_le_bytes(*last))? & new;
    Some(number_of(first) * POWERS.get(more)? + number_of(last))
}

/// What eight digits stand for, a byte each.
#[inline]
fn digits_of(text: u64) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = text ^ (EACH * u64::from(b'0'));
    // From 10 on a byte has its upper bit set, or gets it here: the lowest such byte is what it would be alone.
    let others = (digits | digits.wrapping_add(EACH * (0x80 - 10))) & (EACH * 0x80);
    (others == 0).then_some(digits)
}

/// The number of eight digits, the first of which is in the lowest byte: by pairs, fours and eights.
#[inline]
fn number_of(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// Reads a double, and says whether it neither overflowed nor became zero by underflow.
fn read_f64(text: &[u8]) -> Option<(f64, bool)> {
    let (negative, magnitude) = split_sign(text);
    if let Some(value) = read_short_decimal(magnitude) {
        return Some((if negative { -value } else { value }, true));
    }
    let (value, in_range) = match Spelling::of(magnitude)? {
        Spelling::Infinity => (f64::INFINITY, true),
        Spelling::Hexadecimal(hex) => {
            let (mantissa, exponent) = hex.round_to(53, -1074);
            let biased = if mantissa >> 52 == 0 { 0 } else { exponent + 1075 };
            if biased >= 2047 {
                (f64::INFINITY, false)
            } else {
                let bits = ((biased as u64) << 52) | (mantissa & ((1 << 52) - 1));
                (f64::from_bits(bits), mantissa != 0 || hex.mantissa == 0)
            }
        }
        Spelling::Decimal => {
            let value: f64 = std::str::from_utf8(magnitude).ok()?.parse().ok()?;
            let lost = value.is_infinite() || (value == 0.0 && has_nonzero_digit(magnitude));
            (value, !lost)
        }
    };
    Some((if negative { -value } else { value }, in_range))
}

/// Appends a double as C's `%.17g` prints it: seventeen significant digits, trailing zeros trimmed.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    // All integers below are their own seventeen digits; the other zero has a sign.
    const INTEGERS: f64 = 1e15;
    if value.trunc() == value && value.abs() < INTEGERS && (value != 0.0 || value.is_sign_positive()) {
        return write_i64(out, value as i64);
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    // "d.dddddddddddddddde[-]x": one digit, sixteen more, correctly rounded by the standard library.
    let scientific = format!("{:.16e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(|byte| *byte != b'.').collect();
    let significant = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(1, |last| last + 1);
    let digits = &digits[..significant];

    if !(-4..17).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// A byte count as INFO shows it to people: `123B`, `1.21K`, `3.00M`, `1.50G`, …
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    let units = [(50, 'P'), (40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    match units.into_iter().find(|(shift, _)| bytes >> shift != 0) {
        // Stock servers know nothing above petabytes, and fall back to plain bytes.
        Some((50, _)) if bytes >> 60 != 0 => format!("{bytes}B"),
        Some((shift, unit)) => format!("{:.2}{unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes}B"),
    }
}

/// The sign in front of a number, and the rest.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// True when a decimal spelling stands for something else than zero.
pub(crate) fn has_nonzero_digit(magnitude: &[u8]) -> bool {
    magnitude
        .iter()
        .take_while(|byte| !byte.eq_ignore_ascii_case(&b'e'))
        .any(|byte| (b'1'..=b'9').contains(byte))
}

/// What kind of floating point text this is, sign removed.
pub(crate) enum Spelling {
    Infinity,
    Decimal,
    Hexadecimal(Hex),
}

impl Spelling {
    /// `None` for what `strtod` would not take as a whole, and for NaN.
    pub(crate) fn of(magnitude: &[u8]) -> Option<Self> {
        if magnitude.eq_ignore_ascii_case(b"inf") || magnitude.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinity);
        }
        match magnitude {
            [b'0', b'x' | b'X', rest @ ..] => Hex::parse(rest).map(Self::Hexadecimal),
            _ => is_decimal(magnitude).then_some(Self::Decimal),
        }
    }
}

/// `digits [. digits] [e [sign] digits]`, with at least one digit before the `e`.
fn is_decimal(text: &[u8]) -> bool {
    let (mantissa, exponent) = split_exponent(text, b'e');
    let mut points = 0;
    let mut digits = 0;
    for byte in mantissa {
        match byte {
            b'.' => points += 1,
            b'0'..=b'9' => digits += 1,
            _ => return false,
        }
    }
    points <= 1 && digits > 0 && exponent.is_none_or(|text| read_exponent(text).is_some())
}

/// Splits at the first `letter` of either case; the exponent is what follows it.
pub(crate) fn split_exponent(text: &[u8], letter: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| byte.eq_ignore_ascii_case(&letter)) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A signed decimal exponent, clamped far outside anything that could matter.
pub(crate) fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        value = (value * 10 + digit(byte)? as i64).min(1 << 40);
    }
    Some(if negative { -value } else { value })
}

/// A hexadecimal number, as `mantissa × 2^exponent`. Bits beyond those the mantissa can hold are kept as one sticky
/// lowest bit, which is all that rounding needs.
#[derive(Clone, Copy)]
pub(crate) struct Hex {
    pub(crate) mantissa: u128,
    pub(crate) exponent: i64,
}

impl Hex {
    /// Reads what follows `0x`.
    fn parse(text: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = split_exponent(text, b'p');
        let mut hex = Self {
            mantissa: 0,
            exponent: exponent.map_or(Some(0), read_exponent)?,
        };
        let (mut digits, mut after_point) = (0, false);
        for &byte in mantissa {
            if byte == b'.' && !after_point {
                after_point = true;
                continue;
            }
            let value = u128::from((byte as char).to_digit(16)?);
            digits += 1;
            if hex.mantissa >> 120 == 0 {
                hex.mantissa = hex.mantissa << 4 | value;
                hex.exponent -= if after_point { 4 } else { 0 };
            } else {
                hex.mantissa |= u128::from(value != 0);
                hex.exponent += if after_point { 0 } else { 4 };
            }
        }
        (digits > 0).then_some(hex)
    }

    /// Rounds half to even to `bits` bits of mantissa and an exponent of `lowest` or more. See [`round_to`].
    fn round_to(self, bits: u32, lowest: i64) -> (u64, i64) {
        round_to(self.mantissa, self.exponent, bits, lowest)
    }
}

/// Rounds `mantissa × 2^exponent`, half to even, to a mantissa of at most `bits` (≤ 64) bits whose exponent is not
/// below `lowest`.
///
/// The result is normalised: its mantissa has exactly `bits` bits unless its exponent is `lowest` or it is zero. The
/// lowest bit of `mantissa` may be a sticky one as long as the value has more than `bits + 1` bits.
pub(crate) fn round_to(mantissa: u128, exponent: i64, bits: u32, lowest: i64) -> (u64, i64) {
    if mantissa == 0 {
        return (0, lowest);
    }
    let width = i64::from(128 - mantissa.leading_zeros());
    let target = (exponent + width - i64::from(bits)).max(lowest);
    let drop = target - exponent;
    if drop <= 0 {
        // No bits are lost: `-drop` zeros go in at the right, and `bits` bits are enough.
        return ((mantissa << -drop) as u64, target);
    }
    if drop > width {
        return (0, lowest);
    }
    let kept = if drop == 128 { 0 } else { mantissa >> drop };
    let half = 1u128 << (drop - 1);
    let lost = mantissa & (half | (half - 1));
    let up = lost > half || (lost == half && kept & 1 == 1);
    let rounded = kept + u128::from(up);
    if rounded >> bits != 0 {
        ((rounded >> 1) as u64, target + 1)
    } else {
        (rounded as u64, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64_text(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_have_one_spelling() {
        for value in [0, 1, -1, 9, 10, 99, -100, i64::MAX, i64::MIN, i64::MIN + 1] {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
            assert_eq!(parse_i64(&out), Some(value));
        }
        for bad in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            " 1",
            "1 ",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "100000000000000000000",
        ] {
            assert_eq!(parse_i64(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"00"), None);
    }

    #[test]
    fn doubles_are_read_as_strtod_reads_them() {
        let good = [
            ("5.", 5.0),
            (".5", 0.5),
            ("+5", 5.0),
            ("-1e3", -1000.0),
            ("1E+2", 100.0),
            ("inf", f64::INFINITY),
            ("-INFinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0X.8p1", 1.0),
            ("-0x1p-1074", -5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0e-400", 0.0),
            ("0x0p-9999", 0.0),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x10000000000000000000000000000000000000001p-160", 1.0),
        ];
        for (text, value) in good {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text:?}");
        }
        for bad in [
            "",
            ".",
            "-",
            "e5",
            " 5",
            "5 ",
            "1e",
            "1e+",
            "0x",
            "0x.",
            "0x1p",
            "nan",
            "-nan(1)",
            "1e309",
            "-1e309",
            "1e-400",
            "0x1p-1075",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "infin",
            "1_0",
            "--1",
            "1.2.3",
        ] {
            assert_eq!(parse_f64(bad.as_bytes()), None, "{bad:?}");
        }
    }

    /// Short decimals are read by a way of their own, which must round as the long one does.
    #[test]
    fn short_decimals_are_what_the_standard_library_reads() {
        let mut rng = crate::Rng::new(9);
        for _ in 0..20_000 {
            let mut text: String = (0..rng.below(18))
                .map(|_| (b'0' + rng.below(10) as u8) as char)
                .collect();
            if rng.chance(3, 4) {
                text.insert(rng.below(text.len() as u64 + 1) as usize, '.');
            }
            if rng.chance(1, 4) {
                text.insert(0, '-');
            }
            if rng.chance(1, 4) {
                let other = *rng.pick(&['/', ':', ' ', '_', '\u{1f}', '\u{ff}']);
                text.insert(rng.below(text.len() as u64 + 1) as usize, other);
            }
            let expected = text.parse::<f64>().ok();
            assert_eq!(
                parse_f64(text.as_bytes()).map(f64::to_bits),
                expected.map(f64::to_bits),
                "{text:?}"
            );
        }
    }

    #[test]
    fn doubles_as_the_ends_of_ranges() {
        for (text, value) in [
            ("", 0.0),
            (" \t\x0b5", 5.0),
            ("5\0x", 5.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("0x1p1024", f64::INFINITY),
            ("+inf", f64::INFINITY),
        ] {
            assert_eq!(parse_f64_loosely(text.as_bytes()), Some(value), "{text:?}");
        }
        for bad in [" ", "5 ", "nan", "x", "("] {
            assert_eq!(parse_f64_loosely(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn doubles_are_written_with_seventeen_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.10000000000000001"),
            (3.0, "3"),
            (100.0, "100"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (-2.5, "-2.5"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(f64_text(value), text);
        }
    }

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_290_000, "1.23M"),
            (3 << 30, "3.00G"),
            (1 << 40, "1.00T"),
            (1 << 50, "1.00P"),
            (1 << 60, "1152921504606846976B"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
