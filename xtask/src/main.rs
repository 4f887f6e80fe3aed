//! `cargo xtask`: the project's own checks, against a stock server wherever there is one to compare with.
#![allow(clippy::disallowed_methods, reason = "test tooling owns clocks, threads and sockets")]

mod args;
mod bench;
mod build;
mod faults;
mod fuzz;
mod interop;
mod long_sync;
mod memcheck;
mod oracle;
mod report;
mod sim;
mod tcl;
mod test;
mod tidy;
mod tutorial;

use args::Args;
use harness::Result;

const USAGE: &str = "cargo xtask TASK [options]

  tidy                   what the compiler cannot check: crate arrows, file sizes, leftovers
  test [--quick]         everything below; installs the stock server
  tutorial               the tutorial, driven by the stock redis-cli
  oracle                 random commands to both servers, replies compared byte for byte
      [--commands N] [--seed S] [--a PATH] [--b PATH] [--tamper]
  interop [NAME]         full and partial syncs with stock servers, each way, chains, promotion, restart
  faults                 kills, cuts, delays and truncations  [--trials N] [--seed S] [--only TRIAL]
  sim                    the simulator, 1,000 seeds  [--seeds N] [--seed FIRST]
  fuzz [TARGET...]       mutations of real data for every decoder  [--seconds N a target] [--seed S]
  long-sync              1 GB, a slow replica, full write load: exactly one full sync  [--megabytes N]
  bench [PART]           beside a stock server and a server that does nothing: commands, types, memory, frozen, sync
      [--quick] [--rounds N] [--against [NAME=]PATH]...  further servers, a column each
  bench io-threads       1, 2 and 4 threads, ours and the stock server's, on all processors  [--quick] [--rounds N]
  bench bounds           the pauses that the design forbids, and what an idle connection takes  [--quick]
  bench soak             full load with a save, a cut or a lost replica every few seconds  [--minutes N] [--tamper]
  tcl [FILE...]          the stock test suite's files of xtask/tcl.list, fetched when it runs  [--lanes N] [--port FIRST]
      [--io-threads N]   where N > 1, helpers read and write every socket
  memcheck               the tests of unsafe code under AddressSanitizer or valgrind, and loom

Common: --binary PATH    test this program instead of building skein; a stock redis-server must pass too
        --tamper         harm the result on purpose before it is checked; the task must then fail";

fn main() {
    let args = Args::from_env();
    let outcome = match args.task() {
        "tidy" => tidy::run(),
        "test" => test::run(&args),
        "tutorial" => tutorial::run(&args),
        "oracle" => oracle::run(&args),
        "interop" => interop::run(&args),
        "faults" => faults::run(&args),
        "sim" => sim::run(&args),
        "fuzz" => fuzz::run(&args),
        "long-sync" => long_sync::run(&args),
        "bench" => bench::run(&args),
        "tcl" => tcl::run(&args),
        "memcheck" => memcheck::run(),
        // Not for people: the other side of `bench`.
        "null-server" => args
            .number("port", 0)
            .and_then(|port| harness::null_server::serve(port as u16))
            .map(|()| true),
        "" | "help" => {
            println!("{USAGE}");
            Ok(true)
        }
        other => Err(format!("there is no task '{other}'\n\n{USAGE}").into()),
    };
    let code = exit_code(&outcome);
    if let Err(error) = outcome {
        eprintln!("error: {error}");
    }
    std::process::exit(code);
}

fn exit_code(outcome: &Result<bool>) -> i32 {
    match outcome {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => 2,
    }
}
