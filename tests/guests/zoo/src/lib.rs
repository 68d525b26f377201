//! Many kinds of guests in one component, well-behaved and hostile. `operator` says which one is meant, `config` is its
//! argument.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "operator",
});

mod objects;

use airlock::operator::types::{InvalidInput, OperatorInfo, OperatorKind};
use airlock::operator::{log, progress, secrets, storage, xcom};
use exports::airlock::operator::guest::{Guest, Outcome, PluginInfo, TaskContext, TaskError};
use std::hint::black_box;
use std::time::{Duration, Instant};

struct Zoo;

const NAMES: [&str; 27] = [
    "echo", "context", "transient", "permanent", "invalid-input", "skip", "branch", "defer", "garbage", "spin",
    "memory-bomb", "recursion", "log-flood", "stdout-flood", "long-lines", "panic-ansi", "big-return", "big-call",
    "handle-leak", "tiny-calls", "sleep", "ignore-cancel", "honour-cancel", "exit", "residue", "ask-denied",
    "objects",
];

impl Guest for Zoo {
    fn describe() -> PluginInfo {
        let operators = NAMES.iter().map(|name| OperatorInfo {
            name: (*name).into(),
            summary: "A test.".into(),
            kind: OperatorKind::Operator,
            config_schema: "{}".into(),
        });
        PluginInfo {
            name: "zoo".into(),
            version: "1.0.0".into(),
            operators: operators.collect(),
            dags: vec![],
        }
    }

    fn run(context: TaskContext) -> Result<Outcome, TaskError> {
        match context.operator.as_str() {
            "echo" => {
                println!("echo says {}", context.config);
                Ok(Outcome::Success(Some(context.config)))
            }
            "context" => Ok(Outcome::Success(Some(format!(
                "[{:?},{:?},{:?},{},{},{}]",
                context.dag_id, context.run_id, context.task_id, context.map_index, context.try_number, context.inputs.len()
            )))),
            "transient" => Err(TaskError::Transient("not now".into())),
            "permanent" => Err(TaskError::Permanent("never\x1b[2J".into())),
            "invalid-input" => Err(TaskError::InvalidInput(InvalidInput {
                field: "url".into(),
                message: "is missing".into(),
            })),
            "skip" => Ok(Outcome::Skip("nothing to do".into())),
            "branch" => Ok(Outcome::Branch(vec!["a".into(), "b".into()])),
            "defer" => Ok(Outcome::Defer(context.config)),
            "garbage" => Ok(Outcome::Success(Some("{not json".into()))),
            _ => misbehave(&context),
        }
    }
}

/// Named in a trap's message, so it must stay a function.
#[inline(never)]
fn misbehave(context: &TaskContext) -> Result<Outcome, TaskError> {
    match context.operator.as_str() {
        "spin" => loop {
            black_box(0);
        },
        "memory-bomb" => memory_bomb(),
        "recursion" => number(recursion(black_box(0))),
        "log-flood" => log_flood(),
        "stdout-flood" => stdout_flood(),
        "long-lines" => long_lines(),
        "panic-ansi" => panic!("\x1b[31mpwned\x1b[0m \u{202e}txt.exe"),
        "big-return" => Ok(Outcome::Success(Some(format!("{:?}", "x".repeat(argument(context) as usize))))),
        "big-call" => {
            let value = "x".repeat(argument(context) as usize);
            let answer = xcom::push("big", &value);
            number(answer.is_ok().into())
        }
        "handle-leak" => handle_leak(),
        "tiny-calls" => number((0..argument(context)).filter(|_| progress::is_cancelled()).count() as u64),
        "sleep" => {
            std::thread::sleep(Duration::from_millis(argument(context)));
            number(1)
        }
        "ignore-cancel" => {
            log::log(log::Level::Info, "begun");
            loop {
                black_box(progress::is_cancelled());
            }
        }
        "honour-cancel" => {
            log::log(log::Level::Info, "begun");
            while !progress::is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            log::log(log::Level::Info, "saved a checkpoint");
            number(1)
        }
        "exit" => std::process::exit(3),
        "residue" => residue(argument(context) as usize),
        "ask-denied" => ask_denied(),
        "objects" => {
            // The one member of the config is a script without quotes.
            let script = context.config.split('"').nth(3).expect("config holds a script");
            Ok(Outcome::Success(Some(objects::play(script))))
        }
        other => Err(TaskError::Permanent(format!("no operator {other}"))),
    }
}

/// A number alone, or the one member of an object: what a DAG file can say.
fn argument(context: &TaskContext) -> u64 {
    let digits = context.config.trim_matches(|letter: char| !letter.is_ascii_digit());
    digits.parse().expect("config holds a number")
}

fn number(value: u64) -> Result<Outcome, TaskError> {
    Ok(Outcome::Success(Some(value.to_string())))
}

fn memory_bomb() -> Result<Outcome, TaskError> {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1u8; 1 << 20]));
    }
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn recursion(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    black_box(recursion(depth + 1)) + frame[3]
}

fn log_flood() -> Result<Outcome, TaskError> {
    let line = "y".repeat(1000);
    for _ in 0..10_000 {
        log::log(log::Level::Info, &line);
    }
    number(1)
}

fn stdout_flood() -> Result<Outcome, TaskError> {
    for line in 0..20_000 {
        println!("line {line} {}", "z".repeat(100));
    }
    number(1)
}

/// A line without an end, bytes that are no text, and an unfinished last line.
fn long_lines() -> Result<Outcome, TaskError> {
    use std::io::Write;
    let mut out = std::io::stdout();
    out.write_all("l".repeat(20_000).as_bytes()).expect("stdout");
    out.write_all(b"\n\xff\xfe bad \x1b]0;title\x07\n").expect("stdout");
    out.write_all(b"unfinished").expect("stdout");
    out.flush().expect("stdout");
    number(1)
}

fn handle_leak() -> Result<Outcome, TaskError> {
    let mut held = Vec::new();
    loop {
        match storage::open("file://./data/x") {
            Ok(reader) => held.push(reader),
            Err(error) => return Err(TaskError::Permanent(format!("after {}: {error:?}", held.len()))),
        }
    }
}

/// Whether fresh memory holds anything: says how many bytes are not zero, then dirties it all.
fn residue(bytes: usize) -> Result<Outcome, TaskError> {
    let pages = bytes.div_ceil(65536);
    let first = std::arch::wasm32::memory_grow(0, pages) * 65536;
    let memory = unsafe { std::slice::from_raw_parts_mut(first as *mut u8, pages * 65536) };
    let dirty = memory.iter().filter(|byte| **byte != 0).count();
    memory.fill(0xa5);
    black_box(memory);
    number(dirty as u64)
}

fn ask_denied() -> Result<Outcome, TaskError> {
    let begun = Instant::now();
    let storage = storage::open("file:///etc/passwd").err();
    let secret = secrets::placeholder("token").err();
    let environment = std::env::vars().count() + std::env::args().count();
    let file = std::fs::read("/etc/passwd").is_err();
    let text = format!("{storage:?} {secret:?} {environment} {file} {}", begun.elapsed().as_secs() < 3600);
    Ok(Outcome::Success(Some(format!("{text:?}"))))
}

export!(Zoo);
