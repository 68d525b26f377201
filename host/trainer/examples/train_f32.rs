//! Trains on a raw file and scores another, so that other packages can be measured against the trainer: no guest, no store, no
//! Parquet. Refuses what is not the format: `rows: u32, features: u32`, the values row by row, one label a row, all little-endian
//! 32-bit. NaN is missing.
//!
//! `train_f32 --train FILE [--test FILE] [--model OUT.json] [--predictions OUT.f32] [--rounds N] [--learning-rate X]
//! [--max-depth N] [--max-leaves N] [--max-bins N] [--min-child-weight X] [--l2 X] [--subsample X] [--growth depthwise|lossguide]
//! [--objective binary-logistic|squared-error] [--seed N] [--threads N]`

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{Config, Format, Gbdt, Matrix, MatrixInput, Metric, Model, start};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Linux counts process time in hundredths of a second for every user program (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
const HEADER_BYTES: usize = 8;

fn main() -> Outcome<()> {
    let mut flags = Flags::read()?;
    let (train_path, test_path) = (flags.text("train"), flags.text("test"));
    let (model_path, scores_path) = (flags.text("model"), flags.text("predictions"));
    let max_bins = flags.number("max-bins", 255)?;
    let threads: usize = flags.number("threads", 1)?;
    let config = flags.config()?;
    flags.done()?;

    let input = read(&train_path.ok_or("--train FILE is missing")?, max_bins)?;
    // Reading is not what is measured; binning is.
    let (begun, cpu_begun) = (Instant::now(), cpu_seconds()?);
    let train = Arc::new(Matrix::build(input)?);
    let bin_cpu = cpu_seconds()? - cpu_begun;
    let run = start(train.clone(), None, config, threads)?;
    run.wait()?;
    let (cpu, wall) = (cpu_seconds()? - cpu_begun, begun.elapsed().as_secs_f64());
    let model = run.model().ok_or("the run ended without a model")?;

    if let Some(path) = model_path {
        std::fs::write(path, model.export(Format::XgboostJson)?)?;
    }
    let auc = match test_path {
        Some(path) => test(&model, &train, &path, scores_path.as_deref())?,
        None => Value::Null,
    };
    println!(
        "{}",
        json!({"cpu_s": cpu, "bin_cpu_s": bin_cpu, "wall_s": wall, "auc": auc, "trees": model.rounds()})
    );
    Ok(())
}

/// Scores `path`, writes the scores where asked, and yields their AUC; null where labels are not 0 and 1.
fn test(model: &Model, train: &Matrix, path: &str, out: Option<&str>) -> Outcome<Value> {
    let matrix = Matrix::build_with_cuts_of(train, read(path, 255)?)?;
    let scores = model.score(&matrix)?;
    if let Some(out) = out {
        let bytes: Vec<u8> = scores
            .iter()
            .flat_map(|score| score.to_le_bytes())
            .collect();
        std::fs::write(out, bytes)?;
    }
    let labels = matrix.label().unwrap_or_default();
    Ok(if labels.iter().all(|y| [0.0, 1.0].contains(y)) {
        json!(evaluate(Metric::Auc, &scores, labels))
    } else {
        Value::Null
    })
}

fn read(path: &str, max_bins: u16) -> Outcome<MatrixInput> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let word = |at: usize| -> Outcome<[u8; 4]> {
        let word = bytes.get(at..at + 4).ok_or("the file ends too early")?;
        Ok(word.try_into()?)
    };
    let rows = u32::from_le_bytes(word(0)?) as usize;
    let features = u32::from_le_bytes(word(4)?) as usize;
    let values = rows
        .checked_mul(features)
        .and_then(|n| n.checked_add(rows))
        .ok_or("the header is too large")?;
    if values.checked_mul(4).map(|n| n + HEADER_BYTES) != Some(bytes.len()) {
        let length = bytes.len();
        return Err(
            format!("{path}: {length} bytes are not {rows} rows of {features} features").into(),
        );
    }
    let values: Vec<f32> = bytes[HEADER_BYTES..]
        .chunks_exact(4)
        .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let (table, label) = values.split_at(rows * features);
    let column = |feature: usize| table.iter().skip(feature).step_by(features).copied();
    Ok(MatrixInput {
        columns: (0..features)
            .map(|feature| (format!("f{feature}"), column(feature).collect()))
            .collect(),
        label: Some(label.to_vec()),
        weight: None,
        max_bins,
    })
}

/// User and system seconds of all threads of this process so far.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before the last parenthesis may hold spaces; user and system ticks are fields 14 and 15 of the whole.
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

/// `--name value` pairs, each taken once.
struct Flags(BTreeMap<String, String>);

impl Flags {
    fn read() -> Outcome<Self> {
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
        Ok(Self(flags))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn number<T: FromStr>(&mut self, name: &str, default: T) -> Outcome<T> {
        let Some(text) = self.0.remove(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| format!("--{name}: {text} is not a number that fits").into())
    }

    fn word<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Outcome<T> {
        let Some(text) = self.0.remove(name) else {
            return Ok(default);
        };
        serde_json::from_value(json!(text)).map_err(|error| format!("--{name}: {error}").into())
    }

    fn config(&mut self) -> Outcome<Config> {
        let default = Gbdt::default();
        let gbdt = Gbdt {
            objective: self.word("objective", default.objective)?,
            rounds: self.number("rounds", default.rounds)?,
            learning_rate: self.number("learning-rate", default.learning_rate)?,
            max_depth: self.number("max-depth", default.max_depth)?,
            max_leaves: self.number("max-leaves", default.max_leaves)?,
            min_child_weight: self.number("min-child-weight", default.min_child_weight)?,
            l2: self.number("l2", default.l2)?,
            subsample: self.number("subsample", default.subsample)?,
            growth: self.word("growth", default.growth)?,
            ..default
        };
        Ok(Config {
            seed: self.number("seed", 0)?,
            ..Config::gbdt(gbdt)
        })
    }

    fn done(self) -> Outcome<()> {
        match self.0.keys().next() {
            Some(name) => Err(format!("there is no flag --{name}").into()),
            None => Ok(()),
        }
    }
}
