//! Components that chance made, with wasm-smith: valid code that nobody would write. Each is refused in a sentence or runs to an
//! end within its limits, and the host has everything back.

use super::{MEMORY_BYTES, check_whole, limits};
use crate::support::*;
use airlock::sandbox::{AttemptLimits, Sandbox, SandboxConfig};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use wasm_encoder::{Encode, Function, HeapType, Instruction};
use wasmparser::{FuncType, Parser, Payload, TypeRef, ValType};

/// Host functions that a module made by chance may call, with whatever it has.
const IMPORTS: &str = r#"(module
    (import "airlock:operator/log@0.1.0" "log" (func (param i32 i32 i32)))
    (import "airlock:operator/progress@0.1.0" "is-cancelled" (func (result i32)))
    (import "airlock:operator/xcom@0.1.0" "push" (func (param i32 i32 i32 i32 i32)))
    (import "airlock:operator/storage@0.1.0" "delete" (func (param i32 i32 i32)))
    (import "airlock:operator/storage@0.1.0" "[resource-drop]reader" (func (param i32)))
    (import "airlock:operator/storage@0.1.0" "[method]reader.read" (func (param i32 i32 i32))))"#;
/// Functions of one module that are called.
const CALLS_MAX: usize = 8;

/// Asks the generator, which is built when it is not there.
fn made(kind: &str, imports: &[u8], count: u32) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // For this machine, in a folder of its own: the guests beside it are for another.
    let target = root.join("target/guests-test/smith");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .current_dir(root.join("tests/guests/smith"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the generator does not build");
    let mut generator = Command::new(target.join("release/guest-smith"))
        .args([kind, "0", &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = generator.stdin.take().unwrap();
    stdin.write_all(imports).unwrap();
    drop(stdin);
    let output = generator.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut rest = &output.stdout[..];
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(bytes.to_vec());
        rest = after;
    }
    assert_eq!(all.len(), count as usize);
    all
}

/// What must be known of a module to add to it. Everything is added at the end, so that no index of its own moves.
#[derive(Default)]
struct Shape {
    types: Vec<FuncType>,
    imported: u32,
    functions: Vec<u32>,
    memories: u32,
}

impl Shape {
    fn of(module: &[u8]) -> Self {
        let mut shape = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::TypeSection(types) => {
                    let types = types.into_iter_err_on_gc_types();
                    shape.types = types.map(Result::unwrap).collect();
                }
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map(Result::unwrap);
                    let is_function = |ty: &TypeRef| matches!(ty, TypeRef::Func(_));
                    let functions = imports.filter(|import| is_function(&import.ty));
                    shape.imported = u32::try_from(functions.count()).unwrap();
                }
                Payload::FunctionSection(functions) => {
                    shape.functions = functions.into_iter().map(Result::unwrap).collect();
                }
                Payload::MemorySection(memories) => shape.memories = memories.count(),
                _ => {}
            }
        }
        shape
    }

    /// Calls the module's own functions one after the other, with telling values; then says success.
    fn run(&self, seed: usize) -> Function {
        let mut body = Function::new([]);
        let count = self.functions.len();
        for step in 0..count.min(CALLS_MAX) {
            let at = (seed + step) % count;
            let ty = &self.types[self.functions[at] as usize];
            let values = ty.params().iter().map(|param| value(*param, seed + step));
            let Some(values) = values.collect::<Option<Vec<_>>>() else {
                continue;
            };
            for value in &values {
                body.instruction(value);
            }
            let index = self.imported + u32::try_from(at).unwrap();
            body.instruction(&Instruction::Call(index));
            for _ in ty.results() {
                body.instruction(&Instruction::Drop);
            }
        }
        body.instruction(&Instruction::I32Const(2048));
        body.instruction(&Instruction::End);
        body
    }
}

fn value(of: ValType, seed: usize) -> Option<Instruction<'static>> {
    const TELLING: [i32; 6] = [0, 1, -1, 65_535, i32::MIN, 4096];
    let number = TELLING[seed % TELLING.len()];
    Some(match of {
        ValType::I32 => Instruction::I32Const(number),
        ValType::I64 => Instruction::I64Const(i64::from(number)),
        ValType::F32 => Instruction::F32Const(f32::from(i16::MAX).into()),
        ValType::F64 => Instruction::F64Const(f64::NAN.into()),
        ValType::V128 => Instruction::V128Const(i128::from(number)),
        ValType::Ref(reference) if reference.is_func_ref() => Instruction::RefNull(HeapType::FUNC),
        ValType::Ref(reference) if reference.is_extern_ref() => {
            Instruction::RefNull(HeapType::EXTERN)
        }
        ValType::Ref(_) => return None,
    })
}

/// A module's sections in their order, each with its content.
fn sections(module: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut at = 8;
    let mut all = Vec::new();
    while at < module.len() {
        let id = module[at];
        let (size, start) = number(module, at + 1);
        all.push((id, module[start..start + size].to_vec()));
        at = start + size;
    }
    all
}

/// A number in LEB128, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut value, mut shift) = (0, 0);
    loop {
        value |= usize::from(bytes[at] & 0x7f) << shift;
        at += 1;
        if bytes[at - 1] & 0x80 == 0 {
            return (value, at);
        }
        shift += 7;
    }
}

const EXPORTS: u8 = 7;
const START: u8 = 8;
const DATA_COUNT: u8 = 12;
/// The order of sections; custom ones are left out.
const ORDER: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];

/// The module as a guest: with a memory, `cabi_realloc`, `describe` and `run` of its own behind everything that it has.
fn guest(module: &[u8], seed: usize) -> Vec<u8> {
    let shape = Shape::of(module);
    let types = u32::try_from(shape.types.len()).unwrap();
    let first = shape.imported + u32::try_from(shape.functions.len()).unwrap();
    let exports = [
        ("memory", 2, shape.memories),
        ("cabi_realloc", 0, first),
        ("airlock:operator/guest@0.1.0#describe", 0, first + 1),
        ("airlock:operator/guest@0.1.0#run", 0, first + 2),
    ];
    let returning = |address: i32| {
        let mut body = Function::new([]);
        body.instruction(&Instruction::I32Const(address));
        body.instruction(&Instruction::End);
        body
    };
    let bodies = [returning(4096), returning(64), shape.run(seed)];
    let encoded = |item: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        item(&mut bytes);
        bytes
    };
    let added: [(u8, Vec<Vec<u8>>); 6] = [
        // The three functions' types: four, none and one i32; each yields one.
        (
            1,
            [4, 0, 1]
                .map(|count| [&[0x60, count][..], &vec![0x7f; count.into()], &[1, 0x7f]].concat())
                .into(),
        ),
        (
            3,
            (types..types + 3)
                .map(|index| encoded(&|out| index.encode(out)))
                .collect(),
        ),
        (5, vec![vec![0, 1]]),
        (
            7,
            exports
                .map(|(name, kind, index)| {
                    encoded(&|out| {
                        name.encode(out);
                        out.push(kind);
                        index.encode(out);
                    })
                })
                .into(),
        ),
        (
            10,
            bodies.map(|body| encoded(&|out| body.encode(out))).into(),
        ),
        (
            11,
            DATA.map(|(at, bytes)| {
                encoded(&|out| {
                    out.push(2);
                    shape.memories.encode(out);
                    Instruction::I32Const(at).encode(out);
                    out.push(0x0b);
                    bytes.encode(out);
                })
            })
            .into(),
        ),
    ];
    with(module, &added)
}

/// `describe`'s answer: "wat" in version 1 with an operator "wat" and no DAGs; and where its texts lie.
const DATA: [(i32, &[u8]); 5] = [
    (
        64,
        b"\0\x02\0\0\x03\0\0\0\x10\x02\0\0\x01\0\0\0\x80\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0",
    ),
    (
        128,
        b"\0\x02\0\0\x03\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\x20\x02\0\0\x02\0\0\0",
    ),
    (512, b"wat"),
    (528, b"1"),
    (544, b"{}"),
];

/// Adds items to the ends of sections; its exports are replaced.
fn with(module: &[u8], added: &[(u8, Vec<Vec<u8>>)]) -> Vec<u8> {
    let own = sections(module);
    let mut out = module[..8].to_vec();
    for id in ORDER {
        let old = own.iter().find(|(other, _)| *other == id && id != EXPORTS);
        let old = old.map(|(_, content)| content.as_slice());
        // The count of data counts what another section holds.
        let of = if id == DATA_COUNT { 11 } else { id };
        let items = added.iter().find(|(other, _)| *other == of);
        let items = items.map_or(&[][..], |(_, items)| items);
        let content = match (id, old) {
            (START, Some(old)) => old.to_vec(),
            (START | DATA_COUNT, None) => continue,
            (_, None) if items.is_empty() => continue,
            _ => longer(old.unwrap_or(&[0]), items, id == DATA_COUNT),
        };
        out.push(id);
        content[..].encode(&mut out);
    }
    out
}

/// A list with more items, or its count alone.
fn longer(list: &[u8], items: &[Vec<u8>], is_count: bool) -> Vec<u8> {
    let (count, at) = number(list, 0);
    let mut longer = Vec::new();
    (count + items.len()).encode(&mut longer);
    if !is_count {
        longer.extend_from_slice(&list[at..]);
        longer.extend(items.concat());
    }
    longer
}

fn quick() -> AttemptLimits {
    AttemptLimits {
        cpu: Some(Duration::from_millis(20)),
        ..limits()
    }
}

/// One slot and the memory of one large attempt: what is not given back is missed at once.
fn small_impatient_sandbox() -> Sandbox {
    Sandbox::new(&SandboxConfig {
        workers: 1,
        attempts_max: 1,
        memory_bytes: 512 << 20,
        describe_timeout: Duration::from_millis(100),
        ..SandboxConfig::default()
    })
    .unwrap()
}

/// How many ended in which way.
#[derive(Debug, Default)]
struct Ends {
    refused: u32,
    well: u32,
    trapped: u32,
    stopped: u32,
}

impl Ends {
    fn play(&mut self, sandbox: &Sandbox, bytes: &[u8], name: &str) {
        let plugin = match sandbox.load(bytes) {
            Ok(plugin) => plugin,
            Err(error) => {
                let words = error.to_string();
                assert!(
                    !words.is_empty() && words.len() < 8 << 10,
                    "{name}: {words}"
                );
                self.refused += 1;
                return;
            }
        };
        let mut hostile = attempt(&plugin, "wat", "{}");
        hostile.request.limits = quick();
        let report = block_on(sandbox.run(hostile.request));
        match &report.outcome {
            Outcome::Success(_) => self.well += 1,
            Outcome::Error(error) if error.kind == AttemptErrorKind::Trap => {
                assert!(!error.message.contains("a bug in Airlock"), "{name}");
                self.trapped += 1;
            }
            Outcome::Error(error) => {
                let kind = error.kind;
                assert_eq!(kind, AttemptErrorKind::LimitExceeded, "{name}: {error:?}");
                self.stopped += 1;
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(report.usage.memory_peak_bytes <= MEMORY_BYTES, "{name}");
        assert_eq!(
            Arc::strong_count(&hostile.seen),
            1,
            "{name}: ports are left"
        );
    }
}

#[test]
fn three_hundred_modules_made_by_chance_are_refused_or_end() {
    let imports = wat::parse_str(IMPORTS).unwrap();
    let modules = made("module", &imports, 300);
    let sandbox = small_impatient_sandbox();
    let mut ends = Ends::default();
    for (seed, module) in modules.iter().enumerate() {
        let name = format!("seed {seed}");
        let component = componentized(guest(module, seed));
        ends.play(&sandbox, &component, &name);
        if seed % 50 == 0 {
            check_whole(&sandbox, &name);
        }
    }
    check_whole(&sandbox, "all");
    // Most must run, or the corpus says nothing about the sandbox.
    assert!(ends.refused < 60, "{ends:?}");
    assert!(
        ends.well > 0 && ends.trapped > 0 && ends.stopped > 0,
        "{ends:?}"
    );
}

#[test]
fn a_hundred_components_made_by_chance_are_refused_in_a_sentence() {
    let sandbox = small_impatient_sandbox();
    let mut ends = Ends::default();
    for (seed, component) in made("component", &[], 100).iter().enumerate() {
        ends.play(&sandbox, component, &format!("seed {seed}"));
    }
    assert_eq!(ends.refused, 100, "none of them is an operator: {ends:?}");
    check_whole(&sandbox, "all");
}
