//! The components of the corpus, as text. The names say what each tries.

use crate::support::{wat_guest, wat_guest_of};
use std::fmt::Write as _;

/// How a case must end.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// It is not loaded, with these words.
    Refused(&'static str),
    /// A limit stops it.
    Limit(&'static str),
    /// It traps.
    Trap(&'static str),
    /// One of the two: which of its checks wasmtime makes first is its own affair.
    Stopped(&'static str),
    /// It does what it wants, within its limits.
    Success,
}
use End::{Limit, Refused, Stopped, Success, Trap};

/// One component.
pub struct Case {
    pub name: &'static str,
    pub component: Vec<u8>,
    pub end: End,
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const REALLOC: &str =
    r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))"#;
const DESCRIBE: &str =
    r#"(func (export "airlock:operator/guest@0.1.0#describe") (result i32) (i32.const 64))"#;
/// Returns a success without a value: zeros lie there.
pub const RUN: &str = r#"(func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32) (i32.const 2048))"#;
const COMPUTED: &str = "computed longer";

/// A guest whose `run` is `body`, which leaves the address of a result.
fn run(name: &'static str, body: &str, end: End) -> Case {
    with(name, "", "", body, end)
}

/// The same with imports and further items.
pub fn with(name: &'static str, imports: &str, items: &str, body: &str, end: End) -> Case {
    let run = format!(
        r#"{items} (func (export "airlock:operator/guest@0.1.0#run") (param i32) (result i32) {body})"#
    );
    let component = wat_guest(imports, &run);
    Case {
        name,
        component,
        end,
    }
}

/// A guest of which every part is given.
pub fn parts(name: &'static str, parts: &[&str], end: End) -> Case {
    let component = wat_guest_of("", &parts.concat());
    Case {
        name,
        component,
        end,
    }
}

pub fn cases() -> Vec<Case> {
    let mut all = loops();
    all.extend(elsewhere());
    all.extend(memory());
    all.extend(stacks());
    all.extend(traps());
    all.extend(results());
    all.extend(texts());
    all.extend(calls());
    all.extend(handles());
    all.extend(heavy());
    all
}

fn loops() -> Vec<Case> {
    vec![
        run(
            "an empty loop",
            "(loop $l (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop that computes",
            "(local $x i64) (loop $l (local.set $x (i64.mul (i64.add (local.get $x) (i64.const 7)) (i64.const 31))) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop that fills memory",
            "(loop $l (memory.fill (i32.const 8192) (i32.const 1) (i32.const 50000)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop that copies memory over itself",
            "(loop $l (memory.copy (i32.const 8193) (i32.const 8192) (i32.const 50000)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop that writes",
            "(loop $l (i64.store (i32.const 8192) (i64.add (i64.load (i32.const 8192)) (i64.const 1))) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        with(
            "two functions that call each other without end",
            "",
            "(func $a (call $b)) (func $b (loop $l (br $l)))",
            "(call $a) (unreachable)",
            Limit(COMPUTED),
        ),
        with(
            "a loop of indirect calls",
            "",
            "(table 1 funcref) (elem (i32.const 0) $f) (func $f) (type $t (func))",
            "(loop $l (call_indirect (type $t) (i32.const 0)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop of divisions",
            "(local $x i64) (loop $l (local.set $x (i64.div_u (i64.const -1) (i64.const 3))) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop of square roots",
            "(local $x f64) (loop $l (local.set $x (f64.sqrt (f64.const 2))) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        run(
            "a loop of branches",
            "(loop $l (block $a (block $b (br_table $a $b $l (i32.const 2))))) (unreachable)",
            Limit(COMPUTED),
        ),
    ]
}

/// Loops where no operator's code should be.
fn elsewhere() -> Vec<Case> {
    let forever = "(loop $l (br $l)) (unreachable)";
    let describe = format!(
        r#"(func (export "airlock:operator/guest@0.1.0#describe") (result i32) {forever})"#
    );
    let realloc =
        format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {forever})"#);
    let post_run = r#"(func (export "cabi_post_airlock:operator/guest@0.1.0#run") (param i32) (loop $l (br $l)))"#;
    let post_describe = r#"(func (export "cabi_post_airlock:operator/guest@0.1.0#describe") (param i32) (loop $l (br $l)))"#;
    let trap =
        r#"(func (export "cabi_post_airlock:operator/guest@0.1.0#run") (param i32) (unreachable))"#;
    let start = "(func $s (loop $l (br $l))) (start $s)";
    let deep = "(func $s (call $s)) (start $s)";
    vec![
        parts(
            "a loop in describe",
            &[MEMORY, REALLOC, &describe, RUN],
            Refused("no answer within"),
        ),
        parts(
            "a loop in the start function",
            &[MEMORY, REALLOC, DESCRIBE, RUN, start],
            Refused("no answer within"),
        ),
        parts(
            "recursion in the start function",
            &[MEMORY, REALLOC, DESCRIBE, RUN, deep],
            Refused("nested too deeply"),
        ),
        parts(
            "a trap in the start function",
            &[
                MEMORY,
                REALLOC,
                DESCRIBE,
                RUN,
                "(func $s (unreachable)) (start $s)",
            ],
            Refused("unreachable"),
        ),
        parts(
            "a loop in realloc",
            &[MEMORY, &realloc, DESCRIBE, RUN],
            Limit(COMPUTED),
        ),
        parts(
            "a loop in post-return",
            &[MEMORY, REALLOC, DESCRIBE, RUN, post_run],
            Limit(COMPUTED),
        ),
        parts(
            "a loop in describe's post-return",
            &[MEMORY, REALLOC, DESCRIBE, RUN, post_describe],
            Refused("no answer within"),
        ),
        parts(
            "a trap in post-return",
            &[MEMORY, REALLOC, DESCRIBE, RUN, trap],
            Trap("unreachable"),
        ),
    ]
}

fn memory() -> Vec<Case> {
    let large = r#"(memory (export "memory") 65536)"#;
    let bomb = "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (unreachable)";
    let grown = "(drop (memory.grow (i32.const 65535))) (unreachable)";
    let table = "(table $t 1 funcref)";
    let tables = "(table 1 funcref)".repeat(40);
    vec![
        run(
            "memory grown page by page",
            bomb,
            Limit("limit is 16777216"),
        ),
        run("memory grown at once", grown, Limit("limit is 16777216")),
        parts(
            "four gigabytes from the start",
            &[large, REALLOC, DESCRIBE, RUN],
            Refused("of memory"),
        ),
        parts(
            "data outside of memory",
            &[
                MEMORY,
                REALLOC,
                DESCRIBE,
                RUN,
                r#"(data (i32.const -8) "0123456789")"#,
            ],
            Refused("out of bounds"),
        ),
        with(
            "a table grown without end",
            "",
            table,
            "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l)) (unreachable)",
            Limit("table elements"),
        ),
        parts(
            "a table of ten million",
            &[MEMORY, REALLOC, DESCRIBE, RUN, "(table 10000000 funcref)"],
            Refused("table"),
        ),
        parts(
            "forty tables",
            &[MEMORY, REALLOC, DESCRIBE, RUN, &tables],
            Refused("table"),
        ),
        parts(
            "elements outside of a table",
            &[
                MEMORY,
                REALLOC,
                DESCRIBE,
                RUN,
                "(table 1 funcref) (elem (i32.const 9) $f) (func $f)",
            ],
            Refused("out of bounds"),
        ),
        with(
            "a table filled and copied without end",
            "",
            "(table $t 50000 funcref)",
            "(loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 50000)) (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 49999)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
    ]
}

fn stacks() -> Vec<Case> {
    let many = "(local i64)".repeat(500);
    let wide = format!(
        "(func $f (param i32) (result i32) {many} (i32.add (call $f (local.get 0)) (i32.const 1)))"
    );
    let deep = "nested too deeply";
    vec![
        with(
            "recursion",
            "",
            "(func $f (result i32) (i32.add (call $f) (i32.const 1)))",
            "(call $f)",
            Limit(deep),
        ),
        with(
            "recursion with large frames",
            "",
            &wide,
            "(call $f (i32.const 0))",
            Limit(deep),
        ),
        with(
            "mutual recursion",
            "",
            "(func $a (result i32) (i32.add (call $b) (i32.const 1))) (func $b (result i32) (i32.add (call $a) (i32.const 1)))",
            "(call $a)",
            Limit(deep),
        ),
        with(
            "recursion through a table",
            "",
            "(type $t (func (result i32))) (table 1 funcref) (elem (i32.const 0) $f) (func $f (type $t) (i32.add (call_indirect (type $t) (i32.const 0)) (i32.const 1)))",
            "(call $f)",
            Limit(deep),
        ),
        with(
            "recursion that asks the host at each step",
            r#"(import "airlock:operator/progress@0.1.0" "is-cancelled" (func $ask (result i32)))"#,
            "(func $f (result i32) (i32.add (call $ask) (call $f)))",
            "(call $f)",
            Limit(deep),
        ),
    ]
}

fn traps() -> Vec<Case> {
    let table = "(type $t (func)) (type $other (func (param i32))) (table 2 funcref) (elem (i32.const 0) $f) (func $f)";
    vec![
        run("unreachable", "(unreachable)", Trap("unreachable")),
        run(
            "a division by zero",
            "(drop (i32.div_u (i32.const 1) (i32.const 0))) (unreachable)",
            Trap("divide by zero"),
        ),
        run(
            "an overflowing division",
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1))) (unreachable)",
            Trap("overflow"),
        ),
        run(
            "a number that fits no integer",
            "(drop (i32.trunc_f64_s (f64.const nan))) (unreachable)",
            Trap("conversion"),
        ),
        run(
            "a read outside of memory",
            "(drop (i32.load (i32.const -4))) (unreachable)",
            Trap("out of bounds"),
        ),
        run(
            "a write outside of memory",
            "(i64.store (i32.const 65530) (i64.const 1)) (unreachable)",
            Trap("out of bounds"),
        ),
        run(
            "a write past an overflowing offset",
            "(i32.store offset=0xffffffff (i32.const -1) (i32.const 1)) (unreachable)",
            Trap("out of bounds"),
        ),
        run(
            "a fill outside of memory",
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1)) (unreachable)",
            Trap("out of bounds"),
        ),
        with(
            "a call to nothing",
            "",
            table,
            "(call_indirect (type $t) (i32.const 1)) (unreachable)",
            Trap("uninitialized"),
        ),
        with(
            "a call of another type",
            "",
            table,
            "(call_indirect (type $other) (i32.const 0) (i32.const 0)) (unreachable)",
            Trap("indirect call type mismatch"),
        ),
        with(
            "a call outside of the table",
            "",
            table,
            "(call_indirect (type $t) (i32.const 99)) (unreachable)",
            Trap("undefined element"),
        ),
    ]
}

/// A guest that writes words into its memory and says that its result is at 2048.
fn store(name: &'static str, words: &[(u32, u32)], end: End) -> Case {
    let mut body = String::new();
    for (at, value) in words {
        write!(body, "(i32.store (i32.const {at}) (i32.const {value}))").unwrap();
    }
    body.push_str("(i32.const 2048)");
    run(name, &body, end)
}

/// What `run` hands back is read by the host: every wrong form of it.
fn results() -> Vec<Case> {
    // result: 0 is ok; at 4 the outcome's case; at 8 and on its value.
    vec![
        run("a result outside of memory", "(i32.const -8)", Stopped("")),
        run(
            "a result that ends outside of memory",
            "(i32.const 65532)",
            Stopped(""),
        ),
        run(
            "a result at an odd place",
            "(i32.const 2049)",
            Trap("aligned"),
        ),
        store(
            "a result that is neither",
            &[(2048, 7)],
            Trap("discriminant"),
        ),
        store(
            "an outcome that does not exist",
            &[(2048, 0), (2052, 99)],
            Trap("discriminant"),
        ),
        store(
            "an error that does not exist",
            &[(2048, 1), (2052, 99)],
            Trap("discriminant"),
        ),
        store(
            "a value that is neither there nor not",
            &[(2048, 0), (2052, 0), (2056, 9)],
            Trap("discriminant"),
        ),
    ]
}

/// The same for texts and lists.
fn texts() -> Vec<Case> {
    vec![
        store(
            "a text of four gigabytes",
            &[(2048, 0), (2052, 1), (2056, 512), (2060, 0xffff_ffff)],
            Stopped(""),
        ),
        store(
            "a text outside of memory",
            &[(2048, 0), (2052, 1), (2056, 0xffff_0000), (2060, 100)],
            Stopped(""),
        ),
        store(
            "a text that is no UTF-8",
            &[
                (2048, 0),
                (2052, 1),
                (2056, 3000),
                (2060, 4),
                (3000, 0xfffe_fdfc),
            ],
            Trap("utf-8"),
        ),
        store(
            "a list of two billion texts",
            &[(2048, 0), (2052, 2), (2056, 0), (2060, 0x7fff_ffff)],
            Stopped(""),
        ),
        store(
            "a list that wraps round memory",
            &[(2048, 0), (2052, 2), (2056, 8), (2060, 0x2000_0000)],
            Stopped(""),
        ),
        store(
            "a value that is no JSON",
            &[(2048, 0), (2052, 0), (2056, 1), (2060, 512), (2064, 3)],
            Trap("not JSON"),
        ),
        store(
            "a time that is none",
            &[(2048, 0), (2052, 5), (2056, 512), (2060, 3)],
            Trap("RFC 3339"),
        ),
        store("nothing at all", &[], Success),
    ]
}

/// Host calls with arguments that no binding would make.
fn calls() -> Vec<Case> {
    let log = r#"(import "airlock:operator/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
    let push =
        r#"(import "airlock:operator/xcom@0.1.0" "push" (func $push (param i32 i32 i32 i32 i32)))"#;
    vec![
        with(
            "a million tiny host calls and more",
            r#"(import "airlock:operator/progress@0.1.0" "is-cancelled" (func $ask (result i32)))"#,
            "",
            "(loop $l (drop (call $ask)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        with(
            "a log without end",
            r#"(import "airlock:operator/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
            "",
            "(loop $l (call $log (i32.const 1) (i32.const 512) (i32.const 3)) (br $l)) (unreachable)",
            Limit(COMPUTED),
        ),
        with(
            "a log line of four gigabytes",
            log,
            "",
            "(call $log (i32.const 1) (i32.const 0) (i32.const -1)) (unreachable)",
            Stopped(""),
        ),
        with(
            "a log line outside of memory",
            log,
            "",
            "(call $log (i32.const 1) (i32.const -1) (i32.const 10)) (unreachable)",
            Stopped(""),
        ),
        with(
            "a log level that does not exist",
            log,
            "",
            "(call $log (i32.const 77) (i32.const 512) (i32.const 3)) (unreachable)",
            Trap("discriminant"),
        ),
        with(
            "a log line that is no UTF-8",
            log,
            r#"(data (i32.const 700) "\ff\fe\c0")"#,
            "(call $log (i32.const 1) (i32.const 700) (i32.const 3)) (unreachable)",
            Trap("utf-8"),
        ),
        with(
            "an answer that is to be written outside of memory",
            push,
            "",
            "(call $push (i32.const 512) (i32.const 1) (i32.const 544) (i32.const 2) (i32.const -4)) (unreachable)",
            Stopped(""),
        ),
    ]
}

/// Handles that are not there, or too many.
fn handles() -> Vec<Case> {
    let drop_reader = r#"(import "airlock:operator/storage@0.1.0" "[resource-drop]reader" (func $drop (param i32)))"#;
    let open =
        r#"(import "airlock:operator/storage@0.1.0" "open" (func $open (param i32 i32 i32)))"#;
    let read = r#"(import "airlock:operator/storage@0.1.0" "[method]reader.read" (func $read (param i32 i32 i32)))"#;
    let uri = r#"(data (i32.const 700) "file://./data/x")"#;
    let opened = "(call $open (i32.const 700) (i32.const 15) (i32.const 1024))";
    let handle = "(i32.load (i32.const 1028))";
    let twice = format!("{opened} (call $drop {handle}) (call $drop {handle}) (unreachable)");
    let after = format!(
        "{opened} (call $drop {handle}) (call $read {handle} (i32.const 1) (i32.const 1040)) (unreachable)"
    );
    let leak = format!("(loop $l {opened} (br $l)) (unreachable)");
    vec![
        with(
            "a handle of nothing dropped",
            drop_reader,
            "",
            "(call $drop (i32.const 0)) (unreachable)",
            Trap("handle"),
        ),
        with(
            "a handle that was never given dropped",
            drop_reader,
            "",
            "(call $drop (i32.const 9999)) (unreachable)",
            Trap("handle"),
        ),
        with(
            "a handle dropped twice",
            &format!("{drop_reader}{open}"),
            uri,
            &twice,
            Trap("handle"),
        ),
        with(
            "a reader used after its drop",
            &format!("{drop_reader}{open}{read}"),
            uri,
            &after,
            Trap("handle"),
        ),
        with(
            "readers that are never dropped",
            open,
            uri,
            &leak,
            Limit("handle"),
        ),
    ]
}

/// What would cost a compiler too much.
fn heavy() -> Vec<Case> {
    let guest = |more: &str| [MEMORY, REALLOC, DESCRIBE, RUN, more].concat();
    let case = |name, more: &str, end| Case {
        name,
        component: wat_guest_of("", &guest(more)),
        end,
    };
    let nops = format!("(func {})", "nop\n".repeat(1_100_000));
    let locals = format!("(func {})", "(local i64)".repeat(25_000));
    let functions = "(func)".repeat(210_000);
    let globals = "(global i32 (i32.const 0))".repeat(210_000);
    let nested = format!(
        "(func {} {})",
        "block\n".repeat(5_000),
        "end\n".repeat(5_000)
    );
    let table = format!(
        "(func (param i32) (block $b (br_table {} (local.get 0))))",
        "$b ".repeat(20_000)
    );
    let calls = format!("(func $leaf) (func {})", "call $leaf\n".repeat(20_000));
    vec![
        case(
            "a function of over a megabyte",
            &nops,
            Refused("too large to compile"),
        ),
        case(
            "a function with 25,000 local variables",
            &locals,
            Refused("too large to compile"),
        ),
        case(
            "210,000 functions",
            &functions,
            Refused("too large to compile"),
        ),
        case("210,000 globals", &globals, Refused("too large to compile")),
        case("5,000 blocks in each other", &nested, Success),
        case("a branch with 20,000 ways", &table, Success),
        case("20,000 calls in one function", &calls, Success),
    ]
}
