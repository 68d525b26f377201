//! Evaluates `expand` templates over the run's own XComs: what the run state machine asks for when a mapped task is due.

use super::history::RunsAround;
use super::view::RunView;
use crate::render::{OF_THE_RUN, context};
use crate::store::Store;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::state::RunState;
use serde_json::Value;
use std::sync::Arc;

/// Sees the run's view, which holds every XCom that the state holds, but for those of an attempt that ends in this step.
pub(super) struct Evaluator {
    pub(super) view: Arc<RunView>,
    pub(super) store: Arc<dyn Store>,
    /// The task instance whose attempt ends in this step.
    pub(super) ends: Option<TaskInstanceKey>,
}

impl ExpandEvaluator for Evaluator {
    fn evaluate(&self, template: &str, state: &RunState) -> Result<Value, String> {
        if let Some(ti) = self.ends {
            self.view.set(ti, state.xcoms_of(ti));
        }
        let around = RunsAround::new(self.store.clone(), self.view.clone());
        let names = context(&self.view, None, OF_THE_RUN).with_history(Arc::new(around));
        airlock_core::template::evaluate(template, &names).map_err(|error| error.to_string())
    }
}
