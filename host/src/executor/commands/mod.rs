//! Operators that start a program: `wasi-command` inside the sandbox, `native.command` outside of it. It owns what their
//! configs mean and the folders that programs work in. It refuses both as callbacks, and to decide who may do what: grants and
//! `airlock.toml` say that.

mod config;
mod folder;
mod native;
mod objects;
mod recent;
mod wasi;

pub use folder::WorkFolders;
pub use recent::Recent;

use super::Parts;
use crate::sandbox::bindings::airlock::operator::types::TaskContext;
use crate::sandbox::ports::Ports;
use crate::sandbox::{AttemptLimits, AttemptReport, CancelSignal, InterfaceSet};
use airlock_core::dag::commands::{NATIVE_COMMAND, WASI_COMMAND};
use airlock_core::ids::OperatorName;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use std::sync::Arc;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Wasi,
    Native,
}

impl Kind {
    /// None for an operator of a plugin.
    pub(super) fn of(operator: &OperatorName) -> Option<Self> {
        match operator.as_str() {
            WASI_COMMAND => Some(Self::Wasi),
            NATIVE_COMMAND => Some(Self::Native),
            _ => None,
        }
    }
}

/// An attempt that starts a program.
pub(super) struct Program {
    pub(super) kind: Kind,
    /// Rendered, as JSON.
    pub(super) config: String,
    /// Of the run and the task instance, for the environment of a native program.
    pub(super) about: Vec<(String, String)>,
    pub(super) limits: AttemptLimits,
    pub(super) scratch_bytes: Option<u64>,
    pub(super) granted: InterfaceSet,
    pub(super) ports: Arc<Ports>,
    pub(super) cancel: CancelSignal,
}

impl Program {
    /// Runs it to its end.
    pub(super) async fn carry_out(self, parts: &Arc<Parts>) -> AttemptReport {
        let ended = match self.kind {
            Kind::Wasi => wasi::run(self, parts).await,
            Kind::Native => native::run(self, parts).await,
        };
        ended.unwrap_or_else(|error| AttemptReport {
            outcome: Outcome::Error(error),
            usage: crate::sandbox::Usage::default(),
            denied: Vec::new(),
        })
    }
}

/// What a config says of a scratch folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It wants none.
    Nothing,
    /// As much as is granted.
    All,
    /// So many bytes.
    Bytes(u64),
}

/// The bytes of scratch that both the config and the grants allow, if any.
fn scratch_bytes(asked: Asked, granted: Option<u64>) -> Result<Option<u64>, AttemptError> {
    match (asked, granted) {
        (Asked::Nothing, _) => Ok(None),
        (_, None) => Err(refused(
            AttemptErrorKind::Unrunnable,
            "a scratch folder is not granted; the task needs the grant `scratch`, for example `scratch: 64MiB`",
        )),
        (Asked::All, granted) => Ok(granted),
        (Asked::Bytes(wanted), Some(granted)) if wanted > granted => Err(refused(
            AttemptErrorKind::Unrunnable,
            &format!(
                "its scratch folder asks for {wanted} bytes, the grant `scratch` allows {granted}"
            ),
        )),
        (Asked::Bytes(wanted), Some(_)) => Ok(Some(wanted)),
    }
}

fn refused(kind: AttemptErrorKind, message: &(impl ToString + ?Sized)) -> AttemptError {
    AttemptError {
        kind,
        message: message.to_string(),
    }
}

/// What a native program is told about its task instance.
pub(super) fn about(context: &TaskContext) -> Vec<(String, String)> {
    let date = context.logical_date.clone();
    let about = [
        ("AIRLOCK_DAG_ID", context.dag_id.clone()),
        ("AIRLOCK_RUN_ID", context.run_id.clone()),
        ("AIRLOCK_TASK_ID", context.task_id.clone()),
        ("AIRLOCK_MAP_INDEX", context.map_index.to_string()),
        ("AIRLOCK_TRY_NUMBER", context.try_number.to_string()),
        ("AIRLOCK_LOGICAL_DATE", date.unwrap_or_default()),
    ];
    about.map(|(name, value)| (name.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_is_what_was_asked_for_within_what_was_granted() {
        assert_eq!(scratch_bytes(Asked::Nothing, Some(9)), Ok(None));
        assert_eq!(scratch_bytes(Asked::All, Some(9)), Ok(Some(9)));
        assert_eq!(scratch_bytes(Asked::Bytes(5), Some(9)), Ok(Some(5)));
        for (asked, granted) in [
            (Asked::All, None),
            (Asked::Bytes(5), None),
            (Asked::Bytes(10), Some(9)),
        ] {
            let error = scratch_bytes(asked, granted).unwrap_err();
            assert_eq!(error.kind, AttemptErrorKind::Unrunnable);
            assert!(error.message.contains("`scratch`"), "{}", error.message);
        }
    }
}
