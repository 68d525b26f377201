//! Versions of DAGs and their texts.

use super::dags::display_name;
use super::query::{By, PAGED, Page, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, ids};
use crate::app::DagVersionInfo;
use crate::app::Role::Viewer;
use airlock_core::dag::spec::Dag;
use jiff::Timestamp;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagVersions",
        Viewer,
        list,
        About::new("List the versions of a DAG")
            .query(&[PAGED, &[("version_number", Kind::Integer)]])
            .answers::<DagVersions>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagVersions/{version_number}",
        Viewer,
        get,
        About::new("A version of a DAG").answers::<DagVersionResponse>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dagSources/{dag_id}",
        Viewer,
        source,
        About::new("The text of a DAG's file, of its newest version or of another")
            .query(&[&[("version_number", Kind::Integer)]])
            .answers::<DagSource>(),
    ),
];

/// A version of a DAG.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct DagVersionResponse {
    id: String,
    version_number: u64,
    dag_id: String,
    bundle_name: Option<String>,
    /// The SHA-256 of the version: the same text has the same one.
    bundle_version: Option<String>,
    created_at: Timestamp,
    dag_display_name: String,
    bundle_url: Option<String>,
}

impl DagVersionResponse {
    pub(super) fn new(dag: &Dag, version: &DagVersionInfo) -> Self {
        let number = version.version_number;
        Self {
            id: ids::uuid(&format!("dag_version/{}/{number}", dag.dag_id)),
            version_number: number,
            dag_id: dag.dag_id.to_string(),
            bundle_name: None,
            bundle_version: Some(version.dag_version.clone()),
            created_at: version.created_at,
            dag_display_name: display_name(dag),
            bundle_url: None,
        }
    }

    /// The one that a run is on: a version that came back has several numbers.
    pub(super) fn of_run(
        dag: &Dag,
        versions: &[DagVersionInfo],
        dag_version: &str,
        queued_at: Timestamp,
    ) -> Option<Self> {
        let mut same = versions
            .iter()
            .filter(|version| version.dag_version == dag_version);
        let first = same.clone().next();
        let last = same.rfind(|version| version.created_at <= queued_at);
        last.or(first).map(|version| Self::new(dag, version))
    }
}

/// Versions of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct DagVersions {
    dag_versions: Vec<DagVersionResponse>,
    total_entries: usize,
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag_id = call.dag_id()?;
    let dag = call.app.dag(dag_id.as_str())?.dag;
    let wanted = call.fields.integer("version_number")?;
    let versions = call.app.numbered_versions(&dag_id)?;
    let versions = versions.iter().filter(|version| {
        wanted.is_none_or(|number| i64::try_from(version.version_number) == Ok(number))
    });
    let mut shown: Vec<_> = versions
        .map(|version| DagVersionResponse::new(&dag, version))
        .collect();
    let by: &[By<DagVersionResponse>] = &[
        ("version_number", |one, other| {
            one.version_number.cmp(&other.version_number)
        }),
        ("id", |one, other| one.id.cmp(&other.id)),
    ];
    order(&mut shown, &call.fields, by)?;
    Reply::ok(&DagVersions {
        total_entries: shown.len(),
        dag_versions: Page::of(&call.fields)?.cut(shown),
    })
}

fn numbered(call: &Call<'_>, number: Option<i64>) -> Result<DagVersionInfo, ApiError> {
    let dag_id = call.dag_id()?;
    let versions = call.app.numbered_versions(&dag_id)?;
    let found = match number {
        None => versions.into_iter().next_back(),
        Some(number) => versions
            .into_iter()
            .find(|version| i64::try_from(version.version_number) == Ok(number)),
    };
    found.ok_or_else(|| match number {
        Some(number) => ApiError::missing(format!("dag {dag_id} has no version {number}")),
        None => ApiError::missing(format!("no DAG is called \"{dag_id}\"")),
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag = call.app.dag(call.dag_id()?.as_str())?.dag;
    let number = call.fields.need_integer("version_number")?;
    Reply::ok(&DagVersionResponse::new(
        &dag,
        &numbered(call, Some(number))?,
    ))
}

/// The text of a DAG's file.
#[derive(Serialize, JsonSchema)]
struct DagSource {
    content: Option<String>,
    dag_id: String,
    version_number: Option<u64>,
    dag_display_name: String,
}

fn source(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag = call.app.dag(call.dag_id()?.as_str())?.dag;
    let version = numbered(call, call.fields.integer("version_number")?)?;
    Reply::ok(&DagSource {
        content: Some(call.app.dag_source(&version.dag_version)?),
        dag_id: dag.dag_id.to_string(),
        version_number: Some(version.version_number),
        dag_display_name: display_name(&dag),
    })
}
