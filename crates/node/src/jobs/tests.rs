//! Jobs against a disk in memory that can be told to fail.

use super::*;
use crate::outside::{Disk, DiskFile};
use base::Millis;
use keyspace::NewValue;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

#[derive(Default)]
struct MemoryDisk {
    files: Files,
    /// No file grows beyond this.
    full_at: Option<usize>,
    /// Raised before a rename is carried out.
    cancel_at_rename: Option<Cancel>,
}

impl MemoryDisk {
    fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        self.files.lock().unwrap().insert(name.into(), bytes.to_vec());
    }

    fn get(&self, name: &str) -> Vec<u8> {
        self.files.lock().unwrap()[name].clone()
    }
}

struct MemoryFile {
    name: String,
    files: Files,
    full_at: Option<usize>,
    cancel_at_sync: Option<Cancel>,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut files = self.files.lock().unwrap();
        let file = files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        if self.full_at.is_some_and(|full| file.len() + bytes.len() > full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn sync(&mut self) -> io::Result<()> {
        if let Some(cancel) = &self.cancel_at_sync {
            cancel.cancel();
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self
            .files
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.put(name, b"");
        Ok(Box::new(MemoryFile {
            name: name.into(),
            files: self.files.clone(),
            full_at: self.full_at,
            cancel_at_sync: self.cancel_at_rename.clone(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files
            .lock()
            .unwrap()
            .remove(name)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.files.lock().unwrap().get(name).map(|bytes| bytes.len() as u64))
    }

    fn enter(&self, _directory: &str) -> io::Result<()> {
        Ok(())
    }

    fn directory(&self) -> String {
        "/".into()
    }
}

/// A connection that counts how often it is told that the load goes on.
struct Link<R>(R, usize);

impl<R: Read> Read for Link<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl<R: Read> FromPrimary for Link<R> {
    fn still_loading(&mut self) {
        self.1 += 1;
    }
}

const KEYS: u32 = 1200;
const MARK: [u8; 40] = *b"feedfacefeedfacefeedfacefeedfacefeedface";

fn dataset() -> Keyspace {
    let mut keyspace = Keyspace::new(4, 7);
    for number in 0..KEYS {
        let key = format!("key:{number}");
        let hash = keyspace.hash(key.as_bytes());
        let expiry = number.is_multiple_of(3).then_some(Millis(i64::from(number)));
        let value = key.repeat(number as usize % 30);
        keyspace
            .db_mut(DbIndex(number % 4))
            .set(key.as_bytes(), hash, NewValue::Bytes(value.as_bytes()), expiry);
    }
    keyspace
}

fn assert_is_dataset(keyspace: &Keyspace) {
    let expected = dataset();
    assert_eq!(keyspace.key_count(), expected.key_count());
    for db in (0..4).map(DbIndex) {
        for entry in expected.db(db).iter() {
            let got = keyspace
                .db(db)
                .get(entry.key(), keyspace.hash(entry.key()))
                .expect("a key is missing");
            assert_eq!(format!("{:?}", got.value()), format!("{:?}", entry.value()));
            assert_eq!(got.expiry(), entry.expiry());
        }
    }
}

fn write_options() -> WriteOptions {
    WriteOptions {
        compression: true,
        checksum: true,
        key_delay_us: 0,
        position: Some(Position {
            replid: ReplId::parse(&[b'a'; 40]).unwrap(),
            offset: Offset(1234),
            stream_db: Some(DbIndex(2)),
        }),
        unix_seconds: 1_700_000_000,
        used_memory: 1 << 20,
        access_clock: None,
        functions: Arc::from([b"#!lua name=l".to_vec()]),
        field_expiries: rdb::FieldExpiries::Valkey,
    }
}

fn save_job() -> SaveJob {
    SaveJob {
        id: 1,
        frozen: dataset().freeze(),
        file: "dump.rdb".into(),
        options: write_options(),
        cancel: Cancel::default(),
        progress: Arc::default(),
    }
}

fn transfer(disk: &MemoryDisk, mark: Option<[u8; 40]>) -> Vec<u8> {
    let job = TransferJob {
        replica: SessionId { slot: 0, number: 9 },
        frozen: dataset().freeze(),
        mark,
        options: write_options(),
        cancel: Cancel::default(),
        progress: Arc::default(),
        timeout_ms: 1000,
    };
    let mut sent = Vec::new();
    let bytes = run_transfer(disk, job, &mut sent, &mut |_| {}).unwrap();
    assert_eq!(bytes, sent.len() as u64);
    sent
}

/// The dataset with a field of a hash that expires.
fn with_field_expiry() -> Keyspace {
    let mut keyspace = dataset();
    let hash = keyspace.hash(b"hash");
    let db = keyspace.db_mut(DbIndex(0));
    let mut builder = keyspace::HashBuilder::new(&keyspace::Encodings::default(), db.new_table());
    builder.push(b"field", b"value", Some(base::Millis(1 << 42))).unwrap();
    db.set(b"hash", hash, builder.finish(), None);
    keyspace
}

#[test]
fn fields_that_expire_go_to_replicas_that_read_them_and_others_hear_why_not() {
    let disk = MemoryDisk::default();
    for mark in [None, Some(MARK)] {
        let send = |field_expiries| {
            let options = WriteOptions {
                field_expiries,
                ..write_options()
            };
            let job = TransferJob {
                replica: SessionId { slot: 0, number: 9 },
                frozen: with_field_expiry().freeze(),
                mark,
                options,
                cancel: Cancel::default(),
                progress: Arc::default(),
                timeout_ms: 1000,
            };
            let mut sent = Vec::new();
            let outcome = run_transfer(&disk, job, &mut sent, &mut |_| {});
            (sent, outcome)
        };
        for (form, magic) in [
            (rdb::FieldExpiries::Valkey, b"VALKEY080"),
            (rdb::FieldExpiries::Redis, b"REDIS0012"),
        ] {
            let (sent, outcome) = send(form);
            assert!(outcome.is_ok() && framed(&sent).1.starts_with(magic));
            let (form, data) = framed(&sent);
            let loaded = run_load(&disk, load_job(form, LoadVia::Memory), &mut Link(data, 0), &mut |_| {}).unwrap();
            assert!(loaded.keyspace.has_field_expiries());
        }
        let (sent, outcome) = send(rdb::FieldExpiries::Refused);
        let told = String::from_utf8(sent).unwrap();
        assert!(told.starts_with("-ERR the dataset has hashes with expiring fields") && told.ends_with("\r\n"));
        assert!(outcome.unwrap_err().starts_with("the dataset has hashes"));
    }
}

fn load_job(form: PayloadForm, via: LoadVia) -> LoadJob {
    LoadJob {
        id: 5,
        form,
        already: Vec::new(),
        into: Keyspace::new(4, 99),
        via,
        checksum: true,
        access_clock: rdb::AccessClock::Lru { now_seconds: 0 },
        key_delay_us: 0,
        encodings: keyspace::Encodings::default(),
        cancel: Cancel::default(),
        progress: Arc::default(),
        timeout_ms: 1000,
    }
}

/// Splits what was sent into how it is framed and what follows the announcement.
fn framed(sent: &[u8]) -> (PayloadForm, &[u8]) {
    let end = sent.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let form = match rdb::transfer::Framing::parse(&sent[..end]).unwrap() {
        rdb::transfer::Framing::Sized(bytes) => PayloadForm::Sized(bytes),
        rdb::transfer::Framing::Marked(mark) => PayloadForm::Marked(mark),
    };
    (form, &sent[end + 2..])
}

#[test]
fn a_save_replaces_the_file_and_leaves_nothing_else() {
    let disk = MemoryDisk::default();
    disk.put("dump.rdb", b"old");
    let job = save_job();
    let progress = job.progress.clone();
    assert_eq!(run_save(&disk, job, &mut |_| {}), Ok(u64::from(KEYS)));
    assert_eq!(disk.names(), ["dump.rdb"]);
    assert_eq!(progress.keys.load(Ordering::Relaxed), u64::from(KEYS));

    let (cancel, progress) = (Cancel::default(), Progress::default());
    let file = FileLoad {
        file: "dump.rdb",
        into: Keyspace::new(4, 3),
        options: rdb::LoadOptions::default(),
        cancel: &cancel,
        progress: &progress,
    };
    let loaded = run_load_file(&disk, file, &mut |_| {}).unwrap();
    assert_is_dataset(&loaded.keyspace);
    assert_eq!(loaded.position, write_options().position);
    assert_eq!(loaded.functions, [b"#!lua name=l".to_vec()]);
    assert_eq!(
        progress.total_bytes.load(Ordering::Relaxed),
        disk.get("dump.rdb").len() as u64
    );
}

/// FLUSHALL while a save runs: the save must not bring the old data back, even when it was already whole.
#[test]
fn a_cancelled_save_leaves_the_file_as_it_is() {
    for cancel_when in ["at once", "when whole"] {
        let mut disk = MemoryDisk::default();
        disk.put("dump.rdb", b"newer");
        let job = save_job();
        match cancel_when {
            "at once" => job.cancel.cancel(),
            _ => disk.cancel_at_rename = Some(job.cancel.clone()),
        }
        assert_eq!(
            run_save(&disk, job, &mut |_| {}),
            Err("cancelled".into()),
            "{cancel_when}"
        );
        assert_eq!(disk.names(), ["dump.rdb"]);
        assert_eq!(disk.get("dump.rdb"), b"newer");
    }
}

#[test]
fn a_full_disk_leaves_the_file_as_it_is() {
    let disk = MemoryDisk {
        full_at: Some(1000),
        ..MemoryDisk::default()
    };
    disk.put("dump.rdb", b"old");
    assert!(
        run_save(&disk, save_job(), &mut |_| {})
            .unwrap_err()
            .starts_with("temp-1-dump.rdb: ")
    );
    assert_eq!(disk.names(), ["dump.rdb"]);
    assert_eq!(disk.get("dump.rdb"), b"old");
}

#[test]
fn snapshots_arrive_in_both_frames_and_both_ways() {
    let disk = MemoryDisk::default();
    for mark in [None, Some(MARK)] {
        let sent = transfer(&disk, mark);
        assert!(disk.names().is_empty(), "the temporary file is gone");
        let (form, data) = framed(&sent);
        for via in [LoadVia::Memory, LoadVia::File] {
            for ahead in [0, 1, 50, data.len() - 1, data.len()] {
                let already = data[..ahead].to_vec();
                let job = LoadJob {
                    already,
                    ..load_job(form, via)
                };
                let mut let_go = 0;
                let mut link = Link(&data[ahead..], 0);
                let loaded = run_load_letting_go(&disk, job, &mut link, &mut |_| {}, &mut || {
                    let_go += 1;
                    Ok(())
                });
                let loaded = loaded.unwrap_or_else(|failure| panic!("{form:?} {via:?} {ahead}: {failure:?}"));
                assert_is_dataset(&loaded.keyspace);
                assert_eq!(loaded.position, write_options().position);
                assert!(loaded.rest.is_empty());
                assert_eq!(let_go, usize::from(via == LoadVia::File));
                assert_eq!(
                    link.1 > 0,
                    via == LoadVia::File,
                    "the primary hears of what is not read from it"
                );
                assert!(disk.names().is_empty());
            }
        }
    }
}

/// Through a file, the old data is let go of only once nothing can go wrong any more.
#[test]
fn a_snapshot_that_cannot_be_loaded_never_costs_the_old_data() {
    let disk = MemoryDisk::default();
    let whole = transfer(&disk, Some(MARK));
    let (form, data) = framed(&whole);
    let mut damaged = data.to_vec();
    damaged[2000] ^= 4;
    let of_a_module = b"REDIS0010\xfe\x00\x07\x04mine\x05\x00\xff";
    let too_many = b"REDIS0003\xfe\x04\x00\x01k\x01v\xff";
    let marked = |bytes: &[u8]| [bytes, &MARK].concat();
    for (name, data) in [
        ("damaged", damaged),
        ("a module", marked(of_a_module)),
        ("more databases", marked(too_many)),
        ("no RDB", marked(b"-ERR no snapshot")),
        ("more behind", marked(b"REDIS0003\xff and on")),
    ] {
        for via in [LoadVia::Memory, LoadVia::File] {
            if (name, via) == ("more behind", LoadVia::File) {
                continue;
            }
            let outcome = run_load_letting_go(
                &disk,
                load_job(form, via),
                &mut Link(&data[..], 0),
                &mut |_| {},
                &mut || panic!("{name}: let go of the old data"),
            );
            assert!(matches!(outcome, Err(LoadFailure::Bad(_))), "{name} {via:?}");
            assert!(disk.names().is_empty());
        }
    }
    for end in (0..data.len()).step_by(data.len() / 20) {
        for via in [LoadVia::Memory, LoadVia::File] {
            let outcome = run_load_letting_go(
                &disk,
                load_job(form, via),
                &mut Link(&data[..end], 0),
                &mut |_| {},
                &mut || panic!("let go of the old data"),
            );
            assert!(matches!(outcome, Err(LoadFailure::Io(_))), "cut at {end} {via:?}");
            assert!(disk.names().is_empty());
        }
    }
}

#[test]
fn a_cancelled_or_late_load_says_so() {
    struct Failing(io::ErrorKind);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    let disk = MemoryDisk::default();
    for via in [LoadVia::Memory, LoadVia::File] {
        let job = load_job(PayloadForm::Marked(MARK), via);
        let outcome = run_load(&disk, job, &mut Link(Failing(io::ErrorKind::TimedOut), 0), &mut |_| {});
        assert_eq!(outcome.err(), Some(LoadFailure::Timeout));
        let job = load_job(PayloadForm::Sized(100), via);
        job.cancel.cancel();
        let outcome = run_load(&disk, job, &mut Link(Failing(io::ErrorKind::Other), 0), &mut |_| {});
        assert_eq!(outcome.err(), Some(LoadFailure::Cancelled));
        let disk = MemoryDisk {
            full_at: Some(10),
            ..MemoryDisk::default()
        };
        let job = load_job(PayloadForm::Sized(5000), LoadVia::File);
        let outcome = run_load(&disk, job, &mut Link(&[0; 5000][..], 0), &mut |_| {});
        assert!(matches!(outcome.err(), Some(LoadFailure::Io(_))));
        assert!(disk.names().is_empty());
    }
}

/// `rdb-key-save-delay` makes a save of few keys last for minutes: the replica must hear something meanwhile.
#[test]
fn a_delayed_sized_transfer_keeps_the_replica_waiting_with_empty_lines() {
    let mut options = write_options();
    options.key_delay_us = 10_000;
    let job = TransferJob {
        replica: SessionId { slot: 0, number: 9 },
        frozen: dataset().freeze(),
        mark: None,
        options,
        cancel: Cancel::default(),
        progress: Arc::default(),
        timeout_ms: 1000,
    };
    let (mut sent, mut slept) = (Vec::new(), 0);
    run_transfer(&MemoryDisk::default(), job, &mut sent, &mut |microseconds| {
        slept += microseconds
    })
    .unwrap();
    assert_eq!(slept, u64::from(KEYS) * 10_000);
    let lines = sent.iter().take_while(|byte| **byte == b'\n').count();
    assert_eq!(lines, 12);
    assert_eq!(sent[lines], b'$');
}
