//! Measures this machine: bare wasmtime against the same task through the whole orchestrator with durable commits.
//! It measures and asserts nothing; every figure comes from one run, so that ratios mean something.

mod gate;
mod http;
mod lang;
mod linear;
mod ml;
mod size;
mod train;

pub use gate::{GateReport, gate};
pub use http::{HttpReport, HttpShape, http};
pub use lang::{LangFigures, LangReport, lang};
pub use linear::{LinearReport, linear};
pub use ml::{MlReport, MlShape, ml};
pub use size::{SizeReport, Start, fill, start};
pub use train::{TrainData, TrainReport, TrainShape, train};

use crate::app::{App, RegisteredDag, TriggerRequest};
use crate::error::{ErrorKind, UserError};
use crate::sandbox::bindings::airlock::operator::types::TaskContext;
use crate::sandbox::{Plugin, Sandbox};
use airlock_core::dag::parse;
use airlock_core::dag::spec::{Dag, Expand, ExpandSource};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Elements of the fan-out.
    pub fan_out: u32,
    /// Tasks of the chain.
    pub chain: u32,
    /// Elements of the large mapped task; 0 leaves it out.
    pub mapped: u32,
    /// Threads that run guests.
    pub threads: usize,
}

/// One orchestrated shape.
#[derive(Debug, Clone, Serialize)]
pub struct Orchestrated {
    /// Tasks that ended in success.
    pub tasks: u32,
    /// Seconds from the trigger's acknowledgement to the end of the run.
    pub wall_s: f64,
    /// Tasks a second.
    pub tasks_per_s: f64,
    /// CPU seconds of the process over the same time, a task, in milliseconds.
    pub cpu_ms_per_task: f64,
}

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Threads that run guests.
    pub threads: usize,
    /// Instantiate, call and drop of the same operator, bare, on `threads` threads: calls a second.
    pub bare_per_s: f64,
    /// CPU of a bare call, milliseconds.
    pub bare_cpu_ms: f64,
    /// A mapped task of `probe`, every attempt durable.
    pub fan_out: Orchestrated,
    /// `fan_out.tasks_per_s / bare_per_s`.
    pub orchestrated_to_bare: f64,
    /// Tasks one after the other, every one durable.
    pub chain: Orchestrated,
    /// From the end of a task to the start of the next in the chain: half of all are faster, milliseconds.
    pub ready_to_done_p50_ms: f64,
    /// The same for 99 of 100.
    pub ready_to_done_p99_ms: f64,
    /// The large mapped task, if asked for.
    pub mapped: Option<Mapped>,
    /// Plain appends of 1 KiB with one fdatasync each, a second.
    pub fsync_per_s: f64,
    /// Largest resident set of the process so far, MiB.
    pub peak_rss_mib: f64,
}

/// The large mapped task.
#[derive(Debug, Clone, Serialize)]
pub struct Mapped {
    /// As for other shapes.
    #[serde(flatten)]
    pub run: Orchestrated,
    /// Growth of the largest resident set over the run, bytes an element.
    pub rss_bytes_per_element: f64,
}

/// Runs everything on `app`, whose data folder is `folder`.
pub async fn measure(app: &App, folder: &Path, shape: Shape) -> Result<Report, UserError> {
    let plugin = app.plugins().load("probe")?;
    let (bare_per_s, bare_cpu_ms) = bare(app.sandbox(), &plugin, shape)?;
    // Once through everything, so that no figure holds the first compilation or the first page faults.
    run(app, fan_out("bench_warm_up", 200)?).await?;
    let (fan_out, _) = run(app, fan_out("bench_fan_out", shape.fan_out)?).await?;
    let (chain, mut gaps) = run(app, chain("bench_chain", shape.chain)?).await?;
    let mapped = if shape.mapped == 0 {
        None
    } else {
        Some(mapped(app, shape.mapped).await?)
    };
    gaps.sort_unstable_by(f64::total_cmp);
    let percentile = |percent: usize| {
        gaps.get(gaps.len().saturating_sub(1) * percent / 100)
            .copied()
            .unwrap_or(f64::NAN)
    };
    Ok(Report {
        threads: shape.threads,
        bare_per_s,
        bare_cpu_ms,
        orchestrated_to_bare: fan_out.tasks_per_s / bare_per_s,
        fan_out,
        chain,
        ready_to_done_p50_ms: percentile(50),
        ready_to_done_p99_ms: percentile(99),
        mapped,
        fsync_per_s: fsync_rate(folder)?,
        peak_rss_mib: peak_rss_bytes() / f64::from(1 << 20),
    })
}

/// Calls a second over all threads, and CPU milliseconds a call.
fn bare(sandbox: &Sandbox, plugin: &Plugin, shape: Shape) -> Result<(f64, f64), UserError> {
    let runs = shape.fan_out.max(1_000) / u32::try_from(shape.threads).unwrap_or(1);
    bare_calls(sandbox, plugin, ("probe", "{}"), (shape.threads, runs))
}

/// The same for an operator and its config, on so many threads, with so many calls each.
fn bare_calls(
    sandbox: &Sandbox,
    plugin: &Plugin,
    (operator, config): (&str, &str),
    (thread_count, runs): (usize, u32),
) -> Result<(f64, f64), UserError> {
    let context = TaskContext {
        operator: operator.to_owned(),
        config: config.to_owned(),
        dag_id: "bench".to_owned(),
        run_id: "bench".to_owned(),
        run_type: "manual".to_owned(),
        task_id: operator.to_owned(),
        map_index: -1,
        try_number: 1,
        max_tries: 1,
        poke_number: 1,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        params: "{}".to_owned(),
        inputs: Vec::new(),
    };
    let reports = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..thread_count)
            .map(|_| scope.spawn(|| sandbox.bare(plugin, &context, runs)))
            .collect();
        threads
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect::<Vec<_>>()
    });
    let mut per_second = 0.0;
    let mut cpu = Duration::ZERO;
    for report in reports {
        let bug = |error: String| {
            UserError::new(ErrorKind::Bug, format!("bare wasmtime failed: {error}"))
        };
        let report = report
            .map_err(|_| bug("a thread panicked".to_owned()))?
            .map_err(|error| bug(error.to_string()))?;
        per_second += f64::from(report.runs) / report.wall.as_secs_f64();
        cpu += report.cpu.unwrap_or(report.wall);
    }
    let calls = f64::from(runs) * f64::from(u32::try_from(thread_count).unwrap_or(1));
    Ok((per_second, cpu.as_secs_f64() * 1e3 / calls))
}

async fn mapped(app: &App, elements: u32) -> Result<Mapped, UserError> {
    let before = peak_rss_bytes();
    let (run, _) = run(app, fan_out("bench_mapped", elements)?).await?;
    Ok(Mapped {
        run,
        rss_bytes_per_element: (peak_rss_bytes() - before) / f64::from(elements),
    })
}

/// A DAG and how many of its task instances will run.
type Load = (Dag, u32);

fn dag(text: &Value) -> Result<Dag, UserError> {
    let parsed = parse(&text.to_string());
    parsed
        .dag
        .ok_or_else(|| UserError::new(ErrorKind::Bug, format!("{:?}", parsed.diagnostics)))
}

/// The list goes in after parsing: a file may not hold one of this length, an XCom may.
fn fan_out(dag_id: &str, elements: u32) -> Result<Load, UserError> {
    let task = json!({"task_id": "probe", "operator": "probe", "pool": "bench"});
    let mut dag = dag(&json!({"dag_id": dag_id, "max_active_tasks": 1_000_000, "tasks": [task]}))?;
    let list = ExpandSource::Literal((0..elements).map(Value::from).collect());
    for task in &mut dag.tasks {
        task.expand = Some(Expand::Product(vec![("value".to_owned(), list.clone())]));
    }
    Ok((dag, elements))
}

fn chain(dag_id: &str, tasks: u32) -> Result<Load, UserError> {
    let task = |index: u32| {
        let upstream: Vec<String> = index
            .checked_sub(1)
            .map(|before| format!("t{before}"))
            .into_iter()
            .collect();
        json!({"task_id": format!("t{index}"), "operator": "probe", "pool": "bench", "depends_on": upstream})
    };
    let list: Vec<Value> = (0..tasks).map(task).collect();
    Ok((dag(&json!({"dag_id": dag_id, "tasks": list}))?, tasks))
}

/// Runs a DAG once; yields its figures and, for each task in order of its end, milliseconds from the one before.
async fn run(app: &App, (dag, tasks): Load) -> Result<(Orchestrated, Vec<f64>), UserError> {
    let dag: RegisteredDag = app.register(dag, String::new(), "bench")?;
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let run_id = app.trigger(&dag, TriggerRequest::default()).await?;
    let (_, mut notices) = app.watch(&dag.dag.dag_id, &run_id).await?;
    let mut gaps = Vec::new();
    let mut last = Instant::now();
    while let Some(notice) = notices.recv().await {
        if matches!(&notice, crate::scheduler::Notice::TaskInstances { state, .. } if state.as_str() == "success")
        {
            gaps.push(last.elapsed().as_secs_f64() * 1e3);
            last = Instant::now();
        }
    }
    let wall_s = started.elapsed().as_secs_f64();
    let cpu_s = cpu_seconds() - cpu;
    // The row alone: the whole run in memory once more would be what the memory figure shows.
    let row = app.run(&dag.dag.dag_id, &run_id)?;
    if row.state.as_str() != "success" {
        let message = format!("{} ended in {}: {}", dag.dag.dag_id, row.state, row.reason);
        return Err(UserError::new(ErrorKind::RunFailed, message));
    }
    let count = f64::from(tasks);
    let report = Orchestrated {
        tasks,
        wall_s,
        tasks_per_s: count / wall_s,
        cpu_ms_per_task: cpu_s * 1e3 / count,
    };
    Ok((report, gaps))
}

/// CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
    .as_secs_f64()
}

/// Largest resident set so far.
fn peak_rss_bytes() -> f64 {
    memory_bytes("VmHWM:")
}

/// A figure of `/proc/self/status`, bytes; NaN where there is none.
fn memory_bytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}

fn fsync_rate(folder: &Path) -> Result<f64, UserError> {
    const ROUNDS: u32 = 500;
    let path = folder.join("bench-fsync");
    let error = |error: std::io::Error| {
        UserError::new(
            ErrorKind::Store,
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let mut file = File::create(&path).map_err(error)?;
    let started = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&[7; 1024])
            .and_then(|()| file.sync_data())
            .map_err(error)?;
    }
    let rate = f64::from(ROUNDS) / started.elapsed().as_secs_f64();
    std::fs::remove_file(&path).map_err(error)?;
    Ok(rate)
}

impl Report {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:44}{value}");
        };
        line("threads for guests", self.threads.to_string());
        line(
            "bare wasmtime, calls a second",
            format!("{:.0}", self.bare_per_s),
        );
        line(
            "bare wasmtime, CPU a call",
            format!("{:.3} ms", self.bare_cpu_ms),
        );
        line(
            "fan-out, durable, tasks a second",
            format!("{:.0}", self.fan_out.tasks_per_s),
        );
        line(
            "fan-out, CPU a task",
            format!("{:.3} ms", self.fan_out.cpu_ms_per_task),
        );
        line(
            "orchestrated to bare",
            format!("{:.0} %", self.orchestrated_to_bare * 100.0),
        );
        line(
            &format!("chain of {} durable tasks", self.chain.tasks),
            format!("{:.3} s", self.chain.wall_s),
        );
        line(
            "ready to done, p50 / p99",
            format!(
                "{:.2} / {:.2} ms",
                self.ready_to_done_p50_ms, self.ready_to_done_p99_ms
            ),
        );
        if let Some(mapped) = &self.mapped {
            line(
                &format!("mapped over {} elements", mapped.run.tasks),
                format!("{:.1} s", mapped.run.wall_s),
            );
            line(
                "memory growth an element",
                format!("{:.0} bytes", mapped.rss_bytes_per_element),
            );
        }
        line(
            "fdatasync of 1 KiB, a second",
            format!("{:.0}", self.fsync_per_s),
        );
        line("peak resident set", format!("{:.1} MiB", self.peak_rss_mib));
        text
    }
}
