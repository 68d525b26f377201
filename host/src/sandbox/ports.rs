//! What an attempt may ask of the host: one trait a WIT interface, spoken in plain data and handles, so that the side that
//! answers may live in this process, behind a pipe or on another machine. The sandbox holds these traits and knows nothing of
//! who implements them; `capability` implements them, each with its grant, and knows nothing of wasmtime.
//!
//! A handle is a number that is valid inside one attempt only; when the attempt ends, `Ports` is dropped and all its handles with it.

use super::bindings::airlock::operator::types::CapabilityError;
use super::bindings::airlock::operator::{
    calendar, dag_runs, dag_state, dataset, email, models, storage, tracking, training,
};
use async_trait::async_trait;

/// Names something that the host holds for this attempt.
pub type Handle = u32;

type Answer<T> = Result<T, CapabilityError>;

/// The log of one attempt. Implementations must not block: lines are bounded by the sandbox before they come here.
pub trait LogPort: Send + Sync {
    /// One line, without its newline; control characters are already made safe.
    fn line(&self, level: LogLevel, source: LogSource, text: &str);
    /// How far the attempt is; `fraction` is 0.0 to 1.0.
    fn progress(&self, fraction: Option<f64>, message: &str);
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For the author of the operator.
    Debug,
    /// What a person wants to see.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// The `log` interface.
    Guest,
    /// The guest's stdout.
    Stdout,
    /// The guest's stderr.
    Stderr,
    /// The host, about the attempt.
    Host,
}

/// `airlock:operator/xcom`.
#[async_trait]
pub trait XcomPort: Send + Sync {
    /// See `wit/host.wit`.
    async fn push(&self, key: String, value: String) -> Answer<()>;
    /// See `wit/host.wit`.
    async fn pull(
        &self,
        task_id: String,
        key: String,
        map_index: Option<i32>,
    ) -> Answer<Option<String>>;
}

/// `airlock:operator/storage`.
#[async_trait]
pub trait StoragePort: Send + Sync {
    /// Opens an object for reading.
    async fn open(&self, uri: String) -> Answer<Handle>;
    /// The next bytes, at most `max`; empty at the end.
    async fn read(&self, reader: Handle, max: u32) -> Answer<Vec<u8>>;
    /// Begins an object.
    async fn create(&self, uri: String) -> Answer<Handle>;
    /// Adds bytes to it.
    async fn write(&self, writer: Handle, bytes: Vec<u8>) -> Answer<()>;
    /// Makes it visible, durably; yields its SHA-256 in hex.
    async fn finish(&self, writer: Handle) -> Answer<String>;
    /// Size, or none where there is nothing.
    async fn head(&self, uri: String) -> Answer<Option<storage::ObjectInfo>>;
    /// Objects under a prefix, in order.
    async fn list(&self, prefix: String, after: Option<String>)
    -> Answer<Vec<storage::ObjectInfo>>;
    /// Removes an object; nothing there is no error.
    async fn delete(&self, uri: String) -> Answer<()>;
    /// The guest dropped a reader or writer.
    fn close(&self, handle: Handle);
}

/// `airlock:operator/dataset`.
#[async_trait]
pub trait DatasetPort: Send + Sync {
    /// Opens a table by URI.
    async fn open(&self, uri: String) -> Answer<Handle>;
    /// Rows of a table.
    async fn rows(&self, table: Handle) -> Answer<u64>;
    /// Columns of a table.
    async fn schema(&self, table: Handle) -> Answer<Vec<dataset::Column>>;
    /// SHA-256 in hex.
    async fn digest(&self, table: Handle) -> Answer<String>;
    /// Statistics of one column.
    async fn stats(&self, table: Handle, column: String) -> Answer<dataset::Stats>;
    /// A slice of one column.
    async fn read(
        &self,
        table: Handle,
        column: String,
        offset: u64,
        limit: u32,
    ) -> Answer<dataset::ColumnData>;
    /// Values of single rows of one column; `u32::MAX` is null.
    async fn take(
        &self,
        table: Handle,
        column: String,
        rows: Vec<u32>,
    ) -> Answer<dataset::ColumnData>;
    /// Statistics and quantiles of many columns; none named is all.
    async fn profile(
        &self,
        table: Handle,
        columns: Vec<String>,
        probabilities: Vec<f64>,
    ) -> Answer<Vec<dataset::ColumnProfile>>;
    /// The most frequent values of one column.
    async fn value_counts(
        &self,
        table: Handle,
        column: String,
        limit: u32,
    ) -> Answer<dataset::ValueCounts>;
    /// Different rows, if only these columns count.
    async fn distinct_rows(&self, table: Handle, columns: Vec<String>) -> Answer<u64>;
    /// Train and validation parts.
    async fn split(
        &self,
        table: Handle,
        label: String,
        valid_fraction: f64,
        seed: u64,
    ) -> Answer<(Handle, Handle)>;
    /// A binned matrix.
    async fn matrix(&self, table: Handle, spec: dataset::MatrixSpec) -> Answer<Handle>;
    /// Begins a parquet table.
    async fn create(&self, uri: String, columns: Vec<dataset::Column>) -> Answer<Handle>;
    /// Adds rows to it.
    async fn append(&self, writer: Handle, batch: Vec<dataset::ColumnData>) -> Answer<()>;
    /// Makes it visible, durably; yields its SHA-256 in hex.
    async fn finish(&self, writer: Handle) -> Answer<String>;
    /// Rows, features, digest and memory need of a matrix.
    async fn matrix_info(&self, matrix: Handle) -> Answer<MatrixInfo>;
    /// The guest dropped a table, writer or matrix.
    fn close(&self, handle: Handle);
}

/// What a guest may know of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixInfo {
    /// Rows.
    pub rows: u64,
    /// Features.
    pub features: u32,
    /// SHA-256 in hex.
    pub digest: String,
    /// Bytes that a run over it needs.
    pub memory: dataset::MemoryNeed,
}

/// `airlock:operator/training`. Matrix handles are those of `DatasetPort` in the same attempt.
#[async_trait]
pub trait TrainingPort: Send + Sync {
    /// Begins a run.
    async fn start(
        &self,
        train: Handle,
        valid: Option<Handle>,
        config: training::Config,
    ) -> Result<Handle, training::TrainError>;
    /// Begins a run for each config, in their order.
    async fn start_search(
        &self,
        train: Handle,
        valid: Option<Handle>,
        configs: Vec<training::Config>,
        parallel: u32,
    ) -> Result<Vec<Handle>, training::TrainError>;
    /// The next event, or none at the end of the run or of the time.
    async fn next(&self, run: Handle, timeout_ms: u32) -> Option<training::Event>;
    /// Asks the run to stop after its current tree.
    async fn cancel(&self, run: Handle);
    /// Waits for the end.
    async fn wait(&self, run: Handle) -> Result<training::RunOutcome, training::TrainError>;
    /// The model of an ended run.
    async fn model(&self, run: Handle) -> Result<Handle, training::TrainError>;
    /// Reads a model artifact.
    async fn load(
        &self,
        artifact: String,
        format: training::Format,
    ) -> Result<Handle, training::TrainError>;
    /// Stores a model as an artifact; yields its SHA-256 in hex.
    async fn save(
        &self,
        model: Handle,
        format: training::Format,
    ) -> Result<String, training::TrainError>;
    /// Scores a matrix.
    async fn score(&self, model: Handle, data: Handle) -> Result<Handle, training::TrainError>;
    /// Total gain by feature, highest first.
    async fn importance(&self, model: Handle) -> Vec<(String, f64)>;
    /// SHA-256 of the model's own format, in hex.
    async fn digest(&self, model: Handle) -> String;
    /// Numbers that the model says of each row.
    async fn outputs(&self, model: Handle) -> u32;
    /// Metrics of scores against the labels of the matrix they came from.
    async fn evaluate(
        &self,
        scores: Handle,
        metrics: Vec<training::Metric>,
    ) -> Result<Vec<(training::Metric, f64)>, training::TrainError>;
    /// A slice of scores.
    async fn read(&self, scores: Handle, offset: u64, limit: u32) -> Vec<f32>;
    /// The guest dropped a run, model or scores.
    fn close(&self, handle: Handle);
}

/// `airlock:operator/tracking`.
#[async_trait]
pub trait TrackingPort: Send + Sync {
    /// Finds or makes a run.
    async fn start_run(&self, experiment: String, name: String) -> Answer<String>;
    /// Params are set once: another value for the same key is a conflict.
    async fn log_params(&self, run_id: String, params: Vec<(String, String)>) -> Answer<()>;
    /// Adds points.
    async fn log_metrics(&self, run_id: String, metrics: Vec<tracking::Metric>) -> Answer<()>;
    /// Upserts tags.
    async fn set_tags(&self, run_id: String, tags: Vec<(String, String)>) -> Answer<()>;
    /// Names an artifact in the run.
    async fn log_artifact(&self, run_id: String, path: String, artifact: String) -> Answer<()>;
    /// Sets the end state.
    async fn end_run(&self, run_id: String, status: tracking::RunStatus) -> Answer<()>;
    /// Reads a run.
    async fn get_run(&self, run_id: String) -> Answer<tracking::RunInfo>;
}

/// `airlock:operator/models`.
#[async_trait]
pub trait ModelsPort: Send + Sync {
    /// Registers a version, once for the same run and artifact.
    async fn register(
        &self,
        name: String,
        run_id: String,
        artifact: String,
        tags: Vec<(String, String)>,
    ) -> Answer<models::ModelVersion>;
    /// Reads one version.
    async fn get_version(&self, name: String, version: u32)
    -> Answer<Option<models::ModelVersion>>;
    /// The newest version in each stage.
    async fn get_latest_versions(
        &self,
        name: String,
        stages: Vec<models::Stage>,
    ) -> Answer<Vec<models::ModelVersion>>;
    /// Moves a version, atomically with the archiving of others.
    async fn transition_stage(
        &self,
        name: String,
        version: u32,
        stage: models::Stage,
        archive_existing: bool,
    ) -> Answer<models::ModelVersion>;
    /// Points an alias at a version.
    async fn set_alias(&self, name: String, alias: String, version: u32) -> Answer<()>;
    /// Puts the version that was in Production before this one back.
    async fn rollback(&self, name: String, from_version: u32) -> Answer<models::ModelVersion>;
    /// Bytes of a version's artifact.
    async fn read_artifact(
        &self,
        name: String,
        version: u32,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>>;
}

/// `airlock:operator/dag-state`.
#[async_trait]
pub trait DagStatePort: Send + Sync {
    /// States of runs with this logical date.
    async fn run_states(&self, dag_id: String, logical_date: String) -> Answer<Vec<String>>;
    /// States of a task's instances in the run with this logical date.
    async fn task_states(
        &self,
        dag_id: String,
        task_id: String,
        logical_date: String,
    ) -> Answer<Vec<String>>;
    /// For each date the state of its run.
    async fn run_states_of(
        &self,
        dag_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<Option<String>>>;
    /// States of tasks' instances, counted.
    async fn task_state_counts(
        &self,
        dag_id: String,
        task_ids: Vec<String>,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>>;
    /// States of the instances of all tasks in a task group, counted.
    async fn group_state_counts(
        &self,
        dag_id: String,
        task_group_id: String,
        logical_dates: Vec<String>,
    ) -> Answer<Vec<dag_state::StateCount>>;
    /// Whether the DAG has these; the error names what it does not have.
    async fn check_existence(
        &self,
        dag_id: String,
        task_ids: Vec<String>,
        task_group_id: Option<String>,
    ) -> Answer<()>;
}

/// `airlock:operator/dag-runs`.
#[async_trait]
pub trait DagRunsPort: Send + Sync {
    /// Records a run durably, once for the same task instance.
    async fn trigger(&self, request: dag_runs::TriggerRequest) -> Answer<dag_runs::Triggered>;
    /// The state of a run, or none where there is none.
    async fn state(&self, dag_id: String, run_id: String) -> Answer<Option<String>>;
}

/// `airlock:operator/human`.
#[async_trait]
pub trait HumanPort: Send + Sync {
    /// Records the question once; the answer where there is one.
    async fn ask(&self, request: String) -> Answer<Option<String>>;
}

/// `airlock:operator/email`.
#[async_trait]
pub trait EmailPort: Send + Sync {
    /// Hands a mail in.
    async fn send(&self, message: email::Message) -> Answer<()>;
}

/// `airlock:operator/calendar`.
#[async_trait]
#[expect(
    clippy::wrong_self_convention,
    reason = "the names of the interface's functions"
)]
pub trait CalendarPort: Send + Sync {
    /// What an instant is in a time zone.
    async fn to_local(
        &self,
        instant: String,
        timezone: Option<String>,
    ) -> Answer<calendar::LocalTime>;
    /// The instant of a local time.
    async fn from_local(&self, date_time: String, timezone: Option<String>) -> Answer<String>;
    /// Whether the own run's data interval is the newest.
    async fn is_latest_interval(&self) -> Answer<bool>;
}

/// `airlock:operator/secrets`.
#[async_trait]
pub trait SecretsPort: Send + Sync {
    /// A text that stands for the secret in this attempt.
    async fn placeholder(&self, name: String) -> Answer<String>;
}

/// `wasi:http/outgoing-handler`, whole messages: bodies are bounded by the sandbox before and by the port after the call.
#[async_trait]
pub trait HttpPort: Send + Sync {
    /// Sends one request; redirects come back as responses.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// An outgoing request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// In order, names as given.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whole body, at most `HTTP_BODY_BYTES_MAX`.
    pub body: Vec<u8>,
    /// From first connect to last byte.
    pub timeout: std::time::Duration,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whole body, at most `HTTP_BODY_BYTES_MAX`.
    pub body: Vec<u8>,
}

/// The largest request or response body of one host call, bytes.
pub const HTTP_BODY_BYTES_MAX: u64 = 8 << 20;

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No grant covers the host, or the address is private and not granted.
    #[error("denied: {0}")]
    Denied(String),
    /// The URL or a header makes no sense.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// Name resolution, connection, TLS or the exchange failed.
    #[error("no answer: {0}")]
    Failed(String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// A body is over the limit.
    #[error("body over {HTTP_BODY_BYTES_MAX} bytes")]
    TooLarge,
}

/// All ports of one attempt.
pub struct Ports {
    /// Log and progress.
    pub log: Box<dyn LogPort>,
    /// XComs of the own run.
    pub xcom: Box<dyn XcomPort>,
    /// Objects.
    pub storage: Box<dyn StoragePort>,
    /// Tables.
    pub dataset: Box<dyn DatasetPort>,
    /// Training.
    pub training: Box<dyn TrainingPort>,
    /// Experiments.
    pub tracking: Box<dyn TrackingPort>,
    /// Registry.
    pub models: Box<dyn ModelsPort>,
    /// Other DAGs.
    pub dag_state: Box<dyn DagStatePort>,
    /// Secrets.
    pub secrets: Box<dyn SecretsPort>,
    /// Outgoing HTTP.
    pub http: Box<dyn HttpPort>,
    /// Runs that the attempt makes.
    pub dag_runs: Box<dyn DagRunsPort>,
    /// Questions to a person.
    pub human: Box<dyn HumanPort>,
    /// Local time.
    pub calendar: Box<dyn CalendarPort>,
    /// Mails.
    pub email: Box<dyn EmailPort>,
}
