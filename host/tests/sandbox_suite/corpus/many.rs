//! Several memories and tables in one component: wasmtime's own adapters between the parts of a composed component need them,
//! so they are valid here. What an attempt may have is over their sum, and over their number.

use super::cases::{Case, End, RUN, parts, with};
use super::{check_whole, limits, play, small_sandbox};
use crate::support::*;
use airlock::sandbox::{Allocation, Sandbox, SandboxConfig};

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const REALLOC: &str =
    r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))"#;
const DESCRIBE: &str =
    r#"(func (export "airlock:operator/guest@0.1.0#describe") (result i32) (i32.const 64))"#;
const OVER: &str = "limit is 16777216";

/// A guest with its memory, `run` and further items.
fn beside(name: &'static str, items: &str, end: End) -> Case {
    parts(name, &[MEMORY, REALLOC, DESCRIBE, RUN, items], end)
}

fn cases() -> Vec<Case> {
    // A page is 64 KiB: 120 are 7.5 MiB, half of what an attempt of the corpus may have.
    let three = "(memory 120) ".repeat(3);
    let grown = "(memory $a 1) (memory $b 1) (memory $c 1)";
    let grow = |memory: &str| format!("(drop (memory.grow ${memory} (i32.const 100)))");
    let in_turn = ["a", "b", "c"].map(grow).concat();
    let copied = "(loop $l (memory.copy $a $b (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l)) (unreachable)";
    let outside = "(memory.copy $a $b (i32.const 0) (i32.const 65536) (i32.const 1)) (unreachable)";
    let tables = "(table 30000 funcref) ".repeat(4);
    vec![
        beside(
            "three memories whose sum is over the limit",
            &three,
            End::Limit(OVER),
        ),
        with(
            "three memories grown in turn",
            "",
            grown,
            &format!("(loop $l {in_turn} (br $l)) (unreachable)"),
            End::Limit(OVER),
        ),
        beside(
            "memories over what describe may have",
            &"(memory 2000) ".repeat(3),
            End::Refused("of memory"),
        ),
        beside(
            "nine memories",
            &"(memory 0) ".repeat(8),
            End::Refused("memor"),
        ),
        beside(
            "a hundred memories",
            &"(memory 0) ".repeat(99),
            End::Refused("memor"),
        ),
        with(
            "a memory copied into another without end",
            "",
            grown,
            copied,
            End::Limit("computed longer"),
        ),
        with(
            "a copy from outside of a second memory",
            "",
            grown,
            outside,
            End::Trap("out of bounds"),
        ),
        beside(
            "four tables whose sum is over the limit",
            &tables,
            End::Refused("table"),
        ),
        with(
            "three tables grown in turn",
            "",
            "(table $a 1 funcref) (table $b 1 funcref) (table $c 1 funcref)",
            "(loop $l (drop (table.grow $a (ref.null func) (i32.const 1000))) (drop (table.grow $b (ref.null func) (i32.const 1000))) (drop (table.grow $c (ref.null func) (i32.const 1000))) (br $l)) (unreachable)",
            End::Limit("table elements"),
        ),
        beside(
            "four memories",
            "(memory 1) (memory 1) (memory 1)",
            End::Success,
        ),
    ]
}

#[test]
fn several_memories_and_tables_count_together() {
    let sandbox = small_sandbox();
    for case in cases() {
        play(&sandbox, &case);
        check_whole(&sandbox, case.name);
    }
}

/// A composed component of two guests has two; without multi-memory wasmtime panics while it compiles one.
#[test]
fn two_memories_compile_run_and_are_both_counted() {
    let on_demand = Sandbox::new(&SandboxConfig {
        workers: 1,
        allocation: Allocation::OnDemand,
        ..SandboxConfig::default()
    })
    .unwrap();
    let two = wat_guest(
        "",
        r#"(memory $other 16)
           (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32)
             (i32.store $other (i32.const 8) (i32.const 7))
             (memory.copy 0 $other (i32.const 8192) (i32.const 8) (i32.const 4))
             (if (i32.ne (i32.load (i32.const 8192)) (i32.const 7)) (then (unreachable)))
             (i32.const 2048))"#,
    );
    // Where instances live must not decide what is valid.
    for sandbox in [small_sandbox(), on_demand] {
        let plugin = sandbox.load(&two).unwrap();
        let mut run = attempt(&plugin, "wat", "{}");
        run.request.limits = limits();
        let report = block_on(sandbox.run(run.request));
        assert_eq!(success(&report), None);
        assert_eq!(report.usage.memory_peak_bytes, 17 << 16);
    }
}
