//! A disk in memory: what was not synced when the machine stops is gone, or half there.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Rng;
use node::{Disk, DiskFile, Outside, Resources};

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    synced: bool,
}

/// The files of one server; they outlive its crashes.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, File>>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine stops: of files that were not synced, some part stays.
    pub fn crash(&self, rng: &mut Rng) {
        for file in self.files().values_mut().filter(|file| !file.synced) {
            let kept = rng.below(file.bytes.len() as u64 + 1);
            file.bytes.truncate(kept as usize);
        }
    }
}

struct Writing {
    disk: MemoryDisk,
    name: String,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut files = self.disk.files();
        let file = files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        file.bytes.extend_from_slice(bytes);
        file.synced = false;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = self.disk.files().get_mut(&self.name) {
            file.synced = true;
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let files = self.files();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(file.bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.files().insert(name.to_owned(), File::default());
        Ok(Box::new(Writing {
            disk: self.clone(),
            name: name.to_owned(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.files().remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.files().get(name).map(|file| file.bytes.len() as u64))
    }

    fn enter(&self, _directory: &str) -> io::Result<()> {
        Ok(())
    }

    fn directory(&self) -> String {
        "/".into()
    }
}

/// What surrounds a node of the world.
pub struct Machine(pub MemoryDisk);

impl Outside for Machine {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.0.clone())
    }

    fn allocated_bytes(&self) -> u64 {
        1 << 20
    }

    fn sleep(&mut self, microseconds: u64) {
        crate::time::advance_ms(microseconds / 1000);
    }

    fn resources(&self) -> Resources {
        Resources::default()
    }

    fn purge_memory(&mut self) {}

    fn can_listen(&self, _addresses: &[&str], _port: u16) -> Result<(), String> {
        Ok(())
    }
}
