//! `cargo xtask bindings`: the C face of `wit/`, generated into the C SDK, to be committed: whoever writes an operator in C needs no
//! generator.

use crate::shell::root;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// Writes the files.
pub(crate) fn run() -> Result<()> {
    let files = generate()?;
    for (name, bytes) in files.iter() {
        let path = folder().join(name);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    root().join("sdk-guest/c/generated")
}

fn generate() -> Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root().join("wit"))?;
    let world = resolve.select_world(&[package], Some("operator"))?;
    let mut files = Files::default();
    let options = wit_bindgen_c::Opts {
        // `airlock plugins build` puts the contract into the module itself.
        no_object_file: true,
        ..wit_bindgen_c::Opts::default()
    };
    options.build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_bindings_are_those_of_the_contract() {
        for (name, bytes) in generate().unwrap().iter() {
            let committed = fs::read(folder().join(name)).unwrap();
            assert!(
                committed == bytes,
                "sdk-guest/c/generated/{name} is old: run `cargo xtask bindings`"
            );
        }
    }
}
