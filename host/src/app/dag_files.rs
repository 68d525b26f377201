//! What a DAG file holds: one DAG as YAML or JSON, or a component whose `describe` brings DAGs. A component's DAGs carry its
//! digest, so that a run finishes on the component that it began with. It refuses a file of which one DAG is invalid: the last
//! good version of all of them stays.

use super::dags::read_dag;
use crate::error::{ErrorKind, UserError};
use crate::plugins::Plugins;
use crate::sandbox::Plugin;
use crate::store::Digest;
use airlock_core::dag::spec::{Component, Dag};
use airlock_core::dag::{Diagnostic, parse, render};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The most DAGs of one component.
const DAGS_MAX: usize = 1_000;

/// One DAG of a file.
#[derive(Debug, Clone)]
pub struct ReadDag {
    /// The DAG.
    pub dag: Dag,
    /// Its text.
    pub source: String,
    /// What is odd about it and no error.
    pub warnings: Vec<Diagnostic>,
}

/// What a file holds.
#[derive(Debug, Clone)]
pub struct DagFile {
    /// Its DAGs; never empty, each with an id of its own.
    pub dags: Vec<ReadDag>,
    /// The component's bytes, where the file is one.
    pub component: Option<Vec<u8>>,
}

/// Whether a path names a component by its ending.
pub fn is_component(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm")
}

/// The file, and the DAG that is meant of several: `dags.wasm#my_dag`.
pub fn split_dag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('#') {
        Some((file, dag_id)) if is_component(Path::new(file)) => (file, Some(dag_id)),
        _ => (text, None),
    }
}

/// Reads and validates a file; a component is compiled, or found compiled, and asked what it is.
pub(super) fn read_dag_file(plugins: &Plugins, path: &Path) -> Result<DagFile, UserError> {
    if !is_component(path) {
        let (dag, source, warnings) = read_dag(path)?;
        let dags = vec![ReadDag {
            dag,
            source,
            warnings,
        }];
        return Ok(DagFile {
            dags,
            component: None,
        });
    }
    let bytes = std::fs::read(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Usage,
        };
        UserError::new(kind, format!("cannot read {}: {error}", path.display()))
    })?;
    let plugin = plugins
        .load_component(&bytes, Some(path))
        .map_err(|error| UserError::new(ErrorKind::InvalidDag, error))?;
    Ok(DagFile {
        dags: dags_of(&plugin, path)?,
        component: Some(bytes),
    })
}

/// The DAGs of a component, pinned to it.
fn dags_of(plugin: &Arc<Plugin>, path: &Path) -> Result<Vec<ReadDag>, UserError> {
    let wrong = |message: String| UserError::new(ErrorKind::InvalidDag, message);
    let file = path.display();
    if plugin.dags().is_empty() {
        let message = format!("{file} has operators but no DAGs");
        return Err(wrong(message)
            .hint("put it into a folder of plugins (--plugins), where DAGs find its operators"));
    }
    if plugin.dags().len() > DAGS_MAX {
        return Err(wrong(format!("{file} has more than {DAGS_MAX} DAGs"))
            .hint("split it into several components"));
    }
    let component = Component {
        name: plugin.name().to_owned(),
        sha256: Digest(*plugin.digest()).to_string(),
    };
    let mut dags = BTreeMap::new();
    let mut problems = Vec::new();
    for text in plugin.dags() {
        match read_one(text, path, plugin, &component) {
            Ok(read) => {
                let dag_id = read.dag.dag_id.clone();
                if dags.insert(dag_id.clone(), read).is_some() {
                    problems.push(format!("{file} has two DAGs called {dag_id}"));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(dags.into_values().collect())
    } else {
        Err(wrong(problems.join("\n")))
    }
}

fn read_one(
    text: &str,
    path: &Path,
    plugin: &Plugin,
    component: &Component,
) -> Result<ReadDag, String> {
    let file = path.display().to_string();
    // Laid out, so that an error's place shows a line of the document and not all of it.
    let laid_out = serde_json::from_str::<serde_json::Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map_err(|error| format!("{file}: one of its DAGs is not JSON: {error}"))?;
    let parsed = parse(&laid_out);
    let Some(mut dag) = parsed.dag else {
        let shown = render(&parsed.diagnostics, &file, &laid_out, false);
        return Err(format!("a DAG of {file} is invalid\n{shown}"));
    };
    let operators = plugin.operators();
    let unknown = dag.tasks.iter().find(|task| {
        let short = task.operator.as_str().split_once('.').map(|(_, name)| name);
        component.has(&task.operator)
            && short.is_some_and(|short| operators.iter().all(|operator| operator.name != short))
    });
    if let Some(task) = unknown {
        return Err(format!(
            "{file}: task {} of dag {} names the operator {}, which the component does not have",
            task.task_id, dag.dag_id, task.operator
        ));
    }
    dag.component = Some(component.clone());
    Ok(ReadDag {
        dag,
        source: laid_out,
        warnings: parsed.diagnostics,
    })
}
