//! Sends steps to both servers and compares what comes back.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use harness::reply::write_command;
use harness::{Client, Context, Proxy, Reply, Result, Server, Value};

use super::generate::{SESSIONS, Words, default_thresholds};
use super::{keyspaces, volatile};

/// How the words of a command travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    Multibulk,
    Inline,
}

/// One thing that happens to both servers.
#[derive(Clone, Debug)]
pub enum Step {
    /// A command on one of the open connections, or several that only make sense together.
    Command {
        session: usize,
        commands: Vec<Words>,
        encoding: Encoding,
    },
    /// SCAN, or one of a collection, from the first cursor, which comes before word `cursor_at`, to the last, as one set.
    Sweep { words: Words, cursor_at: usize },
    /// Bytes on a connection of their own, to its end; a password may be set meanwhile.
    Raw { bytes: Vec<u8>, password: bool },
}

/// Where the two servers part.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The step at which it showed.
    pub step: usize,
    /// What it is about, to tell one mismatch from another.
    pub topic: String,
    pub why: String,
    pub a: String,
    pub b: String,
}

/// How long a reply may take.
const REPLY: Duration = Duration::from_secs(10);
/// Commands sent before their replies are read.
const PIPELINE: usize = 64;

/// One of the two servers and the connections to it.
struct Side {
    server: Server,
    /// Alters a byte of each connection, when the oracle itself is tested.
    proxy: Option<Proxy>,
    sessions: Vec<Client>,
}

impl Side {
    fn connect(&self) -> Result<Client> {
        let mut client = Client::connect(self.proxy.as_ref().map_or(self.server.port(), Proxy::port))?;
        client.set_timeout(REPLY)?;
        Ok(client)
    }

    /// A connection that the server has accepted: connections in a hurry may be accepted in another order.
    fn session(&self) -> Result<Client> {
        let mut client = self.connect()?;
        client.call(&["PING"])?;
        Ok(client)
    }

    /// Empty databases, default settings, new connections; starts the server again if it is gone.
    fn reset(&mut self) -> Result<()> {
        self.sessions.clear();
        if !self.server.is_running() {
            self.server.kill();
            self.server.run()?;
        }
        let mut admin = self.server.client()?;
        admin.set_timeout(REPLY)?;
        for words in [
            &["CLIENT", "UNPAUSE"][..],
            &["REPLICAOF", "NO", "ONE"],
            &["FLUSHALL", "SYNC"],
            &["CONFIG", "SET", "requirepass", "", "maxmemory-policy", "noeviction"],
            &[
                "CONFIG",
                "SET",
                "slowlog-max-len",
                "128",
                "hz",
                "10",
                "maxmemory-samples",
                "5",
                "lfu-log-factor",
                "10",
            ],
            &["CONFIG", "SET", "repl-timeout", "60", "latency-monitor-threshold", "0"],
            &default_thresholds(),
            &["CONFIG", "RESETSTAT"],
            &["SLOWLOG", "RESET"],
        ] {
            // A server that lacks one of these shows that in the comparison.
            admin.call(words)?;
        }
        self.sessions = (0..SESSIONS).map(|_| self.session()).collect::<Result<_>>()?;
        Ok(())
    }
}

/// The two servers.
pub struct Pair {
    a: Side,
    b: Side,
    /// Hashes of all words sent since the start: any of them may be a key.
    known: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    /// Whether something was sorted in this run.
    sorted: bool,
    /// Commands sent and compared so far.
    pub compared: u64,
    /// How many replies there were to each command, and how many were errors.
    pub replies: BTreeMap<String, (u64, u64)>,
}

/// The reply (or why there is none) and its bytes.
type Answer = std::result::Result<(Value, Vec<u8>), String>;

impl Pair {
    pub fn new(a: Server, b: Server, tamper: bool) -> Result<Self> {
        let proxy = tamper.then(|| Proxy::start(b.port())).transpose()?;
        if let Some(proxy) = &proxy {
            proxy.set(harness::proxy::Rules {
                alter_byte: Some(3_000),
                ..Default::default()
            });
        }
        let a = Side {
            server: a,
            proxy: None,
            sessions: Vec::new(),
        };
        let b = Side {
            server: b,
            proxy,
            sessions: Vec::new(),
        };
        Ok(Self {
            a,
            b,
            known: HashSet::default(),
            sorted: false,
            compared: 0,
            replies: BTreeMap::new(),
        })
    }

    /// A connection to the first server, for preparations.
    pub fn first(&self) -> Result<Client> {
        self.a.server.client()
    }

    /// Says that these words may turn up as keys or members.
    pub fn know(&mut self, words: &[String]) {
        self.known.extend(words.iter().map(|word| hash(word.as_bytes())));
    }

    /// The end of the second server's log, if it has ended.
    pub fn crash(&mut self) -> Option<String> {
        (!self.b.server.is_running()).then(|| self.b.server.log_tail(20))
    }

    /// Runs all steps on fresh servers; gives the first place where they part.
    pub fn run(&mut self, steps: &[Step]) -> Result<Option<Mismatch>> {
        self.a.reset().context(|| "preparing the first server")?;
        self.b.reset().context(|| "preparing the second server")?;
        self.sorted = false;
        let mut queued: [Vec<Words>; SESSIONS] = Default::default();
        let mut first = 0;
        while first < steps.len() {
            let (length, outcome) = match &steps[first] {
                Step::Command { session, .. } => {
                    let same = |step: &&Step| matches!(step, Step::Command { session: s, .. } if s == session);
                    let length = steps[first..].iter().take(PIPELINE).take_while(same).count();
                    (
                        length,
                        self.batch(*session, &steps[first..first + length], &mut queued[*session]),
                    )
                }
                Step::Sweep { words, cursor_at } => (1, self.sweep(words, *cursor_at)?),
                Step::Raw { bytes, password } => (1, self.raw(bytes, *password)?),
            };
            if let Some(mut mismatch) = outcome {
                mismatch.step += first;
                return Ok(Some(mismatch));
            }
            first += length;
        }
        self.keyspaces(steps.len().saturating_sub(1))
    }

    fn batch(&mut self, session: usize, steps: &[Step], queued: &mut Vec<Words>) -> Option<Mismatch> {
        let mut out = Vec::new();
        for (_, words, encoding) in commands_of(steps) {
            self.known.extend(words.iter().map(|word| hash(word)));
            self.sorted |= words[0].to_ascii_lowercase().starts_with(b"sort");
            match encoding {
                Encoding::Multibulk => write_command(&mut out, words),
                Encoding::Inline => out.extend(inline(words)),
            }
        }
        let (a, b) = (&mut self.a.sessions[session], &mut self.b.sessions[session]);
        // A failure to send shows as a missing reply.
        let _ = (a.send_raw(&out), b.send_raw(&out));
        for (at, words, _) in commands_of(steps) {
            let answer = |client: &mut Client| -> Answer { client.raw_reply().map_err(|error| error.to_string()) };
            let (a, b) = (
                answer(&mut self.a.sessions[session]),
                answer(&mut self.b.sessions[session]),
            );
            self.compared += 1;
            self.count(words, &a);
            let context = volatile::Context {
                known: &|key| self.known.contains(&hash(key)) || key.starts_with(b"pop:"),
                sorted: self.sorted,
            };
            if let Some(why) = compare(words, &a, &b, queued, &context) {
                return Some(Mismatch {
                    step: at,
                    topic: topic(words),
                    why,
                    a: show(&a),
                    b: show(&b),
                });
            }
        }
        None
    }

    fn sweep(&mut self, words: &Words, cursor_at: usize) -> Result<Option<Mismatch>> {
        let mut seen = Vec::new();
        for side in [&self.a, &self.b] {
            let mut client = side.connect()?;
            seen.push(sweep_one(&mut client, words, cursor_at));
        }
        self.compared += 1;
        let [a, b] = [seen.remove(0), seen.remove(0)];
        Ok((a != b).then(|| Mismatch {
            step: 0,
            topic: format!("whole {}", topic(words)),
            why: "what a whole SCAN sees differs".into(),
            a: format!("{a:?}"),
            b: format!("{b:?}"),
        }))
    }

    fn raw(&mut self, bytes: &[u8], password: bool) -> Result<Option<Mismatch>> {
        self.known.insert(hash(b"k1"));
        let mut seen = Vec::new();
        for side in [&self.a, &self.b] {
            // It stays open and authenticated, to take the password back afterwards.
            let mut admin = side.server.client()?;
            if password {
                admin.call(&["CONFIG", "SET", "requirepass", "secret"])?;
            }
            let mut client = side.connect()?;
            let _ = client.send_raw(bytes);
            client.finish_sending();
            let (reply, closed) = client.read_until(b"", REPLY);
            seen.push(format!(
                "{}{}",
                volatile::without_ids(&reply).escape_ascii(),
                if closed { "" } else { " (and stays open)" }
            ));
            if password {
                admin.call(&["CONFIG", "SET", "requirepass", ""])?;
            }
        }
        self.compared += 1;
        let [a, b] = [seen.remove(0), seen.remove(0)];
        Ok((a != b).then(|| Mismatch {
            step: 0,
            topic: format!("raw: {}", a.chars().take(40).collect::<String>()),
            why: "the streams of replies differ".into(),
            a,
            b,
        }))
    }

    /// Counts a reply; those to a transaction count for what was queued.
    fn count(&mut self, words: &Words, answer: &Answer) {
        let Ok((value, _)) = answer else { return };
        if *value == Value::Simple(b"QUEUED".to_vec()) {
            return;
        }
        let unknown = value
            .as_error()
            .is_some_and(|line| line.starts_with(b"ERR unknown subcommand"));
        let name = if unknown { topic(&words[..1]) } else { topic(words) };
        let (replies, errors) = self.replies.entry(name).or_default();
        *replies += 1;
        *errors += u64::from(value.as_error().is_some());
    }

    fn keyspaces(&mut self, step: usize) -> Result<Option<Mismatch>> {
        let (mut a, mut b) = (self.a.server.client()?, self.b.server.client()?);
        let found = keyspaces::difference(&mut a, &mut b, self.sorted).context(|| "reading both servers' keys")?;
        Ok(found.map(|(words, why, a, b)| Mismatch {
            step,
            topic: format!("the keys by {}", topic(&words)),
            why: format!(
                "{why}: {}",
                words
                    .iter()
                    .map(|w| w.escape_ascii().to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
            a,
            b,
        }))
    }
}

/// The commands of steps that are commands, with the step that each is of.
fn commands_of(steps: &[Step]) -> impl Iterator<Item = (usize, &Words, Encoding)> {
    steps.iter().enumerate().flat_map(|(at, step)| {
        let (commands, encoding) = match step {
            Step::Command { commands, encoding, .. } => (commands.as_slice(), *encoding),
            _ => (&[][..], Encoding::Multibulk),
        };
        commands.iter().map(move |words| (at, words, encoding))
    })
}

fn hash(word: &[u8]) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// The command's name, with its subcommand where it has some.
fn topic(words: &[Vec<u8>]) -> String {
    const CONTAINERS: [&str; 12] = [
        "client", "config", "command", "debug", "object", "memory", "slowlog", "latency", "xgroup", "xinfo", "pubsub",
        "pfdebug",
    ];
    let name = String::from_utf8_lossy(&words[0]).to_lowercase();
    match words.get(1) {
        Some(second) if CONTAINERS.contains(&name.as_str()) => {
            format!("{name} {}", String::from_utf8_lossy(second).to_lowercase())
        }
        _ => name,
    }
}

fn show(answer: &Answer) -> String {
    match answer {
        Ok((value, _)) => value.show(),
        Err(why) => format!("({why})"),
    }
}

/// Why two answers to a command are not both right. Keeps track of what a transaction has queued.
fn compare(
    words: &Words,
    a: &Answer,
    b: &Answer,
    queued: &mut Vec<Words>,
    context: &volatile::Context<'_>,
) -> Option<String> {
    let ((a, a_bytes), (b, b_bytes)) = match (a, b) {
        (Ok(a), Ok(b)) => (a, b),
        // A missing reply is wrong on either side: no command of the table may close a connection.
        (Err(_), Err(_)) => return Some("neither server replied".into()),
        _ => return Some("one server did not reply".into()),
    };
    let name = words[0].to_ascii_lowercase();
    let finished = matches!(name.as_slice(), b"exec" | b"discard" | b"reset").then(|| std::mem::take(queued));
    if *a == Value::Simple(b"QUEUED".to_vec()) {
        queued.push(words.clone());
    }
    if a_bytes == b_bytes {
        return None;
    }
    match (finished, a, b) {
        (Some(queued), Value::Array(a), Value::Array(b)) if a.len() == b.len() && a.len() == queued.len() => {
            let mut parts = a.iter().zip(b).zip(&queued).filter(|((a, b), _)| a != b);
            parts.find_map(|((a, b), words)| {
                volatile::difference(words, a, b, context)
                    .map(|why| format!("{why}, in a transaction at {}", topic(words)))
            })
        }
        _ => volatile::difference(words, a, b, context),
    }
}

fn sweep_one(client: &mut Client, words: &Words, cursor_at: usize) -> std::collections::BTreeSet<String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = b"0".to_vec();
    for _ in 0..10_000 {
        let mut call = words.clone();
        call.insert(cursor_at, cursor.clone());
        match client.call(&call) {
            Ok(reply) => match reply.items() {
                [next, keys] => {
                    seen.extend(keys.items().iter().map(Reply::show));
                    cursor = next.bytes().unwrap_or_default().to_vec();
                }
                _ => {
                    seen.insert(reply.show());
                    return seen;
                }
            },
            Err(error) => {
                seen.insert(error.to_string());
                return seen;
            }
        }
        if cursor == b"0" {
            return seen;
        }
    }
    seen.insert("the SCAN never ended".into());
    seen
}

/// A command as a line; words with special bytes in quotes.
pub fn inline(words: &Words) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        let plain = !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
        if plain && (line.is_empty() || word.len() % 3 > 0) {
            line.extend_from_slice(word);
        } else {
            line.push(b'"');
            for &byte in word {
                match byte {
                    b'"' | b'\\' => line.extend([b'\\', byte]),
                    b' '..=b'~' => line.push(byte),
                    _ => line.extend(format!("\\x{byte:02x}").into_bytes()),
                }
            }
            line.push(b'"');
        }
        line.push(b' ');
    }
    line.extend_from_slice(b"\r\n");
    line
}
