//! XComs: listed, read, set, deleted. Every value is JSON.

use super::dags::display_name;
use super::query::{PAGED, Page, Pattern};
use super::task_instances::{inside, named};
use super::{
    ALL, About, ApiError, Call, JsonSchema, Kind, MAP_INDEX, Query, Reply, Route, UNMAPPED,
};
use crate::app::Role::{Operator, Viewer};
use crate::app::{InstanceName, RunInside, XComRow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ENTRIES: &str =
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries";
const ENTRY: &str =
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/{xcom_key}";

const FILTERS: &[Query] = &[
    ("xcom_key", Kind::Text),
    ("map_index", Kind::Integer),
    ("map_index_filter", Kind::Integer),
    ("xcom_key_pattern", Kind::Text),
    ("xcom_key_prefix_pattern", Kind::Text),
    ("task_id_pattern", Kind::Text),
    ("task_id_prefix_pattern", Kind::Text),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        ENTRIES,
        Viewer,
        list,
        About::new("List the XComs of a task instance, or with `~` for the task of all of a run")
            .query(&[PAGED, FILTERS])
            .answers::<XComs>(),
    ),
    Route::airflow(
        "GET",
        ENTRY,
        Viewer,
        get,
        About::new("An XCom with its value")
            .query(&[&[
                ("map_index", Kind::Integer),
                ("stringify", Kind::Truth),
                ("deserialize", Kind::Truth),
            ]])
            .answers::<XComValue>(),
    ),
    Route::airflow(
        "POST",
        ENTRIES,
        Operator,
        create,
        About::new("Set an XCom that is not there")
            .takes::<XComCreateBody>()
            .creates::<XComValue>(),
    ),
    Route::airflow(
        "PATCH",
        ENTRY,
        Operator,
        update,
        About::new("Set an XCom that is there")
            .takes::<XComUpdateBody>()
            .answers::<XComValue>(),
    ),
    Route::airflow(
        "DELETE",
        ENTRY,
        Operator,
        delete,
        About::new("Delete an XCom")
            .query(&[MAP_INDEX])
            .answers_nothing(),
    ),
];

/// An XCom without its value.
#[derive(Serialize, JsonSchema)]
struct XCom {
    key: String,
    /// When its task instance ended; while it runs, when its run was due.
    timestamp: Timestamp,
    logical_date: Option<Timestamp>,
    map_index: i32,
    task_id: String,
    dag_id: String,
    run_id: String,
    dag_display_name: String,
    task_display_name: String,
    run_after: Timestamp,
}

/// An XCom with its value: any JSON, or its text where `stringify` asks for it.
#[derive(Serialize, JsonSchema)]
struct XComValue {
    #[serde(flatten)]
    xcom: XCom,
    value: Value,
}

/// XComs of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct XComs {
    xcom_entries: Vec<XCom>,
    total_entries: usize,
}

/// A new XCom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XComCreateBody {
    key: String,
    value: Value,
    #[serde(default = "unmapped")]
    map_index: i32,
}

/// An XCom's new value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XComUpdateBody {
    value: Value,
    #[serde(default = "unmapped")]
    map_index: i32,
}

fn unmapped() -> i32 {
    UNMAPPED
}

fn xcom(inside: &RunInside, row: &XComRow) -> XCom {
    let (run, dag) = (&inside.run, &inside.dag);
    let is_its = |one: &&crate::app::InstanceRow| {
        (one.row.task_id.as_str(), one.row.map_index) == (row.task_id.as_str(), row.map_index)
    };
    let instance = inside.instances.iter().find(is_its);
    let task = dag.find(&row.task_id).and_then(|index| dag.task(index));
    XCom {
        key: row.key.clone(),
        timestamp: instance
            .and_then(|one| one.end_date.or(one.start_date))
            .unwrap_or(run.run_after),
        logical_date: run.logical_date,
        map_index: row.map_index,
        task_id: row.task_id.clone(),
        dag_id: run.dag_id.to_string(),
        run_id: run.run_id.to_string(),
        dag_display_name: display_name(dag),
        task_display_name: task
            .and_then(|task| task.task_display_name.clone())
            .unwrap_or_else(|| row.task_id.clone()),
        run_after: run.run_after,
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = &call.fields;
    let inside = inside(call)?;
    let task = fields.need_text("task_id")?;
    if task != ALL && inside.dag.find(task).is_none() {
        let run = &inside.run;
        return Err(ApiError::missing(format!(
            "run {} of dag {} has no task {task:?}",
            run.run_id, run.dag_id
        )));
    }
    let key = fields.text("xcom_key")?;
    let index = fields
        .integer("map_index")?
        .or(fields.integer("map_index_filter")?);
    let (keys, tasks) = (
        Pattern::of(fields, "xcom_key")?,
        Pattern::of(fields, "task_id")?,
    );
    let wanted = inside.xcoms.iter().filter(|row| {
        (task == ALL || row.task_id == task)
            && key.is_none_or(|key| row.key == key)
            && index.is_none_or(|index| i64::from(row.map_index) == index)
            && keys.fits(&row.key)
            && tasks.fits(&row.task_id)
    });
    let rows: Vec<&XComRow> = wanted.collect();
    let total_entries = rows.len();
    let page = Page::of(fields)?.cut(rows);
    Reply::ok(&XComs {
        xcom_entries: page.into_iter().map(|row| xcom(&inside, row)).collect(),
        total_entries,
    })
}

fn find(call: &Call<'_>, key: &str, map_index: i32) -> Result<(RunInside, XComRow), ApiError> {
    let inside = inside(call)?;
    named(call, &inside, map_index)?;
    let task_id = call.task_id()?;
    let mut rows = inside.xcoms.iter();
    let found = rows.find(|row| {
        (row.task_id.as_str(), row.map_index, row.key.as_str())
            == (task_id.as_str(), map_index, key)
    });
    let found = found.cloned().ok_or_else(|| {
        ApiError::missing(format!("the task instance {task_id} has no XCom {key:?}"))
    })?;
    Ok((inside, found))
}

fn shown(call: &Call<'_>, key: &str, map_index: i32) -> Result<XComValue, ApiError> {
    let (inside, row) = find(call, key, map_index)?;
    Ok(XComValue {
        xcom: xcom(&inside, &row),
        value: row.value,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let key = call.fields.need_text("xcom_key")?;
    let mut shown = shown(call, key, call.map_index()?)?;
    if call.fields.truth("stringify")? == Some(true) && !shown.value.is_string() {
        shown.value = Value::from(shown.value.to_string());
    }
    Reply::ok(&shown)
}

fn edit(
    call: &Call<'_>,
    event: &str,
    key: &str,
    map_index: i32,
    value: Option<&Value>,
) -> Result<(), ApiError> {
    let name = InstanceName {
        dag_id: call.dag_id()?,
        run_id: call.run_id()?,
        task_id: call.task_id()?.to_string(),
        map_index,
    };
    let subject = format!(
        "{}/{}/{}/{map_index}/{key}",
        name.dag_id, name.run_id, name.task_id
    );
    call.audited(event, &subject, || {
        let edited = call.app.edit_xcom(&name, key, value, &call.actor.id);
        Ok(call.wait(edited)?)
    })
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: XComCreateBody = call.read()?;
    let inside = inside(call)?;
    named(call, &inside, body.map_index)?;
    if find(call, &body.key, body.map_index).is_ok() {
        return Err(
            ApiError::conflict(format!("there is an XCom {:?} already", body.key))
                .hint("PATCH sets it anew"),
        );
    }
    edit(
        call,
        "create_xcom_entry",
        &body.key,
        body.map_index,
        Some(&body.value),
    )?;
    Reply::created(&shown(call, &body.key, body.map_index)?)
}

fn update(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: XComUpdateBody = call.read()?;
    let key = call.fields.need_text("xcom_key")?;
    find(call, key, body.map_index)?;
    edit(
        call,
        "update_xcom_entry",
        key,
        body.map_index,
        Some(&body.value),
    )?;
    Reply::ok(&shown(call, key, body.map_index)?)
}

fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (key, map_index) = (call.fields.need_text("xcom_key")?, call.map_index()?);
    find(call, key, map_index)?;
    edit(call, "delete_xcom_entry", key, map_index, None)?;
    Ok(Reply::nothing())
}
