//! A handful of seeds, and proof that the world notices what is wrong; CI plays a thousand with the binary.
#![allow(missing_docs)]

use sim::Sabotage;

#[test]
fn a_few_seeds_hold() {
    for seed in 0..20 {
        let report = sim::run(seed);
        assert_eq!(
            report.failure, None,
            "seed {seed}: cargo run -p skein-sim -- --seed {seed}"
        );
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 225] {
        let (once, again) = (sim::run(seed), sim::run(seed));
        assert_eq!(once.digest, again.digest);
        assert_eq!(once.trace, again.trace);
    }
    assert_ne!(sim::run(3).digest, sim::run(4).digest);
}

/// Whatever is done wrong to a replica, in whatever run, is found.
#[test]
fn sabotage_never_passes() {
    for sabotage in Sabotage::ALL {
        let mut committed = 0;
        for seed in 100..110 {
            let report = sim::run_sabotaged(seed, sabotage);
            if report.sabotaged {
                committed += 1;
                assert!(report.failure.is_some(), "{sabotage:?} in seed {seed} was not noticed");
            } else {
                assert_eq!(report.failure, None, "seed {seed}");
            }
        }
        assert!(committed >= 5, "{sabotage:?} was committed only {committed} times");
    }
}
