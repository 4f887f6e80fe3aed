//! The process: how it starts, runs and ends, and what it calls itself.

use super::*;
use crate::choices::{OomScoreAdj, Supervised, UnbuiltDirectives};
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::Text;
use crate::special::{OomScores, ShutdownFlags};

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;
const HIDDEN: Flags = Flags::HIDDEN;

group! {
    /// The process: how it starts, runs and ends, and what it calls itself.
    Process at process, TABLE {
        /// Go to the background.
        "daemonize" => daemonize: bool = false, OWN, IMM, Now;
        /// Whom to tell when the server is ready.
        "supervised" => supervised: Supervised = Supervised::No, OWN, IMM, Now;
        /// File that holds the process id; empty is none, or the system's place with `daemonize`.
        "pidfile" => pidfile: Text = Text::default(), OPTIONAL_TEXT, IMM, Now;
        /// Number of databases.
        "databases" => databases: i64 = 16, Rule::Int(1, INT_MAX), IMM, Now;
        /// Show the logo even when the log is no terminal.
        "always-show-logo" => always_show_logo: bool = false, OWN, IMM, Now;
        /// Change the title that `ps` shows.
        "set-proc-title" => set_proc_title: bool = true, OWN, IMM, Now;
        /// The title; see [`crate::title::expand`].
        "proc-title-template" => proc_title_template: Text = Text::from("{title} {listen-addr} {server-mode}"),
            checked_text(check::title_template), MOD, Now;
        /// Warnings at the start that are known and wanted away.
        "ignore-warnings" => ignore_warnings: Text = Text::default(), TEXT, MOD, Now;
        /// How SIGINT ends the server.
        "shutdown-on-sigint" => shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default(), OWN, Flags::MULTI, Now;
        /// How SIGTERM ends the server.
        "shutdown-on-sigterm" => shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default(), OWN, Flags::MULTI, Now;
        /// Seconds that a shutdown waits for replicas to catch up.
        "shutdown-timeout" => shutdown_timeout: i64 = 10, NATURAL, MOD, Now;
        /// Runs of the background work in a second, 1 to 500.
        "hz" => hz: i64 = 10, NATURAL, MOD, Now;
        /// Raise `hz` with the number of clients.
        "dynamic-hz" => dynamic_hz: bool = true, OWN, MOD, Now;
        "server_cpulist" => server_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
        "bio_cpulist" => bio_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
        "aof_rewrite_cpulist" => aof_rewrite_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
        "bgsave_cpulist" => bgsave_cpulist: Text = Text::default(), OPTIONAL_TEXT, IMM, Kept;
        "disable-thp" => disable_thp: bool = true, OWN, IMM, Kept;
        "oom-score-adj" => oom_score_adj: OomScoreAdj = OomScoreAdj::No, OWN, MOD, Kept;
        "oom-score-adj-values" => oom_score_adj_values: OomScores = OomScores([0, 200, 800]), OWN, Flags::MULTI, Kept;
        "busy-reply-threshold" / "lua-time-limit" => busy_reply_threshold: i64 = 5000, NATURAL_LONG, MOD, Kept;
        "lua-enable-deprecated-api" => lua_enable_deprecated_api: bool = false, OWN, IMM.or(HIDDEN), Kept;
        "use-exit-on-panic" => use_exit_on_panic: bool = false, OWN, HIDDEN, Kept;
        /// Milliseconds without progress after which stock servers log where they are.
        "watchdog-period" => watchdog_period: i64 = 0, NATURAL, HIDDEN, Kept;
        /// Skein's own. Whether a directive stops the start whose silent absence would lose data or open a door.
        "unbuilt-directives" => unbuilt_directives: UnbuiltDirectives = UnbuiltDirectives::Stop, OWN, IMM, Now;
    }
}
