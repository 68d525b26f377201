//! Files whose DAG is not as the file says.

use super::query::{By, PAGED, Page, Pattern, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, ids};
use crate::app::ImportError;
use crate::app::Role::Viewer;
use jiff::Timestamp;
use serde::Serialize;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/importErrors",
        Viewer,
        list,
        About::new("List the files that could not be read")
            .query(&[
                PAGED,
                &[
                    ("filename", Kind::Text),
                    ("filename_pattern", Kind::Text),
                    ("filename_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<ImportErrors>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/importErrors/{import_error_id}",
        Viewer,
        get,
        About::new("Why a file could not be read").answers::<ImportErrorResponse>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dagWarnings",
        Viewer,
        warnings,
        About::new("List warnings about DAGs; what would be one is an error when a file is read")
            .query(&[
                PAGED,
                &[("dag_id", Kind::Text), ("warning_type", Kind::Text)],
            ])
            .answers::<DagWarnings>(),
    )
    .filtered(),
];

/// A file that could not be read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ImportErrorResponse {
    import_error_id: i64,
    timestamp: Timestamp,
    filename: String,
    bundle_name: Option<String>,
    /// Every mistake in it, each with its place and a hint.
    stack_trace: String,
}

/// Errors of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct ImportErrors {
    import_errors: Vec<ImportErrorResponse>,
    total_entries: usize,
}

impl From<ImportError> for ImportErrorResponse {
    fn from(error: ImportError) -> Self {
        Self {
            import_error_id: ids::number(&format!("import_error/{}", error.fileloc)),
            timestamp: error.at,
            filename: error.fileloc,
            bundle_name: None,
            stack_trace: error.message,
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let pattern = Pattern::of(&call.fields, "filename")?;
    let name = call.fields.text("filename")?;
    let errors = call.app.import_errors()?.into_iter();
    let mut shown: Vec<ImportErrorResponse> = errors
        .filter(|error| {
            pattern.fits(&error.fileloc) && name.is_none_or(|name| error.fileloc == name)
        })
        .map(ImportErrorResponse::from)
        .collect();
    let by: &[By<ImportErrorResponse>] = &[
        ("id", |one, other| one.filename.cmp(&other.filename)),
        ("import_error_id", |one, other| {
            one.import_error_id.cmp(&other.import_error_id)
        }),
        ("timestamp", |one, other| {
            one.timestamp.cmp(&other.timestamp)
        }),
        ("filename", |one, other| one.filename.cmp(&other.filename)),
    ];
    order(&mut shown, &call.fields, by)?;
    Reply::ok(&ImportErrors {
        total_entries: shown.len(),
        import_errors: Page::of(&call.fields)?.cut(shown),
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let wanted = call.fields.need_integer("import_error_id")?;
    let errors = call.app.import_errors()?.into_iter();
    let mut errors = errors.map(ImportErrorResponse::from);
    let found = errors.find(|error| error.import_error_id == wanted);
    let found =
        found.ok_or_else(|| ApiError::missing(format!("there is no import error {wanted}")))?;
    Reply::ok(&found)
}

/// Always empty.
#[derive(Serialize, JsonSchema)]
struct DagWarnings {
    dag_warnings: Vec<String>,
    total_entries: usize,
}

fn warnings(_: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&DagWarnings {
        dag_warnings: Vec::new(),
        total_entries: 0,
    })
}
