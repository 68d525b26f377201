//! `airlock tasks show`.

use super::args::{Global, RunArgs};
use super::output::{duration, print, print_json, table, time};
use super::settings::{Need, open};
use crate::app::TaskInstanceDetail;
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::TaskId;
use serde_json::Value;

/// Shows one task instance.
pub(super) fn show(
    global: &Global,
    run: &RunArgs,
    task_id: &str,
    map_index: i32,
) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let (dag_id, run_id) = super::runs::find(&app, run)?;
    let task_id =
        TaskId::parse(task_id).map_err(|error| UserError::new(ErrorKind::Usage, error))?;
    let detail = app.task_instance((&dag_id, &run_id), &task_id, map_index)?;
    if global.json {
        return print_json(&detail);
    }
    print(&text(&detail))
}

fn text(detail: &TaskInstanceDetail) -> String {
    let row = &detail.row;
    let name = if row.map_index < 0 {
        row.task_id.clone()
    } else {
        format!("{}[{}]", row.task_id, row.map_index)
    };
    let mut text = format!(
        "dag {} run {} task {name}: {}\n",
        detail.dag_id, detail.run_id, row.state
    );
    let facts = [
        ("operator", super::native::marked(&detail.operator)),
        (
            "tries",
            format!("{} of {}", row.try_number, u64::from(detail.retries) + 1),
        ),
        ("start", time(detail.start_date)),
        ("end", time(detail.end_date)),
        ("took", duration(row.duration_ms)),
        ("log", detail.log.display().to_string()),
    ];
    for (name, value) in facts {
        text.push_str(&format!("{name:<10} {value}\n"));
    }
    if let Some(from) = detail.reused_from() {
        text.push_str(&format!("{:<10} the result of {from}\n", "reused"));
    }
    if let Some(error) = &row.error {
        text.push_str(&format!("\nerror\n  {}\n", error.replace('\n', "\n  ")));
    }
    if let Value::Object(fields) = &detail.rendered_fields {
        let rows = fields
            .iter()
            .map(|(path, value)| vec![path.clone(), plain(value)]);
        text.push('\n');
        text.push_str(&table(
            &["rendered field", "value"],
            &rows.collect::<Vec<_>>(),
        ));
    }
    if !detail.xcoms.is_empty() {
        let rows = detail
            .xcoms
            .iter()
            .map(|xcom| vec![xcom.key.clone(), plain(&xcom.value)]);
        text.push('\n');
        text.push_str(&table(&["xcom", "value"], &rows.collect::<Vec<_>>()));
    }
    text
}

/// A text without quotes, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', "\\n"),
        other => other.to_string(),
    }
}
