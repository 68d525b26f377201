//! `airlock pools`.

use super::admin::{import_file, open_new, report, write_export};
use super::args::Global;
use super::args_admin::{PoolKind, Pools};
use super::output::{print, print_json, say, table};
use super::settings::{Need, block_on, open};
use crate::app::PoolRow;
use crate::error::{ErrorKind, UserError};
use airlock_core::gpu::GpuFilter;
use airlock_core::ids::PoolName;

pub(super) fn run(global: &Global, command: Pools) -> Result<(), UserError> {
    match command {
        Pools::List => {
            let pools = open(global, Need::State)?.pools()?;
            if global.json {
                return print_json(&pools);
            }
            print(&pools_table(&pools))
        }
        Pools::Get { name } => {
            let pool = open(global, Need::State)?.pool(&name)?;
            if global.json {
                return print_json(&pool);
            }
            print(&pools_table(&[pool]))
        }
        Pools::Set {
            name,
            slots,
            description,
            include_deferred,
            kind,
            gpu_name,
        } => {
            if kind == PoolKind::Slots && gpu_name.is_some() {
                let message = "--gpu-name is for a pool of kind gpu";
                return Err(UserError::new(ErrorKind::Usage, message).hint("add `--kind gpu`"));
            }
            let name =
                PoolName::parse(&name).map_err(|error| UserError::new(ErrorKind::Usage, error))?;
            let pool = PoolRow {
                name,
                slots,
                description,
                include_deferred,
                gpus: (kind == PoolKind::Gpu).then_some(GpuFilter { name: gpu_name }),
            };
            pool.check()?;
            let done = format!("pool {}: {slots} slots", pool.name);
            block_on(open_new(global)?.set_pool(pool))??;
            say(&done);
            Ok(())
        }
        Pools::Delete { name } => {
            block_on(open(global, Need::State)?.delete_pool(&name))??;
            say(&format!("pool {name} is deleted"));
            Ok(())
        }
        Pools::Import(args) => {
            let (members, on_existing) = import_file(&args)?;
            let imported = block_on(open_new(global)?.import_pools(members, on_existing))??;
            report(global, "pools", &imported)
        }
        Pools::Export { file } => {
            let exported = open(global, Need::State)?.export_pools()?;
            write_export(&file, "pools", &exported)
        }
    }
}

fn pools_table(pools: &[PoolRow]) -> String {
    let row = |pool: &PoolRow| {
        vec![
            pool.name.to_string(),
            pool.slots.to_string(),
            if pool.include_deferred { "yes" } else { "no" }.to_owned(),
            match &pool.gpus {
                None => "slots".to_owned(),
                Some(GpuFilter { name: None }) => "gpu".to_owned(),
                Some(GpuFilter { name: Some(name) }) => format!("gpu {name:?}"),
            },
            pool.description.clone(),
        ]
    };
    table(
        &["pool", "slots", "include_deferred", "kind", "description"],
        &pools.iter().map(row).collect::<Vec<_>>(),
    )
}
