//! See ARCHITECTURE.md.
pub mod ids;
pub mod psync;
pub mod stream;
