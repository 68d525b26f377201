//! Trains on raw f32 columns and writes what other tools compare: `train_raw TRAIN VALID [key=value]...`.
//!
//! A file is little-endian: `u32` rows, `u32` features, the features column by column as `f32` (NaN is missing), then the label.
//! Keys: `rounds lr depth leaves bins min_child l2 subsample threads growth objective xgboost scores`; the last two name files to write.

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{Config, Gbdt, Growth, Matrix, MatrixInput, Metric, Objective, start};
use std::collections::HashMap;
use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options(HashMap<String, String>);

impl Options {
    fn get<T: FromStr>(&self, key: &str, default: T) -> Fallible<T>
    where
        T::Err: Error + 'static,
    {
        Ok(self
            .0
            .get(key)
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or(default))
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|given| given == value)
    }
}

fn word(bytes: &[u8], at: usize) -> Fallible<usize> {
    let word = bytes.get(at..at + 4).ok_or("the file ends early")?;
    Ok(u32::from_le_bytes(word.try_into()?) as usize)
}

fn read(path: &str, max_bins: u16) -> Fallible<MatrixInput> {
    let bytes = std::fs::read(path)?;
    let (rows, features) = (word(&bytes, 0)?, word(&bytes, 4)?);
    let body = bytes.get(8..).ok_or("the file ends early")?;
    if rows == 0 || body.len() != rows * (features + 1) * 4 {
        return Err(format!("{path} has another size than its header says").into());
    }
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let mut columns: Vec<(String, Vec<f32>)> = body
        .chunks_exact(rows * 4)
        .enumerate()
        .map(|(n, column)| {
            (
                format!("f{n}"),
                column.chunks_exact(4).map(number).collect(),
            )
        })
        .collect();
    let label = columns.pop().map(|column| column.1);
    Ok(MatrixInput {
        columns,
        label,
        weight: None,
        max_bins,
    })
}

fn settings(options: &Options) -> Fallible<Gbdt> {
    Ok(Gbdt {
        objective: if options.is("objective", "squared-error") {
            Objective::SquaredError
        } else {
            Objective::BinaryLogistic
        },
        rounds: options.get("rounds", 300)?,
        learning_rate: options.get("lr", 0.05)?,
        max_depth: options.get("depth", 6)?,
        max_leaves: options.get("leaves", 64)?,
        min_child_weight: options.get("min_child", 1.0)?,
        l2: options.get("l2", 1.0)?,
        subsample: options.get("subsample", 1.0)?,
        growth: if options.is("growth", "lossguide") {
            Growth::Lossguide
        } else {
            Growth::Depthwise
        },
        ..Gbdt::default()
    })
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let (Some(train), Some(valid)) = (args.next(), args.next()) else {
        return Err("usage: train_raw TRAIN VALID [key=value]...".into());
    };
    let options = Options(
        args.filter_map(|arg| {
            let (key, value) = arg.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect(),
    );
    let bins = options.get("bins", 255)?;
    let train = Arc::new(Matrix::build(read(&train, bins)?)?);
    let valid = Matrix::build_with_cuts_of(&train, read(&valid, bins)?)?;
    let config = Config::gbdt(settings(&options)?);
    let run = start(train, None, config, options.get("threads", 1)?)?;
    let outcome = run.wait()?;
    let model = run.model().ok_or("the run has no model")?;
    let scores = model.score(&valid)?;
    if let Some(path) = options.0.get("xgboost") {
        std::fs::write(path, model.to_xgboost_json())?;
    }
    if let Some(path) = options.0.get("scores") {
        let bytes: Vec<u8> = scores.iter().flat_map(|s| s.to_le_bytes()).collect();
        std::fs::write(path, bytes)?;
    }
    let auc = evaluate(Metric::Auc, &scores, valid.label().unwrap_or_default());
    println!(
        "{{\"auc\": {auc:.6}, \"trees\": {}, \"run_cpu_ms\": {}}}",
        model.rounds(),
        outcome.usage.cpu_ms
    );
    Ok(())
}
