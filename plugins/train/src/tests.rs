//! The operator against the fake host.

use super::*;
use airlock_sdk::dataset::{ColumnData, ColumnKind, column};
use airlock_sdk::testing::{Host, TrainRequest, Trained as Answer};
use airlock_sdk::tracking::RunStatus;
use airlock_sdk::training::{
    Algorithm, Event, Granted, Point, RunOutcome, StopReason, TrainError, Usage,
};
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

/// Answers every training with a model of this score, and keeps what was asked.
fn recorded(host: &Host, score: f64) -> Rc<RefCell<Vec<TrainRequest>>> {
    let seen: Rc<RefCell<Vec<TrainRequest>>> = Rc::default();
    let record = Rc::clone(&seen);
    host.on_train(move |request| {
        record.borrow_mut().push(request.clone());
        Ok(answer(score))
    });
    seen
}

#[test]
fn without_a_model_name_nothing_is_registered_and_the_artifact_is_told() {
    let host = host();
    host.on_train(|_| Ok(answer(0.8)));
    let config = json!({"features": URI, "experiment": "weekly"});
    let Outcome::Success(value) = host.run::<gbdt>(config).unwrap() else {
        panic!("a value");
    };
    assert_eq!(value["artifact"], answer(0.8).digest);
    assert!(value.get("model_version").is_none());
    assert!(host.versions("churn").is_empty());
}

#[test]
fn a_model_is_trained_logged_and_staged() {
    let host = host();
    let seen = recorded(&host, 0.83);
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

/// What a try that is told to stop leaves: its run is killed, with a checkpoint.
fn stopped(host: &Host) {
    host.on_train(|_| {
        let mut answer = answer(0.9);
        answer.events.push(Event::Checkpointed("ab".repeat(32)));
        Ok(answer)
    });
    host.cancel();
    let ended = host.run::<gbdt>(config());
    assert!(
        matches!(&ended, Err(TaskError::Transient(text)) if text.contains("goes on")),
        "{ended:?}"
    );
}

fn tag(host: &Host, key: &str) -> Option<String> {
    let run = host.runs().remove(0);
    run.tags
        .into_iter()
        .find(|(there, _)| there == key)
        .map(|(_, value)| value)
}

#[test]
fn the_next_try_goes_on_from_the_checkpoint_and_leaves_none() {
    let first = host();
    stopped(&first);
    assert_eq!(tag(&first, "checkpoint"), Some("ab".repeat(32)));
    let run_id = first.runs()[0].run_id.clone();
    assert_eq!(
        first.artifact(&run_id, &format!("checkpoint/{}", "ab".repeat(32))),
        Some("ab".repeat(32))
    );

    first.uncancel();
    let seen: Rc<RefCell<Vec<Option<String>>>> = Rc::default();
    let record = Rc::clone(&seen);
    first.on_train(move |request| {
        record.borrow_mut().push(request.config.resume_from.clone());
        Ok(answer(0.9))
    });
    first.run::<gbdt>(config()).unwrap();
    assert_eq!(*seen.borrow(), [Some("ab".repeat(32))]);
    assert_eq!(tag(&first, "checkpoint"), Some(String::new()));
    first.run::<gbdt>(config()).unwrap();
    assert_eq!(
        seen.borrow().last(),
        Some(&None),
        "a cleared task instance begins anew"
    );
}

#[test]
fn a_checkpoint_that_does_not_fit_any_more_is_left() {
    let host = host();
    stopped(&host);
    host.uncancel();
    host.on_train(|request| match request.config.resume_from {
        Some(_) => Err(TrainError::Invalid("of other data".into())),
        None => Ok(answer(0.9)),
    });
    host.run::<gbdt>(config()).unwrap();
    assert!(
        host.lines()
            .iter()
            .any(|line| line.contains("is not used: of other data"))
    );
}

#[test]
fn every_algorithm_is_told_in_its_own_words() {
    let host = host();
    let seen = recorded(&host, 0.8);
    let mut config = config();
    for member in ["n_estimators", "learning_rate"] {
        config.as_object_mut().unwrap().remove(member);
    }
    host.run::<forest>(config.clone()).unwrap();
    host.run::<logistic>(config.clone()).unwrap();
    config["hidden_layer_sizes"] = json!([8, 4]);
    host.run::<mlp>(config).unwrap();
    let seen = seen.borrow();
    assert!(
        matches!(&seen[0].config.algorithm, Algorithm::RandomForest(forest) if forest.trees == 100 && forest.classes == 2)
    );
    assert!(
        matches!(&seen[1].config.algorithm, Algorithm::Logistic(linear) if linear.max_iterations == 100 && linear.standardize)
    );
    assert!(
        matches!(&seen[2].config.algorithm, Algorithm::Mlp(mlp) if mlp.hidden == [8, 4] && mlp.epochs == 20)
    );
    assert_eq!(seen[0].config.checkpoint_every_ms, Some(30_000));
}

#[test]
fn a_softmax_is_compared_by_its_log_loss() {
    let host = host();
    let seen = recorded(&host, 0.8);
    let mut config = config();
    config["objective"] = json!("softmax");
    config["classes"] = json!(3);
    let Ok(Outcome::Success(value)) = host.run::<gbdt>(config.clone()) else {
        panic!("expected a value");
    };
    assert_eq!(value["val_log_loss"], 0.4);
    assert_eq!(
        seen.borrow()[0].config.metrics,
        [Metric::LogLoss, Metric::Accuracy]
    );
    config["classes"] = json!(0);
    let ended = host.run::<gbdt>(config);
    assert!(matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == "classes"));
}

fn variants() -> Value {
    let mut config = config();
    let members = config.as_object_mut().unwrap();
    members.remove("n_estimators");
    members.remove("learning_rate");
    config["base"] = json!({"n_estimators": 50});
    config["variants"] = json!([{"max_depth": 2}, {"max_depth": 4}, {"max_depth": 6}]);
    config
}

fn depth_of(request: &TrainRequest) -> u8 {
    match &request.config.algorithm {
        Algorithm::Gbdt(gbdt) => gbdt.max_depth,
        _ => 0,
    }
}

#[test]
fn a_search_logs_every_variant_and_registers_the_best() {
    let host = host();
    host.on_train(|request| {
        let auc = [0.7, 0.9, 0.8][usize::from(depth_of(request) / 2 - 1)];
        Ok(answer(auc))
    });
    let Ok(Outcome::Success(value)) = host.run::<search>(variants()) else {
        panic!("expected a value");
    };
    assert_eq!(
        (&value["best"], &value["max_depth"], &value["val_auc"]),
        (&json!(1), &json!(4), &json!(0.9))
    );
    let aucs: Vec<f64> = value["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["val_auc"].as_f64().unwrap())
        .collect();
    assert_eq!(aucs, [0.7, 0.9, 0.8]);
    let runs = host.runs();
    let names: Vec<&str> = runs
        .iter()
        .map(|run| run.name.rsplit('_').next().unwrap())
        .collect();
    assert_eq!(names, ["0", "1", "2"]);
    assert!(runs.iter().all(|run| run.status == RunStatus::Finished));
    assert_eq!(value["run_id"], runs[1].run_id.as_str());
    assert_eq!(host.versions("churn").len(), 1);
}

#[test]
fn a_senseless_variant_is_named() {
    let host = host();
    let mut config = variants();
    config["variants"][1]["max_depth"] = json!(99);
    let ended = host.run::<search>(config);
    assert!(
        matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == "variants[1].max_depth"),
        "{ended:?}"
    );
}
