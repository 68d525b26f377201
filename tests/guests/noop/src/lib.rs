//! Does nothing: what it costs is what the sandbox costs.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "operator",
});

use airlock::operator::types::{OperatorInfo, OperatorKind};
use exports::airlock::operator::guest::{Guest, Outcome, PluginInfo, TaskContext, TaskError};

struct Noop;

impl Guest for Noop {
    fn describe() -> PluginInfo {
        PluginInfo {
            name: "noop".into(),
            version: "1.0.0".into(),
            operators: vec![OperatorInfo {
                name: "noop".into(),
                summary: "Does nothing.".into(),
                kind: OperatorKind::Operator,
                config_schema: "{}".into(),
            }],
            dags: vec![],
        }
    }

    fn run(_: TaskContext) -> Result<Outcome, TaskError> {
        Ok(Outcome::Success(None))
    }
}

export!(Noop);
