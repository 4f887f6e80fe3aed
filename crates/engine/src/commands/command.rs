//! COMMAND: what commands there are. Everything told here derives from the table.

use crate::commands::help;
use crate::key_positions::{self, KeyPosition};
use crate::spec::{Begin, Find, KeySpec};
use crate::syntax::{self, Argument, Type};
use crate::table::{CommandId, Lookup};
use crate::{Acl, ArgsExt, Arity, Category, Error, Flags, Handler, KeyFlags, Result, ServerCtx, Spec, acl};
use base::glob;
use resp::{Args, Reply};

/// COMMAND
pub static COMMAND: Spec = Spec {
    name: "command",
    summary: "Tells what commands there are.",
    since: "2.8.13",
    complexity: "O(N) where N is the total number of Redis commands",
    arity: Arity::AtLeast(1),
    flags: OPEN.or(Flags::SENTINEL),
    tips: UNORDERED,
    handler: Handler::Server(|ctx, _| reply_all_infos(ctx)),
    subcommands: &[&COUNT, &DOCS, &GETKEYS, &GETKEYSANDFLAGS, &HELP, &INFO, &LIST],
    ..SHARED
};

const OPEN: Flags = Flags::LOADING.or(Flags::STALE);
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const SHARED: Spec = Spec {
    since: "2.8.13",
    category: Category::Server,
    flags: OPEN,
    acl: Acl::CONNECTION,
    ..Spec::BASE
};

static COUNT: Spec = Spec {
    name: "count",
    summary: "Counts the commands.",
    arity: Arity::Exactly(2),
    handler: Handler::Server(|ctx, _| {
        let count = ctx.engine.table.top_level().len();
        ctx.reply.int(count as i64);
        Ok(())
    }),
    ..SHARED
};

static INFO: Spec = Spec {
    name: "info",
    summary: "Tells what the server must know of some commands, or of all.",
    complexity: "O(N) where N is the number of commands to look up",
    arity: Arity::AtLeast(2),
    tips: UNORDERED,
    args: "[command-name [command-name ...]]",
    history: &[("7.0.0", "Without a name, tells of all commands.")],
    handler: Handler::Server(info),
    ..SHARED
};

static DOCS: Spec = Spec {
    name: "docs",
    summary: "Tells what people want to know of some commands, or of all.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands to look up",
    arity: Arity::AtLeast(2),
    tips: UNORDERED,
    args: "[command-name [command-name ...]]",
    handler: Handler::Server(docs),
    ..SHARED
};

static LIST: Spec = Spec {
    name: "list",
    summary: "Lists the names of the commands.",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of Redis commands",
    arity: Arity::AtLeast(2),
    tips: UNORDERED,
    args: "[FILTERBY <MODULE module-name|ACLCAT category|PATTERN pattern>]",
    handler: Handler::Server(list),
    ..SHARED
};

static GETKEYS: Spec = Spec {
    name: "getkeys",
    summary: "Returns the keys of a request.",
    complexity: "O(N) where N is the number of arguments to the command",
    arity: Arity::AtLeast(4),
    args: "command [arg ...]",
    handler: Handler::Server(get_keys),
    ..SHARED
};

static GETKEYSANDFLAGS: Spec = Spec {
    name: "getkeysandflags",
    summary: "Returns the keys of a request, and what would happen to them.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of arguments to the command",
    arity: Arity::AtLeast(4),
    args: "command [arg ...]",
    handler: Handler::Server(get_keys_and_flags),
    ..SHARED
};

static HELP: Spec = Spec {
    name: "help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    arity: Arity::Exactly(2),
    handler: Handler::Server(write_help),
    ..SHARED
};

fn write_help(ctx: &mut ServerCtx<'_>, _args: Args<'_>) -> Result {
    help::write(
        &mut ctx.reply,
        "COMMAND",
        &[
            ("(no subcommand)", "Tell what the server must know of all commands."),
            ("COUNT", "Count the commands of this server."),
            ("LIST", "List the names of the commands."),
            (
                "INFO [<command-name> ...]",
                "Tell what the server must know of these commands, or of all.",
            ),
            (
                "DOCS [<command-name> ...]",
                "Tell what people want to know of these commands, or of all.",
            ),
            ("GETKEYS <full-command>", "Return the keys of a request."),
            (
                "GETKEYSANDFLAGS <full-command>",
                "Return the keys of a request, and what would happen to them.",
            ),
        ],
    );
    Ok(())
}

fn info(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    if args.len() == 2 {
        return reply_all_infos(ctx);
    }
    ctx.reply.array(args.len() - 2);
    for name in args.skip(2).iter() {
        match ctx.engine.table.find_full(name) {
            Some(id) => reply_info(ctx, id),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn reply_all_infos(ctx: &mut ServerCtx<'_>) -> Result {
    let all: Vec<CommandId> = ctx.engine.table.top_level().map(|(_, id)| id).collect();
    ctx.reply.array(all.len());
    for id in all {
        reply_info(ctx, id);
    }
    Ok(())
}

fn reply_info(ctx: &mut ServerCtx<'_>, id: CommandId) {
    let table = &ctx.engine.table;
    let (command, reply) = (&table[id], &mut ctx.reply);
    let spec = command.spec;
    let mut flags = command.flags;
    if key_positions::are_movable(spec) {
        flags = flags.or(Flags::MOVABLE_KEYS);
    }
    reply.array(10);
    reply.bulk(command.full_name.as_bytes());
    reply.int(spec.arity.as_number());
    reply_words(reply, &flags.words().collect::<Vec<_>>());
    let (first, last, step) = key_positions::legacy_range(spec);
    for number in [first, last, step] {
        reply.int(number);
    }
    let categories: Vec<String> = acl::categories(spec).map(|category| format!("@{category}")).collect();
    reply_words(reply, &categories);
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.keys.len());
    for key_spec in spec.keys {
        reply_key_spec(reply, key_spec);
    }
    let children = table.children(id).to_vec();
    if children.is_empty() {
        // Where stock has no subcommands to list, it writes an empty set.
        reply.set(0);
    } else {
        reply.array(children.len());
    }
    for child in children {
        reply_info(ctx, child);
    }
}

/// A set of status words.
fn reply_words(reply: &mut Reply<'_>, words: &[impl AsRef<str>]) {
    reply.set(words.len());
    for word in words {
        reply.simple(word.as_ref());
    }
}

fn reply_key_spec(reply: &mut Reply<'_>, key_spec: &KeySpec) {
    reply.map(3 + usize::from(!key_spec.notes.is_empty()));
    if !key_spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(key_spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    reply_words(reply, &key_spec.flags.words().collect::<Vec<_>>());
    reply.bulk(b"begin_search");
    let keyword;
    match key_spec.begin {
        Begin::Index(at) => reply_search(reply, "index", &[("index", Fact::Number(at as i64))]),
        Begin::Keyword { word, from } => {
            keyword = [("keyword", Fact::Word(word)), ("startfrom", Fact::Number(from))];
            reply_search(reply, "keyword", &keyword);
        }
        Begin::Unknown => reply_search(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    let number = |value: usize| Fact::Number(value as i64);
    match key_spec.find {
        Find::Range { last, step, limit } => reply_search(
            reply,
            "range",
            &[
                ("lastkey", Fact::Number(last)),
                ("keystep", number(step)),
                ("limit", number(limit)),
            ],
        ),
        Find::KeyNum { count, first, step } => reply_search(
            reply,
            "keynum",
            &[
                ("keynumidx", number(count)),
                ("firstkey", number(first)),
                ("keystep", number(step)),
            ],
        ),
        Find::Unknown => reply_search(reply, "unknown", &[]),
    }
}

enum Fact {
    Number(i64),
    Word(&'static str),
}

/// How keys are begun or found: the way, and its numbers.
fn reply_search(reply: &mut Reply<'_>, way: &str, facts: &[(&str, Fact)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(way.as_bytes());
    reply.bulk(b"spec");
    reply.map(facts.len());
    for (name, fact) in facts {
        reply.bulk(name.as_bytes());
        match fact {
            Fact::Number(number) => reply.int(*number),
            Fact::Word(word) => reply.bulk(word.as_bytes()),
        }
    }
}

fn docs(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let table = &ctx.engine.table;
    let wanted: Vec<CommandId> = if args.len() == 2 {
        table.top_level().map(|(_, id)| id).collect()
    } else {
        args.skip(2).iter().filter_map(|name| table.find_full(name)).collect()
    };
    ctx.reply.map(wanted.len());
    for id in wanted {
        reply_docs(ctx, id);
    }
    Ok(())
}

/// The command's full name, and the map of what is told of it.
fn reply_docs(ctx: &mut ServerCtx<'_>, id: CommandId) {
    let table = &ctx.engine.table;
    let (command, reply) = (&table[id], &mut ctx.reply);
    let spec = command.spec;
    reply.bulk(command.full_name.as_bytes());

    let map = reply.deferred_map();
    let mut pairs = 4;
    for (name, value) in [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.category.doc_name()),
        ("complexity", spec.complexity),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if let Some((since, replacement)) = spec.deprecated {
        pairs += 3;
        reply.bulk(b"doc_flags");
        reply_words(reply, &["deprecated"]);
        reply.bulk(b"deprecated_since");
        reply.bulk(since.as_bytes());
        reply.bulk(b"replaced_by");
        reply.bulk(replacement.as_bytes());
    }
    if !spec.history.is_empty() {
        pairs += 1;
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    let arguments = syntax::parse(spec.args);
    if !arguments.is_empty() {
        pairs += 1;
        reply.bulk(b"arguments");
        ArgumentWriter {
            key_specs: spec.keys.len(),
            keys_seen: 0,
        }
        .write_all(reply, &arguments);
    }
    let children = table.children(id).to_vec();
    if !children.is_empty() {
        pairs += 1;
        reply.bulk(b"subcommands");
        reply.map(children.len());
        for child in children {
            reply_docs(ctx, child);
        }
    }
    ctx.reply.set_deferred(map, pairs);
}

/// Writes arguments; those that are keys say which key spec is theirs.
struct ArgumentWriter {
    key_specs: usize,
    keys_seen: usize,
}

impl ArgumentWriter {
    fn write_all(&mut self, reply: &mut Reply<'_>, arguments: &[Argument]) {
        reply.array(arguments.len());
        for argument in arguments {
            self.write(reply, argument);
        }
    }

    fn write(&mut self, reply: &mut Reply<'_>, argument: &Argument) {
        let map = reply.deferred_map();
        let mut pairs = 2;
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.name().as_bytes());
        if argument.kind == Type::Key && self.key_specs > 0 {
            pairs += 1;
            reply.bulk(b"key_spec_index");
            reply.int(self.keys_seen.min(self.key_specs - 1) as i64);
            self.keys_seen += 1;
        }
        if let Some(token) = &argument.token {
            pairs += 1;
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        let flags = [("optional", argument.optional), ("multiple", argument.multiple)];
        let flags: Vec<&str> = flags.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
        if !flags.is_empty() {
            pairs += 1;
            reply.bulk(b"flags");
            reply_words(reply, &flags);
        }
        if !argument.parts.is_empty() {
            pairs += 1;
            reply.bulk(b"arguments");
            self.write_all(reply, &argument.parts);
        }
        reply.set_deferred(map, pairs);
    }
}

/// Which commands LIST is asked for.
enum Filter<'a> {
    All,
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self> {
        match args.len() {
            2 => Ok(Self::All),
            5 if args.is(2, "filterby") && args.is(3, "module") => Ok(Self::Module),
            5 if args.is(2, "filterby") && args.is(3, "aclcat") => Ok(Self::Category(args.get(4))),
            5 if args.is(2, "filterby") && args.is(3, "pattern") => Ok(Self::Pattern(args.get(4))),
            _ => Err(Error::Syntax),
        }
    }

    fn admits(&self, full_name: &str, spec: &Spec) -> bool {
        match self {
            Self::All => true,
            // No command comes from a module.
            Self::Module => false,
            Self::Category(name) => acl::categories(spec).any(|known| known.as_bytes().eq_ignore_ascii_case(name)),
            Self::Pattern(pattern) => glob::matches(pattern, full_name.as_bytes(), true),
        }
    }
}

/// With a filter, subcommands are listed as well.
fn list(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let filter = Filter::parse(args)?;
    let table = &ctx.engine.table;
    let mut names: Vec<&str> = Vec::new();
    for (_, id) in table.top_level() {
        for id in std::iter::once(&id).chain(table.children(id)) {
            let command = &table[*id];
            if filter.admits(&command.full_name, command.spec) {
                names.push(&command.full_name);
            }
        }
    }
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn get_keys(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let request = args.skip(2);
    let keys = keys_of_request(ctx, request)?;
    ctx.reply.array(keys.len());
    for key in keys {
        ctx.reply.bulk(request.get(key.at));
    }
    Ok(())
}

fn get_keys_and_flags(ctx: &mut ServerCtx<'_>, args: Args<'_>) -> Result {
    let request = args.skip(2);
    let keys = keys_of_request(ctx, request)?;
    ctx.reply.array(keys.len());
    for key in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(request.get(key.at));
        reply_words(&mut ctx.reply, &key_words(key.flags));
    }
    Ok(())
}

fn key_words(flags: KeyFlags) -> Vec<&'static str> {
    flags.words().collect()
}

fn keys_of_request(ctx: &ServerCtx<'_>, request: Args<'_>) -> Result<Vec<KeyPosition>> {
    let table = &ctx.engine.table;
    let Lookup::Found(id) = table.look_up(request.get(0), request.try_get(1)) else {
        return Err(Error::fixed("ERR Invalid command specified"));
    };
    let spec = table[id].spec;
    if !key_positions::has_keys(spec) {
        return Err(Error::fixed("ERR The command has no key arguments"));
    }
    if !spec.arity.admits(request.len()) {
        return Err(Error::fixed("ERR Invalid number of arguments specified for command"));
    }
    let keys = key_positions::find(spec, request);
    if keys.is_empty() {
        return Err(Error::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use crate::commands::ALL;
    use crate::testing::check;

    #[test]
    fn keys_of_requests() {
        check(
            "
            > COMMAND GETKEYS mset a 1 b 2
            [\"a\", \"b\"]
            > COMMAND GETKEYS object encoding k
            [\"k\"]
            > COMMAND GETKEYSANDFLAGS set k v
            [[\"k\", [OW, update]]]
            > COMMAND GETKEYSANDFLAGS set k v GET
            [[\"k\", [RW, access, update]]]
            > COMMAND GETKEYS object help
            ERR The command has no key arguments
            > COMMAND GETKEYS none at all
            ERR Invalid command specified
            > COMMAND GETKEYS get a b
            ERR Invalid number of arguments specified for command
            ",
        );
    }

    #[test]
    fn what_the_table_tells() {
        check(
            "
            > COMMAND INFO rename nosuch
            [[\"rename\", 3, [write], 1, 2, 1, [@keyspace, @write, @slow], [], [[\"flags\", [RW, access, delete], \
             \"begin_search\", [\"type\", \"index\", \"spec\", [\"index\", 1]], \"find_keys\", [\"type\", \"range\", \
             \"spec\", [\"lastkey\", 0, \"keystep\", 1, \"limit\", 0]]], [\"flags\", [OW, update], \"begin_search\", \
             [\"type\", \"index\", \"spec\", [\"index\", 2]], \"find_keys\", [\"type\", \"range\", \"spec\", \
             [\"lastkey\", 0, \"keystep\", 1, \"limit\", 0]]]], []], (nil)]
            > COMMAND LIST FILTERBY PATTERN get*
            [\"get\", \"getbit\", \"getdel\", \"getex\", \"getrange\", \"getset\"]
            > COMMAND LIST FILTERBY MODULE none
            []
            > COMMAND LIST FILTERBY NONE x
            ERR syntax error
            > COMMAND DOCS getset
            [\"getset\", [\"summary\", \"Puts a string at a key and returns the one that was there.\", \"since\", \
             \"1.0.0\", \"group\", \"string\", \"complexity\", \"O(1)\", \"doc_flags\", [deprecated], \
             \"deprecated_since\", \"6.2.0\", \"replaced_by\", \"`SET` with the `!GET` argument\", \"arguments\", \
             [[\"name\", \"key\", \"type\", \"key\", \"key_spec_index\", 0], [\"name\", \"value\", \"type\", \"string\"]]]]
            ",
        );
    }

    #[test]
    fn every_definition_is_complete() {
        for spec in ALL
            .iter()
            .flat_map(|spec| std::iter::once(*spec).chain(spec.subcommands.iter().copied()))
        {
            assert!(spec.summary.ends_with('.'), "{}: the summary is a sentence", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_lowercase());
            assert_eq!(
                crate::syntax::parse(spec.args).is_empty(),
                spec.args.is_empty(),
                "{}",
                spec.name
            );
        }
    }

    /// The stock suite: COMMAND LIST names subcommands too, without a filter as with one.
    #[test]
    fn the_whole_list_has_subcommands() {
        let mut engine = crate::Engine::new(1, 1, || 0, ALL);
        let id = engine.open(crate::session::Peer::default());
        let request = resp::OwnedArgs::from_words(["COMMAND", "LIST"]);
        engine.execute(&mut crate::host::NoHost, id, request.as_args());
        let out = &engine.sessions[id].out;
        assert!(
            out.windows(11).any(|word| word == b"client|list"),
            "{}",
            out.escape_ascii()
        );
    }
}
