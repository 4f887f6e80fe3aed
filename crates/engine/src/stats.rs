//! Counters that INFO shows.

use std::collections::BTreeMap;

/// What INFO stats counts; CONFIG RESETSTAT clears it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Stats {
    pub commands: u64,
    pub connections: u64,
    pub rejected_connections: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    pub net_repl_input_bytes: u64,
    pub net_repl_output_bytes: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub unexpected_error_replies: u64,
    pub error_replies: u64,
    pub reads_processed: u64,
    pub writes_processed: u64,
    pub threaded_reads_processed: u64,
    pub threaded_writes_processed: u64,
    pub expire_cycle_us: u64,
    pub expire_time_cap_reached: u64,
    pub evicted_clients: u64,
    pub reply_buffer_shrinks: u64,
    pub dump_payload_sanitizations: u64,
    /// Errors by code word. At most [`Stats::MAX_ERROR_CODES`] words are told apart.
    pub errors: BTreeMap<String, u64>,
}

impl Stats {
    /// How many error codes are told apart; a script may invent them without end.
    pub const MAX_ERROR_CODES: usize = 128;

    /// Counts an error reply.
    pub fn count_error(&mut self, code: &str) {
        self.error_replies += 1;
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < Self::MAX_ERROR_CODES {
            self.errors.insert(code.to_owned(), 1);
        }
    }
}

/// What INFO commandstats counts of one command.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: u64,
    /// Time it took in all.
    pub usec: u64,
    /// Times a gate refused it.
    pub rejected: u64,
    /// Times it ran and answered with an error.
    pub failed: u64,
}
