//! Connections. It refuses to answer a password, or what looks secret in `extra`: they go in and never come out.

use super::query::{By, PAGED, Page, Pattern, order};
use super::{
    About, ApiError, Call, JsonSchema, Kind, Reply, Route, UPDATE_MASK, invalid, is_masked,
};
use crate::app::Connection;
use crate::app::Role::{Admin, Operator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/connections",
        Operator,
        list,
        About::new("List connections, without their secrets")
            .query(&[
                PAGED,
                &[
                    ("connection_id_pattern", Kind::Text),
                    ("connection_id_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<Connections>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/connections/{connection_id}",
        Operator,
        get,
        About::new("A connection, without its secrets").answers::<ConnectionResponse>(),
    ),
    Route::airflow(
        "POST",
        "/api/v2/connections",
        Admin,
        create,
        About::new("Set a connection that is not there")
            .takes::<ConnectionBody>()
            .creates::<ConnectionResponse>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/connections/{connection_id}",
        Admin,
        patch,
        About::new("Set a connection that is there; with `update_mask` only what it names")
            .query(&[UPDATE_MASK])
            .takes::<ConnectionBody>()
            .answers::<ConnectionResponse>(),
    ),
    Route::airflow(
        "DELETE",
        "/api/v2/connections/{connection_id}",
        Admin,
        delete,
        About::new("Delete a connection").answers_nothing(),
    ),
];

/// A connection; `***` stands for what is not shown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ConnectionResponse {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    password: Option<String>,
    /// A JSON object, as a text.
    extra: Option<String>,
    team_name: Option<String>,
}

/// Connections of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Connections {
    connections: Vec<ConnectionResponse>,
    total_entries: usize,
}

/// A connection as a client sets it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectionBody {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<u16>,
    password: Option<String>,
    extra: Option<String>,
    team_name: Option<String>,
}

impl ConnectionBody {
    /// Checked like one that a person sets.
    fn connection(self) -> Result<Connection, ApiError> {
        if self.team_name.is_some() {
            return Err(ApiError::not_implemented(
                "there are no teams: leave team_name out",
            ));
        }
        let members = [
            ("conn_type", Value::from(self.conn_type)),
            ("description", Value::from(self.description)),
            ("host", Value::from(self.host)),
            ("login", Value::from(self.login)),
            ("schema", Value::from(self.schema)),
            ("port", Value::from(self.port)),
            ("password", Value::from(self.password)),
            (
                "extra",
                Value::from(self.extra.filter(|text| !text.is_empty())),
            ),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), value));
        let members: Map<String, Value> = members.into_iter().collect();
        Connection::from_json(members.into()).map_err(invalid)
    }
}

impl ConnectionResponse {
    /// From what the application hid the secrets of.
    fn new(conn_id: String, connection: Connection) -> Self {
        Self {
            connection_id: conn_id,
            conn_type: connection.conn_type,
            description: connection.description,
            host: connection.host,
            login: connection.login,
            schema: connection.schema,
            port: connection.port,
            password: connection.password,
            extra: Some(connection.extra)
                .filter(|extra| !extra.is_null())
                .as_ref()
                .map(ToString::to_string),
            team_name: None,
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let pattern = Pattern::of(&call.fields, "connection_id")?;
    let rows = call.app.connections()?.into_iter();
    let mut shown: Vec<ConnectionResponse> = rows
        .filter(|row| pattern.fits(&row.conn_id))
        .map(|row| ConnectionResponse::new(row.conn_id, row.connection))
        .collect();
    let by: &[By<ConnectionResponse>] = &[
        ("id", |one, other| {
            one.connection_id.cmp(&other.connection_id)
        }),
        ("connection_id", |one, other| {
            one.connection_id.cmp(&other.connection_id)
        }),
        ("conn_id", |one, other| {
            one.connection_id.cmp(&other.connection_id)
        }),
        ("conn_type", |one, other| {
            one.conn_type.cmp(&other.conn_type)
        }),
        ("host", |one, other| one.host.cmp(&other.host)),
        ("port", |one, other| one.port.cmp(&other.port)),
    ];
    order(&mut shown, &call.fields, by)?;
    Reply::ok(&Connections {
        total_entries: shown.len(),
        connections: Page::of(&call.fields)?.cut(shown),
    })
}

fn shown(call: &Call<'_>, conn_id: &str) -> Result<ConnectionResponse, ApiError> {
    let rows = call.app.connections()?.into_iter();
    let mut rows = rows.filter(|row| row.conn_id == conn_id);
    let row = rows.next();
    let row = row.ok_or_else(|| ApiError::missing(format!("connection {conn_id:?} is not set")))?;
    Ok(ConnectionResponse::new(row.conn_id, row.connection))
}

fn conn_id<'a>(call: &'a Call<'_>) -> Result<&'a str, ApiError> {
    call.fields.need_text("connection_id")
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    Reply::ok(&shown(call, conn_id(call)?)?)
}

fn set(call: &Call<'_>, event: &str, id: &str, connection: &Connection) -> Result<(), ApiError> {
    call.audited(event, &format!("connection/{id}"), || {
        Ok(call.app.set_connection(id, connection)?)
    })
}

fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: ConnectionBody = call.read()?;
    let id = body.connection_id.clone();
    let connection = body.connection()?;
    if shown(call, &id).is_ok() {
        return Err(
            ApiError::conflict(format!("connection {id:?} is set already"))
                .hint("PATCH sets it anew"),
        );
    }
    set(call, "post_connection", &id, &connection)?;
    Reply::created(&shown(call, &id)?)
}

/// A field that the request's mask leaves out stays as it was.
fn keep<T>(call: &Call<'_>, name: &str, new: &mut T, old: T) -> Result<(), ApiError> {
    if is_masked(&call.fields, name)? {
        *new = old;
    }
    Ok(())
}

fn patch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: ConnectionBody = call.read()?;
    let id = conn_id(call)?;
    if body.connection_id != id {
        return Err(ApiError::invalid(format!(
            "the body names {:?} and the path {id:?}: a connection keeps its id",
            body.connection_id
        )));
    }
    shown(call, id)?;
    let mut connection = body.connection()?;
    // A password that was never shown cannot be sent back: without one, and without a mask that names it, it stays.
    let keeps_password =
        connection.password.is_none() && call.fields.texts("update_mask")?.is_empty();
    let old = call.app.stored_connection(id)?;
    if keeps_password {
        connection.password.clone_from(&old.password);
    }
    keep(call, "password", &mut connection.password, old.password)?;
    keep(call, "extra", &mut connection.extra, old.extra)?;
    keep(call, "conn_type", &mut connection.conn_type, old.conn_type)?;
    keep(
        call,
        "description",
        &mut connection.description,
        old.description,
    )?;
    keep(call, "host", &mut connection.host, old.host)?;
    keep(call, "login", &mut connection.login, old.login)?;
    keep(call, "schema", &mut connection.schema, old.schema)?;
    keep(call, "port", &mut connection.port, old.port)?;
    set(call, "patch_connection", id, &connection)?;
    Reply::ok(&shown(call, id)?)
}

fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = conn_id(call)?;
    shown(call, id)?;
    call.audited("delete_connection", &format!("connection/{id}"), || {
        Ok(call.app.delete_connection(id)?)
    })?;
    Ok(Reply::nothing())
}
