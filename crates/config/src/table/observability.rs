//! Logs, slow commands, latency and notifications.

use super::*;
use crate::choices::{LogLevel, SyslogFacility};
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::Text;
use crate::special::{KeyEvents, Percentiles};

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;

group! {
    /// Logs, slow commands, latency and notifications.
    Observability at observability, TABLE {
        /// The least that is logged.
        "loglevel" => loglevel: LogLevel = LogLevel::Notice, OWN, MOD, Now;
        /// File to log to; empty is standard output.
        "logfile" => logfile: Text = Text::default(), TEXT, IMM, Now;
        "syslog-enabled" => syslog_enabled: bool = false, OWN, IMM, Kept;
        "syslog-ident" => syslog_ident: Text = Text::from("redis"), TEXT, IMM, Kept;
        "syslog-facility" => syslog_facility: SyslogFacility = SyslogFacility::Local0, OWN, IMM, Kept;
        /// Log where a crash happened.
        "crash-log-enabled" => crash_log_enabled: bool = true, OWN, MOD, Now;
        "crash-memcheck-enabled" => crash_memcheck_enabled: bool = true, OWN, MOD, Kept;
        /// Microseconds from which a command is slow; -1 logs none.
        "slowlog-log-slower-than" => slowlog_log_slower_than: i64 = 10_000, Rule::Int(-1, LONG_MAX), MOD, Now;
        /// Most slow commands kept.
        "slowlog-max-len" => slowlog_max_len: i64 = 128, NATURAL_LONG, MOD, Now;
        /// Milliseconds from which an event is sampled; 0 is never.
        "latency-monitor-threshold" => latency_monitor_threshold: i64 = 0, NATURAL_LONG, MOD, Now;
        /// Keep a histogram of each command's latency.
        "latency-tracking" => latency_tracking: bool = true, OWN, MOD, Now;
        /// Percentiles that INFO latencystats shows.
        "latency-tracking-info-percentiles" => latency_tracking_info_percentiles: Percentiles = Percentiles(vec![50.0, 99.0, 99.9]),
            OWN, Flags::MULTI, Now;
        "notify-keyspace-events" => notify_keyspace_events: KeyEvents = KeyEvents::default(), OWN, MOD, Kept;
        "tracking-table-max-keys" => tracking_table_max_keys: i64 = 1_000_000, NATURAL_LONG, MOD, Kept;
    }
}
