//! Questions that task instances ask people: which wait, and answering them. An answer is checked against its question before
//! it is given, because it cannot be taken back.

use super::App;
use super::changes::InstanceName;
use crate::capability::{Question, Response};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{Change, replay_run};
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use jiff::Timestamp;
use serde::Serialize;

/// What one task instance asks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PendingInput {
    /// Its DAG.
    pub dag_id: DagId,
    /// Its run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// What it asks.
    pub question: Question,
}

impl App {
    /// Every question of an unfinished run that nobody has answered, in the order of DAG, run and task.
    pub fn pending_inputs(&self) -> Result<Vec<PendingInput>, UserError> {
        let mut pending = Vec::new();
        for run in self.unfinished()? {
            let replayed = replay_run(self.store.as_ref(), &run.dag_id, &run.run_id)?;
            let dag = replayed.state.dag();
            for (ti, request) in replayed.state.pending_inputs() {
                let task = dag.task(ti.task);
                pending.push(PendingInput {
                    dag_id: run.dag_id.clone(),
                    run_id: run.run_id.clone(),
                    task_id: task.map_or(String::new(), |task| task.task_id.to_string()),
                    map_index: ti.map_index,
                    question: question(request)?,
                });
            }
        }
        Ok(pending)
    }

    /// Answers what a task instance asked.
    pub async fn answer(
        &self,
        name: &InstanceName,
        response: Response,
        user: &str,
    ) -> Result<(), UserError> {
        let question = self.open_question(name)?;
        let allowed = &question.assigned_users;
        if !allowed.is_empty() && !allowed.iter().any(|one| one == user) {
            let message = format!(
                "this question is for {}, not for {user}",
                allowed.join(", ")
            );
            return Err(UserError::new(ErrorKind::Denied, message).hint("ask one of them"));
        }
        let response = Response {
            responded_by: Some(user.to_owned()),
            responded_at: Some(Timestamp::now()),
            ..response
        };
        let response = question.check_response(response).map_err(|error| {
            UserError::new(
                ErrorKind::Usage,
                format!("the answer does not fit: {error}"),
            )
            .hint("`airlock tasks pending-inputs` shows the question")
        })?;
        let answer = serde_json::to_string(&response)
            .map_err(|error| UserError::new(ErrorKind::Bug, error))?;
        let change = Change::Answer {
            task_id: name.task_id.clone(),
            map_index: name.map_index,
            answer,
            by: user.to_owned(),
        };
        self.change_all(&name.dag_id, std::slice::from_ref(&name.run_id), &change)
            .await?;
        Ok(())
    }

    fn open_question(&self, name: &InstanceName) -> Result<Question, UserError> {
        let (dag_id, run_id) = (&name.dag_id, &name.run_id);
        self.run(dag_id, run_id)?;
        let replayed = replay_run(self.store.as_ref(), dag_id, run_id)?;
        let task = replayed.state.dag().find(&name.task_id);
        let map_index = name.map_index;
        let ti = task.map(|task| TaskInstanceKey { task, map_index });
        let open = replayed.state.pending_inputs();
        let mut open = open.filter(|(asking, _)| Some(*asking) == ti);
        let Some((_, request)) = open.next() else {
            let message = format!(
                "task instance {} of run {run_id} of dag {dag_id} asks nothing",
                name.task_id
            );
            return Err(UserError::new(ErrorKind::NotFound, message)
                .hint("`airlock tasks pending-inputs` shows who asks what"));
        };
        question(request)
    }
}

/// It was checked before it was recorded.
fn question(request: &str) -> Result<Question, UserError> {
    Question::parse(request).map_err(|error| UserError::new(ErrorKind::Store, error))
}
