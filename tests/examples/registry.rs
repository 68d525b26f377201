//! A version's way through the registry, with a person in it, and back.

use crate::{House, example_file, sha256};
use airlock_tests::Service;
use serde_json::{Value, json};

const NAME: &str = "registry_workflow";
const WORKFLOW: &str = "model_registry_workflow";

impl House {
    /// A service on the examples.
    fn serve_examples(&self) -> Service {
        let folder = self.airlock.folder().join("dags");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["model_registry_workflow.yaml", "model_rollback.yaml"] {
            std::fs::copy(example_file(name), folder.join(name)).unwrap();
        }
        let files = self.place("");
        let files = files.to_str().unwrap();
        self.airlock.serve_with(&["--storage-root", files])
    }

    fn begin(&self, dag_id: &str, run_id: &str, more: &[&str]) {
        let arguments = ["dags", "trigger", dag_id, "--no-wait", "--run-id", run_id];
        self.airlock.ok(&[&arguments, more].concat());
    }

    /// Answers the workflow's question as soon as it is asked, and yields the ended run.
    fn answered(&self, run_id: &str, date: &str, answer: &str) -> Value {
        let conf = json!({"rows": 2000}).to_string();
        self.begin(WORKFLOW, run_id, &["--logical-date", date, "--conf", &conf]);
        self.airlock.until(&["tasks", "pending-inputs"], |asked| {
            let mut asked = asked.as_array().unwrap().iter();
            asked.any(|question| question["run_id"] == run_id)
        });
        let task = ["tasks", "answer", WORKFLOW, run_id, "approve_promotion"];
        self.airlock.ok(&[&task[..], &[answer]].concat());
        self.ended(WORKFLOW, run_id)
    }

    fn ended(&self, dag_id: &str, run_id: &str) -> Value {
        let shown = self
            .airlock
            .until(&["runs", "show", dag_id, run_id], |run| {
                run["state"] != "running" && run["state"] != "queued"
            });
        assert_eq!(shown["state"], "success", "{shown}");
        shown
    }
}

#[test]
fn m10_a_version_is_staged_scored_approved_and_promoted_and_a_rollback_takes_one_step() {
    let house = House::new();
    let service = house.serve_examples();
    let first = house.answered("first", "2026-01-05", "--approve");
    assert_eq!(house.stages(NAME), ["Production"]);
    // The figures of the held-out week are with the run that made the model, and there is no other run.
    let version = &house.model(NAME)["versions"][0];
    for metric in ["val_auc", "shadow_auc", "shadow_average_precision"] {
        let value = &version["run"]["metrics"][metric]["value"];
        assert!(
            value.is_number() || value.is_string(),
            "{metric}: {version}"
        );
    }
    assert_eq!(
        version["run"]["tags"]["shadow.reason"],
        "no_champion_exists"
    );
    assert_eq!(
        version["version"]["tags"]["pipeline"],
        "weekly_churn_training"
    );

    let rejected = house.answered("second", "2026-01-12", "--reject");
    assert_eq!(house.stages(NAME), ["Production", "Staging"]);
    let promoted = |run: &Value| {
        let mut rows = run["task_instances"].as_array().unwrap().iter();
        rows.find(|row| row["task_id"] == "promote_model").unwrap()["state"].clone()
    };
    assert_eq!(
        (promoted(&first), promoted(&rejected)),
        (json!("success"), json!("skipped"))
    );

    house.answered("third", "2026-01-19", "--approve");
    assert_eq!(house.stages(NAME), ["Archived", "Staging", "Production"]);

    // Two people roll the same version back: one step.
    let conf = json!({"model_name": NAME, "from_version": 3}).to_string();
    for run_id in ["rollback_1", "rollback_2"] {
        house.begin("model_rollback", run_id, &["--conf", &conf]);
        house.ended("model_rollback", run_id);
        assert_eq!(house.stages(NAME), ["Production", "Staging", "Archived"]);
    }
    let model = house.model(NAME);
    assert_eq!(model["model"]["aliases"]["champion"], 1);
    let place = house.place("models/production/registry_workflow.airlock");
    assert_eq!(model["versions"][0]["version"]["artifact"], sha256(&place));
    assert!(service.stop().success());
}

#[test]
fn promotions_at_the_same_moment_leave_one_champion_with_its_alias() {
    let house = House::new();
    let rounds: Vec<Value> = (1..=6)
        .map(|count| json!({"n_estimators": count}))
        .collect();
    let dag = json!({
        "dag_id": "raced",
        "grants": {
            "storage": ["file://./"], "tracking": ["raced"], "models": ["raced"], "training": {"threads": 1, "memory": "256MiB"},
        },
        "tasks": [
            {"task_id": "extract", "operator": "churn_data", "config": {"uri": "file://./raw.parquet", "rows": 500, "date": "2026-01-05"}},
            {"task_id": "preprocess", "operator": "features", "depends_on": ["extract"],
                "config": {"input": "file://./raw.parquet", "output": "file://./features.parquet", "date": "2026-01-05"}},
            {"task_id": "train", "operator": "train.gbdt", "depends_on": ["preprocess"], "expand": {"params": rounds},
                "config": {"features": "file://./features.parquet", "experiment": "raced", "run_name": "raced", "model_name": "raced"}},
            {"task_id": "promote", "operator": "deploy.promote", "depends_on": ["train"], "config": {"model_name": "raced"},
                "expand": {"version": "{{ xcom_pull('train') | map(attribute='model_version') | list }}"}},
        ],
    });
    let path = house.airlock.file("raced.yaml", &dag.to_string());
    let done = house.run(&["dags", "test", path.to_str().unwrap()]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let model = house.model("raced");
    let versions = model["versions"].as_array().unwrap();
    let in_use: Vec<&Value> = versions
        .iter()
        .map(|detail| &detail["version"])
        .filter(|version| version["stage"] == "Production")
        .collect();
    assert_eq!((versions.len(), in_use.len()), (6, 1), "{model}");
    assert_eq!(model["model"]["aliases"]["champion"], in_use[0]["version"]);
    let promotions = model["model"]["promotions"].as_array().unwrap();
    assert_eq!(promotions.len(), 6, "each was in Production for a while");
}
