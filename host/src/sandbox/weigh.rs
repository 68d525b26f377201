//! How heavy a component is to compile, before it is compiled: time and memory of a compiler grow faster than the function
//! it compiles, and nothing can stop it half-way. It refuses by size, and leaves validity to the engine.

use super::inspect::LoadError;
use wasmparser::{Parser, Payload};

/// The largest function, bytes. Interpreters of whole languages have some of about 300 KiB.
pub(super) const FUNCTION_BYTES_MAX: usize = 1 << 20;
/// Local variables of one function. wasm itself allows 50,000.
const LOCALS_MAX: u64 = 20_000;
/// Functions over all modules. `CPython` has about 20,000.
const FUNCTIONS_MAX: u64 = 200_000;
/// Types over all modules and components.
const TYPES_MAX: u64 = 50_000;
/// Modules and components inside.
const PARTS_MAX: u64 = 1_000;
/// Globals, exports and imports over all modules.
const ITEMS_MAX: u64 = 200_000;

#[derive(Default)]
struct Weight {
    functions: u64,
    types: u64,
    parts: u64,
    items: u64,
}

/// Bytes that do not parse are for the engine to refuse, with its words.
pub(super) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let mut weight = Weight::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        weight.add(&payload).map_err(LoadError::TooHeavy)?;
    }
    Ok(())
}

impl Weight {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::CodeSectionStart { count, .. } => {
                more(&mut self.functions, *count, FUNCTIONS_MAX, "functions")
            }
            Payload::TypeSection(section) => {
                more(&mut self.types, section.count(), TYPES_MAX, "types")
            }
            Payload::ComponentTypeSection(section) => {
                more(&mut self.types, section.count(), TYPES_MAX, "types")
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                more(&mut self.parts, 1, PARTS_MAX, "modules")
            }
            Payload::GlobalSection(section) => self.item(section.count()),
            Payload::ExportSection(section) => self.item(section.count()),
            Payload::ImportSection(section) => self.item(section.count()),
            Payload::CodeSectionEntry(body) => function(body),
            _ => Ok(()),
        }
    }

    fn item(&mut self, count: u32) -> Result<(), String> {
        more(
            &mut self.items,
            count,
            ITEMS_MAX,
            "globals, exports and imports",
        )
    }
}

fn more(sum: &mut u64, count: u32, max: u64, what: &str) -> Result<(), String> {
    *sum = sum.saturating_add(u64::from(count));
    if *sum > max {
        return Err(format!("it has over {max} {what}"));
    }
    Ok(())
}

fn function(body: &wasmparser::FunctionBody<'_>) -> Result<(), String> {
    let size = body.range().len();
    if size > FUNCTION_BYTES_MAX {
        return Err(format!(
            "one of its functions has {size} bytes, the limit is {FUNCTION_BYTES_MAX}"
        ));
    }
    let mut locals = 0_u64;
    for group in body.get_locals_reader().into_iter().flatten() {
        let Ok((count, _)) = group else { return Ok(()) };
        locals = locals.saturating_add(u64::from(count));
    }
    if locals > LOCALS_MAX {
        return Err(format!(
            "one of its functions has {locals} local variables, the limit is {LOCALS_MAX}"
        ));
    }
    Ok(())
}
