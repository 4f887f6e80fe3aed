//! XADD and XTRIM.

use super::ids::{self, Given};
use super::{DELETES, STREAM, effects};
use crate::session::Kind;
use crate::{ArgsExt, Arity, Error, Event, Flags, Handler, KeyFlags, KeySpec, Result, Spec, WriteCtx};
use base::Millis;
use keyspace::stream::Stream;
use keyspace::stream::stream::{StreamId, TrimBy, TrimTo};
use resp::Args;

/// Fields and values of one entry together: a listpack's sizes are 32-bit numbers.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] id|* field value [field value ...]
pub static XADD: Spec = Spec {
    name: "xadd",
    summary: "Adds an entry to a stream.",
    complexity: "O(1) to add, O(N) to trim with N the number of entries removed.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec {
        notes: "UPDATE instead of INSERT because of the optional trimming feature",
        ..KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))
    }],
    flags: Flags::DENY_OOM.or(Flags::FAST),
    tips: &["nondeterministic_output"],
    args: "key [NOMKSTREAM] [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> field value [field value ...]",
    history: &[
        ("6.2.0", "NOMKSTREAM, MINID and LIMIT."),
        ("7.0.0", "IDs of the form `ms-*`."),
    ],
    handler: Handler::Write(add),
    ..STREAM
};

/// XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count]
pub static XTRIM: Spec = Spec {
    name: "xtrim",
    summary: "Removes the oldest entries of a stream.",
    complexity: "O(N) with N the number of entries removed.",
    arity: Arity::AtLeast(4),
    keys: DELETES,
    tips: &["nondeterministic_output"],
    args: "key <MAXLEN|MINID> [=|~] threshold [LIMIT count]",
    history: &[("6.2.0", "MINID and LIMIT.")],
    handler: Handler::Write(trim),
    ..STREAM
};

/// What trims a stream, as the request says it.
#[derive(Clone, Copy)]
struct Trim {
    to: TrimTo,
    approximate: bool,
    /// Which word of the request the threshold is.
    threshold_at: usize,
}

impl Trim {
    /// The words of an exact trim that does what this one did, in place of operator and threshold.
    fn rewrite(&self, stream: &Stream, words: &mut [Vec<u8>]) {
        words[self.threshold_at - 1] = b"=".to_vec();
        words[self.threshold_at] = match self.to {
            TrimTo::Length(_) => stream.len().to_string().into_bytes(),
            TrimTo::Id(_) => ids::text(effects::first_kept(stream)),
        };
    }
}

/// The options of XADD and XTRIM.
#[derive(Default)]
struct Options {
    no_create: bool,
    trim: Option<Trim>,
    limit: Option<i64>,
    /// Where XADD's id is, if the request got so far.
    id_at: usize,
    id: Option<Given>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Add,
    Trim,
}

impl Options {
    fn parse(args: Args<'_>, command: Command) -> Result<Self> {
        let mut options = Self::default();
        let mut at = 2;
        while at < args.len() {
            let more = args.len() - 1 - at;
            if command == Command::Add && args.get(at) == b"*" {
                break;
            } else if more > 0 && (args.is(at, "maxlen") || args.is(at, "minid")) {
                at = options.parse_trim(args, at)?;
            } else if more > 0 && args.is(at, "limit") {
                let limit = args.int(at + 1)?;
                if limit < 0 {
                    return Err(Error::fixed("ERR The LIMIT argument must be >= 0."));
                }
                options.limit = Some(limit);
                at += 1;
            } else if command == Command::Trim {
                return Err(Error::Syntax);
            } else if args.is(at, "nomkstream") {
                options.no_create = true;
            } else {
                options.id = Some(ids::for_add(args.get(at))?);
                break;
            }
            at += 1;
        }
        options.id_at = at;
        options.check(command)?;
        Ok(options)
    }

    /// Reads a trim from its first word on; gives the position of its last.
    fn parse_trim(&mut self, args: Args<'_>, at: usize) -> Result<usize> {
        let by_length = args.is(at, "maxlen");
        if self.trim.is_some() {
            return Err(Error::fixed(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let operator = args.get(at + 1);
        let has_operator = matches!(operator, b"~" | b"=") && at + 2 < args.len();
        let threshold_at = if has_operator { at + 2 } else { at + 1 };
        let to = if by_length {
            let length = u64::try_from(args.int(threshold_at)?);
            TrimTo::Length(length.map_err(|_| Error::fixed("ERR The MAXLEN argument must be >= 0."))?)
        } else {
            TrimTo::Id(ids::strict(args.get(threshold_at), 0)?)
        };
        self.trim = Some(Trim {
            to,
            approximate: has_operator && operator == b"~",
            threshold_at,
        });
        Ok(threshold_at)
    }

    fn check(&self, command: Command) -> Result {
        if self.trim.is_none() && self.limit.is_some_and(|limit| limit != 0) {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if self.trim.is_none() && command == Command::Trim {
            return Err(Error::fixed(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        Ok(())
    }

    /// How the trim goes about it. What comes from the primary did so there already, and is exact.
    fn trim_by(&self, from: Kind, node_entries: u64) -> Result<TrimBy> {
        let approximate = self.trim.is_some_and(|trim| trim.approximate);
        if from == Kind::Primary {
            return Ok(if approximate { TrimBy::Nodes(0) } else { TrimBy::Entries });
        }
        match self.limit {
            Some(_) if !approximate => Err(Error::fixed(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            )),
            Some(limit) => Ok(TrimBy::Nodes(limit as u64)),
            None if approximate => Ok(TrimBy::Nodes(match node_entries.saturating_mul(100) {
                0 => 10_000,
                entries => entries.min(1_000_000),
            })),
            None => Ok(TrimBy::Entries),
        }
    }
}

/// Replies the id of the new entry, or null if NOMKSTREAM forbade to make a stream.
///
/// Propagated with the id that was chosen and the trim that was done.
fn add(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let options = Options::parse(args, Command::Add)?;
    let node_entries = node_entries(ctx);
    let by = options.trim_by(ctx.keys.from, node_entries)?;
    let pairs = args.skip(options.id_at + 1);
    if pairs.len() < 2 || pairs.len() % 2 == 1 {
        return Err(Error::arity("xadd"));
    }
    if options.id == Some(Given::Whole(StreamId::MIN)) {
        return Err(Error::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let now = ctx.now.unix_ms();
    let mut slot = ctx.keys.stream_slot(key)?;
    if slot.get().is_none() && options.no_create {
        ctx.reply.null();
        return Ok(());
    }
    let last_id = slot.get().map_or(StreamId::MIN, |stream| stream.counters().last_id);
    let id = choose_id(last_id, options.id, now)?;
    if pairs.payload_bytes() > ENTRY_BYTES_MAX {
        return Err(Error::fixed("ERR Elements are too large to be stored"));
    }

    let words: Vec<&[u8]> = pairs.iter().collect();
    let limits = slot.node_limits();
    slot.create();
    slot.edit(|stream| stream.append(id, &words, limits));
    slot.commit(1, Event::XADD);
    if let Some(trim) = options.trim
        && slot
            .edit(|stream| stream.trim(trim.to, by))
            .is_some_and(|trimmed| trimmed > 0)
    {
        slot.announce(Event::XTRIM);
    }
    let rewritten = rewrite(args, &options, id, slot.get());
    if let Some(words) = rewritten {
        effects::propagate(ctx, &[words]);
    }
    super::reply::id(&mut ctx.reply, id);
    Ok(())
}

fn node_entries(ctx: &WriteCtx<'_>) -> u64 {
    let entries = ctx.keys.data().settings.encodings.stream_node_max_entries;
    entries.max(0) as u64
}

/// The id of a new entry.
fn choose_id(last: StreamId, given: Option<Given>, now: Millis) -> Result<StreamId> {
    const NOT_LATER: Error =
        Error::fixed("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    if last == StreamId::MAX {
        return Err(Error::fixed(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = match given {
        Some(Given::Whole(id)) => id,
        Some(Given::Millisecond(ms)) if ms == last.ms => {
            let seq = last.seq.checked_add(1).ok_or(NOT_LATER)?;
            StreamId::new(ms, seq)
        }
        Some(Given::Millisecond(ms)) => StreamId::new(ms, 0),
        None => {
            let now = StreamId::new(now.0 as u64, 0);
            if now.ms > last.ms {
                now
            } else {
                last.next().ok_or(NOT_LATER)?
            }
        }
    };
    if id > last { Ok(id) } else { Err(NOT_LATER) }
}

/// The request as it is propagated, where that is not as it came.
fn rewrite(args: Args<'_>, options: &Options, id: StreamId, stream: Option<&Stream>) -> Option<effects::Words> {
    let approximate = options.trim.filter(|trim| trim.approximate);
    let id_given = matches!(options.id, Some(Given::Whole(_)));
    if approximate.is_none() && id_given {
        return None;
    }
    let mut words: effects::Words = args.iter().map(<[u8]>::to_vec).collect();
    if let (Some(trim), Some(stream)) = (approximate, stream) {
        trim.rewrite(stream, &mut words);
    }
    if !id_given {
        words[options.id_at] = ids::text(id);
    }
    Some(words)
}

/// Replies how many entries were removed. Propagated as the exact trim that was done.
fn trim(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let options = Options::parse(args, Command::Trim)?;
    let node_entries = node_entries(ctx);
    let by = options.trim_by(ctx.keys.from, node_entries)?;
    // Checked when the options were read.
    let Some(trim) = options.trim else {
        return Err(Error::Syntax);
    };
    let mut slot = ctx.keys.stream_slot(args.key(1))?;
    let removed = slot.edit(|stream| stream.trim(trim.to, by)).unwrap_or(0);
    if removed > 0 {
        slot.commit(removed, Event::XTRIM);
        if let (true, Some(stream)) = (trim.approximate, slot.get()) {
            let mut words: effects::Words = args.iter().map(<[u8]>::to_vec).collect();
            trim.rewrite(stream, &mut words);
            effects::propagate(ctx, &[words]);
        }
    }
    ctx.reply.int(removed as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn ids_and_trims_are_propagated_as_they_were() {
        check(
            "
            > XADD s * a 1
            1700000000000-0
            > XADD s * a 2
            1700000000000-1
            > XADD s 1700000000000-* a 3
            1700000000000-2
            > XADD s 1700000000005 a 4
            1700000000005-0
            > XADD s MAXLEN ~ 2 LIMIT 10 * a 5
            1700000000005-1
            > XADD s NOMKSTREAM MAXLEN 2 * a 6
            1700000000005-2
            > XLEN s
            2
            > XADD s * a
            ERR wrong number of arguments for 'xadd' command
            > XADD s 1-1 a b
            ERR The ID specified in XADD is equal or smaller than the target stream top item
            > XADD s 0-0 a b
            ERR The ID specified in XADD must be greater than 0-0
            > XADD other NOMKSTREAM * a b
            (nil)
            > XTRIM s MINID 1700000000005-2
            1
            > XTRIM s MAXLEN 5 LIMIT 3
            ERR syntax error, LIMIT cannot be used without the special ~ option
            propagated: SELECT 0
            propagated: XADD s 1700000000000-0 a 1
            propagated: XADD s 1700000000000-1 a 2
            propagated: XADD s 1700000000000-2 a 3
            propagated: XADD s 1700000000005 a 4
            propagated: XADD s MAXLEN = 5 LIMIT 10 1700000000005-1 a 5
            propagated: XADD s NOMKSTREAM MAXLEN 2 1700000000005-2 a 6
            propagated: XTRIM s MINID 1700000000005-2
            propagated: nothing
            events: xadd s
            events: xadd s
            events: xadd s
            events: xadd s
            events: xadd s
            events: xadd s
            events: xtrim s
            events: xtrim s
            events: nothing
            ",
        );
    }
}
