//! Streams: entries by id, consumer groups, and what they tell about themselves.
//!
//! ```text
//!   add      XADD XTRIM                  pending  XACK XPENDING
//!   entries  XLEN XRANGE XREVRANGE       claim    XCLAIM XAUTOCLAIM
//!            XDEL XSETID                 group    XGROUP
//!   read     XREAD XREADGROUP            info     XINFO
//! ```

pub mod add;
pub mod claim;
mod effects;
pub mod entries;
pub mod group;
mod ids;
pub mod info;
pub mod pending;
pub mod read;
mod reply;

use crate::{Category, Error, Event, KeyFlags, KeySpec, Spec};

pub use add::{XADD, XTRIM};
pub use claim::{XAUTOCLAIM, XCLAIM};
pub use entries::{XDEL, XLEN, XRANGE, XREVRANGE, XSETID};
pub use group::XGROUP;
pub use info::XINFO;
pub use pending::{XACK, XPENDING};
pub use read::{XREAD, XREADGROUP};

/// What the commands here share.
const STREAM: Spec = Spec {
    since: "5.0.0",
    category: Category::Stream,
    ..Spec::BASE
};

const READS: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RO.or(KeyFlags::ACCESS))];
const UPDATES: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::UPDATE))];
const DELETES: &[KeySpec] = &[KeySpec::at(1, KeyFlags::RW.or(KeyFlags::DELETE))];

#[allow(missing_docs)]
impl Event {
    pub const XADD: Self = Self::new('t', "xadd");
    pub const XDEL: Self = Self::new('t', "xdel");
    pub const XTRIM: Self = Self::new('t', "xtrim");
    pub const XSETID: Self = Self::new('t', "xsetid");
    pub const XGROUP_CREATE: Self = Self::new('t', "xgroup-create");
    pub const XGROUP_CREATECONSUMER: Self = Self::new('t', "xgroup-createconsumer");
    pub const XGROUP_DELCONSUMER: Self = Self::new('t', "xgroup-delconsumer");
    pub const XGROUP_DESTROY: Self = Self::new('t', "xgroup-destroy");
    pub const XGROUP_SETID: Self = Self::new('t', "xgroup-setid");
}

/// A line that quotes a key and a group; stock's messages end at a zero byte.
fn quoting(parts: [&[u8]; 3], key: &[u8], group: &[u8]) -> Error {
    let cut = |word: &[u8]| word.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Error::quoting([parts[0], &cut(key), parts[1], &cut(group), parts[2]].concat())
}

/// Of a command that needs a group, where key or group is not there.
fn no_key_or_group(key: &[u8], group: &[u8]) -> Error {
    quoting([b"NOGROUP No such key '", b"' or consumer group '", b"'"], key, group)
}

/// Of a command that needs a group of a stream that is there.
fn no_group_of_key(group: &[u8], key: &[u8]) -> Error {
    quoting(
        [b"NOGROUP No such consumer group '", b"' for key name '", b"'"],
        group,
        key,
    )
}

/// A subcommand with words that do not belong to it.
fn wrong_subcommand(container: &str, word: &[u8]) -> Error {
    let line = [
        b"ERR unknown subcommand or wrong number of arguments for '",
        crate::error::quoted(word),
        b"'. Try ",
        container.as_bytes(),
        b" HELP.",
    ];
    Error::quoting(line.concat())
}
