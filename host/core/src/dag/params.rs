//! Params: the named inputs of a run, their JSON schemas and defaults.
//! It refuses references in schemas (a schema stands alone and cannot recurse), and conf members that no param names
//! pass through unchecked, as in Airflow.

use super::diagnostic::{Sink, quoted};
use super::read::{Fields, wrong_type};
use super::spec::{Dag, Param};
use super::yaml::{Kind, Node, to_map};
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The most params of a DAG: each compiles a schema.
const PARAMS_MAX: usize = 1_000;
/// A mapping with one of these keys is a schema; any other mapping is a default value.
const SCHEMA_KEYS: [&str; 8] = [
    "type", "default", "enum", "const", "anyOf", "oneOf", "allOf", "not",
];
const REFERENCES: [&str; 5] = ["$ref", "$dynamicRef", "$recursiveRef", "$schema", "$id"];

/// Reads `params`; defaults are checked against their own schemas.
pub(super) fn read(fields: Fields<'_, '_>, sink: &mut Sink) -> BTreeMap<String, Param> {
    let mut out = BTreeMap::new();
    let Some(node) = fields.node("params") else {
        return out;
    };
    let Some(entries) = node.as_mapping() else {
        wrong_type(
            node,
            "params",
            "a mapping from names to schemas or defaults",
            sink,
        );
        return out;
    };
    if entries.len() > PARAMS_MAX {
        let message = format!(
            "the DAG has {} params; at most {PARAMS_MAX} are allowed",
            entries.len()
        );
        let hint = "put them into one param of type object".to_owned();
        sink.error_hint(node.span, "too-many-params", message, hint);
        return out;
    }
    for entry in entries {
        let param = param(&entry.value);
        check(&entry.key, &entry.value, &param, sink);
        out.insert(entry.key.clone().into_owned(), param);
    }
    out
}

fn param(node: &Node<'_>) -> Param {
    match &node.kind {
        Kind::Mapping(entries)
            if entries
                .iter()
                .any(|entry| SCHEMA_KEYS.contains(&&*entry.key)) =>
        {
            let mut schema = to_map(entries);
            let default = schema.shift_remove("default");
            Param {
                default,
                schema: Value::Object(schema),
            }
        }
        _ => Param {
            default: Some(node.to_json()),
            schema: Value::Object(Map::new()),
        },
    }
}

fn check(name: &str, node: &Node<'_>, param: &Param, sink: &mut Sink) {
    let validator = match compile(&param.schema) {
        Ok(validator) => validator,
        Err(reason) => {
            let message = format!(
                "the schema of the param {} cannot be used: {reason}",
                quoted(name)
            );
            let hint = "write for example {type: number, minimum: 0, default: 1}".to_owned();
            sink.error_hint(node.span, "param-schema", message, hint);
            return;
        }
    };
    let Some(default) = &param.default else {
        return;
    };
    let entries = node.as_mapping().unwrap_or_default();
    let place = entries.iter().find(|entry| entry.key == "default");
    let span = place.map_or(node.span, |entry| entry.value.span);
    for reason in reasons(&validator, default) {
        let message = format!(
            "the default of the param {} breaks its schema: {reason}",
            quoted(name)
        );
        let hint =
            "change the default or the schema; leave `default` out to have the run's conf name it"
                .to_owned();
        sink.error_hint(span, "param-default", message, hint);
    }
}

/// A validator whose patterns run in linear time and which loads nothing.
fn compile(schema: &Value) -> Result<Validator, String> {
    if let Some(key) = reference(schema) {
        return Err(format!("`{key}` is not supported; write the schema out"));
    }
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| error.to_string())
}

/// A key that would lead out of the schema or back into it. Recursion is bounded by the parser's depth limit.
fn reference(schema: &Value) -> Option<&'static str> {
    match schema {
        Value::Object(members) => REFERENCES
            .into_iter()
            .find(|key| members.contains_key(*key))
            .or_else(|| members.values().find_map(reference)),
        Value::Array(items) => items.iter().find_map(reference),
        _ => None,
    }
}

fn reasons(validator: &Validator, value: &Value) -> Vec<String> {
    /// A param's value can break many rules; a few of them are enough to see what is wrong.
    const REASONS_MAX: usize = 5;
    let reason = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str() {
        "" => error.to_string(),
        path => format!("{error} (at {path})"),
    };
    validator
        .iter_errors(value)
        .take(REASONS_MAX)
        .map(reason)
        .collect()
}

/// The params of a run: the defaults with `conf` over them, each checked against its schema.
/// `conf` is an object or null. The errors name every param that is missing or wrong.
pub fn check_params(dag: &Dag, conf: &Value) -> Result<Map<String, Value>, Vec<String>> {
    check_values(&dag.params, conf)
}

/// The same for params that belong to no DAG.
pub fn check_values(
    params: &BTreeMap<String, Param>,
    conf: &Value,
) -> Result<Map<String, Value>, Vec<String>> {
    let empty = Map::new();
    let conf = match conf {
        Value::Null => &empty,
        Value::Object(members) => members,
        _ => return Err(vec!["conf must be a JSON object".to_owned()]),
    };
    let mut merged = Map::new();
    let mut errors = Vec::new();
    for (name, param) in params {
        let Some(value) = conf.get(name).or(param.default.as_ref()) else {
            errors.push(format!(
                "param {} has no default; give it in conf",
                quoted(name)
            ));
            continue;
        };
        match compile(&param.schema) {
            Ok(validator) => errors.extend(
                reasons(&validator, value)
                    .into_iter()
                    .map(|reason| format!("param {}: {reason}", quoted(name))),
            ),
            Err(reason) => errors.push(format!(
                "param {}: its schema cannot be used: {reason}",
                quoted(name)
            )),
        }
        merged.insert(name.clone(), value.clone());
    }
    let others = conf.iter().filter(|(name, _)| !params.contains_key(*name));
    merged.extend(others.map(|(name, value)| (name.clone(), value.clone())));
    if errors.is_empty() {
        Ok(merged)
    } else {
        Err(errors)
    }
}
