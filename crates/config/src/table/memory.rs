//! Memory: its limit, freeing, expiry.

use super::*;
use crate::choices::MaxmemoryPolicy;
use crate::directive::Effect::{Kept, Now};
use crate::directive::{Flags, group};
use crate::setting::MemoryOrPercent;

const MOD: Flags = Flags::MODIFIABLE;
const DEBUG: Flags = Flags::DEBUG;

group! {
    /// Memory: its limit, freeing, expiry.
    Memory at memory, TABLE {
        /// Bytes of data; 0 is no limit.
        "maxmemory" => maxmemory: u64 = 0, Rule::Memory(0, u64::MAX), MOD, Now;
        /// What happens at the limit. Only `noeviction` is built; see [`crate::unbuilt`].
        "maxmemory-policy" => maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction, OWN, MOD, Now;
        "maxmemory-samples" => maxmemory_samples: i64 = 5, Rule::Int(1, INT_MAX), MOD, Kept;
        "maxmemory-eviction-tenacity" => maxmemory_eviction_tenacity: i64 = 10, Rule::Int(0, 100), MOD, Kept;
        "maxmemory-clients" => maxmemory_clients: MemoryOrPercent = MemoryOrPercent::Bytes(0), OWN, MOD, Kept;
        /// Share of time for deleting expired keys, 1 to 10.
        "active-expire-effort" => active_expire_effort: i64 = 1, Rule::Int(1, 10), MOD, Now;
        "lfu-log-factor" => lfu_log_factor: i64 = 10, NATURAL, MOD, Now;
        "lfu-decay-time" => lfu_decay_time: i64 = 1, NATURAL, MOD, Now;
        /// Free evicted values on another thread.
        "lazyfree-lazy-eviction" => lazyfree_lazy_eviction: bool = false, OWN, DEBUG, Now;
        /// Free expired values on another thread.
        "lazyfree-lazy-expire" => lazyfree_lazy_expire: bool = false, OWN, DEBUG, Now;
        /// Free overwritten values on another thread.
        "lazyfree-lazy-server-del" => lazyfree_lazy_server_del: bool = false, OWN, DEBUG, Now;
        /// DEL acts as UNLINK.
        "lazyfree-lazy-user-del" => lazyfree_lazy_user_del: bool = false, OWN, DEBUG, Now;
        /// FLUSHALL and FLUSHDB act as with ASYNC.
        "lazyfree-lazy-user-flush" => lazyfree_lazy_user_flush: bool = false, OWN, DEBUG, Now;
        "activerehashing" => activerehashing: bool = true, OWN, MOD, Kept;
        "activedefrag" => activedefrag: bool = false, OWN, DEBUG, Kept;
        "active-defrag-cycle-min" => active_defrag_cycle_min: i64 = 1, Rule::Int(1, 99), MOD, Kept;
        "active-defrag-cycle-max" => active_defrag_cycle_max: i64 = 25, Rule::Int(1, 99), MOD, Kept;
        "active-defrag-ignore-bytes" => active_defrag_ignore_bytes: u64 = 100 << 20, Rule::Memory(1, LONG_MAX), MOD, Kept;
        "active-defrag-max-scan-fields" => active_defrag_max_scan_fields: i64 = 1000, Rule::Int(1, LONG_MAX), MOD, Kept;
        "active-defrag-threshold-lower" => active_defrag_threshold_lower: i64 = 10, Rule::Int(0, 1000), MOD, Kept;
        "active-defrag-threshold-upper" => active_defrag_threshold_upper: i64 = 100, Rule::Int(0, 1000), MOD, Kept;
        "jemalloc-bg-thread" => jemalloc_bg_thread: bool = true, OWN, MOD, Kept;
    }
}
