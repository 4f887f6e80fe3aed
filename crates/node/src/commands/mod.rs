//! Commands whose facts live outside the engine.

pub mod debug;
pub mod memory;
pub mod save;
pub mod shutdown;

use engine::Spec;

/// Every command that the node adds to the engine's.
pub static ALL: &[&Spec] = &[
    &crate::config_command::CONFIG,
    &crate::info::INFO,
    &debug::DEBUG,
    &memory::MEMORY,
    &crate::replication::commands::FAILOVER,
    &crate::replication::commands::PSYNC,
    &crate::replication::commands::REPLCONF,
    &crate::replication::commands::REPLICAOF,
    &crate::replication::commands::ROLE,
    &crate::replication::commands::SLAVEOF,
    &crate::replication::commands::SYNC,
    &crate::replication::commands::WAIT,
    &save::BGSAVE,
    &save::LASTSAVE,
    &save::SAVE,
    &shutdown::SHUTDOWN,
];
