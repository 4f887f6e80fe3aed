//! Transcripts of the replica's side: every arrow of the link's diagram.

mod common;

use common::Stage;
use repl::Settings;

const GREETED: &str = "
    ! connected
    send PING
    > +PONG
    send REPLCONF listening-port 6379
    send REPLCONF capa eof capa psync2
    send REPLCONF version 9.0.0
";

fn replica() -> Stage {
    let mut stage = Stage::new(Settings::default());
    stage.machines.start_as_replica("p", 1, None);
    stage.check("! tick 100\nconnect to p:1");
    stage
}

/// A replica that has loaded history 1… at offset 100 and streams.
fn streaming() -> Stage {
    let mut stage = replica();
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC ? -1
         > +FULLRESYNC 1* 100
         > $3
         load 3 bytes of another history, had ''
         ! loaded
         stream begins in db 0
         send REPLCONF ACK 100",
    );
    stage
}

#[test]
fn a_first_full_sync() {
    let mut stage = replica();
    stage.check(GREETED);
    stage.check(
        "> +OK
         > +OK
         > +OK
         send PSYNC ? -1
         ?
         replica of p:1, handshake; A at 0
         >
         > +FULLRESYNC 1* 100
         ?
         replica of p:1, sync; A at 0
         >
         > $EOF:0123456789012345678901234567890123456789\\r\\nREDIS…
         load marked of another history, had 'REDIS'
         ! loaded *1\\r\\n$4\\r\\nPING\\r\\n
         stream begins in db 0
         send REPLCONF ACK 100
         ?
         replica of p:1, connected; B at 100
         ! apply
         applies PING
         ! tick 1000
         send REPLCONF ACK 114",
    );
}

#[test]
fn the_handshake_brings_password_and_announced_address() {
    let settings = Settings {
        primary_user: Some(b"u".to_vec()),
        primary_password: Some(b"pw".to_vec()),
        announce_ip: Some("host.example".into()),
        announce_port: 7000,
        ..Settings::default()
    };
    let mut stage = Stage::new(settings);
    stage.machines.start_as_replica("p", 1, None);
    stage.check(
        "! tick 100
         connect to p:1
         ! connected
         send PING
         > -NOAUTH Authentication required.
         send AUTH u pw
         send REPLCONF listening-port 7000
         send REPLCONF ip-address host.example
         send REPLCONF capa eof capa psync2
         send REPLCONF version 9.0.0
         > +OK
         > -ERR unknown
         > +OK
         > -ERR unknown
         > -ERR Unrecognized REPLCONF option: version
         send PSYNC ? -1",
    );
}

#[test]
fn a_reason_is_logged_once_and_kept_until_the_link_is_up() {
    let mut stage = Stage::new(Settings {
        primary_password: Some(b"pw".to_vec()),
        ..Settings::default()
    });
    stage.machines.start_as_replica("p", 1, None);
    let refused = "
         ! connected
         send PING
         > -NOAUTH Authentication required.
         send AUTH pw
         send REPLCONF listening-port 6379
         send REPLCONF capa eof capa psync2
         send REPLCONF version 9.0.0
         > -WRONGPASS invalid username-password pair or user is disabled.
    ";
    stage.check("! tick 100\nconnect to p:1");
    stage.check(&format!(
        "{refused}
         close the link
         warns: Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair or user is disabled.
         connect to p:1
         {refused}
         close the link
         ! tick 700
         ! tick 600
         connect to p:1
         ! refused
         warns: Error condition on socket for SYNC: Connection refused
         ! tick 1300
         connect to p:1
         ! refused
         ?
         replica of p:1, connect (connection refused: no server listens at this address); A at 0"
    ));
}

#[test]
fn a_cut_link_goes_on_where_it_was() {
    let mut stage = streaming();
    stage.check(
        "> PING\\r\\nSET a b\\r\\nMULTI\\r\\nSET c d
         ! apply
         applies PING
         applies SET a b
         applies MULTI
         applies SET c d
         ?
         replica of p:1, connected; A at 115
         ! closed
         warns: Connection with master lost.
         connect to p:1",
    );
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 116
         > +CONTINUE\\r\\nMULTI\\r\\nSET c d\\r\\nEXEC
         stream begins in db 0
         send REPLCONF ACK 115
         ! apply
         applies MULTI
         applies SET c d
         applies EXEC
         ?
         replica of p:1, connected; A at 137",
    );
}

#[test]
fn an_open_transaction_is_neither_acknowledged_nor_kept_at_a_promotion() {
    let mut stage = streaming();
    stage.check(
        "> MULTI\\r\\nSET c d
         ! apply
         applies MULTI
         applies SET c d
         > REPLCONF GETACK *
         ! apply
         send REPLCONF ACK 100
         REPLICAOF NO ONE
         close the link
         warns: Setting secondary replication ID to A, valid up to offset: 101. New replication ID is B
         became primary
         ?
         primary; B at 100, A to 101",
    );
}

#[test]
fn a_getack_counts_itself() {
    let mut stage = streaming();
    stage.check(
        "> REPLCONF GETACK *
         ! apply
         send REPLCONF ACK 119",
    );
}

#[test]
fn the_primary_may_rename_its_history() {
    let mut stage = streaming();
    stage.check("! closed\nwarns: Connection with master lost.\nconnect to p:1");
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 101
         > +CONTINUE 2*
         warns: Master replication ID changed to B
         stream begins in db 0
         send REPLCONF ACK 100
         ?
         replica of p:1, connected; B at 100, A to 101",
    );
}

#[test]
fn transient_refusals_are_tried_again_without_sync() {
    for (reply, reason) in [
        ("-LOADING Redis is loading", "the primary is loading its dataset"),
        (
            "-NOMASTERLINK Can't SYNC while not connected with my master",
            "the primary is not ready (it said: -NOMASTERLINK Can't SYNC while not connected with my master)",
        ),
    ] {
        let mut stage = replica();
        stage.check(GREETED);
        stage.check(&format!(
            "> +OK\\r\\n+OK\\r\\n+OK
             send PSYNC ? -1
             > {reply}
             close the link
             warns: MASTER <-> REPLICA link down: {reason}
             connect to p:1"
        ));
    }
}

#[test]
fn an_old_primary_gets_sync_and_no_acknowledgements() {
    let mut stage = replica();
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC ? -1
         > -ERR unknown command `PSYNC`
         send SYNC
         > $3
         load 3 bytes of another history, had ''
         ! loaded
         stream begins in db 0
         ! tick 3000",
    );
}

#[test]
fn nonsense_instead_of_an_answer_closes_the_link() {
    for (said, reason) in [
        ("+FULLRESYNC what", "wrong +FULLRESYNC syntax: +FULLRESYNC what"),
        ("+CONTINUE 2*", "unexpected +CONTINUE A"),
    ] {
        let mut stage = replica();
        stage.check(GREETED);
        stage.check(&format!(
            "> +OK\\r\\n+OK\\r\\n+OK
             send PSYNC ? -1
             > {said}
             close the link
             warns: MASTER <-> REPLICA link down: protocol error: {reason}
             connect to p:1"
        ));
    }
}

#[test]
fn a_failed_load_keeps_the_old_data_and_its_history() {
    let mut stage = streaming();
    stage.check("! closed\nwarns: Connection with master lost.\nconnect to p:1");
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 101
         > +FULLRESYNC 2* 500
         > $3
         load 3 bytes of another history, had ''
         ! load failed
         close the link
         warns: Failed trying to load the MASTER synchronization DB: bad data. The old data stays
         ! tick 1300
         connect to p:1
         ?
         replica of p:1, connecting (loading the primary's dataset failed: bad data); A at 100",
    );
    stage.check(GREETED);
    stage.check("> +OK\\r\\n+OK\\r\\n+OK\nsend PSYNC A 101");
}

#[test]
fn old_data_of_the_same_history_may_be_served_during_a_load() {
    let mut stage = streaming();
    stage.check("! closed\nwarns: Connection with master lost.\nconnect to p:1");
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 101
         > +FULLRESYNC A 500
         > $3
         load 3 bytes of our history, had ''",
    );
}

#[test]
fn a_command_that_cannot_be_applied_stops_the_link_before_it() {
    let mut stage = streaming();
    stage.check(
        "> SET a b\\r\\nUNKNOWN x
         ! apply
         applies SET a b
         applies UNKNOWN x
         close the link
         warns: MASTER <-> REPLICA link down: unknown command 'UNKNOWN' in the stream after offset 109
         connect to p:1
         ?
         replica of p:1, connecting (unknown command 'UNKNOWN' in the stream after offset 109); A at 109",
    );
    let mut stage = streaming();
    stage.check(
        "> MULTI\\r\\nSET a b\\r\\nEXEC
         ! apply fails
         applies MULTI
         close the link
         warns: MASTER <-> REPLICA link down: command 'MULTI' in the stream after offset 100 failed: WRONGTYPE no
         connect to p:1",
    );
    stage.check(GREETED);
    stage.check("> +OK\\r\\n+OK\\r\\n+OK\nsend PSYNC ? -1");
}

#[test]
fn silence_ends_every_state() {
    let timeout = "Timeout connecting to the MASTER...";
    let mut stage = replica();
    stage.check(&format!(
        "! tick 60200\nclose the link\nwarns: {timeout}\nconnect to p:1"
    ));

    let mut stage = replica();
    stage.check(GREETED);
    stage.check(&format!(
        "! tick 60200\nclose the link\nwarns: {timeout}\nconnect to p:1"
    ));

    let mut stage = replica();
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC ? -1
         > +FULLRESYNC 1* 0
         ! tick 60000
         >
         ! tick 60200
         close the link
         warns: Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in redis.conf to a larger value.
         connect to p:1",
    );
}

#[test]
fn replicaof_stops_the_old_stream_at_once_and_keeps_everything_else() {
    let mut stage = streaming();
    stage.check(
        "REPLICAOF q 2
         close the link
         connect to q:2
         Changed
         REPLICAOF q 2
         Unchanged
         > SET from the-old-one
         ! apply
         ?
         replica of q:2, connecting; A at 100",
    );
    stage.check(GREETED);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 101
         > +FULLRESYNC 3* 7
         > $9
         load 9 bytes of another history, had ''
         REPLICAOF r 3
         cancel the load
         close the link
         connect to r:3
         Changed
         ?
         replica of r:3, connecting; A at 100",
    );
}

#[test]
fn a_primary_that_becomes_a_replica_asks_to_go_on() {
    let mut stage = Stage::new(Settings::default());
    stage.check(
        "REPLICAOF p 1
         became replica
         connect to p:1
         Changed
         ?
         replica of p:1, connecting; A at 0",
    );
    stage.check(GREETED);
    stage.check("> +OK\\r\\n+OK\\r\\n+OK\nsend PSYNC A 1");
}
