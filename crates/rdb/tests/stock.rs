//! The codec against a stock server: each loads what the other writes, and the keys are compared over the wire.

use base::{DbIndex, Millis, Rng};
use keyspace::{Encodings, Keyspace, NewValue, ValueRef};
use rdb::{Compression, Home, LoadOptions, SaveOptions, Unwatched};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A stock server in a directory of its own; gone, with its directory, at the end.
struct Stock {
    child: Child,
    directory: PathBuf,
    stream: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Line(String),
    Int(i64),
    Bytes(Option<Vec<u8>>),
}

impl Stock {
    /// `None`, with a line that says so, where no stock server is installed.
    fn start(name: &str, dump: Option<&[u8]>) -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            println!("SKIPPED: no redis-server is installed, so nothing is compared with stock");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("skein-rdb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        if let Some(bytes) = dump {
            std::fs::write(directory.join("dump.rdb"), bytes).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--dir"])
            .arg(&directory)
            .args(["--logfile", "log", "--enable-debug-command", "yes"])
            .spawn()
            .unwrap();
        let stream = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(25));
                TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .expect("stock does not come up");
        let mut stock = Self {
            child,
            directory,
            stream: BufReader::new(stream),
        };
        while matches!(stock.ask(&[b"PING"]), Answer::Line(line) if line.starts_with("-LOADING")) {
            std::thread::sleep(Duration::from_millis(25));
        }
        Some(stock)
    }

    fn ask(&mut self, words: &[&[u8]]) -> Answer {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        match line.split_at_checked(1) {
            Some((":", number)) => Answer::Int(number.parse().unwrap()),
            Some(("$", "-1")) => Answer::Bytes(None),
            Some(("$", len)) => {
                let mut bytes = vec![0; len.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Answer::Bytes(Some(bytes))
            }
            _ => Answer::Line(line),
        }
    }

    fn ok(&mut self, words: &[&[u8]]) {
        assert_eq!(self.ask(words), Answer::Line("+OK".into()), "{words:?}");
    }

    fn dump_file(&self) -> Vec<u8> {
        std::fs::read(Path::new(&self.directory).join("dump.rdb")).unwrap()
    }

    /// Every key of `keyspace`, and no other, is there with the same value and expiry.
    fn assert_equals(&mut self, keyspace: &Keyspace) {
        for db in 0..keyspace.databases() {
            self.ok(&[b"SELECT", db.to_string().as_bytes()]);
            let db = keyspace.db(DbIndex(db));
            assert_eq!(self.ask(&[b"DBSIZE"]), Answer::Int(db.len() as i64));
            for entry in db.iter() {
                assert_eq!(
                    self.ask(&[b"GET", entry.key()]),
                    Answer::Bytes(Some(text(entry.value())))
                );
                let expiry = entry.expiry().map_or(-1, |expiry| expiry.0);
                assert_eq!(self.ask(&[b"PEXPIRETIME", entry.key()]), Answer::Int(expiry));
            }
        }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn text(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Int(number) => number.to_string().into_bytes(),
        ValueRef::Bytes(bytes) => bytes.to_vec(),
        ValueRef::Chunked(string) => string.chunks().flatten().copied().collect(),
        other => panic!("an unexpected value: {other:?}"),
    }
}

/// Far enough ahead that nothing expires during a test.
const FAR_AHEAD_MS: i64 = 4_000_000_000_000;

fn string(rng: &mut Rng) -> Vec<u8> {
    match rng.below(7) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => (0..rng.below(100)).map(|_| rng.next_u64() as u8).collect(),
        2 => vec![rng.next_u64() as u8; rng.below(2000) as usize],
        3 => b"some words that come again, ".repeat(rng.below(100) as usize),
        4 if rng.chance(1, 20) => (0..200_000u32).map(|at| (at / 5) as u8).collect(),
        5 if rng.chance(1, 20) => (0..150_000).map(|_| rng.next_u64() as u8).collect(),
        _ => format!("plain:{}", rng.below(100_000)).into_bytes(),
    }
}

fn keyspace(seed: u64) -> Keyspace {
    let mut rng = Rng::new(seed);
    let mut keyspace = Keyspace::new(16, seed);
    for _ in 0..1500 {
        let (key, value) = (string(&mut rng), string(&mut rng));
        let expiry = rng
            .chance(1, 3)
            .then(|| Millis(FAR_AHEAD_MS + rng.below(1 << 40) as i64));
        let hash = keyspace.hash(&key);
        let db = DbIndex(*rng.pick(&[0, 0, 1, 15]));
        keyspace.db_mut(db).set(&key, hash, NewValue::Bytes(&value), expiry);
    }
    keyspace
}

#[test]
fn stock_loads_what_we_write() {
    for (compression, checksum) in [(Compression::Lzf, true), (Compression::Off, false)] {
        let mut ours = keyspace(21);
        let options = SaveOptions {
            compression,
            checksum,
            functions: std::sync::Arc::from([
                b"#!lua name=l\nredis.register_function('f', function() return 7 end)".to_vec()
            ]),
            access_clock: Some(rdb::AccessClock::Lru { now_seconds: 1000 }),
            ..SaveOptions::default()
        };
        let mut bytes = Vec::new();
        rdb::save(&mut bytes, ours.freeze(), &options, &mut Unwatched).unwrap();
        let Some(mut stock) = Stock::start("ours", Some(&bytes)) else {
            return;
        };
        stock.assert_equals(&ours);
        assert_eq!(stock.ask(&[b"FCALL", b"f", b"0"]), Answer::Int(7));
    }
}

#[test]
fn we_load_what_stock_writes() {
    let Some(mut stock) = Stock::start("theirs", None) else {
        return;
    };
    let ours = keyspace(22);
    for (round, compression) in [b"yes".as_slice(), b"no"].into_iter().enumerate() {
        stock.ok(&[b"CONFIG", b"SET", b"rdbcompression", compression]);
        stock.ok(&[
            b"CONFIG",
            b"SET",
            b"maxmemory-policy",
            if round == 0 { b"allkeys-lfu" } else { b"noeviction" },
        ]);
        for db in 0..16 {
            stock.ok(&[b"SELECT", db.to_string().as_bytes()]);
            for entry in ours.db(DbIndex(db)).iter() {
                let value = text(entry.value());
                match entry.expiry() {
                    Some(expiry) => {
                        stock.ok(&[b"SET", entry.key(), &value, b"PXAT", expiry.0.to_string().as_bytes()]);
                    }
                    None => stock.ok(&[b"SET", entry.key(), &value]),
                }
            }
        }
        stock.ok(&[b"SAVE"]);
        let mut loaded = Keyspace::new(16, 5);
        let bytes = stock.dump_file();
        let summary = rdb::load(&bytes[..], &mut loaded, &LoadOptions::default(), &mut Unwatched).unwrap();
        assert_eq!(summary.keys_loaded, ours.key_count());
        assert_eq!(summary.aux.server_version.as_deref(), Some("7.0.15"));
        stock.assert_equals(&loaded);
    }
}

/// Keys of every type in small and large forms, as commands make them.
fn fill_with_every_type(stock: &mut Stock) {
    stock.ok(&[b"CONFIG", b"SET", b"stream-node-max-entries", b"10"]);
    for number in 0..2000 {
        let word = format!("{number}-{}", "x".repeat(number % 90));
        let word = word.as_bytes();
        for key in [&b"small"[..], b"large"] {
            if key == b"small" && number > 20 {
                continue;
            }
            let named = |kind: &[u8]| [kind, b":", key].concat();
            stock.ask(&[b"RPUSH", &named(b"list"), word]);
            stock.ask(&[b"SADD", &named(b"set"), word]);
            stock.ask(&[b"SADD", &named(b"ints"), (number * number * 99).to_string().as_bytes()]);
            stock.ask(&[b"HSET", &named(b"hash"), word, b"1"]);
            stock.ask(&[
                b"ZADD",
                &named(b"zset"),
                (number as f64 / 8.0).to_string().as_bytes(),
                word,
            ]);
            stock.ask(&[b"XADD", &named(b"stream"), b"*", b"field", word]);
        }
    }
    stock.ask(&[b"RPUSH", b"list:large", &[b'p'; 20_000]]);
    stock.ask(&[b"ZADD", b"zset:large", b"-inf", b"first"]);
    stock.ok(&[b"XGROUP", b"CREATE", b"stream:large", b"group", b"0"]);
    for consumer in ["one", "two"] {
        // In a script, so that the answer is no array.
        let script = format!(
            "redis.call('XREADGROUP', 'GROUP', 'group', '{consumer}', 'COUNT', 30, 'STREAMS', 'stream:large', '>') \
             redis.call('XTRIM', 'stream:large', 'MAXLEN', 1995) \
             return redis.status_reply('OK')"
        );
        stock.ok(&[b"EVAL", script.as_bytes(), b"0"]);
    }
    stock.ok(&[b"SET", b"plain", b"value"]);
}

/// Keys whose DUMP has one order only.
const ORDERED: [&[u8]; 9] = [
    b"plain",
    b"list:small",
    b"list:large",
    b"ints:small",
    b"hash:small",
    b"zset:small",
    b"zset:large",
    b"stream:small",
    b"stream:large",
];

#[test]
fn every_type_comes_back_to_stock_as_it_was() {
    let Some(mut stock) = Stock::start("types", None) else {
        return;
    };
    fill_with_every_type(&mut stock);
    stock.ok(&[b"CONFIG", b"SET", b"rdbcompression", b"no"]);
    for compress_depth in [b"0", b"1"] {
        stock.ok(&[b"CONFIG", b"SET", b"list-compress-depth", compress_depth]);
        stock.ok(&[b"SAVE"]);
        let bytes = stock.dump_file();
        let mut keyspace = Keyspace::new(16, 5);
        let summary = rdb::load(&bytes[..], &mut keyspace, &LoadOptions::default(), &mut Unwatched).unwrap();
        assert_eq!(summary.keys_loaded, 13);

        let mut ours = Vec::new();
        rdb::save(&mut ours, keyspace.freeze(), &SaveOptions::default(), &mut Unwatched).unwrap();
        let mut other = Stock::start("types-back", Some(&ours)).expect("it was there just now");
        other.ok(&[b"CONFIG", b"SET", b"rdbcompression", b"no"]);
        assert_eq!(stock.ask(&[b"DEBUG", b"DIGEST"]), other.ask(&[b"DEBUG", b"DIGEST"]));
        for key in ORDERED {
            let theirs = stock.ask(&[b"DUMP", key]);
            let name = key.escape_ascii();
            assert!(theirs == other.ask(&[b"DUMP", key]), "{name} is not what it was");
            let db = keyspace.db(DbIndex(0));
            let value = db.get(key, keyspace.hash(key)).expect("it was loaded").value();
            let mut payload = Vec::new();
            rdb::write_payload(&mut payload, value, Compression::Off);
            assert!(
                theirs == Answer::Bytes(Some(payload)),
                "{name} is not dumped as stock does"
            );
        }
    }
}

#[test]
fn payloads_are_exchanged() {
    let Some(mut stock) = Stock::start("payloads", None) else {
        return;
    };
    let mut rng = Rng::new(5);
    let keyspace = Keyspace::new(1, 1);
    let home = Home::new(keyspace.db(DbIndex(0)), Encodings::default(), None);
    for _ in 0..500 {
        let value = string(&mut rng);
        stock.ok(&[b"SET", b"k", &value]);
        let Answer::Bytes(Some(theirs)) = stock.ask(&[b"DUMP", b"k"]) else {
            panic!("no payload")
        };
        let read = rdb::Payload::open(&theirs).unwrap().read(&home, |value| match value {
            NewValue::Int(number) => number.to_string().into_bytes(),
            NewValue::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        });
        assert_eq!(read.unwrap(), value);
        let mut ours = Vec::new();
        rdb::write_payload(&mut ours, ValueRef::Bytes(&value), Compression::Lzf);
        stock.ok(&[b"RESTORE", b"r", b"0", &ours, b"REPLACE"]);
        assert_eq!(stock.ask(&[b"GET", b"r"]), Answer::Bytes(Some(value)));
    }
}
