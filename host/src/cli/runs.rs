//! `airlock runs`.

use super::args::{Global, RunArgs, Runs};
use super::changes;
use super::output::{duration, print, print_json, say, table, time};
use super::progress;
use super::session;
use super::settings::{Need, block_on, open, open_idle};
use crate::app::{App, RunDetail};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::RunRow;
use airlock_core::ids::{DagId, RunId, TaskId};
use airlock_core::task_instance::state::DagRunState;

/// Rows of a mapped task that a table shows; the rest is counted.
const MAPPED_ROWS_MAX: usize = 50;

pub(super) fn run(global: &Global, command: Runs) -> Result<(), UserError> {
    match command {
        Runs::List { dag_id, state } => list(global, dag_id.as_deref(), state.as_deref()),
        Runs::Show(args) => {
            let app = open(global, Need::State)?;
            let (dag_id, run_id) = find(&app, &args)?;
            let detail = app.run_detail(&dag_id, &run_id)?;
            if global.json {
                print_json(&detail)
            } else {
                print(&detail_text(&detail))
            }
        }
        Runs::Logs {
            run,
            task_id,
            map_index,
            try_number,
        } => {
            let app = open(global, Need::State)?;
            let (dag_id, run_id) = find(&app, &run)?;
            app.run(&dag_id, &run_id)?;
            let text = match task_id {
                Some(task_id) => {
                    let task_id = TaskId::parse(&task_id).map_err(usage)?;
                    app.log((&dag_id, &run_id), &task_id, map_index, try_number)?
                }
                None => app.callback_log(&dag_id, &run_id)?,
            };
            if global.json {
                print_json(&text.lines().collect::<Vec<_>>())
            } else {
                print(&text)
            }
        }
        Runs::Cancel(args) => cancel(global, &args),
        Runs::Delete(args) => delete(global, &args.run),
        Runs::Clear(args) => changes::clear_runs(global, &args),
        Runs::MarkSuccess(args) => changes::mark_run(global, &args, DagRunState::Success),
        Runs::MarkFailed(args) => changes::mark_run(global, &args, DagRunState::Failed),
        Runs::Resume => resume(global),
    }
}

fn usage(error: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, error)
}

/// `latest` is the run that was recorded last.
pub(super) fn find(app: &App, args: &RunArgs) -> Result<(DagId, RunId), UserError> {
    let dag_id = DagId::parse(&args.dag_id).map_err(usage)?;
    if args.run_id != "latest" {
        return Ok((dag_id, RunId::parse(&args.run_id).map_err(usage)?));
    }
    let latest = app
        .runs(Some(&dag_id))?
        .into_iter()
        .max_by_key(|run| run.queued_at);
    match latest {
        Some(run) => Ok((dag_id, run.run_id)),
        None => Err(UserError::new(
            ErrorKind::NotFound,
            format!("dag {dag_id} has no runs"),
        )),
    }
}

fn list(global: &Global, dag_id: Option<&str>, state: Option<&str>) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let dag_id = dag_id.map(DagId::parse).transpose().map_err(usage)?;
    let mut runs = app.runs(dag_id.as_ref())?;
    if let Some(state) = state {
        if !["queued", "running", "success", "failed"].contains(&state) {
            return Err(usage(format!("{state:?} is no state of a run"))
                .hint("queued, running, success or failed"));
        }
        runs.retain(|run| run.state.as_str() == state);
    }
    if global.json {
        return print_json(&runs);
    }
    let row = |run: &RunRow| {
        vec![
            run.dag_id.to_string(),
            run.run_id.to_string(),
            run.state.to_string(),
            time(run.start_date),
            time(run.end_date),
            run.reason.clone(),
        ]
    };
    print(&table(
        &["dag_id", "run_id", "state", "start", "end", "reason"],
        &runs.iter().map(row).collect::<Vec<_>>(),
    ))
}

/// A run as text.
pub(super) fn detail_text(detail: &RunDetail) -> String {
    let run = &detail.run;
    let mut text = format!("dag {} run {}: {}", run.dag_id, run.run_id, run.state);
    if !run.reason.is_empty() && run.reason != run.state.as_str() {
        text.push_str(&format!(" ({})", run.reason));
    }
    text.push_str(&format!("\nlogical date {}\n\n", time(run.logical_date)));
    let mut rows = Vec::new();
    let mut folded = 0_usize;
    for row in &detail.task_instances {
        if usize::try_from(row.map_index).is_ok_and(|index| index >= MAPPED_ROWS_MAX)
            && row.error.is_none()
        {
            folded += 1;
            continue;
        }
        let name = if row.map_index < 0 {
            row.task_id.clone()
        } else {
            format!("{}[{}]", row.task_id, row.map_index)
        };
        let error = row
            .error
            .as_deref()
            .and_then(|error| error.lines().next())
            .unwrap_or_default();
        rows.push(vec![
            name,
            row.state.to_string(),
            row.try_number.to_string(),
            duration(row.duration_ms),
            error.to_owned(),
        ]);
    }
    text.push_str(&table(&["task", "state", "tries", "took", "error"], &rows));
    if folded > 0 {
        text.push_str(&format!(
            "... and {folded} more instances of mapped tasks\n"
        ));
    }
    text
}

fn delete(global: &Global, args: &RunArgs) -> Result<(), UserError> {
    let app = open_idle(global)?;
    let (dag_id, run_id) = find(&app, args)?;
    app.delete_run(&dag_id, &run_id)?;
    if global.json {
        return print_json(&serde_json::json!({"dag_id": dag_id, "run_id": run_id}));
    }
    print(&format!("dag {dag_id} run {run_id}: deleted\n"))
}

fn cancel(global: &Global, args: &RunArgs) -> Result<(), UserError> {
    let app = open_idle(global)?;
    let (dag_id, run_id) = find(&app, args)?;
    block_on(async {
        app.cancel(&dag_id, &run_id, "cancelled from the command line")
            .await?;
        callbacks_done(&app, Some((&dag_id, &run_id))).await
    })??;
    say(&format!("dag {dag_id} run {run_id}: cancelled"));
    Ok(())
}

/// Waits for what a run called, or every run. A run that ended is told even if that takes too long.
pub(super) async fn callbacks_done(
    app: &App,
    run: Option<(&DagId, &RunId)>,
) -> Result<(), UserError> {
    if run.is_none() && session::current().is_some() {
        // The service carries out those of every run, and nobody waits for all of them.
        return Ok(());
    }
    let left = app.callbacks_done(run).await?;
    if left > 0 {
        say(&format!(
            "{left} callbacks are not over; the next `airlock serve` or `airlock runs resume` carries them out"
        ));
    }
    Ok(())
}

fn resume(global: &Global) -> Result<(), UserError> {
    if session::current().is_some() {
        return print("the service has taken up every run already\n");
    }
    let app = open(global, Need::Execution)?;
    let unfinished = app.unfinished()?;
    let details = block_on(async {
        let mut details = Vec::new();
        for run in &unfinished {
            progress::follow(global, &app, &run.dag_id, &run.run_id).await?;
            details.push(super::dags::ended(
                app.run_detail(&run.dag_id, &run.run_id)?,
            )?);
        }
        callbacks_done(&app, None).await?;
        Ok::<_, UserError>(details)
    })??;
    if global.json {
        return print_json(&details);
    }
    print(&format!(
        "{} runs were taken up and have ended\n",
        details.len()
    ))?;
    details
        .iter()
        .try_for_each(|detail| print(&detail_text(detail)))
}
