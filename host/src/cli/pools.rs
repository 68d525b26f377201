//! `airlock pools`.

use super::args::{Global, Pools};
use super::output::{print, print_json, say, table};
use super::settings::{Need, block_on, config, open};
use crate::app::{App, PoolRow};
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::PoolName;

pub(super) fn run(global: &Global, command: Pools) -> Result<(), UserError> {
    match command {
        Pools::List => {
            let pools = open(global, Need::State)?.pools()?;
            if global.json {
                return print_json(&pools);
            }
            let row = |pool: &PoolRow| {
                vec![
                    pool.name.to_string(),
                    pool.slots.to_string(),
                    pool.description.clone(),
                ]
            };
            print(&table(
                &["pool", "slots", "description"],
                &pools.iter().map(row).collect::<Vec<_>>(),
            ))
        }
        Pools::Set {
            name,
            slots,
            description,
        } => {
            if slots < -1 || slots > i64::from(u32::MAX) {
                return Err(UserError::new(
                    ErrorKind::Usage,
                    format!("{slots} is no size of a pool"),
                )
                .hint("-1 is unlimited"));
            }
            let name =
                PoolName::parse(&name).map_err(|error| UserError::new(ErrorKind::Usage, error))?;
            // A pool may be the first thing that a new data folder gets.
            let app = App::open(crate::app::Config {
                recover: false,
                ..config(global, Need::Execution)?
            })?;
            block_on(app.set_pool(PoolRow {
                name: name.clone(),
                slots,
                description,
            }))??;
            say(&format!("pool {name}: {slots} slots"));
            Ok(())
        }
    }
}
