//! The text rules of identifiers. Everything outside this file holds a parsed id, never a raw string,
//! so that no id can be joined into a path or a key before it was checked.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest id Airlock accepts, in bytes (Airflow's column width).
pub const ID_BYTES_MAX: usize = 250;

/// A text that is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {reason}")]
pub struct InvalidId {
    /// Which kind of id was expected, in Airflow's word, for example `dag_id`.
    pub kind: &'static str,
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn check_key(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    let invalid = |reason| InvalidId {
        kind,
        text: text.chars().take(ID_BYTES_MAX).collect(),
        reason,
    };
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    if text.len() > ID_BYTES_MAX {
        return Err(invalid("it is longer than 250 bytes"));
    }
    if text.bytes().all(|byte| byte == b'.') {
        return Err(invalid("it is only dots"));
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    {
        Ok(())
    } else {
        Err(invalid(
            "only ASCII letters, digits, '_', '-' and '.' are allowed",
        ))
    }
}

/// A run id also holds the `:` and `+` of an ISO date; it is never a file name.
fn check_run(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    let invalid = |reason| InvalidId {
        kind,
        text: text.chars().take(ID_BYTES_MAX).collect(),
        reason,
    };
    if text.is_empty() {
        return Err(invalid("it is empty"));
    }
    if text.len() > ID_BYTES_MAX {
        return Err(invalid("it is longer than 250 bytes"));
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:+~".contains(&byte))
    {
        Ok(())
    } else {
        Err(invalid(
            "only ASCII letters, digits and '_-.:+~' are allowed",
        ))
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `text`; the error names the rule that was broken.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                $check($kind, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.to_string()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

id!(
    /// Names a DAG; unique in one data folder.
    DagId, "dag_id", check_key
);
id!(
    /// Names a task; unique inside its DAG.
    TaskId, "task_id", check_key
);
id!(
    /// Names a run; unique inside its DAG, for example `scheduled__2026-01-05T02:00:00+00:00`.
    RunId, "run_id", check_run
);
id!(
    /// Names a pool.
    PoolName, "pool", check_key
);
id!(
    /// Names an operator as a DAG writes it: `plugin` or `plugin.operator`.
    OperatorName, "operator", check_key
);

impl OperatorName {
    /// The plugin that it is looked for in.
    pub fn plugin(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

/// The place of a task in its DAG's list of tasks: dense, from 0, stable for one DAG version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskIndex(pub u32);

impl TaskIndex {
    /// The index for slices.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// The place of a task group in its DAG's list of groups: dense, from 0, stable for one DAG version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupIndex(pub u32);

impl GroupIndex {
    /// The index for slices.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A task instance inside one run: a task and its map index (-1 when unmapped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskInstanceKey {
    /// Which task.
    pub task: TaskIndex,
    /// Which element of a mapped task; -1 when the task is unmapped or not yet expanded.
    pub map_index: i32,
}
