//! Nothing is made twice: a second run of a date, a cleared task and a backfill find what is there.

use crate::churn::{MODEL, WEEKLY};
use crate::{House, example_file, sha256};
use airlock_tests::Service;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a pipeline leaves behind: each version with its artifact and its run, and each file with its bytes.
#[derive(Debug, PartialEq)]
struct Left {
    versions: Vec<(Value, Value)>,
    /// Tracking runs that were ever made.
    runs_made: usize,
    /// Versions that were ever registered.
    versions_made: Value,
    files: BTreeMap<String, String>,
}

impl House {
    fn left(&self) -> Left {
        let model = self.model(MODEL);
        let versions = model["versions"].as_array().unwrap().iter();
        let of = |detail: &Value| {
            let (version, run) = (&detail["version"], &detail["run"]);
            let named =
                json!({"run_id": run["run_id"], "name": run["name"], "status": run["status"]});
            (version["artifact"].clone(), named)
        };
        let mut files = BTreeMap::new();
        digests(&self.place(""), &mut files);
        Left {
            versions: versions.map(of).collect(),
            runs_made: self.trail().matches("\"run.create\"").count(),
            versions_made: model["model"]["latest_version"].clone(),
            files,
        }
    }

    /// Everything that is in the store, the audit trail among it, as one text.
    fn trail(&self) -> String {
        let path = self.airlock.folder().join("export");
        let _ = std::fs::remove_file(&path);
        self.airlock.ok(&["db", "export", path.to_str().unwrap()]);
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }

    /// A service on the churn DAGs, whose schedules ended long ago: nothing runs but what is asked for.
    fn serve_churn(&self) -> Service {
        let folder = self.airlock.folder().join("dags");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["daily_feature_engineering", "weekly_churn_model_training"] {
            let file = example_file(&format!("churn/{name}.yaml"));
            let text = std::fs::read_to_string(file).unwrap();
            let bounded = text.replace("catchup: false", "catchup: false\nend_date: 2026-02-01");
            assert_ne!(text, bounded);
            std::fs::write(folder.join(format!("{name}.yaml")), bounded).unwrap();
        }
        let files = self.place("");
        let files = files.to_str().unwrap();
        self.airlock.serve_with(&["--storage-root", files])
    }

    /// A backfill to its end, one run at a time.
    fn backfill(&self, dag_id: &str, (from, to): (&str, &str), conf: &Value, runs: u64) {
        let conf = conf.to_string();
        let arguments = [
            "backfill",
            "create",
            "--dag-id",
            dag_id,
            "--from-date",
            from,
        ];
        let more = [
            "--to-date",
            to,
            "--max-active-runs",
            "1",
            "--dag-run-conf",
            &conf,
        ];
        let again = ["--reprocess-behavior", "completed", "--json"];
        let made = self.airlock.ok(&[&arguments[..], &more, &again].concat());
        let id = made.json()["id"].clone();
        let listed = self.airlock.until(&["backfill", "list"], |rows| {
            let mut rows = rows.as_array().unwrap().iter();
            rows.any(|row| row["id"] == id && row["state"] == "completed")
        });
        let mut rows = listed.as_array().unwrap().iter();
        let row = rows.find(|row| row["id"] == id).unwrap();
        assert_eq!(row["counts"]["success"], runs, "{row}");
    }
}

/// SHA-256 of every file below a folder, by its path.
fn digests(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            digests(&path, found);
        } else {
            found.insert(path.display().to_string(), sha256(&path));
        }
    }
}

const MONDAY: &str = "2026-01-05T02:00:00Z";

#[test]
fn m12_a_second_run_and_a_cleared_task_make_nothing_twice() {
    let house = House::new();
    let run = house.week(MONDAY, &json!({"signal": 1.3})).ok();
    let once = house.left();
    assert_eq!(
        (once.runs_made, &once.versions_made),
        (1, &json!(1)),
        "{once:?}"
    );
    assert_eq!(once.versions[0].1["name"], "churn_2026-01-05");
    let run_id = run.shown["run_id"].as_str().unwrap();

    // Another run of the same date is refused.
    let file = example_file("churn/weekly_churn_model_training.yaml");
    let arguments = ["dags", "trigger", &file, "--logical-date", MONDAY];
    let second = house.run(&[&arguments[..], &["--run-id", "another"]].concat());
    assert_eq!(second.code, 7, "{}{}", second.stdout, second.stderr);
    assert_eq!(house.left(), once);

    // Cleared: one task, then one with all below it, then everything.
    let clears: [&[&str]; 3] = [&["train_model"], &["train_model", "--downstream"], &[]];
    for tasks in clears {
        let clear = ["tasks", "clear", WEEKLY, run_id];
        house.airlock.ok(&[&clear, tasks, &["--yes"]].concat());
        let resumed = house.run(&["runs", "resume"]);
        assert_eq!(resumed.code, 0, "{}{}", resumed.stdout, resumed.stderr);
        let again = house.shown(WEEKLY, run_id);
        assert_eq!(again["state"], "success", "{again}");
        assert_eq!(house.left(), once, "{tasks:?}");
        assert_eq!(house.stages(MODEL), ["Production"]);
    }
    let reason = &house.model(MODEL)["versions"][0]["run"]["tags"]["evaluation.reason"];
    assert_eq!(
        reason, "no_champion_exists",
        "the reason that brought it there"
    );
}

#[test]
fn m13_a_backfill_makes_each_date_once_and_a_second_one_nothing_more() {
    let house = House::new();
    let _service = house.serve_churn();
    let dates = ["2026-01-05", "2026-01-12"];
    let (daily, weekly) = (
        json!({"rows": 4000}),
        json!({"min_rows": 3000, "n_estimators": 40}),
    );
    for date in dates {
        let day = (&*format!("{date}T02:00:00Z"), &*format!("{date}T02:00:00Z"));
        house.backfill("daily_feature_engineering", day, &daily, 1);
    }
    let span = ("2026-01-05T00:00:00Z", "2026-01-13T00:00:00Z");
    house.backfill(WEEKLY, span, &weekly, 2);
    let once = house.left();
    assert_eq!(
        (once.runs_made, &once.versions_made),
        (2, &json!(2)),
        "{once:?}"
    );
    for (date, (_, run)) in dates.iter().zip(&once.versions) {
        assert_eq!(run["name"], format!("churn_{date}"));
        let of_date = once
            .files
            .keys()
            .filter(|path| path.contains(&format!("date={date}/")));
        assert_eq!(
            of_date.count(),
            4,
            "events and features, of both sets: {once:?}"
        );
    }
    house.backfill(WEEKLY, span, &weekly, 2);
    assert_eq!(house.left(), once);
}

#[test]
fn m11_the_next_week_leaves_what_the_week_before_made() {
    let house = House::new();
    house.week(MONDAY, &json!({"signal": 0.8})).ok();
    let before = house.left();
    house
        .week("2026-01-12T02:00:00Z", &json!({"signal": 1.3}))
        .ok();
    let after = house.left();
    assert_eq!(after.versions[0], before.versions[0]);
    assert_ne!(after.versions[1].0, before.versions[0].0);
    for (path, digest) in &before.files {
        assert!(path.contains("date=2026-01-05/"), "{path}");
        assert_eq!(after.files.get(path), Some(digest), "{path}");
    }
    assert_eq!(after.files.len(), 2 * before.files.len());
}

#[test]
fn m19_a_second_retraining_waits_until_the_first_has_ended() {
    let house = House::new();
    let _service = house.serve_churn();
    for (run_id, date) in [("first", MONDAY), ("second", "2026-01-12T02:00:00Z")] {
        let trigger = ["dags", "trigger", WEEKLY, "--no-wait", "--run-id", run_id];
        let dated = ["--logical-date", date];
        house.airlock.ok(&[&trigger[..], &dated].concat());
    }
    let airlock = &house.airlock;
    // No daily run is there: the first waits in its sensor, and the second waits for the first.
    airlock.until(&["runs", "show", WEEKLY, "first"], |run| {
        let mut rows = run["task_instances"].as_array().unwrap().iter();
        rows.any(|row| row["state"] == "up_for_reschedule")
    });
    assert_eq!(house.shown(WEEKLY, "second")["state"], "queued");
    airlock.ok(&["runs", "cancel", WEEKLY, "first"]);
    airlock.until(&["runs", "show", WEEKLY, "second"], |run| {
        run["state"] == "running"
    });
}

#[test]
fn m21_a_sensor_that_waits_holds_no_slot() {
    let house = House::new();
    let waits = json!({
        "task_id": "waits", "operator": "sensors.file", "config": {"filepath": "file://./data/there"}, "pool": "gpu",
        "mode": "reschedule", "poke_interval": 1, "grants": {"storage_read": ["file://./data/"]},
    });
    let works = |task_id: &str| json!({"task_id": task_id, "operator": "probe", "pool": "gpu", "priority_weight": 1});
    let mut first = waits.clone();
    first["priority_weight"] = json!(100);
    house.airlock.dag_file(&json!({
        "dag_id": "waiting", "grants": {"storage_read": ["file://./data/"]}, "tasks": [first, works("one"), works("two")],
    }));
    std::fs::create_dir_all(house.place("data")).unwrap();
    let files = house.place("");
    let _service = house
        .airlock
        .serve_with(&["--storage-root", files.to_str().unwrap()]);
    let trigger = ["dags", "trigger", "waiting", "--no-wait", "--run-id", "one"];
    house.airlock.ok(&trigger);
    let show = ["runs", "show", "waiting", "one"];
    let run = house.airlock.until(&show, |run| {
        let rows = run["task_instances"].as_array().unwrap();
        rows.iter().filter(|row| row["state"] == "success").count() == 2
    });
    assert_eq!(
        run["state"], "running",
        "the pool's only slot was free for both"
    );
    std::fs::write(house.place("data/there"), "now").unwrap();
    house.airlock.until(&show, |run| run["state"] == "success");
}
