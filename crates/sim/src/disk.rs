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

#[derive(Default)]
struct Files {
    by_name: BTreeMap<String, File>,
    /// How many bytes can still be written before every operation fails.
    room_bytes: Option<u64>,
}

impl Files {
    fn is_broken(&self) -> bool {
        self.room_bytes == Some(0)
    }

    fn works(&self) -> io::Result<()> {
        match self.is_broken() {
            false => Ok(()),
            true => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

/// The files of one server; they outlive its crashes.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Files>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more bytes the disk takes nothing, does nothing; `None` ends that.
    pub fn fail_after(&self, bytes: Option<u64>) {
        self.files().room_bytes = bytes;
    }

    /// The machine stops: of files that were not synced, some part stays.
    pub fn crash(&self, rng: &mut Rng) {
        for file in self.files().by_name.values_mut().filter(|file| !file.synced) {
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
        files.works()?;
        let room = files.room_bytes.unwrap_or(u64::MAX);
        let taken = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let file = files.by_name.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        file.bytes.extend_from_slice(&bytes[..taken]);
        file.synced = false;
        files.room_bytes = files.room_bytes.map(|room| room - taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        let mut files = self.disk.files();
        files.works()?;
        if let Some(file) = files.by_name.get_mut(&self.name) {
            file.synced = true;
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let files = self.files();
        let file = files.by_name.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(file.bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut files = self.files();
        files.works()?;
        files.by_name.insert(name.to_owned(), File::default());
        Ok(Box::new(Writing {
            disk: self.clone(),
            name: name.to_owned(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        files.works()?;
        let file = files.by_name.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.by_name.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut files = self.files();
        files.works()?;
        let removed = files.by_name.remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.files().by_name.get(name).map(|file| file.bytes.len() as u64))
    }

    fn enter(&self, _directory: &str) -> io::Result<()> {
        Ok(())
    }

    fn directory(&self) -> String {
        "/".into()
    }
}

/// What surrounds a node of the world.
pub struct Machine {
    /// Its files.
    pub disk: MemoryDisk,
    /// What it says of its free memory: little makes snapshots go through a file.
    pub available_memory_bytes: Option<u64>,
}

impl Outside for Machine {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn allocated_bytes(&self) -> u64 {
        1 << 20
    }

    fn sleep(&mut self, microseconds: u64) {
        crate::time::advance_ms(microseconds / 1000);
    }

    fn resources(&self) -> Resources {
        Resources {
            available_memory_bytes: self.available_memory_bytes,
            ..Resources::default()
        }
    }

    fn purge_memory(&mut self) {}

    fn can_listen(&self, _addresses: &[&str], _port: u16) -> Result<(), String> {
        Ok(())
    }
}
