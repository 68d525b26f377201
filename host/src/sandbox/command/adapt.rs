//! A WASI 0.1 module as a `wasi:cli/command` component. The adapter is Bytecode Alliance's own; it knows no exit code but 0 and
//! 1, so `proc_exit` is led past it to `wasi:cli/exit.exit-with-code`, which has the same shape. It refuses to run anything.

use crate::sandbox::inspect::LoadError;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_0_1,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ImportSection, Module, RawSection};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interface with exit codes, as the adapter has it, so that both sides are one import.
const EXIT: &str = "wasi:cli/exit@0.2.12";
const EXIT_WIT: &str = "package wasi:cli@0.2.12;
interface exit { exit: func(status: result); exit-with-code: func(status-code: u8); }
world exits { import exit; }";

/// The component of a module, or why there is none.
pub(super) fn component(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let module = with_exit_codes(module).map_err(|error| LoadError::Invalid(error.to_string()))?;
    let wrong = |error: &dyn std::fmt::Display| LoadError::NoCommand(format!("{error:#}"));
    let module = match module {
        Rewritten::Exits(mut module) => {
            let mut resolve = Resolve::default();
            let package = resolve.push_str("exit.wit", EXIT_WIT);
            let package = package.map_err(|error| wrong(&error))?;
            let world = resolve.select_world(&[package], Some("exits"));
            let world = world.map_err(|error| wrong(&error))?;
            embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
                .map_err(|error| wrong(&error))?;
            module
        }
        Rewritten::NeverExits(module) => module,
    };
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.adapter(WASI_0_1, ADAPTER))
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| wrong(&error))
}

enum Rewritten {
    Exits(Vec<u8>),
    NeverExits(Vec<u8>),
}

/// Every section as it is, but the imports: there `proc_exit` becomes `exit-with-code`. Indexes stay what they are.
fn with_exit_codes(bytes: &[u8]) -> Result<Rewritten, Box<dyn std::error::Error>> {
    let mut module = Module::new();
    let mut exits = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::ImportSection(imports) = payload {
            let mut section = ImportSection::new();
            for import in imports.into_imports() {
                let import = import?;
                let ty = RoundtripReencoder.entity_type(import.ty)?;
                if (import.module, import.name) == (WASI_0_1, "proc_exit") {
                    section.import(EXIT, "exit-with-code", ty);
                    exits = true;
                } else {
                    section.import(import.module, import.name, ty);
                }
            }
            module.section(&section);
        } else if let Some((id, range)) = payload.as_section() {
            let data = bytes.get(range).unwrap_or_default();
            module.section(&RawSection { id, data });
        }
    }
    let module = module.finish();
    Ok(if exits {
        Rewritten::Exits(module)
    } else {
        Rewritten::NeverExits(module)
    })
}
