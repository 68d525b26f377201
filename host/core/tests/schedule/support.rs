//! A DAG with a schedule, and a host round it that makes what it is told to make.

use airlock_core::dag::spec::{Dag, Schedule, TimetableKind};
use airlock_core::ids::RunId;
use airlock_core::run::event::RunType;
use airlock_core::schedule::{ActiveRuns, CreateRun, DagSchedule, ExistingRun, ScheduleEffect};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::Timetable;
use jiff::{SignedDuration, Timestamp};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

/// Parsed, so that defaults are the real ones.
pub(crate) fn dag(head: &str) -> Dag {
    with_task(head, "")
}

pub(crate) fn with_task(head: &str, task: &str) -> Dag {
    let text = format!("dag_id: d\n{head}\ntasks:\n  - task_id: a\n    operator: probe\n{task}\n");
    let parsed = airlock_core::dag::parse(&text);
    parsed
        .dag
        .unwrap_or_else(|| panic!("{text}\n{:?}", parsed.diagnostics))
}

pub(crate) fn scheduled(schedule: Schedule, kind: TimetableKind, start: Timestamp) -> Dag {
    Dag {
        schedule,
        timetable: kind,
        start_date: Some(start),
        catchup: true,
        max_active_runs: 1_000_000,
        ..dag("")
    }
}

/// A run as the host keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) run: CreateRun,
    pub(crate) state: DagRunState,
    pub(crate) backfill_id: Option<u64>,
}

/// One DAG, its runs, and a clock.
pub(crate) struct Host {
    pub(crate) dag: Dag,
    pub(crate) schedule: DagSchedule,
    pub(crate) rows: Vec<Row>,
    pub(crate) ended: Vec<airlock_core::schedule::Backfill>,
    pub(crate) restarts: bool,
}

impl Host {
    pub(crate) fn new(dag: Dag) -> Self {
        Self {
            schedule: DagSchedule::new(&dag),
            dag,
            rows: Vec::new(),
            ended: Vec::new(),
            restarts: false,
        }
    }

    /// What is stored and read again is the same.
    pub(crate) fn restart(&mut self) {
        let text = serde_json::to_string(&self.schedule).unwrap();
        let read: DagSchedule = serde_json::from_str(&text).unwrap();
        assert_eq!(read, self.schedule);
        self.schedule = read;
    }

    pub(crate) fn active(&self) -> ActiveRuns {
        let count = |state| {
            let rows = self.rows.iter();
            let rows = rows.filter(|row| row.state == state && row.backfill_id.is_none());
            u32::try_from(rows.count()).unwrap()
        };
        ActiveRuns {
            running: count(DagRunState::Running),
            queued: count(DagRunState::Queued),
        }
    }

    pub(crate) fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let timetable = Timetable::new(&self.dag).unwrap();
        self.schedule
            .next_wake(&self.dag, &timetable, now, self.active())
    }

    /// One call; the ids of what it made or cleared.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Vec<String> {
        if self.restarts {
            self.restart();
        }
        let timetable = Timetable::new(&self.dag).unwrap();
        let rows = self.rows.clone();
        let existing = |date: Timestamp| {
            let row = rows
                .iter()
                .rfind(|row| row.run.logical_date == Some(date))?;
            Some(ExistingRun {
                run_id: row.run.run_id.clone(),
                state: row.state,
            })
        };
        let is_taken = |run_id: &RunId| rows.iter().any(|row| row.run.run_id == *run_id);
        let (active, schedule) = (self.active(), &mut self.schedule);
        let effects = schedule.due(&self.dag, &timetable, now, active, &existing, &is_taken);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<ScheduleEffect>) -> Vec<String> {
        let mut ids = Vec::new();
        for effect in effects {
            match effect {
                ScheduleEffect::Create(run) => {
                    ids.push(run.run_id.to_string());
                    let same = |row: &Row| row.run.run_id == run.run_id;
                    assert!(!self.rows.iter().any(same), "{} made twice", run.run_id);
                    self.rows.push(Row {
                        backfill_id: run.backfill.as_ref().map(|(id, _)| *id),
                        run,
                        state: DagRunState::Running,
                    });
                }
                ScheduleEffect::Clear(clear) => {
                    ids.push(format!("clear {}", clear.run_id));
                    let row = self
                        .rows
                        .iter_mut()
                        .find(|row| row.run.run_id == clear.run_id);
                    let row = row.unwrap();
                    assert!(row.state.is_finished());
                    row.state = DagRunState::Running;
                    row.backfill_id = Some(clear.backfill_id);
                }
                ScheduleEffect::Paused { failed_in_a_row } => {
                    ids.push(format!("paused {failed_in_a_row}"));
                }
                ScheduleEffect::BackfillEnded(backfill) => self.ended.push(*backfill),
            }
        }
        ids
    }

    /// Calls until nothing is made any more.
    pub(crate) fn turns(&mut self, now: Timestamp) -> Vec<String> {
        let mut ids = Vec::new();
        while self.next_wake(now).is_some_and(|wake| wake <= now) {
            ids.extend(self.turn(now));
        }
        ids
    }

    pub(crate) fn end(&mut self, run_id: &str, state: DagRunState, now: Timestamp) -> Vec<String> {
        let run_id = RunId::parse(run_id).unwrap();
        let row = self.rows.iter_mut().find(|row| row.run.run_id == run_id);
        row.unwrap().state = state;
        let effects = self.schedule.run_ended(&self.dag, &run_id, state, now);
        self.carry_out(effects)
    }

    pub(crate) fn end_all(&mut self, state: DagRunState, now: Timestamp) {
        let rows = self.rows.iter().filter(|row| !row.state.is_finished());
        let ids: Vec<String> = rows.map(|row| row.run.run_id.to_string()).collect();
        for id in ids {
            self.end(&id, state, now);
        }
    }

    /// A run that somebody triggered for a date.
    pub(crate) fn trigger(&mut self, date: &str, state: DagRunState) {
        let run_id = airlock_core::schedule::run_id(RunType::Manual, at(date)).unwrap();
        self.rows.push(Row {
            run: CreateRun {
                run_id,
                run_type: RunType::Manual,
                logical_date: Some(at(date)),
                data_interval: None,
                run_after: at(date),
                backfill: None,
                ignore_depends_on_past: false,
                asset_events: Vec::new(),
                run_on_latest_version: true,
            },
            state,
            backfill_id: None,
        });
    }
}
