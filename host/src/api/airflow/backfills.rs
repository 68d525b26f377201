//! Backfills: what one would do, made, followed, paused, cancelled.

use super::query::{By, PAGED, Page, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, invalid};
use crate::app::BackfillRow;
use crate::app::Role::{Operator, Viewer};
use airlock_core::ids::DagId;
use airlock_core::schedule::{BackfillRequest, ReprocessBehavior, WhatHappens};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/backfills",
        Viewer,
        list,
        About::new("List backfills")
            .query(&[PAGED, &[("dag_id", Kind::Text), ("active", Kind::Truth)]])
            .answers::<Backfills>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/backfills",
        Operator,
        create,
        About::new("Begin a backfill")
            .takes::<BackfillBody>()
            .answers::<BackfillResponse>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/backfills/dry_run",
        Operator,
        dry_run,
        About::new("The dates that a backfill would run")
            .takes::<BackfillBody>()
            .answers::<Dates>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        "/api/v2/backfills/{backfill_id}",
        Viewer,
        get,
        About::new("A backfill").answers::<BackfillResponse>(),
    )
    .filtered(),
    Route::airflow(
        "PUT",
        "/api/v2/backfills/{backfill_id}/pause",
        Operator,
        pause,
        About::new("Make and start no more of a backfill's runs").answers::<BackfillResponse>(),
    )
    .filtered(),
    Route::airflow(
        "PUT",
        "/api/v2/backfills/{backfill_id}/unpause",
        Operator,
        unpause,
        About::new("Go on with a backfill").answers::<BackfillResponse>(),
    )
    .filtered(),
    Route::airflow(
        "PUT",
        "/api/v2/backfills/{backfill_id}/cancel",
        Operator,
        cancel,
        About::new("End a backfill: its queued runs are cancelled, its running ones go on")
            .answers::<BackfillResponse>(),
    )
    .filtered(),
];

/// A backfill.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct BackfillResponse {
    id: u64,
    dag_id: String,
    from_date: Timestamp,
    to_date: Timestamp,
    dag_run_conf: Option<Map<String, Value>>,
    is_paused: bool,
    reprocess_behavior: &'static str,
    max_active_runs: u32,
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
    updated_at: Timestamp,
    dag_display_name: String,
}

/// Backfills of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Backfills {
    backfills: Vec<BackfillResponse>,
    total_entries: usize,
}

/// What a backfill is asked to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BackfillBody {
    dag_id: String,
    from_date: Timestamp,
    to_date: Timestamp,
    #[serde(default)]
    run_backwards: bool,
    dag_run_conf: Option<Map<String, Value>>,
    /// `none`, `failed` or `completed`.
    reprocess_behavior: Option<String>,
    max_active_runs: Option<u32>,
    run_on_latest_version: Option<bool>,
}

impl BackfillBody {
    fn request(&self, call: &Call<'_>) -> Result<(DagId, BackfillRequest), ApiError> {
        let dag_id = DagId::parse(&self.dag_id).map_err(invalid)?;
        call.check(&dag_id)?;
        let mut request = BackfillRequest::new(self.from_date, self.to_date);
        request.run_backwards = self.run_backwards;
        if let Some(conf) = &self.dag_run_conf {
            request.conf = Value::Object(conf.clone()).to_string();
        }
        request.reprocess_behavior = match self.reprocess_behavior.as_deref() {
            None | Some("none") => ReprocessBehavior::None,
            Some("failed") => ReprocessBehavior::Failed,
            Some("completed") => ReprocessBehavior::Completed,
            Some(other) => {
                return Err(
                    ApiError::invalid(format!("{other:?} is no reprocess_behavior"))
                        .hint("it is one of none, failed, completed"),
                );
            }
        };
        if let Some(most) = self.max_active_runs {
            request.max_active_runs = most;
        }
        if let Some(is_latest) = self.run_on_latest_version {
            request.run_on_latest_version = is_latest;
        }
        Ok((dag_id, request))
    }
}

fn word(behavior: ReprocessBehavior) -> &'static str {
    match behavior {
        ReprocessBehavior::None => "none",
        ReprocessBehavior::Failed => "failed",
        ReprocessBehavior::Completed => "completed",
    }
}

fn shown(call: &Call<'_>, row: &BackfillRow) -> BackfillResponse {
    let conf: Value = serde_json::from_str(&row.request.conf).unwrap_or_default();
    let dag = call.app.dag(row.dag_id.as_str()).ok();
    let name = dag.map(|dag| super::dags::display_name(&dag.dag));
    BackfillResponse {
        id: row.id,
        dag_id: row.dag_id.to_string(),
        from_date: row.request.from_date,
        to_date: row.request.to_date,
        dag_run_conf: super::object(&conf),
        is_paused: row.state == "paused",
        reprocess_behavior: word(row.request.reprocess_behavior),
        max_active_runs: row.request.max_active_runs,
        created_at: row.created_at,
        completed_at: row.completed_at,
        updated_at: row.completed_at.unwrap_or(row.created_at),
        dag_display_name: name.unwrap_or_else(|| row.dag_id.to_string()),
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let wanted = call
        .fields
        .text("dag_id")?
        .filter(|dag_id| *dag_id != super::ALL);
    let active = call.fields.truth("active")?;
    let rows = call.app.backfills()?;
    let rows = rows.iter().filter(|row| {
        call.reaches(&row.dag_id)
            && wanted.is_none_or(|dag_id| row.dag_id.as_str() == dag_id)
            && active.is_none_or(|active| row.completed_at.is_none() == active)
    });
    let mut backfills: Vec<_> = rows.map(|row| shown(call, row)).collect();
    let by: &[By<BackfillResponse>] = &[
        ("id", |one, other| one.id.cmp(&other.id)),
        ("created_at", |one, other| {
            one.created_at.cmp(&other.created_at)
        }),
        ("from_date", |one, other| {
            one.from_date.cmp(&other.from_date)
        }),
        ("to_date", |one, other| one.to_date.cmp(&other.to_date)),
        ("completed_at", |one, other| {
            one.completed_at.cmp(&other.completed_at)
        }),
    ];
    order(&mut backfills, &call.fields, by)?;
    Reply::ok(&Backfills {
        total_entries: backfills.len(),
        backfills: Page::of(&call.fields)?.cut(backfills),
    })
}

/// One that the caller's token does not reach is not there for it.
fn named(call: &Call<'_>) -> Result<BackfillRow, ApiError> {
    let id = call.fields.need_integer("backfill_id")?;
    let missing = || ApiError::missing(format!("there is no backfill {id}"));
    let row = call
        .app
        .backfill(u64::try_from(id).map_err(|_| missing())?)?;
    if call.reaches(&row.dag_id) {
        return Ok(row);
    }
    Err(missing())
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&shown(call, &named(call)?))
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: BackfillBody = call.read()?;
    let (dag_id, request) = body.request(call)?;
    call.app.dag(dag_id.as_str())?;
    let row = call.audited("create_backfill", dag_id.as_str(), || {
        Ok(call.wait(call.app.create_backfill(&dag_id, request))?)
    })?;
    Reply::ok(&shown(call, &row))
}

/// A date that a backfill would run.
#[derive(Serialize, JsonSchema)]
struct PlannedDate {
    logical_date: Timestamp,
    partition_key: Option<String>,
    partition_date: Option<Timestamp>,
}

/// The dates that a backfill would run.
#[derive(Serialize, JsonSchema)]
struct Dates {
    backfills: Vec<PlannedDate>,
    total_entries: usize,
}

fn dry_run(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: BackfillBody = call.read()?;
    let (dag_id, request) = body.request(call)?;
    let planned = call.app.backfill_dry_run(&dag_id, &request)?.into_iter();
    let planned =
        planned.filter(|date| matches!(date.what, WhatHappens::Create | WhatHappens::Clear));
    let backfills: Vec<PlannedDate> = planned
        .map(|date| PlannedDate {
            logical_date: date.run.logical_date,
            partition_key: None,
            partition_date: None,
        })
        .collect();
    Reply::ok(&Dates {
        total_entries: backfills.len(),
        backfills,
    })
}

fn changed(
    call: &Call<'_>,
    event: &str,
    change: impl FnOnce(&BackfillRow) -> Result<BackfillRow, ApiError>,
) -> Result<Reply, ApiError> {
    let row = named(call)?;
    if row.completed_at.is_some() {
        return Err(ApiError::conflict(format!(
            "backfill {} has ended already",
            row.id
        )));
    }
    let subject = format!("{}/backfill/{}", row.dag_id, row.id);
    let row = call.audited(event, &subject, || change(&row))?;
    Reply::ok(&shown(call, &row))
}

fn pause(call: &Call<'_>) -> Result<Reply, ApiError> {
    changed(call, "pause_backfill", |row| {
        Ok(call.wait(call.app.pause_backfill(row.id, true))?)
    })
}

fn unpause(call: &Call<'_>) -> Result<Reply, ApiError> {
    changed(call, "unpause_backfill", |row| {
        Ok(call.wait(call.app.pause_backfill(row.id, false))?)
    })
}

fn cancel(call: &Call<'_>) -> Result<Reply, ApiError> {
    changed(call, "cancel_backfill", |row| {
        Ok(call.wait(call.app.cancel_backfill(row.id))?)
    })
}
