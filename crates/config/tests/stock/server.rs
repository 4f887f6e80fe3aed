//! A stock server to ask, and the little of its protocol that takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A reply, as far as CONFIG gives any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Status or error, mark included.
    Line(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// An array.
    List(Vec<Reply>),
}

impl Reply {
    pub fn line(&self) -> &str {
        match self {
            Self::Line(line) => line,
            other => panic!("{other:?} is no line"),
        }
    }

    /// Names and values of CONFIG GET.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let Self::List(items) = self else {
            panic!("{self:?} is no list")
        };
        let text = |item: &Self| match item {
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?} is no text"),
        };
        items.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }
}

/// True when stock 7.0.15 is installed; else says why its tests are skipped.
pub fn installed() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    let fits = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("v=7.0.15"));
    if !fits {
        eprintln!("skipped: no redis-server 7.0.15 on this machine to compare with");
    }
    fits
}

/// A new directory for one test; it goes with this value.
pub struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

pub fn scratch(name: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("skein-config-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Scratch(path)
}

/// A running stock server; it ends with this value.
pub struct Stock {
    process: Child,
    pub port: u16,
    connection: BufReader<TcpStream>,
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Stock {
    /// Starts one in `directory` on a free port, with `config` as its file and more words behind.
    pub fn start(directory: &Path, config: &str, words: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = directory.join("redis.conf");
        std::fs::write(&file, config.replace("{port}", &port.to_string())).unwrap();
        let process = Command::new("redis-server")
            .arg(&file)
            .args(words)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = process;
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return Self {
                    process,
                    port,
                    connection: BufReader::new(stream),
                };
            }
            assert!(
                process.try_wait().unwrap().is_none(),
                "the stock server ended: {config}"
            );
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the stock server does not listen on {port}");
    }

    pub fn ask(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.connection.get_mut().write_all(&request).unwrap();
        self.read(words)
    }

    fn read(&mut self, asked: &[&[u8]]) -> Reply {
        let mut line = String::new();
        self.connection.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        assert!(!line.is_empty(), "the stock server hung up on {asked:?}");
        match line.split_at(1) {
            ("$", length) => {
                let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
                self.connection.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            ("*", count) => Reply::List((0..count.parse().unwrap()).map(|_| self.read(asked)).collect()),
            _ => Reply::Line(line),
        }
    }
}

/// What a start of the stock server that is to end at once says on standard error.
pub fn start_and_end(directory: &Path, words: &[&str], stdin: &str) -> String {
    let mut process = Command::new("redis-server")
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A server that refuses its command line ends without reading standard input.
    match process.stdin.take().unwrap().write_all(stdin.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let output = process.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}
