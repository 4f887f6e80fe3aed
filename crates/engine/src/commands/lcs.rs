//! The longest common subsequence of two strings.

use crate::{ArgsExt, Arity, Category, Error, Handler, KeyFlags, KeySpec, ReadCtx, Result, Spec, StrRef};
use resp::{Args, Reply};

/// LCS key1 key2 [options]
pub static LCS: Spec = Spec {
    name: "lcs",
    summary: "Finds the longest common subsequence of the strings at two keys.",
    since: "7.0.0",
    complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.or(KeyFlags::ACCESS))],
    category: Category::String,
    args: "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
    handler: Handler::Read(lcs),
    ..Spec::BASE
};

/// What the reply is to show.
#[derive(Default)]
struct Options {
    length: bool,
    matches: bool,
    match_lengths: bool,
    shortest_match: i64,
}

/// Replies with the subsequence; with LEN, its length; with IDX, where its pieces are in both strings, last piece first.
fn lcs(ctx: &mut ReadCtx<'_>, args: Args<'_>) -> Result {
    let a = string(ctx, args.key(1))?;
    let b = string(ctx, args.key(2))?;
    let options = Options::parse(args)?;
    let table = Table::new(&a, &b, ctx.keys.data().settings.max_bulk_bytes)?;

    if options.matches {
        reply_matches(&mut ctx.reply, &table, &options);
    } else if options.length {
        ctx.reply.int(i64::from(table.at(a.len(), b.len())));
    } else {
        ctx.reply.bulk(&table.subsequence());
    }
    Ok(())
}

fn string(ctx: &mut ReadCtx<'_>, key: &[u8]) -> Result<Vec<u8>> {
    match ctx.keys.string(key) {
        Ok(string) => Ok(string.map_or(Vec::new(), |string: StrRef<'_>| string.to_bytes().into_owned())),
        Err(_) => Err(Error::fixed("ERR The specified keys must contain string values")),
    }
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            if args.is(at, "idx") {
                options.matches = true;
            } else if args.is(at, "len") {
                options.length = true;
            } else if args.is(at, "withmatchlen") {
                options.match_lengths = true;
            } else if args.is(at, "minmatchlen") && at + 1 < args.len() {
                options.shortest_match = args.int(at + 1)?;
                at += 1;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        if options.matches && options.length {
            return Err(Error::fixed(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// Lengths of the longest common subsequences of all pairs of prefixes.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    /// Row by row: `cells[i * (b.len() + 1) + j]` is for `a[..i]` and `b[..j]`.
    cells: Vec<u32>,
}

/// A piece of the subsequence: `length` bytes that begin at `a` and `b` of the two strings.
struct Match {
    a: usize,
    b: usize,
    length: usize,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8], limit_bytes: u64) -> Result<Self> {
        let longest = u32::MAX as usize - 1;
        if a.len() >= longest || b.len() >= longest {
            return Err(Error::fixed("ERR String too long for LCS"));
        }
        let size = (a.len() as u64 + 1) * (b.len() as u64 + 1);
        if size.saturating_mul(4) > limit_bytes {
            return Err(Error::fixed(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        }
        let mut cells = Vec::new();
        if cells.try_reserve_exact(size as usize).is_err() {
            return Err(Error::fixed(
                "ERR Insufficient memory, failed allocating transient memory for LCS",
            ));
        }
        cells.resize(size as usize, 0u32);
        let mut table = Self { a, b, cells };
        table.fill();
        Ok(table)
    }

    fn fill(&mut self) {
        let width = self.b.len() + 1;
        for (i, x) in self.a.iter().enumerate() {
            let (above, row) = self.cells[i * width..].split_at_mut(width);
            for (j, y) in self.b.iter().enumerate() {
                row[j + 1] = if x == y { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * (self.b.len() + 1) + j]
    }

    /// The pieces, the last one first. Of several longest subsequences it is the one stock servers choose: where
    /// neither string's end is better to drop, the second's is.
    fn matches(&self) -> Vec<Match> {
        let mut matches = Vec::new();
        let mut open: Option<Match> = None;
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                let length = open.map_or(1, |piece| piece.length + 1);
                open = Some(Match { a: i, b: j, length });
                continue;
            }
            matches.extend(open.take());
            if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        matches.extend(open);
        matches
    }

    fn subsequence(&self) -> Vec<u8> {
        self.matches()
            .iter()
            .rev()
            .flat_map(|piece| &self.a[piece.a..piece.a + piece.length])
            .copied()
            .collect()
    }
}

fn reply_matches(reply: &mut Reply<'_>, table: &Table<'_>, options: &Options) {
    let mut matches = table.matches();
    matches.retain(|piece| piece.length as i64 >= options.shortest_match);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for piece in matches {
        reply.array(2 + usize::from(options.match_lengths));
        for start in [piece.a, piece.b] {
            reply.array(2);
            reply.int(start as i64);
            reply.int((start + piece.length - 1) as i64);
        }
        if options.match_lengths {
            reply.int(piece.length as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(i64::from(table.at(table.a.len(), table.b.len())));
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn subsequence_length_and_places() {
        check(
            "
            > MSET a ohmytext b mynewtext
            OK
            > LCS a b
            mytext
            > LCS a b LEN
            6
            > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
            [\"matches\", [[[4, 7], [5, 8], 4]], \"len\", 6]
            > LCS a b IDX
            [\"matches\", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], \"len\", 6]
            > LCS a absent

            > LCS a b LEN IDX
            ERR If you want both the length and indexes, please just use IDX.
            > LCS a b MINMATCHLEN
            ERR syntax error
            ",
        );
    }
}
