//! A handful of seeds; CI plays a thousand with the binary.
#![allow(missing_docs)]

#[test]
fn a_few_seeds_hold() {
    for seed in 0..20 {
        let report = sim::run(seed);
        assert_eq!(report.failure, None, "seed {seed}: cargo run -p skein-sim -- --seed {seed}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 225] {
        let (once, again) = (sim::run(seed), sim::run(seed));
        assert_eq!(once.digest, again.digest);
        assert_eq!(once.trace, again.trace);
    }
}
