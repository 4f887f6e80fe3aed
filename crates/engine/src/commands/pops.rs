//! Taking something out of the first of several keys that has it, at once or after a wait: what lists and sorted sets share.
//!
//! ```text
//!   BLPOP, BRPOP, BZPOPMIN, BZPOPMAX           key [key ...] timeout                                  one, or wait
//!   LMPOP, ZMPOP                       numkeys key [key ...] LEFT|RIGHT|MIN|MAX [COUNT count]         several
//!   BLMPOP, BZMPOP             timeout numkeys key [key ...] LEFT|RIGHT|MIN|MAX [COUNT count]         several, or wait
//! ```

use crate::blocking::{Timeout, Wanted};
use crate::{ArgsExt, Error, Result, WriteCtx};
use resp::Args;

/// Offers the keys to `take`, one after the other, until it has taken and answered; whether it has.
fn first_of(
    ctx: &mut WriteCtx<'_>,
    keys: Args<'_>,
    mut take: impl FnMut(&mut WriteCtx<'_>, &[u8]) -> Result<bool>,
) -> Result<bool> {
    for key in keys.iter() {
        if ctx.looks_at(key) && take(ctx, key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A command of the first kind: `take` takes one from a key and answers, or says that there is none.
pub(super) fn one_or_wait(
    ctx: &mut WriteCtx<'_>,
    args: Args<'_>,
    wanted: Wanted,
    take: impl FnMut(&mut WriteCtx<'_>, &[u8]) -> Result<bool>,
) -> Result {
    let last = args.len() - 1;
    let timeout = Timeout::seconds(args.get(last))?;
    let keys = args.take(last).skip(1);
    if first_of(ctx, keys, take)? {
        return Ok(());
    }
    ctx.block(wanted, keys.iter(), timeout)
}

/// What a command of the other kinds is to take, and from which end.
pub(super) struct Several<'a, End> {
    keys: Args<'a>,
    pub(super) end: End,
    /// At least one.
    pub(super) count: u64,
}

impl<'a, End> Several<'a, End> {
    /// Reads what follows from the number of keys on, which is word `at`.
    fn parse(args: Args<'a>, at: usize, end_of: fn(Args<'a>, usize) -> Result<End>) -> Result<Self> {
        const NO_KEYS: Error = Error::fixed("ERR numkeys should be greater than 0");
        const NO_COUNT: Error = Error::fixed("ERR count should be greater than 0");
        let positive = |at: usize, error: Error| match args.int(at) {
            Ok(number) if number > 0 => Ok(number as u64),
            _ => Err(error),
        };
        let keys = positive(at, NO_KEYS)?;
        let end_at = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(at + 1));
        let end_at = end_at.filter(|at| *at < args.len()).ok_or(Error::Syntax)?;
        let end = end_of(args, end_at)?;
        let mut count = None;
        let mut option = end_at + 1;
        while option < args.len() {
            if count.is_some() || !args.is(option, "count") || option + 1 >= args.len() {
                return Err(Error::Syntax);
            }
            count = Some(positive(option + 1, NO_COUNT)?);
            option += 2;
        }
        Ok(Self {
            keys: args.take(end_at).skip(at + 1),
            end,
            count: count.unwrap_or(1),
        })
    }
}

/// A command of the second kind: `take` takes from a key and answers, or says that there is nothing.
pub(super) fn several<'a, End>(
    ctx: &mut WriteCtx<'_>,
    args: Args<'a>,
    end_of: fn(Args<'a>, usize) -> Result<End>,
    take: fn(&mut WriteCtx<'_>, &[u8], &Several<'a, End>) -> Result<bool>,
) -> Result {
    let request = Several::parse(args, 1, end_of)?;
    if !first_of(ctx, request.keys, |ctx, key| take(ctx, key, &request))? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// A command of the third kind.
pub(super) fn several_or_wait<'a, End>(
    ctx: &mut WriteCtx<'_>,
    args: Args<'a>,
    wanted: Wanted,
    end_of: fn(Args<'a>, usize) -> Result<End>,
    take: fn(&mut WriteCtx<'_>, &[u8], &Several<'a, End>) -> Result<bool>,
) -> Result {
    let request = Several::parse(args, 2, end_of)?;
    let timeout = Timeout::seconds(args.get(1))?;
    if first_of(ctx, request.keys, |ctx, key| take(ctx, key, &request))? {
        return Ok(());
    }
    ctx.block(wanted, request.keys.iter(), timeout)
}
