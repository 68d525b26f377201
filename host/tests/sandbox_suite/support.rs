//! Builds the guests, and stands in for the rest of the host.

use airlock::sandbox::bindings::airlock::operator::types::{CapabilityError, TaskContext};
use airlock::sandbox::bindings::airlock::operator::{
    calendar, dag_runs, dag_state, dataset, email, models, storage, tracking, training,
};
use airlock::sandbox::ports::*;
use airlock::sandbox::{
    AttemptLimits, AttemptReport, CancelSignal, InterfaceSet, Plugin, Sandbox, SandboxConfig,
    TaskRequest,
};
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use async_trait::async_trait;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

#[path = "../../../tests/support/guests.rs"]
mod guests;
pub use guests::GUESTS;

/// A guest in WAT: `imports` and `body` are a core module's content beside what every guest must have; `run` gets the address of its
/// arguments and returns that of its result.
pub fn wat_guest(imports: &str, body: &str) -> Vec<u8> {
    let realloc =
        r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))"#;
    let describe =
        r#"(func (export "airlock:operator/guest@0.1.0#describe") (result i32) (i32.const 64))"#;
    wat_guest_of(
        imports,
        &format!("(memory (export \"memory\") 1){realloc}{describe}{body}"),
    )
}

/// The same without memory, `cabi_realloc` and `describe`, which `body` must hold.
pub fn wat_guest_of(imports: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {imports}
            ;; plugin-info: name "wat", version "1", one operator ("wat", "", operator, "{{}}"), no DAGs
            (data (i32.const 64) "\00\02\00\00\03\00\00\00\10\02\00\00\01\00\00\00\80\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
            (data (i32.const 128) "\00\02\00\00\03\00\00\00\00\02\00\00\00\00\00\00\00\00\00\00\20\02\00\00\02\00\00\00")
            (data (i32.const 512) "wat")
            (data (i32.const 528) "1")
            (data (i32.const 544) "{{}}")
            {body})"#
    );
    componentized(wat::parse_str(text).expect("the WAT parses"))
}

/// A core module with a guest's exports as a component.
pub fn componentized(mut module: Vec<u8>) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit).expect("wit/ parses");
    let world = resolve
        .select_world(&[package], Some("operator"))
        .expect("the world");
    let utf8 = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).expect("metadata");
    let encoder = wit_component::ComponentEncoder::default().module(&module);
    encoder
        .expect("a module")
        .validate(true)
        .encode()
        .expect("a component")
}

pub fn sandbox() -> Sandbox {
    Sandbox::new(&SandboxConfig {
        workers: 2,
        ..SandboxConfig::default()
    })
    .expect("a sandbox")
}

pub fn zoo(sandbox: &Sandbox) -> Arc<Plugin> {
    sandbox.load(&GUESTS.zoo).expect("the zoo loads")
}

pub fn noop(sandbox: &Sandbox) -> Arc<Plugin> {
    sandbox.load(&GUESTS.noop).expect("the noop loads")
}

pub fn context(operator: &str, config: &str) -> TaskContext {
    TaskContext {
        operator: operator.into(),
        config: config.into(),
        dag_id: "d".into(),
        run_id: "r".into(),
        run_type: "manual".into(),
        task_id: "t".into(),
        map_index: -1,
        try_number: 1,
        max_tries: 1,
        poke_number: 1,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        params: "{}".into(),
        inputs: vec![],
    }
}

/// One attempt in the making, and what its ports saw.
pub struct Attempt {
    pub request: TaskRequest,
    pub seen: Arc<Seen>,
    /// Every line as it comes.
    pub lines: mpsc::UnboundedReceiver<String>,
}

#[derive(Default)]
pub struct Seen {
    pub lines: Mutex<Vec<(LogLevel, LogSource, String)>>,
    pub closed: AtomicUsize,
}

impl Seen {
    pub fn texts(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|(_, _, text)| text.clone()).collect()
    }
}

pub fn attempt(plugin: &Arc<Plugin>, operator: &str, config: &str) -> Attempt {
    let seen = Arc::new(Seen::default());
    let (send, lines) = mpsc::unbounded_channel();
    Attempt {
        request: TaskRequest {
            plugin: Arc::clone(plugin),
            context: context(operator, config),
            limits: AttemptLimits::default(),
            ports: ports(&seen, send),
            granted: InterfaceSet::all(),
            cancel: CancelSignal::new(),
        },
        seen,
        lines,
    }
}

/// Runs to the end on a runtime of the test's own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub fn error(report: &AttemptReport) -> &AttemptError {
    match &report.outcome {
        Outcome::Error(error) => error,
        other => panic!("expected an error, got {other:?}"),
    }
}

pub fn kind(report: &AttemptReport) -> AttemptErrorKind {
    error(report).kind
}

pub fn success(report: &AttemptReport) -> Option<&str> {
    match &report.outcome {
        Outcome::Success(value) => value.as_deref(),
        other => panic!("expected success, got {other:?}"),
    }
}

/// Ports that remember, hand out handles, and deny the rest.
#[derive(Clone)]
struct TestPort(Arc<Seen>, mpsc::UnboundedSender<String>);

pub fn ports(seen: &Arc<Seen>, lines: mpsc::UnboundedSender<String>) -> Ports {
    let port = TestPort(Arc::clone(seen), lines);
    Ports {
        log: Box::new(port.clone()),
        xcom: Box::new(port.clone()),
        storage: Box::new(port.clone()),
        dataset: Box::new(port.clone()),
        training: Box::new(port.clone()),
        tracking: Box::new(port.clone()),
        models: Box::new(port.clone()),
        dag_state: Box::new(port.clone()),
        secrets: Box::new(port.clone()),
        http: Box::new(port.clone()),
        dag_runs: Box::new(port.clone()),
        human: Box::new(port.clone()),
        calendar: Box::new(port.clone()),
        email: Box::new(port),
    }
}

type Answer<T> = Result<T, CapabilityError>;

fn denied<T>() -> Answer<T> {
    Err(CapabilityError::Denied("the test's port denies".into()))
}

fn train_denied<T>() -> Result<T, training::TrainError> {
    Err(training::TrainError::Denied(
        "the test's port denies".into(),
    ))
}

impl LogPort for TestPort {
    fn line(&self, level: LogLevel, source: LogSource, text: &str) {
        let _ = self.1.send(text.to_owned());
        self.0
            .lines
            .lock()
            .unwrap()
            .push((level, source, text.to_owned()));
    }
    fn progress(&self, _: Option<f64>, _: &str) {}
}

#[async_trait]
impl XcomPort for TestPort {
    async fn push(&self, key: String, _: String) -> Answer<()> {
        assert_ne!(key, "panic", "a bug in a port");
        Ok(())
    }
    async fn pull(&self, _: String, _: String, _: Option<i32>) -> Answer<Option<String>> {
        Ok(None)
    }
}

#[async_trait]
impl StoragePort for TestPort {
    async fn open(&self, uri: String) -> Answer<Handle> {
        assert!(!uri.contains("bug"), "a bug in a port");
        if uri.starts_with("file://./data/") {
            Ok(7)
        } else {
            denied()
        }
    }
    async fn read(&self, _: Handle, _: u32) -> Answer<Vec<u8>> {
        Ok(vec![])
    }
    async fn create(&self, _: String) -> Answer<Handle> {
        denied()
    }
    async fn write(&self, _: Handle, _: Vec<u8>) -> Answer<()> {
        denied()
    }
    async fn finish(&self, _: Handle) -> Answer<String> {
        denied()
    }
    async fn head(&self, _: String) -> Answer<Option<storage::ObjectInfo>> {
        denied()
    }
    async fn list(&self, _: String, _: Option<String>) -> Answer<Vec<storage::ObjectInfo>> {
        denied()
    }
    async fn delete(&self, _: String) -> Answer<()> {
        denied()
    }
    fn close(&self, _: Handle) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl DatasetPort for TestPort {
    async fn open(&self, _: String) -> Answer<Handle> {
        denied()
    }
    async fn rows(&self, _: Handle) -> Answer<u64> {
        denied()
    }
    async fn schema(&self, _: Handle) -> Answer<Vec<dataset::Column>> {
        denied()
    }
    async fn digest(&self, _: Handle) -> Answer<String> {
        denied()
    }
    async fn stats(&self, _: Handle, _: String) -> Answer<dataset::Stats> {
        denied()
    }
    async fn read(&self, _: Handle, _: String, _: u64, _: u32) -> Answer<dataset::ColumnData> {
        denied()
    }
    async fn take(&self, _: Handle, _: String, _: Vec<u32>) -> Answer<dataset::ColumnData> {
        denied()
    }
    async fn profile(
        &self,
        _: Handle,
        _: Vec<String>,
        _: Vec<f64>,
    ) -> Answer<Vec<dataset::ColumnProfile>> {
        denied()
    }
    async fn value_counts(&self, _: Handle, _: String, _: u32) -> Answer<dataset::ValueCounts> {
        denied()
    }
    async fn distinct_rows(&self, _: Handle, _: Vec<String>) -> Answer<u64> {
        denied()
    }
    async fn split(&self, _: Handle, _: String, _: f64, _: u64) -> Answer<(Handle, Handle)> {
        denied()
    }
    async fn matrix(&self, _: Handle, _: dataset::MatrixSpec) -> Answer<Handle> {
        denied()
    }
    async fn create(&self, _: String, _: Vec<dataset::Column>) -> Answer<Handle> {
        denied()
    }
    async fn append(&self, _: Handle, _: Vec<dataset::ColumnData>) -> Answer<()> {
        denied()
    }
    async fn finish(&self, _: Handle) -> Answer<String> {
        denied()
    }
    async fn matrix_info(&self, _: Handle) -> Answer<MatrixInfo> {
        denied()
    }
    fn close(&self, _: Handle) {}
}

#[async_trait]
impl TrainingPort for TestPort {
    async fn start(
        &self,
        _: Handle,
        _: Option<Handle>,
        _: training::Config,
    ) -> Result<Handle, training::TrainError> {
        train_denied()
    }
    async fn start_search(
        &self,
        _: Handle,
        _: Option<Handle>,
        _: Vec<training::Config>,
        _: u32,
    ) -> Result<Vec<Handle>, training::TrainError> {
        train_denied()
    }
    async fn next(&self, _: Handle, _: u32) -> Option<training::Event> {
        None
    }
    async fn cancel(&self, _: Handle) {}
    async fn wait(&self, _: Handle) -> Result<training::RunOutcome, training::TrainError> {
        train_denied()
    }
    async fn model(&self, _: Handle) -> Result<Handle, training::TrainError> {
        train_denied()
    }
    async fn load(&self, _: String, _: training::Format) -> Result<Handle, training::TrainError> {
        train_denied()
    }
    async fn save(&self, _: Handle, _: training::Format) -> Result<String, training::TrainError> {
        train_denied()
    }
    async fn score(&self, _: Handle, _: Handle) -> Result<Handle, training::TrainError> {
        train_denied()
    }
    async fn importance(&self, _: Handle) -> Vec<(String, f64)> {
        vec![]
    }
    async fn digest(&self, _: Handle) -> String {
        String::new()
    }
    async fn outputs(&self, _: Handle) -> u32 {
        0
    }
    async fn evaluate(
        &self,
        _: Handle,
        _: Vec<training::Metric>,
    ) -> Result<Vec<(training::Metric, f64)>, training::TrainError> {
        train_denied()
    }
    async fn read(&self, _: Handle, _: u64, _: u32) -> Vec<f32> {
        vec![]
    }
    fn close(&self, _: Handle) {}
}

#[async_trait]
impl TrackingPort for TestPort {
    async fn start_run(&self, _: String, _: String) -> Answer<String> {
        denied()
    }
    async fn log_params(&self, _: String, _: Vec<(String, String)>) -> Answer<()> {
        denied()
    }
    async fn log_metrics(&self, _: String, _: Vec<tracking::Metric>) -> Answer<()> {
        denied()
    }
    async fn set_tags(&self, _: String, _: Vec<(String, String)>) -> Answer<()> {
        denied()
    }
    async fn log_artifact(&self, _: String, _: String, _: String) -> Answer<()> {
        denied()
    }
    async fn end_run(&self, _: String, _: tracking::RunStatus) -> Answer<()> {
        denied()
    }
    async fn get_run(&self, _: String) -> Answer<tracking::RunInfo> {
        denied()
    }
}

#[async_trait]
impl ModelsPort for TestPort {
    async fn register(
        &self,
        _: String,
        _: String,
        _: String,
        _: Vec<(String, String)>,
    ) -> Answer<models::ModelVersion> {
        denied()
    }
    async fn get_version(&self, _: String, _: u32) -> Answer<Option<models::ModelVersion>> {
        denied()
    }
    async fn get_latest_versions(
        &self,
        _: String,
        _: Vec<models::Stage>,
    ) -> Answer<Vec<models::ModelVersion>> {
        denied()
    }
    async fn transition_stage(
        &self,
        _: String,
        _: u32,
        _: models::Stage,
        _: bool,
    ) -> Answer<models::ModelVersion> {
        denied()
    }
    async fn set_alias(&self, _: String, _: String, _: u32) -> Answer<()> {
        denied()
    }
    async fn rollback(&self, _: String, _: u32) -> Answer<models::ModelVersion> {
        denied()
    }
    async fn read_artifact(&self, _: String, _: u32, _: u64, _: u32) -> Answer<Vec<u8>> {
        denied()
    }
}

#[async_trait]
impl DagStatePort for TestPort {
    async fn run_states(&self, _: String, _: String) -> Answer<Vec<String>> {
        denied()
    }
    async fn task_states(&self, _: String, _: String, _: String) -> Answer<Vec<String>> {
        denied()
    }
    async fn run_states_of(&self, _: String, _: Vec<String>) -> Answer<Vec<Option<String>>> {
        denied()
    }
    async fn task_state_counts(
        &self,
        _: String,
        _: Vec<String>,
        _: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>> {
        denied()
    }
    async fn group_state_counts(
        &self,
        _: String,
        _: String,
        _: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>> {
        denied()
    }
    async fn check_existence(&self, _: String, _: Vec<String>, _: Option<String>) -> Answer<()> {
        denied()
    }
}

#[async_trait]
impl DagRunsPort for TestPort {
    async fn trigger(&self, _: dag_runs::TriggerRequest) -> Answer<dag_runs::Triggered> {
        denied()
    }
    async fn state(&self, _: String, _: String) -> Answer<Option<String>> {
        denied()
    }
}

#[async_trait]
impl HumanPort for TestPort {
    async fn ask(&self, _: String) -> Answer<Option<String>> {
        Ok(None)
    }
}

#[async_trait]
impl CalendarPort for TestPort {
    async fn to_local(&self, _: String, _: Option<String>) -> Answer<calendar::LocalTime> {
        denied()
    }
    async fn from_local(&self, _: String, _: Option<String>) -> Answer<String> {
        denied()
    }
    async fn is_latest_interval(&self) -> Answer<bool> {
        Ok(true)
    }
}

#[async_trait]
impl EmailPort for TestPort {
    async fn send(&self, _: email::Message) -> Answer<()> {
        denied()
    }
}

#[async_trait]
impl SecretsPort for TestPort {
    async fn placeholder(&self, _: String) -> Answer<String> {
        denied()
    }
}

#[async_trait]
impl HttpPort for TestPort {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Denied("the test's port denies".into()))
    }
}
