//! `INFO replication`: stock's fields in stock's order, then ours.

use crate::host::ServerState;
use engine::Engine;
use repl::{Form, LinkView, ReplicationView, SyncView};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

/// The section's lines, without its headline.
#[must_use]
pub fn info(state: &ServerState, engine: &Engine) -> String {
    let view = state.replication.machines.view(engine.now);
    let mut text = Lines(String::new());
    text.field("role", if view.link.is_some() { "slave" } else { "master" });
    if let Some(link) = &view.link {
        link_lines(state, link, &mut text);
    }
    replica_lines(state, &view, &mut text);
    history_lines(&view, &mut text);
    our_lines(engine, &view, &mut text);
    text.0
}

struct Lines(String);

impl Lines {
    fn field(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

fn link_lines(state: &ServerState, link: &LinkView, text: &mut Lines) {
    text.field("master_host", &link.host);
    text.field("master_port", link.port);
    text.field("master_link_status", if link.up { "up" } else { "down" });
    text.field("master_last_io_seconds_ago", link.last_io_seconds);
    text.field("master_sync_in_progress", u8::from(link.sync.is_some()));
    text.field("slave_read_repl_offset", link.read_offset);
    text.field("slave_repl_offset", link.applied_offset);
    if let Some(sync) = link.sync {
        sync_lines(state, sync, text);
    }
    if !link.up {
        text.field("master_link_down_since_seconds", link.down_seconds);
    }
    text.field("slave_priority", state.config.replica_priority);
    text.field("slave_read_only", u8::from(state.config.replica_read_only));
    text.field("replica_announced", u8::from(state.config.replica_announced));
}

fn sync_lines(state: &ServerState, sync: SyncView, text: &mut Lines) {
    let read = match &state.replication.load {
        Some(load) => load.progress.bytes.load(Ordering::Relaxed),
        None => 0,
    };
    // A count of bytes received cannot reach 2⁶³.
    let total: i64 = match sync {
        SyncView::Preparing => -1,
        SyncView::Loading {
            form: Form::Sized { bytes },
        } => bytes as i64,
        SyncView::Loading {
            form: Form::Marked { .. },
        } => 0,
    };
    let percent = if total > 0 {
        read as f64 * 100.0 / total as f64
    } else {
        0.0
    };
    text.field("master_sync_total_bytes", total);
    text.field("master_sync_read_bytes", read);
    text.field(
        "master_sync_left_bytes",
        if total < 0 { -1 } else { total - read as i64 },
    );
    text.field("master_sync_perc", format_args!("{percent:.2}"));
    text.field("master_sync_last_io_seconds_ago", 0);
}

fn replica_lines(state: &ServerState, view: &ReplicationView, text: &mut Lines) {
    text.field("connected_slaves", view.replicas.len());
    if state.config.min_replicas_to_write > 0 && state.config.min_replicas_max_lag > 0 {
        text.field("min_slaves_good_slaves", view.good_replicas);
    }
    for (index, replica) in view.replicas.iter().enumerate() {
        text.field(
            &format!("slave{index}"),
            format_args!(
                "ip={},port={},state={},offset={},lag={}",
                replica.ip, replica.port, replica.state, replica.offset, replica.lag_seconds
            ),
        );
    }
}

fn history_lines(view: &ReplicationView, text: &mut Lines) {
    text.field("master_failover_state", view.failover_state);
    text.field("master_replid", view.id);
    text.field("master_replid2", view.second_id);
    text.field("master_repl_offset", view.offset);
    text.field("second_repl_offset", view.second_offset);
    text.field("repl_backlog_active", u8::from(view.backlog.active));
    text.field("repl_backlog_size", view.backlog.size_bytes);
    text.field("repl_backlog_first_byte_offset", view.backlog.first_byte);
    text.field("repl_backlog_histlen", view.backlog.history_bytes);
}

/// What stock lacks: why the link is down, and which replicas were lost.
fn our_lines(engine: &Engine, view: &ReplicationView, text: &mut Lines) {
    let one_line = |what: &dyn Display| what.to_string().replace(['\r', '\n'], " ");
    if let Some((reason, since)) = view.link.as_ref().and_then(|link| link.down.as_ref()) {
        text.field("master_link_down_reason", one_line(reason));
        text.field("master_link_down_since_unix", since.unix_ms().seconds());
    }
    for (index, lost) in view.lost.iter().enumerate() {
        // A comma would end the reason.
        let reason = one_line(&lost.reason).replace(',', ";");
        let seconds_ago = engine.now.mono_ms().saturating_sub(lost.at.mono_ms()) / 1000;
        text.field(
            &format!("lost_replica{index}"),
            format_args!(
                "ip={},port={},reason={reason},seconds_ago={seconds_ago}",
                lost.ip, lost.port
            ),
        );
    }
}
