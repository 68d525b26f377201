//! `airlock assets`.

use super::args::Global;
use super::args_service::Assets;
use super::output::{print, print_json, say, table, time};
use super::session;
use super::settings::{Need, block_on, conf, open};
use crate::app::{AssetEventRow, AssetRow, TriggerRequest};
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::DagId;
use std::collections::BTreeSet;

pub(super) fn run(global: &Global, command: Assets) -> Result<(), UserError> {
    match command {
        Assets::List => list(global, &open(global, Need::State)?.assets()?),
        Assets::Events { uri } => {
            let app = open(global, Need::State)?;
            events(global, &app.asset_events(uri.as_deref())?)
        }
        Assets::Materialize {
            uri,
            conf: text,
            note,
        } => {
            let request = TriggerRequest {
                conf: conf(text.as_deref())?,
                note: note.unwrap_or_default(),
                triggered_by: super::dags::cli_user(),
                ..TriggerRequest::default()
            };
            let app = super::settings::open_idle(global)?;
            let (dag_id, run_id) = block_on(app.materialize(&uri, request))??;
            super::dags::recorded(global, &dag_id, &run_id)
        }
        Assets::CreateEvent { uri, extra } => {
            let extra = match extra {
                None => serde_json::Map::new(),
                Some(text) => serde_json::from_str(&text).map_err(|error| {
                    let message = format!("--extra is no JSON object: {error}");
                    UserError::new(ErrorKind::Usage, message)
                        .hint(r#"for example --extra '{"rows": 1000}'"#)
                })?,
            };
            let app = open(global, Need::State)?;
            block_on(app.create_asset_event(&uri, extra, &session::user()))??;
            say(&format!("asset {uri}: updated"));
            Ok(())
        }
    }
}

fn list(global: &Global, assets: &[AssetRow]) -> Result<(), UserError> {
    if global.json {
        return print_json(&assets);
    }
    let names = |dags: &BTreeSet<DagId>| {
        let names: Vec<&str> = dags.iter().map(DagId::as_str).collect();
        if names.is_empty() {
            "-".to_owned()
        } else {
            names.join(", ")
        }
    };
    let row = |asset: &AssetRow| {
        vec![
            asset.uri.clone(),
            names(&asset.producing_dags),
            names(&asset.scheduled_dags),
            time(asset.last_event_at),
        ]
    };
    print(&table(
        &["uri", "made by", "scheduled", "last event"],
        &assets.iter().map(row).collect::<Vec<_>>(),
    ))
}

fn events(global: &Global, events: &[AssetEventRow]) -> Result<(), UserError> {
    if global.json {
        return print_json(&events);
    }
    let row = |event: &AssetEventRow| {
        vec![
            event.uri.clone(),
            time(Some(event.at)),
            event.source.clone(),
            event.extra.to_string(),
        ]
    };
    print(&table(
        &["uri", "at", "source", "extra"],
        &events.iter().map(row).collect::<Vec<_>>(),
    ))
}
