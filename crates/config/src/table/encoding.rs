//! Up to which size collections stay compact.

use super::*;
use crate::directive::Effect::Kept;
use crate::directive::{Flags, group};

const MOD: Flags = Flags::MODIFIABLE;

group! {
    /// Up to which size collections stay compact.
    Encoding at encoding, TABLE {
        "hash-max-listpack-entries" / "hash-max-ziplist-entries" => hash_max_listpack_entries: i64 = 512, NATURAL_LONG, MOD, Kept;
        "hash-max-listpack-value" / "hash-max-ziplist-value" => hash_max_listpack_value: u64 = 64, BYTES, MOD, Kept;
        "list-max-listpack-size" / "list-max-ziplist-size" => list_max_listpack_size: i64 = -2,
            Rule::Int(i32::MIN as i64, INT_MAX), MOD, Kept;
        "list-compress-depth" => list_compress_depth: i64 = 0, NATURAL, Flags::DEBUG, Kept;
        "set-max-intset-entries" => set_max_intset_entries: i64 = 512, NATURAL_LONG, MOD, Kept;
        "zset-max-listpack-entries" / "zset-max-ziplist-entries" => zset_max_listpack_entries: i64 = 128, NATURAL_LONG, MOD, Kept;
        "zset-max-listpack-value" / "zset-max-ziplist-value" => zset_max_listpack_value: u64 = 64, BYTES, MOD, Kept;
        "hll-sparse-max-bytes" => hll_sparse_max_bytes: u64 = 3000, BYTES, MOD, Kept;
        "stream-node-max-bytes" => stream_node_max_bytes: u64 = 4096, BYTES, MOD, Kept;
        "stream-node-max-entries" => stream_node_max_entries: i64 = 100, NATURAL_LONG, MOD, Kept;
    }
}
