//! `clear`, `mark-success` and `mark-failed` of `airlock tasks` and `airlock runs`.

use super::args::{Global, RunArgs};
use super::args_service::{ClearFlags, RunsArgs, RunsClear, TasksClear, TasksMark, WithTasks};
use super::output::{print, print_json, say, table};
use super::session;
use super::settings::{block_on, open_idle, timestamp};
use crate::app::{App, ChangedRow, RunChoice};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{Selection, Version};
use airlock_core::ids::DagId;
use airlock_core::run::ClearOptions;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use std::collections::BTreeSet;

/// What `RUN` says for every run.
const ALL: &str = "all";
/// Task instances that a table shows; the rest is counted.
const ROWS_MAX: usize = 200;

fn usage(error: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, error)
}

/// `airlock tasks clear`.
pub(super) fn clear_tasks(global: &Global, args: &TasksClear) -> Result<(), UserError> {
    clear(global, &args.runs, &args.task_ids, &args.with, &args.flags)
}

/// `airlock runs clear`.
pub(super) fn clear_runs(global: &Global, args: &RunsClear) -> Result<(), UserError> {
    let with = WithTasks {
        upstream: false,
        downstream: false,
        map_index: Vec::new(),
    };
    clear(global, &args.runs, &[], &with, &args.flags)
}

fn clear(
    global: &Global,
    runs: &RunsArgs,
    task_ids: &[String],
    with: &WithTasks,
    flags: &ClearFlags,
) -> Result<(), UserError> {
    let app = open_idle(global)?;
    let (dag_id, choice) = choice(&app, runs)?;
    let mut selection = selection(task_ids, with);
    selection.options.only_failed = flags.only_failed;
    selection.options.only_running = flags.only_running;
    let version = if flags.latest_version {
        Version::Latest
    } else {
        Version::Original
    };
    let cleared = block_on(app.clear(&dag_id, &choice, &selection, version, flags.dry_run))??;
    let verb = if flags.dry_run {
        "would be cleared"
    } else {
        "cleared"
    };
    report(global, &cleared, verb)?;
    if !flags.dry_run && !cleared.is_empty() {
        say_who_goes_on();
    }
    Ok(())
}

/// `airlock tasks mark-success` and `mark-failed`.
pub(super) fn mark_tasks(
    global: &Global,
    args: &TasksMark,
    state: TaskInstanceState,
) -> Result<(), UserError> {
    let app = open_idle(global)?;
    let (dag_id, choice) = choice(&app, &args.runs)?;
    let selection = selection(&args.task_ids, &args.with);
    let by = session::user();
    let marked = block_on(async {
        let marked = app.mark(&dag_id, &choice, &selection, state, &by).await?;
        // Marking may end runs, and their callbacks with them.
        super::runs::callbacks_done(&app, None).await?;
        Ok::<_, UserError>(marked)
    })??;
    report(global, &marked, &format!("marked {state}"))
}

/// `airlock runs mark-success` and `mark-failed`.
pub(super) fn mark_run(
    global: &Global,
    args: &RunArgs,
    state: DagRunState,
) -> Result<(), UserError> {
    let app = open_idle(global)?;
    let (dag_id, run_id) = super::runs::find(&app, args)?;
    block_on(async {
        app.mark_run(&dag_id, &run_id, state, &session::user())
            .await?;
        super::runs::callbacks_done(&app, Some((&dag_id, &run_id))).await
    })??;
    if global.json {
        return print_json(&app.run(&dag_id, &run_id)?);
    }
    print(&format!("dag {dag_id} run {run_id}: marked {state}\n"))
}

/// Where no service holds the folder, nobody carries out what was cleared.
fn say_who_goes_on() {
    if session::current().is_none() {
        say(
            "the cleared task instances wait: `airlock serve` or `airlock runs resume` carries them out",
        );
    }
}

fn selection(task_ids: &[String], with: &WithTasks) -> Selection {
    Selection {
        task_ids: task_ids.to_vec(),
        options: ClearOptions {
            upstream: with.upstream,
            downstream: with.downstream,
            map_indexes: with.map_index.iter().copied().collect::<BTreeSet<_>>(),
            ..ClearOptions::default()
        },
    }
}

fn choice(app: &App, args: &RunsArgs) -> Result<(DagId, RunChoice), UserError> {
    let dates = [&args.from, &args.to];
    if args.run_id != ALL {
        if dates.iter().any(|date| date.is_some()) {
            return Err(
                usage("--from and --to choose runs by their dates, but one run is named")
                    .hint("write `all` for the run, or use --past or --future"),
            );
        }
        let run = RunArgs {
            dag_id: args.dag_id.clone(),
            run_id: args.run_id.clone(),
        };
        let (dag_id, run_id) = super::runs::find(app, &run)?;
        let choice = RunChoice {
            past: args.past,
            future: args.future,
            ..RunChoice::one(run_id)
        };
        return Ok((dag_id, choice));
    }
    if args.past || args.future {
        return Err(
            usage("--past and --future count from one run, but `all` are named")
                .hint("name the run, or use --from and --to"),
        );
    }
    let [from, to] = dates.map(|date| date.as_deref().map(timestamp).transpose());
    let choice = RunChoice {
        from: from?,
        to: to?,
        ..RunChoice::default()
    };
    Ok((DagId::parse(&args.dag_id).map_err(usage)?, choice))
}

fn report(global: &Global, rows: &[ChangedRow], verb: &str) -> Result<(), UserError> {
    if global.json {
        return print_json(&rows);
    }
    let shown = |row: &ChangedRow| {
        let instance = &row.instance;
        let name = if instance.map_index < 0 {
            instance.task_id.clone()
        } else {
            format!("{}[{}]", instance.task_id, instance.map_index)
        };
        vec![row.run_id.to_string(), name, instance.state.to_string()]
    };
    let listed: Vec<_> = rows.iter().take(ROWS_MAX).map(shown).collect();
    if !listed.is_empty() {
        print(&table(&["run_id", "task", "state before"], &listed))?;
    }
    if rows.len() > listed.len() {
        print(&format!("... and {} more\n", rows.len() - listed.len()))?;
    }
    print(&format!("{} task instances {verb}\n", rows.len()))
}
