//! What MLflow's client does: experiments, runs, batches, logged models.

use super::*;
use crate::store::{MemoryStore, Store};
use crate::tracking::{
    ActorKind, Batch, Clock, DatasetInput, LoggedModelStatus, MetricInput, MetricPoint, ModelInput,
    ModelOutput, NewLoggedModel, NewRun, RunStatus, RunUpdate,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

fn service() -> (Arc<MemoryStore>, Tracking) {
    let store = Arc::new(MemoryStore::default());
    let now = AtomicI64::new(100);
    let clock: Clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
    (store.clone(), Tracking::new(store, clock))
}

fn user() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ann".to_owned(),
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn point(key: &str, step: i64, at_ms: i64, value: f64) -> MetricInput {
    MetricInput {
        key: key.to_owned(),
        point: MetricPoint { value, step, at_ms },
        model_id: None,
        dataset: None,
    }
}

fn names(tracking: &Tracking, view: ViewType, filter: &str) -> Vec<String> {
    let found = tracking.search_experiments(view, filter, &["name".to_owned()], 100, None);
    let items = found.unwrap().items;
    items.into_iter().map(|record| record.name).collect()
}

#[test]
fn the_default_experiment_is_always_there() {
    let (_, tracking) = service();
    let default = tracking.experiment("0").unwrap();
    assert_eq!(default.name, "Default");
    assert_eq!(
        tracking.experiment_by_name("Default").unwrap().unwrap(),
        default
    );
    assert_eq!(names(&tracking, ViewType::ActiveOnly, ""), ["Default"]);
    let again = tracking.create_experiment(&user(), "Default", &[]);
    assert!(matches!(again, Err(TrackingError::AlreadyExists(_))));
    tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap();
    tracking
        .set_experiment_tags(&user(), "0", &[pair("a", "b")])
        .unwrap();
    assert_eq!(
        tracking.experiment("0").unwrap().tags,
        [pair("a", "b")].into()
    );
    tracking.rename_experiment(&user(), "0", "Mine").unwrap();
    assert_eq!(tracking.experiment("0").unwrap().name, "Mine");
    assert_eq!(tracking.experiment_by_name("Default").unwrap(), None);
    assert_eq!(names(&tracking, ViewType::All, ""), ["Mine"]);
}

#[test]
fn an_experiment_keeps_its_id_under_another_name_and_the_old_name_is_free() {
    let (_, tracking) = service();
    let first = tracking.create_experiment(&user(), "churn", &[]).unwrap();
    let id = &first.experiment_id;
    assert!(id.len() <= 18 && id.parse::<u64>().is_ok(), "{id}");
    assert_eq!(first.artifact_location(), format!("mlflow-artifacts:/{id}"));
    let run = tracking.start_run(&user(), "churn", "r", &[]).unwrap();
    assert_eq!(run.experiment_id, *id);
    tracking
        .rename_experiment(&user(), id, "old churn")
        .unwrap();
    assert_eq!(tracking.run(&run.run_id).unwrap().experiment, "old churn");
    let second = tracking.start_run(&user(), "churn", "r", &[]).unwrap();
    assert_ne!(second.run_id, run.run_id);
    assert_ne!(second.experiment_id, *id);
    let found = tracking.start_run(&user(), "old churn", "r", &[]).unwrap();
    assert_eq!(found.run_id, run.run_id);
    let taken = tracking.rename_experiment(&user(), id, "churn");
    assert!(matches!(taken, Err(TrackingError::AlreadyExists(_))));
}

#[test]
fn a_deleted_experiment_takes_its_runs_along_until_it_is_restored() {
    let (_, tracking) = service();
    let id = tracking
        .create_experiment(&user(), "churn", &[])
        .unwrap()
        .experiment_id;
    let run = tracking
        .create_run(&user(), &id, &NewRun::default())
        .unwrap();
    tracking.delete_experiment(&user(), &id).unwrap();
    assert_eq!(
        tracking.experiment(&id).unwrap().lifecycle,
        Lifecycle::Deleted
    );
    assert_eq!(
        tracking.run(&run.run_id).unwrap().lifecycle,
        Lifecycle::Deleted
    );
    assert_eq!(names(&tracking, ViewType::ActiveOnly, ""), ["Default"]);
    assert_eq!(names(&tracking, ViewType::DeletedOnly, ""), ["churn"]);
    for refused in [
        tracking
            .create_run(&user(), &id, &NewRun::default())
            .map(drop),
        tracking.start_run(&user(), "churn", "r", &[]).map(drop),
        tracking.log_params(&user(), &run.run_id, &[pair("a", "b")]),
        tracking.rename_experiment(&user(), &id, "other"),
        tracking.delete_experiment(&user(), &id),
    ] {
        assert!(
            matches!(refused, Err(TrackingError::Invalid(_))),
            "{refused:?}"
        );
    }
    let again = tracking
        .create_experiment(&user(), "churn", &[])
        .unwrap_err();
    assert!(again.to_string().contains("deleted state"), "{again}");
    tracking.restore_experiment(&user(), &id).unwrap();
    assert_eq!(
        tracking.run(&run.run_id).unwrap().lifecycle,
        Lifecycle::Active
    );
}

#[test]
fn experiments_are_found_by_name_and_tag() {
    let (_, tracking) = service();
    for (name, team) in [("churn", "a"), ("churn deep", "b"), ("fraud", "a")] {
        tracking
            .create_experiment(&user(), name, &[pair("team", team)])
            .unwrap();
    }
    let active = |filter| names(&tracking, ViewType::ActiveOnly, filter);
    assert_eq!(active("name LIKE 'churn%'"), ["churn", "churn deep"]);
    assert_eq!(active("tags.team = 'a'"), ["churn", "fraud"]);
    assert_eq!(active("name LIKE 'churn%' AND tags.team = 'a'"), ["churn"]);
    let error = tracking.search_experiments(ViewType::All, "metrics.a > 1", &[], 10, None);
    assert!(matches!(error, Err(TrackingError::Search(_))));
}

#[test]
fn a_client_makes_another_run_each_time_and_its_name_is_a_tag() {
    let (_, tracking) = service();
    let new = NewRun {
        name: Some("first".to_owned()),
        user_id: "ann".to_owned(),
        started_ms: Some(42),
        tags: vec![pair("mlflow.source.name", "nb.ipynb")],
    };
    let one = tracking.create_run(&user(), "0", &new).unwrap();
    let two = tracking.create_run(&user(), "0", &new).unwrap();
    assert_ne!(one.run_id, two.run_id);
    assert_eq!((one.name.as_str(), one.started_ms), ("first", 42));
    assert_eq!(one.tags["mlflow.runName"], "first");
    assert_eq!(
        one.artifact_uri(),
        format!("mlflow-artifacts:/0/{}/artifacts", one.run_id)
    );
    let unnamed = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap();
    assert_eq!(unnamed.tags["mlflow.runName"], unnamed.name);
    let tagged = NewRun {
        tags: vec![pair("mlflow.runName", "tagged")],
        ..NewRun::default()
    };
    assert_eq!(
        tracking.create_run(&user(), "0", &tagged).unwrap().name,
        "tagged"
    );
    let differs = NewRun {
        name: Some("other".to_owned()),
        ..tagged
    };
    let refused = tracking.create_run(&user(), "0", &differs);
    assert!(matches!(refused, Err(TrackingError::Invalid(_))));
    tracking
        .set_tags(&user(), &one.run_id, &[pair("mlflow.runName", "renamed")])
        .unwrap();
    assert_eq!(tracking.run(&one.run_id).unwrap().name, "renamed");
    let missing = tracking.create_run(&user(), "1", &NewRun::default());
    assert!(matches!(missing, Err(TrackingError::NotFound(_))));
}

#[test]
fn a_run_is_updated_deleted_and_restored() {
    let (_, tracking) = service();
    let id = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap()
        .run_id;
    let update = RunUpdate {
        name: Some("better".to_owned()),
        status: Some(RunStatus::Finished),
        ended_ms: Some(99),
    };
    tracking.update_run(&user(), &id, &update).unwrap();
    let run = tracking.run(&id).unwrap();
    assert_eq!(
        (run.name.as_str(), run.status, run.ended_ms),
        ("better", RunStatus::Finished, Some(99))
    );
    assert_eq!(run.tags["mlflow.runName"], "better");
    tracking.delete_run(&user(), &id).unwrap();
    let refused = tracking.update_run(&user(), &id, &update);
    assert!(matches!(refused, Err(TrackingError::Invalid(_))));
    let find = |view| {
        let found = tracking.search_runs(&["0".to_owned()], view, "", &[], 10, None);
        found.unwrap().items.len()
    };
    assert_eq!(
        (
            find(ViewType::ActiveOnly),
            find(ViewType::DeletedOnly),
            find(ViewType::All)
        ),
        (0, 1, 1)
    );
    tracking.restore_run(&user(), &id).unwrap();
    assert_eq!(find(ViewType::ActiveOnly), 1);
    tracking.delete_tag(&user(), &id, "mlflow.runName").unwrap();
    let again = tracking.delete_tag(&user(), &id, "mlflow.runName");
    assert!(matches!(again, Err(TrackingError::NotFound(_))));
}

#[test]
fn m6_a_batch_is_all_or_nothing_and_keeps_every_point() {
    let (_, tracking) = service();
    let id = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap()
        .run_id;
    let batch = Batch {
        metrics: vec![
            point("auc", 1, 5, 0.8),
            point("auc", 1, 5, 0.7),
            point("auc", 1, 6, f64::NAN),
            point("auc", 0, 9, 0.9),
            point("loss", -1, 0, f64::INFINITY),
        ],
        params: vec![pair("depth", "6")],
        tags: vec![pair("team", "a")],
    };
    for _ in 0..2 {
        tracking.log_batch(&user(), &id, &batch).unwrap();
    }
    let run = tracking.run(&id).unwrap();
    assert!(run.metrics["auc"].value.is_nan());
    assert_eq!(run.metrics["auc"].at_ms, 6);
    assert!(run.metrics["loss"].value.is_infinite());
    let history = tracking.metric_history(&id, "auc", None, 100).unwrap();
    let places: Vec<_> = history
        .points
        .iter()
        .map(|point| (point.step, point.at_ms))
        .collect();
    assert_eq!(places, [(0, 9), (1, 5), (1, 5), (1, 6)]);
    let conflict = Batch {
        metrics: vec![point("new", 0, 0, 1.0)],
        params: vec![pair("eta", "1"), pair("depth", "7")],
        tags: vec![pair("team", "b")],
    };
    let error = tracking.log_batch(&user(), &id, &conflict).unwrap_err();
    assert!(matches!(error, TrackingError::Conflict(_)), "{error}");
    assert_eq!(
        format!("{:?}", tracking.run(&id).unwrap()),
        format!("{run:?}")
    );
    let twice = Batch {
        params: vec![pair("x", "1"), pair("x", "2")],
        ..Batch::default()
    };
    assert!(tracking.log_batch(&user(), &id, &twice).is_err());
}

#[test]
fn a_batch_over_mlflows_limits_is_refused() {
    let (_, tracking) = service();
    let id = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap()
        .run_id;
    let metrics = |count: i64| (0..count).map(|step| point("m", step, 0, 1.0)).collect();
    let pairs = |count: i64| {
        (0..count)
            .map(|index| pair(&format!("p{index}"), "x"))
            .collect()
    };
    for (count, params, tags, fits) in [
        (1_000, 0, 0, true),
        (1_001, 0, 0, false),
        (0, 100, 0, true),
        (0, 101, 0, false),
        (0, 0, 101, false),
        (990, 11, 0, false),
    ] {
        let batch = Batch {
            metrics: metrics(count),
            params: pairs(params),
            tags: pairs(tags),
        };
        let done = tracking.log_batch(&user(), &id, &batch);
        assert_eq!(done.is_ok(), fits, "{count} {params} {tags}");
    }
}

#[test]
fn a_batch_writes_only_what_it_is_about() {
    let (store, tracking) = service();
    let id = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap()
        .run_id;
    let log = |step: i64| {
        let batch = Batch {
            metrics: vec![point("auc", step, step, 0.5)],
            ..Batch::default()
        };
        tracking.log_batch(&user(), &id, &batch).unwrap();
    };
    let versions = || {
        let rows = store.scan(Table::TrackingRun, b"", None, 100).unwrap();
        rows.into_iter()
            .map(|row| (row.key, row.version))
            .collect::<Vec<_>>()
    };
    tracking
        .log_params(&user(), &id, &[pair("a", "1"), pair("b", "2")])
        .unwrap();
    log(0);
    let before = versions();
    log(1);
    let changed = versions()
        .into_iter()
        .zip(&before)
        .filter(|(after, before)| after != *before);
    assert_eq!(changed.count(), 1);
}

#[test]
fn tags_of_the_host_are_the_hosts() {
    let (_, tracking) = service();
    let stamps = [pair("airlock.component", "abc")];
    let id = tracking
        .start_run(&user(), "e", "r", &stamps)
        .unwrap()
        .run_id;
    let own = [pair("airlock.component", "lie")];
    let new = NewRun {
        tags: own.to_vec(),
        ..NewRun::default()
    };
    let batch = Batch {
        tags: own.to_vec(),
        ..Batch::default()
    };
    for refused in [
        tracking.set_tags(&user(), &id, &own),
        tracking.log_batch(&user(), &id, &batch),
        tracking.delete_tag(&user(), &id, "airlock.component"),
        tracking.create_run(&user(), "0", &new).map(drop),
    ] {
        assert!(
            matches!(refused, Err(TrackingError::Invalid(_))),
            "{refused:?}"
        );
    }
    assert_eq!(tracking.run(&id).unwrap().tags["airlock.component"], "abc");
    let again = [pair("airlock.component", "def")];
    tracking.start_run(&user(), "e", "r", &again).unwrap();
    assert_eq!(tracking.run(&id).unwrap().tags["airlock.component"], "def");
}

#[test]
fn inputs_and_outputs_are_kept_with_the_run() {
    let (_, tracking) = service();
    let id = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap()
        .run_id;
    let dataset = DatasetInput {
        name: "churn".to_owned(),
        digest: "a1b2".to_owned(),
        source_type: "local".to_owned(),
        source: "{\"uri\": \"churn.parquet\"}".to_owned(),
        schema: None,
        profile: Some("{\"rows\": 3}".to_owned()),
        tags: vec![pair("mlflow.data.context", "training")],
    };
    let model = tracking
        .create_logged_model(&user(), "0", &NewLoggedModel::default())
        .unwrap();
    let input = ModelInput {
        model_id: model.model_id.clone(),
    };
    let output = ModelOutput {
        model_id: model.model_id.clone(),
        step: 3,
    };
    for _ in 0..2 {
        let (datasets, models) = (std::slice::from_ref(&dataset), std::slice::from_ref(&input));
        tracking.log_inputs(&user(), &id, datasets, models).unwrap();
        tracking
            .log_outputs(&user(), &id, std::slice::from_ref(&output))
            .unwrap();
    }
    let kept = tracking.run_inputs(&id).unwrap();
    assert_eq!(kept, (vec![dataset], vec![input], vec![output]));
    let find = |filter: &str| {
        let found = tracking.search_runs(&["0".to_owned()], ViewType::All, filter, &[], 10, None);
        found.unwrap().items.len()
    };
    assert_eq!(
        find("datasets.name = 'churn' AND datasets.context = 'training'"),
        1
    );
    assert_eq!(find("datasets.digest = 'other'"), 0);
    let nobody = ModelInput {
        model_id: "m-nobody".to_owned(),
    };
    let refused = tracking.log_inputs(&user(), &id, &[], &[nobody]);
    assert!(matches!(refused, Err(TrackingError::NotFound(_))));
}

#[test]
fn logged_models_are_made_finished_tagged_measured_and_found() {
    let (_, tracking) = service();
    let run = tracking
        .create_run(&user(), "0", &NewRun::default())
        .unwrap();
    let new = |name: &str| NewLoggedModel {
        name: Some(name.to_owned()),
        source_run_id: Some(run.run_id.clone()),
        params: vec![pair("depth", "6")],
        ..NewLoggedModel::default()
    };
    let one = tracking
        .create_logged_model(&user(), "0", &new("model"))
        .unwrap();
    let two = tracking
        .create_logged_model(&user(), "0", &new("other"))
        .unwrap();
    assert_eq!(
        (one.model_id.len(), one.status),
        (34, LoggedModelStatus::Pending)
    );
    let id = &one.model_id;
    tracking
        .finalize_logged_model(&user(), id, LoggedModelStatus::Ready)
        .unwrap();
    tracking
        .set_logged_model_tags(&user(), id, &[pair("a", "b")])
        .unwrap();
    let mut measured = point("auc", 1, 1, 0.9);
    measured.model_id = Some(id.clone());
    measured.dataset = Some(pair("churn", "a1"));
    let batch = Batch {
        metrics: vec![measured],
        ..Batch::default()
    };
    tracking.log_batch(&user(), &run.run_id, &batch).unwrap();
    let read = tracking.logged_model(id).unwrap();
    assert_eq!(read.metrics[0].run_id, run.run_id);
    assert_eq!(
        (read.status, &read.tags),
        (LoggedModelStatus::Ready, &[pair("a", "b")].into())
    );
    let find = |filter: &str| {
        let found = tracking.search_logged_models(&["0".to_owned()], filter, &[], 10, None);
        let items = found.unwrap().items;
        items
            .into_iter()
            .map(|model| model.model_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(find("name = 'model'"), [id.as_str()]);
    assert_eq!(find("metrics.auc > 0.5"), [id.as_str()]);
    assert_eq!(find("status = 'PENDING'"), [two.model_id.as_str()]);
    let both = [two.model_id.as_str(), id.as_str()];
    assert_eq!(find(&format!("source_run_id = '{}'", run.run_id)), both);
    tracking.delete_logged_model_tag(&user(), id, "a").unwrap();
    let refused = tracking.log_logged_model_params(&user(), id, &[pair("depth", "7")]);
    assert!(matches!(refused, Err(TrackingError::Conflict(_))));
}

#[test]
fn what_an_older_airlock_wrote_is_read_and_then_changed() {
    let (store, tracking) = service();
    let blob = store.put_blob(b"model").unwrap().to_string();
    let id = super::super::run::run_id("churn", "r");
    let experiment = br#"{"name":"churn","created_ms":5}"#;
    let run = format!(
        r#"{{"run_id":"{id}","experiment":"churn","name":"r","status":"FINISHED","started_ms":6,"ended_ms":7,
        "params":{{"depth":"6"}},"metrics":{{"auc":{{"value":"0.5","step":2,"at_ms":6}}}},
        "tags":{{"a":"b","airlock.created_by":"d/r/t/-1/1"}},"artifacts":{{"model":"{blob}"}}}}"#
    );
    let point = br#"{"value":"0.5","step":2,"at_ms":6}"#;
    let row = |key: Vec<u8>, json: &[u8]| RowWrite {
        key,
        expect: Some(0),
        value: Some([&[1], json].concat()),
    };
    let index = super::super::run::index_key("churn", Some((6, &id)));
    let commit = Commit {
        rows: vec![
            (Table::Experiment, row(b"churn".to_vec(), experiment)),
            (
                Table::TrackingRun,
                row(super::super::run::run_key(&id), run.as_bytes()),
            ),
            (
                Table::TrackingRun,
                row(index, format!("\"{id}\"").as_bytes()),
            ),
            (
                Table::Metric,
                row(super::super::items::step_key(&id, "auc", Some(2)), point),
            ),
        ],
        ..Commit::default()
    };
    store.commit(commit).unwrap();
    let before = tracking.run(&id).unwrap();
    assert_eq!(before.params, [pair("depth", "6")].into());
    assert_eq!(before.metrics["auc"].step, 2);
    let owner = crate::tracking::ArtifactOwner::Run(id.clone());
    assert_eq!(tracking.artifact_bytes(&owner, "model").unwrap(), b"model");
    let experiment = tracking.experiment(&before.experiment_id).unwrap();
    assert_eq!(
        (experiment.name.as_str(), experiment.created_ms),
        ("churn", 5)
    );
    tracking
        .log_params(&user(), &id, &[pair("eta", "1")])
        .unwrap();
    let refused = tracking.log_params(&user(), &id, &[pair("depth", "7")]);
    assert!(matches!(refused, Err(TrackingError::Conflict(_))));
    tracking.set_tags(&user(), &id, &[pair("a", "c")]).unwrap();
    tracking.delete_tag(&user(), &id, "a").unwrap();
    let after = tracking.run(&id).unwrap();
    assert_eq!(after.params, [pair("depth", "6"), pair("eta", "1")].into());
    assert_eq!(
        after.tags,
        [pair("airlock.created_by", "d/r/t/-1/1")].into()
    );
    assert_eq!(after.metrics, before.metrics);
    assert_eq!(tracking.artifact_bytes(&owner, "model").unwrap(), b"model");
    let history = tracking.metric_history(&id, "auc", None, 10).unwrap();
    assert_eq!(history.points.len(), 1);
    tracking
        .rename_experiment(&user(), &experiment.experiment_id, "renamed")
        .unwrap();
    assert_eq!(tracking.run(&id).unwrap().experiment, "renamed");
    assert_eq!(tracking.runs("renamed", None, 10).unwrap().len(), 1);
}
