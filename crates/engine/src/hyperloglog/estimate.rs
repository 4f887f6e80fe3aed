//! From registers to an estimate: Ertl's improved raw estimator, which needs no table of corrections.

use super::{REGISTERS, RUN_BITS};

/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// How many registers have which value.
pub struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Histogram {
    /// That of registers.
    #[must_use]
    pub fn of(registers: &[u8]) -> Self {
        let mut histogram = Self::default();
        registers.iter().for_each(|value| histogram.count(*value, 1));
        histogram
    }

    /// So many registers more have this value, which is below 64.
    #[inline]
    pub fn count(&mut self, value: u8, registers: usize) {
        self.0[usize::from(value)] += registers as u32;
    }

    /// About how many different elements were added.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let m = REGISTERS as f64;
        let longest = RUN_BITS as usize;
        let mut z = m * tau((m - f64::from(self.0[longest + 1])) / m);
        for value in (1..=longest).rev() {
            z += f64::from(self.0[value]);
            z *= 0.5;
        }
        z += m * sigma(f64::from(self.0[0]) / m);
        (ALPHA * m * m / z).round() as u64
    }
}

fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
