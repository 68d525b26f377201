//! `airlock-simulator`: plays seeds on several threads and prints one figure, or the first violation and how to see it again.

use airlock_simulator::{Detail, EVENTS_SHOWN, Report, ScheduleStats, Stats, simulate};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const HELP: &str = "airlock-simulator [--seeds N] [--first S] [--threads T] [--trace]

  --seeds N     how many worlds to play (default 10000)
  --first S     the first seed (default 1)
  --threads T   how many at once (default: one for each core)
  --trace       print everything that happens; for one seed";
/// Seeds between two lines of progress.
const PROGRESS_SEEDS: u64 = 1_000;

struct Arguments {
    seeds: u64,
    first: u64,
    threads: usize,
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if arguments.trace {
        return show(arguments.first, Detail::All);
    }
    let (totals, schedules, failed) = play_all(&arguments);
    if let Some(seed) = failed {
        return show(seed, Detail::Events);
    }
    println!("schedules: {schedules}");
    println!(
        "{} seeds, {} steps, {} changes by people, {} crashes, {} stale messages, {} refused commits, 0 violations",
        arguments.seeds, totals.steps, totals.changes, totals.crashes, totals.stale, totals.refused
    );
    ExitCode::SUCCESS
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut arguments = Arguments {
        seeds: 10_000,
        first: 1,
        threads,
        trace: false,
    };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words
                .next()
                .ok_or_else(|| format!("{word} needs a number"))?;
            text.parse::<u64>()
                .map_err(|error| format!("{word} {text}: {error}"))
        };
        match word.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--first" => arguments.first = number()?,
            "--threads" => arguments.threads = usize::try_from(number()?).unwrap_or(1).max(1),
            "--trace" => arguments.trace = true,
            other => return Err(format!("there is no argument {other:?}")),
        }
    }
    Ok(arguments)
}

/// What was counted in runs and in schedules, and the lowest seed that broke an invariant.
type Totals = (Stats, ScheduleStats, Option<u64>);

/// Plays every seed.
fn play_all(arguments: &Arguments) -> Totals {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Totals> = Mutex::default();
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= arguments.seeds || failed.load(Ordering::Relaxed) {
                return;
            }
            let seed = arguments.first.wrapping_add(place);
            let report = simulate(seed, Detail::Off);
            let mut results = results
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            results.0 = sum(results.0, report.stats);
            results.1 = results.1.and(report.schedules);
            if report.violation.is_some() {
                failed.store(true, Ordering::Relaxed);
                results.2 = Some(results.2.map_or(seed, |other| other.min(seed)));
            }
            drop(results);
            if place % PROGRESS_SEEDS == PROGRESS_SEEDS - 1 {
                eprintln!("{} of {} seeds", place + 1, arguments.seeds);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(work);
        }
    });
    results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn sum(one: Stats, other: Stats) -> Stats {
    Stats {
        steps: one.steps + other.steps,
        crashes: one.crashes + other.crashes,
        stale: one.stale + other.stale,
        refused: one.refused + other.refused,
        changes: one.changes + other.changes,
        owners: one.owners + other.owners,
    }
}

/// Plays one seed again and prints its history.
fn show(seed: u64, detail: Detail) -> ExitCode {
    let Report {
        stats,
        schedules,
        violation,
        lines,
    } = simulate(seed, detail);
    for line in &lines {
        println!("{line}");
    }
    let Some(violation) = violation else {
        println!("schedules: {schedules}");
        println!(
            "1 seeds, {} steps, {} crashes, 0 violations",
            stats.steps, stats.crashes
        );
        return ExitCode::SUCCESS;
    };
    if detail == Detail::Events {
        println!("(the last {EVENTS_SHOWN} events)");
    }
    println!(
        "seed {seed} breaks {}: {}",
        violation.name, violation.sentence
    );
    println!("  {}", violation.detail);
    println!("replay: cargo xtask simulate --seeds 1 --first {seed} --trace");
    ExitCode::from(1)
}
