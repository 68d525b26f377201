//! What is durable in a world of schedules: the rows that the host writes, and commits that are made whole or not at all.

use super::audit::Page;
use super::plan::Plan;
use airlock_core::ids::RunId;
use airlock_core::run::event::RunType;
use airlock_core::schedule::DagSchedule;
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A run's row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "Airflow's words")]
pub(super) struct Run {
    pub(super) run_id: RunId,
    pub(super) run_type: RunType,
    pub(super) logical_date: Option<Timestamp>,
    pub(super) run_after: Timestamp,
    pub(super) state: DagRunState,
    pub(super) backfill_id: Option<u64>,
    /// The sources of the asset events that it consumed.
    pub(super) consumed: Vec<String>,
}

/// A DAG's rows.
#[derive(Debug)]
pub(super) struct DagRows {
    pub(super) plan: Rc<Plan>,
    pub(super) is_paused: bool,
    pub(super) schedule: Option<Vec<u8>>,
    /// The auditor's page about that schedule: lost and found with it.
    pub(super) page: Page,
    pub(super) runs: BTreeMap<RunId, Run>,
}

/// One row of a commit.
#[derive(Debug)]
pub(super) enum Write {
    Run(Run),
    Schedule(Vec<u8>, Box<Page>),
    Paused,
}

/// What one turn of the host writes, made whole or not at all: rows, each of a DAG. The last one of its kind wins.
#[derive(Debug, Default)]
pub(super) struct Commit(Vec<(usize, Write)>);

impl Commit {
    pub(super) fn write(&mut self, dag: usize, write: Write) {
        self.0.push((dag, write));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) dags: Vec<DagRows>,
}

impl Store {
    pub(super) fn make(&mut self, commit: Commit) {
        for (dag, write) in commit.0 {
            let Some(rows) = self.dags.get_mut(dag) else {
                continue;
            };
            match write {
                Write::Run(run) => {
                    rows.runs.insert(run.run_id.clone(), run);
                }
                Write::Schedule(bytes, page) => {
                    rows.schedule = Some(bytes);
                    rows.page = *page;
                }
                Write::Paused => rows.is_paused = true,
            }
        }
    }
}

/// As the host writes it.
pub(super) fn encode(schedule: &DagSchedule) -> Vec<u8> {
    serde_json::to_vec(schedule).unwrap_or_default()
}

pub(super) fn decode(bytes: &[u8]) -> Option<DagSchedule> {
    serde_json::from_slice(bytes).ok()
}
