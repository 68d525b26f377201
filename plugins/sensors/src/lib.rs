//! Waits: for another DAG, for an object, for a time. Each poke looks once and answers at once; how often it is called, and
//! when it gives up, is the host's.

mod dags;
mod objects;
mod time;

use dags::external_task;
use objects::{file, object_key};
use time::{date_time, time_delta};

airlock_sdk::plugin!(operators: [external_task, file, object_key, time_delta, date_time]);
