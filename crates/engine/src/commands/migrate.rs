//! MIGRATE: keys go to another server, and leave this one when that one has them.
//!
//! ```text
//!   MIGRATE ─► payloads of the keys ─► Job ─► another thread: AUTH, SELECT, RESTORE … ─► Outcome ─► DEL what it has
//!               writes are held back ◄──────────────────────────────────────────────────┘ reply, writes go on
//! ```
//!
//! Stock servers stand still meanwhile. Here reads go on, and find the keys as they were; writes wait, so that what is
//! deleted in the end is what was sent. Inside EXEC everything waits.

use crate::host::Notice;
use crate::keys::{Event, Reader, Writer};
use crate::pause::{PauseKind, PausePurpose};
use crate::session::{Blocked, SessionId};
use crate::settings::Role;
use crate::spec::{Begin, Find};
use crate::{Acl, ArgsExt, Arity, Engine, Error, Flags, Handler, Host, KeyFlags, KeySpec, Result, ServerCtx, Spec};
use base::DbIndex;
use rdb::Compression;
use resp::{Args, Reply};
use std::io::{self, BufRead, BufReader, Read, Write};

/// MIGRATE host port key | "" destination-db timeout [options]
pub static MIGRATE: Spec = Spec {
    name: "migrate",
    summary: "Moves keys to another server.",
    since: "2.6.0",
    complexity: "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. \
                 See the pages of these commands for time complexity. Also an O(N) data transfer between the two \
                 instances is performed.",
    arity: Arity::AtLeast(6),
    keys: &[
        KeySpec::at(3, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE)),
        KeySpec {
            begin: Begin::Keyword { word: "KEYS", from: -2 },
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 0,
            },
            flags: KeyFlags::RW
                .or(KeyFlags::ACCESS)
                .or(KeyFlags::DELETE)
                .or(KeyFlags::INCOMPLETE),
            notes: "",
        },
    ],
    get_keys: Some(key_positions),
    flags: Flags::WRITE.or(Flags::MOVABLE_KEYS),
    acl: Acl::KEYSPACE.or(Acl::DANGEROUS),
    tips: &["nondeterministic_output"],
    args: "host port key destination-db timeout [COPY] [REPLACE] [AUTH password|AUTH2 username password] [KEYS key [key ...]]",
    history: &[
        ("3.0.0", "Added the `COPY` and `REPLACE` options."),
        ("3.0.6", "Added the `KEYS` option."),
        ("4.0.7", "Added the `AUTH` option."),
        ("6.0.0", "Added the `AUTH2` option."),
    ],
    secrets: Some(secrets),
    handler: Handler::Server(migrate),
    ..Spec::BASE
};

/// The first key of KEYS, if there is that option.
fn after_keys_word(args: Args<'_>) -> Option<usize> {
    let mut at = 6;
    while at < args.len() {
        if args.is(at, "keys") && args.get(3).is_empty() {
            return Some(at + 1);
        }
        at += match () {
            () if args.is(at, "auth2") => 3,
            () if args.is(at, "auth") => 2,
            () => 1,
        };
    }
    None
}

fn key_positions(args: Args<'_>) -> Vec<usize> {
    match after_keys_word(args) {
        Some(first) => (first..args.len()).collect(),
        None => vec![3],
    }
}

/// Passwords and the user's name.
fn secrets(args: Args<'_>) -> Vec<usize> {
    let end = after_keys_word(args).unwrap_or(args.len());
    let mut found = Vec::new();
    let mut at = 6;
    while at < end {
        let count = match () {
            () if args.is(at, "auth2") => 2,
            () if args.is(at, "auth") => 1,
            () => 0,
        };
        found.extend((at + 1..=at + count).filter(|at| *at < args.len()));
        at += 1 + count;
    }
    found
}

/// What is to be sent, and where.
#[derive(Debug)]
pub struct Job {
    /// Name or address of the other server.
    pub host: String,
    /// Its port; 0 for a word that is no port, where nobody listens.
    pub port: u16,
    /// How long connecting, and each wait for progress, may take.
    pub timeout_ms: u64,
    /// The database there.
    pub db: i64,
    /// The AUTH request, if there is one.
    auth: Option<Vec<u8>>,
    /// A RESTORE request for each key.
    restores: Vec<Vec<u8>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Which of the keys the other server has now, by their place in the job.
    pub arrived: Vec<usize>,
    /// What went wrong, if not all is well.
    pub failure: Option<Failure>,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection.
    Connect,
    /// The connection failed, or took too long, while requests were sent.
    Write,
    /// The connection failed, or took too long, while replies were awaited.
    Read,
    /// The other server refused: its first error.
    Refused(Vec<u8>),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Connect => Error::fixed("IOERR error or timeout connecting to the client"),
            Self::Write => Error::fixed("IOERR error or timeout writing to target instance"),
            Self::Read => Error::fixed("IOERR error or timeout reading to target instance"),
            Self::Refused(text) => Error::quoting([b"ERR Target instance replied with error: ", &text[..]].concat()),
        }
    }
}

/// A connection to another server, kept for the next MIGRATE.
pub struct Target<S> {
    /// The connection.
    pub stream: S,
    /// The database it stands in, as far as that is known.
    pub db: Option<i64>,
}

impl<S: Read + Write> Target<S> {
    /// Sends the keys and hears what becomes of them. The connection may be kept unless this ends with a failure of
    /// reading or writing.
    pub fn run(&mut self, job: &Job) -> Outcome {
        let mut outcome = Outcome::default();
        let selects = self.db != Some(job.db);
        if self.send(job, selects).is_err() {
            outcome.failure = Some(Failure::Write);
        } else if self.hear(job, selects, &mut outcome).is_err() {
            outcome.failure = Some(Failure::Read);
        }
        self.db = outcome.failure.is_none().then_some(job.db);
        outcome
    }

    fn send(&mut self, job: &Job, selects: bool) -> io::Result<()> {
        const PIECE_BYTES: usize = 64 << 10;
        let mut piece = job.auth.clone().unwrap_or_default();
        if selects {
            let db = job.db.to_string();
            resp::write_command(&mut piece, ["SELECT", &db].iter());
        }
        for request in &job.restores {
            piece.extend_from_slice(request);
            if piece.len() >= PIECE_BYTES {
                self.stream.write_all(&piece)?;
                piece.clear();
            }
        }
        self.stream.write_all(&piece)?;
        self.stream.flush()
    }

    fn hear(&mut self, job: &Job, selects: bool, outcome: &mut Outcome) -> io::Result<()> {
        let mut input = BufReader::new(&mut self.stream);
        let first = usize::from(job.auth.is_some()) + usize::from(selects);
        let mut refused_all = None;
        for _ in 0..first {
            let refused = refusal(&mut input)?;
            refused_all = refused_all.or(refused);
        }
        for at in 0..job.restores.len() {
            let refused = refusal(&mut input)?;
            match refused_all.clone().or(refused) {
                None => outcome.arrived.push(at),
                Some(text) => {
                    outcome.failure.get_or_insert(Failure::Refused(text));
                }
            }
        }
        Ok(())
    }
}

/// Reads a reply of one line; the text of an error.
fn refusal(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    const MOST_BYTES: u64 = 64 << 10;
    let mut line = Vec::new();
    input.take(MOST_BYTES).read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(line.strip_prefix(b"-").map(<[u8]>::to_vec))
}

struct Options {
    copy: bool,
    replace: bool,
    auth: Option<Vec<u8>>,
    /// Where the keys stand in the request.
    keys: std::ops::Range<usize>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self> {
        let mut options = Self {
            copy: false,
            replace: false,
            auth: None,
            keys: 3..4,
        };
        let mut auth = |words: &[&[u8]]| {
            let mut request = Vec::new();
            resp::write_command(&mut request, words.iter());
            options.auth = Some(request);
        };
        let mut at = 6;
        while at < args.len() {
            let more = args.len() - 1 - at;
            if args.is(at, "copy") {
                options.copy = true;
            } else if args.is(at, "replace") {
                options.replace = true;
            } else if args.is(at, "auth") && more >= 1 {
                auth(&[b"AUTH", args.get(at + 1)]);
                at += 1;
            } else if args.is(at, "auth2") && more >= 2 {
                auth(&[b"AUTH", args.get(at + 1), args.get(at + 2)]);
                at += 2;
            } else if args.is(at, "keys") {
                if !args.get(3).is_empty() {
                    return Err(Error::fixed(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                options.keys = at + 1..args.len();
                break;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// A MIGRATE whose keys are on their way.
pub(crate) struct Pending {
    session: SessionId,
    db: DbIndex,
    copy: bool,
    keys: Vec<Vec<u8>>,
    /// On the monotonic clock.
    sent_us: u64,
}

/// Keys that do not exist are passed over; without any, nothing is sent.
///
/// Propagated as DEL of the keys that have arrived.
fn migrate(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    const DEFAULT_TIMEOUT_MS: i64 = 1000;
    let options = Options::parse(args)?;
    let timeout = args.int(5)?;
    let db = args.int(4)?;
    let timeout = if timeout > 0 { timeout } else { DEFAULT_TIMEOUT_MS };
    let (keys, restores) = requests(ctx, args, &options);
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(());
    }
    let job = Job {
        host: args.text(1),
        port: args.int(2).ok().and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        timeout_ms: timeout.unsigned_abs(),
        db,
        auth: options.auth,
        restores,
    };
    let pending = Pending {
        session: ctx.session_id,
        db: ctx.session().db,
        copy: options.copy,
        keys,
        sent_us: ctx.engine.read_clock(),
    };
    if ctx.engine.in_exec() {
        let outcome = ctx.host.migrate(&job);
        ctx.engine.settle_migration(&pending, outcome)?;
        ctx.reply.ok();
        return Ok(());
    }
    ctx.engine.migration = Some(pending);
    ctx.engine
        .pauses
        .begin(PausePurpose::Migration, PauseKind::Write, u64::MAX);
    ctx.engine.data.expiry_paused = true;
    ctx.notice(Notice::Migrate(Box::new(job)));
    ctx.block(Blocked::Migration);
    Ok(())
}

/// The keys that exist, and a RESTORE for each.
fn requests(ctx: &mut ServerCtx<'_>, args: Args<'_>, options: &Options) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let now = ctx.now.unix_ms();
    let session = &ctx.engine.sessions[ctx.session_id];
    let (db, from, touch) = (session.db, session.kind, !session.no_touch);
    let mut reader = Reader {
        data: &mut ctx.engine.data,
        db,
        now,
        from,
        touch,
    };
    let (mut keys, mut restores) = (Vec::new(), Vec::new());
    for at in options.keys.clone() {
        let key = args.key(at);
        let Some(entry) = reader.get(key) else { continue };
        let ttl = entry.expiry().map_or(0, |expiry| (expiry.0 - now.0).max(1)).to_string();
        let (mut payload, mut request) = (Vec::new(), Vec::new());
        rdb::write_payload(&mut payload, entry.value(), Compression::Lzf);
        let mut words: Vec<&[u8]> = vec![b"RESTORE", key, ttl.as_bytes(), &payload];
        words.extend(options.replace.then_some(&b"REPLACE"[..]));
        resp::write_command(&mut request, words.iter());
        keys.push(key.to_vec());
        restores.push(request);
    }
    (keys, restores)
}

impl Engine {
    /// The keys of a MIGRATE have arrived, or have not: those that have are deleted, the client is answered, and writes
    /// go on.
    pub fn end_migration(&mut self, host: &mut dyn Host, outcome: Outcome) {
        let Some(pending) = self.migration.take() else { return };
        let result = self.settle_migration(&pending, outcome);
        self.data.propagation.end_unit();
        self.deliver();
        self.account_migration(pending.sent_us, result.is_err());
        if let Err(error) = &result {
            self.data.stats.count_error(error.code());
        }
        self.answer_blocked(pending.session, |reply: &mut Reply<'_>| match &result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error_bytes(error.line()),
        });
        self.serve_ready(host);
        self.end_pause(PausePurpose::Migration);
    }

    /// Accounts for the time since the keys were sent. When they were, it was counted as a call.
    fn account_migration(&mut self, sent_us: u64, failed: bool) {
        let usec = self.read_clock().saturating_sub(sent_us);
        let Some(command) = self.table.find(b"migrate") else {
            return;
        };
        let entry = &mut self.table[command];
        entry.stats.usec += usec;
        entry.stats.failed += u64::from(failed);
        if self.data.settings.latency_tracking {
            entry.latency.get_or_insert_default().record(usec);
        }
    }

    /// Deletes what has arrived elsewhere. A server that has become a replica meanwhile deletes nothing by itself.
    fn settle_migration(&mut self, pending: &Pending, outcome: Outcome) -> Result {
        if self.data.settings.role == Role::Primary && !pending.copy {
            let now = self.now.unix_ms();
            let mut writer = Writer::new(Reader {
                data: &mut self.data,
                db: pending.db,
                now,
                from: crate::session::Kind::Normal,
                touch: false,
            });
            let mut effect: Vec<&[u8]> = vec![b"DEL"];
            for at in &outcome.arrived {
                let key = &pending.keys[*at];
                if writer.key_slot(key).remove(Event::DEL) {
                    effect.push(key);
                }
            }
            if effect.len() > 1 {
                writer.propagate(&effect);
            }
            let commits = writer.commits;
            self.data.dirty += commits;
        }
        outcome.failure.map_or(Ok(()), |failure| Err(failure.into_error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::Engine;
    use crate::host::NoHost;
    use crate::testing::{check, check_with};

    #[test]
    fn what_is_asked_for_is_checked_first() {
        check(
            "
            > SET k v
            OK
            > MIGRATE 127.0.0.1 1 k 0 10 FOO
            ERR syntax error
            > MIGRATE 127.0.0.1 1 k 0 10 AUTH
            ERR syntax error
            > MIGRATE 127.0.0.1 1 k 0 10 KEYS k
            ERR When using MIGRATE KEYS option, the key argument must be set to the empty string
            > MIGRATE 127.0.0.1 1 k x 10
            ERR value is not an integer or out of range
            > MIGRATE 127.0.0.1 1 n 0 10
            NOKEY
            > COMMAND GETKEYS MIGRATE 127.0.0.1 1 k 0 10 COPY
            [\"k\"]
            > COMMAND GETKEYS MIGRATE 127.0.0.1 1 \"\" 0 10 AUTH keys KEYS a b
            [\"a\", \"b\"]
            ",
        );
    }

    /// A peer that takes everything and answers with what it was given.
    struct Peer {
        sent: Vec<u8>,
        answers: io::Cursor<Vec<u8>>,
    }

    impl Read for Peer {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.answers.read(into)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sent.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(answers: &str, job: &Job) -> (Outcome, String) {
        let mut target = Target {
            stream: Peer {
                sent: Vec::new(),
                answers: io::Cursor::new(answers.as_bytes().to_vec()),
            },
            db: None,
        };
        let outcome = target.run(job);
        (outcome, target.stream.sent.escape_ascii().to_string())
    }

    #[test]
    fn only_what_has_arrived_counts() {
        let job = Job {
            host: "h".into(),
            port: 1,
            timeout_ms: 1,
            db: 9,
            auth: None,
            restores: vec![b"first".to_vec(), b"second".to_vec()],
        };
        let (outcome, sent) = run("+OK\r\n-BUSYKEY x\r\n+OK\r\n", &job);
        assert_eq!(outcome.arrived, [1]);
        assert_eq!(outcome.failure, Some(Failure::Refused(b"BUSYKEY x".to_vec())));
        assert_eq!(sent, "*2\\r\\n$6\\r\\nSELECT\\r\\n$1\\r\\n9\\r\\nfirstsecond");
        let (outcome, _) = run("+OK\r\n+OK\r\n", &job);
        assert_eq!((outcome.arrived, outcome.failure), (vec![0], Some(Failure::Read)));
        let (outcome, _) = run("-ERR DB index is out of range\r\n+OK\r\n+OK\r\n", &job);
        assert_eq!(outcome.arrived, [0usize; 0]);
    }

    #[test]
    fn writes_wait_until_the_keys_have_arrived() {
        let mut engine = Engine::new(16, 1, || 0, crate::commands::ALL);
        check_with(
            &mut engine,
            &mut NoHost,
            "
            > MSET a 1 b 2
            OK
            > MIGRATE 127.0.0.1 1 \"\" 0 10 KEYS a n b

            @2> GET a
            1
            @2> SET a 5

            ",
        );
        let outcome = Outcome {
            arrived: vec![1],
            failure: Some(Failure::Read),
        };
        engine.end_migration(&mut NoHost, outcome);
        check_with(
            &mut engine,
            &mut NoHost,
            "
            @3> MGET a b
            [\"1\", (nil)]
            @3> SET a 6
            OK
            propagated: DEL b
            ",
        );
        // What came of it is in the statistics, as on a server that stands still meanwhile.
        let command = engine.table.find(b"migrate").expect("it was sent");
        let entry = &engine.table[command];
        assert_eq!((entry.stats.calls, entry.stats.failed), (1, 1));
        assert!(entry.latency.is_some());
    }
}
