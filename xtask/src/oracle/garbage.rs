//! Bytes that are no well-formed requests, or requests after which replies no longer come one by one; each on a
//! connection of its own, where the whole stream of replies and the end of the connection are compared.

use harness::Rng;

use super::run::Step;

/// One such connection.
pub fn step(rng: &mut Rng) -> Step {
    if rng.chance(1, 2) {
        let (password, bytes) = rng.pick(SCRIPTS);
        return Step::Raw {
            bytes: unroll(bytes),
            password: *password,
        };
    }
    let mut bytes = b"*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$5\r\nhowdy\r\n*2\r\n$3\r\nGET\r\n$2\r\nk1\r\nECHO \"a b\"\r\n*1\r\n$4\r\nPING\r\n\
          PING\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"
        .to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() as u64) as usize;
        // No NUL: stock looks for line ends as C looks for them, and takes what follows a NUL for a line that goes on.
        match rng.below(4) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, *rng.pick(b"*$:+-0123456789\r\n \"'\\x\xff")),
            2 => bytes[at] = *rng.pick(b"*$:+-0123456789\r\n \"'\\x\xff"),
            _ => bytes.truncate(at.max(1)),
        }
    }
    Step::Raw {
        bytes,
        password: rng.chance(1, 10),
    }
}

/// `<n*c>` stands for n times the character c.
fn unroll(script: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = script;
    while let Some((before, after)) = rest.split_once('<') {
        let parts = after
            .split_once('>')
            .and_then(|(inside, after)| Some((inside.split_once('*')?, after)));
        let Some(((count, text), after)) = parts else { break };
        out.extend_from_slice(before.as_bytes());
        out.extend(text.repeat(count.parse().unwrap_or(0)).into_bytes());
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Whether a password is set meanwhile, and the bytes.
const SCRIPTS: &[(bool, &str)] = &[
    (false, "\r\nPING\r\n"),
    (false, "\r\n\r\n\r\n"),
    (false, "\n"),
    (false, "PING\n"),
    (false, "PING"),
    (false, "  PING  \r\n"),
    (false, "\tPING\t\r\n"),
    (false, "*0\r\nPING\r\n"),
    (false, "*-1\r\nPING\r\n"),
    (false, "*-10\r\nPING\r\n"),
    (false, "*1\r\n$4\r\nPING\r\n*0\r\n*1\r\n$4\r\nPING\r\n"),
    (false, "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"),
    (false, "*1048577\r\n"),
    (false, "*2147483648\r\n"),
    (false, "*1048576\r\nPING\r\n"),
    (false, "*99999999999999999999\r\n"),
    (false, "*abc\r\n"),
    (false, "*\r\n"),
    (false, "* 1\r\n$4\r\nPING\r\n"),
    (false, "*+1\r\n$4\r\nPING\r\n"),
    (false, "*01\r\n$4\r\nPING\r\n"),
    (false, "*1\r\n$-10\r\nPING\r\n"),
    (false, "*1\r\n$-1\r\nPING\r\n"),
    (false, "*1\r\n$536870913\r\nPING\r\n"),
    (false, "*1\r\n$2147483648\r\nPING\r\n"),
    (false, "*1\r\n$blabla\r\nPING\r\n"),
    (false, "*1\r\n$\r\nPING\r\n"),
    (false, "*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n"),
    (false, "*2\r\n$4\r\nECHO\r\n$0\r\n\r\nPING\r\n"),
    (false, "*2\r\n$0\r\n\r\n$1\r\nx\r\n"),
    (false, "*1\r\n$3\r\nPING\r\nPING\r\n"),
    (false, "SET k1 \"unbalanced\r\nPING\r\n"),
    (false, "SET k1 'unbalanced\r\nPING\r\n"),
    (false, "SET k1 \"a\"b\r\n"),
    (false, "ECHO \"a\\x41\\n\\t\\\"\\\\\\q\\xzz\"\r\n"),
    (false, "ECHO 'it\\'s \\n'\r\n"),
    (false, "ECHO ''\r\nECHO \"\"\r\n"),
    (false, "ECHO a\"b\"c\r\n"),
    (false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (false, "POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n"),
    (false, "PING\r\nHost: x\r\nPING\r\n"),
    (false, "<70000*x>"),
    // Between 64 and 80 KiB it depends on how the bytes arrive whether stock refuses the line.
    (false, "<90000*x>\r\nPING\r\n"),
    (false, "PING\r\n<66000* >"),
    (false, "*<70000*1>"),
    (false, "*1\r\n$<70000*1>"),
    (false, "NOSUCH <300*a> <300*b>\r\n"),
    (false, "<300*c> x\r\n"),
    (false, "NOSUCH a\\r\\nb \"c\\r\\nd\"\r\n"),
    (false, "QUIT\r\nPING\r\n"),
    (false, "*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n"),
    (false, "QUIT with words\r\n"),
    (false, "MULTI\r\nPING\r\nQUIT\r\nEXEC\r\n"),
    (false, "MULTI\r\nSET k1 v\r\nGET k1\r\n*1\r\nx"),
    (false, "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\n"),
    (false, "CLIENT REPLY SKIP\r\nPING\r\nPING\r\n"),
    (false, "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n"),
    (
        false,
        "CLIENT REPLY OFF\r\nNOSUCH\r\nGET\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nECHO end\r\n",
    ),
    (
        false,
        "CLIENT REPLY OFF\r\nMULTI\r\nPING\r\nEXEC\r\nCLIENT REPLY ON\r\n",
    ),
    (false, "MULTI\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\nEXEC\r\nPING\r\n"),
    (false, "RESET\r\nMULTI\r\nRESET\r\nEXEC\r\n"),
    (false, "MULTI\r\nMULTI\r\nWATCH k1\r\nEXEC\r\n"),
    (false, "MULTI\r\nNOSUCH\r\nPING\r\nEXEC\r\n"),
    (false, "MULTI\r\nSAVE\r\nEXEC\r\n"),
    (
        false,
        "WATCH k1\r\nSET k1 a\r\nMULTI\r\nPING\r\nEXEC\r\nMULTI\r\nPING\r\nEXEC\r\n",
    ),
    (false, "EXEC\r\nDISCARD\r\nUNWATCH\r\n"),
    (
        false,
        "HELLO 4\r\nHELLO abc\r\nHELLO 3 AUTH\r\nHELLO 3 JUNK\r\nHELLO 3 SETNAME \"a b\"\r\n",
    ),
    (
        false,
        "AUTH x\r\nAUTH default x\r\nAUTH nobody x\r\nAUTH a b c\r\nAUTH\r\n",
    ),
    // The first and the last ids that there are.
    (
        false,
        "XADD xmax 18446744073709551615-18446744073709551614 f v\r\n\
         XADD xmax 18446744073709551615-* g w\r\n\
         XADD xmax 18446744073709551615-* g w\r\n\
         XADD xmax * f v\r\n\
         XRANGE xmax (18446744073709551615-18446744073709551614 +\r\n\
         XRANGE xmax (18446744073709551615-18446744073709551615 +\r\n\
         XREVRANGE xmax (18446744073709551615-18446744073709551615 -\r\n\
         XGROUP CREATE xmax g $\r\n\
         XREADGROUP GROUP g c STREAMS xmax >\r\n\
         XGROUP SETID xmax g 0\r\n\
         XREADGROUP GROUP g c STREAMS xmax >\r\n\
         XREADGROUP GROUP g c STREAMS xmax 18446744073709551615-18446744073709551615\r\n\
         XPENDING xmax g\r\n\
         XAUTOCLAIM xmax g d 0 18446744073709551615-18446744073709551615 COUNT 1\r\n\
         XAUTOCLAIM xmax g d 0 (18446744073709551615-18446744073709551615\r\n\
         XREAD STREAMS xmax 18446744073709551615-18446744073709551615\r\n\
         XTRIM xmax MINID 18446744073709551615-18446744073709551615\r\n\
         XINFO STREAM xmax\r\n\
         DEL xmax\r\n",
    ),
    (
        false,
        "XADD xmin 0-1 f v\r\n\
         XADD xmin 0-* f v\r\n\
         XADD xmin 0 f v\r\n\
         XADD xmin 1 f v\r\n\
         XRANGE xmin - (0-1\r\n\
         XRANGE xmin - (0-0\r\n\
         XREVRANGE xmin + (0-1\r\n\
         XDEL xmin 0-1 1\r\n\
         XTRIM xmin MINID 0-2\r\n\
         XSETID xmin 0-1\r\n\
         XSETID xmin 5-5 ENTRIESADDED 1 MAXDELETEDID 0-0\r\n\
         XINFO STREAM xmin\r\n\
         DEL xmin\r\n",
    ),
    // Invalidations.
    (
        false,
        "HELLO 3\r\n\
         CLIENT TRACKING ON\r\n\
         GET k1\r\n\
         SET k1 x\r\n\
         CLIENT TRACKINGINFO\r\n\
         CLIENT GETREDIR\r\n\
         CLIENT CACHING YES\r\n\
         CLIENT TRACKING ON OPTIN\r\n\
         CLIENT TRACKING OFF\r\n\
         CLIENT TRACKING ON OPTIN\r\n\
         GET k1\r\n\
         SET k1 y\r\n\
         CLIENT CACHING YES\r\n\
         GET k1\r\n\
         CLIENT CACHING NO\r\n\
         SET k1 z\r\n\
         CLIENT TRACKING ON OPTOUT\r\n\
         CLIENT TRACKING OFF\r\n\
         CLIENT TRACKING ON OPTOUT NOLOOP\r\n\
         GET k1\r\n\
         SET k1 z\r\n\
         CLIENT TRACKINGINFO\r\n\
         CLIENT TRACKING OFF\r\n",
    ),
    (
        false,
        "HELLO 3\r\n\
         CLIENT TRACKING ON BCAST PREFIX a PREFIX ab\r\n\
         CLIENT TRACKING ON BCAST PREFIX a PREFIX k\r\n\
         SET k1 x\r\n\
         MSET a1 1 k1 2 z 3\r\n\
         DEL a1 z\r\n\
         MULTI\r\n\
         SET k1 1\r\n\
         PING\r\n\
         EXEC\r\n\
         CLIENT TRACKINGINFO\r\n\
         CLIENT TRACKING ON\r\n\
         CLIENT TRACKING OFF\r\n",
    ),
    (true, "PING\r\nAUTH wrong\r\nPING\r\nAUTH secret\r\nPING\r\n"),
    (true, "AUTH default wrong\r\nAUTH default secret\r\nECHO in\r\n"),
    (true, "AUTH nobody secret\r\nGET k1\r\nNOSUCH\r\nSET k1\r\n"),
    (true, "HELLO\r\nHELLO 3\r\nHELLO 3 AUTH default wrong\r\nPING\r\n"),
    (true, "RESET\r\nAUTH secret\r\nRESET\r\nPING\r\n"),
    (true, "QUIT\r\n"),
    (true, "MULTI\r\nEXEC\r\n"),
    (true, "*10\r\n$4\r\nPING\r\n"),
    (true, "*11\r\n$4\r\nPING\r\n"),
    (true, "*1\r\n$16384\r\nPING\r\n"),
    (true, "*1\r\n$16385\r\nPING\r\n"),
    (
        true,
        "AUTH secret\r\n*11\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
    ),
    (true, "GET / HTTP/1.1\r\n\r\n"),
];
