//! `airlock tasks`.

use super::args::{Global, Tasks};
use super::dags::{look_up, report, task_rows};
use super::output::{print, print_json, table};
use super::progress;
use super::settings::{Need, block_on, conf, open, timestamp};
use super::{changes, instances};
use crate::app::{TriggerRequest, is_file};
use crate::error::{ErrorKind, UserError};
use airlock_core::dag::spec::{Dag, TriggerRule};
use airlock_core::task_instance::state::TaskInstanceState;

pub(super) fn run(global: &Global, command: Tasks) -> Result<(), UserError> {
    match command {
        Tasks::List { dag } => {
            let dag = look_up(global, &dag)?;
            if global.json {
                return print_json(&dag.tasks);
            }
            print(&table(
                &[
                    "task_id",
                    "operator",
                    "upstream",
                    "trigger_rule",
                    "retries",
                    "pool",
                ],
                &task_rows(&dag),
            ))
        }
        Tasks::Show {
            run,
            task_id,
            map_index,
        } => super::task_instance::show(global, &run, &task_id, map_index),
        Tasks::Clear(args) => changes::clear_tasks(global, &args),
        Tasks::MarkSuccess(args) => changes::mark_tasks(global, &args, TaskInstanceState::Success),
        Tasks::MarkFailed(args) => changes::mark_tasks(global, &args, TaskInstanceState::Failed),
        Tasks::FailedDeps(args) => instances::failed_deps(global, &args),
        Tasks::StatesForDagRun(args) => instances::states(global, &args),
        Tasks::PendingInputs => instances::pending_inputs(global),
        Tasks::Answer(args) => instances::answer(global, args),
        Tasks::SetXcom {
            instance,
            key,
            value,
        } => instances::edit_xcom(global, &instance, &key, Some(value)),
        Tasks::DeleteXcom { instance, key } => instances::edit_xcom(global, &instance, &key, None),
        Tasks::Test {
            dag,
            task_id,
            logical_date,
            conf: conf_text,
        } => {
            let request = TriggerRequest {
                logical_date: logical_date.as_deref().map(timestamp).transpose()?,
                conf: conf(conf_text.as_deref())?,
                ..TriggerRequest::default()
            };
            test(global, &dag, &task_id, request)
        }
    }
}

/// A run of a DAG that holds this task alone, on a store that is thrown away.
fn test(
    global: &Global,
    file_or_id: &str,
    task_id: &str,
    request: TriggerRequest,
) -> Result<(), UserError> {
    let stored = if is_file(file_or_id) {
        None
    } else {
        let stored = open(global, Need::State)?.dag(file_or_id)?;
        Some(((*stored.dag).clone(), stored.source))
    };
    let throwaway = Global {
        data: None,
        ..global.clone()
    };
    let app = open(&throwaway, Need::Test)?;
    // A component is read by the one that runs it, so that it is loaded once.
    let (dag, source) = stored.map_or_else(|| app.read_one_dag(file_or_id), Ok)?;
    let dag = alone(dag, task_id)?;
    let dag = app.register(dag, source, file_or_id)?;
    let detail = block_on(async {
        app.create_missing_pools(&dag.dag).await?;
        let run_id = app.trigger(&dag, request).await?;
        progress::follow(global, &app, &dag.dag.dag_id, &run_id).await?;
        super::runs::callbacks_done(&app, Some((&dag.dag.dag_id, &run_id))).await?;
        app.run_detail(&dag.dag.dag_id, &run_id)
    })??;
    report(global, &detail)
}

fn alone(mut dag: Dag, task_id: &str) -> Result<Dag, UserError> {
    let known: Vec<String> = dag
        .tasks
        .iter()
        .map(|task| task.task_id.to_string())
        .collect();
    dag.tasks.retain(|task| task.task_id.as_str() == task_id);
    let Some(task) = dag.tasks.first_mut() else {
        return Err(UserError::new(
            ErrorKind::NotFound,
            format!("dag {} has no task {task_id:?}", dag.dag_id),
        )
        .hint(format!("its tasks are {}", known.join(", "))));
    };
    task.depends_on.clear();
    task.inputs.clear();
    task.trigger_rule = TriggerRule::AllSuccess;
    Ok(dag)
}
