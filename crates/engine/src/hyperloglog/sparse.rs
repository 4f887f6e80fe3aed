//! Registers as runs of equal ones.
//!
//! ```text
//!   00llllll             l + 1 registers of 0, up to 64
//!   01llllll llllllll    l + 1 registers of 0, up to 16 384
//!   1vvvvvll             l + 1 registers of v + 1: up to 4, of values up to 32
//! ```
//!
//! A register that is raised splits its run in up to three; runs of one value that meet become one where that fits, as far as
//! the stock server looks for them.

use super::{Corrupted, HEADER_BYTES, Histogram, REGISTERS};

const VALUE_MAX: u8 = 32;
const SHORT_ZEROS_MAX: usize = 64;
const VALUES_MAX: usize = 4;

/// How many runs are looked at after a change for neighbours to become one.
const JOIN_STEPS: usize = 5;

/// Equal registers next to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// So many that are 0.
    Zeros(usize),
    /// So many of a value.
    Values(u8, usize),
}

impl Run {
    fn len(self) -> usize {
        match self {
            Self::Zeros(len) | Self::Values(_, len) => len,
        }
    }

    /// The same with another length.
    fn with_len(self, len: usize) -> Self {
        match self {
            Self::Zeros(_) => Self::Zeros(len),
            Self::Values(value, _) => Self::Values(value, len),
        }
    }

    /// Appends its shortest form. Its length must be one that a run can have.
    pub fn write_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Zeros(len) if len <= SHORT_ZEROS_MAX => out.push(len as u8 - 1),
            Self::Zeros(len) => {
                let len = len - 1;
                out.extend([0x40 | (len >> 8) as u8, len as u8]);
            }
            Self::Values(value, len) => out.push(0x80 | (value - 1) << 2 | (len as u8 - 1)),
        }
    }

    /// The run that begins at `at`, and how many bytes it takes.
    fn read(bytes: &[u8], at: usize) -> (Self, usize) {
        let first = bytes[at];
        match first >> 6 {
            0 => (Self::Zeros(usize::from(first) + 1), 1),
            1 => {
                // A string ends in a zero that is not counted.
                let second = bytes.get(at + 1).copied().unwrap_or(0);
                (
                    Self::Zeros((usize::from(first & 0x3f) << 8 | usize::from(second)) + 1),
                    2,
                )
            }
            _ => (Self::Values((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1), 1),
        }
    }
}

fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < bytes.len()).then(|| {
            let (run, taken) = Run::read(bytes, at);
            at += taken;
            run
        })
    })
}

/// How many registers have which value.
pub fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupted> {
    let mut histogram = Histogram::default();
    let mut registers = 0;
    for run in runs(bytes) {
        registers += run.len();
        match run {
            Run::Zeros(len) => histogram.count(0, len),
            Run::Values(value, len) => histogram.count(value, len),
        }
    }
    if registers == REGISTERS {
        Ok(histogram)
    } else {
        Err(Corrupted)
    }
}

/// Hands all registers on that are not 0, in order.
pub fn for_each_set(bytes: &[u8], mut each: impl FnMut(usize, u8)) -> Result<(), Corrupted> {
    let mut index = 0;
    for run in runs(bytes) {
        if index + run.len() > REGISTERS {
            return Err(Corrupted);
        }
        if let Run::Values(value, len) = run {
            (index..index + len).for_each(|index| each(index, value));
        }
        index += run.len();
    }
    if index == REGISTERS { Ok(()) } else { Err(Corrupted) }
}

/// All runs as text, as PFDEBUG DECODE shows them.
pub fn describe(bytes: &[u8]) -> String {
    let mut at = 0;
    let mut words = Vec::new();
    while at < bytes.len() {
        let (run, taken) = Run::read(bytes, at);
        at += taken;
        words.push(match run {
            Run::Zeros(len) if taken == 1 => format!("z:{len}"),
            Run::Zeros(len) => format!("Z:{len}"),
            Run::Values(value, len) => format!("v:{value},{len}"),
        });
    }
    words.join(" ")
}

/// What became of an attempt to raise a register.
pub enum Raised {
    Yes,
    No,
    /// It takes the other encoding: the value is too large for this one, or there would be too many runs.
    TooLong,
}

/// Where the run of a register is.
struct Place {
    /// Where the run before begins.
    before: Option<usize>,
    at: usize,
    run: Run,
    bytes: usize,
    /// The first register of the run.
    first: usize,
}

fn locate(hll: &[u8], index: usize) -> Result<Place, Corrupted> {
    let (mut before, mut at, mut first) = (None, HEADER_BYTES, 0);
    while at < hll.len() {
        let (run, bytes) = Run::read(hll, at);
        if index < first + run.len() {
            let place = Place {
                before,
                at,
                run,
                bytes,
                first,
            };
            // A long run whose second byte is not there.
            return if at + bytes > hll.len() {
                Err(Corrupted)
            } else {
                Ok(place)
            };
        }
        before = Some(at);
        at += bytes;
        first += run.len();
    }
    Err(Corrupted)
}

/// Makes a register at least `value`. `hll` is the whole, its header included, and may become `bytes_max` long.
pub fn raise(hll: &mut Vec<u8>, index: usize, value: u8, bytes_max: u64) -> Result<Raised, Corrupted> {
    if value > VALUE_MAX {
        return Ok(Raised::TooLong);
    }
    let place = locate(hll, index)?;
    if let Run::Values(old, _) = place.run
        && old >= value
    {
        return Ok(Raised::No);
    }
    let (before, after) = (index - place.first, place.first + place.run.len() - 1 - index);
    let mut split = Vec::with_capacity(5);
    if before > 0 {
        place.run.with_len(before).write_to(&mut split);
    }
    Run::Values(value, 1).write_to(&mut split);
    if after > 0 {
        place.run.with_len(after).write_to(&mut split);
    }
    let longer = split.len() > place.bytes;
    if longer && (hll.len() + split.len() - place.bytes) as u64 > bytes_max {
        return Ok(Raised::TooLong);
    }
    hll.splice(place.at..place.at + place.bytes, split);
    join(hll, place.before.unwrap_or(HEADER_BYTES));
    Ok(Raised::Yes)
}

/// Makes one of runs of the same value that meet near `from`.
fn join(hll: &mut Vec<u8>, from: usize) {
    let mut at = from;
    for _ in 0..JOIN_STEPS {
        if at >= hll.len() {
            break;
        }
        let (run, bytes) = Run::read(hll, at);
        if let Run::Values(value, len) = run
            && at + 1 < hll.len()
            && let (Run::Values(next_value, next_len), _) = Run::read(hll, at + 1)
            && value == next_value
            && len + next_len <= VALUES_MAX
        {
            hll.remove(at);
            let mut joined = Vec::with_capacity(1);
            Run::Values(value, len + next_len).write_to(&mut joined);
            hll[at] = joined[0];
            continue;
        }
        at += bytes;
    }
}
