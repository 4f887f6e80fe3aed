//! The outside as far as a node needs answers from it at once: files, sleep and the machine's figures.

use engine::commands::migrate::{Failure, Job, Outcome};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What surrounds a node.
pub trait Outside {
    /// The files.
    fn disk(&self) -> Arc<dyn Disk>;
    /// Bytes handed out by the allocator; cheap.
    fn allocated_bytes(&self) -> u64;
    /// Stops the whole engine for a while, as DEBUG SLEEP asks for.
    fn sleep(&mut self, microseconds: u64);
    /// Sends keys to another server while everything waits.
    fn migrate(&mut self, job: &Job) -> Outcome {
        let _ = job;
        Outcome {
            failure: Some(Failure::Connect),
            ..Outcome::default()
        }
    }
    /// How many connections to other servers are kept for the next MIGRATE. Those not used for a while are closed.
    fn migration_targets(&self) -> usize {
        0
    }
    /// What the process uses of the machine, as of now.
    fn resources(&self) -> Resources;
    /// Asks the allocator to give free memory back to the system.
    fn purge_memory(&mut self);
    /// Tries whether these addresses, as `bind` names them, can be listened on at a port; port 0 asks for the addresses
    /// alone. The error says what the system said.
    fn can_listen(&self, addresses: &[&str], port: u16) -> Result<(), String> {
        let _ = (addresses, port);
        Ok(())
    }
}

/// What the process uses of the machine. Zero where it is not known.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Bytes handed out by the allocator.
    pub allocated_bytes: u64,
    /// Bytes resident.
    pub resident_bytes: u64,
    /// Bytes of memory of the machine.
    pub total_memory_bytes: u64,
    /// Bytes of memory that are free for use; `None` where unknown.
    pub available_memory_bytes: Option<u64>,
    /// CPU time: of the process in user and system mode, and of the engine's thread, in microseconds.
    pub cpu_user_us: u64,
    /// See [`Self::cpu_user_us`].
    pub cpu_system_us: u64,
    /// See [`Self::cpu_user_us`].
    pub thread_user_us: u64,
    /// See [`Self::cpu_user_us`].
    pub thread_system_us: u64,
    /// `Linux 6.1.0 x86_64`.
    pub os: String,
    /// Path of the executable.
    pub executable: String,
    /// The process.
    pub pid: u32,
    /// Name of the allocator with its version.
    pub allocator: String,
}

/// The outside of a node that touches no file: for tests and benchmarks.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Outside for Nowhere {
    fn disk(&self) -> Arc<dyn Disk> {
        unreachable!("no file is touched here")
    }
    fn allocated_bytes(&self) -> u64 {
        0
    }
    fn sleep(&mut self, _microseconds: u64) {}
    fn resources(&self) -> Resources {
        Resources::default()
    }
    fn purge_memory(&mut self) {}
}

/// Files, by name relative to the working directory. Shared with background threads.
pub trait Disk: Send + Sync {
    /// Opens a file to read.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;
    /// Creates a file, or empties one.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, in place of one that has it, and makes that durable.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Size of a file in bytes; `None` when there is none.
    fn size(&self, name: &str) -> io::Result<Option<u64>>;
    /// Changes the working directory.
    fn enter(&self, directory: &str) -> io::Result<()>;
    /// The working directory.
    fn directory(&self) -> String;
}

/// A file being written.
pub trait DiskFile: Write + Send {
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}
