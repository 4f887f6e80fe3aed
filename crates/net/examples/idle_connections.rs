//! What an idle connection costs in this process's memory: opens ten thousand to itself on loopback, sends one command
//! through each so that its buffer was in use once, and prints the resident memory before and after.
//!
//! `cargo run --release -p skein-net --example idle_connections`
#![allow(missing_docs)]

use std::time::Duration;

use net::process::{self, FileLimit};
use net::{Accepted, InBuf, Interest, Listener, Poller, Received, Stream};

const WANTED: usize = 10_000;

/// Descriptors for everything but the two ends of each connection.
const OTHER_DESCRIPTORS: usize = 32;

fn main() -> std::io::Result<()> {
    let needed = 2 * WANTED + OTHER_DESCRIPTORS;
    let connections = match process::raise_file_limit(needed as u64) {
        FileLimit::Short { to, .. } => (to as usize - OTHER_DESCRIPTORS) / 2,
        _ => WANTED,
    };
    let listener = Listener::tcp(([127, 0, 0, 1], 0).into(), 511)?;
    let address = listener.address().ok_or(std::io::ErrorKind::Other)?;
    let mut poller = Poller::new()?;
    let mut clients = Vec::with_capacity(connections);
    let mut served = Vec::with_capacity(connections);
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let before = process::resident_bytes();

    for token in 0..connections as u64 {
        clients.push(Stream::connect_within(address, None, Duration::from_secs(5))?);
        let stream = loop {
            match listener.accept() {
                Accepted::Stream(stream) => break stream,
                Accepted::Nobody | Accepted::Lost => {}
                Accepted::NoDescriptors(error) | Accepted::Failed(error) => return Err(error),
            }
        };
        let registration = poller.register(&stream, token, Interest::Read)?;
        served.push((stream, registration, InBuf::new()));
    }
    let opened = process::resident_bytes();
    for client in &clients {
        client.write(b"PING\r\n")?;
    }
    let mut answered = 0;
    while answered < connections {
        for index in 0..poller.wait(Some(1000))? {
            let (stream, _, input) = &mut served[poller.ready(index).token as usize];
            *input = InBuf::from_storage(pool.pop().unwrap_or_default());
            if let Received::Bytes(count) = stream.read(input)? {
                input.consume(count);
                stream.write(b"+PONG\r\n")?;
                answered += 1;
            }
            pool.extend(input.take_storage());
        }
    }
    let used = process::resident_bytes();
    println!(
        "{connections} connections: {} bytes each when opened",
        (opened - before) / connections as u64
    );
    println!(
        "{} bytes each after a command through every one",
        (used - before) / connections as u64
    );
    Ok(())
}
