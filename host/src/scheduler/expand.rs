//! Evaluates `expand` templates over the run's own XComs: what the run state machine asks for when a mapped task is due.

use super::view::RunView;
use crate::render::{OF_THE_RUN, context};
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::state::RunState;
use serde_json::Value;
use std::sync::Arc;

/// Sees the run's view, which holds every XCom that the state holds.
pub(super) struct Evaluator {
    pub(super) view: Arc<RunView>,
}

impl ExpandEvaluator for Evaluator {
    fn evaluate(&self, template: &str, _state: &RunState) -> Result<Value, String> {
        airlock_core::template::evaluate(template, &context(&self.view, None, OF_THE_RUN))
            .map_err(|error| error.to_string())
    }
}
