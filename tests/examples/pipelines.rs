//! Pipelines of one file: training, branching, mapping, searching, waiting.

use crate::{House, example_file, number, sha256};
use serde_json::{Value, json};

const DAY: &str = "2026-01-05T02:00:00Z";
const NEXT_DAY: &str = "2026-01-06T02:00:00Z";

#[test]
fn m23_a_dag_is_tested_by_one_command_without_a_service_or_a_data_folder() {
    let airlock = airlock_tests::Airlock::new();
    let done = airlock.run_bare(&["dags", "test", &example_file("hello.yaml"), "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["state"], "success");
    let left = std::fs::read_dir(airlock.folder()).unwrap().count();
    assert_eq!(left, 0, "nothing is kept");
}

#[test]
fn m22_a_model_that_passes_is_put_in_its_place_and_one_that_fails_is_not() {
    let house = House::new();
    let good = house
        .test("ml_training_pipeline.yaml", DAY, &json!({}))
        .ok();
    assert!(number(good.value("evaluate_model"), "val_accuracy") >= 0.8);
    let place = house.place("models/production/model.airlock");
    let version = &house.model("churn")["versions"][0]["version"];
    assert_eq!(version["artifact"], sha256(&place), "the model's own bytes");
    // The same place, whole again, by the next day's model.
    house
        .test("ml_training_pipeline.yaml", NEXT_DAY, &json!({}))
        .ok();
    let version = &house.model("churn")["versions"][1]["version"];
    assert_eq!(version["artifact"], sha256(&place));
    let files = std::fs::read_dir(house.place("models/production")).unwrap();
    assert_eq!(files.count(), 1, "nothing is left beside it");

    // Nothing to learn: the threshold fails the run for good, without retries, and the place keeps what it has.
    let weak = json!({"signal": 0.1});
    let bad = house.test("ml_training_pipeline.yaml", "2026-01-07T02:00:00Z", &weak);
    assert_eq!((bad.code, &bad.shown["state"]), (10, &json!("failed")));
    assert_eq!(bad.states("evaluate_model"), ["failed"]);
    assert_eq!(bad.states("deploy_model"), ["upstream_failed"]);
    let failed = bad.instance("evaluate_model");
    assert_eq!(failed["try_number"], 1);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("below the threshold 0.8"), "{error}");
    assert_eq!(version["artifact"], sha256(&place));
}

#[test]
fn too_few_rows_fail_the_load() {
    let house = House::new();
    let few = json!({"rows": 999});
    let run = house.test("ml_training_pipeline.yaml", DAY, &few);
    assert_eq!(run.code, 10);
    assert_eq!(run.states("load_data"), ["failed"]);
    assert_eq!(run.states("train_model"), ["upstream_failed"]);
}

#[test]
fn a_model_goes_to_production_or_to_staging_by_its_accuracy() {
    for (threshold, stage, skipped) in [
        (0.5, "Production", "deploy_staging"),
        (0.999, "Staging", "deploy_production"),
    ] {
        let house = House::new();
        let conf = json!({"threshold": threshold});
        let run = house.test("staging_or_production.yaml", DAY, &conf).ok();
        assert_eq!(house.stages("branching"), [stage]);
        assert_eq!(run.states(skipped), ["skipped"]);
        let told = run.value("announce");
        assert_eq!(told, &json!(format!("branching v1 is in {stage}")));
    }
}

#[test]
fn every_partition_is_processed_by_an_instance_of_its_own() {
    let house = House::new();
    for (partitions, day) in [(10, DAY), (3, NEXT_DAY)] {
        let conf = json!({"partitions": partitions, "rows": 100});
        let run = house.test("process_partitions.yaml", day, &conf).ok();
        let states = run.states("process_partition");
        assert_eq!(states, vec!["success"; partitions]);
        let rows: u64 = run
            .values("process_partition")
            .iter()
            .map(|value| value["feature_count"].as_u64().unwrap())
            .sum();
        let expected = json!({"partitions": partitions, "rows": rows});
        assert_eq!(run.value("summarise"), &expected);
        assert!(rows > 80 * partitions as u64, "{rows} rows");
    }
    let none = house
        .test(
            "process_partitions.yaml",
            "2026-01-07",
            &json!({"partitions": 0}),
        )
        .ok();
    assert_eq!(none.states("process_partition"), ["skipped"]);
    let nothing = json!({"partitions": 0, "rows": 0});
    assert_eq!(none.value("summarise"), &nothing);
}

/// The highest validation AUC of results.
fn best(results: &[&Value]) -> f64 {
    results
        .iter()
        .map(|result| number(result, "val_auc"))
        .fold(0.0, f64::max)
}

#[test]
fn m16_twelve_variants_are_trained_side_by_side_and_the_best_is_registered() {
    let house = House::new();
    let conf = json!({"rows": 1500});
    let run = house.test("hyperparameter_search.yaml", DAY, &conf).ok();
    assert_eq!(run.states("train_variant"), ["success"; 12]);
    let results = run.values("train_variant");
    assert_eq!(results.len(), 12);
    let chosen = run.value("select_best");
    assert!(number(chosen, "val_auc") >= best(&results));
    let model = house.model("churn_searched");
    let versions = model["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "the others are logged, not registered");
    assert_eq!(versions[0]["version"]["run_id"], chosen["run_id"]);
    assert_eq!(versions[0]["version"]["artifact"], chosen["artifact"]);
    assert_eq!(versions[0]["version"]["stage"], "Staging");
    let place = results
        .iter()
        .position(|result| result["run_id"] == chosen["run_id"]);
    let name = format!("search_2026-01-05_{}", place.unwrap());
    assert_eq!(versions[0]["run"]["name"], name);
}

#[test]
fn m16_a_batched_search_registers_the_best_of_its_variants() {
    let house = House::new();
    let conf = json!({"rows": 1500});
    let run = house.test("batched_search.yaml", DAY, &conf).ok();
    let found = run.value("search");
    let results: Vec<&Value> = found["results"].as_array().unwrap().iter().collect();
    assert_eq!(results.len(), 12);
    assert!(number(found, "val_auc") >= best(&results));
    let model = house.model("churn_searched");
    let versions = model["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1);
    let place = found["best"].as_u64().unwrap();
    let chosen = results[usize::try_from(place).unwrap()];
    assert_eq!(versions[0]["version"]["run_id"], chosen["run_id"]);
    let name = format!("batched_2026-01-05_{place}");
    assert_eq!(versions[0]["run"]["name"], name);
}

#[test]
fn the_days_file_is_awaited_and_then_checked() {
    let house = House::new();
    let folder = house.place("data/daily/2026-01-05");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("data.csv"), "a,b\n1,2\n3,4\n").unwrap();
    let conf = json!({"bucket": "file://.", "min_rows": 2});
    let run = house.test("wait_for_data.yaml", DAY, &conf).ok();
    assert_eq!(run.states("wait_for_data"), ["success"]);
    let conf = json!({"bucket": "file://.", "min_rows": 3});
    std::fs::create_dir_all(house.place("data/daily/2026-01-06")).unwrap();
    std::fs::copy(
        folder.join("data.csv"),
        house.place("data/daily/2026-01-06/data.csv"),
    )
    .unwrap();
    let few = house.test("wait_for_data.yaml", NEXT_DAY, &conf);
    assert_eq!(few.states("load_data"), ["failed"]);
}

#[test]
fn m15_a_training_tells_how_far_it_is_and_what_is_left() {
    let house = House::new();
    let conf = json!({"rows": 2000, "n_estimators": 100});
    let run = house.test("isolated_training.yaml", DAY, &conf).ok();
    let run_id = run.shown["run_id"].as_str().unwrap();
    let logs = ["runs", "logs", "isolated_training", run_id, "train"];
    let log = house.airlock.ok(&logs).stdout;
    let rounds = log
        .lines()
        .filter(|line| line.contains("of 100: valid auc"));
    assert!(rounds.count() >= 2, "{log}");
    assert!(log.contains("Round 100 of 100: valid auc"), "{log}");
    let training = &house.model("isolated")["versions"][0]["run"];
    assert_eq!(training["name"], "isolated_2026-01-05");
}
