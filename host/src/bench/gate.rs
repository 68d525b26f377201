//! The data-quality gate against a plain scan in Rust of the same parquet file: 1,000,000 rows of 30 columns, once with checks of the
//! table alone and once with drift against kept history. What is compared takes turns. It measures and asserts nothing.

use super::{cpu_seconds, dag, run};
use crate::app::App;
use crate::error::{ErrorKind, UserError};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Rows of the table.
const ROWS: usize = 1_000_000;
/// Rows of a row group, and of a batch that is read.
const GROUP_ROWS: usize = 65_536;
/// Columns of the table: floats, one in four of them with nulls, and integers of few values.
const COLUMNS: usize = 30;
/// Turns of each.
const TURNS: usize = 5;
/// Dates of the history that the drift is against.
const DATES: usize = 3;

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct GateReport {
    /// Rows of the table.
    pub rows: usize,
    /// Columns of the table.
    pub columns: usize,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// One thread that reads the file and finds nulls, mean, deviation, least and greatest of each column: seconds, the median of
    /// some turns.
    pub native_s: f64,
    /// CPU of the same.
    pub native_cpu_s: f64,
    /// A run of a DAG that is the gate alone, from its trigger to its durable end.
    pub gate_s: f64,
    /// CPU of the same.
    pub gate_cpu_s: f64,
    /// `gate_s / native_s`.
    pub gate_to_native: f64,
    /// The gate with drift of all columns against three kept dates.
    pub drift_s: f64,
    /// `drift_s / native_s`.
    pub drift_to_native: f64,
}

/// Measures the gate over a file that is written into `folder`, which must be there; runs on `app`, which needs a pool `bench`.
///
/// # Errors
/// When the file cannot be written or read, or a run does not end in success.
pub async fn gate(app: &App, folder: &Path) -> Result<GateReport, UserError> {
    // URIs and grants name whole paths.
    let whole = folder.canonicalize();
    let folder = &whole.map_err(|error| failed(folder, &error.into()))?;
    let path = folder.join("bench-gate.parquet");
    make(&path).map_err(|error| failed(&path, &error))?;
    let (mut native, mut alone, mut drift) = (Vec::new(), Vec::new(), Vec::new());
    let checks =
        json!({"uri": uri(&path), "label": "c0", "min_positive_rate": 0.0, "max_null_rate": 0.2});
    // Once through everything: the component is compiled, the file is in memory, the history has its dates.
    for date in 0..DATES {
        gated(app, folder, &with_drift(&checks, folder, date)).await?;
    }
    for _ in 0..TURNS {
        native.push(scanned(&path)?);
        alone.push(gated(app, folder, &checks).await?);
        drift.push(gated(app, folder, &with_drift(&checks, folder, DATES)).await?);
    }
    let file_bytes = std::fs::metadata(&path).map_or(0, |info| info.len());
    let ((native_s, native_cpu_s), (gate_s, gate_cpu_s)) = (median(native), median(alone));
    let (drift_s, _) = median(drift);
    Ok(GateReport {
        rows: ROWS,
        columns: COLUMNS,
        file_bytes,
        native_s,
        native_cpu_s,
        gate_s,
        gate_cpu_s,
        gate_to_native: gate_s / native_s,
        drift_s,
        drift_to_native: drift_s / native_s,
    })
}

/// Seconds, and of CPU.
type Spent = (f64, f64);

/// The turn in the middle.
fn median(mut turns: Vec<Spent>) -> Spent {
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    let middle = turns.get(turns.len() / 2);
    middle.copied().unwrap_or((f64::NAN, f64::NAN))
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn with_drift(checks: &Value, folder: &Path, date: usize) -> Value {
    let drift = json!({
        "history": uri(&folder.join("bench-history")), "date": format!("2026-01-{:02}", date + 1), "max_ks": 0.1,
    });
    let mut config = checks.clone();
    if let Some(members) = config.as_object_mut() {
        members.insert("drift".to_owned(), drift);
    }
    config
}

async fn gated(app: &App, folder: &Path, config: &Value) -> Result<Spent, UserError> {
    let dag = dag(&json!({
        "dag_id": "bench_gate",
        "grants": {"storage": [format!("{}/", uri(folder))]},
        "tasks": [{"task_id": "gate", "operator": "data_quality", "config": config, "pool": "bench"}],
    }))?;
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    run(app, (dag, 1)).await?;
    Ok((begun.elapsed().as_secs_f64(), cpu_seconds() - cpu))
}

/// What a plain scan finds of one column.
#[derive(Clone, Copy)]
struct Scan {
    count: usize,
    nulls: usize,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Scan {
    const NOTHING: Self = Self {
        count: 0,
        nulls: 0,
        sum: 0.0,
        squares: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    #[expect(clippy::cast_precision_loss, reason = "small integers")]
    fn column(&mut self, array: &ArrayRef) {
        self.nulls += array.null_count();
        if array.data_type() == &DataType::Float64 {
            let values = array.as_primitive::<Float64Type>();
            if values.null_count() == 0 {
                values.values().iter().for_each(|value| self.add(*value));
            } else {
                values.iter().flatten().for_each(|value| self.add(value));
            }
        } else {
            let values = array.as_primitive::<Int64Type>();
            if values.null_count() == 0 {
                values
                    .values()
                    .iter()
                    .for_each(|value| self.add(*value as f64));
            } else {
                values
                    .iter()
                    .flatten()
                    .for_each(|value| self.add(value as f64));
            }
        }
    }
}

fn scanned(path: &Path) -> Result<Spent, UserError> {
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let scans = scan(path).map_err(|error| failed(path, &error))?;
    // What nobody looks at might never be computed.
    std::hint::black_box(scans);
    Ok((begun.elapsed().as_secs_f64(), cpu_seconds() - cpu))
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn scan(path: &Path) -> Result<[Scan; COLUMNS], Fault> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let mut scans = [Scan::NOTHING; COLUMNS];
    for batch in builder.with_batch_size(GROUP_ROWS).build()? {
        for (scan, array) in scans.iter_mut().zip(batch?.columns()) {
            scan.column(array);
        }
    }
    Ok(scans)
}

/// Writes the table, the same every time.
fn make(path: &Path) -> Result<(), Fault> {
    let kind = |column: usize| match column % 5 {
        0 => DataType::Int64,
        _ => DataType::Float64,
    };
    let field = |column| Field::new(format!("c{column}"), kind(column), true);
    let schema = Arc::new(Schema::new((0..COLUMNS).map(field).collect::<Vec<_>>()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path)?, Arc::clone(&schema), Some(properties))?;
    for from in (0..ROWS).step_by(GROUP_ROWS) {
        let rows = from..ROWS.min(from + GROUP_ROWS);
        let arrays = (0..COLUMNS).map(|column| made_up(column, rows.clone(), &kind(column)));
        writer.write(&RecordBatch::try_new(
            Arc::clone(&schema),
            arrays.collect(),
        )?)?;
    }
    writer.close()?;
    Ok(())
}

fn made_up(column: usize, rows: std::ops::Range<usize>, kind: &DataType) -> ArrayRef {
    let chance = |row: usize| mix((column * ROWS + row) as u64);
    if kind == &DataType::Int64 {
        let value = |row| i64::try_from(chance(row) % 8 / 4).ok();
        Arc::new(rows.map(value).collect::<Int64Array>())
    } else {
        // Of 53 bits: nothing that a dictionary could shorten.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
        let value = |row| {
            let null = column % 4 == 1 && row % 10 == 3;
            (!null).then(|| (chance(row) >> 11) as f64 / (1_u64 << 53) as f64)
        };
        Arc::new(rows.map(value).collect::<Float64Array>())
    }
}

/// The finaliser of splitmix64.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn failed(path: &Path, error: &Fault) -> UserError {
    UserError::new(ErrorKind::Store, format!("{}: {error}", path.display()))
}

impl GateReport {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:44}{value}");
        };
        let size = format!("{} x {}", self.rows, self.columns);
        line("parquet, rows x columns", size);
        let native = format!("{:.3} s, CPU {:.3} s", self.native_s, self.native_cpu_s);
        line("plain scan, one thread", native);
        let gate = format!("{:.3} s, CPU {:.3} s", self.gate_s, self.gate_cpu_s);
        line("data_quality, a whole run", gate);
        line("gate to scan", format!("{:.2}", self.gate_to_native));
        line("data_quality with drift", format!("{:.3} s", self.drift_s));
        line(
            "gate with drift to scan",
            format!("{:.2}", self.drift_to_native),
        );
        text
    }
}
