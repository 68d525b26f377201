//! From a core module of wit-bindgen's kind to a component: the contract goes in as metadata, WASI of the first version through
//! wasmtime's adapter. It refuses modules that do not keep to the contract, with what the encoder says.

use super::BuildError;
use std::path::Path;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Makes the component of `module`, a module for `world` of the contract in the folder `wit`; errors name `path`.
pub(super) fn encode(
    mut module: Vec<u8>,
    wit: &Path,
    world: &str,
    path: &Path,
) -> Result<Vec<u8>, BuildError> {
    let invalid = |doing: &str, reason: &dyn std::fmt::Display| BuildError::Invalid {
        path: path.to_owned(),
        reason: format!("{doing}: {reason}"),
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(wit)
        .map_err(|error| invalid("the contract cannot be read", &format!("{error:#}")))?;
    let world = resolve
        .select_world(&[package], Some(world))
        .map_err(|error| invalid("the contract cannot be read", &format!("{error:#}")))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| invalid("the compiler made no module", &format!("{error:#}")))?;
    let encoded = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| invalid("the module is no operator", &format!("{error:#}")))
}
