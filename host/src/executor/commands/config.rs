//! The configs of `wasi-command` and `native.command`. It refuses unknown keys, and arguments that no system would take.

use super::{Asked, refused};
use airlock_core::run::event::{AttemptError, AttemptErrorKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of all arguments and variables together: what Linux takes for one of them.
const WORDS_BYTES_MAX: usize = 128 << 10;
/// Arguments and variables.
const WORDS_MAX: usize = 4096;
/// Bytes of standard input.
const STDIN_BYTES_MAX: usize = 8 << 20;
/// Objects that are copied in, and out.
const OBJECTS_MAX: usize = 256;

/// Of `wasi-command`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WasiConfig {
    /// URI or path of the program, under the storage grants.
    pub(super) program: String,
    #[serde(default)]
    pub(super) args: Vec<Word>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Word>,
    #[serde(default)]
    pub(super) stdin: Option<Word>,
    /// `true`, or `{quota: 16MiB}`.
    #[serde(default)]
    pub(super) scratch: Option<Scratch>,
    /// Names in the folder, each with the URI of the object that is put there before the start.
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, String>,
    /// Names in the folder, each with the URI that it is kept at after a success.
    #[serde(default)]
    pub(super) outputs: BTreeMap<String, String>,
}

/// Of `native.command`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NativeConfig {
    /// Absolute path, as `airlock.toml` has it.
    pub(super) program: String,
    #[serde(default)]
    pub(super) args: Vec<Word>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Word>,
    #[serde(default)]
    pub(super) stdin: Option<Word>,
}

/// A text; every other value is its JSON, so that a template may yield a number or an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(super) struct Word(pub(super) String);

impl From<Value> for Word {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }
}

/// What a config says of its scratch folder.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scratch {
    /// All that is granted, or none.
    Wanted(bool),
    /// With a quota of its own.
    With(Quota),
}

/// See [`Scratch`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {
    quota: Size,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
struct Size(u64);

impl TryFrom<Value> for Size {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let bytes = match &value {
            Value::String(text) => airlock_core::dag::size(text),
            other => other.as_u64(),
        };
        bytes.map(Self).ok_or_else(|| {
            format!("{value} is no size; write 16MiB and the like, or bytes as a number")
        })
    }
}

impl WasiConfig {
    /// Whether a folder is wanted, and of what size; objects need one.
    pub(super) fn scratch(&self) -> Result<Asked, AttemptError> {
        let needed = !self.inputs.is_empty() || !self.outputs.is_empty();
        match &self.scratch {
            Some(Scratch::With(Quota { quota: Size(bytes) })) => Ok(Asked::Bytes(*bytes)),
            Some(Scratch::Wanted(true)) => Ok(Asked::All),
            None | Some(Scratch::Wanted(false)) if needed => Err(wrong(
                "`inputs` and `outputs` lie in a scratch folder; add `scratch: true`",
            )),
            None | Some(Scratch::Wanted(false)) => Ok(Asked::Nothing),
        }
    }
}

/// Arguments, environment and standard input, within their limits.
pub(super) struct Words {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) stdin: Vec<u8>,
}

impl Words {
    pub(super) fn new(
        args: Vec<Word>,
        env: BTreeMap<String, Word>,
        stdin: Option<Word>,
    ) -> Result<Self, AttemptError> {
        let arguments: Vec<String> = args.into_iter().map(|Word(text)| text).collect();
        let environment: Vec<(String, String)> = env
            .into_iter()
            .map(|(name, Word(text))| (name, text))
            .collect();
        let stdin = stdin
            .map(|Word(text)| text.into_bytes())
            .unwrap_or_default();
        let named = environment.iter().flat_map(|(name, value)| [name, value]);
        let bytes: usize = arguments.iter().chain(named.clone()).map(String::len).sum();
        if bytes > WORDS_BYTES_MAX || arguments.len() + environment.len() > WORDS_MAX {
            return Err(wrong(&format!(
                "`args` and `env` have over {WORDS_BYTES_MAX} bytes or {WORDS_MAX} members; pass large data through `stdin`"
            )));
        }
        if stdin.len() > STDIN_BYTES_MAX {
            return Err(wrong(&format!("`stdin` has over {STDIN_BYTES_MAX} bytes")));
        }
        if arguments
            .iter()
            .chain(named)
            .any(|text| text.contains('\0'))
        {
            return Err(wrong("`args` and `env` may hold no zero byte"));
        }
        if environment
            .iter()
            .any(|(name, _)| name.is_empty() || name.contains('='))
        {
            return Err(wrong("`env` has a name that no variable can have"));
        }
        Ok(Self {
            arguments,
            environment,
            stdin,
        })
    }
}

/// Reads a rendered config.
pub(super) fn read<T: DeserializeOwned>(config: &str) -> Result<T, AttemptError> {
    serde_json::from_str(config).map_err(|error| wrong(&format!("config: {error}")))
}

/// The names of objects in the folder must be plain: no way leads out of it, and none to another name.
pub(super) fn check_names(names: &BTreeMap<String, String>) -> Result<(), AttemptError> {
    if names.len() > OBJECTS_MAX {
        return Err(wrong(&format!("over {OBJECTS_MAX} objects are copied")));
    }
    for name in names.keys() {
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let odd = name.contains(['\\', '\0']) || name.chars().any(char::is_control);
        if odd || name.len() > 255 || !name.split('/').all(plain) {
            return Err(wrong(&format!(
                "{name:?} is no name in the scratch folder; write data.csv or part/data.csv"
            )));
        }
    }
    Ok(())
}

pub(super) fn wrong(message: &str) -> AttemptError {
    refused(AttemptErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<WasiConfig, AttemptError> {
        read(text)
    }

    #[test]
    fn values_that_are_no_text_are_their_json() {
        let read = config(r#"{"program": "p", "args": ["a", 1, true, {"x": 1}], "stdin": [1]}"#);
        let read = read.unwrap();
        let words = Words::new(read.args, read.env, read.stdin).unwrap();
        assert_eq!(words.arguments, ["a", "1", "true", r#"{"x":1}"#]);
        assert_eq!(words.stdin, b"[1]");
    }

    #[test]
    fn a_config_that_makes_no_sense_is_refused_with_its_place() {
        for (text, words) in [
            ("{}", "program"),
            (r#"{"program": "p", "argz": []}"#, "argz"),
            (r#"{"program": "p", "env": {"A=B": "c"}}"#, "no variable"),
            (r#"{"program": "p", "args": ["a\u0000b"]}"#, "zero byte"),
            (
                r#"{"program": "p", "inputs": {"x": "file://./x"}}"#,
                "scratch: true",
            ),
            (
                r#"{"program": "p", "scratch": {"quota": "lots"}}"#,
                "did not match",
            ),
        ] {
            let error = config(text).and_then(|read| {
                read.scratch()?;
                Words::new(read.args, read.env, read.stdin).map(|_| ())
            });
            let error = error.unwrap_err();
            assert_eq!(error.kind, AttemptErrorKind::InvalidInput);
            assert!(error.message.contains(words), "{text}: {}", error.message);
        }
        let large = Word("x".repeat(WORDS_BYTES_MAX + 1));
        assert!(Words::new(vec![large], BTreeMap::new(), None).is_err());
    }

    #[test]
    fn names_in_the_folder_lead_nowhere_else() {
        for bad in [
            "", "/x", "../x", "a/../b", "a//b", "a/", ".", "a\\b", "a\nb",
        ] {
            let names = [(bad.to_owned(), "file://./x".to_owned())].into();
            assert!(check_names(&names).is_err(), "{bad:?}");
        }
        let good = [("a/b.csv".to_owned(), "file://./x".to_owned())].into();
        check_names(&good).unwrap();
    }
}
