//! `airlock dags`.

use super::args::{Dags, Global, TriggerArgs};
use super::output::{print, print_json, say, table, time};
use super::progress;
use super::session;
use super::settings::{Need, block_on, conf, open, open_idle, timestamp};
use crate::app::{
    App, DagFile, DagOverview, ReadDag, RegisteredDag, RunDetail, TriggerRequest, is_component,
    is_file, read_dag, split_dag,
};
use crate::error::{ErrorKind, UserError};
use airlock_core::dag::render;
use airlock_core::dag::spec::{Dag, Schedule};
use airlock_core::ids::{DagId, RunId};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn run(global: &Global, command: Dags) -> Result<(), UserError> {
    match command {
        Dags::Validate { files } => validate(global, &files),
        Dags::List => list(global),
        Dags::ListImportErrors => list_import_errors(global),
        Dags::Pause { dag_ids } => pause(global, &dag_ids, true),
        Dags::Unpause { dag_ids } => pause(global, &dag_ids, false),
        Dags::Delete(args) => delete(global, &args.dag_id),
        Dags::Show { dag } => show(global, &dag),
        Dags::Test(args) => trigger(global, Need::Test, args),
        Dags::Trigger(args) => trigger(global, Need::Execution, args),
        Dags::NextExecution { dag, num, now } => next_execution(global, &dag, num, now.as_deref()),
    }
}

fn validate(global: &Global, files: &[PathBuf]) -> Result<(), UserError> {
    let mut reports = Vec::new();
    let mut failed = Vec::new();
    for path in files {
        match read_file(global, path) {
            Ok(read) => {
                for read in read.dags {
                    valid(global, path, &read)?;
                    reports.push(json!({"file": path, "dag_id": read.dag.dag_id, "tasks": read.dag.tasks.len(), "valid": true, "diagnostics": read.warnings}));
                }
            }
            Err(error) if error.kind == ErrorKind::InvalidDag => {
                reports.push(
                    json!({"file": path, "valid": false, "diagnostics": diagnostics(path, &error)}),
                );
                failed.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    if global.json {
        print_json(&reports)?;
    }
    let messages: Vec<String> = failed.iter().map(|error| error.message.clone()).collect();
    if messages.is_empty() {
        Ok(())
    } else {
        Err(UserError::new(ErrorKind::InvalidDag, messages.join("\n")))
    }
}

/// Only a component needs the sandbox.
fn read_file(global: &Global, path: &Path) -> Result<DagFile, UserError> {
    if is_component(path) {
        return open_throwaway(global)?.read_dags(path);
    }
    let (dag, source, warnings) = read_dag(path)?;
    let dags = vec![ReadDag {
        dag,
        source,
        warnings,
    }];
    Ok(DagFile {
        dags,
        component: None,
    })
}

fn open_throwaway(global: &Global) -> Result<Arc<App>, UserError> {
    let throwaway = Global {
        data: None,
        ..global.clone()
    };
    open(&throwaway, Need::Test)
}

fn diagnostics(path: &Path, error: &UserError) -> serde_json::Value {
    if is_component(path) {
        return json!([{"severity": "error", "message": error.message}]);
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    json!(airlock_core::dag::parse(&text).diagnostics)
}

fn valid(global: &Global, path: &Path, read: &ReadDag) -> Result<(), UserError> {
    if !read.warnings.is_empty() {
        let path = path.display().to_string();
        let shown = render(&read.warnings, &path, &read.source, session::can_draw());
        say(shown.trim_end());
    }
    if global.json {
        return Ok(());
    }
    print(&format!(
        "{}: dag {} with {} tasks is valid\n",
        path.display(),
        read.dag.dag_id,
        read.dag.tasks.len()
    ))
}

fn list(global: &Global) -> Result<(), UserError> {
    let dags = open(global, Need::State)?.dag_overviews()?;
    let schedule = |dag: &DagOverview| schedule_text(&dag.schedule, &dag.timezone);
    if global.json {
        let rows = dags.iter().map(|dag| {
            let next = dag.next.as_ref();
            let mut row = serde_json::to_value(&dag.row).unwrap_or_default();
            if let Some(row) = row.as_object_mut() {
                row.insert("schedule".to_owned(), json!(schedule(dag)));
                row.insert(
                    "next_dagrun".to_owned(),
                    json!(next.map(|run| run.logical_date)),
                );
                row.insert(
                    "next_dagrun_run_after".to_owned(),
                    json!(next.map(|run| run.run_after)),
                );
            }
            row
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let yes_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let row = |dag: &DagOverview| {
        vec![
            dag.row.dag_id.to_string(),
            schedule(dag),
            yes_no(dag.row.is_paused),
            yes_no(dag.row.is_stale),
            time(dag.next.as_ref().map(|run| run.run_after)),
            dag.row.dag_version.chars().take(12).collect(),
            dag.row.fileloc.clone(),
        ]
    };
    print(&table(
        &[
            "dag_id", "schedule", "paused", "stale", "next run", "version", "file",
        ],
        &dags.iter().map(row).collect::<Vec<_>>(),
    ))
}

fn pause(global: &Global, dag_ids: &[String], is_paused: bool) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    // A mistake in one name changes nothing.
    for dag_id in dag_ids {
        app.dag(dag_id)?;
    }
    for dag_id in dag_ids {
        app.set_paused(dag_id, is_paused)?;
    }
    if global.json {
        let rows = dag_ids
            .iter()
            .map(|dag_id| json!({"dag_id": dag_id, "is_paused": is_paused}));
        return print_json(&rows.collect::<Vec<_>>());
    }
    let state = if is_paused { "paused" } else { "unpaused" };
    dag_ids
        .iter()
        .try_for_each(|dag_id| print(&format!("dag {dag_id}: {state}\n")))
}

fn delete(global: &Global, dag_id: &str) -> Result<(), UserError> {
    let deleted = open_idle(global)?.delete_dag(dag_id)?;
    if let Some(file) = &deleted.file {
        say(&format!(
            "{file} still holds it: a service that reads the file makes the DAG anew, without its history"
        ));
    }
    if global.json {
        return print_json(&deleted);
    }
    print(&format!(
        "dag {dag_id}: deleted, with {} runs\n",
        deleted.runs
    ))
}

fn list_import_errors(global: &Global) -> Result<(), UserError> {
    let errors = open(global, Need::State)?.import_errors()?;
    if global.json {
        return print_json(&errors);
    }
    if errors.is_empty() {
        return print("every DAG file could be read\n");
    }
    errors.iter().try_for_each(|error| {
        print(&format!(
            "{} ({})\n{}\n",
            error.fileloc,
            time(Some(error.at)),
            error.message
        ))
    })
}

/// A DAG for looking at it: a file is only read, never stored.
pub(super) fn look_up(global: &Global, file_or_id: &str) -> Result<Dag, UserError> {
    if is_component(Path::new(split_dag(file_or_id).0)) {
        return Ok(open_throwaway(global)?.read_one_dag(file_or_id)?.0);
    }
    if is_file(file_or_id) {
        return Ok(read_dag(Path::new(file_or_id))?.0);
    }
    let dag = open(global, Need::State)?.dag(file_or_id)?;
    Ok((*dag.dag).clone())
}

/// A schedule in words.
fn schedule_text(schedule: &Schedule, timezone: &str) -> String {
    match schedule {
        Schedule::None => "only on request".to_owned(),
        Schedule::Once => "once".to_owned(),
        Schedule::Continuous => "continuously".to_owned(),
        Schedule::Cron(cron) => format!("{cron} ({timezone})"),
        Schedule::Every(every) => format!("every {every:#}"),
        Schedule::Assets(assets) => format!("when updated: {}", assets.uris().join(", ")),
        Schedule::AssetsOrTime(assets, timed) => format!(
            "when updated: {}; and {}",
            assets.uris().join(", "),
            schedule_text(timed, timezone)
        ),
    }
}

fn show(global: &Global, file_or_id: &str) -> Result<(), UserError> {
    let dag = look_up(global, file_or_id)?;
    if global.json {
        return print_json(&dag);
    }
    let schedule = schedule_text(&dag.schedule, &dag.timezone);
    let mut text = format!("dag {}\n", dag.dag_id);
    if let Some(description) = &dag.description {
        text.push_str(&format!("  {description}\n"));
    }
    text.push_str(&format!("  schedule: {schedule}\n"));
    for (name, param) in &dag.params {
        let default = param
            .default
            .as_ref()
            .map_or_else(|| "required".to_owned(), |value| format!("default {value}"));
        text.push_str(&format!("  param {name}: {} ({default})\n", param.schema));
    }
    for sentence in dag.grants.sentences() {
        text.push_str(&format!("  {sentence}\n"));
    }
    text.push('\n');
    text.push_str(&table(
        &[
            "task_id",
            "operator",
            "upstream",
            "trigger_rule",
            "retries",
            "pool",
        ],
        &task_rows(&dag),
    ));
    print(&text)
}

pub(super) fn task_rows(dag: &Dag) -> Vec<Vec<String>> {
    let row = |task: &airlock_core::dag::spec::Task| {
        let upstream: Vec<&str> = task
            .depends_on
            .iter()
            .filter_map(|index| dag.task(*index))
            .map(|task| task.task_id.as_str())
            .collect();
        let rule = serde_json::to_value(task.trigger_rule).ok();
        vec![
            task.task_id.to_string(),
            super::native::marked(task.operator.as_str()),
            if upstream.is_empty() {
                "-".to_owned()
            } else {
                upstream.join(", ")
            },
            rule.as_ref()
                .and_then(|rule| rule.as_str())
                .unwrap_or_default()
                .to_owned(),
            task.retries.to_string(),
            task.pool.to_string(),
        ]
    };
    dag.tasks.iter().map(row).collect()
}

fn next_execution(
    global: &Global,
    file_or_id: &str,
    num: usize,
    now: Option<&str>,
) -> Result<(), UserError> {
    let dag = look_up(global, file_or_id)?;
    let now = now.map_or_else(|| Ok(jiff::Timestamp::now()), timestamp)?;
    let due = timetable::upcoming(&dag, now, num)
        .map_err(|error| UserError::new(ErrorKind::InvalidDag, error))?;
    let iso = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00").to_string();
    let rows: Vec<Vec<String>> = due
        .iter()
        .map(|run| {
            [
                run.logical_date,
                run.data_interval_start,
                run.data_interval_end,
                run.run_after,
            ]
            .map(iso)
            .to_vec()
        })
        .collect();
    if global.json {
        return print_json(&rows);
    }
    print(&table(
        &[
            "logical_date",
            "data_interval_start",
            "data_interval_end",
            "run_after",
        ],
        &rows,
    ))
}

fn trigger(global: &Global, need: Need, args: TriggerArgs) -> Result<(), UserError> {
    let TriggerArgs {
        dag,
        logical_date,
        conf: conf_text,
        run_id,
        no_wait,
        note,
    } = args;
    let request = TriggerRequest {
        logical_date: logical_date.as_deref().map(timestamp).transpose()?,
        run_id: run_id
            .map(|id| RunId::parse(&id))
            .transpose()
            .map_err(|error| UserError::new(ErrorKind::Usage, error))?,
        conf: conf(conf_text.as_deref())?,
        note: note.unwrap_or_default(),
        triggered_by: cli_user(),
    };
    // A mistake in the file is told before anything is opened.
    let dag = if is_file(&dag) {
        let path = session::path(Path::new(&dag));
        let path = path.display().to_string();
        if !is_component(Path::new(split_dag(&path).0)) {
            read_dag(Path::new(&path))?;
        }
        path
    } else {
        dag
    };
    let app = open(global, need)?;
    let dag = app.dag_from(&dag)?;
    if no_wait {
        let run_id = block_on(app.trigger(&dag, request))??;
        return recorded(global, &dag.dag.dag_id, &run_id);
    }
    let detail = block_on(async {
        if need == Need::Test {
            app.create_missing_pools(&dag.dag).await?;
        }
        carry_out(global, &app, &dag, request).await
    })??;
    report(global, &detail)
}

/// Who triggers, as a run's `triggered_by` names them.
pub(super) fn cli_user() -> String {
    format!("cli user {}", session::user())
}

/// A run that somebody else carries out.
pub(super) fn recorded(global: &Global, dag_id: &DagId, run_id: &RunId) -> Result<(), UserError> {
    if global.json {
        return print_json(&json!({"dag_id": dag_id, "run_id": run_id, "state": "queued"}));
    }
    print(&format!("dag {dag_id} run {run_id}: recorded\n"))
}

async fn carry_out(
    global: &Global,
    app: &App,
    dag: &RegisteredDag,
    request: TriggerRequest,
) -> Result<RunDetail, UserError> {
    let run_id = app.trigger(dag, request).await?;
    if !global.json && !global.quiet {
        say(&format!("dag {} run {run_id}: recorded", dag.dag.dag_id));
    }
    progress::follow(global, app, &dag.dag.dag_id, &run_id).await?;
    super::runs::callbacks_done(app, Some((&dag.dag.dag_id, &run_id))).await?;
    ended(app.run_detail(&dag.dag.dag_id, &run_id)?)
}

/// A run that nobody follows any more but that has not ended: the store took no more commits.
pub(super) fn ended(detail: RunDetail) -> Result<RunDetail, UserError> {
    if detail.run.state.is_finished() {
        return Ok(detail);
    }
    let (dag_id, run_id) = (&detail.run.dag_id, &detail.run.run_id);
    let message = format!(
        "the store takes no more commits; run {run_id} of dag {dag_id} stopped where it was"
    );
    Err(UserError::new(ErrorKind::Store, message).hint(
        "mend the cause (a full or failing disk), then `airlock runs resume` goes on with it",
    ))
}

/// Prints a run that ended; `failed` is an error of its own.
pub(super) fn report(global: &Global, detail: &RunDetail) -> Result<(), UserError> {
    if global.json {
        print_json(&json!({
            "dag_id": detail.run.dag_id, "run_id": detail.run.run_id, "state": detail.run.state,
            "task_instances": detail.task_instances,
        }))?;
    } else {
        print(&super::runs::detail_text(detail))?;
    }
    if detail.run.state == DagRunState::Success {
        return Ok(());
    }
    let kind = if detail.run.reason.contains("cancelled") {
        ErrorKind::Cancelled
    } else {
        ErrorKind::RunFailed
    };
    let (dag_id, run_id) = (&detail.run.dag_id, &detail.run.run_id);
    let message = format!(
        "run {run_id} of dag {dag_id} ended in {}: {}",
        detail.run.state, detail.run.reason
    );
    Err(
        match detail.task_instances.iter().find(|row| row.error.is_some()) {
            Some(row) => UserError::new(kind, message).hint(format!(
                "{} failed first; `airlock runs logs {dag_id} {run_id} {}` shows its log",
                row.task_id, row.task_id
            )),
            None => UserError::new(kind, message),
        },
    )
}
