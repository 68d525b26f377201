//! Events of assets: listed, reported, caused.

use super::assets::{asset_id, numbered, reached};
use super::dag_runs::Known;
use super::query::{By, PAGED, Page, Pattern, Range, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, UNMAPPED, ids, invalid};
use crate::app::Role::{Operator, Viewer};
use crate::app::{AssetEventRow, TriggerRequest};
use airlock_core::ids::RunId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/assets/events",
        Viewer,
        list,
        About::new("List the events of assets")
            .query(&[
                PAGED,
                &[
                    ("asset_id", Kind::Integer),
                    ("source_dag_id", Kind::Text),
                    ("source_task_id", Kind::Text),
                    ("source_run_id", Kind::Text),
                    ("source_map_index", Kind::Integer),
                    ("name_pattern", Kind::Text),
                    ("name_prefix_pattern", Kind::Text),
                    ("timestamp_gte", Kind::Time),
                    ("timestamp_gt", Kind::Time),
                    ("timestamp_lte", Kind::Time),
                    ("timestamp_lt", Kind::Time),
                ],
            ])
            .answers::<AssetEvents>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/assets/events",
        Operator,
        create,
        About::new("Report that an asset was updated by something that is no task instance")
            .takes::<AssetEventBody>()
            .answers::<AssetEventResponse>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/assets/{asset_id}/materialize",
        Operator,
        materialize,
        About::new("Trigger a run of the DAG that makes an asset")
            .takes::<MaterializeBody>()
            .answers::<super::dag_runs::DagRunResponse>(),
    )
    .filtered(),
];

/// An event of an asset.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct AssetEventResponse {
    id: i64,
    asset_id: i64,
    uri: String,
    name: String,
    group: &'static str,
    extra: Option<Map<String, Value>>,
    source_task_id: Option<String>,
    source_dag_id: Option<String>,
    source_run_id: Option<String>,
    source_map_index: i32,
    created_dagruns: Vec<Value>,
    timestamp: Timestamp,
    partition_key: Option<String>,
}

/// Events of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct AssetEvents {
    asset_events: Vec<AssetEventResponse>,
    total_entries: usize,
}

impl AssetEventResponse {
    fn new(event: &AssetEventRow) -> Self {
        let parts: Vec<&str> = event.source.split('/').collect();
        // A person's name has no slashes.
        let (dag, run, task, index) = match parts.as_slice() {
            [dag, run, task, index] => (Some(*dag), Some(*run), Some(*task), index.parse().ok()),
            _ => (None, None, None, None),
        };
        Self {
            id: ids::number(&format!(
                "asset_event/{}/{}/{}",
                event.uri, event.at, event.source
            )),
            asset_id: asset_id(&event.uri),
            uri: event.uri.clone(),
            name: event.uri.clone(),
            group: "asset",
            extra: super::object(&event.extra),
            source_task_id: task.map(str::to_owned),
            source_dag_id: dag.map(str::to_owned),
            source_run_id: run.map(str::to_owned),
            source_map_index: index.unwrap_or(UNMAPPED),
            created_dagruns: Vec::new(),
            timestamp: event.at,
            partition_key: None,
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = &call.fields;
    let reached: BTreeSet<String> = reached(call)?.into_iter().map(|asset| asset.uri).collect();
    let (number, index) = (
        fields.integer("asset_id")?,
        fields.integer("source_map_index")?,
    );
    let (dag, task, run) = (
        fields.text("source_dag_id")?,
        fields.text("source_task_id")?,
        fields.text("source_run_id")?,
    );
    let names = Pattern::of(fields, "name")?;
    let times = Range::<Timestamp>::of(fields, "timestamp")?;
    let events = call.app.asset_events(None)?;
    let mut events: Vec<AssetEventResponse> = events
        .iter()
        .filter(|event| reached.contains(&event.uri))
        .map(AssetEventResponse::new)
        .collect();
    let is = |wanted: Option<&str>, value: &Option<String>| {
        wanted.is_none_or(|wanted| value.as_deref() == Some(wanted))
    };
    events.retain(|event| {
        number.is_none_or(|number| event.asset_id == number)
            && index.is_none_or(|index| i64::from(event.source_map_index) == index)
            && is(dag, &event.source_dag_id)
            && is(task, &event.source_task_id)
            && is(run, &event.source_run_id)
            && names.fits(&event.name)
            && times.holds(Some(event.timestamp))
    });
    let by: &[By<AssetEventResponse>] = &[
        ("timestamp", |one, other| {
            one.timestamp.cmp(&other.timestamp)
        }),
        ("id", |one, other| one.timestamp.cmp(&other.timestamp)),
        ("source_dag_id", |one, other| {
            one.source_dag_id.cmp(&other.source_dag_id)
        }),
        ("source_task_id", |one, other| {
            one.source_task_id.cmp(&other.source_task_id)
        }),
    ];
    order(&mut events, fields, by)?;
    Reply::ok(&AssetEvents {
        total_entries: events.len(),
        asset_events: Page::of(fields)?.cut(events),
    })
}

/// An event that a client reports.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssetEventBody {
    asset_id: i64,
    extra: Option<Map<String, Value>>,
    partition_key: Option<String>,
    access_control: Option<Value>,
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: AssetEventBody = call.read()?;
    if body.partition_key.is_some() || body.access_control.is_some() {
        return Err(ApiError::not_implemented(
            "assets have no partitions and no teams: leave partition_key and access_control out",
        ));
    }
    let asset = numbered(call, body.asset_id)?;
    let before = call.app.asset_events(Some(&asset.uri))?.len();
    let extra = body.extra.unwrap_or_default();
    call.audited(
        "create_asset_event",
        &format!("asset/{}", asset.uri),
        || {
            let made = call
                .app
                .create_asset_event(&asset.uri, extra, &call.actor.id);
            Ok(call.wait(made)?)
        },
    )?;
    let events = call.app.asset_events(Some(&asset.uri))?;
    let mine = events
        .iter()
        .skip(before)
        .rfind(|event| event.source == call.actor.id);
    let mine = mine.ok_or_else(|| ApiError::internal(&"an asset's event was lost"))?;
    Reply::ok(&AssetEventResponse::new(mine))
}

/// What a client says about the run that makes an asset.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MaterializeBody {
    dag_run_id: Option<String>,
    logical_date: Option<Timestamp>,
    conf: Option<Map<String, Value>>,
    note: Option<String>,
}

fn materialize(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: MaterializeBody = if call.body.is_empty() {
        MaterializeBody::default()
    } else {
        call.read()?
    };
    let asset = numbered(call, call.fields.need_integer("asset_id")?)?;
    if let Some(dag_id) = asset.producing_dags.first() {
        call.check(dag_id)?;
    }
    let run_id = body.dag_run_id.as_deref().map(RunId::parse).transpose();
    let request = TriggerRequest {
        logical_date: body.logical_date,
        run_id: run_id.map_err(invalid)?,
        conf: body.conf.unwrap_or_default(),
        note: body.note.unwrap_or_default(),
        triggered_by: super::dag_runs::asked_by(call),
    };
    let made = call.audited("materialize_asset", &format!("asset/{}", asset.uri), || {
        Ok(call.wait(call.app.materialize(&asset.uri, request))?)
    })?;
    let (dag_id, run_id) = made;
    let run = call.app.run(&dag_id, &run_id)?;
    Reply::ok(&Known::new(call.app).run(&run)?)
}
