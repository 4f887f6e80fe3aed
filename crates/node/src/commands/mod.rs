//! Commands whose facts live outside the engine.

pub mod save;

use engine::Spec;

/// Every command that the node adds to the engine's.
pub static ALL: &[&Spec] = &[&save::BGSAVE, &save::LASTSAVE, &save::SAVE];
