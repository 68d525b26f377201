//! The OpenAPI 3.1 document of the routes below `/api/v2`, made of the very table that the router is made of, with schemas from the
//! types that are read and written. A committed copy is compared in a test, so that no change of the API goes unseen. (A derive on
//! handlers, as utoipa has it, would say a second time what the table says.)

use super::about::{About, Kind};
use super::route::{Route, routes};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Where schemas lie in the document.
const SCHEMAS: &str = "/components/schemas";

/// The document.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes().filter(|route| !route.about.summary.is_empty()) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            let name = route.method.to_ascii_lowercase();
            methods.insert(name, operation(route, &mut generator, problem.as_value()));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Airlock",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Airflow's REST API v2, as far as Airlock has what it is about, and Airlock's own below /api/v2/airlock.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of `airlock tokens create`"},
            },
        },
        "security": [{"token": []}],
    })
}

/// What a request that was refused is answered (RFC 9457).
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// What happened.
    detail: String,
    /// A word for programs, for example `RESOURCE_DOES_NOT_EXIST`.
    code: String,
    /// What to do.
    hint: Option<String>,
}

fn operation(route: &Route, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let about: &About = &route.about;
    let mut parameters: Vec<Value> = path_names(route.path).map(path_parameter).collect();
    parameters.extend(about.fields().map(query_parameter));
    let mut good = json!({"description": "It was done"});
    if let (Some(schema), Some(members)) = (about.answer, good.as_object_mut()) {
        let schema = schema(generator);
        members.insert(
            "content".to_owned(),
            json!({"application/json": {"schema": schema}}),
        );
    }
    let refused = json!({
        "description": "It was refused",
        "content": {"application/problem+json": {"schema": problem}},
    });
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": about.summary,
        "tags": [tag(route.path)],
        "parameters": parameters,
        "responses": {about.status.to_string(): good, "default": refused},
        "x-airlock-role": route.role,
        "x-airlock-reach": route.scope,
    });
    if let (Some(body), Some(members)) = (about.body, operation.as_object_mut()) {
        let content = json!({"application/json": {"schema": body(generator)}});
        members.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": content}),
        );
    }
    operation
}

fn path_names(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query_parameter((name, kind): (&'static str, Kind)) -> Value {
    let schema = match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Number => json!({"type": "number"}),
        Kind::Truth => json!({"type": "boolean"}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
    };
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

/// Of method and path, so that no two are the same.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.to_ascii_lowercase();
    for part in route.path.split('/').filter(|part| !part.is_empty()) {
        let bare = part.trim_start_matches('{').trim_end_matches('}');
        if !matches!(bare, "api" | "v2") {
            id.push('_');
            id.extend(bare.chars().filter(|character| *character != '.'));
        }
    }
    id
}

/// The first noun of a path, or of what follows `dags/{dag_id}`.
fn tag(path: &str) -> &str {
    let rest = path.strip_prefix("/api/v2/").unwrap_or(path);
    let rest = rest.strip_prefix("dags/{dag_id}/").unwrap_or(rest);
    let rest = rest.strip_prefix("dagRuns/{dag_run_id}/").unwrap_or(rest);
    rest.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::airflow;
    use super::*;
    use std::collections::BTreeSet;

    /// The committed copy.
    const COMMITTED: &str = include_str!("openapi.json");

    #[test]
    fn the_committed_document_is_what_the_routes_say() {
        let made = format!("{:#}\n", document());
        if made == COMMITTED {
            return;
        }
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/openapi.json");
        std::fs::write(&place, made).unwrap();
        panic!(
            "the API is not what host/src/api/openapi.json says; if that is meant, copy {} over it",
            place.display()
        );
    }

    #[test]
    fn every_route_of_airflows_says_what_it_is_and_no_two_have_one_name() {
        let mut ids = BTreeSet::new();
        for route in airflow::ROUTES.iter().copied().flatten() {
            assert!(
                !route.about.summary.is_empty(),
                "{} {}",
                route.method,
                route.path
            );
            assert!(ids.insert(operation_id(route)), "{}", operation_id(route));
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
