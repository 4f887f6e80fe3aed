//! Everything the client does besides running commands: `--stat`, `--latency`, `--scan`, `--bigkeys`, `--pipe`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::time::{Duration, Instant};

use resp::Value;

use crate::connection::{Connection, Error, readable};
use crate::format::{Style, quoted};
use crate::options::{Mode, Options};
use crate::screen;
use crate::session::{Loudness, Session};

/// A line of `--stat` between two headings.
const STAT_LINES: usize = 20;
/// Keys asked from the server at once.
const SCAN_COUNT: &str = "1000";
/// The last request of `--pipe` begins with this; its echo says that all replies came.
const PIPE_READ_BYTES: usize = 64 * 1024;

/// Runs the mode that the options name; whether it went well.
pub fn run(options: &Options) -> bool {
    let mut session = Session::new(options.clone());
    if !session.connect(Loudness::Loud) {
        return false;
    }
    let Some(connection) = session.connection() else {
        return false;
    };
    let outcome = match options.mode {
        Mode::Commands => Ok(true),
        Mode::Stat => stat(connection, options),
        Mode::Latency { history } => latency(connection, options, history),
        Mode::Scan => scan(connection, options),
        Mode::BigKeys => big_keys(connection, options),
        Mode::Pipe => pipe(connection, options),
    };
    match outcome {
        Ok(success) => success,
        Err(error) => {
            eprintln!("Error: {error}");
            false
        }
    }
}

/// The value of a field of INFO.
#[must_use]
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_end)
}

fn reply_text(value: &Value) -> String {
    String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned()
}

/// Whether the reply is an error; then it is printed.
fn refused(reply: &Value) -> bool {
    match reply.as_error() {
        Some(line) => {
            eprintln!("ERROR: {}", String::from_utf8_lossy(line));
            true
        }
        None => false,
    }
}

fn stat(connection: &mut Connection, options: &Options) -> Result<bool, Error> {
    let pace = if options.interval.is_zero() {
        Duration::from_secs(1)
    } else {
        options.interval
    };
    let mut requests_before = 0;
    let mut line = 0;
    let mut left = options.repeat;
    loop {
        let reply = connection.call(&["INFO"])?;
        if refused(&reply) {
            return Ok(false);
        }
        let info = reply_text(&reply);
        if line % STAT_LINES == 0 {
            screen::print_line(concat!(
                "------- data ------ --------------------- load -------------------- - child -\n",
                "keys       mem      clients blocked requests            connections          "
            ));
        }
        let number = |name: &str| {
            info_field(&info, name)
                .and_then(|text| text.parse::<i64>().ok())
                .unwrap_or(0)
        };
        let requests = number("total_commands_processed");
        let since = if line == 0 { 0 } else { requests - requests_before };
        requests_before = requests;
        let child = match (number("rdb_bgsave_in_progress"), number("aof_rewrite_in_progress")) {
            (0, 0) => "",
            (1, 0) => "SAVE",
            (0, _) => "AOF",
            _ => "SAVE+AOF",
        };
        screen::print_line(&format!(
            "{:<11}{:<9}{:<8}{:<8}{:<20}{:<12} {child}",
            keys(&info),
            short_bytes(number("used_memory")),
            number("connected_clients"),
            number("blocked_clients"),
            format!("{requests} (+{since})"),
            number("total_connections_received"),
        ));
        line += 1;
        left -= i64::from(left > 0);
        // Like the stock client, one line is not enough unless more were asked for by number.
        if left == 0 && options.repeat > 1 {
            return Ok(true);
        }
        std::thread::sleep(pace);
    }
}

/// The keys of all databases.
fn keys(info: &str) -> i64 {
    let per_database = |line: &str| -> Option<i64> {
        let rest = line.strip_prefix("db")?.split_once(":keys=")?.1;
        rest.split(',').next()?.parse().ok()
    };
    info.lines().filter_map(per_database).sum()
}

fn short_bytes(bytes: i64) -> String {
    let bytes = bytes as f64;
    let (scale, unit) = match bytes {
        bytes if bytes < 1024.0 => return format!("{bytes:.0}B"),
        bytes if bytes < 1024.0 * 1024.0 => (1024.0, 'K'),
        bytes if bytes < 1024.0 * 1024.0 * 1024.0 => (1024.0 * 1024.0, 'M'),
        _ => (1024.0 * 1024.0 * 1024.0, 'G'),
    };
    format!("{:.2}{unit}", bytes / scale)
}

/// Times of PING, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Samples {
    least: u128,
    most: u128,
    total: u128,
    count: u128,
}

impl Samples {
    fn add(&mut self, ms: u128) {
        self.least = if self.count == 0 { ms } else { self.least.min(ms) };
        self.most = self.most.max(ms);
        self.total += ms;
        self.count += 1;
    }

    fn text(&self, style: Style) -> String {
        let Self {
            least,
            most,
            total,
            count,
        } = self;
        let average = *total as f64 / *count as f64;
        match style {
            Style::Standard => format!("min: {least}, max: {most}, avg: {average:.2} ({count} samples)"),
            Style::Csv => format!("{least},{most},{average:.2},{count}"),
            Style::Raw => format!("{least} {most} {average:.2} {count}"),
            Style::Json | Style::QuotedJson => {
                format!("{{\"min\": {least}, \"max\": {most}, \"avg\": {average:.2}, \"count\": {count}}}")
            }
        }
    }
}

fn latency(connection: &mut Connection, options: &Options, history: bool) -> Result<bool, Error> {
    let default_seconds = if history { 15 } else { 1 };
    let span = if options.interval.is_zero() {
        Duration::from_secs(default_seconds)
    } else {
        options.interval
    };
    let rolling = std::io::stdout().is_terminal() && options.style == Style::Standard;
    let (mut samples, mut since) = (Samples::default(), Instant::now());
    loop {
        let start = Instant::now();
        if refused(&connection.call(&["PING"])?) {
            return Ok(false);
        }
        samples.add(start.elapsed().as_millis());
        let text = samples.text(options.style);
        if rolling {
            screen::print(format!("\x1b[0G\x1b[2K{text}").as_bytes());
        }
        if since.elapsed() >= span {
            if history {
                let range = format!(" -- {:.2} seconds range", since.elapsed().as_secs_f64());
                screen::print_line(&if rolling { range } else { text + &range });
                (samples, since) = (Samples::default(), Instant::now());
            } else if !rolling {
                screen::print_line(&text);
                return Ok(true);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Calls `each` with the keys of the selected database, page by page; whether the server went along.
fn scan_pages(
    connection: &mut Connection,
    options: &Options,
    mut each: impl FnMut(&mut Connection, &[Value]) -> Result<bool, Error>,
) -> Result<bool, Error> {
    let mut cursor = b"0".to_vec();
    loop {
        let mut words: Vec<&[u8]> = vec![b"SCAN", &cursor];
        if let Some(pattern) = &options.pattern {
            words.extend([b"MATCH".as_slice(), pattern]);
        }
        words.extend([b"COUNT".as_slice(), SCAN_COUNT.as_bytes()]);
        let reply = connection.call(&words)?;
        if refused(&reply) {
            return Ok(false);
        }
        let Some([next, Value::Array(keys)]) = reply.as_elements() else {
            eprintln!("ERROR: unexpected reply to SCAN");
            return Ok(false);
        };
        if !each(connection, keys)? {
            return Ok(false);
        }
        cursor = next.as_bytes().unwrap_or(b"0").to_vec();
        if cursor == b"0" {
            return Ok(true);
        }
        if !options.interval.is_zero() {
            std::thread::sleep(options.interval);
        }
    }
}

fn scan(connection: &mut Connection, options: &Options) -> Result<bool, Error> {
    scan_pages(connection, options, |_, keys| {
        let mut page = Vec::new();
        for key in keys.iter().filter_map(Value::as_bytes) {
            if options.style == Style::Standard {
                page.extend_from_slice(&quoted(key));
            } else {
                page.extend_from_slice(key);
            }
            page.push(b'\n');
        }
        screen::print(&page);
        Ok(true)
    })
}

/// What `--bigkeys` knows of one type.
#[derive(Default)]
struct TypeFacts {
    keys: u64,
    size: u64,
    biggest: Option<(Vec<u8>, u64)>,
}

/// The command that tells the size of a type, and the unit it counts.
fn size_command(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "string" => ("STRLEN", "bytes"),
        "list" => ("LLEN", "items"),
        "set" => ("SCARD", "members"),
        "hash" => ("HLEN", "fields"),
        "zset" => ("ZCARD", "members"),
        "stream" => ("XLEN", "entries"),
        _ => return None,
    })
}

fn big_keys(connection: &mut Connection, options: &Options) -> Result<bool, Error> {
    let mut types: BTreeMap<String, TypeFacts> = BTreeMap::new();
    let (mut sampled, mut name_bytes) = (0u64, 0u64);
    screen::print_line(
        "\n# Scanning the entire keyspace to find biggest keys as well as\n# average sizes per key type.\n",
    );
    let whole = scan_pages(connection, options, |connection, keys| {
        for key in keys.iter().filter_map(Value::as_bytes) {
            let kind = reply_text(&connection.call(&[b"TYPE".as_slice(), key])?);
            let Some((command, unit)) = size_command(&kind) else {
                continue;
            };
            let size = connection
                .call(&[command.as_bytes(), key])?
                .as_int()
                .unwrap_or(0)
                .max(0) as u64;
            sampled += 1;
            name_bytes += key.len() as u64;
            let facts = types.entry(kind.clone()).or_default();
            facts.keys += 1;
            facts.size += size;
            if facts.biggest.as_ref().is_none_or(|(_, biggest)| size > *biggest) {
                let name = String::from_utf8_lossy(&quoted(key)).into_owned();
                screen::print_line(&format!(
                    "[{sampled}] Biggest {kind:<6} found so far '{name}' with {size} {unit}"
                ));
                facts.biggest = Some((key.to_vec(), size));
            }
        }
        Ok(true)
    })?;
    screen::print_line("\n-------- summary -------\n");
    screen::print_line(&format!("Sampled {sampled} keys in the keyspace!"));
    let average = name_bytes as f64 / sampled.max(1) as f64;
    screen::print_line(&format!(
        "Total key length in bytes is {name_bytes} (avg len {average:.2})\n"
    ));
    for (kind, facts) in &types {
        let unit = size_command(kind).map_or("", |(_, unit)| unit);
        if let Some((key, size)) = &facts.biggest {
            let name = String::from_utf8_lossy(&quoted(key)).into_owned();
            screen::print_line(&format!("Biggest {kind:>6} found '{name}' has {size} {unit}"));
        }
    }
    screen::print_line("");
    for (kind, facts) in &types {
        let unit = size_command(kind).map_or("", |(_, unit)| unit);
        let share = 100.0 * facts.keys as f64 / sampled as f64;
        let average = facts.size as f64 / facts.keys as f64;
        screen::print_line(&format!(
            "{} {kind}s with {} {unit} ({share:05.2}% of keys, avg size {average:.2})",
            facts.keys, facts.size
        ));
    }
    Ok(whole)
}

/// Sends standard input as it is while reading replies, then an ECHO whose reply must be the last.
fn pipe(connection: &mut Connection, options: &Options) -> Result<bool, Error> {
    let mark = format!("skein-pipe-end-{}-{}", std::process::id(), options.endpoint);
    let (mut replies, mut errors) = (0u64, 0u64);
    let mut count = |reply: &Value| {
        if reply.as_bytes() == Some(mark.as_bytes()) {
            return true;
        }
        replies += 1;
        if let Some(line) = reply.as_error() {
            errors += 1;
            eprintln!("{}", String::from_utf8_lossy(line));
        }
        false
    };
    let mut input = std::io::stdin().lock();
    let mut piece = vec![0; PIPE_READ_BYTES];
    loop {
        let length = input.read(&mut piece)?;
        if length == 0 {
            break;
        }
        connection.send_raw(&piece[..length])?;
        // Replies must not pile up in the server while we send.
        while connection.has_buffered() || readable(&*connection, Duration::ZERO)? {
            match connection.read_available()? {
                Some(reply) => count(&reply),
                None => break,
            };
        }
    }
    screen::print_line("All data transferred. Waiting for the last reply...");
    connection.set_timeout(Some(options.pipe_timeout).filter(|timeout| !timeout.is_zero()))?;
    connection.send(&["ECHO", &mark])?;
    loop {
        match connection.read() {
            Ok(reply) if count(&reply) => {
                screen::print_line("Last reply received from server.");
                break;
            }
            Ok(_) => {}
            Err(error) if error.is_timeout() => {
                eprintln!("No replies for {} seconds: exiting.", options.pipe_timeout.as_secs());
                errors += 1;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    screen::print_line(&format!("errors: {errors}, replies: {replies}"));
    Ok(errors == 0)
}
