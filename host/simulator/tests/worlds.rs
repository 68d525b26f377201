//! A few hundred worlds with every `cargo test`; `cargo xtask test` plays ten thousand.

use airlock_simulator::{Detail, simulate};

#[test]
fn every_invariant_holds_in_the_first_worlds() {
    for seed in 1..=300 {
        let report = simulate(seed, Detail::Off);
        assert_eq!(
            report.violation, None,
            "seed {seed}; see it with: cargo xtask simulate --seeds 1 --first {seed} --trace"
        );
    }
}

#[test]
fn the_same_seed_plays_the_same_history() {
    for seed in [1, 2, 77] {
        let (one, other) = (simulate(seed, Detail::All), simulate(seed, Detail::All));
        assert_eq!(one.stats, other.stats);
        assert_eq!(one.lines, other.lines);
        assert!(!one.lines.is_empty());
    }
}
