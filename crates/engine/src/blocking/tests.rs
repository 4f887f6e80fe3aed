//! Waiting, with a command of our own: `TAKE key [key …] timeout` waits for a string and takes it away.

use super::{Timeout, Wanted};
use crate::execute::{Engine, Flow};
use crate::host::{NoHost, Notice};
use crate::testing::check_with;
use crate::{Arity, Event, Handler, Result, Spec, WriteCtx, commands};
use resp::{Args, OwnedArgs};

static TAKE: Spec = Spec {
    name: "take",
    arity: Arity::AtLeast(3),
    handler: Handler::Write(take),
    ..Spec::BASE
};

fn take(ctx: &mut WriteCtx<'_>, args: Args<'_>) -> Result {
    let timeout = Timeout::seconds(args.get(args.len() - 1))?;
    let keys = args.take(args.len() - 1).skip(1);
    for key in keys.iter() {
        if !ctx.looks_at(key) {
            continue;
        }
        let Ok(slot) = ctx.string_slot(key) else { continue };
        let Some(value) = slot.get().map(|value| value.to_bytes().into_owned()) else {
            continue;
        };
        if value == b"poison" {
            return Err(crate::Error::err("poison"));
        }
        slot.into_key_slot().remove(Event::DEL);
        ctx.propagate(&[b"DEL", key]);
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        ctx.reply.bulk(&value);
        return Ok(());
    }
    ctx.block(Wanted::Str, keys.iter(), timeout)
}

fn engine() -> Engine {
    Engine::new(16, 1, || 0, commands::ALL.iter().chain([&&TAKE]))
}

fn check(transcript: &str) -> Engine {
    let mut engine = engine();
    check_with(&mut engine, &mut NoHost, transcript);
    engine
}

#[test]
fn who_waits_longest_is_served_first() {
    check(
        "
        @1> TAKE k 0

        @2> TAKE k 0

        @3> TAKE other k 0

        > SET k a
        OK
        > SET k b
        OK
        > SET k c
        OK
        > SET k d
        OK
        @1> GET k
        [\"k\", \"a\"] d
        @2> GET x
        [\"k\", \"b\"] (nil)
        @3> GET x
        [\"k\", \"c\"] (nil)
        propagated: SELECT 0
        propagated: SET k a
        propagated: DEL k
        propagated: SET k b
        propagated: DEL k
        propagated: SET k c
        propagated: DEL k
        propagated: SET k d
        propagated: nothing
        ",
    );
}

#[test]
fn keys_are_served_in_the_order_in_which_they_became_ready_after_the_transaction() {
    check(
        "
        @1> TAKE a b 0

        > MULTI
        OK
        > SET b 1
        QUEUED
        > SET a 2
        QUEUED
        > EXEC
        [OK, OK]
        @1> GET a
        [\"b\", \"1\"] 2
        propagated: SELECT 0
        propagated: MULTI
        propagated: SET b 1
        propagated: SET a 2
        propagated: EXEC
        propagated: DEL b
        propagated: nothing
        ",
    );
}

#[test]
fn what_is_gone_again_when_the_transaction_ends_wakes_nobody() {
    let engine = check(
        "
        @1> TAKE a 0

        > MULTI
        OK
        > SET a 1
        QUEUED
        > DEL a
        QUEUED
        > EXEC
        [OK, 1]
        propagated: SELECT 0
        propagated: MULTI
        propagated: SET a 1
        propagated: DEL a
        propagated: EXEC
        propagated: nothing
        ",
    );
    assert!(!engine.data.blocking.is_empty());
    assert!(!engine.data.blocking.has_ready());
}

#[test]
fn nothing_blocks_inside_a_transaction() {
    check(
        "
        > MULTI
        OK
        > TAKE a 0
        QUEUED
        > EXEC
        [(nil)]
        ",
    );
}

#[test]
fn time_runs_out_after_the_deadline() {
    let mut engine = check("> TAKE a b 0.0101");
    assert_eq!(engine.data.blocking.next_deadline_ms(), Some(1_000 + 11));
    let turn = |engine: &mut Engine, ms: u64| {
        engine.begin_turn(base::Now {
            unix_us: 1_700_000_000_000_000,
            mono_us: ms * 1000,
        });
        engine.time_out_waits()
    };
    assert_eq!(turn(&mut engine, 1_011), 0);
    assert_eq!(turn(&mut engine, 1_012), 1);
    assert!(engine.data.blocking.is_empty());
    let session = engine.sessions.iter().next().expect("one session");
    assert_eq!(session.out, b"*-1\r\n");
    let id = session.id;
    assert!(matches!(engine.data.notices[..], [Notice::Resume(resumed)] if resumed == id));
}

#[test]
fn unblocked_by_others() {
    check(
        "
        @1> CLIENT ID
        1
        @1> TAKE a 0

        > CLIENT UNBLOCK 1
        1
        > CLIENT UNBLOCK 1
        0
        @1> TAKE a 0
        (nil)
        > CLIENT UNBLOCK 1 ERROR
        1
        @1> PING
        UNBLOCKED client unblocked via CLIENT UNBLOCK PONG
        > CLIENT UNBLOCK 1 NOW
        ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
        > CLIENT UNBLOCK x
        ERR value is not an integer or out of range
        > SET a 1
        OK
        > GET a
        1
        ",
    );
}

#[test]
fn a_client_that_is_killed_or_gone_takes_nothing() {
    let engine = check(
        "
        @1> TAKE a 0

        > MULTI
        OK
        > CLIENT KILL ID 1
        QUEUED
        > SET a 1
        QUEUED
        > EXEC
        [1, OK]
        > GET a
        1
        ",
    );
    assert!(engine.data.blocking.is_empty());

    let mut engine = check("> TAKE a 0");
    let id = engine.sessions.iter().next().expect("one session").id;
    engine.close(id);
    assert!(engine.data.blocking.is_empty());
    assert_eq!(engine.data.blocking.next_deadline_ms(), None);
}

#[test]
fn however_a_key_comes_to_be_there() {
    check(
        "
        > SET other 1
        OK
        @1> TAKE k 0

        > RENAME other k
        OK
        @1> TAKE k 0
        [\"k\", \"1\"]
        > SELECT 1
        OK
        > SET k 2
        OK
        > SWAPDB 0 1
        OK
        @1> TAKE k 0
        [\"k\", \"2\"]
        > SET k 3
        OK
        > MOVE k 0
        1
        @1> TAKE k 0
        [\"k\", \"3\"]
        > SET k 4
        OK
        > COPY k k DB 0
        1
        @1> PING
        [\"k\", \"4\"] PONG
        ",
    );
}

#[test]
fn an_error_unblocks_and_the_request_is_counted_once() {
    let engine = check(
        "
        @1> TAKE k 0

        > SET k poison
        OK
        @1> PING
        ERR poison PONG
        ",
    );
    let command = engine.table.find(b"take").expect("the command of this test");
    let stats = engine.table[command].stats;
    assert_eq!((stats.calls, stats.failed), (1, 1));
}

#[test]
fn a_reply_that_was_to_be_skipped_is_skipped() {
    check(
        "
        @1> CLIENT REPLY SKIP

        @1> TAKE k 0

        > SET k 1
        OK
        @1> PING
        PONG
        > DBSIZE
        0
        ",
    );
}

#[test]
fn pipelined_requests_wait() {
    let mut engine = engine();
    let id = engine.open(crate::session::Peer::default());
    let request = OwnedArgs::from_words(["TAKE", "k", "0"]);
    let flow = engine.execute(&mut NoHost, id, request.as_args());
    assert_eq!(flow, Flow::Blocked);
    assert!(engine.sessions[id].blocked.is_some());
}

#[test]
fn timeouts_are_read_as_stock_reads_them() {
    let ms = |word: &str| Timeout::seconds(word.as_bytes()).map(|timeout| timeout.deadline_ms(0));
    assert_eq!(ms("0"), Ok(None));
    assert_eq!(ms("-0.0001"), Ok(None));
    assert_eq!(ms("1e-20"), Ok(Some(1)));
    assert_eq!(ms("0x1p-20"), Ok(Some(1)));
    assert_eq!(ms("1.5"), Ok(Some(1500)));
    for word in ["-1", "1e30", "inf"] {
        assert_eq!(ms(word).unwrap_err().text(), "ERR timeout is negative");
    }
    for word in ["x", "nan", " 1", "1 ", ""] {
        assert_eq!(
            ms(word).unwrap_err().text(),
            "ERR timeout is not a float or out of range"
        );
    }
    let ms = |word: &str| Timeout::integer_milliseconds(word.as_bytes());
    assert_eq!(
        ms("a").unwrap_err().text(),
        "ERR timeout is not an integer or out of range"
    );
    assert_eq!(ms("-1").unwrap_err().text(), "ERR timeout is negative");
}
