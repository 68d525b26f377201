//! `airlock models`.

use super::args::Global;
use super::args_ml::Models;
use super::output::{print, print_json, say, table, time};
use super::settings::{Need, open, timestamp};
use crate::app::{ModelAt, ModelDetail, ProductionVersion, VersionDetail};
use crate::error::{ErrorKind, UserError};
use crate::tracking::{Stage, VersionLife};
use jiff::Timestamp;

pub(super) fn run(global: &Global, command: Models) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    match command {
        Models::List => {
            let models = app.models()?;
            if global.json {
                return print_json(&models);
            }
            let mut rows = Vec::new();
            for model in &models {
                for VersionDetail { version, .. } in app.model(&model.name)?.versions {
                    let digest = version.artifact.chars().take(12).collect();
                    rows.push(vec![
                        version.name,
                        version.version.to_string(),
                        version.stage.to_string(),
                        digest,
                        at(version.created_ms),
                    ]);
                }
            }
            print(&table(
                &["model", "version", "stage", "sha256", "registered"],
                &rows,
            ))
        }
        Models::Show { name } => {
            let detail = app.model(&name)?;
            if global.json {
                print_json(&detail)
            } else {
                print(&text(&detail))
            }
        }
        Models::History { name, at: None } => {
            let history = app.model_history(&name)?;
            if global.json {
                print_json(&history)
            } else {
                print(&lives(&history))
            }
        }
        Models::History { name, at: Some(at) } => {
            let then = app.model_at(&name, timestamp(&at)?.as_millisecond())?;
            if global.json {
                print_json(&then)
            } else {
                print(&production(&then))
            }
        }
        Models::Promote {
            name,
            version,
            stage,
            reason,
        } => {
            let stage = parse_stage(&stage)?;
            let by = super::audited::who();
            let version = app.promote(&by, &name, version, stage, reason.as_deref())?;
            changed(global, &version)
        }
        Models::Rollback { name, reason } => {
            let version = app.rollback(&super::audited::who(), &name, reason.as_deref())?;
            changed(global, &version)
        }
    }
}

fn changed(global: &Global, version: &crate::tracking::ModelVersion) -> Result<(), UserError> {
    if global.json {
        return print_json(version);
    }
    say(&format!(
        "model {} version {} is in {}",
        version.name, version.version, version.stage
    ));
    Ok(())
}

fn parse_stage(text: &str) -> Result<Stage, UserError> {
    Stage::parse(text).ok_or_else(|| {
        UserError::new(ErrorKind::Usage, format!("{text:?} is no stage"))
            .hint("none, staging, production or archived")
    })
}

fn at(ms: i64) -> String {
    time(Timestamp::from_millisecond(ms).ok())
}

fn text(detail: &ModelDetail) -> String {
    let row = |VersionDetail { version, run }: &VersionDetail| {
        let metrics = run
            .iter()
            .flat_map(|run| &run.metrics)
            .map(|(key, point)| format!("{key} {:.4}", point.value));
        vec![
            version.version.to_string(),
            version.stage.to_string(),
            version.aliases.join(", "),
            metrics.collect::<Vec<_>>().join(", "),
            run.as_ref()
                .map(|run| format!("{}/{}", run.experiment, run.name))
                .unwrap_or_default(),
            version.artifact.chars().take(12).collect(),
        ]
    };
    let rows: Vec<Vec<String>> = detail.versions.iter().map(row).collect();
    let mut text = format!("model {}\n\n", detail.model.name);
    text.push_str(&table(
        &["version", "stage", "aliases", "metrics", "run", "sha256"],
        &rows,
    ));
    text.push_str("\nhistory\n");
    text.push_str(&lives(&detail.history));
    text
}

fn lives(history: &[VersionLife]) -> String {
    let row = |life: &VersionLife| {
        let version = life.version.map(|version| version.to_string());
        vec![
            at(life.at_ms),
            version.unwrap_or_default(),
            life.action.clone(),
            life.change.clone(),
            life.actor.id.clone(),
            life.reason.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = history.iter().map(row).collect();
    table(&["when", "version", "what", "change", "who", "why"], &rows)
}

/// What was in production then, and where it came from.
fn production(then: &ModelAt) -> String {
    let mut text = format!("model {} at {}\n", then.name, at(then.at_ms));
    if then.production.is_empty() {
        text.push_str("\nnothing was in production\n");
    }
    for version in &then.production {
        text += &format!("\n{}", table(&["production", ""], &origin(version)));
    }
    text
}

fn origin(version: &ProductionVersion) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    let then = &version.at;
    row("version", then.version.to_string());
    row("sha256", then.artifact.clone());
    row("since", at(then.staged.at_ms));
    row("by", then.staged.actor.id.clone());
    row("why", then.staged.reason.clone().unwrap_or_default());
    row(
        "aliases",
        then.aliases.iter().cloned().collect::<Vec<_>>().join(", "),
    );
    let of = |key: &str| version.provenance(key).unwrap_or_default().to_owned();
    for (name, key) in [
        ("dag", "dag_id"),
        ("dag run", "run_id"),
        ("task", "task_id"),
        ("map index", "map_index"),
        ("try", "try_number"),
        ("plugin", "plugin"),
        ("operator", "operator"),
        ("component", "component"),
        ("data", "data"),
    ] {
        row(name, of(key));
    }
    row("run", then.run_id.clone());
    if let Some(run) = &version.run {
        row("experiment", run.experiment.clone());
        row("run name", run.name.clone());
        for (key, value) in &run.params {
            row(&format!("params.{key}"), value.clone());
        }
        for (key, point) in &run.metrics {
            row(&format!("metrics.{key}"), format!("{:.4}", point.value));
        }
    }
    rows
}
