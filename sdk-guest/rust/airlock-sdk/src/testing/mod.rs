//! A fake host for native unit tests of operators: everything in memory, one a thread.
//!
//! It owns what a guest can see and records what it did. It refuses to imitate the host's limits and grants, but for
//! [`Host::deny`], which makes one interface answer `denied`.

pub mod dataset;
pub mod imports;
mod training;

pub use training::{TrainRequest, Trained};

use crate::bindings::airlock::operator::types as wit;
use crate::dag_runs::TriggerRequest;
use crate::dataset::{Column, ColumnData};
use crate::email::Message;
use crate::http::{HttpError, Request, Response};
use crate::log::Level;
use crate::models::{ModelVersion, Stage};
use crate::time::Timestamp;
use crate::tracking::{Metric, RunInfo, RunStatus};
use crate::training::TrainError;
use crate::{Operator, Outcome, Task, TaskError};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// A table's columns, in order.
pub type Columns = Vec<(Column, ColumnData)>;

type Responder = Box<dyn FnMut(&Request) -> Result<Response, HttpError>>;
type Trainer = Box<dyn FnMut(&TrainRequest) -> Result<Trained, TrainError>>;
type Scorer = Box<dyn FnMut(&str, u64) -> Vec<f32>>;

/// Everything that a guest can see or change.
#[derive(Default)]
pub(crate) struct State {
    task_id: String,
    map_index: i32,
    xcoms: BTreeMap<(String, String, i32), String>,
    objects: BTreeMap<String, Vec<u8>>,
    tables: BTreeMap<String, Columns>,
    runs: Vec<RunInfo>,
    artifacts: BTreeMap<(String, String), String>,
    versions: BTreeMap<String, Vec<ModelVersion>>,
    run_states: BTreeMap<(String, String), Vec<String>>,
    task_states: BTreeMap<(String, String, String), Vec<String>>,
    groups: BTreeMap<(String, String), Vec<String>>,
    existing: Option<BTreeSet<String>>,
    dag_runs: BTreeMap<(String, String), String>,
    triggered: Vec<TriggerRequest>,
    questions: Vec<String>,
    mails: Vec<Message>,
    answer: Option<String>,
    utc_offset: i64,
    not_latest: bool,
    secrets: BTreeMap<String, String>,
    responder: Option<Responder>,
    trainer: Option<Trainer>,
    scorer: Option<Scorer>,
    requests: Vec<Request>,
    lines: Vec<(Level, String)>,
    reports: Vec<(Option<f64>, String)>,
    cancelled: bool,
    now: i64,
    slept: Duration,
    denied: BTreeSet<String>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// The host of this thread, for as long as the value lives.
pub struct Host {
    state: Rc<RefCell<State>>,
    /// What the next attempts are told; tests change it freely.
    pub task: Task,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            if current
                .as_ref()
                .is_some_and(|state| Rc::ptr_eq(state, &self.state))
            {
                current.take();
            }
        });
    }
}

impl Host {
    /// An empty host, installed for this thread. Its clock stands at the task's logical date.
    #[expect(clippy::missing_panics_doc, reason = "the date is a constant")]
    #[expect(clippy::expect_used, reason = "the date is a constant")]
    pub fn new() -> Self {
        let date: Timestamp = "2026-01-05T02:00:00Z".parse().expect("a valid instant");
        let state = Rc::new(RefCell::new(State {
            now: date.as_micros(),
            ..State::default()
        }));
        CURRENT.with(|current| *current.borrow_mut() = Some(Rc::clone(&state)));
        let task = Task {
            dag_id: "dag".into(),
            run_id: "scheduled__2026-01-05T02:00:00+00:00".into(),
            run_type: "scheduled".into(),
            task_id: "task".into(),
            map_index: -1,
            try_number: 1,
            max_tries: 1,
            poke_number: 1,
            logical_date: Some(date),
            data_interval_start: Some(date),
            data_interval_end: Some(date),
            params: serde_json::Map::new(),
            inputs: BTreeMap::new(),
        };
        Self { state, task }
    }

    /// Runs one attempt of `O`, through the same parsing as in a component. This host becomes the thread's.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(...)")]
    pub fn run<O: Operator>(&self, config: Value) -> Result<Outcome, TaskError> {
        {
            let mut state = self.state.borrow_mut();
            state.task_id.clone_from(&self.task.task_id);
            state.map_index = self.task.map_index;
        }
        CURRENT.with(|current| *current.borrow_mut() = Some(Rc::clone(&self.state)));
        crate::operator::run_json::<O>(&config.to_string(), &self.task)
    }

    /// Makes an interface (`storage`, `xcom`, ...) answer `denied`.
    pub fn deny(&self, interface: &str) {
        self.state.borrow_mut().denied.insert(interface.to_owned());
    }

    /// Tells the attempt to stop.
    pub fn cancel(&self) {
        self.state.borrow_mut().cancelled = true;
    }

    /// The next attempts are not told to stop.
    pub fn uncancel(&self) {
        self.state.borrow_mut().cancelled = false;
    }

    /// Sets the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.state.borrow_mut().now = now.as_micros();
    }

    /// How long the guest slept.
    pub fn slept(&self) -> Duration {
        self.state.borrow().slept
    }

    /// All log lines, in order.
    pub fn lines(&self) -> Vec<String> {
        let state = self.state.borrow();
        state.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// All progress reports, in order.
    pub fn reports(&self) -> Vec<(Option<f64>, String)> {
        self.state.borrow().reports.clone()
    }

    /// What the task under test pushed under `key`.
    pub fn pushed(&self, key: &str) -> Option<Value> {
        let state = self.state.borrow();
        let place = (
            self.task.task_id.clone(),
            key.to_owned(),
            self.task.map_index,
        );
        serde_json::from_str(state.xcoms.get(&place)?).ok()
    }

    /// Puts an XCom of another task.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(...)")]
    pub fn put_xcom(&self, task_id: &str, key: &str, value: Value) {
        let place = (task_id.to_owned(), key.to_owned(), -1);
        self.state
            .borrow_mut()
            .xcoms
            .insert(place, value.to_string());
    }

    /// Puts an object.
    pub fn put_object(&self, uri: &str, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.objects.insert(uri.to_owned(), bytes.to_vec());
    }

    /// The bytes of an object.
    pub fn object(&self, uri: &str) -> Option<Vec<u8>> {
        self.state.borrow().objects.get(uri).cloned()
    }

    /// Puts a table.
    pub fn put_table(&self, uri: &str, columns: Columns) {
        self.state
            .borrow_mut()
            .tables
            .insert(uri.to_owned(), columns);
    }

    /// A table as it was finished or put.
    pub fn table(&self, uri: &str) -> Option<Columns> {
        self.state.borrow().tables.get(uri).cloned()
    }

    /// One column of a table.
    pub fn column(&self, uri: &str, name: &str) -> Option<ColumnData> {
        let columns = self.table(uri)?;
        let found = columns.into_iter().find(|(column, _)| column.name == name);
        found.map(|(_, data)| data)
    }

    /// Puts a finished tracking run with one metric and yields its id.
    pub fn put_run(&self, experiment: &str, name: &str, metric: &str, value: f64) -> String {
        let mut state = self.state.borrow_mut();
        let run_id = format!("run-{}", state.runs.len() + 1);
        state.runs.push(RunInfo {
            run_id: run_id.clone(),
            experiment: experiment.to_owned(),
            name: name.to_owned(),
            status: RunStatus::Finished,
            params: Vec::new(),
            metrics: vec![Metric {
                key: metric.to_owned(),
                value,
                step: 0,
            }],
            tags: Vec::new(),
        });
        run_id
    }

    /// All tracking runs, in order of their start.
    pub fn runs(&self) -> Vec<RunInfo> {
        self.state.borrow().runs.clone()
    }

    /// The artifact that a run names `path`.
    pub fn artifact(&self, run_id: &str, path: &str) -> Option<String> {
        let place = (run_id.to_owned(), path.to_owned());
        self.state.borrow().artifacts.get(&place).cloned()
    }

    /// Puts a model version, numbered after the ones that are there.
    pub fn put_version(&self, name: &str, stage: Stage, run_id: &str) -> u32 {
        let mut held = self.state.borrow_mut();
        imports::models::add(
            &mut held,
            name,
            stage,
            run_id,
            &format!("artifact of {run_id}"),
        )
        .version
    }

    /// All versions of a model, in order.
    pub fn versions(&self, name: &str) -> Vec<ModelVersion> {
        let state = self.state.borrow();
        state.versions.get(name).cloned().unwrap_or_default()
    }

    /// Sets the states of the runs of `dag_id` at `logical_date` (RFC 3339, UTC).
    pub fn put_run_states(&self, dag_id: &str, logical_date: &str, states: &[&str]) {
        let place = (dag_id.to_owned(), logical_date.to_owned());
        let mut state = self.state.borrow_mut();
        state.run_states.insert(place, texts(states));
    }

    /// Sets the states of the instances of one task.
    pub fn put_task_states(
        &self,
        dag_id: &str,
        task_id: &str,
        logical_date: &str,
        states: &[&str],
    ) {
        let place = (
            dag_id.to_owned(),
            task_id.to_owned(),
            logical_date.to_owned(),
        );
        let mut state = self.state.borrow_mut();
        state.task_states.insert(place, texts(states));
    }

    /// Names the tasks of a task group.
    pub fn put_group(&self, dag_id: &str, task_group_id: &str, task_ids: &[&str]) {
        let place = (dag_id.to_owned(), task_group_id.to_owned());
        self.state
            .borrow_mut()
            .groups
            .insert(place, texts(task_ids));
    }

    /// From now on only these exist, each written `dag`, `dag.task` or `dag.group`.
    pub fn only_these_exist(&self, names: &[&str]) {
        self.state.borrow_mut().existing = Some(texts(names).into_iter().collect());
    }

    /// Sets the state of a run; a trigger of the same DAG and run id meets it.
    pub fn put_dag_run(&self, dag_id: &str, run_id: &str, run_state: &str) {
        let place = (dag_id.to_owned(), run_id.to_owned());
        let mut state = self.state.borrow_mut();
        state.dag_runs.insert(place, run_state.to_owned());
    }

    /// What was triggered, in order.
    pub fn triggered(&self) -> Vec<TriggerRequest> {
        self.state.borrow().triggered.clone()
    }

    /// The questions that were asked, in order.
    pub fn questions(&self) -> Vec<Value> {
        let state = self.state.borrow();
        let parsed = state
            .questions
            .iter()
            .map(|text| serde_json::from_str(text));
        parsed.map(Result::unwrap_or_default).collect()
    }

    /// The mails that were handed in, in order.
    pub fn mails(&self) -> Vec<Message> {
        self.state.borrow().mails.clone()
    }

    /// Answers the next question.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(...)")]
    pub fn put_answer(&self, answer: Value) {
        self.state.borrow_mut().answer = Some(answer.to_string());
    }

    /// Every time zone is so many hours ahead of UTC.
    pub fn set_utc_offset(&self, hours: i64) {
        self.state.borrow_mut().utc_offset = hours;
    }

    /// Whether the run's data interval is the newest; it is unless told otherwise.
    pub fn set_latest_interval(&self, latest: bool) {
        self.state.borrow_mut().not_latest = !latest;
    }

    /// Makes a secret known; the guest sees `placeholder-of-NAME`.
    pub fn put_secret(&self, name: &str) {
        let placeholder = format!("placeholder-of-{name}");
        let mut state = self.state.borrow_mut();
        state.secrets.insert(name.to_owned(), placeholder);
    }

    /// Answers every HTTP request.
    pub fn on_http(&self, respond: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
        self.state.borrow_mut().responder = Some(Box::new(respond));
    }

    /// All HTTP requests, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.borrow().requests.clone()
    }

    /// Answers every training request.
    pub fn on_train(
        &self,
        train: impl FnMut(&TrainRequest) -> Result<Trained, TrainError> + 'static,
    ) {
        self.state.borrow_mut().trainer = Some(Box::new(train));
    }

    /// Answers every request to score: from the artifact of the model and the number of rows to one score a row.
    pub fn on_score(&self, score: impl FnMut(&str, u64) -> Vec<f32> + 'static) {
        self.state.borrow_mut().scorer = Some(Box::new(score));
    }
}

fn texts(states: &[&str]) -> Vec<String> {
    states.iter().map(|&state| state.to_owned()).collect()
}

/// The state of this thread's host.
#[expect(clippy::panic, reason = "a test without a host is a bug of the test")]
pub(crate) fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    let state = CURRENT.with(|current| current.borrow().clone());
    match state {
        Some(state) => f(&mut state.borrow_mut()),
        None => panic!("no testing::Host on this thread: make one before calling an operator"),
    }
}

/// As `with`, for an interface that can be denied.
pub(crate) fn answer<T>(
    interface: &str,
    f: impl FnOnce(&mut State) -> Result<T, wit::CapabilityError>,
) -> Result<T, wit::CapabilityError> {
    with(|state| {
        if state.denied.contains(interface) {
            return Err(wit::CapabilityError::Denied(format!("grant `{interface}`")));
        }
        f(state)
    })
}
