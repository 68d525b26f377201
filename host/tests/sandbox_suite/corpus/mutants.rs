//! Broken binaries: a valid component with bytes changed, cut off, doubled or swapped. Each is refused with a sentence or runs
//! within its limits; the host is the same afterwards.

use super::{check_whole, impatient_sandbox, limits, small_sandbox};
use crate::support::*;
use airlock::sandbox::Sandbox;

/// A generator without state outside of it: the same mutants on every machine.
struct Seed(u64);

impl Seed {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// Bytes that mean much in a binary: lengths, counts, types.
const TELLING: [u8; 10] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x40, 0x60, 0x70, 0x0b, 0x41];

fn mutant(good: &[u8], seed: u64) -> Vec<u8> {
    let mut seed = Seed(seed);
    let mut bytes = good.to_vec();
    for _ in 0..=seed.next(6) {
        let at = seed.next(bytes.len());
        match seed.next(6) {
            0 => bytes[at] ^= 1 << seed.next(8),
            1 => bytes[at] = TELLING[seed.next(TELLING.len())],
            2 => bytes.truncate(at.max(8)),
            3 => bytes.insert(at, TELLING[seed.next(TELLING.len())]),
            4 => {
                let end = (at + seed.next(64)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = seed.next(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                let other = seed.next(bytes.len());
                bytes.swap(at, other);
            }
        }
    }
    bytes
}

/// What it becomes does not matter; that it ends does.
fn play(sandbox: &Sandbox, bytes: &[u8]) -> bool {
    let plugin = match sandbox.load(bytes) {
        Ok(plugin) => plugin,
        Err(error) => {
            let words = error.to_string();
            assert!(!words.is_empty() && words.len() < 8 << 10, "{words}");
            return false;
        }
    };
    let operator = plugin
        .operators()
        .first()
        .map_or("wat", |operator| operator.name.as_str());
    let mut hostile = attempt(&plugin, operator, "{}");
    hostile.request.limits = limits();
    block_on(sandbox.run(hostile.request));
    true
}

#[test]
fn three_hundred_mutants_are_refused_or_end() {
    let good = wat_guest(
        r#"(import "airlock:operator/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        r#"(func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32)
             (call $log (i32.const 1) (i32.const 512) (i32.const 3)) (i32.const 2048))"#,
    );
    assert!(
        play(&small_sandbox(), &good),
        "the one without a change runs"
    );
    // One that never describes itself is waited for no longer than it takes to see that.
    let sandbox = impatient_sandbox();
    let ran = (0..300)
        .filter(|seed| play(&sandbox, &mutant(&good, *seed)))
        .count();
    assert!(ran < 300, "no change did anything");
    check_whole(&small_sandbox(), "the mutants");
}

#[test]
fn every_beginning_of_a_component_is_refused() {
    let good = wat_guest(
        "",
        r#"(func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32) (i32.const 2048))"#,
    );
    let sandbox = small_sandbox();
    let step = (good.len() / 150).max(1);
    for length in (0..good.len()).step_by(step) {
        assert!(
            !play(&sandbox, &good[..length]),
            "{length} of {} bytes",
            good.len()
        );
    }
    check_whole(&sandbox, "the beginnings");
}
