//! What clients change about runs and task instances: clear and mark, each with its dry run.

use super::dag_runs::{Known, PATH};
use super::query::time;
use super::task_instances::{MAPPED, Shared, TASK, TaskInstanceResponse, TaskInstances};
use super::{About, ApiError, Call, JsonSchema, MAP_INDEX, Reply, Route, UPDATE_MASK, is_masked};
use crate::app::Role::Operator;
use crate::app::{ChangedRow, RunChoice, Selection, Version};
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::ClearOptions;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "POST",
        "/api/v2/dags/{dag_id}/clearTaskInstances",
        Operator,
        clear,
        About::new("Run task instances again; a dry run, which is the default, only says which")
            .takes::<ClearBody>()
            .answers::<TaskInstances>(),
    ),
    Route::airflow(
        "POST",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/clear",
        Operator,
        clear_run,
        About::new("Run all of a run again; a dry run, which is the default, only says what")
            .takes::<ClearRunBody>()
            .answers::<Value>(),
    ),
    Route::airflow(
        "PATCH",
        PATH,
        Operator,
        mark_run,
        About::new("End a run in a state, or with `queued` run it again; write its note")
            .query(&[UPDATE_MASK])
            .takes::<RunPatchBody>()
            .answers::<super::dag_runs::DagRunResponse>(),
    ),
    Route::airflow(
        "PATCH",
        TASK,
        Operator,
        mark,
        About::new("Give a task instance a state without running it")
            .query(&[UPDATE_MASK, MAP_INDEX])
            .takes::<InstancePatchBody>()
            .answers::<TaskInstances>(),
    ),
    Route::airflow(
        "PATCH",
        MAPPED,
        Operator,
        mark,
        About::new("Give a task instance of a mapped task a state without running it")
            .query(&[UPDATE_MASK])
            .takes::<InstancePatchBody>()
            .answers::<TaskInstances>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dry_run",
        Operator,
        mark_dry_run,
        About::new("Which task instances would get a state")
            .query(&[UPDATE_MASK, MAP_INDEX])
            .takes::<InstancePatchBody>()
            .answers::<TaskInstances>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dry_run",
        Operator,
        mark_dry_run,
        About::new("Which task instances of a mapped task would get a state")
            .query(&[UPDATE_MASK])
            .takes::<InstancePatchBody>()
            .answers::<TaskInstances>(),
    ),
];

/// A task, or a task with a map index.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum TaskChoice {
    Task(String),
    Mapped(String, i32),
}

/// What is cleared, as Airflow's clients say it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "Airflow's fields")]
struct ClearBody {
    /// Only say what would be cleared.
    dry_run: bool,
    start_date: Option<String>,
    end_date: Option<String>,
    only_failed: bool,
    only_running: bool,
    /// A cleared run that had ended runs again; there is no other way here.
    reset_dag_runs: bool,
    /// Empty or absent: every task.
    task_ids: Option<Vec<TaskChoice>>,
    dag_run_id: Option<String>,
    include_upstream: bool,
    include_downstream: bool,
    include_future: bool,
    include_past: bool,
    run_on_latest_version: Option<bool>,
    prevent_running_task: Option<bool>,
    note: Option<String>,
}

impl Default for ClearBody {
    fn default() -> Self {
        Self {
            dry_run: true,
            start_date: None,
            end_date: None,
            only_failed: true,
            only_running: false,
            reset_dag_runs: true,
            task_ids: None,
            dag_run_id: None,
            include_upstream: false,
            include_downstream: false,
            include_future: false,
            include_past: false,
            run_on_latest_version: None,
            prevent_running_task: None,
            note: None,
        }
    }
}

fn version(is_latest: Option<bool>) -> Version {
    if is_latest == Some(true) {
        Version::Latest
    } else {
        Version::Original
    }
}

fn no_note(note: Option<&String>) -> Result<(), ApiError> {
    match note.filter(|note| !note.is_empty()) {
        None => Ok(()),
        Some(_) => Err(ApiError::not_implemented(
            "task instances have no notes; one about their run can be given with `PATCH` of the run",
        )),
    }
}

impl ClearBody {
    fn refuse_unknown(&self) -> Result<(), ApiError> {
        no_note(self.note.as_ref())?;
        if !self.reset_dag_runs {
            return Err(ApiError::not_implemented(
                "a cleared task instance runs again, and so does its run: `reset_dag_runs` cannot be false",
            ));
        }
        if self.prevent_running_task == Some(true) {
            return Err(ApiError::not_implemented(
                "`prevent_running_task` is not known: a running attempt is stopped and starts again",
            ));
        }
        Ok(())
    }

    fn choice(&self) -> Result<RunChoice, ApiError> {
        let mut dates = serde_json::Map::new();
        for (name, text) in [
            ("start_date", &self.start_date),
            ("end_date", &self.end_date),
        ] {
            dates.insert(name.to_owned(), Value::from(text.clone()));
        }
        let dates = super::Fields::from_json(Value::Object(dates).to_string().as_bytes())?;
        let run_id = self.dag_run_id.as_deref().map(RunId::parse).transpose();
        let choice = RunChoice {
            run_id: run_id.map_err(super::invalid)?,
            past: self.include_past,
            future: self.include_future,
            from: time(&dates, "start_date")?,
            to: time(&dates, "end_date")?,
        };
        let is_named = choice.run_id.is_some();
        if is_named && (choice.from.is_some() || choice.to.is_some()) {
            return Err(ApiError::invalid(
                "a dag_run_id and dates are both given: name the run, or choose runs by their dates",
            ));
        }
        if !is_named && (choice.past || choice.future) {
            return Err(ApiError::invalid(
                "include_past and include_future count from a run: give its dag_run_id",
            ));
        }
        Ok(choice)
    }

    /// One selection for each set of map indexes, because those are of all tasks of a selection.
    fn selections(&self) -> Vec<Selection> {
        let mut whole = Vec::new();
        let mut mapped: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
        for task in self.task_ids.iter().flatten() {
            match task {
                TaskChoice::Task(task_id) => whole.push(task_id.clone()),
                TaskChoice::Mapped(task_id, index) => {
                    mapped.entry(task_id).or_default().insert(*index);
                }
            }
        }
        let selection = |task_ids: Vec<String>, map_indexes: BTreeSet<i32>| Selection {
            task_ids,
            options: ClearOptions {
                upstream: self.include_upstream,
                downstream: self.include_downstream,
                only_failed: self.only_failed,
                only_running: self.only_running,
                map_indexes,
            },
        };
        let mut selections = Vec::new();
        if !whole.is_empty() || mapped.is_empty() {
            selections.push(selection(whole, BTreeSet::new()));
        }
        let mapped = mapped.into_iter();
        selections
            .extend(mapped.map(|(task_id, indexes)| selection(vec![task_id.to_owned()], indexes)));
        selections
    }
}

/// Changed task instances as they are now; a dry run's are as they were.
fn changed(
    call: &Call<'_>,
    dag_id: &DagId,
    rows: &[ChangedRow],
) -> Result<TaskInstances, ApiError> {
    let mut wanted: BTreeMap<&RunId, BTreeSet<(&str, i32)>> = BTreeMap::new();
    for row in rows {
        let instance = (row.instance.task_id.as_str(), row.instance.map_index);
        wanted.entry(&row.run_id).or_default().insert(instance);
    }
    let mut known = Known::new(call.app);
    let mut task_instances: Vec<TaskInstanceResponse> = Vec::new();
    for (run_id, instances) in wanted {
        let inside = call.app.run_inside(dag_id, run_id)?;
        let shared = Shared::new(&inside, &mut known)?;
        let changed = inside
            .instances
            .iter()
            .filter(|one| instances.contains(&(one.row.task_id.as_str(), one.row.map_index)));
        task_instances.extend(changed.map(|one| shared.instance(one)));
    }
    Ok(TaskInstances {
        total_entries: task_instances.len(),
        task_instances,
    })
}

fn clear(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: ClearBody = call.read()?;
    body.refuse_unknown()?;
    let (dag_id, choice) = (call.dag_id()?, body.choice()?);
    let version = version(body.run_on_latest_version);
    let clear = |dry_run: bool| {
        let mut rows = Vec::new();
        for selection in body.selections() {
            rows.extend(
                call.wait(
                    call.app
                        .clear(&dag_id, &choice, &selection, version, dry_run),
                )?,
            );
        }
        Ok::<_, ApiError>(rows)
    };
    // What cannot be cleared is told before anything is.
    let planned = clear(true)?;
    let rows = if body.dry_run {
        planned
    } else {
        let subject = match &body.dag_run_id {
            Some(run_id) => format!("{dag_id}/{run_id}"),
            None => dag_id.to_string(),
        };
        call.audited("post_clear_task_instances", &subject, || clear(false))?
    };
    Reply::ok(&changed(call, &dag_id, &rows)?)
}

/// How a run is cleared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ClearRunBody {
    /// Only say what would be cleared.
    dry_run: bool,
    only_failed: bool,
    only_new: bool,
    run_on_latest_version: Option<bool>,
    note: Option<String>,
}

impl Default for ClearRunBody {
    fn default() -> Self {
        Self {
            dry_run: true,
            only_failed: false,
            only_new: false,
            run_on_latest_version: None,
            note: None,
        }
    }
}

fn clear_run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: ClearRunBody = call.read()?;
    if body.only_new {
        return Err(ApiError::not_implemented(
            "`only_new` is not known: `run_on_latest_version` runs new tasks together with the others",
        ));
    }
    let (dag_id, run_id) = (call.dag_id()?, call.run_id()?);
    let selection = Selection {
        options: ClearOptions {
            only_failed: body.only_failed,
            ..ClearOptions::default()
        },
        ..Selection::default()
    };
    let choice = RunChoice::one(run_id.clone());
    let version = version(body.run_on_latest_version);
    let clear = |dry_run| {
        call.wait(
            call.app
                .clear(&dag_id, &choice, &selection, version, dry_run),
        )
    };
    if body.dry_run {
        return Reply::ok(&changed(call, &dag_id, &clear(true)?)?);
    }
    clear(true)?;
    let subject = format!("{dag_id}/{run_id}");
    call.audited("clear_dag_run", &subject, || {
        if let Some(note) = &body.note {
            call.wait(call.app.set_run_note(&dag_id, &run_id, note))?;
        }
        Ok(clear(false)?)
    })?;
    let run = call.app.run(&dag_id, &run_id)?;
    Reply::ok(&Known::new(call.app).run(&run)?)
}

/// What is changed about a run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunPatchBody {
    /// `success`, `failed`, or `queued` to run it again.
    state: Option<String>,
    note: Option<String>,
}

fn mark_run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: RunPatchBody = call.read()?;
    let is_noted = !is_masked(&call.fields, "note")?;
    let note = body.note.as_ref().filter(|_| is_noted);
    let (dag_id, run_id) = (call.dag_id()?, call.run_id()?);
    call.app.run(&dag_id, &run_id)?;
    let state = match body.state.as_deref() {
        _ if is_masked(&call.fields, "state")? => None,
        None => None,
        Some("success") => Some(DagRunState::Success),
        Some("failed") => Some(DagRunState::Failed),
        Some("queued") => Some(DagRunState::Queued),
        Some(other) => {
            return Err(
                ApiError::invalid(format!("a run cannot be given the state {other:?}"))
                    .hint("it is one of success, failed, queued"),
            );
        }
    };
    if state.is_some() || note.is_some() {
        call.audited("patch_dag_run", &format!("{dag_id}/{run_id}"), || {
            if let Some(note) = note {
                call.wait(call.app.set_run_note(&dag_id, &run_id, note))?;
            }
            state.map_or(Ok(()), |state| set_run_state(call, &dag_id, &run_id, state))
        })?;
    }
    let run = call.app.run(&dag_id, &run_id)?;
    Reply::ok(&Known::new(call.app).run(&run)?)
}

fn set_run_state(
    call: &Call<'_>,
    dag_id: &DagId,
    run_id: &RunId,
    state: DagRunState,
) -> Result<(), ApiError> {
    if state != DagRunState::Queued {
        let mark = call.app.mark_run(dag_id, run_id, state, &call.actor.id);
        return Ok(call.wait(mark)?);
    }
    // As in Airflow: queued again is all of it cleared.
    let (choice, all) = (RunChoice::one(run_id.clone()), Selection::default());
    let clear = call
        .app
        .clear(dag_id, &choice, &all, Version::Original, false);
    call.wait(clear)?;
    Ok(())
}

/// Which state task instances get.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "Airflow's fields")]
struct InstancePatchBody {
    /// `success`, `failed` or `skipped`.
    new_state: Option<String>,
    note: Option<String>,
    #[serde(default)]
    include_upstream: bool,
    #[serde(default)]
    include_downstream: bool,
    #[serde(default)]
    include_future: bool,
    #[serde(default)]
    include_past: bool,
}

/// What a client wants of which task instances.
struct Mark {
    dag_id: DagId,
    choice: RunChoice,
    selection: Selection,
    state: TaskInstanceState,
}

impl Mark {
    fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let body: InstancePatchBody = call.read()?;
        if !is_masked(&call.fields, "note")? {
            no_note(body.note.as_ref())?;
        }
        let state = match body.new_state.as_deref() {
            Some("success") => TaskInstanceState::Success,
            Some("failed") => TaskInstanceState::Failed,
            Some("skipped") => TaskInstanceState::Skipped,
            given => {
                let message = match given {
                    Some(other) => format!("a task instance cannot be given the state {other:?}"),
                    None => "the body has no new_state".to_owned(),
                };
                return Err(
                    ApiError::invalid(message).hint("it is one of success, failed, skipped")
                );
            }
        };
        // A mapped task without a map index means all of its instances, as in Airflow.
        let index = call.map_index()?;
        Ok(Self {
            dag_id: call.dag_id()?,
            choice: RunChoice {
                past: body.include_past,
                future: body.include_future,
                ..RunChoice::one(call.run_id()?)
            },
            selection: Selection {
                task_ids: vec![call.task_id()?.to_string()],
                options: ClearOptions {
                    upstream: body.include_upstream,
                    downstream: body.include_downstream,
                    map_indexes: (index >= 0).then_some(index).into_iter().collect(),
                    ..ClearOptions::default()
                },
            },
            state,
        })
    }

    fn look(&self, call: &Call<'_>) -> Result<Vec<ChangedRow>, ApiError> {
        let look = call.app.clear(
            &self.dag_id,
            &self.choice,
            &self.selection,
            Version::Original,
            true,
        );
        let rows = call.wait(look)?;
        if rows.is_empty() {
            let task = self.selection.task_ids.join(", ");
            return Err(ApiError::missing(format!(
                "there is no such task instance of {task}"
            )));
        }
        Ok(rows)
    }
}

fn mark(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mark = Mark::of(call)?;
    mark.look(call)?;
    let subject = format!("{}/{}", mark.dag_id, call.fields.need_text("dag_run_id")?);
    let rows = call.audited("patch_task_instance", &subject, || {
        let (choice, selection) = (&mark.choice, &mark.selection);
        let marked = call
            .app
            .mark(&mark.dag_id, choice, selection, mark.state, &call.actor.id);
        Ok(call.wait(marked)?)
    })?;
    Reply::ok(&changed(call, &mark.dag_id, &rows)?)
}

fn mark_dry_run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mark = Mark::of(call)?;
    Reply::ok(&changed(call, &mark.dag_id, &mark.look(call)?)?)
}
