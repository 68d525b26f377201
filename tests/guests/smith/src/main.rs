//! Writes random modules and components, the same for the same seeds on every machine. It refuses to judge them: the corpus does.
//!
//! `guest-smith module|component FIRST COUNT`: each as four bytes of length, little-endian, and its bytes. Standard input is a
//! module whose function imports the made modules may import.

use arbitrary::Unstructured;
use std::io::{Read, Write};
use wasm_smith::{Component, Config, Module};

/// Of chance that one module is made from, bytes.
const CHANCE_BYTES: usize = 8 << 10;
/// Tries for one seed.
const ROUNDS_MAX: u64 = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, first, count] = &arguments[..] else {
        panic!("guest-smith module|component FIRST COUNT");
    };
    let (first, count): (u64, u64) = (first.parse().unwrap(), count.parse().unwrap());
    let mut imports = Vec::new();
    std::io::stdin().read_to_end(&mut imports).unwrap();
    let mut out = std::io::stdout().lock();
    for seed in first..first + count {
        let bytes = match kind.as_str() {
            "module" => module(seed, &imports),
            "component" => component(seed),
            other => panic!("{other} is neither module nor component"),
        };
        let length = u32::try_from(bytes.len()).unwrap();
        out.write_all(&length.to_le_bytes()).unwrap();
        out.write_all(&bytes).unwrap();
    }
}

/// SplitMix64: every seed is far from its neighbours.
fn chance(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let word = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    };
    std::iter::repeat_with(word)
        .take(CHANCE_BYTES / 8)
        .flatten()
        .collect()
}

/// Code that the sandbox's engine takes; of four modules one asks for more memory and tables than it can get.
fn config(seed: u64, imports: &[u8]) -> Config {
    let greedy = seed % 4 == 3;
    Config {
        available_imports: (!imports.is_empty()).then(|| imports.to_vec()),
        disallow_traps: seed % 2 == 0,
        allow_start_export: seed % 8 == 1,
        max_imports: 4,
        min_types: 3,
        max_exports: 0,
        min_funcs: 3,
        max_funcs: 8,
        max_memories: 3,
        min_memories: u32::from(seed % 3 == 0),
        max_memory32_bytes: if greedy { 1 << 32 } else { 4 << 20 },
        max_tables: 3,
        max_table_elements: if greedy { 1_000_000 } else { 1_000 },
        memory64_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        // The engine has no `externref` without a garbage collector; some ask for it all the same.
        reference_types_enabled: seed % 16 == 5,
        ..Config::default()
    }
}

fn module(seed: u64, imports: &[u8]) -> Vec<u8> {
    until_made(seed, |chance| Module::new(config(seed, imports), chance)).to_bytes()
}

fn component(seed: u64) -> Vec<u8> {
    until_made(seed, |chance| Component::new(Config::default(), chance)).to_bytes()
}

/// Some chance leads nowhere; then the next is tried, the same on every machine.
fn until_made<T>(seed: u64, make: impl Fn(&mut Unstructured<'_>) -> arbitrary::Result<T>) -> T {
    let mut made = (0..ROUNDS_MAX).filter_map(|round| {
        let chance = chance(seed ^ (round << 32));
        make(&mut Unstructured::new(&chance)).ok()
    });
    made.next().expect("one of many rounds makes something")
}
