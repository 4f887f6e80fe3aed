//! Sends well-formed and broken requests to a server and checks that it answers as our parser says.
//!
//! ```text
//! redis-server --port 7001 --save '' &
//! cargo run -p skein-resp --example stock_protocol -- 127.0.0.1:7001
//! redis-server --port 7002 --save '' --requirepass secret &
//! cargo run -p skein-resp --example stock_protocol -- 127.0.0.1:7002 locked
//! ```

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use resp::{Argv, Limits, Parsed, Parser, Proto, Reply};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(address) = arguments.next() else {
        eprintln!("usage: stock_protocol host:port [locked]");
        return ExitCode::FAILURE;
    };
    let authenticated = arguments.next().is_none();
    let limits = Limits {
        authenticated,
        ..Limits::default()
    };
    let mut failures = 0;
    for request in requests() {
        let expected = predicted(&request, &limits);
        let actual = exchange(&address, &request).unwrap_or_else(|error| error.to_string().into_bytes());
        let same = expected == actual;
        failures += usize::from(!same);
        let shown = &request[..request.len().min(60)];
        println!("{} {}", if same { "ok  " } else { "DIFF" }, shown.escape_ascii());
        if !same {
            println!(
                "     parser: {}\n     server: {}",
                expected.escape_ascii(),
                actual.escape_ascii()
            );
        }
    }
    println!("{failures} differences");
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn requests() -> Vec<Vec<u8>> {
    let texts: &[&[u8]] = &[
        b"ECHO a\r\n",
        b"ECHO a\nECHO b\r\n\r\n   \r\nECHO \"c d\"\r\n",
        b"ECHO \"a\r\nECHO b\r\n",
        b"ECHO 'a'b\r\n",
        b"ECHO \"\\x41\\n\"\r\n",
        b"ECHO a\0b\r\nECHO c\r\n",
        b"*2\r\n$4\r\nECHO\r\n$1\r\na\r\n",
        b"*2\r\n$4\r\nECHOxx$1\r\nayy",
        b"*2\rx$4\ryECHO\r\n$1\r\na\r\n",
        b"*0\r\n*-1\r\n*-7\r\nECHO a\r\n",
        b"*\r\n",
        b"*01\r\n",
        b"*+1\r\n",
        b"* 1\r\n",
        b"*-0\r\n",
        b"*1x\r\n",
        b"*1\n",
        b"*1\n$4\r\n",
        b"*10\r\n",
        b"*11\r\n",
        b"*1048576\r\n",
        b"*1048577\r\n",
        b"*2147483647\r\n",
        b"*2147483648\r\n",
        b"*9223372036854775807\r\n",
        b"*9223372036854775808\r\n",
        b"*1\r\n:4\r\nPING\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\n\r\n",
        b"*1\r\n\0\r\n",
        b"*1\r\n\xe9\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$04\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$16384\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*1\0\r\n",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.to_vec()).collect();
    for start in [b"ECHO ".as_slice(), b"*1", b"*1\r\n$1", b"*1\0", b"\0"] {
        for length in [65_530, 65_537, 70_000] {
            let mut long = start.to_vec();
            long.resize(start.len() + length, b'1');
            all.push(long);
        }
    }
    all
}

/// What the server should answer, going by our parser.
fn predicted(request: &[u8], limits: &Limits) -> Vec<u8> {
    let (mut parser, mut argv, mut out) = (Parser::new(), Argv::new(), Vec::new());
    let mut rest = request;
    loop {
        match parser.parse(rest, limits, &mut argv) {
            Parsed::Command { consumed } => {
                let args = argv.args(rest);
                let mut reply = Reply::new(&mut out, Proto::Resp2);
                match args.try_get(1) {
                    _ if !limits.authenticated => reply.error("NOAUTH Authentication required."),
                    Some(text) => reply.bulk(text),
                    None => reply.error("ERR wrong number of arguments for 'echo' command"),
                }
                rest = &rest[consumed..];
            }
            Parsed::Empty { consumed } => rest = &rest[consumed..],
            Parsed::Incomplete => return out,
            Parsed::Error(error) => {
                out.extend_from_slice(&error.reply_line());
                return out;
            }
        }
    }
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(request)?;
    let mut reply = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(&piece[..count]),
            // Nothing more to come: the server waits for the rest of the request.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    Ok(reply)
}
