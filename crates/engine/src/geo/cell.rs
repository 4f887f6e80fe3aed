//! Cells of the grid, and places as scores.

use std::ops::Range;

/// Levels of the grid: bits of each coordinate.
const STEPS_MAX: u32 = 26;

/// The largest latitude, either way: what the Mercator projection makes square.
const LATITUDE_MAX: f64 = 85.051_128_78;
const LONGITUDE_MAX: f64 = 180.0;

/// The letters of textual geohashes.
const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A place on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

impl Place {
    /// Whether places with these coordinates can be kept.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score that stands for the place.
    #[must_use]
    pub fn score(self) -> f64 {
        Cell::around(self, STEPS_MAX).bits() as f64
    }

    /// The place in the middle of what a score stands for.
    #[must_use]
    pub fn of_score(score: f64) -> Self {
        let (longitude, latitude) = Cell::of_bits(score as u64, STEPS_MAX).area();
        let middle = |of: (f64, f64), limit: f64| ((of.0 + of.1) / 2.0).clamp(-limit, limit);
        Self {
            longitude: middle(longitude, LONGITUDE_MAX),
            latitude: middle(latitude, LATITUDE_MAX),
        }
    }

    /// The textual geohash as others write it: the whole range of latitudes, eleven letters, of which the last has no
    /// bits left.
    #[must_use]
    pub fn text(self) -> [u8; 11] {
        let cell = Cell {
            x: fraction(self.longitude, LONGITUDE_MAX, STEPS_MAX),
            y: fraction(self.latitude, 90.0, STEPS_MAX),
            steps: STEPS_MAX,
        };
        let bits = cell.bits();
        let mut text = [LETTERS[0]; 11];
        for (index, letter) in text[..10].iter_mut().enumerate() {
            *letter = LETTERS[(bits >> (47 - 5 * index)) as usize & 31];
        }
        text
    }
}

/// Where in `-limit..limit` a coordinate lies, in units of `2 × limit / 2^steps`.
fn fraction(coordinate: f64, limit: f64, steps: u32) -> u32 {
    let offset = (coordinate + limit) / (limit + limit);
    (offset * (1u64 << steps) as f64) as u32
}

/// A cell of the grid of some level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    x: u32,
    y: u32,
    steps: u32,
}

impl Cell {
    /// The cell of this level in which a place lies.
    #[must_use]
    pub fn around(place: Place, steps: u32) -> Self {
        Self {
            x: fraction(place.longitude, LONGITUDE_MAX, steps),
            y: fraction(place.latitude, LATITUDE_MAX, steps),
            steps,
        }
    }

    fn of_bits(bits: u64, steps: u32) -> Self {
        Self {
            x: every_second_bit(bits >> 1),
            y: every_second_bit(bits),
            steps,
        }
    }

    /// The bits of both coordinates, interleaved, those of the longitude first.
    fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    /// The scores of places in the cell.
    #[must_use]
    pub fn scores(self) -> Range<f64> {
        let shift = 2 * (STEPS_MAX - self.steps);
        let (first, end) = (self.bits() << shift, (self.bits() + 1) << shift);
        first as f64..end as f64
    }

    /// From where to where the cell reaches: longitudes, latitudes.
    pub(super) fn area(self) -> ((f64, f64), (f64, f64)) {
        let unit = (1u64 << self.steps) as f64;
        let at = |index: f64, limit: f64| -limit + (index / unit) * (limit + limit);
        let reach = |index: u32, limit| {
            let index = f64::from(index);
            (at(index, limit), at(index + 1.0, limit))
        };
        (reach(self.x, LONGITUDE_MAX), reach(self.y, LATITUDE_MAX))
    }

    /// The neighbour so many cells to the east and to the north, around the globe in both directions.
    pub(super) fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = ((1u64 << self.steps) - 1) as u32;
        Self {
            x: self.x.wrapping_add_signed(east) & mask,
            y: self.y.wrapping_add_signed(north) & mask,
            steps: self.steps,
        }
    }
}

/// Puts a zero before every bit.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The inverse of [`spread`].
fn every_second_bit(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Place = Place {
        longitude: 13.361389,
        latitude: 38.115556,
    };

    #[test]
    fn places_are_scores() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        let back = Place::of_score(PALERMO.score());
        assert_eq!(back.longitude.to_string(), "13.361389338970184");
        assert_eq!(back.latitude.to_string(), "38.1155563954963");
        assert_eq!(&back.text(), b"sqc8b49rny0");
        assert!(PALERMO.is_valid());
        let pole = Place {
            longitude: 0.0,
            latitude: 86.0,
        };
        assert!(!pole.is_valid());
    }

    #[test]
    fn bits_are_interleaved() {
        for number in [0, 1, 2, 0x1234_5678, u32::MAX] {
            assert_eq!(every_second_bit(spread(number)), number);
        }
        assert_eq!(spread(0b1011), 0b100_0101);
    }

    #[test]
    fn neighbours_go_around_the_globe() {
        let cell = Cell { x: 0, y: 3, steps: 2 };
        assert_eq!(cell.neighbour(-1, 1), Cell { x: 3, y: 0, steps: 2 });
        let scores = Cell { x: 3, y: 3, steps: 2 }.scores();
        assert_eq!(scores.end, (1u64 << 52) as f64);
    }
}
