//! Sockets, clients and their buffers.

use super::*;
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::Text;
use crate::special::{Bind, OutputLimits};

const MOD: Flags = Flags::MODIFIABLE;
const IMM: Flags = Flags::IMMUTABLE;
const DEBUG: Flags = Flags::DEBUG;

group! {
    /// Sockets, clients and their buffers.
    Network at network, TABLE {
        /// Addresses to listen on.
        "bind" => bind: Bind = Bind::default(), OWN, Flags::MULTI, Now;
        /// Address that outgoing connections come from; empty leaves it to the system.
        "bind-source-addr" => bind_source_addr: Text = Text::default(), OPTIONAL_TEXT, MOD, Now;
        /// TCP port; 0 is none.
        "port" => port: i64 = 6379, PORT, MOD, Now;
        /// Path of a Unix socket; empty is none.
        "unixsocket" => unixsocket: Text = Text::default(), OPTIONAL_TEXT, IMM, Now;
        /// Permission bits of the Unix socket; 0 leaves them to the umask.
        "unixsocketperm" => unixsocketperm: u32 = 0, Rule::Octal(0, 0o777), IMM, Now;
        /// Length of the queue of connections not yet accepted.
        "tcp-backlog" => tcp_backlog: i64 = 511, NATURAL, IMM, Now;
        /// Seconds between TCP keep-alive probes; 0 is never.
        "tcp-keepalive" => tcp_keepalive: i64 = 300, NATURAL, MOD, Now;
        /// Mark of outgoing packets, for the firewall.
        "socket-mark-id" => socket_mark_id: i64 = 0, Rule::Int(0, UINT_MAX), IMM, Kept;
        /// Seconds after which an idle client is closed; 0 is never.
        "timeout" => timeout: i64 = 0, NATURAL, MOD, Now;
        /// Most clients connected at the same time.
        "maxclients" => maxclients: i64 = 10_000, Rule::Int(1, UINT_MAX), MOD, Now;
        /// How much unsent output closes a connection, by class of client.
        "client-output-buffer-limit" => client_output_buffer_limit: OutputLimits = OutputLimits::default(), OWN, Flags::MULTI, Now;
        /// Most bytes of a client's requests that wait.
        "client-query-buffer-limit" => client_query_buffer_limit: u64 = 1 << 30, Rule::Memory(1 << 20, LONG_MAX), DEBUG, Now;
        /// Largest single word of a request, in bytes.
        "proto-max-bulk-len" => proto_max_bulk_len: u64 = 512 << 20, Rule::Memory(1 << 20, LONG_MAX), DEBUG, Now;
        /// Threads that read and write sockets.
        "io-threads" => io_threads: i64 = 1, Rule::Int(1, 128), DEBUG.or(IMM), Kept;
        "io-threads-do-reads" => io_threads_do_reads: bool = false, OWN, DEBUG.or(IMM), Kept;
    }
}
