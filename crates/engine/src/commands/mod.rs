//! The commands, a file per family. Places to touch for a new one: its file, and one line here.

pub mod bitfield;
pub mod bitmaps;
pub mod client;
pub mod command;
pub mod connection;
pub mod counters;
pub mod databases;
pub mod dump;
pub mod expire;
pub mod geo;
pub mod geo_search;
pub mod hash_counters;
pub mod hash_expire;
mod hash_options;
pub mod hash_random;
pub mod hash_values;
pub mod hashes;
pub mod help;
pub mod hyperloglogs;
pub mod keys;
pub mod lcs;
pub mod list_moves;
pub mod list_search;
pub mod lists;
pub mod migrate;
pub mod object;
pub mod observe;
mod pops;
pub mod pubsub;
pub mod scan;
pub mod set_algebra;
pub mod set_random;
pub mod sets;
pub mod sort;
pub mod streams;
mod string_options;
pub mod string_parts;
pub mod strings;
mod tracking;
pub mod transaction;
pub mod zset_algebra;
mod zset_bounds;
pub mod zset_pops;
pub mod zset_random;
pub mod zset_ranges;
pub mod zsets;

use crate::Spec;

/// Every command that the engine itself can run.
pub static ALL: &[&Spec] = &[
    // connection
    &client::CLIENT,
    &connection::AUTH,
    &connection::ECHO,
    &connection::HELLO,
    &connection::PING,
    &connection::QUIT,
    &connection::RESET,
    &connection::SELECT,
    // the table itself
    &command::COMMAND,
    // observing
    &observe::LATENCY,
    &observe::MONITOR,
    &observe::SLOWLOG,
    // messages
    &pubsub::PSUBSCRIBE,
    &pubsub::PUBLISH,
    &pubsub::PUBSUB,
    &pubsub::PUNSUBSCRIBE,
    &pubsub::SPUBLISH,
    &pubsub::SSUBSCRIBE,
    &pubsub::SUBSCRIBE,
    &pubsub::SUNSUBSCRIBE,
    &pubsub::UNSUBSCRIBE,
    // databases
    &databases::DBSIZE,
    &databases::FLUSHALL,
    &databases::FLUSHDB,
    &databases::SWAPDB,
    &databases::TIME,
    // keys
    &dump::DUMP,
    &dump::RESTORE,
    &dump::RESTORE_ASKING,
    &expire::EXPIRE,
    &expire::EXPIREAT,
    &expire::EXPIRETIME,
    &expire::PERSIST,
    &expire::PEXPIRE,
    &expire::PEXPIREAT,
    &expire::PEXPIRETIME,
    &expire::PTTL,
    &expire::TTL,
    &keys::COPY,
    &keys::DEL,
    &keys::EXISTS,
    &keys::MOVE,
    &keys::RANDOMKEY,
    &keys::RENAME,
    &keys::RENAMENX,
    &keys::TOUCH,
    &keys::TYPE,
    &keys::UNLINK,
    &migrate::MIGRATE,
    &object::OBJECT,
    &scan::KEYS,
    &scan::SCAN,
    &sort::SORT,
    &sort::SORT_RO,
    // strings
    &counters::DECR,
    &counters::DECRBY,
    &counters::INCR,
    &counters::INCRBY,
    &counters::INCRBYFLOAT,
    &lcs::LCS,
    &string_parts::APPEND,
    &string_parts::GETRANGE,
    &string_parts::SETRANGE,
    &string_parts::STRLEN,
    &string_parts::SUBSTR,
    &strings::GET,
    &strings::GETDEL,
    &strings::GETEX,
    &strings::GETSET,
    &strings::MGET,
    &strings::MSET,
    &strings::MSETNX,
    &strings::PSETEX,
    &strings::SET,
    &strings::SETEX,
    &strings::SETNX,
    // bitmaps
    &bitfield::BITFIELD,
    &bitfield::BITFIELD_RO,
    &bitmaps::BITCOUNT,
    &bitmaps::BITOP,
    &bitmaps::BITPOS,
    &bitmaps::GETBIT,
    &bitmaps::SETBIT,
    // HyperLogLogs
    &hyperloglogs::PFADD,
    &hyperloglogs::PFCOUNT,
    &hyperloglogs::PFDEBUG,
    &hyperloglogs::PFMERGE,
    &hyperloglogs::PFSELFTEST,
    // hashes
    &hash_counters::HINCRBY,
    &hash_counters::HINCRBYFLOAT,
    &hash_expire::HEXPIRE,
    &hash_expire::HEXPIREAT,
    &hash_expire::HEXPIRETIME,
    &hash_expire::HPERSIST,
    &hash_expire::HPEXPIRE,
    &hash_expire::HPEXPIREAT,
    &hash_expire::HPEXPIRETIME,
    &hash_expire::HPTTL,
    &hash_expire::HTTL,
    &hash_random::HRANDFIELD,
    &hash_random::HSCAN,
    &hash_values::HGETDEL,
    &hash_values::HGETEX,
    &hash_values::HSETEX,
    &hashes::HDEL,
    &hashes::HEXISTS,
    &hashes::HGET,
    &hashes::HGETALL,
    &hashes::HKEYS,
    &hashes::HLEN,
    &hashes::HMGET,
    &hashes::HMSET,
    &hashes::HSET,
    &hashes::HSETNX,
    &hashes::HSTRLEN,
    &hashes::HVALS,
    // lists
    &list_moves::BLMOVE,
    &list_moves::BLMPOP,
    &list_moves::BLPOP,
    &list_moves::BRPOP,
    &list_moves::BRPOPLPUSH,
    &list_moves::LMOVE,
    &list_moves::LMPOP,
    &list_moves::RPOPLPUSH,
    &list_search::LPOS,
    &lists::LINDEX,
    &lists::LINSERT,
    &lists::LLEN,
    &lists::LPOP,
    &lists::LPUSH,
    &lists::LPUSHX,
    &lists::LRANGE,
    &lists::LREM,
    &lists::LSET,
    &lists::LTRIM,
    &lists::RPOP,
    &lists::RPUSH,
    &lists::RPUSHX,
    // streams
    &streams::XACK,
    &streams::XADD,
    &streams::XAUTOCLAIM,
    &streams::XCLAIM,
    &streams::XDEL,
    &streams::XGROUP,
    &streams::XINFO,
    &streams::XLEN,
    &streams::XPENDING,
    &streams::XRANGE,
    &streams::XREAD,
    &streams::XREADGROUP,
    &streams::XREVRANGE,
    &streams::XSETID,
    &streams::XTRIM,
    // transactions
    &transaction::DISCARD,
    &transaction::EXEC,
    &transaction::MULTI,
    &transaction::UNWATCH,
    &transaction::WATCH,
    // sets
    &sets::SADD,
    &sets::SCARD,
    &sets::SISMEMBER,
    &sets::SMEMBERS,
    &sets::SMISMEMBER,
    &sets::SMOVE,
    &sets::SREM,
    &scan::SSCAN,
    &set_algebra::SDIFF,
    &set_algebra::SDIFFSTORE,
    &set_algebra::SINTER,
    &set_algebra::SINTERCARD,
    &set_algebra::SINTERSTORE,
    &set_algebra::SUNION,
    &set_algebra::SUNIONSTORE,
    &set_random::SPOP,
    &set_random::SRANDMEMBER,
    // places
    &geo::GEOADD,
    &geo::GEODIST,
    &geo::GEOHASH,
    &geo::GEOPOS,
    &geo_search::GEORADIUS,
    &geo_search::GEORADIUSBYMEMBER,
    &geo_search::GEORADIUSBYMEMBER_RO,
    &geo_search::GEORADIUS_RO,
    &geo_search::GEOSEARCH,
    &geo_search::GEOSEARCHSTORE,
    // sorted sets
    &zset_algebra::ZDIFF,
    &zset_algebra::ZDIFFSTORE,
    &zset_algebra::ZINTER,
    &zset_algebra::ZINTERCARD,
    &zset_algebra::ZINTERSTORE,
    &zset_algebra::ZUNION,
    &zset_algebra::ZUNIONSTORE,
    &zset_pops::BZMPOP,
    &zset_pops::BZPOPMAX,
    &zset_pops::BZPOPMIN,
    &zset_pops::ZMPOP,
    &zset_pops::ZPOPMAX,
    &zset_pops::ZPOPMIN,
    &zset_random::ZRANDMEMBER,
    &zset_random::ZSCAN,
    &zset_ranges::ZCOUNT,
    &zset_ranges::ZLEXCOUNT,
    &zset_ranges::ZRANGE,
    &zset_ranges::ZRANGEBYLEX,
    &zset_ranges::ZRANGEBYSCORE,
    &zset_ranges::ZRANGESTORE,
    &zset_ranges::ZREMRANGEBYLEX,
    &zset_ranges::ZREMRANGEBYRANK,
    &zset_ranges::ZREMRANGEBYSCORE,
    &zset_ranges::ZREVRANGE,
    &zset_ranges::ZREVRANGEBYLEX,
    &zset_ranges::ZREVRANGEBYSCORE,
    &zsets::ZADD,
    &zsets::ZCARD,
    &zsets::ZINCRBY,
    &zsets::ZMSCORE,
    &zsets::ZRANK,
    &zsets::ZREM,
    &zsets::ZREVRANK,
    &zsets::ZSCORE,
];
