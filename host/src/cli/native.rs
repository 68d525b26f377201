//! `[native]` of `airlock.toml`, and how what is outside the sandbox is marked on a terminal. It refuses to allow anything by
//! itself: which path may be allowed, the native room says.

use crate::native::{NativePrograms, ProgramSettings};
use airlock_core::dag::commands::{NATIVE_COMMAND, NATIVE_MARK, WASI_COMMAND, is_native};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// What lists of plugins say of where these come from: as of a bundled plugin.
const ORIGIN: &str = "bundled";

/// `[native."/opt/train/run.sh"]` with `env`, `set_env`, `memory`, `file_size`, `open_files`, `processes` and `cpu_seconds`.
pub(super) fn settings(value: toml::Value) -> Result<NativePrograms, String> {
    let toml::Value::Table(programs) = value else {
        return Err("key \"native\" must be a table of programs".to_owned());
    };
    let mut allowed = NativePrograms::default();
    for (path, mut settings) in programs {
        let place = |why: String| format!("[native.{path:?}]: {why}");
        sizes(&mut settings).map_err(place)?;
        let settings: ProgramSettings = settings
            .try_into()
            .map_err(|error: toml::de::Error| place(error.message().to_owned()))?;
        allowed
            .allow(&path, settings)
            .map_err(|error| format!("[native]: {error}"))?;
    }
    Ok(allowed)
}

/// `memory = "8GiB"` is `memory_bytes = 8589934592`.
fn sizes(settings: &mut toml::Value) -> Result<(), String> {
    let Some(table) = settings.as_table_mut() else {
        return Err("a table is needed; it may be empty".to_owned());
    };
    for (key, bytes_key) in [("memory", "memory_bytes"), ("file_size", "file_bytes")] {
        if table.contains_key(bytes_key) {
            return Err(format!("unknown key {bytes_key:?}; write {key} = \"8GiB\""));
        }
        let Some(value) = table.remove(key) else {
            continue;
        };
        let bytes = match &value {
            toml::Value::String(text) => airlock_core::dag::size(text),
            other => other
                .as_integer()
                .and_then(|bytes| u64::try_from(bytes).ok()),
        };
        let bytes = bytes.and_then(|bytes| i64::try_from(bytes).ok());
        let bytes =
            bytes.ok_or_else(|| format!("{key} is no size; write \"8GiB\" and the like"))?;
        table.insert(bytes_key.to_owned(), toml::Value::Integer(bytes));
    }
    Ok(())
}

/// An operator as a person sees it: with its mark, red on a terminal, where it is outside the sandbox.
pub(super) fn marked(operator: &str) -> String {
    if is_native(operator) {
        format!("{operator} ({})", red(NATIVE_MARK))
    } else {
        operator.to_owned()
    }
}

fn red(text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let on_terminal = super::session::current().is_none() && std::io::stdout().is_terminal();
    if on_terminal && !plain {
        format!("\u{1b}[1;31m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// The operators that the host itself is, for `plugins list`: name, version, summary.
pub(super) fn rows(allowed: &NativePrograms) -> Vec<Vec<String>> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let native = format!("{}: {}", red(NATIVE_MARK), allowed_text(allowed));
    vec![
        vec![
            WASI_COMMAND.to_owned(),
            version.clone(),
            ORIGIN.to_owned(),
            "Runs a WASI command-line program in the sandbox.".to_owned(),
        ],
        vec![
            NATIVE_COMMAND.to_owned(),
            version,
            ORIGIN.to_owned(),
            native,
        ],
    ]
}

fn allowed_text(allowed: &NativePrograms) -> String {
    let paths: Vec<String> = allowed
        .paths()
        .map(|path| path.display().to_string())
        .collect();
    if paths.is_empty() {
        "off, airlock.toml allows no program.".to_owned()
    } else {
        format!("may start {}.", paths.join(", "))
    }
}

/// The same as JSON.
pub(super) fn values(allowed: &NativePrograms) -> [Value; 2] {
    let paths: Vec<_> = allowed.paths().collect();
    let version = env!("CARGO_PKG_VERSION");
    [
        json!({"name": WASI_COMMAND, "version": version, "origin": ORIGIN, "isolation": "sandbox", "operators": [{"name": WASI_COMMAND}]}),
        json!({"name": "native", "version": version, "origin": ORIGIN, "isolation": NATIVE_MARK, "programs": paths, "operators": [{"name": "command"}]}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NativePrograms, String> {
        let table: toml::Table = text.parse().unwrap();
        settings(table.get("native").unwrap().clone())
    }

    #[test]
    fn settings_have_their_units_and_unknown_ones_are_refused() {
        let program = std::fs::canonicalize("/bin/sh").unwrap();
        let program = program.to_str().unwrap();
        let text = format!(
            "[native.\"{program}\"]\nmemory = \"2GiB\"\ncpu_seconds = 60\nenv = [\"EPOCHS\"]\n"
        );
        let allowed = read(&text).unwrap();
        let settings = &allowed.find(program).unwrap().settings;
        assert_eq!(settings.memory_bytes, Some(2 << 30));
        assert_eq!(settings.cpu_seconds, Some(60));
        for (line, words) in [
            ("memory = \"lots\"", "no size"),
            ("memory_bytes = 5", "write memory"),
            ("memorie = 5", "memorie"),
            ("env = [\"LD_PRELOAD\"]", "other code"),
        ] {
            let error = read(&format!("[native.\"{program}\"]\n{line}\n")).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(read("native = true").is_err());
        assert!(read("[native]\n\"/bin/sh\" = true").is_err());
    }
}
