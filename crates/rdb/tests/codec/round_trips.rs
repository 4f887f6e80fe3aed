//! There and back: of chance, of great length, watched, stopped, and with more behind.

use super::*;

/// Hands out what it has in pieces, as a network does.
struct Pieces<'a>(&'a [u8], Rng);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = *self.1.pick(&[1, 7, 4096, 1 << 20]);
        let count = most.min(out.len()).min(self.0.len());
        let (front, back) = self.0.split_at(count);
        out[..count].copy_from_slice(front);
        self.0 = back;
        Ok(count)
    }
}

#[test]
fn random_keyspaces_come_back() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let model = random_model(&mut rng, 200, seed % 20 == 0);
        let options = SaveOptions {
            compression: *rng.pick(&[Compression::Off, Compression::Lzf]),
            checksum: rng.chance(1, 2),
            chunk_bytes: *rng.pick(&[1, 1000, 1 << 20]),
            ..SaveOptions::default()
        };
        let bytes = save(&mut build(&model), &options);
        let mut keyspace = Keyspace::new(16, seed);
        let pieces = Pieces(&bytes, Rng::new(seed));
        let summary = rdb::load(pieces, &mut keyspace, &LoadOptions::default(), &mut Unwatched).unwrap();
        assert_eq!(contents(&keyspace), model, "seed {seed}");
        assert_eq!(summary.keys_loaded, model.len() as u64);
        let expected = if options.checksum {
            Checksum::Verified
        } else {
            Checksum::Disabled
        };
        assert_eq!(summary.checksum, expected);
        let checked = rdb::check(&bytes[..], Millis(0), &mut |_, _| {}).unwrap();
        assert_eq!(checked.keys, model.len() as u64);
    }
}

/// A string too long to be handed over whole, or to be brought together for compression.
#[test]
fn very_long_strings_come_back() {
    let mut rng = Rng::new(4);
    let mut model = Model::new();
    let noise: Vec<u8> = (0..17 << 17).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    model.insert((1, b"noise".to_vec()), (noise, Some(5)));
    model.insert((1, b"plain".to_vec()), (vec![b'p'; 3 << 20], None));
    let bytes = save(&mut build(&model), &SaveOptions::default());
    assert!(
        bytes.len() < (17 << 20) + (1 << 20),
        "the compressible one is compressed"
    );
    let (_, keyspace) = load(&bytes).unwrap();
    assert!(contents(&keyspace) == model);
}

struct Script {
    told: Vec<(u64, u64)>,
    pauses: Vec<u64>,
    cancel_after: u64,
}

impl Watch for Script {
    fn progress(&mut self, keys: u64, bytes: u64) {
        self.told.push((keys, bytes));
    }

    fn cancelled(&self) -> bool {
        self.told.last().is_some_and(|(keys, _)| *keys >= self.cancel_after)
    }

    fn pause(&mut self, microseconds: u64) {
        self.pauses.push(microseconds);
    }
}

#[test]
fn whoever_watches_hears_stops_and_delays() {
    let model: Model = (0..1000)
        .map(|n| ((0, n.to_string().into_bytes()), (b"v".to_vec(), None)))
        .collect();
    let bytes = save(&mut build(&model), &SaveOptions::default());
    let script = |cancel_after| Script {
        told: Vec::new(),
        pauses: Vec::new(),
        cancel_after,
    };

    let mut watch = script(u64::MAX);
    let options = SaveOptions {
        key_delay_microseconds: 50,
        ..SaveOptions::default()
    };
    rdb::save(&mut io::sink(), build(&model).freeze(), &options, &mut watch).unwrap();
    assert_eq!(watch.pauses, [50; 1000]);
    assert_eq!(watch.told.last().unwrap().0, 1000);
    assert!(watch.told.is_sorted());

    let mut watch = script(u64::MAX);
    let options = LoadOptions {
        key_delay_microseconds: -100,
        ..LoadOptions::default()
    };
    rdb::load(&bytes[..], &mut Keyspace::new(16, 1), &options, &mut watch).unwrap();
    assert_eq!(watch.pauses, [1; 10]);
    assert_eq!(watch.told.last(), Some(&(1000, bytes.len() as u64)));

    let mut watch = script(300);
    let saved = rdb::save(
        &mut io::sink(),
        build(&model).freeze(),
        &SaveOptions::default(),
        &mut watch,
    );
    assert!(matches!(saved, Err(SaveError::Cancelled)));
    let mut watch = script(300);
    let loaded = rdb::load(
        &bytes[..],
        &mut Keyspace::new(16, 1),
        &LoadOptions::default(),
        &mut watch,
    );
    assert!(matches!(loaded, Err(LoadError::Cancelled)));
    assert!(watch.told.last().unwrap().0 < 600);
}

/// The bytes behind RDB data that begins something longer (an append-only file) are not lost.
#[test]
fn what_follows_can_be_had_back() {
    let bytes = [&unhex(STOCK_STRINGS)[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    let mut reader = rdb::Reader::open(&bytes[..], Verify::Checksum).unwrap();
    let mut keyspace = Keyspace::new(16, 1);
    rdb::load_from(&mut reader, &mut keyspace, &LoadOptions::default(), &mut Unwatched).unwrap();
    assert!(reader.next_record().is_err(), "nothing comes after the end");
    let (rest, ahead) = reader.into_parts();
    assert_eq!([&ahead[..], rest].concat(), b"*1\r\n$4\r\nPING\r\n");
}
