//! `airlock backfill`.

use super::args::Global;
use super::args_service::{Backfill, BackfillCreate, ReprocessBehaviorArg};
use super::output::{print, print_json, table, time};
use super::settings::{Need, block_on, conf, open, timestamp};
use crate::app::BackfillRow;
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::DagId;
use airlock_core::schedule::{BackfillRequest, PlannedDate, ReprocessBehavior, WhatHappens};
use serde_json::json;

pub(super) fn run(global: &Global, command: Backfill) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let changed = match command {
        Backfill::Create(args) => {
            let (dag_id, request) = request(&args)?;
            if args.dry_run {
                return planned(global, &app.backfill_dry_run(&dag_id, &request)?);
            }
            block_on(app.create_backfill(&dag_id, request))??
        }
        Backfill::List { dag_id } => {
            let mut rows = app.backfills()?;
            rows.retain(|row| dag_id.as_ref().is_none_or(|id| row.dag_id.as_str() == id));
            return listed(global, &rows);
        }
        Backfill::Pause { backfill_id } => block_on(app.pause_backfill(backfill_id, true))??,
        Backfill::Unpause { backfill_id } => block_on(app.pause_backfill(backfill_id, false))??,
        Backfill::Cancel { backfill_id } => block_on(app.cancel_backfill(backfill_id))??,
    };
    if global.json {
        return print_json(&changed);
    }
    print(&format!(
        "backfill {} of dag {}: {}, {} dates\n",
        changed.id, changed.dag_id, changed.state, changed.counts.dates
    ))
}

fn request(args: &BackfillCreate) -> Result<(DagId, BackfillRequest), UserError> {
    let dag_id =
        DagId::parse(&args.dag_id).map_err(|error| UserError::new(ErrorKind::Usage, error))?;
    let dates = (timestamp(&args.from_date)?, timestamp(&args.to_date)?);
    let conf = serde_json::Value::Object(conf(args.dag_run_conf.as_deref())?);
    let request = BackfillRequest {
        run_backwards: args.run_backwards,
        max_active_runs: args.max_active_runs,
        reprocess_behavior: match args.reprocess_behavior {
            ReprocessBehaviorArg::None => ReprocessBehavior::None,
            ReprocessBehaviorArg::Failed => ReprocessBehavior::Failed,
            ReprocessBehaviorArg::Completed => ReprocessBehavior::Completed,
        },
        conf: conf.to_string(),
        run_on_latest_version: !args.no_run_on_latest_version,
        ..BackfillRequest::new(dates.0, dates.1)
    };
    Ok((dag_id, request))
}

fn planned(global: &Global, dates: &[PlannedDate]) -> Result<(), UserError> {
    let existing = |date: &PlannedDate| {
        let run = date.existing.as_ref();
        run.map_or_else(String::new, |run| format!("{} ({})", run.run_id, run.state))
    };
    if global.json {
        let rows = dates.iter().map(|date| {
            json!({
                "logical_date": date.run.logical_date, "what": date.what,
                "run_id": date.existing.as_ref().map(|run| &run.run_id),
                "state": date.existing.as_ref().map(|run| run.state),
            })
        });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let row = |date: &PlannedDate| {
        let what = match date.what {
            WhatHappens::Create => "a run is made",
            WhatHappens::Clear => "the run is cleared",
            WhatHappens::AlreadyExists => "left alone: a run exists",
            WhatHappens::InFlight => "left alone: its run has not ended",
        };
        vec![
            time(Some(date.run.logical_date)),
            what.to_owned(),
            existing(date),
        ]
    };
    print(&table(
        &["logical_date", "what", "run"],
        &dates.iter().map(row).collect::<Vec<_>>(),
    ))
}

fn listed(global: &Global, rows: &[BackfillRow]) -> Result<(), UserError> {
    if global.json {
        return print_json(&rows);
    }
    let row = |row: &BackfillRow| {
        let counts = row.counts;
        vec![
            row.id.to_string(),
            row.dag_id.to_string(),
            row.state.to_owned(),
            time(Some(row.request.from_date)),
            time(Some(row.request.to_date)),
            counts.dates.to_string(),
            row.left.to_string(),
            row.active.len().to_string(),
            counts.success.to_string(),
            counts.failed.to_string(),
        ]
    };
    print(&table(
        &[
            "id", "dag_id", "state", "from", "to", "dates", "left", "active", "success", "failed",
        ],
        &rows.iter().map(row).collect::<Vec<_>>(),
    ))
}
