//! Up to which size collections are kept as one compact block.

/// The thresholds, under the names that configuration gives them. A negative number of entries is no limit at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encodings {
    /// `hash-max-listpack-entries`: fields.
    pub hash_max_listpack_entries: i64,
    /// `hash-max-listpack-value`: bytes of a field or value.
    pub hash_max_listpack_value: u64,
    /// `list-max-listpack-size`: elements of a node, or its size class if negative (-1 is 4 KiB, -5 is 64 KiB).
    pub list_max_listpack_size: i32,
    /// `list-compress-depth`: nodes at each end that stay plain; 0 compresses none.
    pub list_compress_depth: u32,
    /// List elements of so many bytes get a node of their own; DEBUG QUICKLIST-PACKED-THRESHOLD sets it.
    pub list_packed_threshold: u64,
    /// `set-max-intset-entries`: members.
    pub set_max_intset_entries: i64,
    /// `zset-max-listpack-entries`: members.
    pub zset_max_listpack_entries: i64,
    /// `zset-max-listpack-value`: bytes of a member.
    pub zset_max_listpack_value: u64,
    /// `stream-node-max-bytes`: bytes of a node; 0 for no limit.
    pub stream_node_max_bytes: u64,
    /// `stream-node-max-entries`: entries of a node; 0 for no limit.
    pub stream_node_max_entries: i64,
    /// `hll-sparse-max-bytes`: bytes of a sparse HyperLogLog.
    pub hll_sparse_max_bytes: u64,
}

impl Default for Encodings {
    /// As the stock server's.
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_compress_depth: 0,
            list_packed_threshold: 1 << 30,
            set_max_intset_entries: 512,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hll_sparse_max_bytes: 3000,
        }
    }
}
