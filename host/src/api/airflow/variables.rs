//! Variables. It refuses to answer the value of one whose key looks secret: such a value goes in and never comes out.

use super::query::{By, PAGED, Page, Pattern, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route, UPDATE_MASK, is_masked};
use crate::app::Role::{Admin, Operator};
use crate::app::{Variable, VariableRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/variables",
        Operator,
        list,
        About::new("List variables; those that look secret are hidden")
            .query(&[
                PAGED,
                &[
                    ("variable_key_pattern", Kind::Text),
                    ("variable_key_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<Variables>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/variables/{variable_key}",
        Operator,
        get,
        About::new("A variable; one that looks secret is hidden").answers::<VariableResponse>(),
    ),
    Route::airflow(
        "POST",
        "/api/v2/variables",
        Admin,
        create,
        About::new("Set a variable that is not there")
            .takes::<VariableBody>()
            .creates::<VariableResponse>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/variables/{variable_key}",
        Admin,
        patch,
        About::new("Set a variable that is there")
            .query(&[UPDATE_MASK])
            .takes::<VariableBody>()
            .answers::<VariableResponse>(),
    ),
    Route::airflow(
        "DELETE",
        "/api/v2/variables/{variable_key}",
        Admin,
        delete,
        About::new("Delete a variable").answers_nothing(),
    ),
];

/// A variable; `***` stands for a value that is not shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct VariableResponse {
    key: String,
    value: String,
    description: Option<String>,
    /// Every variable is sealed in the store.
    is_encrypted: bool,
    team_name: Option<String>,
}

/// Variables of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Variables {
    variables: Vec<VariableResponse>,
    total_entries: usize,
}

/// A variable as a client sets it: what is no text is kept as JSON.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VariableBody {
    key: String,
    value: Value,
    description: Option<String>,
    team_name: Option<String>,
}

impl From<VariableRow> for VariableResponse {
    fn from(row: VariableRow) -> Self {
        Self {
            key: row.key,
            value: row.value,
            description: row.description,
            is_encrypted: true,
            team_name: None,
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let pattern = Pattern::of(&call.fields, "variable_key")?;
    let rows = call.app.variables()?.into_iter();
    let mut shown: Vec<VariableResponse> = rows
        .filter(|row| pattern.fits(&row.key))
        .map(VariableResponse::from)
        .collect();
    let by: &[By<VariableResponse>] = &[
        ("id", |one, other| one.key.cmp(&other.key)),
        ("key", |one, other| one.key.cmp(&other.key)),
        ("description", |one, other| {
            one.description.cmp(&other.description)
        }),
    ];
    order(&mut shown, &call.fields, by)?;
    Reply::ok(&Variables {
        total_entries: shown.len(),
        variables: Page::of(&call.fields)?.cut(shown),
    })
}

fn shown(call: &Call<'_>, key: &str) -> Result<VariableResponse, ApiError> {
    let rows = call.app.variables()?.into_iter();
    let mut rows = rows.filter(|row| row.key == key);
    let missing = || ApiError::missing(format!("variable {key:?} is not set"));
    rows.next().map(VariableResponse::from).ok_or_else(missing)
}

fn key<'a>(call: &'a Call<'_>) -> Result<&'a str, ApiError> {
    call.fields.need_text("variable_key")
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&shown(call, key(call)?)?)
}

fn set(call: &Call<'_>, event: &str, key: &str, variable: &Variable) -> Result<(), ApiError> {
    call.audited(event, &format!("variable/{key}"), || {
        Ok(call.app.set_variable(key, variable)?)
    })
}

fn no_team(body: &VariableBody) -> Result<(), ApiError> {
    match body.team_name {
        None => Ok(()),
        Some(_) => Err(ApiError::not_implemented(
            "there are no teams: leave team_name out",
        )),
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: VariableBody = call.read()?;
    no_team(&body)?;
    if shown(call, &body.key).is_ok() {
        return Err(
            ApiError::conflict(format!("variable {:?} is set already", body.key))
                .hint("PATCH sets it anew"),
        );
    }
    let variable = Variable {
        value: text(body.value),
        description: body.description,
    };
    set(call, "post_variable", &body.key, &variable)?;
    Reply::created(&shown(call, &body.key)?)
}

fn patch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: VariableBody = call.read()?;
    no_team(&body)?;
    let key = key(call)?;
    if body.key != key {
        return Err(ApiError::invalid(format!(
            "the body names {:?} and the path {key:?}: a variable keeps its key",
            body.key
        )));
    }
    shown(call, key)?;
    let old = call.app.variable(key)?.value;
    let variable = Variable {
        value: if is_masked(&call.fields, "value")? {
            old.value
        } else {
            text(body.value)
        },
        description: if is_masked(&call.fields, "description")? {
            old.description
        } else {
            body.description
        },
    };
    set(call, "patch_variable", key, &variable)?;
    Reply::ok(&shown(call, key)?)
}

fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let key = key(call)?;
    shown(call, key)?;
    call.audited("delete_variable", &format!("variable/{key}"), || {
        Ok(call.app.delete_variable(key)?)
    })?;
    Ok(Reply::nothing())
}
