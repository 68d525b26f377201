//! Airlock's pure domain: ids, DAGs, task instances, runs, timetables, grants. Values in, values out.
//! It refuses all IO: no clock, no random numbers, no files, no environment, no threads, no sockets.

pub mod dag;
pub mod dispatch;
pub mod failed_deps;
pub mod gpu;
pub mod grant;
pub mod ids;
pub mod run;
pub mod schedule;
pub mod task_instance;
pub mod template;
pub mod timetable;
