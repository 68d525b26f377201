//! Waits: for another DAG, for an object, for a URL, for a time. Each poke looks once and answers at once; how often it is called,
//! and when it gives up, is the host's.

mod dags;
mod fnmatch;
mod http;
mod objects;
mod time;

use dags::{dag_run, external_task};
use objects::{file, object_key};
use time::{datetime, day_of_week, time_delta};

airlock_sdk::plugin!(operators: [
    external_task, dag_run, file, object_key, http::http, time::time, time_delta, datetime, day_of_week,
]);
