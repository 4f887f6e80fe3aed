//! DUMP and RESTORE: one value as bytes, and back.

use crate::host::{Level, Notice};
use crate::keys::int_text;
use crate::settings::Role;
use crate::{Acl, ArgsExt, Arity, Category, Error, Event, Expiry, Flags, Handler, KeyFlags, KeySpec};
use crate::{ReadCtx, Result, Spec, WriteCtx};
use base::Millis;
use keyspace::NewValue;
use rdb::{Compression, Home, Payload, PayloadError, Verify};
use resp::Args;

/// DUMP key
pub static DUMP: Spec = Spec {
    name: "dump",
    summary: "Returns the value at a key in the form that RESTORE takes.",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    acl: Acl::KEYSPACE,
    tips: &["nondeterministic_output"],
    args: "key",
    handler: Handler::Read(dump),
    ..Spec::BASE
};

fn dump(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    match ctx.keys.get(args.key(1)) {
        None => ctx.reply.null(),
        Some(entry) => {
            let mut payload = Vec::new();
            rdb::write_payload(&mut payload, entry.value(), Compression::Lzf);
            ctx.reply.bulk(&payload);
        }
    }
    Ok(())
}

/// RESTORE key ttl serialized-value [options]
pub static RESTORE: Spec = Spec {
    name: "restore",
    summary: "Puts a value that DUMP returned at a key.",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::at(1, KeyFlags::OW.or(KeyFlags::UPDATE))],
    flags: Flags::DENY_OOM,
    acl: Acl::KEYSPACE.or(Acl::DANGEROUS),
    args: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    history: &[
        ("3.0.0", "REPLACE."),
        ("5.0.0", "ABSTTL."),
        ("5.0.0", "IDLETIME and FREQ."),
    ],
    handler: Handler::Write(restore),
    ..Spec::BASE
};

/// RESTORE-ASKING key ttl serialized-value [options]
pub static RESTORE_ASKING: Spec = Spec {
    name: "restore-asking",
    summary: "RESTORE between the nodes of a cluster.",
    since: "3.0.0",
    category: Category::Server,
    flags: Flags::DENY_OOM.or(Flags::ASKING),
    ..RESTORE
};

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut at = 4;
        while at < args.len() {
            let has_value = at + 1 < args.len();
            if args.is(at, "replace") {
                options.replace = true;
            } else if args.is(at, "absttl") {
                options.absolute = true;
            } else if args.is(at, "idletime") && has_value && options.frequency.is_none() {
                at += 1;
                options.idle_seconds = Some(args.int(at)?);
                if args.int(at)? < 0 {
                    return Err(Error::fixed("ERR Invalid IDLETIME value, must be >= 0"));
                }
            } else if args.is(at, "freq") && has_value && options.idle_seconds.is_none() {
                at += 1;
                options.frequency = Some(args.int(at)?);
                if !(0..=255).contains(&args.int(at)?) {
                    return Err(Error::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                }
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// A TTL of 0 means no expiry. One that has passed restores nothing, and with REPLACE deletes what is there.
///
/// Propagated with the moment of expiry and ABSTTL.
fn restore(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let key = args.key(1);
    let options = Options::parse(args)?;
    if !options.replace && ctx.keys.key_slot(key).exists() {
        return Err(Error::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl = args.int(2)?;
    if ttl < 0 {
        return Err(Error::fixed("ERR Invalid TTL value, must be >= 0"));
    }
    let verify = if ctx.keys.data().settings.skip_checksum {
        Verify::Nothing
    } else {
        Verify::Checksum
    };
    let payload = Payload::open_as(args.get(3), verify).map_err(refusal)?;
    let encodings = ctx.keys.data().settings.encodings;
    let home = Home::new(ctx.keys.key_slot(key).db(), encodings, None);
    let put = payload.read(&home, |value| put(ctx, args, &options, ttl, value));
    put.map_err(|error| {
        if let PayloadError::Format(why) = &error {
            let line = format!("RESTORE of a bad payload refused: {why}");
            ctx.keys.notice(Notice::Log(Level::Warning, line));
        }
        refusal(error)
    })?;
    ctx.reply.ok();
    Ok(())
}

/// Puts a value that was read.
fn put(ctx: &mut WriteCtx<'_>, args: Args<'_>, options: &Options, ttl: i64, value: NewValue<'_>) {
    let key = args.key(1);
    let now = ctx.now.unix_ms();
    let expiry = match ttl {
        0 => None,
        _ if options.absolute => Some(Millis(ttl)),
        _ => Some(Millis(ttl.wrapping_add(now.0))),
    };
    if expiry.is_some_and(|at| at <= now) && ctx.keys.data().settings.role == Role::Primary {
        if ctx.keys.unsettled_slot(key).remove(Event::DEL) {
            ctx.propagate(&[b"DEL", key]);
        }
        return;
    }

    let new_expiry = expiry.map_or(Expiry::Clear, Expiry::At);
    ctx.keys
        .unsettled_slot(key)
        .set_value(value, new_expiry, Event::RESTORE);
    stamp(ctx, key, options);
    if let Some(at) = expiry
        && !options.absolute
    {
        let at = int_text(at.0);
        let mut words: Vec<&[u8]> = args.iter().collect();
        words[2] = &at;
        words.push(b"ABSTTL");
        ctx.propagate(&words);
    }
}

/// Why a payload is refused, as clients know it.
fn refusal(error: PayloadError) -> Error {
    match error {
        PayloadError::VersionOrChecksum => Error::fixed("ERR DUMP payload version or checksum are wrong"),
        _ => Error::fixed("ERR Bad data format"),
    }
}

/// Sets the access clock to what was asked for.
fn stamp(ctx: &mut WriteCtx<'_>, key: &[u8], options: &Options) {
    const CLOCK_MASK: i64 = 0xff_ffff;
    let data = ctx.keys.data();
    let clock = i64::from(data.access_clock);
    let stamp = match (data.settings.lfu, options.frequency, options.idle_seconds) {
        (true, Some(frequency), _) => (clock & 0xffff) << 8 | frequency,
        (false, _, Some(idle)) => clock.wrapping_sub(idle) & CLOCK_MASK,
        _ => return,
    };
    ctx.keys.key_slot(key).stamp(stamp as u32);
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    /// The payload is what a stock 7.0.15 answers to DUMP of `10`.
    #[test]
    fn a_value_goes_out_and_comes_back() {
        check(
            r#"
            > SET k 10
            OK
            > DUMP k
            \x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb
            > RESTORE k 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
            BUSYKEY Target key name already exists.
            > RESTORE k 5000 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" REPLACE IDLETIME 100
            OK
            > OBJECT IDLETIME k
            100
            > PTTL k
            5000
            > RESTORE n 1 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL
            OK
            > RESTORE k 1 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL REPLACE
            OK
            > EXISTS n k
            0
            > RESTORE n 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xba"
            ERR DUMP payload version or checksum are wrong
            > DUMP n
            (nil)
            > RESTORE n -1 x
            ERR Invalid TTL value, must be >= 0
            > RESTORE n 0 x FREQ 1 IDLETIME 1
            ERR syntax error
            > RESTORE n 0 x FREQ 256
            ERR Invalid FREQ value, must be >= 0 and <= 255
            propagated: SELECT 0
            propagated: SET k 10
            propagated: RESTORE k 1700000005000 \x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb REPLACE IDLETIME 100 ABSTTL
            propagated: DEL k
            propagated: nothing
            "#,
        );
    }
}
