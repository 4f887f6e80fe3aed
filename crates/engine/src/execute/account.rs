//! What is noted of a command that has run.

use super::{Engine, quote_into};
use crate::session::SessionId;
use crate::spec::{Flags, Spec};
use crate::table::CommandId;
use base::Now;
use resp::{Args, OwnedArgs, Reply};

impl Engine {
    /// Counts a command that has run: how often, how long, slow log, latency monitor.
    #[inline]
    pub(super) fn account(&mut self, id: SessionId, command: CommandId, args: Args<'_>, usec: u64, failed: bool) {
        let settings = &self.data.settings;
        let entry = &mut self.table[command];
        entry.stats.calls += 1;
        entry.stats.usec += usec;
        entry.stats.failed += u64::from(failed);
        self.data.stats.commands += 1;
        // A request that blocks is accounted for in full when it is answered.
        let blocked = self.sessions.get(id).is_some_and(|session| session.blocked.is_some());
        if settings.latency_tracking && !blocked {
            entry.latency.get_or_insert_default().record(usec);
        }
        let slow = settings.slowlog_slower_than_us;
        let threshold = settings.latency_threshold_ms;
        if (slow >= 0 && usec >= slow as u64) || (threshold > 0 && usec / 1000 >= threshold) {
            self.note_slow(id, command, args, usec, blocked);
        }
    }

    /// Notes a command that took long in the slow log, and for the latency monitor.
    #[cold]
    fn note_slow(&mut self, id: SessionId, command: CommandId, args: Args<'_>, usec: u64, blocked: bool) {
        let settings = &self.data.settings;
        let flags = self.table[command].flags;
        let slow = settings.slowlog_slower_than_us;
        if slow >= 0 && usec >= slow as u64 && !blocked && !flags.has(Flags::SKIP_SLOWLOG) {
            let session = &self.sessions[id];
            let shown = without_secrets(self.table[command].spec, args);
            let max_len = settings.slowlog_max_len;
            self.slowlog.add(
                self.now,
                usec,
                shown.as_ref().map_or(args, OwnedArgs::as_args),
                &session.peer.address,
                &session.name,
                max_len,
            );
        }
        let threshold = settings.latency_threshold_ms;
        if threshold > 0 && usec / 1000 >= threshold {
            let event = if flags.has(Flags::FAST) {
                "fast-command"
            } else {
                "command"
            };
            self.latency.note(event, self.now, usec / 1000);
        }
    }

    /// Shows a request to the monitors.
    pub(super) fn feed_monitors(&mut self, id: SessionId, args: Args<'_>, started: Now) {
        let session = &self.sessions[id];
        let address = &session.peer.address;
        let source = if session.peer.unix_socket {
            format!("unix:{}", address.trim_end_matches(":0"))
        } else {
            address.clone()
        };
        let (seconds, micros) = (
            started.unix_us.div_euclid(1_000_000),
            started.unix_us.rem_euclid(1_000_000),
        );
        let mut line = format!("{seconds}.{micros:06} [{} {source}]", session.db.0);
        for word in args.iter() {
            line.push(' ');
            quote_into(&mut line, word);
        }
        for monitor in &self.monitors {
            if let Some(session) = self.sessions.get_mut(*monitor) {
                Reply::new(&mut session.out, session.proto).simple(&line);
            }
        }
    }
}

/// A request as logs may show it, where that is not as it came.
pub(super) fn without_secrets(spec: &Spec, args: Args<'_>) -> Option<OwnedArgs> {
    let secrets = spec.secrets?(args);
    if secrets.is_empty() {
        return None;
    }
    let shown = args.iter().enumerate().map(|(at, word)| match secrets.contains(&at) {
        true => &b"(redacted)"[..],
        false => word,
    });
    Some(OwnedArgs::from_words(shown))
}
