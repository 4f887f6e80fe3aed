//! Places on the globe as scores of a sorted set, and the search around a place.
//!
//! ```text
//!   longitude ─► 26 bits ─┐                              ┌──────┬──────┬──────┐
//!                         ├─ interleaved: 52 bits,       │  NW  │  N   │  NE  │   a search looks through the cell of
//!   latitude ──► 26 bits ─┘  exact in a double           ├──────┼──────┼──────┤   its centre and its neighbours, on
//!                                                        │  W   │centre│  E   │   the level where these nine cover
//!   a cell: the first 2 × steps bits, and all            ├──────┼──────┼──────┤   it: a range of scores each
//!   scores that begin with them                          │  SW  │  S   │  SE  │
//!                                                        └──────┴──────┴──────┘
//! ```
//!
//! The arithmetic follows the stock server's step by step, since replies show all digits of coordinates, and the order of
//! an unsorted reply is that of the cells.

mod cell;
mod shape;

pub use cell::{Cell, Place};
pub use shape::{Extent, Shape, distance_metres};
