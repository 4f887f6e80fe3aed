//! `skein check-rdb`: is an RDB file whole?

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use net::Clock;
use rdb::{CheckEvent, check};

/// Checks the files and prints what is in them; fails when one is not whole.
#[must_use]
pub fn run(files: &[String]) -> ExitCode {
    if files.is_empty() || files.iter().any(|file| file == "-h" || file == "--help") {
        eprintln!("Usage: skein check-rdb FILE ...");
        return ExitCode::FAILURE;
    }
    if let [only] = files
        && (only == "-v" || only == "--version")
    {
        println!("{}", crate::version::server_line());
        return ExitCode::SUCCESS;
    }
    let whole = files.iter().filter(|file| check_file(file)).count();
    if whole == files.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check_file(path: &str) -> bool {
    println!("[offset 0] Checking RDB file {path}");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            println!("Cannot open file: {path}: {error}");
            return false;
        }
    };
    let mut last = 0;
    let report = check(
        BufReader::with_capacity(1 << 20, file),
        Clock.now().unix_ms(),
        &mut |offset, event| {
            last = offset;
            match event {
                CheckEvent::Aux(name, value) => {
                    let (name, value) = (name.escape_ascii(), value.escape_ascii());
                    println!("[offset {offset}] AUX FIELD {name} = '{value}'");
                }
                CheckEvent::SelectDb(number) => println!("[offset {offset}] Selecting DB ID {number}"),
                _ => {}
            }
        },
    );
    match report {
        Ok(report) => {
            println!("[offset {}] Checksum: {:?}", report.bytes, report.checksum);
            println!("[offset {}] \\o/ RDB looks OK! \\o/", report.bytes);
            println!("[info] {} keys read", report.keys);
            println!("[info] {} expires", report.expiring);
            println!("[info] {} already expired", report.expired);
            if report.functions > 0 {
                println!("[info] {} function libraries", report.functions);
            }
            true
        }
        Err(error) => {
            println!("--- RDB ERROR DETECTED ---");
            println!("[offset {last}] {error}");
            false
        }
    }
}
