//! The demo alone; needs `SKEIN_DEMO_SERVER`, since this program is no server.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::demo::main(std::env::args_os().skip(1).collect())
}
