//! Training through the program: worker processes that break, and tries that go on where the one before was stopped.

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::fmt::Write as _;

const ROWS: u32 = 400;
/// Of every model that is compared byte by byte.
const ROUNDS: u32 = 60;
/// More rounds than any test waits for.
const ENDLESS: u32 = 100_000;

/// Rows of noise and a label that two columns decide.
fn rows(count: u32, label: impl Fn(u32, u32) -> u32) -> String {
    let mut text = "user_id,a,b,c,churned\n".to_owned();
    for row in 0..count {
        let noise = |k: u32| (row.wrapping_mul(2_654_435_761) ^ k.wrapping_mul(40_503)) % 1_009;
        let (a, b, c) = (noise(1), noise(2), noise(3));
        writeln!(text, "{row},{a},{b},{c},{}", label(a, b)).unwrap();
    }
    text
}

fn noisy() -> String {
    rows(ROWS, |a, b| u32::from(a + b / 3 > 700))
}

/// A DAG with one training in it.
fn dag(config: &Value) -> Value {
    let mut all = json!({
        "features": "file://./features.csv", "experiment": "e", "model_name": "m", "n_estimators": ROUNDS,
        "checkpoint_every_seconds": 0,
    });
    for (key, value) in config.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({
        "dag_id": "training",
        "grants": {
            "storage_read": ["file://./"], "tracking": ["e"], "models": ["m"],
            "training": {"threads": 2, "memory": "256MiB"},
        },
        "tasks": [{"task_id": "train", "operator": "train.gbdt", "config": all}],
    })
}

struct House {
    airlock: Airlock,
}

impl House {
    fn new(table: &str) -> Self {
        let airlock = Airlock::new();
        airlock.file("features.csv", table);
        Self { airlock }
    }

    /// One run to its end with planned faults.
    fn test(&self, dag: &Value, environment: &[(&str, &str)]) -> Done {
        let path = self.airlock.file("dag.yaml", &dag.to_string());
        let mut command = self
            .airlock
            .command(&["dags", "test", path.to_str().unwrap()]);
        command.envs(environment.iter().copied());
        command.output().unwrap().into()
    }

    /// The log of the training in the only run.
    fn log(&self) -> String {
        let runs = self
            .airlock
            .ok(&["runs", "list", "training", "--json"])
            .json();
        let run_id = runs[0]["run_id"].as_str().unwrap().to_owned();
        self.airlock
            .ok(&["runs", "logs", "training", &run_id, "train"])
            .stdout
    }

    /// SHA-256 of the registered model.
    fn model(&self) -> String {
        let shown = self.airlock.ok(&["models", "show", "m", "--json"]);
        let artifact = &shown.json()["versions"][0]["version"]["artifact"];
        artifact.as_str().unwrap().to_owned()
    }
}

fn undisturbed() -> String {
    let house = House::new(&noisy());
    let done = house.test(&dag(&json!({})), &[]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    house.model()
}

#[test]
fn a_worker_process_that_breaks_costs_nothing_but_time() {
    let whole = undisturbed();
    for (fault, told) in [
        ("kill@20", "SIGKILL"),
        ("exit@20", "exit status: 3"),
        ("fault@20", "a planned fault"),
        ("oom@20", "bytes of memory were needed"),
    ] {
        let house = House::new(&noisy());
        let done = house.test(&dag(&json!({})), &[("AIRLOCK_TEST_TRAINER_FAULTS", fault)]);
        assert_eq!(done.code, 0, "{fault}: {}{}", done.stdout, done.stderr);
        let log = house.log();
        let moved = log
            .lines()
            .find(|line| line.contains("goes on elsewhere: cpu, from round"));
        assert!(
            moved.is_some_and(|line| line.contains(told)),
            "{fault}: {log}"
        );
        assert_eq!(house.model(), whole, "{fault}: the same bytes");
    }
}

#[test]
fn a_device_that_breaks_twice_is_left_for_the_processor() {
    let house = House::new(&noisy());
    let environment = [
        ("AIRLOCK_TEST_TRAINER_FAULTS", "fault@10,kill@30"),
        ("AIRLOCK_TEST_TRAINER_DEVICE", "card-1"),
    ];
    let done = house.test(&dag(&json!({})), &environment);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let log = house.log();
    assert!(log.contains("Training on card-1 with"), "{log}");
    assert!(
        log.contains("goes on elsewhere: card-1, from round"),
        "{log}"
    );
    assert!(log.contains("goes on elsewhere: cpu, from round"), "{log}");
    assert_eq!(house.model(), undisturbed());
}

#[test]
fn a_worker_lost_twice_fails_the_task_and_says_what_to_do() {
    let house = House::new(&noisy());
    let faults = [("AIRLOCK_TEST_TRAINER_FAULTS", "exit@10,exit@30")];
    let done = house.test(&dag(&json!({})), &faults);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    for part in [
        "training worker lost",
        "2 times on cpu",
        "exit status: 3",
        "please report this",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

/// The processes that a host started to train.
fn workers_of(host: u32) -> Vec<String> {
    let mark = format!("--parent={host}\0");
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|line| line.contains("trainer-worker") && line.contains(&mark))
        .collect()
}

#[test]
fn a_killed_host_leaves_no_worker_and_the_next_goes_on_from_the_checkpoint_with_the_same_bytes() {
    let house = House::new(&noisy());
    let airlock = &house.airlock;
    airlock.dag_file(&dag(&json!({})));
    // The worker falls silent in the middle: the host is killed while the training waits.
    let service = airlock.serve_in(&[("AIRLOCK_TEST_TRAINER_FAULTS", "hang@30")], &[]);
    airlock.ok(&[
        "dags",
        "trigger",
        "training",
        "--no-wait",
        "--run-id",
        "one",
    ]);
    let logs = ["runs", "logs", "training", "one", "train"];
    airlock.until_text(&logs, |log| log.contains("Checkpoint "));
    let host = service.id();
    assert_eq!(workers_of(host).len(), 1);
    service.kill();
    // The kernel kills them with the host; a process that is going may still be listed for a moment.
    while !workers_of(host).is_empty() {
        std::thread::yield_now();
    }
    let _service = airlock.serve();
    airlock.until(&["runs", "show", "training", "one"], |run| {
        run["state"] == "success"
    });
    let log = airlock.ok(&logs).stdout;
    assert!(
        log.contains("Going on from the checkpoint of the try before"),
        "{log}"
    );
    assert_eq!(house.model(), undisturbed());
}

/// What follows `before` in each line that has it, up to the next space, colon or end of line.
fn told<'a>(log: &'a str, before: &str) -> Vec<&'a str> {
    let rest = log
        .lines()
        .filter_map(|line| Some(line.split_once(before)?.1));
    rest.filter_map(|rest| rest.split([' ', ':']).next())
        .collect()
}

#[test]
fn m14_a_training_that_is_told_to_stop_saves_itself_within_the_grace_and_the_next_try_goes_on() {
    // Many rows and tiny steps: no machine reaches the last round in the time of this test.
    let house = House::new(&rows(20_000, |a, b| (a ^ b) & 1));
    let airlock = &house.airlock;
    let mut stopped = dag(&json!({
        "n_estimators": ENDLESS, "learning_rate": 0.0001, "checkpoint_every_seconds": 3_600,
    }));
    stopped["tasks"][0]["execution_timeout"] = json!("4s");
    stopped["tasks"][0]["retries"] = json!(1);
    stopped["tasks"][0]["retry_delay"] = json!("0s");
    let path = airlock.file("dag.yaml", &stopped.to_string());
    let done = airlock.run(&["dags", "test", path.to_str().unwrap()]);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stderr
            .contains("it was told to stop and ended by itself"),
        "{}",
        done.stderr
    );
    let log = house.log();
    let (first, second) = log
        .split_once("Going on from the checkpoint of the try before, ")
        .expect("a second try that goes on");
    // Each try saves itself once, and the second begins where the first was saved.
    let (saved, again) = (told(first, " Checkpoint "), told(second, " Checkpoint "));
    assert_eq!((saved.len(), again.len()), (1, 1), "{log}");
    assert!(second.starts_with(saved[0]) && saved != again, "{log}");
    let rounds = |log| -> Vec<u32> {
        let rounds = told(log, "INFO  task: Round ").into_iter();
        rounds.map(|round| round.parse().unwrap()).collect()
    };
    assert!(
        rounds(first).iter().max() < rounds(second).iter().min(),
        "{log}"
    );
}

#[test]
fn m3_a_training_over_its_memory_fails_alone() {
    let house = House::new(&noisy());
    let mut dag = dag(&json!({}));
    dag["tasks"][0]["grants"] = json!({
        "storage_read": ["file://./"], "tracking": ["e"], "models": ["m"],
        "training": {"threads": 1, "memory": "1KiB"},
    });
    dag["tasks"].as_array_mut().unwrap().push(json!({
        "task_id": "beside", "operator": "train.gbdt", "config": {
            "features": "file://./features.csv", "experiment": "e", "run_name": "beside", "n_estimators": ROUNDS,
        },
    }));
    let path = house.airlock.file("dag.yaml", &dag.to_string());
    let arguments = ["dags", "test", path.to_str().unwrap(), "--json"];
    let done = house.airlock.run(&arguments);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    let summary = done.json();
    let rows = summary["task_instances"].as_array().unwrap();
    let row = |task_id| rows.iter().find(|row| row["task_id"] == task_id).unwrap();
    let error = row("train")["error"].as_str().unwrap();
    assert!(error.contains("bytes of memory"), "{error}");
    assert_eq!(row("beside")["state"], "success", "{summary}");
}

#[test]
fn m24_while_a_training_computes_elsewhere_the_orchestrator_runs_other_tasks() {
    // No machine reaches the last round in the time of this test.
    let house = House::new(&rows(20_000, |a, b| (a ^ b) & 1));
    let airlock = &house.airlock;
    let endless = json!({"n_estimators": ENDLESS, "learning_rate": 0.0001});
    airlock.dag_file(&dag(&endless));
    airlock.dag_file(&json!({"dag_id": "light", "tasks": [
        {"task_id": "list", "operator": "probe", "config": {"value": [1, 2, 3]}},
        {"task_id": "each", "operator": "probe", "depends_on": ["list"], "expand": {"value": "{{ xcom_pull('list') }}"}},
    ]}));
    let service = airlock.serve();
    let begin = |dag_id| {
        let run = ["dags", "trigger", dag_id, "--no-wait", "--run-id", "one"];
        airlock.ok(&run);
    };
    begin("training");
    let logs = ["runs", "logs", "training", "one", "train"];
    airlock.until_text(&logs, |log| log.contains("Checkpoint "));
    assert_eq!(workers_of(service.id()).len(), 1, "a process of its own");
    begin("light");
    airlock.until(&["runs", "show", "light", "one"], |run| {
        run["state"] == "success"
    });
    let training = airlock.ok(&["runs", "show", "training", "one", "--json"]);
    assert_eq!(training.json()["state"], "running");
}

#[test]
fn labels_of_one_class_only_fail_with_the_reason() {
    let house = House::new(&rows(ROWS, |_, _| 1));
    let done = house.test(&dag(&json!({})), &[]);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    assert!(
        done.stderr.contains("training data refused"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_gpu_that_is_not_there_is_named_with_what_there_is() {
    let house = House::new(&noisy());
    let list = house.airlock.file("gpus.json", "[]");
    let path = house
        .airlock
        .file("dag.yaml", &dag(&json!({"device": "gpu"})).to_string());
    let (path, list) = (path.to_str().unwrap(), list.to_str().unwrap());
    let done = house
        .airlock
        .run(&["dags", "test", path, "--gpu-list", list]);
    assert_eq!(done.code, 10, "{}{}", done.stdout, done.stderr);
    for part in ["no such device", "device cpu or best"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

#[test]
fn a_worker_that_nobody_started_says_so() {
    let done = Airlock::new().run_bare(&["trainer-worker", "--parent=1", "--device=cpu"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("airlock starts its training workers itself"),
        "{}",
        done.stderr
    );
}

#[test]
fn m20_a_version_leads_to_its_run_data_component_and_metrics_and_back() {
    let house = House::new(&noisy());
    let done = house.test(&dag(&json!({})), &[]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let airlock = &house.airlock;
    airlock.ok(&["models", "promote", "m", "1", "--reason", "the first one"]);
    let then = airlock
        .ok(&["models", "history", "m", "--at", "2999-01-01", "--json"])
        .json();
    let production = &then["production"][0];
    assert_eq!(production["at"]["staged"]["reason"], "the first one");
    assert_eq!(production["at"]["artifact"], house.model());
    let run = &production["run"];
    let tag = |key: &str| {
        run["tags"][format!("airlock.{key}")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (tag("dag_id"), tag("task_id"), tag("try_number")),
        ("training".to_owned(), "train".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (tag("plugin"), tag("operator"), tag("component").len()),
        ("train".to_owned(), "gbdt".to_owned(), 64)
    );
    let data: Value = serde_json::from_str(&tag("data")).unwrap();
    assert_eq!(data[0]["uri"], "file://./features.csv");
    // The host's own word agrees with the plugin's.
    assert_eq!(data[0]["sha256"], run["params"]["features_digest"]);
    assert!(run["metrics"]["val_auc"]["value"].is_string(), "{run}");
    let run_id = run["run_id"].as_str().unwrap();
    let shown = airlock
        .ok(&["experiments", "runs", "show", run_id, "--json"])
        .json();
    assert_eq!(shown["versions"][0]["name"], "m");
    assert_eq!(shown["versions"][0]["stage"], "Production");
    let text = airlock
        .ok(&["models", "history", "m", "--at", "2999-01-01"])
        .stdout;
    for told in [
        "the first one",
        "component",
        "features.csv",
        "params.seed",
        "metrics.val_auc",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let before = airlock
        .ok(&["models", "history", "m", "--at", "2000-01-01"])
        .stdout;
    assert!(before.contains("nothing was in production"), "{before}");
    let filter = [
        "experiments",
        "runs",
        "list",
        "e",
        "--filter",
        "metrics.val_auc > 0",
        "--json",
    ];
    assert_eq!(airlock.ok(&filter).json().as_array().unwrap().len(), 1);
    let compared = airlock
        .ok(&["experiments", "compare", run_id, run_id])
        .stdout;
    assert!(compared.contains("metrics.val_auc"), "{compared}");
}
