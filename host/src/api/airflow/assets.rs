//! Assets: which DAGs make them and wait for them. Airflow numbers assets; here the number is made of the URI.

use super::query::{By, PAGED, Page, Pattern, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, ids};
use crate::app::AssetRow;
use crate::app::Role::Viewer;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/assets",
        Viewer,
        list,
        About::new("List assets")
            .query(&[
                PAGED,
                &[
                    ("name_pattern", Kind::Text),
                    ("name_prefix_pattern", Kind::Text),
                    ("uri_pattern", Kind::Text),
                    ("uri_prefix_pattern", Kind::Text),
                    ("dag_ids", Kind::Texts),
                    ("only_active", Kind::Truth),
                ],
            ])
            .answers::<Assets>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        "/api/v2/assets/{asset_id}",
        Viewer,
        get,
        About::new("An asset").answers::<AssetResponse>(),
    )
    .filtered(),
];

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ScheduledDag {
    dag_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ProducingTask {
    dag_id: String,
    task_id: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct LastEvent {
    id: Option<i64>,
    timestamp: Option<Timestamp>,
}

/// An asset. Its name is its URI.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct AssetResponse {
    id: i64,
    name: String,
    uri: String,
    group: &'static str,
    extra: Map<String, Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
    scheduled_dags: Vec<ScheduledDag>,
    producing_tasks: Vec<ProducingTask>,
    consuming_tasks: Vec<ProducingTask>,
    aliases: Vec<String>,
    watchers: Vec<String>,
    last_asset_event: Option<LastEvent>,
}

/// Assets of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Assets {
    assets: Vec<AssetResponse>,
    total_entries: usize,
}

/// The number of an asset.
pub(super) fn asset_id(uri: &str) -> i64 {
    ids::number(&format!("asset/{uri}"))
}

/// What a token reaches of the assets.
pub(super) fn reached(call: &Call<'_>) -> Result<Vec<AssetRow>, ApiError> {
    let mut assets = call.app.assets()?;
    assets.retain_mut(|asset| {
        asset.producing_dags.retain(|dag_id| call.reaches(dag_id));
        asset.scheduled_dags.retain(|dag_id| call.reaches(dag_id));
        !asset.producing_dags.is_empty() || !asset.scheduled_dags.is_empty()
    });
    Ok(assets)
}

/// The one that a number names.
pub(super) fn numbered(call: &Call<'_>, number: i64) -> Result<AssetRow, ApiError> {
    let mut assets = reached(call)?.into_iter();
    let found = assets.find(|asset| asset_id(&asset.uri) == number);
    found.ok_or_else(|| {
        ApiError::missing(format!("there is no asset {number}"))
            .hint("the number of an asset is made of its URI: /api/v2/assets lists them")
    })
}

fn shown(call: &Call<'_>, assets: &[AssetRow]) -> Result<Vec<AssetResponse>, ApiError> {
    let mut dags = BTreeMap::new();
    for dag_id in assets
        .iter()
        .flat_map(|one| one.producing_dags.iter().chain(&one.scheduled_dags))
    {
        if !dags.contains_key(dag_id) {
            dags.insert(dag_id.clone(), call.app.dag_overview(dag_id.as_str())?);
        }
    }
    let one = |asset: &AssetRow| {
        let mut scheduled_dags = Vec::new();
        let (mut producing_tasks, mut consuming_tasks) = (Vec::new(), Vec::new());
        for (dag_id, seen) in &dags {
            let at = seen.row.updated_at;
            if asset.scheduled_dags.contains(dag_id) {
                scheduled_dags.push(ScheduledDag {
                    dag_id: dag_id.to_string(),
                    created_at: at,
                    updated_at: at,
                });
            }
            for task in &seen.dag.tasks {
                let reference = || ProducingTask {
                    dag_id: dag_id.to_string(),
                    task_id: task.task_id.to_string(),
                    created_at: at,
                    updated_at: at,
                };
                if task.outlets.contains(&asset.uri) {
                    producing_tasks.push(reference());
                }
                if task.inlets.contains(&asset.uri) {
                    consuming_tasks.push(reference());
                }
            }
        }
        let known_since = dags.values().map(|seen| seen.row.updated_at).min();
        let known_since = known_since.unwrap_or(Timestamp::UNIX_EPOCH);
        AssetResponse {
            id: asset_id(&asset.uri),
            name: asset.uri.clone(),
            uri: asset.uri.clone(),
            group: "asset",
            extra: Map::new(),
            created_at: known_since,
            updated_at: asset.last_event_at.unwrap_or(known_since),
            scheduled_dags,
            producing_tasks,
            consuming_tasks,
            aliases: Vec::new(),
            watchers: Vec::new(),
            last_asset_event: asset.last_event_at.map(|at| LastEvent {
                id: None,
                timestamp: Some(at),
            }),
        }
    };
    Ok(assets.iter().map(one).collect())
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = &call.fields;
    let (names, uris) = (Pattern::of(fields, "name")?, Pattern::of(fields, "uri")?);
    let dag_ids = fields.texts("dag_ids")?;
    // An asset that no DAG names is not there.
    fields.truth("only_active")?;
    let mut assets = reached(call)?;
    assets.retain(|asset| {
        let mut dags = asset.producing_dags.iter().chain(&asset.scheduled_dags);
        names.fits(&asset.uri)
            && uris.fits(&asset.uri)
            && (dag_ids.is_empty() || dags.any(|dag| dag_ids.iter().any(|id| id == dag.as_str())))
    });
    let by: &[By<AssetRow>] = &[
        ("id", |one, other| one.uri.cmp(&other.uri)),
        ("name", |one, other| one.uri.cmp(&other.uri)),
        ("uri", |one, other| one.uri.cmp(&other.uri)),
        ("updated_at", |one, other| {
            one.last_event_at.cmp(&other.last_event_at)
        }),
    ];
    order(&mut assets, fields, by)?;
    let total_entries = assets.len();
    let page = Page::of(fields)?.cut(assets);
    Reply::ok(&Assets {
        assets: shown(call, &page)?,
        total_entries,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let asset = numbered(call, call.fields.need_integer("asset_id")?)?;
    let mut shown = shown(call, std::slice::from_ref(&asset))?;
    let only = shown.pop();
    Reply::ok(&only.ok_or_else(|| ApiError::internal(&"an asset was lost"))?)
}
