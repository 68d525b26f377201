//! `airlock plugins test`: one operator in the real sandbox, as the only task of a DAG on a store that is thrown away.

use super::args::Global;
use super::args_build::PluginsTest;
use super::output::{print, print_json, say};
use super::progress;
use super::settings::{Need, block_on, config, timestamp};
use crate::app::{App, RunDetail, TriggerRequest};
use crate::build::{Tools, build, detect};
use crate::error::{ErrorKind, UserError};
use airlock_core::dag::parse;
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{OperatorName, TaskId};
use airlock_core::task_instance::state::TaskInstanceState;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What the DAG is called.
const DAG_ID: &str = "plugins_test";
/// Keys of grants that hold a list of patterns.
const LISTS: [&str; 7] = [
    "http",
    "storage",
    "storage_read",
    "tracking",
    "models",
    "dag_state",
    "trigger_dags",
];

pub(super) fn run(global: &Global, args: &PluginsTest) -> Result<(), UserError> {
    // What is wrong with the command line is told before anything is built.
    let operator_config = object(&args.config)?;
    let grants = grants(&args.grants)?;
    let operator = args.operator.as_deref().map(operator_name).transpose()?;
    let request = TriggerRequest {
        logical_date: args.logical_date.as_deref().map(timestamp).transpose()?,
        ..TriggerRequest::default()
    };
    let scratch = tempfile::tempdir().map_err(usage)?;
    let plugin = component(global, &args.path, scratch.path())?;
    let quiet = Global {
        data: None,
        quiet: true,
        plugin_folders: vec![scratch.path().to_owned()],
        ..global.clone()
    };
    let app = App::open(config(&quiet, Need::Test)?)?;
    let operator = select(&app, &plugin, operator)?;
    let dag = dag(&plugin, &operator, &operator_config, &grants)?;
    let dag = app.register(dag, String::new(), DAG_ID)?;
    let detail = block_on(async {
        let run_id = app.trigger(&dag, request).await?;
        progress::follow(&quiet, &app, &dag.dag.dag_id, &run_id).await?;
        app.run_detail(&dag.dag.dag_id, &run_id)
    })??;
    let task_id = TaskId::parse(&operator).map_err(usage)?;
    let run = (&detail.run.dag_id, &detail.run.run_id);
    let log = app.log(run, &task_id, -1, None)?;
    report(global, &detail, &log)
}

fn usage(error: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, error)
}

/// `--config`; the parser's message has the line and the column.
fn object(text: &str) -> Result<Map<String, Value>, UserError> {
    serde_json::from_str(text).map_err(|error| {
        usage(format!("--config is no JSON object: {error}"))
            .hint(r#"for example --config '{"name": "Ada"}'"#)
    })
}

/// `--operator`, with or without the plugin's name before it.
fn operator_name(text: &str) -> Result<String, UserError> {
    let name = OperatorName::parse(text).map_err(usage)?;
    let name = name.as_str();
    Ok(name.rsplit('.').next().unwrap_or(name).to_owned())
}

fn grants(texts: &[String]) -> Result<Value, UserError> {
    let mut grants = Map::new();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        match (key, value.split_once('@')) {
            ("training", _) if value.is_empty() => {
                grants.insert(key.to_owned(), json!({}));
            }
            ("training", _) => {
                let threads: u32 = value.parse().map_err(|_| {
                    usage(format!("--grant {text}: {value:?} is no number of threads"))
                })?;
                grants.insert(key.to_owned(), json!({"threads": threads}));
            }
            ("secrets", Some((name, host))) => {
                let secrets = grants.entry(key).or_insert_with(|| json!({}));
                if let Some(secrets) = secrets.as_object_mut() {
                    let hosts = secrets.entry(name).or_insert_with(|| json!([]));
                    push(hosts, host);
                }
            }
            _ if LISTS.contains(&key) && !value.is_empty() => {
                push(grants.entry(key).or_insert_with(|| json!([])), value);
            }
            _ => {
                return Err(usage(format!("--grant {text}: this is no grant")).hint(format!(
                    "write KEY=VALUE with one of {}; secrets=NAME@HOST; training or training=THREADS",
                    LISTS.join(", ")
                )));
            }
        }
    }
    Ok(Value::Object(grants))
}

fn push(list: &mut Value, value: &str) {
    if let Some(list) = list.as_array_mut() {
        list.push(Value::from(value));
    }
}

/// Puts the component, or one made from what is at `path`, into `folder` and yields the plugin's name.
fn component(global: &Global, path: &Path, folder: &Path) -> Result<String, UserError> {
    if path.extension().is_some_and(|ending| ending == "wasm") {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        std::fs::copy(path, folder.join(format!("{stem}.wasm"))).map_err(|error| {
            UserError::new(
                ErrorKind::NotFound,
                format!("cannot read {}: {error}", path.display()),
            )
        })?;
        return Ok(stem.into_owned());
    }
    let source = detect(path)?;
    if !global.json && !global.quiet {
        say(&format!("building {}", path.display()));
    }
    let component = folder.join(format!("{}.wasm", source.name));
    build(path, Some(&component), &Tools::of_process())?;
    Ok(source.name)
}

/// The operator that was asked for, or the only one.
fn select(app: &App, plugin: &str, wanted: Option<String>) -> Result<String, UserError> {
    let loaded = app.plugins().load(plugin)?;
    let known: Vec<&str> = loaded
        .operators()
        .iter()
        .map(|operator| operator.name.as_str())
        .collect();
    match (wanted, known.as_slice()) {
        (Some(wanted), _) if known.contains(&wanted.as_str()) => Ok(wanted),
        (Some(wanted), _) => Err(UserError::new(
            ErrorKind::NotFound,
            format!("plugin {plugin} has no operator {wanted:?}"),
        )
        .hint(format!("it has {}", known.join(", ")))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(usage(format!("plugin {plugin} has more than one operator"))
            .hint(format!("name one with --operator: {}", known.join(", ")))),
    }
}

fn dag(
    plugin: &str,
    operator: &str,
    config: &Map<String, Value>,
    grants: &Value,
) -> Result<Dag, UserError> {
    let task = json!({
        "task_id": operator, "operator": format!("{plugin}.{operator}"), "config": config,
        // A sensor is asked once: whoever tries it wants an answer.
        "poke_interval": "1ms", "timeout": "1ms",
    });
    let text = json!({"dag_id": DAG_ID, "grants": grants, "tasks": [task]}).to_string();
    let parsed = parse(&text);
    parsed.dag.ok_or_else(|| {
        let mut messages: Vec<&str> = Vec::new();
        for diagnostic in parsed.diagnostics.iter().filter(|one| one.is_error()) {
            messages.push(&diagnostic.message);
        }
        usage(messages.join("\n"))
    })
}

/// The end, the log and the XComs; `failed` is an error of its own.
fn report(global: &Global, detail: &RunDetail, log: &str) -> Result<(), UserError> {
    let Some(row) = detail.task_instances.first() else {
        return Err(UserError::new(ErrorKind::Bug, "the run has no task"));
    };
    if global.json {
        let lines: Vec<&str> = log.lines().collect();
        print_json(&json!({
            "operator": row.task_id, "state": row.state, "error": row.error, "duration_ms": row.duration_ms, "log": lines,
            "xcoms": detail.xcoms.iter().map(|xcom| (xcom.key.clone(), xcom.value.clone())).collect::<Map<String, Value>>(),
        }))?;
    } else {
        let mut text = format!("operator {}: {}\n", row.task_id, row.state);
        if !log.trim().is_empty() {
            text.push_str("log:\n");
            for line in log.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        for xcom in &detail.xcoms {
            text.push_str(&format!("xcom {}: {}\n", xcom.key, xcom.value));
        }
        print(&text)?;
    }
    match row.state {
        TaskInstanceState::Success | TaskInstanceState::Skipped => Ok(()),
        _ => Err(UserError::new(
            ErrorKind::RunFailed,
            format!(
                "operator {} ended in {}: {}",
                row.task_id,
                row.state,
                row.error.as_deref().unwrap_or("it says no more")
            ),
        )),
    }
}
