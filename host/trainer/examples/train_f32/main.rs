//! Trains on a raw file and scores another, so that other packages can be measured against the trainer: no guest, no store, no
//! Parquet. Refuses what is not the format: `rows: u32, features: u32`, the values row by row, one label a row, all little-endian
//! 32-bit. NaN is missing.
//!
//! `train_f32 --train FILE [--test FILE] [--exports DIR] [--model OUT.json] [--predictions OUT.f32] [--threads N] [--seed N]
//! [--max-bins N] [--score-repeats N] [--algorithm gbdt|random-forest|logistic|mlp] [--objective O] [--classes N]`, and the settings of
//! the algorithm under their own names with hyphens. Prints one JSON object. `--exports` writes the model in every format that has
//! words for it, as `model.FORMAT`. With `--import MODEL.json` a model of XGBoost is scored and none is trained.

mod flags;

use airlock_trainer::metrics::evaluate;
use airlock_trainer::{Format, Matrix, MatrixInput, Metric, Model, start};
use flags::Flags;
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Linux counts process time in hundredths of a second for every user program (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
const HEADER_BYTES: usize = 8;
const FORMATS: [Format; 6] = [
    Format::Airlock,
    Format::XgboostJson,
    Format::XgboostJsonVector,
    Format::LightgbmText,
    Format::Onnx,
    Format::Safetensors,
];

fn main() -> Outcome<()> {
    let mut flags = Flags::read()?;
    let (train_path, test_path) = (flags.text("train"), flags.text("test"));
    let (model_path, scores_path) = (flags.text("model"), flags.text("predictions"));
    let (exports_path, import_path) = (flags.text("exports"), flags.text("import"));
    let max_bins = flags.number("max-bins", 255)?;
    let threads: usize = flags.number("threads", 1)?;
    let repeats: u32 = flags.number("score-repeats", 1)?;
    let config = flags.config()?;
    flags.done()?;

    if let Some(path) = import_path {
        let model = Model::import(Format::XgboostJson, &std::fs::read(path)?)?;
        let test_path = test_path.ok_or("--test FILE is missing")?;
        let (auc, cpu) = test(&model, &test_path, scores_path.as_deref(), repeats)?;
        println!(
            "{}",
            json!({"auc": auc, "score_cpu_s": cpu, "rounds": model.rounds()})
        );
        return Ok(());
    }
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
    if let Some(path) = exports_path {
        export(&model, Path::new(&path))?;
    }
    let mut said =
        json!({"cpu_s": cpu, "bin_cpu_s": bin_cpu, "wall_s": wall, "rounds": model.rounds()});
    if let Some((coefficients, intercept)) = model.coefficients() {
        let numbers: Vec<f64> = coefficients.iter().map(|(_, c)| *c).collect();
        said["coefficients"] = json!(numbers);
        said["intercept"] = json!(intercept);
    }
    if let Some(path) = test_path {
        let (auc, score_cpu) = test(&model, &path, scores_path.as_deref(), repeats)?;
        said["auc"] = auc;
        said["score_cpu_s"] = json!(score_cpu);
    }
    println!("{said}");
    Ok(())
}

fn export(model: &Model, folder: &Path) -> Outcome<()> {
    for format in FORMATS {
        let path = folder.join(format!("model.{}", format.name()));
        // A format without words for this model leaves no file, and none of an earlier run.
        match model.export(format) {
            Ok(bytes) => std::fs::write(path, bytes)?,
            Err(_) if path.exists() => std::fs::remove_file(path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Scores `path`, writes the scores where asked, and yields their AUC (null where labels are not 0 and 1 or scores are of classes) and
/// the mean CPU seconds of `repeats` times.
fn test(model: &Model, path: &str, out: Option<&str>, repeats: u32) -> Outcome<(Value, f64)> {
    let matrix = Matrix::build(read(path, 255)?)?;
    let begun = cpu_seconds()?;
    let mut scores = model.score(&matrix)?;
    for _ in 1..repeats {
        scores = model.score(&matrix)?;
    }
    let cpu = (cpu_seconds()? - begun) / f64::from(repeats.max(1));
    if let Some(out) = out {
        let bytes: Vec<u8> = scores
            .iter()
            .flat_map(|score| score.to_le_bytes())
            .collect();
        std::fs::write(out, bytes)?;
    }
    let labels = matrix.label().unwrap_or_default();
    let is_binary = model.outputs() == 1 && labels.iter().all(|y| [0.0, 1.0].contains(y));
    let auc = if is_binary {
        json!(evaluate(Metric::Auc, &scores, labels))
    } else {
        Value::Null
    };
    Ok((auc, cpu))
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
