//! DAG runs: triggered, listed, shown. What changes them is `changes`' affair.

use super::dag_versions::DagVersionResponse;
use super::dags::{RUN_STATES, display_name};
use super::query::{By, PAGED, Page, Pattern, Range, is_wanted, order};
use super::{About, ApiError, Call, Fields, JsonSchema, Kind, Query, Reply, Route, object};
use crate::app::Role::{Operator, Viewer};
use crate::app::{App, DagVersionInfo, RunRow, TriggerRequest, newest_first};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PATH: &str = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}";

const FILTERS: &[Query] = &[
    ("state", Kind::Texts),
    ("run_type", Kind::Texts),
    ("run_id_pattern", Kind::Text),
    ("run_id_prefix_pattern", Kind::Text),
    ("dag_id_pattern", Kind::Text),
    ("dag_id_prefix_pattern", Kind::Text),
    ("triggering_user_name_pattern", Kind::Text),
    ("triggering_user_name_prefix_pattern", Kind::Text),
    ("duration_gte", Kind::Number),
    ("duration_gt", Kind::Number),
    ("duration_lte", Kind::Number),
    ("duration_lt", Kind::Number),
];

/// The fields of the ranges of dates.
pub(super) const DATES: &[Query] = &[
    ("run_after_gte", Kind::Time),
    ("run_after_gt", Kind::Time),
    ("run_after_lte", Kind::Time),
    ("run_after_lt", Kind::Time),
    ("logical_date_gte", Kind::Time),
    ("logical_date_gt", Kind::Time),
    ("logical_date_lte", Kind::Time),
    ("logical_date_lt", Kind::Time),
    ("start_date_gte", Kind::Time),
    ("start_date_gt", Kind::Time),
    ("start_date_lte", Kind::Time),
    ("start_date_lt", Kind::Time),
    ("end_date_gte", Kind::Time),
    ("end_date_gt", Kind::Time),
    ("end_date_lte", Kind::Time),
    ("end_date_lt", Kind::Time),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns",
        Viewer,
        list,
        About::new("List the runs of a DAG, or with `~` of every DAG")
            .query(&[PAGED, FILTERS, DATES])
            .answers::<DagRuns>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/dags/{dag_id}/dagRuns",
        Operator,
        trigger,
        About::new("Trigger a run")
            .takes::<TriggerBody>()
            .answers::<DagRunResponse>(),
    ),
    Route::airflow(
        "POST",
        "/api/v2/dags/{dag_id}/dagRuns/list",
        Viewer,
        list_batch,
        About::new("List runs by a body; the path names `~`")
            .takes::<Map<String, Value>>()
            .answers::<DagRuns>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        PATH,
        Viewer,
        get,
        About::new("A run").answers::<DagRunResponse>(),
    ),
];

/// A run as Airflow's clients read it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct DagRunResponse {
    dag_run_id: String,
    dag_id: String,
    logical_date: Option<Timestamp>,
    queued_at: Option<Timestamp>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    /// Seconds.
    duration: Option<f64>,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    run_after: Timestamp,
    last_scheduling_decision: Option<Timestamp>,
    run_type: &'static str,
    state: &'static str,
    triggered_by: &'static str,
    triggering_user_name: Option<String>,
    conf: Option<Map<String, Value>>,
    note: Option<String>,
    dag_versions: Vec<DagVersionResponse>,
    bundle_version: Option<String>,
    dag_display_name: String,
    partition_key: Option<String>,
    partition_date: Option<Timestamp>,
}

/// Runs of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
pub(super) struct DagRuns {
    dag_runs: Vec<DagRunResponse>,
    total_entries: usize,
}

/// What a client says about a run that it triggers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerBody {
    dag_run_id: Option<String>,
    /// Null for a run that is about no date.
    logical_date: Option<Timestamp>,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    run_after: Option<Timestamp>,
    /// Checked against the DAG's params.
    conf: Option<Map<String, Value>>,
    note: Option<String>,
    partition_key: Option<String>,
}

/// Who asked for a run, as its header names them.
pub(super) fn asked_by(call: &Call<'_>) -> String {
    format!("{REST_USER}{}", call.actor.id)
}

pub(super) fn seconds(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<f64> {
    let length = end?.duration_since(start?);
    Some(length.as_secs_f64())
}

/// Airflow's word for who made a run.
fn triggered_by(run: &RunRow) -> &'static str {
    let text = run.triggered_by.as_str();
    match run.run_type.as_str() {
        "backfill" => "backfill",
        "scheduled" => "timetable",
        "asset_triggered" => "asset",
        _ if text.starts_with("task instance ") => "operator",
        _ if text.starts_with(REST_USER) => "rest_api",
        _ if text.starts_with("ui ") => "ui",
        _ => "cli",
    }
}

/// How a run's header begins to name who asked for it by the API.
const REST_USER: &str = "rest_api user ";

/// A DAG and the versions that it had.
type KnownDag = (Arc<Dag>, Vec<DagVersionInfo>);

/// DAGs and their versions, each read once for a list of runs.
pub(super) struct Known<'a> {
    app: &'a App,
    dags: BTreeMap<DagId, Option<KnownDag>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(app: &'a App) -> Self {
        Self {
            app,
            dags: BTreeMap::new(),
        }
    }

    fn of(&mut self, dag_id: &DagId) -> Result<Option<&KnownDag>, ApiError> {
        if !self.dags.contains_key(dag_id) {
            // A run outlives its DAG.
            let known = match self.app.dag(dag_id.as_str()) {
                Ok(dag) => Some((dag.dag, self.app.numbered_versions(dag_id)?)),
                Err(_) => None,
            };
            self.dags.insert(dag_id.clone(), known);
        }
        Ok(self.dags.get(dag_id).and_then(Option::as_ref))
    }

    /// The version that a run is on, and the name of its DAG.
    pub(super) fn version(
        &mut self,
        run: &RunRow,
    ) -> Result<(Option<DagVersionResponse>, String), ApiError> {
        Ok(match self.of(&run.dag_id)? {
            Some((dag, versions)) => (
                DagVersionResponse::of_run(dag, versions, &run.dag_version, run.queued_at),
                display_name(dag),
            ),
            None => (None, run.dag_id.to_string()),
        })
    }

    pub(super) fn run(&mut self, run: &RunRow) -> Result<DagRunResponse, ApiError> {
        let header = self.app.run_header(run)?;
        let (version, dag_display_name) = self.version(run)?;
        let user = run.triggered_by.strip_prefix(REST_USER);
        let user = user.or_else(|| run.triggered_by.strip_prefix("cli user "));
        let conf: Value = serde_json::from_str(&header.conf).unwrap_or_default();
        Ok(DagRunResponse {
            dag_run_id: run.run_id.to_string(),
            dag_id: run.dag_id.to_string(),
            logical_date: run.logical_date,
            queued_at: Some(run.queued_at),
            start_date: run.start_date,
            end_date: run.end_date,
            duration: seconds(run.start_date, run.end_date),
            data_interval_start: header.data_interval_start,
            data_interval_end: header.data_interval_end,
            run_after: run.run_after,
            last_scheduling_decision: None,
            run_type: run.run_type.as_str(),
            state: run.state.as_str(),
            triggered_by: triggered_by(run),
            triggering_user_name: user.map(str::to_owned),
            conf: object(&conf),
            note: Some(run.note.clone()).filter(|note| !note.is_empty()),
            dag_versions: version.into_iter().collect(),
            bundle_version: Some(run.dag_version.clone()),
            dag_display_name,
            partition_key: None,
            partition_date: None,
        })
    }
}

/// Which runs a list holds.
pub(super) struct RunFilter {
    states: Vec<String>,
    types: Vec<String>,
    run_ids: Pattern,
    dag_ids: Pattern,
    users: Pattern,
    durations: Range<f64>,
    dates: Dates,
}

/// The ranges that a run's dates must lie in.
pub(super) struct Dates {
    run_after: Range<Timestamp>,
    logical_date: Range<Timestamp>,
    start_date: Range<Timestamp>,
    end_date: Range<Timestamp>,
}

impl Dates {
    pub(super) fn of(fields: &Fields) -> Result<Self, ApiError> {
        Ok(Self {
            run_after: Range::<Timestamp>::of(fields, "run_after")?,
            logical_date: Range::<Timestamp>::of(fields, "logical_date")?,
            start_date: Range::<Timestamp>::of(fields, "start_date")?,
            end_date: Range::<Timestamp>::of(fields, "end_date")?,
        })
    }

    pub(super) fn hold_run(&self, run: &RunRow) -> bool {
        self.run_after.holds(Some(run.run_after)) && self.logical_date.holds(run.logical_date)
    }

    pub(super) fn hold(&self, start: Option<Timestamp>, end: Option<Timestamp>) -> bool {
        self.start_date.holds(start) && self.end_date.holds(end)
    }
}

impl RunFilter {
    fn of(fields: &Fields, states: &str, types: &str) -> Result<Self, ApiError> {
        let states = fields.texts(states)?;
        if let Some(wrong) = states
            .iter()
            .find(|state| !RUN_STATES.contains(&state.as_str()))
        {
            return Err(ApiError::invalid(format!("{wrong:?} is no state of a run"))
                .hint(format!("it is one of {}", RUN_STATES.join(", "))));
        }
        Ok(Self {
            states,
            types: fields.texts(types)?,
            run_ids: Pattern::of(fields, "run_id")?,
            dag_ids: Pattern::of(fields, "dag_id")?,
            users: Pattern::of(fields, "triggering_user_name")?,
            durations: Range::<f64>::of(fields, "duration")?,
            dates: Dates::of(fields)?,
        })
    }

    fn lets(&self, run: &RunRow) -> bool {
        is_wanted(&self.states, run.state.as_str())
            && is_wanted(&self.types, run.run_type.as_str())
            && self.run_ids.fits(run.run_id.as_str())
            && self.dag_ids.fits(run.dag_id.as_str())
            && self.users.fits(&run.triggered_by)
            && self.durations.holds(seconds(run.start_date, run.end_date))
            && self.dates.hold_run(run)
            && self.dates.hold(run.start_date, run.end_date)
    }
}

const ORDERS: &[By<RunRow>] = &[
    // Airflow numbers runs as they come.
    ("id", |one, other| one.queued_at.cmp(&other.queued_at)),
    ("state", |one, other| {
        one.state.as_str().cmp(other.state.as_str())
    }),
    ("dag_id", |one, other| one.dag_id.cmp(&other.dag_id)),
    ("run_id", |one, other| one.run_id.cmp(&other.run_id)),
    ("dag_run_id", |one, other| one.run_id.cmp(&other.run_id)),
    ("logical_date", |one, other| {
        one.logical_date.cmp(&other.logical_date)
    }),
    ("run_after", |one, other| {
        one.run_after.cmp(&other.run_after)
    }),
    ("queued_at", |one, other| {
        one.queued_at.cmp(&other.queued_at)
    }),
    ("start_date", |one, other| {
        one.start_date.cmp(&other.start_date)
    }),
    ("end_date", |one, other| one.end_date.cmp(&other.end_date)),
    ("updated_at", |one, other| one.end_date.cmp(&other.end_date)),
];

/// The order that costs nothing: it is kept in memory.
const NEWEST_FIRST: [&str; 1] = ["-run_after"];

fn page(
    call: &Call<'_>,
    fields: &Fields,
    page: Page,
    lets: impl Fn(&RunRow) -> bool,
    dag_id: Option<&DagId>,
) -> Result<Reply, ApiError> {
    let mut runs = call.app.runs(dag_id)?;
    runs.retain(|run| call.reaches(&run.dag_id) && lets(run));
    let wanted = fields.texts("order_by")?;
    if wanted.is_empty() {
        runs.sort_by_key(|run| run.queued_at);
    } else if wanted == NEWEST_FIRST {
        // As `newest` has it, so that one page follows on the other.
        newest_first(&mut runs);
    } else {
        order(&mut runs, fields, ORDERS)?;
    }
    let total_entries = runs.len();
    let shown = page.cut(runs);
    answer(call, shown.iter(), total_entries)
}

/// A page of all runs from what is kept in memory; none where the store must be read.
fn newest(call: &Call<'_>, page: Page, dag_id: Option<&DagId>) -> Result<Option<Reply>, ApiError> {
    let is_wanted = |other: &DagId| match dag_id {
        Some(dag_id) => other == dag_id,
        None => call.reaches(other),
    };
    match call.app.newest_runs(is_wanted, page.offset, page.limit)? {
        None => Ok(None),
        Some((runs, total)) => answer(call, runs.iter().map(Arc::as_ref), total).map(Some),
    }
}

fn answer<'a>(
    call: &Call<'_>,
    runs: impl Iterator<Item = &'a RunRow>,
    total_entries: usize,
) -> Result<Reply, ApiError> {
    let mut known = Known::new(call.app);
    let dag_runs: Result<_, ApiError> = runs.map(|run| known.run(run)).collect();
    Reply::ok(&DagRuns {
        dag_runs: dag_runs?,
        total_entries,
    })
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let filter = RunFilter::of(&call.fields, "state", "run_type")?;
    let dag_id = call.any_dag_id()?;
    if let Some(dag_id) = &dag_id {
        call.app.dag(dag_id.as_str())?;
    }
    let cut = Page::of(&call.fields)?;
    let filters = [FILTERS, DATES].into_iter().flatten();
    let names: Vec<&str> = call.fields.names().collect();
    let is_filtered = filters.into_iter().any(|(name, _)| names.contains(name));
    if !is_filtered
        && call.fields.texts("order_by")? == NEWEST_FIRST
        && let Some(reply) = newest(call, cut, dag_id.as_ref())?
    {
        return Ok(reply);
    }
    page(
        call,
        &call.fields,
        cut,
        |run| filter.lets(run),
        dag_id.as_ref(),
    )
}

/// The fields of a `list` body, all of which Airflow lets stand for null.
pub(super) fn batch_fields(call: &Call<'_>, known: &[&str]) -> Result<Fields, ApiError> {
    if call.any_dag_id()?.is_some() {
        return Err(ApiError::invalid(
            "a list by a body is of every DAG: its path names `~`",
        ));
    }
    let fields = Fields::from_json(call.body)?;
    let is_known = |name: &str| {
        let is_date = DATES.iter().any(|(date, _)| *date == name);
        is_date || known.contains(&name)
    };
    if let Some(name) = fields.names().find(|name| !is_known(name)) {
        return Err(ApiError::invalid(format!(
            "the body knows no member {name:?}"
        )));
    }
    Ok(fields)
}

fn list_batch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = batch_fields(
        call,
        &[
            "dag_ids",
            "states",
            "order_by",
            "page_limit",
            "page_offset",
            "duration_gte",
            "duration_gt",
            "duration_lte",
            "duration_lt",
        ],
    )?;
    let filter = RunFilter::of(&fields, "states", "run_types")?;
    let dag_ids = fields.texts("dag_ids")?;
    let cut = Page::named(&fields, "page_limit", "page_offset")?;
    let lets = |run: &RunRow| is_wanted(&dag_ids, run.dag_id.as_str()) && filter.lets(run);
    page(call, &fields, cut, lets, None)
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let run = call.app.run(&call.dag_id()?, &call.run_id()?)?;
    Reply::ok(&Known::new(call.app).run(&run)?)
}

/// What a client says is Airflow's and not Airlock's is refused, not forgotten.
fn refuse_unknown(body: &TriggerBody) -> Result<(), ApiError> {
    let given = [
        ("data_interval_start", body.data_interval_start.is_some()),
        ("data_interval_end", body.data_interval_end.is_some()),
        ("partition_key", body.partition_key.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(ApiError::not_implemented(format!(
            "a run cannot be given its {name}: the DAG's timetable says it from the logical_date"
        ))),
        None => Ok(()),
    }
}

fn trigger(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: TriggerBody = call.read()?;
    refuse_unknown(&body)?;
    let dag = call.app.dag(call.dag_id()?.as_str())?;
    if body.run_after.is_some_and(|at| at > Timestamp::now()) {
        return Err(ApiError::not_implemented(
            "a run that is asked for runs at once: a `run_after` in the future is for a schedule",
        ));
    }
    let run_id = body.dag_run_id.as_deref().map(RunId::parse).transpose();
    let request = TriggerRequest {
        logical_date: body.logical_date,
        run_id: run_id.map_err(super::invalid)?,
        conf: body.conf.unwrap_or_default(),
        note: body.note.unwrap_or_default(),
        triggered_by: asked_by(call),
    };
    let dag_id = dag.dag.dag_id.clone();
    let run_id = call.audited("trigger_dag_run", dag_id.as_str(), || {
        let parent = call.trace_parent.as_ref();
        Ok(call.wait(call.app.trigger_traced(&dag, request, parent))?)
    })?;
    let run = call.app.run(&dag_id, &run_id)?;
    Reply::ok(&Known::new(call.app).run(&run)?)
}
