//! `airlock connections`.

use super::admin::{import_file, open_new, report, text_or_stdin, write_export};
use super::args::Global;
use super::args_admin::{ConnectionArgs, Connections};
use super::output::{print, print_json, say, table};
use super::settings::{Need, open};
use crate::app::ConnectionRow;
use crate::error::{ErrorKind, UserError};
use crate::secrets::Connection;
use serde_json::Value;

pub(super) fn run(global: &Global, command: Connections) -> Result<(), UserError> {
    match command {
        Connections::List => list(global),
        Connections::Get { conn_id } => get(global, &conn_id),
        Connections::Set(args) => set(global, *args),
        Connections::Delete { conn_id } => {
            open(global, Need::State)?.delete_connection(&conn_id)?;
            say(&format!("connection {conn_id} is deleted"));
            Ok(())
        }
        Connections::Import(args) => {
            let (members, on_existing) = import_file(&args)?;
            let imported = open_new(global)?.import_connections(members, on_existing)?;
            report(global, "connections", &imported)
        }
        Connections::Export { file, with_secrets } => {
            let exported = open(global, Need::State)?.export_connections(with_secrets)?;
            write_export(&file, "connections", &exported)
        }
    }
}

fn dash(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), Clone::clone)
}

fn list(global: &Global) -> Result<(), UserError> {
    let connections = open(global, Need::State)?.connections()?;
    if global.json {
        return print_json(&connections);
    }
    let row = |row: &ConnectionRow| {
        let connection = &row.connection;
        vec![
            row.conn_id.clone(),
            connection.conn_type.clone(),
            dash(connection.host.as_ref()),
            dash(connection.port.map(|port| port.to_string()).as_ref()),
            dash(connection.login.as_ref()),
            dash(connection.password.as_ref()),
            dash(connection.schema.as_ref()),
        ]
    };
    print(&table(
        &[
            "conn_id", "type", "host", "port", "login", "password", "schema",
        ],
        &connections.iter().map(row).collect::<Vec<_>>(),
    ))
}

fn get(global: &Global, conn_id: &str) -> Result<(), UserError> {
    let found = open_new(global)?.connection(conn_id)?;
    let shown = ConnectionRow {
        conn_id: conn_id.to_owned(),
        connection: found.value,
    };
    let mut json =
        serde_json::to_value(&shown).map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    if let Some(members) = json.as_object_mut() {
        members.insert("source".to_owned(), Value::from(found.source));
    }
    if global.json {
        return print_json(&json);
    }
    let members = json.as_object().into_iter().flatten();
    let set = members.filter(|(_, value)| !value.is_null());
    let lines = set.map(|(name, value)| match value {
        Value::String(text) => format!("{name:<12} {text}\n"),
        other => format!("{name:<12} {other}\n"),
    });
    print(&lines.collect::<String>())
}

fn set(global: &Global, args: ConnectionArgs) -> Result<(), UserError> {
    let conn_id = args.conn_id.clone();
    let connection = from_args(args).map_err(|reason| {
        UserError::new(
            ErrorKind::Usage,
            format!("connection {conn_id:?}: {reason}"),
        )
        .hint("--conn-uri http://login:password@host:80, --conn-json '{\"conn_type\": \"http\"}', or --conn-type http --conn-host HOST")
    })?;
    open_new(global)?.set_connection(&conn_id, &connection)?;
    say(&format!("connection {conn_id} is set"));
    Ok(())
}

fn from_args(args: ConnectionArgs) -> Result<Connection, String> {
    let stdin = |text| text_or_stdin(text).map_err(|error| error.message);
    let mut connection = if let Some(uri) = args.conn_uri {
        Connection::from_uri(&stdin(uri)?)?
    } else if let Some(json) = args.conn_json {
        Connection::parse(&stdin(json)?)?
    } else {
        let members = serde_json::json!({
            "conn_type": args.conn_type.unwrap_or_default(),
            "host": args.conn_host,
            "port": args.conn_port,
            "login": args.conn_login,
            "password": args.conn_password.map(stdin).transpose()?,
            "schema": args.conn_schema,
            "extra": args.conn_extra,
        });
        Connection::from_json(members)?
    };
    if args.conn_description.is_some() {
        connection.description = args.conn_description;
    }
    Ok(connection)
}
