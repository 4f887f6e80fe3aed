//! Feeds mutations of real data to every decoder: `fuzz [TARGET...] [--seconds N] [--seed S] [--corpus DIR]`.
//!
//! ```text
//!   what our writers make, and files of --corpus ──► mutate ──► decoder ──┬─► returns
//!          ▲                                                              ├─► panics, or takes too much memory or time:
//!          └───── inputs that were accepted, for a while ◄── accepted ────┘   FAILED, and the input in a file
//! ```
//!
//! There is no feedback from coverage; instead mutations know the formats: lengths and counts are put right, checksums are
//! the decoders' own affair. The same seed gives the same inputs.
#![allow(clippy::disallowed_methods, reason = "test tooling owns clocks")]

mod corpus;
mod mutate;

use base::Rng;
use ds::memory::Watching;
use mutate::Shape;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[global_allocator]
static MEMORY: Watching = Watching;

/// The largest block that an input of no bytes may ask for: buffers of fixed size.
const BLOCK_BYTES: usize = 4 << 20;
/// How much larger it may be per byte of input. LZF makes 264 bytes of three at best.
const BLOCK_BYTES_PER_BYTE: usize = 256;
/// Longer for one input is a failure: nothing here has a reason to take even a hundredth of it.
const INPUT_SECONDS_MAX: u64 = 5;

struct Target {
    name: &'static str,
    shape: Shape,
    corpus: fn(&mut Rng) -> Vec<Vec<u8>>,
    run: fn(&[u8], &mut Rng),
}

const TARGETS: [Target; 8] = [
    Target {
        name: "requests",
        shape: Shape::Bytes,
        corpus: corpus::requests,
        run: |data, rng| resp::fuzz::requests(data, 1 + rng.below(40) as usize),
    },
    Target {
        name: "replies",
        shape: Shape::Bytes,
        corpus: corpus::requests,
        run: |data, rng| resp::fuzz::replies(data, 1 + rng.below(40) as usize),
    },
    Target {
        name: "listpack",
        shape: Shape::Listpack,
        corpus: corpus::listpacks,
        run: |data, _| ds::fuzz::listpack(data),
    },
    Target {
        name: "intset",
        shape: Shape::Intset,
        corpus: corpus::intsets,
        run: |data, _| ds::fuzz::intset(data),
    },
    Target {
        name: "stream",
        shape: Shape::Listpack,
        corpus: corpus::stream_nodes,
        run: |data, _| ds::fuzz::stream_node(data),
    },
    Target {
        name: "old",
        shape: Shape::Bytes,
        corpus: corpus::old_forms,
        run: |data, _| rdb::fuzz::old_forms(data),
    },
    Target {
        name: "payload",
        shape: Shape::Bytes,
        corpus: corpus::payloads,
        run: |data, _| rdb::fuzz::payload(data),
    },
    Target {
        name: "rdb",
        shape: Shape::Bytes,
        corpus: corpus::files,
        run: |data, _| rdb::fuzz::file(data),
    },
];

struct Options {
    targets: Vec<String>,
    seconds: f64,
    seed: u64,
    corpus: Option<PathBuf>,
    failures: PathBuf,
}

fn options() -> Options {
    let mut options = Options {
        targets: Vec::new(),
        seconds: 10.0,
        seed: 1,
        corpus: None,
        failures: std::env::temp_dir(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| usage(&format!("{word} needs a value")));
        match word.as_str() {
            "--seconds" => options.seconds = value().parse().unwrap_or_else(|_| usage("--seconds takes a number")),
            "--seed" => options.seed = value().parse().unwrap_or_else(|_| usage("--seed takes a number")),
            "--corpus" => options.corpus = Some(value().into()),
            "--failures" => options.failures = value().into(),
            name if TARGETS.iter().any(|target| target.name == name) => options.targets.push(word),
            other => usage(&format!("there is no target '{other}'")),
        }
    }
    options
}

fn usage(problem: &str) -> ! {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("{problem}\nfuzz [TARGET...] [--seconds N] [--seed S] [--corpus DIR] [--failures DIR]");
    eprintln!("targets: {}", names.join(" "));
    std::process::exit(2)
}

fn main() {
    let options = options();
    panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed) = (0, 0);
    for target in &TARGETS {
        if !options.targets.is_empty() && !options.targets.iter().any(|name| name == target.name) {
            continue;
        }
        match fuzz(target, &options) {
            Ok(inputs) => {
                println!("ok     {}: {inputs} inputs", target.name);
                passed += 1;
            }
            Err(what) => {
                println!("FAILED {}: {what}", target.name);
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

/// Runs one target for its time; the number of inputs.
fn fuzz(target: &Target, options: &Options) -> Result<u64, String> {
    let mut rng = Rng::new(options.seed);
    let mut corpus = (target.corpus)(&mut rng);
    corpus.extend(saved_corpus(options, target.name));
    let until = Instant::now() + Duration::from_secs_f64(options.seconds);
    let mut inputs = 0;
    for data in &corpus {
        attempt(target, data, options, options.seed)?;
        inputs += 1;
    }
    while Instant::now() < until {
        let data = mutate::mutate(&corpus, target.shape, &mut rng);
        attempt(target, &data, options, rng.next_u64())?;
        inputs += 1;
    }
    Ok(inputs)
}

/// Runs one input, and keeps it in a file if it breaks something.
fn attempt(target: &Target, data: &[u8], options: &Options, seed: u64) -> Result<(), String> {
    let began = Instant::now();
    let _ = Watching::take_largest();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(data, &mut Rng::new(seed))));
    let largest = Watching::take_largest();
    let what = match outcome {
        Err(panic) => format!("a panic: {}", message(&*panic)),
        Ok(()) if largest > BLOCK_BYTES + BLOCK_BYTES_PER_BYTE * data.len() => {
            format!("a block of {largest} bytes for an input of {}", data.len())
        }
        Ok(()) if began.elapsed().as_secs() > INPUT_SECONDS_MAX => format!("{:?} for one input", began.elapsed()),
        Ok(()) => return Ok(()),
    };
    let file = options
        .failures
        .join(format!("fuzz-{}-{:08x}", target.name, rdb::crc64(0, data) as u32));
    let kept = match std::fs::write(&file, data) {
        Ok(()) => format!("input in {}", file.display()),
        Err(error) => format!("input not kept: {error}"),
    };
    Err(format!("{what}; {kept}"))
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

/// What was put into `DIR/TARGET` for this target.
fn saved_corpus(options: &Options, target: &str) -> Vec<Vec<u8>> {
    let Some(dir) = &options.corpus else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(dir.join(target)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files.iter().filter_map(|file| std::fs::read(file).ok()).collect()
}
