//! Every file of `examples/` as a person would run it: through the program, on data that the example makes.

mod churn;
mod pipelines;
mod registry;
mod repeats;

use airlock_tests::{Airlock, Done, root};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// A data folder with the pool that the trainings ask for, and a folder for `file://./`.
struct House {
    airlock: Airlock,
}

impl House {
    fn new() -> Self {
        let airlock = Airlock::new();
        std::fs::create_dir(airlock.folder().join("files")).unwrap();
        airlock.ok(&["pools", "set", "gpu", "1"]);
        Self { airlock }
    }

    /// A place below `file://./`.
    fn place(&self, path: &str) -> PathBuf {
        self.airlock.folder().join("files").join(path)
    }

    /// Runs a command on the data folder and the folder for files.
    fn run(&self, arguments: &[&str]) -> Done {
        let files = self.place("");
        let files = files.to_str().unwrap();
        self.airlock
            .run(&[arguments, &["--storage-root", files]].concat())
    }

    /// One run of an example to its end.
    fn test(&self, example: &str, date: &str, conf: &Value) -> Run {
        let file = example_file(example);
        let conf = conf.to_string();
        let arguments = ["dags", "test", &file, "--logical-date", date];
        let done = self.run(&[&arguments[..], &["--conf", &conf, "--json"]].concat());
        let summary = done.json();
        assert!(summary.is_object(), "{example}: {}", done.stderr);
        Run {
            shown: self.shown(
                summary["dag_id"].as_str().unwrap(),
                summary["run_id"].as_str().unwrap(),
            ),
            code: done.code,
        }
    }

    fn shown(&self, dag_id: &str, run_id: &str) -> Value {
        self.airlock
            .ok(&["runs", "show", dag_id, run_id, "--json"])
            .json()
    }

    /// A registered model with its versions, their runs and its history.
    fn model(&self, name: &str) -> Value {
        self.airlock.ok(&["models", "show", name, "--json"]).json()
    }

    /// The stage of each version, oldest first.
    fn stages(&self, name: &str) -> Vec<String> {
        let model = self.model(name);
        let versions = model["versions"].as_array().unwrap();
        let stage = |version: &Value| version["version"]["stage"].as_str().unwrap().to_owned();
        versions.iter().map(stage).collect()
    }
}

/// A run that has ended, as `runs show` has it.
struct Run {
    shown: Value,
    code: i32,
}

impl Run {
    /// The states of a task's instances, in the order of their map indexes.
    fn states(&self, task_id: &str) -> Vec<&str> {
        let rows = self.shown["task_instances"].as_array().unwrap().iter();
        let of_task = rows.filter(|row| row["task_id"] == task_id);
        of_task.map(|row| row["state"].as_str().unwrap()).collect()
    }

    fn instance(&self, task_id: &str) -> &Value {
        let mut rows = self.shown["task_instances"].as_array().unwrap().iter();
        rows.find(|row| row["task_id"] == task_id).unwrap()
    }

    /// What the instances of a task returned.
    fn values(&self, task_id: &str) -> Vec<&Value> {
        let rows = self.shown["xcoms"].as_array().unwrap().iter();
        let returned = rows.filter(|row| row["task_id"] == task_id && row["key"] == "return_value");
        returned.map(|row| &row["value"]).collect()
    }

    fn value(&self, task_id: &str) -> &Value {
        self.values(task_id)
            .first()
            .unwrap_or_else(|| panic!("{task_id} returned nothing: {}", self.shown))
    }

    /// # Panics
    /// If the run did not end well.
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.shown);
        assert_eq!(self.shown["state"], "success", "{}", self.shown);
        self
    }
}

fn example_file(name: &str) -> String {
    let path = root().join("examples").join(name);
    path.to_str().unwrap().to_owned()
}

/// SHA-256 of a file in hex, by the system's own program.
fn sha256(path: &std::path::Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// A number of an object.
fn number(of: &Value, key: &str) -> f64 {
    of[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {key} in {of}"))
}
