//! `airlock bench --lang`: makes an operator in each language as `plugins new` does, and measures all of them in one run.

use super::args::{Bench, Global};
use super::bench::{bench, told};
use super::output::say;
use crate::app::{App, Config, Data};
use crate::bench::{LangReport, lang};
use crate::build::{Language, Tools, build, create};
use crate::error::{ErrorKind, UserError};
use crate::plugins::PluginSources;
use std::path::Path;

pub(super) fn run(global: &Global, args: &Bench, base: Config) -> Result<(), UserError> {
    let scratch = tempfile::Builder::new()
        .prefix(".airlock-bench-")
        .tempdir_in(".")
        .map_err(usage)?;
    let plugins = scratch.path().join("plugins");
    std::fs::create_dir(&plugins).map_err(usage)?;
    let (names, left_out) = if args.components.is_empty() {
        made(global, scratch.path(), &plugins)
    } else {
        (given(&args.components, &plugins)?, Vec::new())
    };
    let sources = PluginSources {
        folders: vec![plugins],
        ..base.plugins.clone()
    };
    let config = Config {
        data: Data::Folder(scratch.path().join("data")),
        plugins: sources,
        parallelism: 64,
        recover: false,
        echo: None,
        ..base
    };
    if !global.json {
        say("measuring; other work on this machine spoils the figures");
    }
    let report = bench(config, async |app: &App| lang(app, &names, left_out).await)?;
    told(global, &report, LangReport::text)
}

fn usage(error: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, error)
}

/// One plugin a language, called after it, and which could not be made.
fn made(global: &Global, scratch: &Path, plugins: &Path) -> (Vec<String>, Vec<String>) {
    let (mut names, mut left_out) = (Vec::new(), Vec::new());
    for language in Language::ALL {
        let name = format!("{}_hello", language.word());
        if !global.json {
            say(&format!("making {name}"));
        }
        let component = plugins.join(format!("{name}.wasm"));
        let made = create(&name, language, scratch)
            .and_then(|folder| build(&folder, Some(&component), &Tools::of_process()));
        match made {
            Ok(_) => names.push(name),
            Err(error) => left_out.push(format!("{language}: {error}")),
        }
    }
    (names, left_out)
}

/// Components that are there, under the names of their files.
fn given(components: &[std::path::PathBuf], plugins: &Path) -> Result<Vec<String>, UserError> {
    let mut names = Vec::new();
    for path in components {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        std::fs::copy(path, plugins.join(format!("{name}.wasm"))).map_err(|error| {
            UserError::new(
                ErrorKind::NotFound,
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
        names.push(name.into_owned());
    }
    Ok(names)
}
