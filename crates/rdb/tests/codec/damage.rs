//! What is wrong with data is said, wherever it is, and nothing of it panics.

use super::*;

/// What a deep look finds in blocks whose structure is whole.
#[test]
fn blocks_that_make_no_sense_are_refused() {
    for (body, expected) in [
        (
            &b"\x10\x01h\x0f\x0f\0\0\0\x04\0\x01\x01\x02\x01\x01\x01\x03\x01\xff"[..],
            "Hash listpack",
        ),
        (b"\x10\x01h\x09\x09\0\0\0\x01\0\x01\x01\xff", "Hash listpack"),
        (b"\x11\x01z\x0c\x0c\0\0\0\x02\0\x01\x01\x81x\x02\xff", "Zset listpack"),
        (
            b"\x11\x01z\x0f\x0f\0\0\0\x04\0\x01\x01\x05\x01\x02\x01\x04\x01\xff",
            "Zset listpack",
        ),
        (b"\x12\x01l\x01\x02\x08\x09\0\0\0\x01\0\x01\xff", "List listpack"),
    ] {
        let bytes = [&b"REDIS0010"[..], body, b"\xff\0\0\0\0\0\0\0\0"].concat();
        let error = load(&bytes).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{expected} integrity check failed")),
            "{error}"
        );
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let failing = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
    assert_eq!(
        failing(b"REDIS0013"),
        "RDB version 13 (magic REDIS) is not supported; readable are 1 to 12 of Redis and 80 of Valkey"
    );
    assert_eq!(failing(b"-LOADING x"), "no RDB data: it begins with '-LOADING '");
    assert_eq!(
        failing(b"REDIS0003\xfe\x10\xff"),
        "the data has a database 16, but only 16 are configured; raise 'databases'"
    );
    assert_eq!(
        failing(b"REDIS0003\x00\x01k\x01v\x00\x01k\x01w\xff"),
        "key 'k' is there twice in db 0"
    );
    assert_eq!(failing(b"REDIS0003\xfe"), "the data ends too early, after 10 bytes");
    assert_eq!(
        failing(b"REDIS0003\x08"),
        "corrupt at byte 10: an unknown type, perhaps of a newer version"
    );
    assert_eq!(
        failing(b"REDIS0003\xf3"),
        "corrupt at byte 10: an unknown record, perhaps of a newer version"
    );
    let module = b"REDIS0010\x07\x02\xffk\x81\0\0\0\0\0\0\x04\0\x00";
    assert_eq!(
        failing(module),
        "key '\\xffk' in db 0 holds a value of the module type 'AAAAAAAAB' (RDB type 7), which only that module can load"
    );
    let aux = b"REDIS0010\xf7\x81\0\0\0\0\0\0\x04\0\x02\x01\x00";
    assert_eq!(
        failing(aux),
        "data of the module type 'AAAAAAAAB', at byte 9, cannot be loaded"
    );
    let long = [b"REDIS0010\x07\x40\x64", &[b'k'; 100][..], b"\x05\x00"].concat();
    assert!(failing(&long).starts_with(&format!("key '{}...' in db 0", "k".repeat(64))));
    let mut bytes = unhex(STOCK_STRINGS);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        failing(&bytes),
        "CRC error: the data says beeb2c280108f0c8, its bytes give bfeb2c280108f0c8"
    );
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let mut rng = Rng::new(8);
    let ours = save(&mut build(&random_model(&mut rng, 60, false)), &SaveOptions::default());
    for bytes in [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)] {
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            let error = rdb::check(cut, Millis(0), &mut |_, _| {}).unwrap_err();
            assert!(
                matches!(error, LoadError::Truncated { at } if at == end as u64),
                "cut at {end}: {error}"
            );
            assert!(load(cut).is_err());
        }
    }
}

#[test]
fn no_flipped_bit_passes_the_checksum_and_none_panics_without_it() {
    let mut rng = Rng::new(9);
    let ours = save(&mut build(&random_model(&mut rng, 30, false)), &SaveOptions::default());
    for bytes in [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)] {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let checked = rdb::check(&damaged[..], Millis(0), &mut |_, _| {});
            // The one thing that a flip can do unseen: an older version number, whose data the rest is as well.
            let version = (5..9).contains(&(bit / 8));
            assert!(checked.is_err() || version, "bit {bit}");
            let options = LoadOptions {
                verify: Verify::Nothing,
                ..LoadOptions::default()
            };
            let _ = load_with(&damaged, &options);
        }
    }
}

/// Mutations of whole files, seeded: a smoke of what a fuzzer does at length.
#[test]
fn seeded_mutations_never_panic() {
    let mut rng = Rng::new(10);
    let ours = save(&mut build(&random_model(&mut rng, 40, false)), &SaveOptions::default());
    let sources = [ours, unhex(STOCK_STRINGS), unhex(STOCK_TYPES)];
    let telling = [
        0x00, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc1, 0xc2, 0xc3, 0xf3, 0xf5, 0xf7, 0xfb, 0xfc, 0xff,
    ];
    for _ in 0..6000 {
        let mut bytes = rng.pick(&sources).clone();
        for _ in 0..1 + rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(5) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes[at] = *rng.pick(&telling),
                2 => drop(bytes.drain(at..(at + 1 + rng.below(20) as usize).min(bytes.len()))),
                3 => {
                    let from = rng.below(bytes.len() as u64) as usize;
                    let piece = bytes[from..(from + rng.below(40) as usize).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                _ => bytes.truncate(at.max(9)),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        rdb::fuzz::file(&bytes);
    }
}

#[test]
fn failing_ends_are_told_apart_from_bad_data() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    impl io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = unhex(STOCK_STRINGS);
    let mut keyspace = Keyspace::new(16, 1);
    let error = rdb::load(
        bytes[..50].chain(Broken),
        &mut keyspace,
        &LoadOptions::default(),
        &mut Unwatched,
    )
    .unwrap_err();
    assert!(matches!(&error, LoadError::Io { at: 50, error } if error.kind() == io::ErrorKind::ConnectionReset));
    assert!(error.is_interruption());
    let saved = rdb::save(&mut Broken, keyspace.freeze(), &SaveOptions::default(), &mut Unwatched);
    assert!(matches!(saved, Err(SaveError::Io(_))));
}
