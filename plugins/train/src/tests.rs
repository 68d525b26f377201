//! The operator against the fake host.

use super::*;
use airlock_sdk::dataset::{ColumnData, column};
use airlock_sdk::testing::{Host, TrainRequest, Trained as Answer};
use airlock_sdk::training::{Algorithm, Granted, Point, TrainError, Usage};
use std::cell::RefCell;
use std::rc::Rc;

const URI: &str = "file://d/features.parquet";

fn host() -> Host {
    let host = Host::new();
    let floats = |scale: f64| {
        ColumnData::Float64s((0..100).map(|row| Some(f64::from(row) * scale)).collect())
    };
    let ints = || ColumnData::Int64s((0..100).map(|row| Some(row % 2)).collect());
    host.put_table(
        URI,
        vec![
            (column("a", ColumnKind::Float64), floats(1.0)),
            (column("b", ColumnKind::Float64), floats(2.0)),
            (column("churned", ColumnKind::Int64), ints()),
            (column("user_id", ColumnKind::Int64), ints()),
        ],
    );
    host
}

fn answer(auc: f64) -> Answer {
    let point = |metric, valid| Point {
        round: 50,
        metric,
        train: Some(0.9),
        valid: Some(valid),
    };
    Answer {
        events: vec![
            Event::Started(Granted {
                device: "cpu".into(),
                threads: 2,
                memory_limit: 1,
            }),
            Event::Progress(point(Metric::Auc, auc)),
            Event::Warning("hot".into()),
        ],
        outcome: RunOutcome {
            reason: StopReason::Completed,
            best_round: 50,
            metrics: vec![point(Metric::Auc, auc), point(Metric::LogLoss, 0.4)],
            usage: Usage {
                wall_ms: 1,
                cpu_ms: 1,
                device_ms: 0,
                peak_host: 1,
                peak_device: 0,
                rounds: 50,
                restarts: 0,
            },
        },
        digest: "model-digest".into(),
    }
}

fn config() -> Value {
    json!({"features": URI, "experiment": "weekly", "model_name": "churn", "n_estimators": 300, "learning_rate": 0.05})
}

#[test]
fn a_model_is_trained_logged_and_staged() {
    let host = host();
    let seen: Rc<RefCell<Vec<TrainRequest>>> = Rc::default();
    let record = Rc::clone(&seen);
    host.on_train(move |request| {
        record.borrow_mut().push(request.clone());
        Ok(answer(0.83))
    });
    let Ok(Outcome::Success(value)) = host.run::<gbdt>(config()) else {
        panic!("expected a value");
    };
    assert_eq!(value["val_auc"], 0.83);
    assert_eq!(value["train_date"], "2026-01-05");
    assert_eq!(value["model_version"], 1);
    assert_eq!(value["feature_count"], 2);

    let request = seen.borrow()[0].clone();
    assert_eq!(request.features, ["a", "b"]);
    assert_eq!((request.train_rows, request.valid_rows), (80, Some(20)));
    assert!(
        matches!(request.config.algorithm, Algorithm::Gbdt(gbdt) if gbdt.rounds == 300 && gbdt.learning_rate.to_bits() == 0.05_f64.to_bits())
    );

    let run = host.runs().remove(0);
    assert_eq!(run.name, "dag.task_2026-01-05T02:00:00Z");
    assert_eq!(run.status, RunStatus::Finished);
    assert_eq!(value["run_id"], run.run_id.as_str());
    let logged = |key: &str| {
        run.metrics
            .iter()
            .find(|metric| metric.key == key)
            .map(|metric| metric.value)
    };
    assert_eq!(logged("val_auc"), Some(0.83));
    assert_eq!(logged("valid_auc"), Some(0.83));
    assert!(run.params.contains(&("n_estimators".into(), "300".into())));
    assert_eq!(
        host.artifact(&run.run_id, "model").as_deref(),
        Some("model-digest")
    );
    assert_eq!(host.versions("churn")[0].stage, Stage::Staging);
    assert!(
        host.reports()
            .iter()
            .any(|(fraction, _)| *fraction == Some(50.0 / 300.0))
    );
    assert!(host.lines().iter().any(|line| line == "hot"));
}

#[test]
fn a_retry_adds_nothing_and_does_not_move_a_promoted_version() {
    let host = host();
    host.on_train(|_| Ok(answer(0.83)));
    host.run::<gbdt>(config()).unwrap();
    models::transition_stage("churn", 1, Stage::Production, true).unwrap();
    host.run::<gbdt>(config()).unwrap();
    assert_eq!(host.runs().len(), 1);
    let versions = host.versions("churn");
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].stage, Stage::Production);
}

#[test]
fn mapped_instances_have_their_own_runs_and_hyperparameters() {
    let mut host = host();
    host.on_train(|_| Ok(answer(0.8)));
    for (index, depth) in [(0, 3), (1, 6)] {
        host.task.map_index = index;
        let mut config = config();
        config["params"] = json!({"max_depth": depth});
        config["run_name"] = json!("search");
        let ended = host.run::<gbdt>(config).unwrap();
        assert!(matches!(ended, Outcome::Success(value) if value["max_depth"] == depth));
    }
    let runs = host.runs();
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["search_0", "search_1"]);
}

#[test]
fn a_failed_training_ends_its_run() {
    let host = host();
    host.on_train(|_| Err(TrainError::WorkerLost("gone".into())));
    assert!(matches!(
        host.run::<gbdt>(config()),
        Err(TaskError::Transient(_))
    ));
    assert_eq!(host.runs()[0].status, RunStatus::Failed);
    assert!(host.versions("churn").is_empty());
}

#[test]
fn a_cancelled_training_registers_nothing() {
    let host = host();
    host.on_train(|_| Ok(answer(0.9)));
    host.cancel();
    assert!(matches!(
        host.run::<gbdt>(config()),
        Err(TaskError::Transient(_))
    ));
    assert_eq!(host.runs()[0].status, RunStatus::Killed);
    assert!(host.versions("churn").is_empty());
}

#[test]
fn senseless_configs_name_the_member() {
    let host = host();
    for (member, value) in [
        ("n_estimators", json!(0)),
        ("learning_rate", json!(-0.1)),
        ("max_depth", json!(40)),
        ("valid_fraction", json!(1.0)),
        ("subsample", json!(0.0)),
        ("max_bins", json!(1)),
        ("label", json!("nobody")),
        ("feature_columns", json!(["nobody"])),
    ] {
        let mut config = config();
        config[member] = value;
        let ended = host.run::<gbdt>(config);
        assert!(
            matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == member),
            "{member}: {ended:?}"
        );
    }
    assert!(host.runs().is_empty());
}
