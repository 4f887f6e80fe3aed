//! The `skein` binary: server, client and tools in one.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

fn main() -> ExitCode {
    server::main()
}
