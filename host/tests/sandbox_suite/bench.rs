//! What the sandbox costs. Not a test: run with `--ignored --nocapture bench_bare`.

use crate::support::*;
use airlock::sandbox::{Allocation, Sandbox, SandboxConfig};
use std::time::{Duration, Instant};

const RUNS: u32 = 5_000;

/// CPU of the whole process, exact to 10 ms.
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "a measurement"]
fn bench_bare() {
    for allocation in [Allocation::OnDemand, Allocation::Pooling] {
        let sandbox = Sandbox::new(&SandboxConfig {
            workers: 1,
            allocation,
            ..SandboxConfig::default()
        })
        .unwrap();
        let plugin = noop(&sandbox);
        let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(RUNS);
        sandbox.bare(&plugin, &context("noop", "{}"), 500).unwrap();
        let bare = sandbox.bare(&plugin, &context("noop", "{}"), RUNS).unwrap();
        println!(
            "{allocation:?} bare: {:.1} us wall, {:.1} us CPU each",
            each(bare.wall),
            each(bare.cpu.unwrap_or_default())
        );
        let (cpu, begun) = (process_cpu(), Instant::now());
        block_on(async {
            for _ in 0..RUNS {
                sandbox.run(attempt(&plugin, "noop", "{}").request).await;
            }
        });
        let (cpu, wall) = (process_cpu().saturating_sub(cpu), begun.elapsed());
        println!(
            "{allocation:?} run, one by one: {:.1} us wall, {:.1} us CPU each",
            each(wall),
            each(cpu)
        );
        let (cpu, begun) = (process_cpu(), Instant::now());
        block_on(async {
            for _ in 0..RUNS / 50 {
                let batch: Vec<_> = (0..50)
                    .map(|_| sandbox.run(attempt(&plugin, "noop", "{}").request))
                    .collect();
                for run in batch {
                    run.await;
                }
            }
        });
        let (cpu, wall) = (process_cpu().saturating_sub(cpu), begun.elapsed());
        println!(
            "{allocation:?} run, 50 at once: {:.1} us wall, {:.1} us CPU each",
            each(wall),
            each(cpu)
        );
    }
}
