//! DEBUG: what tests and troubleshooters need. Allowed by `enable-debug-command`.

use crate::digest;
use crate::effect::{Crash, Effect};
use crate::host::{ServerState, split};
use crate::persistence;
use engine::host::Level;
use engine::{ArgsExt, Arity, Category, Engine, Error, Flags, Handler, Result, ServerCtx, Spec};
use keyspace::listpack;
use keyspace::{Encodings, Entry, ListNode, ListRef, Listpack, NewValue, Pack, ValueRef};
use resp::Args;

/// DEBUG subcommand [argument ...]
pub static DEBUG: Spec = Spec {
    name: "debug",
    summary: "Does what only tests and troubleshooting need.",
    since: "1.0.0",
    complexity: "Depends on subcommand.",
    arity: Arity::AtLeast(2),
    category: Category::Server,
    flags: Flags::ADMIN
        .or(Flags::NO_SCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::PROTECTED),
    handler: Handler::Server(debug),
    ..Spec::BASE
};

/// A subcommand: its name, how many words may follow, what it does.
type Subcommand = (
    &'static str,
    std::ops::RangeInclusive<usize>,
    fn(&mut ServerCtx<'_>, Args<'_>) -> Result,
);

const SUBCOMMANDS: &[Subcommand] = &[
    ("assert", 0..=0, |ctx, _| crash(ctx, Crash::Panic)),
    ("change-repl-id", 0..=0, change_repl_id),
    ("config-rewrite-force-all", 0..=0, config_rewrite_force_all),
    ("digest", 0..=0, digest_all),
    ("digest-value", 0..=usize::MAX, digest_values),
    ("error", 1..=1, |_, args| Err(Error::Message(args.text(2).into()))),
    ("help", 0..=0, help),
    ("htstats", 1..=2, table_stats),
    ("htstats-key", 1..=2, table_stats_of_key),
    ("leak", 1..=1, |ctx, _| ok(ctx)),
    ("listpack", 1..=1, show_listpack),
    ("log", 1..=1, log),
    ("object", 1..=2, object),
    ("panic", 0..=0, |ctx, _| crash(ctx, Crash::Panic)),
    ("pause-cron", 1..=1, pause_cron),
    ("populate", 1..=3, populate),
    ("protocol", 1..=1, protocol),
    ("quicklist-packed-threshold", 1..=1, set_packed_threshold),
    ("reload", 0..=3, reload),
    ("replicate", 1..=usize::MAX, replicate),
    ("replybuffer", 2..=2, reply_buffer),
    ("segfault", 0..=0, |ctx, _| crash(ctx, Crash::Segfault)),
    ("set-active-expire", 1..=1, set_active_expire),
    ("set-disable-deny-scripts", 1..=1, |ctx, _| ok(ctx)),
    ("set-skip-checksum-validation", 1..=1, set_skip_checksum),
    ("sleep", 1..=1, sleep),
    ("stringmatch-len", 2..=2, string_match),
];

fn debug(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let known = SUBCOMMANDS
        .iter()
        .find(|(name, words, _)| args.is(1, name) && words.contains(&(args.len() - 2)));
    match known {
        Some((_, _, run)) => run(ctx, args),
        None => Err(Error::err(format_args!(
            "unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            args.text(1)
        ))),
    }
}

fn ok(ctx: &mut ServerCtx<'_>) -> Result {
    ctx.reply.ok();
    Ok(())
}

fn crash(ctx: &mut ServerCtx<'_>, how: Crash) -> Result {
    split(ctx).0.effects.push(Effect::Crash(how));
    Ok(())
}

fn sleep(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let seconds = base::number::parse_f64(args.get(2)).ok_or(Error::NotAFloat)?;
    split(ctx).0.outside.sleep((seconds.max(0.0) * 1e6) as u64);
    ok(ctx)
}

fn log(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let line = format!("DEBUG LOG: {}", args.text(2));
    split(ctx).0.log(Level::Warning, line);
    ok(ctx)
}

fn change_repl_id(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let (state, engine) = split(ctx);
    state.log(Level::Notice, "Changing replication IDs after receiving change-repl-id");
    crate::replication::change_id(state, engine);
    ok(ctx)
}

fn config_rewrite_force_all(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let (state, _) = split(ctx);
    crate::config_command::rewrite(state, crate::config_command::Scope::Everything)?;
    ok(ctx)
}

fn pause_cron(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    split(ctx).0.cron_paused = args.int(2)? != 0;
    ok(ctx)
}

fn reply_buffer(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let word = args.get(3).to_ascii_lowercase();
    if args.is(2, "resizing") {
        split(ctx).0.reply_buffers_resized = args.int(3)? != 0;
        return ok(ctx);
    }
    if !args.is(2, "peak-reset-time") {
        return Err(Error::Syntax);
    }
    split(ctx).0.reply_buffer_peak_reset_ms = match &word[..] {
        b"never" => None,
        b"reset" => Some(crate::node::REPLY_BUFFER_PEAK_RESET_MS),
        _ => Some(args.int(3)?.unsigned_abs()),
    };
    ok(ctx)
}

fn set_active_expire(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    ctx.engine.data.settings.active_expire = args.int(2)? != 0;
    ok(ctx)
}

fn set_skip_checksum(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    ctx.engine.data.settings.skip_checksum = args.int(2)? != 0;
    ok(ctx)
}

/// From how many bytes on a list element gets a node of its own.
fn set_packed_threshold(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    const MOST_BYTES: u64 = (1 << 32) - (1 << 20);
    const BAD: Error = Error::fixed("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
    let bytes = config::numbers::parse_memory(args.get(2)).filter(|bytes| *bytes <= MOST_BYTES);
    ctx.engine.data.settings.encodings.list_packed_threshold = match bytes.ok_or(BAD)? {
        0 => keyspace::Encodings::default().list_packed_threshold,
        bytes => bytes,
    };
    ok(ctx)
}

fn replicate(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let (state, engine) = split(ctx);
    crate::replication::inject(state, engine, &words);
    ok(ctx)
}

fn string_match(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let length = args.int(2)?.clamp(0, 1 << 30) as usize;
    let text = vec![b'a'; length];
    let matches = base::glob::matches(args.get(3), &text, false);
    ctx.reply.int(i64::from(matches));
    Ok(())
}

fn digest_all(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let digest = digest::of_keyspace(&ctx.engine.data.keyspace);
    ctx.reply.simple(&digest.to_string());
    Ok(())
}

fn digest_values(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let db = ctx.session().db;
    let keyspace = &ctx.engine.data.keyspace;
    ctx.reply.array(args.len() - 2);
    for key in args.iter().skip(2) {
        let entry = keyspace.db(db).get(key, keyspace.hash(key));
        let digest = entry.map_or_else(digest::Digest::default, digest::of_value);
        ctx.reply.simple(&digest.to_string());
    }
    Ok(())
}

/// DEBUG POPULATE count [prefix] [size]: keys that are there already stay.
fn populate(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let count = args
        .int(2)
        .ok()
        .filter(|count| *count >= 0)
        .ok_or(Error::fixed("ERR value is out of range, must be positive"))?;
    let prefix = args.try_get(3).unwrap_or(b"key");
    let size = match args.len() {
        5 => Some(args.int(4)?.clamp(0, 512 << 20) as usize),
        _ => None,
    };
    let db = ctx.session().db;
    let keyspace = &mut ctx.engine.data.keyspace;
    let mut value = Vec::new();
    for number in 0..count {
        let key = [prefix, b":", number.to_string().as_bytes()].concat();
        let hash = keyspace.hash(&key);
        if keyspace.db(db).get(&key, hash).is_some() {
            continue;
        }
        value.clear();
        value.extend_from_slice(format!("value:{number}").as_bytes());
        if let Some(size) = size {
            value.resize(size, 0);
        }
        keyspace.db_mut(db).set(&key, hash, NewValue::RawBytes(&value), None);
    }
    ok(ctx)
}

/// DEBUG OBJECT key: what stock tells of a value, as far as it has a meaning here.
fn object(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let db = ctx.session().db;
    let engine = &*ctx.engine;
    let key = args.key(2);
    let entry = engine
        .data
        .keyspace
        .db(db)
        .get(key, engine.data.keyspace.hash(key))
        .ok_or(Error::NoSuchKey)?;
    let mut payload = Vec::new();
    rdb::write_payload(&mut payload, entry.value(), rdb::Compression::Lzf);
    // A payload is the value's serialized form between a type byte and ten bytes of footer.
    let serialized = payload.len().saturating_sub(11);
    let clock = engine.data.access_clock;
    let idle = if engine.data.settings.lfu {
        0
    } else {
        clock.wrapping_sub(entry.clock()) & 0xff_ffff
    };
    let line = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{serialized} lru:{} lru_seconds_idle:{idle}",
        std::ptr::from_ref(entry),
        entry.encoding().name(),
        entry.clock(),
    );
    let nodes = ListRef::of(entry.value()).map(|list| nodes_of(list, &engine.data.settings.encodings));
    ctx.reply.simple(&(line + &nodes.unwrap_or_default()));
    Ok(())
}

/// What DEBUG OBJECT adds about the nodes of a list.
fn nodes_of(list: ListRef<'_>, encodings: &Encodings) -> String {
    let (mut nodes, mut bytes) = (0_u64, 0);
    for node in list.nodes() {
        nodes += 1;
        bytes += match node {
            ListNode::Pack(pack) => pack.len(),
            ListNode::Compressed { plain_bytes, .. } => plain_bytes,
            // Where stock has a listpack of one element.
            ListNode::Plain(element) => listpack::init().len() + listpack::encoded_bytes(element),
        };
    }
    format!(
        " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} ql_uncompressed_size:{bytes}",
        list.len() as f64 / nodes.max(1) as f64,
        encodings.list_max_listpack_size,
        u8::from(encodings.list_compress_depth > 0),
    )
}

/// DEBUG LISTPACK key: what is in the block of a small collection, in the log.
fn show_listpack(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let value = value_of(ctx, args.key(2))?;
    let ValueRef::Pack(Pack::Hash | Pack::Zset, bytes) = value else {
        return Err(Error::fixed("ERR Not a listpack encoded object."));
    };
    let line = format!("DEBUG LISTPACK: {} bytes: {}", bytes.len(), bytes.escape_ascii());
    split(ctx).0.log(Level::Notice, line);
    ctx.reply.simple("Listpack structure printed on stdout");
    Ok(())
}

/// What is at `key`, whether its time has passed or not.
fn value_of<'a>(ctx: &'a ServerCtx<'_>, key: &[u8]) -> Result<ValueRef<'a>> {
    let db = ctx.session().db;
    let keyspace = &ctx.engine.data.keyspace;
    let entry = keyspace.db(db).get(key, keyspace.hash(key));
    entry.map(Entry::value).ok_or(Error::NoSuchKey)
}

/// DEBUG HTSTATS-KEY key: of a large collection, how many elements it has. There are no chains to tell of.
fn table_stats_of_key(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let elements = match value_of(ctx, args.key(2))? {
        ValueRef::Pack(Pack::Set, bytes) => Listpack::new(bytes).len() as u64,
        ValueRef::Set(table) | ValueRef::Hash(table) => table.len(),
        ValueRef::Zset(zset) => zset.len(),
        _ => {
            return Err(Error::fixed(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text = format!(
        "Hash table 0 stats (main hash table):\n table size: {}\n number of elements: {elements}\n",
        elements.next_power_of_two()
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn table_stats(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let databases = ctx.engine.data.keyspace.databases();
    let db = args
        .db(2, databases)
        .map_err(|_| Error::fixed("ERR Out of range database"))?;
    let database = ctx.engine.data.keyspace.db(db);
    let text = format!(
        "[Dictionary HT]\nSegmented table stats:\n number of elements: {}\n[Expires HT]\nKept in the same segments:\n \
         number of elements: {}\n",
        database.len(),
        database.expiring_len()
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: the dataset, from memory to disk and back.
fn reload(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let (mut merge, mut flush, mut save) = (false, true, true);
    for at in 2..args.len() {
        match () {
            () if args.is(at, "merge") => merge = true,
            () if args.is(at, "noflush") => flush = false,
            () if args.is(at, "nosave") => save = false,
            () => {
                return Err(Error::fixed(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let (state, engine) = split(ctx);
    if save {
        persistence::save_now(state, engine).map_err(|_| Error::fixed("ERR"))?;
    }
    if !load_over(state, engine, merge, flush) {
        return Err(Error::fixed("ERR Error trying to load the RDB dump"));
    }
    state.log(Level::Warning, "DB reloaded by DEBUG RELOAD");
    ok(ctx)
}

/// Loads the file in place of the dataset, or into it; whether that worked. The log says why not.
fn load_over(state: &mut ServerState, engine: &mut Engine, merge: bool, flush: bool) -> bool {
    let file = state.config.dbfilename.to_str().into_owned();
    let fresh = persistence::empty_keyspace(state, engine);
    let mut options = persistence::file_load_options(state, engine);
    if merge || !flush {
        options.duplicates = rdb::Duplicates::Replace;
    }
    // What is not there takes nothing away. What cannot be read does: it ends a stock server, and DEBUG is for tests.
    if !flush && let Err(error) = state.outside.disk().open(&file) {
        state.log(Level::Warning, format!("DEBUG RELOAD: {error}"));
        return false;
    }
    let into = if flush {
        fresh
    } else {
        std::mem::replace(&mut engine.data.keyspace, fresh)
    };
    match persistence::load_file(state, &file, into, options) {
        Ok(loaded) => {
            // Not through `adopt`: no replica need hear of it. Emptying first breaks watches, as on the stock server.
            if flush {
                drop(engine.data.replace_keyspace(loaded.keyspace));
            } else {
                engine.data.keyspace = loaded.keyspace;
            }
            true
        }
        Err(failure) => {
            state.log(Level::Warning, format!("DEBUG RELOAD: {failure}"));
            false
        }
    }
}

/// DEBUG PROTOCOL type: a sample of each kind of reply.
#[allow(clippy::approx_constant, reason = "the sample that stock servers send")]
fn protocol(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let reply = &mut ctx.reply;
    match &args.get(2).to_ascii_lowercase()[..] {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(3.141),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if reply.proto() == resp::Proto::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(Error::fixed(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn help(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    let lines = [
        (
            "CHANGE-REPL-ID",
            "Gives this server a new replication id: its replicas must sync anew.",
        ),
        (
            "DIGEST",
            "A digest of the whole dataset: equal datasets have equal digests.",
        ),
        ("DIGEST-VALUE <key> [<key> ...]", "A digest of each value."),
        ("ERROR <string>", "Answers with this error."),
        ("HTSTATS <dbid>", "How many entries a database has."),
        (
            "HTSTATS-KEY <key>",
            "How many elements a large set, hash or sorted set has.",
        ),
        (
            "LISTPACK <key>",
            "Writes the block of a small hash or sorted set to the log.",
        ),
        ("LOG <message>", "Writes a line to the log."),
        ("OBJECT <key>", "How a value is stored."),
        ("PANIC", "Crashes the server by a panic."),
        ("PAUSE-CRON <0|1>", "Stops or restarts what the server does by itself."),
        ("POPULATE <count> [<prefix>] [<size>]", "Creates so many string keys."),
        ("PROTOCOL <type>", "A sample of each kind of reply."),
        (
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "Saves the dataset and loads it again.",
        ),
        (
            "REPLICATE <command> [<arg> ...]",
            "Sends a command to replicas without executing it.",
        ),
        ("SEGFAULT", "Crashes the server by an invalid memory access."),
        (
            "SET-ACTIVE-EXPIRE <0|1>",
            "Whether expired keys are deleted before they are asked for.",
        ),
        (
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "Whether checksums of RDB files and DUMP payloads are passed over.",
        ),
        (
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "From how many bytes on a list element gets a node of its own; 0 is the default, 1gb.",
        ),
        ("SLEEP <seconds>", "Stops the server for so long."),
        (
            "STRINGMATCH-LEN <length> <pattern>",
            "Matches a pattern against so many letters a.",
        ),
    ];
    // The wording of stock's first and last lines, which clients show, is kept by the shared writer.
    let mut reply = ctx.reply.reborrow();
    engine::commands::help::write(&mut reply, "DEBUG", &lines);
    Ok(())
}
