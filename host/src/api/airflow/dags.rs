//! DAGs: listed, shown, paused.

use super::query::{By, PAGED, Page, Pattern, is_wanted, order};
use super::{
    About, ApiError, Call, JsonSchema, Kind, Query, Reply, Route, UPDATE_MASK, dag_versions, ids,
    is_masked,
};
use crate::app::Role::{Operator, Viewer};
use crate::app::{App, DagOverview};
use airlock_core::dag::spec::{AssetExpression, Dag, Schedule};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FILTERS: &[Query] = &[
    ("tags", Kind::Texts),
    ("tags_match_mode", Kind::Text),
    ("owners", Kind::Texts),
    ("dag_id_pattern", Kind::Text),
    ("dag_id_prefix_pattern", Kind::Text),
    ("dag_display_name_pattern", Kind::Text),
    ("dag_display_name_prefix_pattern", Kind::Text),
    ("exclude_stale", Kind::Truth),
    ("paused", Kind::Truth),
    ("has_import_errors", Kind::Truth),
    ("has_asset_schedule", Kind::Truth),
    ("last_dag_run_state", Kind::Text),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags",
        Viewer,
        list,
        About::new("List DAGs")
            .query(&[PAGED, FILTERS])
            .answers::<Dags>(),
    )
    .filtered(),
    Route::airflow(
        "PATCH",
        "/api/v2/dags",
        Operator,
        patch_all,
        About::new("Pause or unpause every DAG that the query lets through")
            .query(&[PAGED, FILTERS, UPDATE_MASK])
            .takes::<DagPatchBody>()
            .answers::<Dags>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}",
        Viewer,
        get,
        About::new("A DAG").answers::<DagResponse>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/dags/{dag_id}",
        Operator,
        patch,
        About::new("Pause or unpause a DAG")
            .query(&[UPDATE_MASK])
            .takes::<DagPatchBody>()
            .answers::<DagResponse>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/details",
        Viewer,
        details,
        About::new("A DAG with its params and its documentation").answers::<DagDetails>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dagTags",
        Viewer,
        tags,
        About::new("List the tags of DAGs")
            .query(&[
                PAGED,
                &[
                    ("tag_name_pattern", Kind::Text),
                    ("tag_name_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<Tags>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        "/api/v2/dagStats",
        Viewer,
        stats,
        About::new("How many runs of each DAG are in which state")
            .query(&[&[("dag_ids", Kind::Texts)]])
            .answers::<Stats>(),
    )
    .filtered(),
];

/// A tag of a DAG.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct DagTag {
    name: String,
    dag_id: String,
    dag_display_name: String,
}

/// A DAG as Airflow's lists have it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "Airflow's fields")]
pub(super) struct DagResponse {
    dag_id: String,
    dag_display_name: String,
    is_paused: bool,
    is_stale: bool,
    last_parsed_time: Option<Timestamp>,
    last_parse_duration: Option<f64>,
    last_expired: Option<Timestamp>,
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    relative_fileloc: Option<String>,
    fileloc: String,
    description: Option<String>,
    timetable_summary: Option<String>,
    timetable_description: Option<String>,
    timetable_partitioned: bool,
    timetable_periodic: bool,
    tags: Vec<DagTag>,
    max_active_tasks: u32,
    max_active_runs: Option<u32>,
    max_consecutive_failed_dag_runs: u32,
    has_task_concurrency_limits: bool,
    has_import_errors: bool,
    next_dagrun_logical_date: Option<Timestamp>,
    next_dagrun_data_interval_start: Option<Timestamp>,
    next_dagrun_data_interval_end: Option<Timestamp>,
    next_dagrun_run_after: Option<Timestamp>,
    allowed_run_types: Option<Vec<String>>,
    owners: Vec<String>,
    is_backfillable: bool,
    /// Airflow's clients send it back to have a file read again; here files are followed.
    file_token: String,
}

/// DAGs of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Dags {
    dags: Vec<DagResponse>,
    total_entries: usize,
}

/// What is changed about a DAG.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DagPatchBody {
    is_paused: bool,
}

/// The name that people see.
pub(super) fn display_name(dag: &Dag) -> String {
    let name = dag.dag_display_name.clone();
    name.unwrap_or_else(|| dag.dag_id.to_string())
}

fn summary(schedule: &Schedule) -> Option<String> {
    match schedule {
        Schedule::None => None,
        Schedule::Once => Some("@once".to_owned()),
        Schedule::Continuous => Some("@continuous".to_owned()),
        Schedule::Cron(text) => Some(text.clone()),
        Schedule::Every(span) => Some(format!("{span:#}")),
        Schedule::Assets(_) => Some("Asset".to_owned()),
        Schedule::AssetsOrTime(_, time) => {
            Some(format!("Asset or {}", summary(time).unwrap_or_default()))
        }
    }
}

/// Whether its runs have dates that a backfill can make.
fn is_periodic(schedule: &Schedule) -> bool {
    match schedule {
        Schedule::Cron(_) | Schedule::Every(_) => true,
        Schedule::AssetsOrTime(_, time) => is_periodic(time),
        _ => false,
    }
}

impl DagResponse {
    fn new(seen: &DagOverview, broken_files: &BTreeSet<String>) -> Self {
        let (row, dag) = (&seen.row, seen.dag.as_ref());
        let (dag_id, name) = (row.dag_id.to_string(), display_name(dag));
        let tag = |tag: &String| DagTag {
            name: tag.clone(),
            dag_id: dag_id.clone(),
            dag_display_name: name.clone(),
        };
        let limits = |task: &airlock_core::dag::spec::Task| {
            task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
        };
        let next = seen.next.as_ref();
        Self {
            is_paused: row.is_paused,
            is_stale: row.is_stale,
            last_parsed_time: Some(row.updated_at),
            last_parse_duration: None,
            last_expired: None,
            bundle_name: None,
            bundle_version: None,
            relative_fileloc: std::path::Path::new(&row.fileloc)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            fileloc: row.fileloc.clone(),
            description: dag.description.clone(),
            timetable_summary: summary(&seen.schedule),
            timetable_description: None,
            timetable_partitioned: false,
            timetable_periodic: is_periodic(&seen.schedule),
            tags: dag.tags.iter().map(tag).collect(),
            max_active_tasks: dag.max_active_tasks,
            max_active_runs: Some(dag.max_active_runs),
            max_consecutive_failed_dag_runs: dag.max_consecutive_failed_dag_runs,
            has_task_concurrency_limits: dag.tasks.iter().any(limits),
            has_import_errors: broken_files.contains(&row.fileloc),
            next_dagrun_logical_date: next.map(|next| next.logical_date),
            next_dagrun_data_interval_start: next.map(|next| next.data_interval_start),
            next_dagrun_data_interval_end: next.map(|next| next.data_interval_end),
            next_dagrun_run_after: next.map(|next| next.run_after),
            allowed_run_types: None,
            owners: owners(dag),
            is_backfillable: is_periodic(&seen.schedule),
            file_token: ids::uuid(&row.fileloc),
            dag_id: dag_id.clone(),
            dag_display_name: name.clone(),
        }
    }
}

/// Airflow's name for nobody in particular.
const NO_OWNER: &str = "airflow";

fn owners(dag: &Dag) -> Vec<String> {
    let owner = |task: &airlock_core::dag::spec::Task| {
        let owner = task.owner.clone();
        owner.unwrap_or_else(|| NO_OWNER.to_owned())
    };
    let owners: BTreeSet<String> = dag.tasks.iter().map(owner).collect();
    owners.into_iter().collect()
}

fn broken_files(app: &App) -> Result<BTreeSet<String>, ApiError> {
    let errors = app.import_errors()?.into_iter();
    Ok(errors.map(|error| error.fileloc).collect())
}

/// The DAGs that a query lets through, in its order.
fn chosen(call: &Call<'_>) -> Result<Vec<DagResponse>, ApiError> {
    let fields = &call.fields;
    let broken = broken_files(call.app)?;
    let (tags, owners) = (fields.texts("tags")?, fields.texts("owners")?);
    let is_all = fields.text("tags_match_mode")? == Some("all");
    let (ids, names) = (
        Pattern::of(fields, "dag_id")?,
        Pattern::of(fields, "dag_display_name")?,
    );
    let exclude_stale = fields.truth("exclude_stale")?.unwrap_or(true);
    let (paused, errors) = (fields.truth("paused")?, fields.truth("has_import_errors")?);
    let by_asset = fields.truth("has_asset_schedule")?;
    let last_state = fields.text("last_dag_run_state")?;
    let mut dags = Vec::new();
    for seen in call.app.dag_overviews()? {
        let dag_id = seen.row.dag_id.clone();
        let dag = DagResponse::new(&seen, &broken);
        let has_tag = |tag: &String| dag.tags.iter().any(|one| one.name == *tag);
        let is_chosen = call.reaches(&dag_id)
            && (tags.is_empty()
                || if is_all {
                    tags.iter().all(has_tag)
                } else {
                    tags.iter().any(has_tag)
                })
            && (owners.is_empty() || owners.iter().any(|owner| dag.owners.contains(owner)))
            && ids.fits(&dag.dag_id)
            && names.fits(&dag.dag_display_name)
            && !(exclude_stale && dag.is_stale)
            && paused.is_none_or(|paused| dag.is_paused == paused)
            && errors.is_none_or(|errors| dag.has_import_errors == errors)
            && by_asset.is_none_or(|wanted| seen.schedule.assets().is_some() == wanted);
        if !is_chosen {
            continue;
        }
        if let Some(wanted) = last_state {
            let last = call.app.recent_runs(&dag_id, 1)?;
            if last.first().is_none_or(|run| run.state.as_str() != wanted) {
                continue;
            }
        }
        dags.push(dag);
    }
    let by: &[By<DagResponse>] = &[
        ("dag_id", |one, other| one.dag_id.cmp(&other.dag_id)),
        ("dag_display_name", |one, other| {
            one.dag_display_name.cmp(&other.dag_display_name)
        }),
        ("next_dagrun", |one, other| {
            one.next_dagrun_run_after.cmp(&other.next_dagrun_run_after)
        }),
        ("is_paused", |one, other| {
            one.is_paused.cmp(&other.is_paused)
        }),
    ];
    order(&mut dags, fields, by)?;
    Ok(dags)
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let page = Page::of(&call.fields)?;
    let dags = chosen(call)?;
    Reply::ok(&Dags {
        total_entries: dags.len(),
        dags: page.cut(dags),
    })
}

fn shown(call: &Call<'_>) -> Result<DagResponse, ApiError> {
    let seen = call.app.dag_overview(call.dag_id()?.as_str())?;
    Ok(DagResponse::new(&seen, &broken_files(call.app)?))
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&shown(call)?)
}

fn patch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: DagPatchBody = call.read()?;
    let dag_id = call.dag_id()?;
    call.app.dag(dag_id.as_str())?;
    if !is_masked(&call.fields, "is_paused")? {
        call.audited("patch_dag", dag_id.as_str(), || {
            Ok(call.app.set_paused(dag_id.as_str(), body.is_paused)?)
        })?;
    }
    Reply::ok(&shown(call)?)
}

fn patch_all(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: DagPatchBody = call.read()?;
    let dags = chosen(call)?;
    let total_entries = dags.len();
    let mut changed = Page::of(&call.fields)?.cut(dags);
    if !is_masked(&call.fields, "is_paused")? {
        for dag in &mut changed {
            call.audited("patch_dag", &dag.dag_id, || {
                Ok(call.app.set_paused(&dag.dag_id, body.is_paused)?)
            })?;
            dag.is_paused = body.is_paused;
        }
    }
    Reply::ok(&Dags {
        dags: changed,
        total_entries,
    })
}

/// A DAG with everything.
#[derive(Serialize, JsonSchema)]
struct DagDetails {
    #[serde(flatten)]
    dag: DagResponse,
    catchup: bool,
    dag_run_timeout: Option<String>,
    asset_expression: Option<Value>,
    doc_md: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    is_paused_upon_creation: Option<bool>,
    params: Option<Map<String, Value>>,
    render_template_as_native_obj: bool,
    template_search_path: Option<Vec<String>>,
    timezone: Option<String>,
    last_parsed: Option<Timestamp>,
    default_args: Option<Map<String, Value>>,
    owner_links: BTreeMap<String, String>,
    is_favorite: bool,
    active_runs_count: usize,
    rerun_with_latest_version: Option<bool>,
    concurrency: u32,
    latest_dag_version: Option<dag_versions::DagVersionResponse>,
}

/// As Airflow writes the condition of an asset schedule.
fn expression(assets: &AssetExpression) -> Value {
    let all = |parts: &[AssetExpression]| parts.iter().map(expression).collect::<Vec<_>>();
    match assets {
        AssetExpression::Asset(uri) => {
            json!({"asset": {"uri": uri, "name": uri, "group": "asset"}})
        }
        AssetExpression::All(parts) => json!({"all": all(parts)}),
        AssetExpression::Any(parts) => json!({"any": all(parts)}),
    }
}

fn params(dag: &Dag) -> Map<String, Value> {
    let param = |(name, param): (&String, &airlock_core::dag::spec::Param)| {
        let description = param.schema.get("description");
        let member =
            json!({"value": param.default, "schema": param.schema, "description": description});
        (name.clone(), member)
    };
    dag.params.iter().map(param).collect()
}

fn details(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag_id = call.dag_id()?;
    let seen = call.app.dag_overview(dag_id.as_str())?;
    let dag = seen.dag.clone();
    let versions = call.app.numbered_versions(&dag_id)?;
    let active = call.app.unfinished_of(&dag_id)?;
    Reply::ok(&DagDetails {
        catchup: dag.catchup,
        dag_run_timeout: dag.dagrun_timeout.as_ref().map(ToString::to_string),
        asset_expression: dag.schedule.assets().map(expression),
        doc_md: dag.doc_md.clone(),
        start_date: dag.start_date,
        end_date: dag.end_date,
        is_paused_upon_creation: Some(dag.is_paused_upon_creation),
        params: Some(params(&dag)),
        // A template that is a whole value keeps its JSON type.
        render_template_as_native_obj: true,
        template_search_path: None,
        timezone: Some(dag.timezone.clone()),
        last_parsed: Some(seen.row.updated_at),
        default_args: None,
        owner_links: dag.owner_links.clone(),
        is_favorite: false,
        active_runs_count: active.len(),
        rerun_with_latest_version: None,
        concurrency: dag.max_active_tasks,
        latest_dag_version: versions
            .last()
            .map(|version| dag_versions::DagVersionResponse::new(&dag, version)),
        dag: DagResponse::new(&seen, &broken_files(call.app)?),
    })
}

/// Tags of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Tags {
    tags: Vec<String>,
    total_entries: usize,
}

fn tags(call: &Call<'_>) -> Result<Reply, ApiError> {
    let pattern = Pattern::of(&call.fields, "tag_name")?;
    let mut found = BTreeSet::new();
    for seen in call.app.dag_overviews()? {
        if call.reaches(&seen.row.dag_id) {
            let tags = seen.dag.tags.iter();
            found.extend(tags.filter(|tag| pattern.fits(tag)).cloned());
        }
    }
    let mut tags: Vec<String> = found.into_iter().collect();
    let by: &[By<String>] = &[("name", String::cmp)];
    order(&mut tags, &call.fields, by)?;
    Reply::ok(&Tags {
        total_entries: tags.len(),
        tags: Page::of(&call.fields)?.cut(tags),
    })
}

#[derive(Serialize, JsonSchema)]
struct StateCount {
    state: &'static str,
    count: usize,
}

/// How many runs a DAG has, by state.
#[derive(Serialize, JsonSchema)]
struct DagStats {
    dag_id: String,
    dag_display_name: String,
    stats: Vec<StateCount>,
}

/// The same of several DAGs.
#[derive(Serialize, JsonSchema)]
struct Stats {
    dags: Vec<DagStats>,
    total_entries: usize,
}

/// Airflow lists every state, also one without runs.
pub(super) const RUN_STATES: [&str; 4] = ["queued", "running", "success", "failed"];

fn stats(call: &Call<'_>) -> Result<Reply, ApiError> {
    let wanted = call.fields.texts("dag_ids")?;
    let mut dags = Vec::new();
    for seen in call.app.dag_overviews()? {
        let dag_id = &seen.row.dag_id;
        if !call.reaches(dag_id) || !is_wanted(&wanted, dag_id.as_str()) {
            continue;
        }
        let runs = call.app.runs(Some(dag_id))?;
        let count = |state: &'static str| StateCount {
            state,
            count: runs
                .iter()
                .filter(|run| run.state.as_str() == state)
                .count(),
        };
        dags.push(DagStats {
            dag_id: dag_id.to_string(),
            dag_display_name: display_name(&seen.dag),
            stats: RUN_STATES.map(count).into(),
        });
    }
    Reply::ok(&Stats {
        total_entries: dags.len(),
        dags,
    })
}
