//! Transcripts of the primary's side: every arrow of a replica's diagram.

mod common;

use common::Stage;
use repl::{LimitOrigin, OutputLimit, Settings, SyncMethod};

fn at_once() -> Settings {
    Settings {
        diskless_delay_seconds: 0,
        ping_period_seconds: 1_000_000,
        ..Settings::default()
    }
}

fn primary() -> Stage {
    Stage::new(at_once())
}

const MARKED: &str = "
    1> REPLCONF listening-port 7001
    +OK
    1> REPLCONF capa eof capa psync2
    +OK
";

/// A primary with replica 1 online at offset 0.
fn online() -> Stage {
    let mut stage = primary();
    stage.check(MARKED);
    stage.check(
        "1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, marked, to 1
         1! sent
         1> REPLCONF ACK 0",
    );
    stage
}

#[test]
fn a_marked_full_sync_waits_for_the_ack() {
    let mut stage = primary();
    stage.check(MARKED);
    stage.check(
        "1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, marked, to 1
         ?
         primary; A at 0; 10.0.0.1:7001 wait_bgsave 0
         write abc
         1! read
         nothing for it yet
         1! sent
         ?
         primary; A at 3; 10.0.0.1:7001 online 0
         1! read
         nothing for it yet
         1> REPLCONF ACK 0
         1! read
         reads abc
         1> REPLCONF ACK 3
         ?
         primary; A at 3; 10.0.0.1:7001 online 3",
    );
}

#[test]
fn a_sized_full_sync_goes_straight_on() {
    let mut stage = Stage::new(Settings {
        sync_method: SyncMethod::Disk,
        ..at_once()
    });
    stage.check(MARKED);
    stage.check(
        "1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, sized, to 1
         write abc
         ?
         primary; A at 3; 10.0.0.1:7001 send_bulk 0
         1! sent
         1! read
         reads abc",
    );
}

#[test]
fn an_old_replica_gets_no_line_and_never_times_out() {
    let mut stage = primary();
    stage.check(
        "1> SYNC
         snapshot at 0, sized, to 1
         1! sent
         write abc
         1! read
         reads abc
         ! tick 200000
         ?
         primary; A at 3; 10.0.0.1:0 online 0",
    );
}

#[test]
fn replicas_that_ask_together_share_a_snapshot() {
    let mut stage = Stage::new(Settings {
        diskless_delay_seconds: 2,
        ..at_once()
    });
    stage.check(MARKED);
    stage.check(
        "2> REPLCONF capa eof
         +OK
         1> PSYNC ? -1
         ! tick 500
         to 1: \\n
         2> PSYNC ? -1
         ! tick 1600
         to 1: \\n
         to 2: \\n
         to 1: +FULLRESYNC A 0
         to 2: +FULLRESYNC A 0
         snapshot at 0, marked, to 1 and 2",
    );
}

#[test]
fn enough_replicas_need_not_wait_for_more() {
    let mut stage = Stage::new(Settings {
        diskless_delay_seconds: 1000,
        diskless_max_replicas: 2,
        ..at_once()
    });
    stage.check(MARKED);
    stage.check(
        "2> REPLCONF capa eof
         +OK
         1> PSYNC ? -1
         2> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         to 2: +FULLRESYNC A 0
         snapshot at 0, marked, to 1 and 2",
    );
}

#[test]
fn the_number_of_snapshots_is_limited() {
    let mut stage = primary();
    for replica in 1..=4 {
        stage.check(&format!(
            "{replica}> SYNC
             snapshot at 0, sized, to {replica}"
        ));
    }
    stage.check(
        "5> SYNC
         6> SYNC
         2! sent
         snapshot at 0, sized, to 5 and 6",
    );
}

#[test]
fn a_replica_comes_back_and_goes_on() {
    let mut stage = online();
    stage.check(
        "write abcdef
         1! closed
         warns: Connection with replica 10.0.0.1:7001 lost: connection closed by the replica.
         write ghi
         2> REPLCONF capa psync2
         +OK
         2> PSYNC A 5
         to 2: +CONTINUE A
         2! read
         reads efghi
         3> PSYNC A 10
         to 3: +CONTINUE
         4> PSYNC A 11
         to 4: +FULLRESYNC A 9
         snapshot at 9, sized, to 4",
    );
    assert_eq!(stage.machines.counters().partial_ok, 2);
    assert_eq!(stage.machines.counters().partial_err, 1);
    assert_eq!(stage.machines.counters().full, 2);
}

#[test]
fn a_promoted_replica_serves_its_siblings() {
    let mut stage = Stage::new(at_once());
    stage.machines.start_as_replica("p", 1, None);
    stage.check(
        "! tick 100
         connect to p:1
         1> PSYNC 1* 1
         -NOMASTERLINK Can't SYNC while not connected with my master
         ! connected
         send PING
         > +PONG
         send REPLCONF listening-port 6379
         send REPLCONF capa eof capa psync2
         send REPLCONF version 9.0.0
         > +OK\\r\\n+OK\\r\\n+OK
         send PSYNC ? -1
         > +FULLRESYNC 1* 100
         > $1
         load 1 bytes of another history, had ''
         ! loaded PING\\r\\n
         stream begins in db 0
         send REPLCONF ACK 100
         ! apply
         applies PING
         1> REPLCONF capa psync2
         +OK
         1> PSYNC 1* 101
         to 1: +CONTINUE A
         1! read
         reads PING\\r\\n
         REPLICAOF NO ONE
         close the link
         close 1
         warns: Setting secondary replication ID to A, valid up to offset: 107. New replication ID is B
         became primary
         write abc
         2> REPLCONF capa psync2
         +OK
         2> PSYNC 1* 107
         to 2: +CONTINUE B
         2! read
         reads abc
         3> PSYNC 1* 108
         to 3: +FULLRESYNC B 109
         snapshot at 109, sized, to 3",
    );
}

#[test]
fn a_full_resync_of_ours_sends_our_replicas_away_at_the_swap() {
    let mut stage = online();
    stage.check(
        "REPLICAOF p 1
         became replica
         connect to p:1
         Changed
         ! connected
         send PING
         > +PONG
         send REPLCONF listening-port 6379
         send REPLCONF capa eof capa psync2
         send REPLCONF version 9.0.0
         > +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 1
         > +FULLRESYNC 1* 100
         > $1
         load 1 bytes of another history, had ''
         ?
         replica of p:1, sync; A at 0; 10.0.0.1:7001 online 0
         ! loaded
         close 1
         stream begins in db 0
         send REPLCONF ACK 100
         ?
         replica of p:1, connected; B at 100",
    );
}

#[test]
fn a_silent_replica_times_out_and_a_loading_one_does_not() {
    let mut stage = online();
    stage.check(
        "! tick 60000
         ! tick 200
         warns: Disconnecting timedout replica (streaming sync): 10.0.0.1:7001
         warns: Connection with replica 10.0.0.1:7001 lost: timed out.
         close 1",
    );
    let mut stage = primary();
    stage.check(MARKED);
    stage.check(
        "1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, marked, to 1
         ! tick 100000
         1! sent
         ! tick 50000
         1! blank
         ! tick 50000
         1> REPLCONF ACK 0
         ?
         primary; A at 0; 10.0.0.1:7001 online 0",
    );
}

#[test]
fn pings_keep_the_stream_alive_while_somebody_reads_it() {
    let mut stage = Stage::new(Settings {
        ping_period_seconds: 10,
        ..at_once()
    });
    stage.check(
        "! tick 20000
         1> SYNC
         snapshot at 0, sized, to 1
         1! sent
         ! tick 9000
         ?
         primary; A at 0; 10.0.0.1:0 online 0
         ! tick 1000
         1! read
         reads *1\\r\\n$4\\r\\nping\\r\\n",
    );
}

/// The stock suite: INFO said `online`, and the primary refused writes for want of that very replica.
#[test]
fn a_replica_that_has_the_whole_payload_counts_as_good() {
    let mut stage = primary();
    stage.check(MARKED);
    stage.check(
        "1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, marked, to 1",
    );
    assert_eq!(stage.machines.good_replicas(stage.now()), 0);
    stage.check("1! sent");
    assert_eq!(stage.machines.good_replicas(stage.now()), 1);
}

#[test]
fn a_replica_that_falls_behind_is_closed_with_the_numbers() {
    let mut stage = Stage::new(Settings {
        replica_limit: OutputLimit {
            hard_bytes: 2 << 20,
            soft_bytes: 0,
            soft_seconds: 0,
        },
        replica_limit_origin: LimitOrigin::Operator,
        ..at_once()
    });
    stage.check("1> SYNC\nsnapshot at 0, sized, to 1");
    stage.machines.append(&vec![b'x'; (2 << 20) + 1], None);
    stage.check(
        "! tick 100
         warns: Client of replica 10.0.0.1:<unknown-replica-port> scheduled to be closed ASAP for overcoming of output buffer limits.
         stop snapshot to 1
         warns: Connection with replica 10.0.0.1:<unknown-replica-port> lost: too far behind: 2097153 bytes unsent and 2097152 allowed.
         close 1",
    );
}

#[test]
fn by_default_a_replica_may_hold_a_dataset_while_it_synchronizes() {
    let mut stage = primary();
    stage.check("1> SYNC\nsnapshot at 0, sized, to 1");
    let megabytes = vec![b'x'; 64 << 20];
    for _ in 0..5 {
        stage.machines.append(&megabytes, None);
    }
    // 320 MB are more than the class's 256 MB and less than the dataset's 1 GB.
    stage.check("! tick 100\n1! sent\n! tick 100");
    let behind = |stage: &Stage| stage.machines.replicas(stage.now())[0].unsent_bytes;
    assert_eq!(behind(&stage), 320 << 20);

    // Once it has caught up, the ordinary limit holds.
    let replica = repl::ReplicaId(1);
    stage.machines.on_sent(replica, 320 << 20);
    for _ in 0..5 {
        stage.machines.append(&megabytes, None);
    }
    let before = stage.machines.replica_count();
    stage.machines.on_tick(stage.now(), 1 << 30, &mut stage.effects);
    assert_eq!((before, stage.machines.replica_count()), (1, 0));
}

#[test]
fn full_syncs_of_a_replica_that_keeps_failing_are_put_off() {
    let mut stage = primary();
    let mut waits = Vec::new();
    for _ in 0..4 {
        stage.check("1> REPLCONF listening-port 7001\n+OK");
        let asked_ms = stage.now_ms;
        let args = resp::OwnedArgs::from_words(["PSYNC", "?", "-1"]);
        let now = stage.now();
        let replica = repl::ReplicaId(1);
        stage
            .machines
            .on_sync(now, replica, "10.0.0.1", args.as_args(), &mut stage.effects)
            .unwrap();
        while !stage
            .effects
            .iter()
            .any(|effect| matches!(effect, repl::Effect::StartTransfer(_)))
        {
            stage.now_ms += 100;
            let now = stage.now();
            stage.machines.on_tick(now, 0, &mut stage.effects);
        }
        waits.push(stage.now_ms - asked_ms);
        let now = stage.now();
        stage
            .machines
            .on_transfer_failed(now, replica, "no luck", &mut stage.effects);
        stage.effects.clear();
    }
    assert_eq!(waits, [0, 0, 1000, 2000]);
    let lost = stage.machines.view(stage.now()).lost;
    assert_eq!(lost.len(), 4);
    assert_eq!(lost[0].reason.to_string(), "full sync failed: no luck");
}

#[test]
fn a_replica_that_leaves_stops_its_snapshot() {
    let mut stage = primary();
    stage.check(
        "1> SYNC
         snapshot at 0, sized, to 1
         1! closed
         stop snapshot to 1
         warns: Connection with replica 10.0.0.1:<unknown-replica-port> lost: connection closed by the replica.
         ?
         primary; A at 0",
    );
}

#[test]
fn a_snapshot_alone_is_followed_by_nothing() {
    let mut stage = primary();
    stage.check(
        "1> REPLCONF rdb-only 1
         +OK
         1> PSYNC ? -1
         to 1: +FULLRESYNC A 0
         snapshot at 0, sized, to 1
         1! sent
         close 1",
    );
    assert!(stage.machines.view(stage.now()).lost.is_empty());
}

#[test]
fn what_replconf_answers() {
    primary().check(
        "1> REPLCONF a
         -ERR syntax error
         1> REPLCONF listening-port x
         -ERR value is not an integer or out of range
         1> REPLCONF foo bar
         -ERR Unrecognized REPLCONF option: foo
         1> REPLCONF rdb-filter-only bogus
         -ERR Unsupported rdb-filter-only option: bogus
         1> REPLCONF rdb-filter-only functions
         +OK
         1> PSYNC ? -1
         -ERR Filtered replica requires EOF capability
         1> PSYNC ? x
         warns: Replica 10.0.0.1 asks for synchronization but with a wrong offset
         -ERR value is not an integer or out of range
         1> REPLCONF ACK 12
         1> REPLCONF GETACK *",
    );
}

#[test]
fn wait_asks_and_is_answered() {
    let mut stage = online();
    stage.check(
        "WAIT 1 0
         :1
         write abc
         WAIT 1 0
         blocked
         ! tick 100
         1! read
         reads abc*3\\r\\n$8\\r\\nREPLCONF\\r\\n$6\\r\\nGETACK\\r\\n$1\\r\\n*\\r\\n
         1> REPLCONF ACK 2
         1> REPLCONF ACK 40
         answers WAIT with 1
         WAIT 2 500
         blocked
         ! tick 500
         answers WAIT with 1",
    );
}

#[test]
fn the_backlog_outlives_its_replicas_for_a_while() {
    let mut stage = online();
    stage.check(
        "write abc
         1! closed
         warns: Connection with replica 10.0.0.1:7001 lost: connection closed by the replica.
         ! tick 3599900
         ?
         primary; A at 3
         ! tick 200
         write lost
         ?
         primary; B at 3
         2> PSYNC A 4
         to 2: +FULLRESYNC C 3
         snapshot at 3, sized, to 2",
    );
}

const TARGET: &str = "
    ! connected
    send PING
    > +PONG
    send REPLCONF listening-port 6379
    send REPLCONF capa eof capa psync2
    send REPLCONF version 9.0.0
";

#[test]
fn failover_hands_over_when_the_target_has_everything() {
    let mut stage = online();
    stage.check(
        "write abc
         FAILOVER
         warns: FAILOVER requested to any replica.
         pause writes
         +OK
         FAILOVER
         -ERR FAILOVER already in progress.
         2> PSYNC ? -1
         -NOMASTERLINK Can't SYNC while failing over
         1> REPLCONF ACK 3
         ! tick 100
         ?
         primary; A at 40; 10.0.0.1:7001 online 3; waiting-for-sync
         1> REPLCONF ACK 40
         became replica
         connect to 10.0.0.1:7001
         ?
         replica of 10.0.0.1:7001, connecting; A at 40; 10.0.0.1:7001 online 40; failover-in-progress",
    );
    stage.check(TARGET);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 41 FAILOVER
         > +CONTINUE 2*
         warns: Master replication ID changed to B
         resume writes
         close 1
         stream begins in db 0
         send REPLCONF ACK 40
         ?
         replica of 10.0.0.1:7001, connected; B at 40, A to 41",
    );
}

#[test]
fn a_target_that_refuses_leaves_us_primary() {
    let mut stage = online();
    stage.check(
        "FAILOVER TO 10.0.0.1 7001
         warns: FAILOVER requested to 10.0.0.1:7001.
         pause writes
         +OK
         ! tick 100
         1> REPLCONF ACK 37
         became replica
         connect to 10.0.0.1:7001",
    );
    stage.check(TARGET);
    stage.check(
        "> +OK\\r\\n+OK\\r\\n+OK
         send PSYNC A 38 FAILOVER
         > -ERR PSYNC FAILOVER replid must match my replid.
         close the link
         resume writes
         close 1
         warns: Setting secondary replication ID to A, valid up to offset: 38. New replication ID is B
         became primary
         ?
         primary; B at 37, A to 38",
    );
}

#[test]
fn failover_ends_with_its_time_or_by_hand() {
    let mut stage = online();
    stage.check(
        "FAILOVER TIMEOUT 1000
         warns: FAILOVER requested to any replica.
         pause writes
         +OK
         ! tick 1100
         resume writes
         FAILOVER ABORT
         -ERR No failover in progress.
         FAILOVER
         warns: FAILOVER requested to any replica.
         pause writes
         +OK
         FAILOVER ABORT
         resume writes
         +OK
         FAILOVER TO 10.0.0.1 7001 FORCE TIMEOUT 500
         warns: FAILOVER requested to 10.0.0.1:7001.
         pause writes
         +OK
         ! tick 600
         became replica
         connect to 10.0.0.1:7001",
    );
}

#[test]
fn what_failover_refuses() {
    primary().check("FAILOVER\n-ERR FAILOVER requires connected replicas.");
    online().check(
        "FAILOVER FORCE
         -ERR FAILOVER with force option requires both a timeout and target HOST and IP.
         FAILOVER TO 10.0.0.9 7001
         -ERR FAILOVER target HOST and PORT is not a replica.",
    );
}

#[test]
fn a_target_takes_over_when_the_primary_asks() {
    let mut stage = Stage::new(at_once());
    stage.check(
        "1> PSYNC 1* 101 FAILOVER
         warns: Failover request received for replid A.
         -ERR PSYNC FAILOVER can't be sent to a master.
         REPLICAOF p 1
         became replica
         connect to p:1
         Changed
         ! connected
         send PING
         > +PONG
         send REPLCONF listening-port 6379
         send REPLCONF capa eof capa psync2
         send REPLCONF version 9.0.0
         > +OK\\r\\n+OK\\r\\n+OK
         send PSYNC B 1
         > +FULLRESYNC 1* 100
         > $1
         load 1 bytes of another history, had ''
         ! loaded
         stream begins in db 0
         send REPLCONF ACK 100
         1> REPLCONF capa psync2
         +OK
         1> PSYNC 2* 101 FAILOVER
         warns: Failover request received for replid C.
         -ERR PSYNC FAILOVER replid must match my replid.
         1> PSYNC 1* 101 FAILOVER
         warns: Failover request received for replid A.
         close the link
         warns: Setting secondary replication ID to A, valid up to offset: 101. New replication ID is D
         became primary
         to 1: +CONTINUE D",
    );
}
