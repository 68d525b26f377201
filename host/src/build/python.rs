//! Python: a file or a folder of files to a component. componentize-py, pinned, in an environment of its own; the SDK comes from
//! this binary. The author's files are run inside WebAssembly alone, never in the builder's own interpreter.

use super::tools::{PypiTool, command};
use super::{BuildError, Language, Source, Tools, sdk};
use std::path::Path;

/// The tool, and the time zones that components bring along.
const COMPONENTIZE: PypiTool = PypiTool {
    name: "componentize-py",
    version: "0.25.1",
    requirements: include_str!("tools/componentize_py.txt"),
};
/// Exit code of the SDK's builder where its message is for the author.
const REFUSED: i32 = 3;

/// Makes the component.
pub(super) fn build(source: &Source, out: &Path, tools: &Tools) -> Result<(), BuildError> {
    let environment = tools.pypi(Language::Python, &COMPONENTIZE)?;
    let work = tempfile::tempdir().map_err(|error| BuildError::io(out, error))?;
    sdk::write("wit/", work.path())?;
    sdk::write("sdk-guest/python/", work.path())?;
    let sdk = work.path().join("sdk-guest/python");
    let path = source.file.as_ref().unwrap_or(&source.folder);
    let mut build = command(&environment.join("bin/python"));
    build
        .arg(sdk.join("airlock_sdk/builder.py"))
        .arg(path)
        .arg(out)
        .args(["--name", &operator_name(&source.name)])
        .arg("--contract")
        .arg(work.path().join("wit"))
        .arg("--componentize")
        .arg(environment.join("bin/componentize-py"))
        // Nothing of the person's own Python may change what the builder is.
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let done = build
        .output()
        .map_err(|error| BuildError::io(&environment, error))?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    match done.status.code() {
        Some(0) => Ok(()),
        Some(REFUSED) => Err(BuildError::Invalid {
            path: path.clone(),
            reason: said,
        }),
        _ => Err(BuildError::Refused {
            path: path.clone(),
            command: "componentize-py".to_owned(),
            output: said,
        }),
    }
}

/// What the component calls itself: the file's name, with `_` for what an operator's name cannot hold.
fn operator_name(name: &str) -> String {
    let keep = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    name.chars()
        .map(|letter| if keep(letter) { letter } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::operator_name;

    #[test]
    fn a_file_name_becomes_a_name_that_a_dag_can_write() {
        assert_eq!(operator_name("my dag.v2"), "my_dag_v2");
        assert_eq!(operator_name("churn-daily"), "churn-daily");
    }
}
