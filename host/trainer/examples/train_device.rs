//! What a GPU does for training, measured on the machine that has one: the same models as on the processor, byte for byte, and how
//! long they take. Prints a table; without a GPU it says so and ends well. Refuses nothing: data is made from a seed.
//!
//! `train_device [--rows N] [--small-rows N] [--runs N] [--threads N] [--fewer N]`: rows of the large matrix (11,000,000, HIGGS-shaped)
//! and of the small one (200,000, a churn model's), measured runs of each line (5), threads of the processor (all), and by how much
//! to divide the numbers of trees (1).

use airlock_trainer::device::{self, Card};
use airlock_trainer::{
    Algorithm, Config, Device, Forest, Gbdt, GpuWish, Matrix, MatrixInput, Run, start, start_search,
};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

const LARGE_FEATURES: usize = 28;
const SMALL_FEATURES: usize = 30;

struct Sizes {
    large_rows: usize,
    small_rows: usize,
    runs: usize,
    threads: usize,
    fewer: u32,
}

fn main() -> Outcome<()> {
    let sizes = sizes()?;
    let cards = device::list()?;
    let Some(card) = cards.first() else {
        println!("no GPU here: {}", device::probe().describe());
        return Ok(());
    };
    let (major, minor) = card.compute;
    println!(
        "{}: {} bytes free, compute capability {major}.{minor}",
        card.name, card.memory_free
    );
    atomics(card)?;
    let small = Arc::new(matrix(sizes.small_rows, SMALL_FEATURES, 1)?);
    let trees = |count: u32| (count / sizes.fewer).max(1);
    same_bytes(&small, trees(50), sizes.threads)?;
    println!(
        "{:<44} {:>10} {:>10} {:>10}",
        "", "median s", "least s", "ms/tree"
    );
    let shape = format!("{} x {SMALL_FEATURES}", sizes.small_rows);
    for count in [1, 4, 12] {
        let variants: Vec<Gbdt> = (0..count).map(|n| variant(n, trees(300))).collect();
        let name = format!("{shape}, {count} variants of {} trees", trees(300));
        measure(&name, &small, &variants, sizes.runs)?;
    }
    forest(
        &format!("{shape}, a random forest"),
        &small,
        trees(100),
        sizes.runs,
    )?;
    drop(small);
    let large = Arc::new(matrix(sizes.large_rows, LARGE_FEATURES, 2)?);
    for rounds in [100, 500] {
        let name = format!(
            "{} x {LARGE_FEATURES}, {} trees",
            sizes.large_rows,
            trees(rounds)
        );
        measure(&name, &large, &[gbdt(trees(rounds))], sizes.runs)?;
    }
    Ok(())
}

fn atomics(card: &Card) -> Outcome<()> {
    let clocks = device::atomic_clocks(card)?;
    println!(
        "clocks of a warp's shared atomic: {:.2} own banks, {:.2} random words, {:.2} one word",
        clocks.own_banks, clocks.random_words, clocks.one_word
    );
    Ok(())
}

/// A model of the card and one of the processor, compared.
fn same_bytes(data: &Arc<Matrix>, trees: u32, threads: usize) -> Outcome<()> {
    let digest = |device, threads| -> Outcome<[u8; 32]> {
        let config = Config {
            device,
            ..Config::gbdt(gbdt(trees))
        };
        let run = start(Arc::clone(data), None, config, threads)?;
        run.wait()?;
        Ok(run.model().ok_or("no model")?.digest())
    };
    let begun = Instant::now();
    let processor = digest(Device::Cpu, threads)?;
    let processor_time = begun.elapsed();
    let card = digest(any_card(), 1)?;
    if processor != card {
        return Err("the card's model is not the processor's: please report this".into());
    }
    println!(
        "{trees} trees: the same bytes as on the processor ({threads} threads, {:.2} s)",
        processor_time.as_secs_f64()
    );
    Ok(())
}

/// One line of the table: runs one after another, each with everything that a run does, the upload of the matrix among it.
fn measure(name: &str, data: &Arc<Matrix>, variants: &[Gbdt], runs: usize) -> Outcome<()> {
    let trees: u32 = variants.iter().map(|gbdt| gbdt.rounds).sum();
    line(name, trees, runs, || {
        let configs = variants.iter().map(|gbdt| Config {
            device: any_card(),
            ..Config::gbdt(gbdt.clone())
        });
        let started = start_search(data, None, configs.collect(), 1, 1)?;
        let started: Vec<Run> = started.into_iter().collect::<Result<_, _>>()?;
        for run in &started {
            run.wait()?;
        }
        Ok(())
    })
}

fn line(name: &str, trees: u32, runs: usize, run: impl Fn() -> Outcome<()>) -> Outcome<()> {
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let begun = Instant::now();
        run()?;
        seconds.push(begun.elapsed());
    }
    seconds.sort_unstable();
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    let least = seconds.first().copied().unwrap_or_default();
    let per_tree = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(trees);
    println!(
        "{name:<44} {:>10.3} {:>10.3} {:>10.4}",
        median.as_secs_f64(),
        least.as_secs_f64(),
        per_tree(median)
    );
    Ok(())
}

/// A forest as scikit-learn grows it by default: until the leaves are pure.
fn forest(name: &str, data: &Arc<Matrix>, trees: u32, runs: usize) -> Outcome<()> {
    let forest = Forest {
        trees,
        max_depth: 0,
        max_features: 0.0,
        min_leaf: 1,
        bootstrap: true,
        classes: 2,
        class_weights: Vec::new(),
    };
    let config = Config {
        algorithm: Algorithm::RandomForest(forest),
        device: any_card(),
        ..Config::gbdt(gbdt(1))
    };
    line(name, trees, runs, || {
        let run = start(Arc::clone(data), None, config.clone(), 1)?;
        run.wait()?;
        Ok(())
    })
}

fn any_card() -> Device {
    Device::Gpu(GpuWish {
        name: None,
        min_memory: None,
        min_compute: None,
        count: 1,
        share: 1.0,
    })
}

fn gbdt(rounds: u32) -> Gbdt {
    Gbdt {
        rounds,
        learning_rate: 0.05,
        ..Gbdt::default()
    }
}

fn variant(number: u32, rounds: u32) -> Gbdt {
    Gbdt {
        learning_rate: 0.02 + 0.01 * f64::from(number),
        l2: f64::from(1 + number % 3),
        subsample: if number.is_multiple_of(2) { 1.0 } else { 0.8 },
        ..gbdt(rounds)
    }
}

/// Uniform features, a label that depends on some of them and on chance.
#[expect(clippy::cast_possible_truncation, reason = "values are f32")]
fn matrix(rows: usize, features: usize, seed: u64) -> Outcome<Matrix> {
    let mut state = seed;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let mut columns: Vec<(String, Vec<f32>)> = (0..features)
        .map(|number| (format!("f{number}"), Vec::with_capacity(rows)))
        .collect();
    let mut label = Vec::with_capacity(rows);
    for _ in 0..rows {
        let mut score = -0.6;
        for (number, (_, values)) in columns.iter_mut().enumerate() {
            let x = next();
            let weight = if number % 4 == 0 { 1.0 } else { 0.1 };
            score += weight * (x - 0.4) * if number % 8 == 0 { 2.0 } else { -1.0 };
            values.push(x as f32);
        }
        label.push(f32::from(u8::from(score + next() > 0.5)));
    }
    Ok(Matrix::build(MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 255,
    })?)
}

fn sizes() -> Outcome<Sizes> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sizes = Sizes {
        large_rows: 11_000_000,
        small_rows: 200_000,
        runs: 5,
        threads: processors,
        fewer: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a number"))?;
        let value: usize = value
            .parse()
            .map_err(|_| format!("{name}: {value} is no number"))?;
        match name.as_str() {
            "--rows" => sizes.large_rows = value,
            "--small-rows" => sizes.small_rows = value,
            "--runs" => sizes.runs = value,
            "--threads" => sizes.threads = value,
            "--fewer" => sizes.fewer = u32::try_from(value)?.max(1),
            _ => return Err(format!("there is no flag {name}").into()),
        }
    }
    Ok(sizes)
}
