//! The 80-bit extended floating point of x87, in software: what INCRBYFLOAT counts with, on every machine.
//!
//! ```text
//!   value = ± mantissa × 2^exponent        mantissa: 64 bits, top bit set unless the number is subnormal
//!                                          exponent: -16445 (subnormals and the smallest) … 16320
//! ```
//!
//! Parsing and addition are correctly rounded, half to even. Printing is exact before the point and rounded to
//! seventeen digits after it, as C's `%.17Lf` does.

use std::cmp::Ordering;

use crate::number::{Spelling, has_nonzero_digit, read_exponent, round_to, split_exponent, split_sign};

/// The exponent of the least significant bit of a subnormal number.
const LOWEST_EXPONENT: i32 = -16445;
/// The exponent of the least significant bit of the largest numbers.
const HIGHEST_EXPONENT: i32 = 16320;
/// Longer texts are refused, as stock servers do.
const LONGEST_TEXT_BYTES: usize = 5 * 1024 - 1;
/// Texts from 10^5000 on overflow, and below 10^-5000 vanish, whatever their digits.
const DECIMAL_EXPONENT_LIMIT: i64 = 5000;

/// One number. Never NaN when it comes from [`Ld80::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ld80 {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
    NotANumber,
}

impl Ld80 {
    /// Reads what `strtold` takes as a whole: decimal, hexadecimal or `inf`, without a leading space; no NaN.
    ///
    /// `None` as well for finite text that overflows, or underflows to zero, and for text of 5120 bytes or more.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST_TEXT_BYTES {
            return None;
        }
        let (negative, magnitude) = split_sign(text);
        let (mantissa, exponent, is_zero) = match Spelling::of(magnitude)? {
            Spelling::Infinity => {
                return Some(Self {
                    negative,
                    magnitude: Magnitude::Infinite,
                });
            }
            Spelling::Hexadecimal(hex) => (hex.mantissa, hex.exponent, hex.mantissa == 0),
            Spelling::Decimal if !has_nonzero_digit(magnitude) => (0, 0, true),
            Spelling::Decimal => {
                let (mantissa, exponent) = read_decimal(magnitude)?;
                (mantissa, exponent, false)
            }
        };
        let value = Self::rounded(negative, mantissa, exponent);
        let lost = value.is_infinite() || (!is_zero && value.is_zero());
        (!lost).then_some(value)
    }

    /// The integer, exactly.
    #[must_use]
    pub fn from_i64(value: i64) -> Self {
        Self::rounded(value < 0, u128::from(value.unsigned_abs()), 0)
    }

    /// True for both infinities.
    #[must_use]
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// True for the sum of opposite infinities.
    #[must_use]
    pub fn is_nan(self) -> bool {
        self.magnitude == Magnitude::NotANumber
    }

    fn is_zero(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { mantissa: 0, .. })
    }

    /// Rounds `mantissa × 2^exponent`; too large becomes infinite. The lowest bit may be sticky, see [`round_to`].
    fn rounded(negative: bool, mantissa: u128, exponent: i64) -> Self {
        let (mantissa, exponent) = round_to(mantissa, exponent, 64, i64::from(LOWEST_EXPONENT));
        let magnitude = if exponent > i64::from(HIGHEST_EXPONENT) {
            Magnitude::Infinite
        } else {
            Magnitude::Finite {
                mantissa,
                exponent: exponent as i32,
            }
        };
        Self { negative, magnitude }
    }

    /// The sum, rounded half to even. Overflows to infinity; opposite infinities make NaN.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (
            Magnitude::Finite {
                mantissa: a,
                exponent: a_exponent,
            },
            Magnitude::Finite {
                mantissa: b,
                exponent: b_exponent,
            },
        ) = (self.magnitude, other.magnitude)
        else {
            return self.plus_not_finite(other);
        };
        if (a_exponent, a) < (b_exponent, b) {
            return other.plus(self);
        }
        // 62 spare bits at the right hold everything that rounding can ask for; what is shifted out beyond them only
        // matters as "something was there".
        let large = u128::from(a) << 62;
        let small = shift_right_sticky(u128::from(b) << 62, a_exponent.abs_diff(b_exponent));
        let sum = if self.negative == other.negative {
            large + small
        } else {
            large - small
        };
        let negative = if sum == 0 {
            self.negative && other.negative
        } else {
            self.negative
        };
        Self::rounded(negative, sum, i64::from(a_exponent) - 62)
    }

    fn plus_not_finite(self, other: Self) -> Self {
        match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) if self.negative != other.negative => Self {
                negative: true,
                magnitude: Magnitude::NotANumber,
            },
            (Magnitude::Finite { .. }, _) | (_, Magnitude::NotANumber) => other,
            _ => self,
        }
    }

    /// Appends the number in plain decimal: all digits before the point, at most seventeen after it, trailing zeros
    /// trimmed, never `-0`.
    pub fn write(self, out: &mut Vec<u8>) {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return out.extend_from_slice(match (self.magnitude, self.negative) {
                (Magnitude::NotANumber, _) => b"nan",
                (_, true) => b"-inf",
                (_, false) => b"inf",
            });
        };
        if exponent > 0 {
            let mut whole = Big::from(mantissa);
            whole.shift_left(exponent.unsigned_abs());
            if self.negative {
                out.push(b'-');
            }
            return whole.write_decimal(out);
        }
        // In units of 10^-17: at most 121 bits.
        let scaled = shift_right_half_even(u128::from(mantissa) * 10u128.pow(17), exponent.unsigned_abs());
        if self.negative && scaled != 0 {
            out.push(b'-');
        }
        let text = format!("{}.{:017}", scaled / 10u128.pow(17), scaled % 10u128.pow(17));
        out.extend_from_slice(text.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }
}

fn shift_right_sticky(value: u128, by: u32) -> u128 {
    if by > 127 {
        return u128::from(value != 0);
    }
    (value >> by) | u128::from(value & ((1 << by) - 1) != 0)
}

fn shift_right_half_even(value: u128, by: u32) -> u128 {
    match by {
        0 => value,
        // Everything lies below the half of the last place.
        128.. => 0,
        _ => {
            let kept = value >> by;
            let half = 1u128 << (by - 1);
            let lost = value & (half | (half - 1));
            kept + u128::from(lost > half || (lost == half && kept & 1 == 1))
        }
    }
}

/// Reads a decimal that is not zero as `mantissa × 2^exponent`, with 66 bits of mantissa or more of which the lowest is
/// sticky. `None` when it is far out of range.
fn read_decimal(text: &[u8]) -> Option<(u128, i64)> {
    let (digits, exponent) = split_exponent(text, b'e');
    let mut power = exponent.map_or(Some(0), read_exponent)?;
    let mut number = Big::default();
    let (mut significant, mut after_point) = (0, false);
    for &byte in digits {
        if byte == b'.' {
            after_point = true;
            continue;
        }
        power -= i64::from(after_point);
        if significant > 0 || byte != b'0' {
            significant += 1;
            number.multiply_add(10, u64::from(byte - b'0'));
        }
    }
    // The number is below 10^(power + significant) and not below a tenth of that.
    if (power + significant).abs() > DECIMAL_EXPONENT_LIMIT {
        return None;
    }
    if power >= 0 {
        number.multiply_power_of_ten(power.unsigned_abs());
        return Some(number.top_bits());
    }
    let mut divisor = Big::from(1);
    divisor.multiply_power_of_ten(power.unsigned_abs());
    // Scale so that the quotient has 67 or 68 bits.
    let shift = 67 + divisor.bits() as i64 - number.bits() as i64;
    if shift >= 0 {
        number.shift_left(shift as u32);
    } else {
        divisor.shift_left(shift.unsigned_abs() as u32);
    }
    Some((number.divide_small_quotient(&divisor, 68), -shift))
}

/// A natural number of any size: 64-bit limbs, lowest first, no zero limb at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Big {
    limbs: Vec<u64>,
}

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut big = Self { limbs: vec![value] };
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn bits(&self) -> u64 {
        self.limbs
            .last()
            .map_or(0, |top| self.limbs.len() as u64 * 64 - u64::from(top.leading_zeros()))
    }

    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.limbs {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry != 0 {
            self.limbs.push(carry as u64);
        }
    }

    fn multiply_power_of_ten(&mut self, mut power: u64) {
        while power > 0 {
            let step = power.min(19);
            self.multiply_add(10u64.pow(step as u32), 0);
            power -= step;
        }
    }

    fn shift_left(&mut self, by: u32) {
        let (limbs, bits) = ((by / 64) as usize, by % 64);
        self.multiply_add(1 << bits, 0);
        if !self.limbs.is_empty() {
            self.limbs.splice(0..0, std::iter::repeat_n(0, limbs));
        }
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.limbs.iter_mut().rev() {
            (*limb, carry) = (*limb >> 1 | carry << 63, *limb & 1);
        }
        self.trim();
    }

    /// The number as at most 128 bits times a power of two; when bits are lost, all 128 are used, the lowest sticky.
    fn top_bits(mut self) -> (u128, i64) {
        let spare = self.limbs.last().map_or(0, |top| top.leading_zeros());
        self.shift_left(spare);
        let dropped = self.limbs.len().saturating_sub(2);
        let (low, high) = self.limbs.split_at(dropped);
        let sticky = low.iter().any(|limb| *limb != 0);
        let top = high.iter().rev().fold(0, |top, limb| top << 64 | u128::from(*limb));
        (top | u128::from(sticky), dropped as i64 * 64 - i64::from(spare))
    }

    /// The quotient by `divisor`, known to be below 2^`bits`, the lowest bit sticky; schoolbook, bit by bit.
    fn divide_small_quotient(mut self, divisor: &Self, bits: u32) -> u128 {
        let mut step = divisor.clone();
        step.shift_left(bits);
        let mut quotient = 0;
        for _ in 0..bits {
            step.halve();
            quotient <<= 1;
            if self.compare(&step) != Ordering::Less {
                self.subtract(&step);
                quotient |= 1;
            }
        }
        quotient | u128::from(!self.limbs.is_empty())
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.limbs.len().cmp(&other.limbs.len());
        by_length.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }

    /// Takes `other` away; it must not be larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, limb) in self.limbs.iter_mut().enumerate() {
            let (first, under) = limb.overflowing_sub(other.limbs.get(at).copied().unwrap_or(0));
            let (second, under_again) = first.overflowing_sub(u64::from(borrow));
            *limb = second;
            borrow = under || under_again;
        }
        assert!(!borrow, "subtracted a larger number from a smaller one");
        self.trim();
    }

    /// Appends the decimal digits, consuming the number nineteen at a time.
    fn write_decimal(mut self, out: &mut Vec<u8>) {
        const GROUP: u64 = 10u64.pow(19);
        let mut groups = Vec::new();
        while !self.limbs.is_empty() {
            let mut rest = 0u128;
            for limb in self.limbs.iter_mut().rev() {
                let part = rest << 64 | u128::from(*limb);
                *limb = (part / u128::from(GROUP)) as u64;
                rest = part % u128::from(GROUP);
            }
            groups.push(rest as u64);
            self.trim();
        }
        out.extend_from_slice(groups.pop().unwrap_or(0).to_string().as_bytes());
        for group in groups.iter().rev() {
            out.extend_from_slice(format!("{group:019}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let (Some(a), Some(b)) = (Ld80::parse(a.as_bytes()), Ld80::parse(b.as_bytes())) else {
            return "refused".to_owned();
        };
        let mut out = Vec::new();
        a.plus(b).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Pairs and sums as a stock server 7.0 on x86-64 answered them.
    #[test]
    fn sums_as_x87_makes_them() {
        for (a, b, expected) in [
            ("0", "0.1", "0.1"),
            ("10.5", "0.1", "10.6"),
            ("3", "-1.1", "1.9"),
            ("5.0e3", "2.0e2", "5200"),
            ("0", "-0.0", "0"),
            ("-1", "1", "0"),
            ("0", "1e-5", "0.00001"),
            ("0", "1e-18", "0"),
            ("0", "0x.8", "0.5"),
            ("0", "1e21", "1000000000000000000000"),
            ("inf", "1", "inf"),
            ("inf", "-inf", "nan"),
            ("0", "0x1p-16445", "0"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let largest = "1.18973149535723176502e4932";
        assert!(!Ld80::parse(largest.as_bytes()).unwrap().is_infinite());
        assert_eq!(sum(largest, largest), "inf");
        assert_eq!(sum(largest, "0").len(), 4933);
        for bad in [
            "1.19e4932",
            "1e99999999999999999999",
            "1e-4952",
            "1e-99999",
            "nan",
            "",
            " 1",
            "1 ",
            "0x1p16384",
        ] {
            assert_eq!(Ld80::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(Ld80::parse(b"4e-4951").is_some());
        assert!(Ld80::parse(&[b'1'; 5120]).is_none());
        let long = [b"0.", &[b'3'; 5000][..]].concat();
        assert_eq!(sum(std::str::from_utf8(&long).unwrap(), "0"), "0.33333333333333333");
    }

    #[test]
    fn rounds_half_to_even_at_the_last_place() {
        // 2^64 + 1 lies between two neighbours; so does its double-length spelling with a crumb beyond.
        assert_eq!(sum("18446744073709551617", "0"), "18446744073709551616");
        assert_eq!(sum("18446744073709551619", "0"), "18446744073709551620");
        assert_eq!(
            sum("18446744073709551617.0000000000000000000000000000000000000000001", "0"),
            "18446744073709551618"
        );
        // Read from three limbs, of which the highest holds a single bit: the sticky bit must not fall on the half.
        assert_eq!(
            sum("486563959710965233.0e+21", "0"),
            "486563959710965233015695117652670283776"
        );
        assert_eq!(sum("0x10000000000000001", "0"), "18446744073709551616");
        assert_eq!(
            sum("0x10000000000000001.0000000000000000000001", "0"),
            "18446744073709551618"
        );
    }
}
