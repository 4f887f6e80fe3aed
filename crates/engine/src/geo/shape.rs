//! The shapes that a search may have, and the cells that cover them.

use super::cell::{Cell, Place};

const EARTH_RADIUS_METRES: f64 = 6_372_797.560_856;
/// Half the way around the equator, on the map.
const MERCATOR_MAX_METRES: f64 = 20_037_726.37;

const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

fn radians(degrees: f64) -> f64 {
    degrees * RADIANS_PER_DEGREE
}

fn degrees(radians: f64) -> f64 {
    radians / RADIANS_PER_DEGREE
}

/// How far it is from one place to another, over the great circle, by the haversine formula.
#[must_use]
pub fn distance_metres(from: Place, to: Place) -> f64 {
    let (from_latitude, to_latitude) = (radians(from.latitude), radians(to.latitude));
    let north = ((to_latitude - from_latitude) / 2.0).sin();
    let east = ((radians(to.longitude) - radians(from.longitude)) / 2.0).sin();
    let chord = north * north + from_latitude.cos() * to_latitude.cos() * east * east;
    2.0 * EARTH_RADIUS_METRES * chord.sqrt().asin()
}

/// How far a search reaches from its centre. In units of the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// A circle of this radius.
    Radius(f64),
    /// A box of this width and height.
    Box(f64, f64),
}

/// What a search looks through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Its middle.
    pub centre: Place,
    /// How far it reaches.
    pub extent: Extent,
    /// Metres in the unit of the extent.
    pub unit_metres: f64,
}

impl Shape {
    /// How far a place in the shape is from the centre, in metres; `None` if it lies outside.
    #[must_use]
    pub fn distance_metres(&self, place: Place) -> Option<f64> {
        match self.extent {
            Extent::Radius(radius) => {
                let distance = distance_metres(self.centre, place);
                (distance <= radius * self.unit_metres).then_some(distance)
            }
            Extent::Box(width, height) => {
                let below = Place {
                    longitude: self.centre.longitude,
                    ..place
                };
                let beside = Place {
                    latitude: self.centre.latitude,
                    ..place
                };
                let inside = distance_metres(place, below) <= width * self.unit_metres / 2.0
                    && distance_metres(place, beside) <= height * self.unit_metres / 2.0;
                inside.then(|| distance_metres(self.centre, place))
            }
        }
    }

    /// The cells to look through, in this order. On the coarsest levels some may be the same.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut steps = self.estimated_steps();
        let mut centre = Cell::around(self.centre, steps);
        if steps > 1 && !bounds.are_within(centre) {
            steps -= 1;
            centre = Cell::around(self.centre, steps);
        }
        let (longitudes, latitudes) = centre.area();
        // On the coarsest level nothing is left out.
        let fine = steps >= 2;
        let wanted = |east: i32, north: i32| {
            !fine
                || !((north < 0 && latitudes.0 < bounds.latitudes.0)
                    || (north > 0 && latitudes.1 > bounds.latitudes.1)
                    || (east < 0 && longitudes.0 < bounds.longitudes.0)
                    || (east > 0 && longitudes.1 > bounds.longitudes.1))
        };
        [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ]
        .into_iter()
        .filter(|(east, north)| wanted(*east, *north))
        .map(|(east, north)| centre.neighbour(east, north))
        .collect()
    }

    fn bounds(&self) -> Bounds {
        let (width, height) = match self.extent {
            Extent::Radius(radius) => (radius, radius),
            Extent::Box(width, height) => (width / 2.0, height / 2.0),
        };
        let Place { longitude, latitude } = self.centre;
        let north = degrees(self.unit_metres * height / EARTH_RADIUS_METRES);
        // A degree of longitude is shortest where it is farthest from the equator.
        let outermost = if latitude < 0.0 {
            latitude - north
        } else {
            latitude + north
        };
        let east = degrees(self.unit_metres * width / EARTH_RADIUS_METRES / radians(outermost).cos());
        Bounds {
            longitudes: (longitude - east, longitude + east),
            latitudes: (latitude - north, latitude + north),
        }
    }

    /// The level on which nine cells most likely cover the shape.
    fn estimated_steps(&self) -> u32 {
        let mut reach = self.unit_metres
            * match self.extent {
                Extent::Radius(radius) => radius,
                Extent::Box(width, height) => ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt(),
            };
        if reach == 0.0 {
            return 26;
        }
        let mut steps: i32 = 1;
        while reach < MERCATOR_MAX_METRES {
            reach *= 2.0;
            steps += 1;
        }
        steps -= 2;
        // Towards the poles cells are narrower.
        let latitude = self.centre.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, 26) as u32
    }
}

/// From where to where a shape reaches.
struct Bounds {
    longitudes: (f64, f64),
    latitudes: (f64, f64),
}

impl Bounds {
    /// Whether the cells around `centre` reach as far.
    fn are_within(&self, centre: Cell) -> bool {
        let north = centre.neighbour(0, 1).area().1;
        let south = centre.neighbour(0, -1).area().1;
        let east = centre.neighbour(1, 0).area().0;
        let west = centre.neighbour(-1, 0).area().0;
        north.1 >= self.latitudes.1
            && south.0 <= self.latitudes.0
            && east.1 >= self.longitudes.1
            && west.0 <= self.longitudes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Place = Place {
        longitude: 13.361_389_338_970_184,
        latitude: 38.115_556_395_496_3,
    };
    const CATANIA: Place = Place {
        longitude: 15.087_267_458_438_873,
        latitude: 37.502_668_423_331_62,
    };

    #[test]
    fn distances() {
        assert_eq!(format!("{:.4}", distance_metres(PALERMO, CATANIA)), "166274.1516");
        assert_eq!(distance_metres(PALERMO, PALERMO), 0.0);
    }

    /// Whatever lies in a shape lies in one of its cells.
    #[test]
    fn cells_cover_the_shape() {
        let mut rng = base::Rng::new(5);
        let mut inside = 0;
        for _ in 0..20_000 {
            let mut between = |low: f64, high: f64| low + (high - low) * (rng.next_u64() as f64 / u64::MAX as f64);
            let centre = Place {
                longitude: between(-170.0, 170.0),
                latitude: between(-70.0, 70.0),
            };
            let size = 10f64.powf(between(0.0, 5.5));
            let place = Place {
                longitude: centre.longitude + between(-1.0, 1.0) * size / 60_000.0,
                latitude: centre.latitude + between(-1.0, 1.0) * size / 100_000.0,
            };
            let extent = if between(0.0, 1.0) < 0.5 {
                Extent::Radius(size)
            } else {
                Extent::Box(size, size * between(0.1, 2.0))
            };
            let shape = Shape {
                centre,
                extent,
                unit_metres: 1.0,
            };
            if place.is_valid() && shape.distance_metres(Place::of_score(place.score())).is_some() {
                inside += 1;
                let score = place.score();
                assert!(
                    shape.cells().iter().any(|cell| cell.scores().contains(&score)),
                    "{shape:?} {place:?}"
                );
            }
        }
        assert!(inside > 5_000, "{inside}");
    }
}
