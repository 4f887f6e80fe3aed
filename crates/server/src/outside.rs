//! The machine as a node sees it: real files, real sleep, real figures.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::commands::migrate::{Job, Outcome};
use net::process::{self, CpuTime};
use node::{Disk, DiskFile, Outside, Resources};

use crate::migrate::Targets;
use crate::version::ALLOCATOR;

/// Room for reading and writing files in few system calls.
const FILE_BUFFER_BYTES: usize = 256 * 1024;

/// This machine.
pub struct Machine {
    disk: Arc<RealDisk>,
    os: String,
    executable: String,
    total_memory_bytes: u64,
    /// Connections for MIGRATE.
    targets: Targets,
}

impl Machine {
    /// As it is now.
    #[must_use]
    pub fn new() -> Self {
        let executable = std::env::current_exe().map(|path| path.to_string_lossy().into_owned());
        Self {
            disk: Arc::new(RealDisk),
            os: process::system_name(),
            executable: executable.unwrap_or_default(),
            total_memory_bytes: process::total_memory_bytes(),
            targets: Targets::default(),
        }
    }

    /// Connections for MIGRATE.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Outside for Machine {
    fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    fn allocated_bytes(&self) -> u64 {
        ds::memory::allocated_bytes()
    }

    fn sleep(&mut self, microseconds: u64) {
        std::thread::sleep(Duration::from_micros(microseconds));
    }

    fn migrate(&mut self, job: &Job) -> Outcome {
        self.targets.run(job)
    }

    fn migration_targets(&self) -> usize {
        self.targets.count()
    }

    fn purge_memory(&mut self) {
        ds::memory::purge();
    }

    fn can_listen(&self, addresses: &[&str], port: u16) -> Result<(), String> {
        let tried = net::listen_on_all(addresses.iter().copied(), port, 1);
        tried.map(drop).map_err(|error| error.to_string())
    }

    fn resources(&self) -> Resources {
        let (all, thread) = (CpuTime::of_process(), CpuTime::of_thread());
        Resources {
            allocated_bytes: ds::memory::allocated_bytes(),
            resident_bytes: process::resident_bytes(),
            total_memory_bytes: self.total_memory_bytes,
            available_memory_bytes: process::available_memory_bytes(),
            cpu_user_us: all.user_us,
            cpu_system_us: all.system_us,
            thread_user_us: thread.user_us,
            thread_system_us: thread.system_us,
            os: self.os.clone(),
            executable: self.executable.clone(),
            pid: process::pid(),
            allocator: ALLOCATOR.to_owned(),
        }
    }
}

/// The file system, relative to the working directory.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(BufReader::with_capacity(FILE_BUFFER_BYTES, File::open(name)?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = io::BufWriter::with_capacity(FILE_BUFFER_BYTES, File::create(name)?);
        Ok(Box::new(RealFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(from, to)?;
        // The new name is durable once its directory is; where directories cannot be synced, it is as durable as it gets.
        let directory = Path::new(to).parent().filter(|parent| !parent.as_os_str().is_empty());
        match File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(name)
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(name) {
            Ok(facts) => Ok(Some(facts.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn enter(&self, directory: &str) -> io::Result<()> {
        std::env::set_current_dir(directory)
    }

    fn directory(&self) -> String {
        std::env::current_dir()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

struct RealFile {
    file: io::BufWriter<File>,
}

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_renamed_and_gone() {
        let base = std::env::temp_dir().join(format!("skein-disk-{}", std::process::id()));
        let name = |suffix: &str| format!("{}{suffix}", base.to_string_lossy());
        let (first, second) = (name(".a"), name(".b"));
        let disk = RealDisk;
        assert_eq!(disk.size(&first).unwrap(), None);
        let mut file = disk.create(&first).unwrap();
        file.write_all(b"hello").unwrap();
        file.sync().unwrap();
        disk.rename(&first, &second).unwrap();
        assert_eq!(
            (disk.size(&first).unwrap(), disk.size(&second).unwrap()),
            (None, Some(5))
        );
        let mut text = String::new();
        disk.open(&second).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        disk.remove(&second).unwrap();
        assert!(disk.open(&second).is_err());
    }
}
