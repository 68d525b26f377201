//! `airlock models`.

use super::args::{Global, Models};
use super::output::{print, print_json, say, table, time};
use super::settings::{Need, open};
use crate::app::{ModelDetail, VersionDetail};
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
        Models::Promote {
            name,
            version,
            stage,
        } => {
            let version = app.promote(&name, version, parse_stage(&stage)?)?;
            changed(global, &version)
        }
        Models::Rollback { name } => {
            let version = app.rollback(&name)?;
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
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(Stage::None),
        "staging" => Ok(Stage::Staging),
        "production" => Ok(Stage::Production),
        "archived" => Ok(Stage::Archived),
        _ => Err(
            UserError::new(ErrorKind::Usage, format!("{text:?} is no stage"))
                .hint("none, staging, production or archived"),
        ),
    }
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
    let event = |event: &VersionLife| {
        vec![
            at(event.at_ms),
            event
                .version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            event.action.clone(),
            event.change.clone(),
            event.actor.id.clone(),
        ]
    };
    text.push_str(&table(
        &["when", "version", "what", "change", "who"],
        &detail.history.iter().map(event).collect::<Vec<_>>(),
    ));
    text
}
