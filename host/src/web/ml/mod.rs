//! Experiments, tracking runs and registered models.

pub(super) mod compare;
pub(super) mod experiments;
pub(super) mod models;
pub(super) mod tracking_run;

use super::{link, show};
use crate::tracking::{Run, RunStatus};
use airlock_core::ids::{DagId, RunId};
use maud::{Markup, html};

/// A tracking run's status in the look of states.
fn status(status: RunStatus) -> Markup {
    let (class, word) = match status {
        RunStatus::Running => ("running", "running"),
        RunStatus::Scheduled => ("scheduled", "scheduled"),
        RunStatus::Finished => ("success", "finished"),
        RunStatus::Failed => ("failed", "failed"),
        RunStatus::Killed => ("failed", "killed"),
    };
    html! { span class={"st st-" (class)} { (show::icon(class)) span { (word) } } }
}

fn run_link(run: &Run) -> Markup {
    let name = if run.name.is_empty() {
        &run.run_id
    } else {
        &run.name
    };
    html! { a href=(link::tracking_run(&run.run_id)) { (name) } }
}

/// The task instance that made a tracking run, as the host's tag says: `dag_id/run_id/task_id/map_index`.
fn made_by(run: &Run) -> Markup {
    let tag = run.tags.get(&format!(
        "{}task_instance",
        crate::tracking::HOST_TAG_PREFIX
    ));
    let parts: Vec<&str> = tag.map_or(Vec::new(), |tag| tag.split('/').collect());
    let [dag_id, run_id, task_id, map_index] = parts.as_slice() else {
        return html! { (run.user_id) };
    };
    let (Ok(dag), Ok(dag_run)) = (DagId::parse(dag_id), RunId::parse(run_id)) else {
        return html! { (run.user_id) };
    };
    let map_index = map_index.parse().unwrap_or(-1);
    html! { a.id href=(link::task_instance(&dag, &dag_run, task_id, map_index)) { (dag_id) "/" (task_id) } }
}
