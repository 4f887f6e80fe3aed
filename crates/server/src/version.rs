//! What this program calls itself, and which Redis it stands in for.

/// The version of Redis whose behaviour, errors and INFO fields Skein shows.
pub const REDIS_VERSION: &str = "7.0.15";

/// Skein's own version.
pub const SKEIN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The allocators, of small blocks and of large ones, as INFO and `--version` name it.
pub const ALLOCATOR: &str = "slab+mimalloc";

/// The line that `--version` prints, shaped as stock servers' so that scripts find `v=`.
#[must_use]
pub fn server_line() -> String {
    let bits = usize::BITS;
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc={ALLOCATOR} bits={bits} build=skein Skein {SKEIN_VERSION}"
    )
}
