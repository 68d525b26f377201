//! Measures boosting against itself on made-up data: CPU seconds of one thread, two threads against one, and four variants at once
//! against one after the other. Runs of a comparison take turns, so that other work on the machine falls on both. Prints one JSON
//! object a line; refuses to say anything about other packages (`train_f32` reads what `--write` writes).
//!
//! `train_ratios [--data churn|churn-small|higgs] [--rounds N] [--threads N] [--repeats N] [--part one|threads|variants|forest|all]
//! [--write FILE]`

use airlock_trainer::{
    Algorithm, Config, Forest, Gbdt, Matrix, MatrixInput, Run, start, start_search,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Linux counts process time in hundredths of a second for every user program (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Variants that are trained at once.
const VARIANTS: usize = 4;

fn main() -> Outcome<()> {
    let mut flags = flags()?;
    let name = flags.remove("data").unwrap_or_else(|| "churn".to_owned());
    let rounds: u32 = number(&mut flags, "rounds", 300)?;
    let threads: usize = number(&mut flags, "threads", 2)?;
    let repeats: usize = number(&mut flags, "repeats", 2)?;
    let part = flags.remove("part").unwrap_or_else(|| "all".to_owned());
    let write = flags.remove("write");
    if let Some(name) = flags.keys().next() {
        return Err(format!("there is no flag --{name}").into());
    }
    let input = made_up(&name)?;
    if let Some(path) = write {
        return write_f32(&input, &path);
    }
    let cpu = cpu_seconds()?;
    let data = Arc::new(Matrix::build(input)?);
    let bin_cpu = cpu_seconds()? - cpu;
    let gbdt = Gbdt {
        rounds,
        learning_rate: 0.05,
        ..Gbdt::default()
    };
    let bench = Bench {
        name,
        data,
        gbdt,
        bin_cpu,
    };
    if ["one", "all"].contains(&part.as_str()) {
        bench.one()?;
    }
    if ["threads", "all"].contains(&part.as_str()) {
        bench.threads(threads, repeats)?;
    }
    if ["variants", "all"].contains(&part.as_str()) {
        bench.variants(threads, repeats)?;
    }
    if part == "forest" {
        bench.forest(threads)?;
    }
    Ok(())
}

struct Bench {
    name: String,
    data: Arc<Matrix>,
    gbdt: Gbdt,
    bin_cpu: f64,
}

/// Seconds.
#[derive(Default, Clone, Copy)]
struct Spent {
    wall: f64,
    cpu: f64,
}

impl Bench {
    fn one(&self) -> Outcome<()> {
        let (spent, digest) = measured(|| self.train(1))?;
        println!(
            "{}",
            json!({"data": self.name, "rounds": self.gbdt.rounds, "threads": 1, "bin_cpu_s": self.bin_cpu, "cpu_s": self.bin_cpu + spent.cpu,
                "wall_s": spent.wall, "digest": digest, "load": load()})
        );
        Ok(())
    }

    /// A hundred full trees on one thread, then on several.
    fn forest(&self, threads: usize) -> Outcome<()> {
        for threads in [1, threads] {
            let forest = Forest {
                classes: 2,
                ..Forest::default()
            };
            let config = Config::of(Algorithm::RandomForest(forest));
            let (spent, digest) =
                measured(|| digest(&start(Arc::clone(&self.data), None, config, threads)?))?;
            println!(
                "{}",
                json!({"data": self.name, "forest_trees": 100, "threads": threads, "cpu_s": spent.cpu, "wall_s": spent.wall,
                    "digest": digest, "load": load()})
            );
        }
        Ok(())
    }

    /// One and several threads in turns: 1, n, n, 1, ...
    fn threads(&self, threads: usize, repeats: usize) -> Outcome<()> {
        let (mut one, mut many) = (Spent::default(), Spent::default());
        for repeat in 0..2 * repeats {
            let is_one = repeat % 4 == 0 || repeat % 4 == 3;
            let count = if is_one { 1 } else { threads };
            let (spent, _) = measured(|| self.train(count))?;
            let total = if is_one { &mut one } else { &mut many };
            total.wall += spent.wall;
            total.cpu += spent.cpu;
        }
        println!(
            "{}",
            json!({"data": self.name, "rounds": self.gbdt.rounds, "threads": threads, "repeats": repeats, "speed_up": one.wall / many.wall,
                "cpu_ratio": many.cpu / one.cpu, "cpu_use_of_one": one.cpu / one.wall, "cpu_use": many.cpu / many.wall, "load": load()})
        );
        Ok(())
    }

    /// Four variants at once, and one after the other with all threads each.
    fn variants(&self, threads: usize, repeats: usize) -> Outcome<()> {
        let (mut at_once, mut in_turn) = (Spent::default(), Spent::default());
        for repeat in 0..2 * repeats {
            let together = repeat % 4 == 0 || repeat % 4 == 3;
            let parallel = if together { VARIANTS } else { 1 };
            let (spent, _) = measured(|| self.search(threads, parallel))?;
            let total = if together { &mut at_once } else { &mut in_turn };
            total.wall += spent.wall;
            total.cpu += spent.cpu;
        }
        println!(
            "{}",
            json!({"data": self.name, "rounds": self.gbdt.rounds, "variants": VARIANTS, "threads": threads, "repeats": repeats,
                "wall_at_once_to_in_turn": at_once.wall / in_turn.wall, "cpu_at_once_to_in_turn": at_once.cpu / in_turn.cpu, "load": load()})
        );
        Ok(())
    }

    fn train(&self, threads: usize) -> Outcome<String> {
        let config = Config::gbdt(self.gbdt.clone());
        digest(&start(Arc::clone(&self.data), None, config, threads)?)
    }

    fn search(&self, threads: usize, parallel: usize) -> Outcome<String> {
        let variant = |n: usize| {
            Config::gbdt(Gbdt {
                l2: 1.0 + n as f64,
                ..self.gbdt.clone()
            })
        };
        let configs = (0..VARIANTS).map(variant).collect();
        let mut digests = String::new();
        for run in start_search(&self.data, None, configs, threads, parallel)? {
            digests += &digest(&run?)?;
        }
        Ok(digests)
    }
}

fn digest(run: &Run) -> Outcome<String> {
    run.wait()?;
    let model = run.model().ok_or("the run ended without a model")?;
    let hex = model.digest().map(|byte| format!("{byte:02x}"));
    Ok(hex.concat())
}

fn measured<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(Spent, T)> {
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let value = work()?;
    let spent = Spent {
        wall: begun.elapsed().as_secs_f64(),
        cpu: cpu_seconds()? - cpu,
    };
    Ok((spent, value))
}

/// A generator that is the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal: the sum of four uniform numbers, scaled.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3.0_f64.sqrt()
    }
}

/// `churn`: 200,000 rows of 30 features (counts, few-valued ones and missing values among them), 8 % positives. `higgs`: 1,000,000 rows of
/// 28 features, half positives.
#[expect(clippy::cast_possible_truncation, reason = "features are f32")]
fn made_up(name: &str) -> Outcome<MatrixInput> {
    let (rows, features, offset, missing) = match name {
        "churn" => (200_000, 30, -4.2, 0.008),
        "churn-small" => (20_000, 30, -4.2, 0.008),
        "higgs" => (1_000_000, 28, 0.0, 0.0),
        _ => return Err(format!("there is no data {name}; churn, churn-small or higgs").into()),
    };
    let mut random = Random(42);
    let mut columns: Vec<(String, Vec<f32>)> = (0..features)
        .map(|n| (format!("f{n}"), Vec::with_capacity(rows)))
        .collect();
    let mut label = Vec::with_capacity(rows);
    for _ in 0..rows {
        let x: Vec<f64> = (0..features).map(|_| random.normal()).collect();
        let score =
            offset + 0.9 * x[0] - 0.7 * x[1] * x[2] + 0.8 * (2.0 * x[3]).sin() + 0.6 * x[4] * x[4]
                - 0.5 * (x[5] - x[6]).abs()
                + if x[7] > 0.5 && x[8] < 0.0 { 1.2 } else { 0.0 };
        label.push(f32::from(u8::from(
            random.uniform() < 1.0 / (1.0 + (-1.5 * score).exp()),
        )));
        for (n, (_, column)) in columns.iter_mut().enumerate() {
            let value = match n % 6 {
                4 if missing > 0.0 => (x[n] * 3.0).round(),
                5 if missing > 0.0 => x[n].exp(),
                _ => x[n],
            };
            let is_missing = missing > 0.0 && random.uniform() < missing;
            column.push(if is_missing { f32::NAN } else { value as f32 });
        }
    }
    Ok(MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 255,
    })
}

/// The format of `train_f32`.
fn write_f32(input: &MatrixInput, path: &str) -> Outcome<()> {
    let label = input.label.as_deref().unwrap_or_default();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    file.write_all(&u32::try_from(label.len())?.to_le_bytes())?;
    file.write_all(&u32::try_from(input.columns.len())?.to_le_bytes())?;
    for row in 0..label.len() {
        for (_, column) in &input.columns {
            file.write_all(&column.get(row).copied().unwrap_or(f32::NAN).to_le_bytes())?;
        }
    }
    for y in label {
        file.write_all(&y.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// User and system seconds of all threads of this process so far, those that have ended among them.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat
        .rsplit_once(')')
        .ok_or("/proc/self/stat has no process name")?;
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(f64::from_str)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Of the last minute.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

fn flags() -> Outcome<BTreeMap<String, String>> {
    let mut flags = BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let bare = name
            .strip_prefix("--")
            .ok_or_else(|| format!("{name} is not a flag"))?;
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        flags.insert(bare.to_owned(), value);
    }
    Ok(flags)
}

fn number<T: FromStr>(flags: &mut BTreeMap<String, String>, name: &str, default: T) -> Outcome<T> {
    flags.remove(name).map_or(Ok(default), |text| {
        text.parse()
            .map_err(|_| format!("--{name}: {text} is not a number that fits").into())
    })
}
