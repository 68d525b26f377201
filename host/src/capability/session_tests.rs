use super::*;
use crate::capability::{DagRunError, DagRunRequest, TaskStateCount, Tasks};
use crate::capability::{StorageConnections, SystemResolver, XCOM_BYTES_MAX};
use crate::sandbox::bindings::airlock::operator::dag_runs::{TriggerRequest, Triggered};
use crate::sandbox::bindings::airlock::operator::dataset::{ColumnData, MatrixSpec};
use crate::sandbox::bindings::airlock::operator::models::Stage;
use crate::sandbox::bindings::airlock::operator::training::{
    self, Algorithm, Determinism, Device, Gbdt, Growth, Objective, TrainError,
};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::{LogLevel, LogSource};
use crate::store::MemoryStore;
use crate::tracking::{ActorKind, Audit, Clock};
use airlock_core::grant::Grants;
use airlock_core::grant::{Asks, TrainingGrant, effective};
use airlock_core::ids::{DagId, RunId, TaskId};
use async_trait::async_trait;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::sync::Mutex;

/// A run, a log and states of other runs in memory.
#[derive(Default, Clone)]
struct Outside {
    xcoms: Arc<Mutex<Vec<(String, String)>>>,
    lines: Arc<Mutex<Vec<String>>>,
    triggered: Arc<Mutex<Vec<DagRunRequest>>>,
    questions: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl RunPort for Outside {
    async fn push_xcom(&self, key: &str, value: String) -> Result<(), String> {
        self.xcoms.lock().unwrap().push((key.to_owned(), value));
        Ok(())
    }

    fn xcom(&self, task_id: &str, key: &str, _: Option<i32>) -> Option<String> {
        let xcoms = self.xcoms.lock().unwrap();
        let found = xcoms.iter().rev().find(|(known, _)| known == key);
        found
            .filter(|_| task_id == "me")
            .map(|(_, value)| value.clone())
    }
}

#[async_trait]
impl DagStateSource for Outside {
    async fn run_states(&self, dag_id: &DagId, at: Timestamp) -> Result<Vec<String>, String> {
        Ok(vec![format!("{dag_id} {at}")])
    }

    async fn task_states(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        at: Timestamp,
    ) -> Result<Vec<String>, String> {
        Ok(vec![format!("{dag_id}.{task_id} {at}")])
    }

    async fn state_counts(
        &self,
        _: &DagId,
        tasks: &Tasks,
        _: Timestamp,
    ) -> Result<Vec<TaskStateCount>, String> {
        let task_id = match tasks {
            Tasks::Named(task_ids) => task_ids[0].to_string(),
            Tasks::Group(group_id) => format!("{group_id}.a"),
        };
        let state = "success".to_owned();
        Ok(vec![TaskStateCount {
            task_id,
            state,
            instances: 3,
        }])
    }

    async fn missing(&self, dag_id: &DagId, tasks: &Tasks) -> Result<Option<String>, String> {
        Ok(match tasks {
            Tasks::Named(_) => None,
            Tasks::Group(group_id) => Some(format!("{dag_id} has no {group_id}")),
        })
    }
}

#[async_trait]
impl OwnRun for Outside {
    fn task_instance(&self) -> String {
        "d/r/t/-1".to_owned()
    }

    fn timezone(&self) -> String {
        "Europe/London".to_owned()
    }

    fn is_latest_interval(&self) -> Result<bool, String> {
        Ok(true)
    }

    async fn ask(&self, question: String) -> Result<Option<String>, String> {
        self.questions.lock().unwrap().push(question);
        Ok(None)
    }
}

#[async_trait]
impl DagRunTrigger for Outside {
    async fn trigger(&self, request: DagRunRequest) -> Result<Triggered, DagRunError> {
        let run_id = request.run_id.to_string();
        self.triggered.lock().unwrap().push(request);
        Ok(Triggered {
            run_id,
            created: true,
        })
    }

    fn state(&self, _: &DagId, _: &RunId) -> Result<Option<String>, DagRunError> {
        Ok(Some("running".to_owned()))
    }
}

impl ConnectionSource for Outside {
    fn storage_connection(&self, _: &str) -> Result<Option<crate::secrets::Connection>, String> {
        Ok(None)
    }
}

impl SecretSource for Outside {
    fn value(&self, _: &str) -> Result<Option<String>, String> {
        Ok(Some("hunter22".to_owned()))
    }
}

impl LogPort for Outside {
    fn line(&self, _: LogLevel, _: LogSource, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
    }

    fn progress(&self, _: Option<f64>, message: &str) {
        self.lines.lock().unwrap().push(message.to_owned());
    }
}

struct House {
    folder: tempfile::TempDir,
    outside: Outside,
    store: Arc<MemoryStore>,
    ports: Ports,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write the grants out"
)]
fn house(grants: Grants) -> House {
    let folder = tempfile::tempdir().unwrap();
    let outside = Outside::default();
    let store = Arc::new(MemoryStore::default());
    let clock: Clock = Arc::new(|| 1_000);
    let ports = session(SessionContext {
        uses: Uses::default(),
        vault: crate::capability::Vault::default(),
        grants: effective(&[], &Asks::everything(), &grants, None),
        base_dir: folder.path().to_owned(),
        actor: Actor {
            kind: ActorKind::TaskInstance,
            id: "d/r/t/-1/1".to_owned(),
        },
        provenance: Provenance {
            component: "c0ffee".to_owned(),
            plugin: "train".to_owned(),
            operator: "gbdt".to_owned(),
        },
        run_port: Arc::new(outside.clone()),
        dag_state: Arc::new(outside.clone()),
        own_run: Arc::new(outside.clone()),
        dag_runs: Arc::new(outside.clone()),
        store: store.clone(),
        trainers: crate::training::Trainers::in_threads(None, &[]),
        cards: Vec::new(),
        tracking: Tracking::new(store.clone(), clock.clone()),
        registry: Registry::new(store.clone(), clock),
        secrets: Arc::new(outside.clone()),
        connections: Arc::new(outside.clone()),
        mailer: None,
        objects: Arc::new(ObjectStorage::new(
            StorageConnections::default(),
            folder.path().join("spool"),
        )),
        resolver: Arc::new(SystemResolver),
        trace_parent: None,
        log: Box::new(outside.clone()),
    });
    House {
        folder,
        outside,
        store,
        ports,
    }
}

/// Everything that these tests use; each test that wants a refusal takes something away.
fn all() -> Grants {
    Grants {
        storage: vec!["file://./data/".into()],
        tracking: vec!["churn".into()],
        models: vec!["churn".into()],
        dag_state: vec!["features".into()],
        trigger_dags: vec!["child".into()],
        secrets: [("TOKEN".to_owned(), vec!["h".to_owned()])].into(),
        training: Some(TrainingGrant {
            threads: 2,
            memory_bytes: 1 << 20,
        }),
        ..Grants::default()
    }
}

fn denied<T: std::fmt::Debug>(answer: Result<T, CapabilityError>, grant: &str) {
    match answer {
        Err(CapabilityError::Denied(text)) if text.contains(grant) => {}
        other => panic!("it is denied and names {grant}, not {other:?}"),
    }
}

#[tokio::test]
async fn without_a_grant_a_model_is_neither_rolled_back_nor_read() {
    let house = house(Grants::default());
    let models = &house.ports.models;
    denied(models.rollback("churn".into(), 1).await, "`models`");
    let read = models.read_artifact("churn".into(), 1, 0, 1).await;
    denied(read, "`models`");
}

#[tokio::test]
async fn without_grants_everything_is_denied_and_says_what_would_help() {
    let house = house(Grants::default());
    let ports = &house.ports;
    denied(
        ports.storage.open("file://./data/x".into()).await,
        "`storage`",
    );
    denied(
        ports.storage.create("file://./data/x".into()).await,
        "`storage`",
    );
    denied(
        ports.storage.head("file://./data/x".into()).await,
        "`storage`",
    );
    denied(
        ports.storage.list("file://./data/".into(), None).await,
        "`storage`",
    );
    denied(
        ports.storage.delete("file://./data/x".into()).await,
        "`storage`",
    );
    denied(
        ports.dataset.open("file://./data/x".into()).await,
        "`storage`",
    );
    denied(
        ports
            .dataset
            .create("file://./data/x".into(), Vec::new())
            .await,
        "`storage`",
    );
    denied(
        ports.tracking.start_run("churn".into(), "r".into()).await,
        "`tracking`",
    );
    denied(
        ports.models.get_version("churn".into(), 1).await,
        "`models`",
    );
    denied(
        ports.models.set_alias("churn".into(), "a".into(), 1).await,
        "`models`",
    );
    let date = "2026-01-05T00:00:00Z";
    denied(
        ports
            .dag_state
            .run_states("features".into(), date.into())
            .await,
        "`dag_state`",
    );
    denied(ports.secrets.placeholder("TOKEN".into()).await, "`secrets`");
    denied(
        ports.dag_runs.trigger(trigger("child")).await,
        "trigger_dags: [\"child\"]",
    );
    denied(
        ports.dag_runs.state("child".into(), "r".into()).await,
        "`trigger_dags`",
    );
    let load = ports
        .training
        .load("0".repeat(64), training::Format::Airlock);
    let load = load.await;
    assert!(matches!(load, Err(TrainError::Denied(text)) if text.contains("`training`")));
    let mut left = std::fs::read_dir(house.folder.path()).unwrap();
    assert!(left.next().is_none());
}

#[tokio::test]
async fn objects_are_written_and_read_by_handle() {
    let house = house(all());
    let storage = &house.ports.storage;
    let uri = "file://./data/x.bin".to_owned();
    let writer = storage.create(uri.clone()).await.unwrap();
    let too_large = storage.write(writer, vec![0; (1 << 20) + 1]).await;
    assert_eq!(too_large, Err(CapabilityError::TooLarge(1 << 20)));
    storage.write(writer, vec![7; 1 << 20]).await.unwrap();
    storage.write(writer, vec![8; 10]).await.unwrap();
    storage.finish(writer).await.unwrap();
    assert!(storage.finish(writer).await.is_err());
    let reader = storage.open(uri.clone()).await.unwrap();
    assert!(storage.write(reader, vec![1]).await.is_err());
    assert_eq!(storage.read(reader, u32::MAX).await.unwrap().len(), 1 << 20);
    assert_eq!(storage.read(reader, 100).await.unwrap(), vec![8; 10]);
    assert!(storage.read(reader, 100).await.unwrap().is_empty());
    storage.close(reader);
    assert!(storage.read(reader, 100).await.is_err());
    let abandoned = storage.create("file://./data/y".into()).await.unwrap();
    storage.write(abandoned, vec![1]).await.unwrap();
    drop(house.ports);
    let left = std::fs::read_dir(house.folder.path().join("data")).unwrap();
    assert_eq!(
        left.count(),
        1,
        "an attempt that ends leaves no half object"
    );
}

#[tokio::test]
async fn a_secret_never_reaches_log_or_xcom() {
    let house = house(all());
    let ports = &house.ports;
    let placeholder = ports.secrets.placeholder("TOKEN".into()).await.unwrap();
    assert!(!placeholder.contains("hunter22"));
    ports.log.line(
        LogLevel::Info,
        LogSource::Stdout,
        "it is hunter22 or aHVudGVyMjI=",
    );
    ports.log.progress(None, "hunter22");
    ports
        .xcom
        .push("k".into(), "[\"hunter22\"]".into())
        .await
        .unwrap();
    let lines = house.outside.lines.lock().unwrap().join("\n");
    assert_eq!(lines, "it is *** or ***=\n***");
    let back = ports
        .xcom
        .pull("me".into(), "k".into(), None)
        .await
        .unwrap();
    assert_eq!(back.as_deref(), Some("[\"***\"]"));
    assert!(
        ports
            .xcom
            .pull("../x".into(), "k".into(), None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn e5_an_xcom_over_the_limit_is_refused_with_the_limit() {
    let house = house(all());
    let large = format!("\"{}\"", "x".repeat(XCOM_BYTES_MAX));
    let refused = house.ports.xcom.push("k".into(), large).await;
    assert_eq!(
        refused,
        Err(CapabilityError::TooLarge(XCOM_BYTES_MAX as u64))
    );
    let largest = format!("\"{}\"", "x".repeat(XCOM_BYTES_MAX - 2));
    assert_eq!(house.ports.xcom.push("k".into(), largest).await, Ok(()));
}

#[tokio::test]
async fn states_of_granted_dags_only() {
    let house = house(all());
    let port = &house.ports.dag_state;
    let date = || "2026-01-05T02:00:00+02:00".to_owned();
    let states = port.run_states("features".into(), date()).await.unwrap();
    assert_eq!(states, ["features 2026-01-05T00:00:00Z"]);
    denied(
        port.task_states("other".into(), "t".into(), date()).await,
        "`dag_state`",
    );
    let bad = port.run_states("features".into(), "yesterday".into()).await;
    assert!(matches!(bad, Err(CapabilityError::Invalid(_))));
}

#[tokio::test]
async fn a_model_goes_from_run_to_production_under_its_grants() {
    let house = house(all());
    let (tracking, models) = (&house.ports.tracking, &house.ports.models);
    let run = tracking
        .start_run("churn".into(), "2026-01-05".into())
        .await
        .unwrap();
    let params = vec![("depth".to_owned(), "6".to_owned())];
    tracking
        .log_params(run.clone(), params.clone())
        .await
        .unwrap();
    assert_eq!(tracking.get_run(run.clone()).await.unwrap().params, params);
    let artifact = house.store.put_blob(b"model").unwrap().to_string();
    let registered = models
        .register("churn".into(), run.clone(), artifact, Vec::new())
        .await
        .unwrap();
    assert_eq!((registered.version, registered.stage), (1, Stage::None));
    let moved = models
        .transition_stage("churn".into(), 1, Stage::Production, true)
        .await
        .unwrap();
    assert_eq!(moved.stage, Stage::Production);
    denied(
        models
            .transition_stage("other".into(), 1, Stage::Production, true)
            .await,
        "`models`",
    );
    let trail = Audit::new(house.store.clone()).read(0, 100).unwrap();
    assert!(
        trail
            .iter()
            .all(|(_, event)| event.actor.id == "d/r/t/-1/1")
    );
    assert_eq!(trail.len(), 4);
    let tags = tracking.get_run(run.clone()).await.unwrap().tags;
    let told = |key: &str| {
        tags.iter()
            .find(|(known, _)| known == key)
            .unwrap()
            .1
            .as_str()
    };
    assert_eq!(told("airlock.component"), "c0ffee");
    assert_eq!(
        (told("airlock.dag_id"), told("airlock.try_number")),
        ("d", "1")
    );
    let lie = vec![("airlock.component".to_owned(), "lie".to_owned())];
    let refused = tracking.set_tags(run.clone(), lie).await;
    assert!(matches!(refused, Err(CapabilityError::Invalid(_))));
    // The run of an experiment that is not granted cannot be read by its id.
    let foreign = Tracking::new(house.store.clone(), Arc::new(|| 0))
        .start_run(&trail[0].1.actor, "payroll", "r", &[])
        .unwrap();
    denied(tracking.get_run(foreign.run_id).await, "`tracking`");
}

/// 400 rows; the label follows from `x` with some noise, `z` is noise.
async fn matrix(house: &House) -> u32 {
    let mut text = "x,z,name,label\n".to_owned();
    for row in 0..400_u32 {
        let (x, z) = (row * 7919 % 1000, row * 104_729 % 997);
        writeln!(text, "{x},{z},n{row},{}", u8::from(x + z / 10 > 500)).unwrap();
    }
    std::fs::create_dir_all(house.folder.path().join("data")).unwrap();
    std::fs::write(house.folder.path().join("data/t.csv"), text).unwrap();
    let dataset = &house.ports.dataset;
    let table = dataset.open("file://./data/t.csv".into()).await.unwrap();
    dataset.matrix(table, spec(&["x", "z"])).await.unwrap()
}

fn spec(features: &[&str]) -> MatrixSpec {
    MatrixSpec {
        features: features.iter().map(ToString::to_string).collect(),
        label: Some("label".to_owned()),
        weight: None,
        max_bins: 64,
    }
}

fn config(device: Device) -> training::Config {
    training::Config {
        algorithm: Algorithm::Gbdt(Gbdt {
            objective: Objective::BinaryLogistic,
            classes: 0,
            class_weights: Vec::new(),
            rounds: 20,
            learning_rate: 0.3,
            max_depth: 3,
            max_leaves: 0,
            min_child_weight: 1.0,
            l2: 1.0,
            min_gain: 0.0,
            subsample: 1.0,
            column_sample: 1.0,
            scale_pos_weight: 1.0,
            growth: Growth::Depthwise,
            base_score: None,
        }),
        seed: 1,
        device,
        determinism: Determinism::Exact,
        metrics: vec![training::Metric::Auc],
        metric_every: 5,
        early_stop: None,
        checkpoint_every_ms: None,
        time_limit_ms: None,
        resume_from: None,
    }
}

#[tokio::test]
async fn a_matrix_tells_its_size_and_refuses_text() {
    let house = house(all());
    let matrix = matrix(&house).await;
    let info = house.ports.dataset.matrix_info(matrix).await.unwrap();
    assert_eq!((info.rows, info.features, info.digest.len()), (400, 2, 64));
    assert!(info.memory.host > 400 * 2 * 4);
    let table = house
        .ports
        .dataset
        .open("file://./data/t.csv".into())
        .await
        .unwrap();
    let refused = house.ports.dataset.matrix(table, spec(&["name"])).await;
    assert!(matches!(refused, Err(CapabilityError::Invalid(text)) if text.contains("encode")));
    let (train, valid) = house
        .ports
        .dataset
        .split(table, "label".into(), 0.25, 3)
        .await
        .unwrap();
    assert_eq!(house.ports.dataset.rows(train).await.unwrap(), 300);
    assert_eq!(house.ports.dataset.rows(valid).await.unwrap(), 100);
    // A handle of one kind is not one of another.
    assert!(house.ports.dataset.rows(matrix).await.is_err());
    assert!(
        house
            .ports
            .dataset
            .append(table, Vec::<ColumnData>::new())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn training_stays_inside_its_grant() {
    let small = Grants {
        training: Some(TrainingGrant {
            threads: 1,
            memory_bytes: 1_000,
        }),
        ..all()
    };
    let ungranted = Grants {
        training: None,
        ..all()
    };
    let house_small = house(small);
    let train = matrix(&house_small).await;
    let refused = house_small
        .ports
        .training
        .start(train, None, config(Device::Cpu))
        .await;
    let Err(TrainError::OutOfMemory(shortfall)) = refused else {
        panic!("a matrix over the grant is refused, not {refused:?}");
    };
    assert!(shortfall.needed > 1_000 && shortfall.available == 1_000);
    let house_ungranted = house(ungranted);
    let train = matrix(&house_ungranted).await;
    let refused = house_ungranted
        .ports
        .training
        .start(train, None, config(Device::Cpu))
        .await;
    assert!(matches!(refused, Err(TrainError::Denied(_))));
    let missing = house_ungranted
        .ports
        .training
        .start(999, None, config(Device::Cpu))
        .await;
    assert!(matches!(missing, Err(TrainError::Invalid(_))));
}

fn trigger(dag_id: &str) -> TriggerRequest {
    TriggerRequest {
        dag_id: dag_id.to_owned(),
        conf: "{}".to_owned(),
        logical_date: None,
        run_id: None,
        reset_dag_run: false,
    }
}

#[tokio::test]
async fn h6_only_granted_dags_are_triggered_and_a_retry_names_the_same_run() {
    let house = house(all());
    let dag_runs = &house.ports.dag_runs;
    let first = dag_runs.trigger(trigger("child")).await.unwrap();
    let again = dag_runs.trigger(trigger("child")).await.unwrap();
    assert_eq!(first.run_id, again.run_id);
    assert!(first.run_id.starts_with("manual__"));
    let dated = TriggerRequest {
        logical_date: Some("2026-01-05T00:00:00Z".into()),
        ..trigger("child")
    };
    let other = dag_runs.trigger(dated).await.unwrap();
    assert_ne!(first.run_id, other.run_id);
    {
        let seen = house.outside.triggered.lock().unwrap();
        assert!(
            seen.iter()
                .all(|request| request.triggered_by == "d/r/t/-1")
        );
    }
    let features = dag_runs.trigger(trigger("features")).await;
    denied(features, "trigger_dags: [\"features\"]");
    for dag_id in ["child", "features"] {
        let state = dag_runs.state(dag_id.into(), "r".into()).await;
        assert_eq!(state, Ok(Some("running".into())));
    }
    denied(
        dag_runs.state("other".into(), "r".into()).await,
        "`dag_state`",
    );
}

#[tokio::test]
async fn h6_hostile_trigger_requests_are_refused() {
    let house = house(all());
    let dag_runs = &house.ports.dag_runs;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let with_conf = |conf: &str| TriggerRequest {
        conf: conf.to_owned(),
        ..trigger("child")
    };
    let with_run_id = |run_id: &str| TriggerRequest {
        run_id: Some(run_id.to_owned()),
        ..trigger("child")
    };
    let with_date = TriggerRequest {
        logical_date: Some("tomorrow".into()),
        ..trigger("child")
    };
    for request in [
        trigger("../child"),
        trigger(""),
        with_conf("[]"),
        with_conf("{"),
        with_conf(&deep),
        with_run_id("../../x"),
        with_run_id(&"x".repeat(300)),
        with_date,
    ] {
        let refused = dag_runs.trigger(request.clone()).await;
        assert!(
            matches!(refused, Err(CapabilityError::Invalid(_))),
            "{request:?} {refused:?}"
        );
    }
    let large = with_conf(&format!("{{\"a\":\"{}\"}}", "x".repeat(48 << 10)));
    let refused = dag_runs.trigger(large).await;
    assert_eq!(refused, Err(CapabilityError::TooLarge(48 << 10)));
    assert!(house.outside.triggered.lock().unwrap().is_empty());
}

#[tokio::test]
async fn h8_questions_need_no_grant_are_checked_and_hold_no_secret() {
    let granted = house(all());
    let ports = &granted.ports;
    ports.secrets.placeholder("TOKEN".into()).await.unwrap();
    let question = r#"{"subject": "deploy hunter22?", "options": ["Approve"]}"#;
    assert_eq!(ports.human.ask(question.into()).await, Ok(None));
    let asked = granted.outside.questions.lock().unwrap().join("");
    assert!(asked.contains("deploy ***?"), "{asked}");
    let refused = ports.human.ask(r#"{"subject": "s"}"#.into()).await;
    assert!(matches!(refused, Err(CapabilityError::Invalid(_))));
    let large = format!("\"{}\"", "x".repeat(48 << 10));
    let refused = ports.human.ask(large).await;
    assert_eq!(refused, Err(CapabilityError::TooLarge(48 << 10)));
    let plain = house(Grants::default());
    assert_eq!(plain.ports.human.ask(question.into()).await, Ok(None));
}

#[tokio::test]
async fn d8_states_of_many_dates_and_tasks_come_in_one_call() {
    let house = house(all());
    let port = &house.ports.dag_state;
    let dates = |count: usize| vec!["2026-01-05T00:00:00Z".to_owned(); count];
    let states = port.run_states_of("features".into(), dates(2)).await;
    let state = Some("features 2026-01-05T00:00:00Z".to_owned());
    assert_eq!(states, Ok(vec![state; 2]));
    let counts = port.task_state_counts("features".into(), vec!["a".into()], dates(1));
    assert_eq!(counts.await.unwrap()[0].instances, 3);
    let counts = port.group_state_counts("features".into(), "g".into(), dates(1));
    assert_eq!(counts.await.unwrap()[0].task_id, "g.a");
    let many = port.run_states_of("features".into(), dates(1_001)).await;
    assert_eq!(many, Err(CapabilityError::TooLarge(1_000)));
    let many = port.task_state_counts("features".into(), vec!["a".into(); 1_001], dates(1));
    assert_eq!(many.await, Err(CapabilityError::TooLarge(1_000)));
    denied(
        port.run_states_of("other".into(), dates(1)).await,
        "`dag_state`",
    );
    denied(
        port.check_existence("other".into(), vec![], None).await,
        "`dag_state`",
    );
    let missing = port.check_existence("features".into(), vec![], Some("g".into()));
    let expected = CapabilityError::NotFound("features has no g".into());
    assert_eq!(missing.await, Err(expected));
}

#[tokio::test]
async fn local_time_follows_the_dags_time_zone_and_its_changes() {
    let house = house(Grants::default());
    let calendar = &house.ports.calendar;
    let local = calendar.to_local("2026-07-05T23:30:00Z".into(), None).await;
    let local = local.unwrap();
    assert_eq!(local.date, "2026-07-06");
    assert_eq!((local.time.as_str(), local.iso_weekday), ("00:30:00", 1));
    // Clocks skip 01:00 to 02:00 on this day.
    let skipped = calendar
        .from_local("2026-03-29T01:30:00".into(), None)
        .await;
    assert_eq!(skipped, Ok("2026-03-29T01:30:00Z".to_owned()));
    let utc = calendar.from_local("2026-07-05T01:30:00".into(), Some("UTC".into()));
    assert_eq!(utc.await, Ok("2026-07-05T01:30:00Z".to_owned()));
    for (date_time, zone) in [("soon", None), ("2026-07-05T01:30:00", Some("Mars/Base"))] {
        let refused = calendar.from_local(date_time.into(), zone.map(str::to_owned));
        assert!(matches!(refused.await, Err(CapabilityError::Invalid(_))));
    }
}
