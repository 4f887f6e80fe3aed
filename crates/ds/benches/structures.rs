//! The structures: a table of a million keys, entries overwritten, listpacks, and a sorted set of a million members.
//!
//! `cargo bench -p skein-ds`; a word after `--` picks those whose name has it.
#![allow(missing_docs)]

use std::sync::Arc;

use base::Rng;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ds::account::Account;
use ds::listpack::{self, Listpack};
use ds::{Hasher, NewValue, Table, Zset};

#[global_allocator]
static ALLOCATOR: ds::memory::Counting = ds::memory::Counting;

const KEYS: u64 = 1_000_000;
/// Operations of one call, on random keys.
const BATCH: usize = 1_000;

fn main() {
    divan::main();
}

fn empty_table() -> Table {
    Table::new(Arc::new(Hasher::new(1)), Arc::default())
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn set(table: &mut Table, key: &[u8], value: NewValue<'_>) {
    let hash = table.hash(key);
    table.set(key, hash, value, None);
}

fn random_keys(rng: &mut Rng, from: u64) -> Vec<[u8; 16]> {
    (0..BATCH).map(|_| key(from + rng.below(KEYS))).collect()
}

mod table {
    use super::*;

    fn filled() -> Table {
        let mut table = empty_table();
        (0..KEYS).for_each(|number| set(&mut table, &key(number), NewValue::Bytes(&[b'v'; 32])));
        table
    }

    #[divan::bench]
    fn get(bencher: Bencher) {
        let (table, mut rng) = (filled(), Rng::new(7));
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| random_keys(&mut rng, 0))
            .bench_local_refs(|keys| {
                for key in keys {
                    black_box(table.get(key.as_slice(), table.hash(key.as_slice())).is_some());
                }
            });
    }

    #[divan::bench]
    fn get_absent(bencher: Bencher) {
        let (table, mut rng) = (filled(), Rng::new(7));
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| random_keys(&mut rng, KEYS))
            .bench_local_refs(|keys| {
                for key in keys {
                    black_box(table.get(key.as_slice(), table.hash(key.as_slice())).is_none());
                }
            });
    }

    #[divan::bench(sample_size = 1)]
    fn set_new_and_remove(bencher: Bencher) {
        let (mut table, mut next) = (filled(), KEYS);
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            for number in next..next + BATCH as u64 {
                set(&mut table, &key(number), NewValue::Bytes(&[b'v'; 32]));
                let gone = key(number - KEYS);
                let hash = table.hash(&gone);
                black_box(table.delete(&gone, hash).is_some());
            }
            next += BATCH as u64;
        });
    }

    #[divan::bench]
    fn overwrite(bencher: Bencher) {
        let (mut table, mut rng) = (filled(), Rng::new(7));
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| random_keys(&mut rng, 0))
            .bench_local_refs(|keys| {
                for key in keys {
                    set(&mut table, key.as_slice(), NewValue::Bytes(&[b'w'; 32]));
                }
            });
    }
}

/// One entry, which is in the cache: what changing it takes by itself.
mod entry {
    use super::*;

    fn overwrite(bencher: Bencher, values: [NewValue<'static>; 2]) {
        let mut table = empty_table();
        let [first, second] = values;
        let (key, hash) = (key(1), table.hash(&key(1)));
        let copy = |value: &NewValue<'static>| match value {
            NewValue::Int(number) => NewValue::Int(*number),
            NewValue::Bytes(bytes) => NewValue::Bytes(bytes),
            _ => unreachable!("only these are handed in"),
        };
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            for at in 0..BATCH {
                let value = if at % 2 == 0 { &first } else { &second };
                table.set(&key, hash, copy(value), None);
            }
        });
    }

    #[divan::bench]
    fn same_length(bencher: Bencher) {
        overwrite(bencher, [NewValue::Bytes(&[b'v'; 64]), NewValue::Bytes(&[b'w'; 64])]);
    }

    #[divan::bench]
    fn other_length(bencher: Bencher) {
        overwrite(bencher, [NewValue::Bytes(&[b'v'; 30]), NewValue::Bytes(&[b'w'; 200])]);
    }

    #[divan::bench]
    fn integer(bencher: Bencher) {
        overwrite(bencher, [NewValue::Int(1), NewValue::Int(1_000_000)]);
    }
}

mod pack {
    use super::*;

    const ELEMENTS: usize = 128;

    fn filled() -> Vec<u8> {
        let mut bytes = listpack::init().to_vec();
        for number in 0..ELEMENTS {
            listpack::append(&mut bytes, format!("element:{number:04}").as_bytes());
        }
        bytes
    }

    #[divan::bench]
    fn insert_in_the_middle(bencher: Bencher) {
        let full = filled();
        let middle = Listpack::new(&full)
            .seek(ELEMENTS as i64 / 2)
            .expect("an element of it");
        bencher.with_inputs(|| full.clone()).bench_local_refs(|bytes| {
            listpack::insert_before(bytes, middle, b"another");
        });
    }

    #[divan::bench]
    fn find_the_last(bencher: Bencher) {
        let bytes = filled();
        let last = format!("element:{:04}", ELEMENTS - 1);
        bencher
            .counter(ItemsCount::new(ELEMENTS))
            .bench_local(|| Listpack::new(black_box(&bytes)).find(last.as_bytes(), 0).is_some());
    }

    #[divan::bench]
    fn iterate(bencher: Bencher) {
        let bytes = filled();
        bencher.counter(ItemsCount::new(ELEMENTS)).bench_local(|| {
            let pack = Listpack::new(black_box(&bytes));
            pack.iter().map(|(_, value)| value.len()).sum::<usize>()
        });
    }
}

mod zset {
    use super::*;

    fn filled() -> Zset {
        let account: Arc<Account> = Arc::default();
        let mut zset = Zset::new(Table::new(Arc::new(Hasher::new(1)), account));
        let mut rng = Rng::new(3);
        (0..KEYS).for_each(|number| {
            zset.insert(&key(number), rng.below(1 << 40) as f64);
        });
        zset
    }

    #[divan::bench(sample_size = 1)]
    fn insert_and_remove(bencher: Bencher) {
        let (mut zset, mut rng, mut next) = (filled(), Rng::new(7), KEYS);
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            for number in next..next + BATCH as u64 {
                zset.insert(&key(number), rng.below(1 << 40) as f64);
                black_box(zset.remove(&key(number - KEYS)));
            }
            next += BATCH as u64;
        });
    }

    #[divan::bench]
    fn change_score(bencher: Bencher) {
        let (mut zset, mut rng) = (filled(), Rng::new(7));
        let mut scores = Rng::new(11);
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| random_keys(&mut rng, 0))
            .bench_local_refs(|keys| {
                for key in keys {
                    zset.insert(key.as_slice(), scores.below(1 << 40) as f64);
                }
            });
    }

    #[divan::bench]
    fn rank(bencher: Bencher) {
        let (zset, mut rng) = (filled(), Rng::new(7));
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| random_keys(&mut rng, 0))
            .bench_local_refs(|keys| {
                for key in keys {
                    black_box(zset.rank(key.as_slice()));
                }
            });
    }

    #[divan::bench]
    fn range_of_100(bencher: Bencher) {
        let (zset, mut rng) = (filled(), Rng::new(7));
        bencher
            .counter(ItemsCount::new(100_usize))
            .with_inputs(|| rng.below(KEYS - 100))
            .bench_local_values(|from| {
                for (member, score) in zset.iter_from(from).take(100) {
                    black_box((member.len(), score));
                }
            });
    }
}
