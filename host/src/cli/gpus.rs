//! `airlock gpus`, and the child that asks the driver for it.

use super::args::Global;
use super::output::{print, print_json, table};
use super::settings::{Need, block_on, open};
use crate::app::{App, Data};
use crate::error::UserError;
use crate::scheduler::GpuUse;
use airlock_core::gpu::share_text;
use std::sync::Arc;

pub(super) fn run(global: &Global) -> Result<(), UserError> {
    let app = app(global)?;
    let gpus = block_on(app.gpus())??;
    if global.json {
        return print_json(&gpus);
    }
    if gpus.is_empty() {
        return print("no GPU: the driver lists none, or there is no driver\n");
    }
    let rows: Vec<Vec<String>> = gpus.iter().map(row).collect();
    let head = ["gpu", "memory", "compute", "taken", "held by", "uuid"];
    print(&table(&head, &rows))
}

/// The cards are there with or without a data folder.
fn app(global: &Global) -> Result<Arc<App>, UserError> {
    match open(global, Need::State) {
        Err(error) if error.kind == crate::error::ErrorKind::NotFound => {
            let config = super::settings::config(global, Need::Execution)?;
            Ok(Arc::new(App::open(crate::app::Config {
                data: Data::Throwaway,
                ..config
            })?))
        }
        opened => opened,
    }
}

fn row(one: &GpuUse) -> Vec<String> {
    let (major, minor) = one.gpu.compute;
    vec![
        one.gpu.name.clone(),
        airlock_core::gpu::size_text(one.gpu.memory),
        format!("{major}.{minor}"),
        share_text(one.taken),
        one.holders.join(", "),
        one.gpu.uuid.clone(),
    ]
}

/// Prints what the driver lists, for the process that asked.
pub(super) fn probe() -> Result<(), UserError> {
    print_json(&crate::gpus::probe())
}
