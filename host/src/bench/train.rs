//! Training against itself on made-up data: CPU seconds of one thread, several threads against one, four variants at once against
//! one after the other, rows scored. What is compared takes turns, so that other work on the machine falls on both.
//! It refuses to speak of other packages: a script under `tests/python` lays them side by side.

use super::cpu_seconds;
use crate::error::{ErrorKind, UserError};
use airlock_trainer::{
    Config, Gbdt, Matrix, MatrixInput, Model, Run, TrainError, start, start_search,
};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Variants that are trained at once.
const VARIANTS: u32 = 4;
const LEARNING_RATE: f64 = 0.05;

/// Which data are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TrainData {
    /// 200,000 rows of 30 features, 8 % positives, counts, few-valued features and missing values among them
    Churn,
    /// 20,000 of such rows
    ChurnSmall,
    /// 1,000,000 rows of 28 features, half positives
    Higgs,
}

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct TrainShape {
    /// On which rows.
    pub data: TrainData,
    /// Trees of each model, depth 6.
    pub rounds: u32,
    /// Threads of what is not measured on one.
    pub threads: usize,
    /// Pairs of turns of each comparison.
    pub repeats: u32,
}

/// Everything measured. Seconds, unless the name says otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct TrainReport {
    /// On which rows.
    pub data: TrainData,
    /// How many.
    pub rows: usize,
    /// Features of each row.
    pub features: usize,
    /// Trees of each model.
    pub rounds: u32,
    /// CPU of cutting and binning the rows, once.
    pub bin_cpu_s: f64,
    /// CPU of a model on one thread, without binning; the mean over all turns.
    pub one_thread_cpu_s: f64,
    /// From start to end of the same.
    pub one_thread_wall_s: f64,
    /// Threads of the next figures.
    pub threads: usize,
    /// Wall of one thread over wall of all.
    pub speed_up: f64,
    /// CPU of all threads over CPU of one.
    pub threads_cpu_ratio: f64,
    /// CPU of four variants at once over CPU of the same one after the other: what contention costs.
    pub variants_cpu_ratio: f64,
    /// The same of wall.
    pub variants_wall_ratio: f64,
    /// Rows scored a second on one thread with the model.
    pub scored_rows_per_s: f64,
    /// Whether every turn gave the same model bytes.
    pub same_bytes: bool,
    /// Load of the last minute when it ended; figures of a busy machine say little.
    pub load: f64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    wall: f64,
    cpu: f64,
}

struct Subject {
    data: Arc<Matrix>,
    gbdt: Gbdt,
}

/// Measures everything.
pub fn train(shape: TrainShape) -> Result<TrainReport, UserError> {
    let input = made_up(shape.data);
    let (binned, data) = spend(|| Matrix::build(input))?;
    let subject = Subject {
        data: Arc::new(data),
        gbdt: Gbdt {
            rounds: shape.rounds,
            learning_rate: LEARNING_RATE,
            ..Gbdt::default()
        },
    };
    let mut digests = Vec::new();
    let turn = |threads| spend(|| subject.one(threads));
    let (one, many) = in_turns(
        shape.repeats,
        &mut digests,
        || turn(1),
        || turn(shape.threads),
    )?;
    let same_bytes = digests.array_windows().all(|[one, next]| one == next);
    let turn = |parallel| spend(|| subject.search(shape.threads, parallel));
    let (at_once, in_turn) = in_turns(
        shape.repeats,
        &mut Vec::new(),
        || turn(VARIANTS),
        || turn(1),
    )?;
    let (_, model) = spend(|| subject.trained())?;
    let (scored, _) = spend(|| model.score(&subject.data))?;
    let (rows, features) = (subject.data.rows(), subject.data.features());
    let repeats = f64::from(shape.repeats);
    Ok(TrainReport {
        data: shape.data,
        rows,
        features,
        rounds: shape.rounds,
        bin_cpu_s: binned.cpu,
        one_thread_cpu_s: one.cpu / repeats,
        one_thread_wall_s: one.wall / repeats,
        threads: shape.threads,
        speed_up: one.wall / many.wall,
        threads_cpu_ratio: many.cpu / one.cpu,
        variants_cpu_ratio: at_once.cpu / in_turn.cpu,
        variants_wall_ratio: at_once.wall / in_turn.wall,
        scored_rows_per_s: f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) / scored.wall,
        same_bytes,
        load: load(),
    })
}

/// Both, `repeats` times each, in the order a b b a, so that a slow drift falls on both alike.
fn in_turns<T>(
    repeats: u32,
    results: &mut Vec<T>,
    one: impl Fn() -> Result<(Spent, T), UserError>,
    other: impl Fn() -> Result<(Spent, T), UserError>,
) -> Result<(Spent, Spent), UserError> {
    let (mut ones, mut others) = (Spent::default(), Spent::default());
    for turn in 0..2 * repeats {
        let is_one = turn % 4 == 0 || turn % 4 == 3;
        let (spent, result) = if is_one { one()? } else { other()? };
        let total = if is_one { &mut ones } else { &mut others };
        total.wall += spent.wall;
        total.cpu += spent.cpu;
        results.push(result);
    }
    Ok((ones, others))
}

fn spend<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<(Spent, T), UserError> {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let value = work().map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    let spent = Spent {
        wall: begun.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
    };
    Ok((spent, value))
}

impl Subject {
    fn model(&self, threads: usize) -> Result<Run, TrainError> {
        let config = Config::gbdt(self.gbdt.clone());
        start(Arc::clone(&self.data), None, config, threads)
    }

    fn one(&self, threads: usize) -> Result<Option<[u8; 32]>, TrainError> {
        digest(&self.model(threads)?)
    }

    fn search(&self, threads: usize, parallel: u32) -> Result<(), TrainError> {
        let variant = |n: u32| {
            Config::gbdt(Gbdt {
                l2: 1.0 + f64::from(n),
                ..self.gbdt.clone()
            })
        };
        let configs = (0..VARIANTS).map(variant).collect();
        for run in start_search(&self.data, None, configs, threads, parallel as usize)? {
            digest(&run?)?;
        }
        Ok(())
    }

    fn trained(&self) -> Result<Arc<Model>, TrainError> {
        let run = self.model(1)?;
        run.wait()?;
        let model = run.model();
        model.ok_or_else(|| TrainError::WorkerLost("the run has no model".to_owned()))
    }
}

fn digest(run: &Run) -> Result<Option<[u8; 32]>, TrainError> {
    run.wait()?;
    Ok(run.model().map(|model| model.digest()))
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|load| load.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// A generator that is the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // 32 bits are enough for rows that are made up.
        let upper = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(upper) / (f64::from(u32::MAX) + 1.0)
    }

    /// About normal: the sum of four uniform numbers, scaled.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3.0_f64.sqrt()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "features are f32")]
fn made_up(data: TrainData) -> MatrixInput {
    let (rows, features, offset, missing) = match data {
        TrainData::Churn => (200_000, 30, -4.2, 0.008),
        TrainData::ChurnSmall => (20_000, 30, -4.2, 0.008),
        TrainData::Higgs => (1_000_000, 28, 0.0, 0.0),
    };
    let mut random = Random(42);
    let named = |n| (format!("f{n}"), Vec::with_capacity(rows));
    let mut columns: Vec<(String, Vec<f32>)> = (0..features).map(named).collect();
    let mut label = Vec::with_capacity(rows);
    for _ in 0..rows {
        let x: [f64; 30] = std::array::from_fn(|_| random.normal());
        let both = if x[7] > 0.5 && x[8] < 0.0 { 1.2 } else { 0.0 };
        let curves = 0.8 * (2.0 * x[3]).sin() + 0.6 * x[4] * x[4] - 0.5 * (x[5] - x[6]).abs();
        let score = offset + 0.9 * x[0] - 0.7 * x[1] * x[2] + curves + both;
        let positive = random.uniform() < 1.0 / (1.0 + (-1.5 * score).exp());
        label.push(f32::from(u8::from(positive)));
        for (n, ((_, column), x)) in columns.iter_mut().zip(x).enumerate() {
            let value = match n % 6 {
                4 if missing > 0.0 => (x * 3.0).round(),
                5 if missing > 0.0 => x.exp(),
                _ => x,
            };
            let is_missing = missing > 0.0 && random.uniform() < missing;
            column.push(if is_missing { f32::NAN } else { value as f32 });
        }
    }
    MatrixInput {
        columns,
        label: Some(label),
        weight: None,
        max_bins: 255,
    }
}

impl TrainReport {
    /// The figures for people.
    pub fn text(&self) -> String {
        let data = format!("{} rows, {} features", self.rows, self.features);
        let rows = [
            ("data", data),
            ("trees", format!("{}, depth 6", self.rounds)),
            ("binning", format!("{:.2} CPU s", self.bin_cpu_s)),
            (
                "one thread",
                format!(
                    "{:.2} CPU s, {:.2} s",
                    self.one_thread_cpu_s, self.one_thread_wall_s
                ),
            ),
            (
                "threads",
                format!(
                    "{}: {:.2} times as fast, {:.2} of the CPU",
                    self.threads, self.speed_up, self.threads_cpu_ratio
                ),
            ),
            (
                "four variants at once",
                format!(
                    "{:.2} of the CPU, {:.2} of the time of one after the other",
                    self.variants_cpu_ratio, self.variants_wall_ratio
                ),
            ),
            ("scoring", format!("{:.0} rows/s", self.scored_rows_per_s)),
            (
                "model bytes",
                if self.same_bytes {
                    "the same in every turn"
                } else {
                    "DIFFER between turns: a bug"
                }
                .to_owned(),
            ),
            ("load", format!("{:.1}", self.load)),
        ];
        let line = |(name, value): &(&str, String)| format!("{name:22} {value}\n");
        rows.iter().map(line).collect()
    }
}
