//! The JSON Schema against the parser: every file that the parser takes, the schema takes too, and both know the
//! same keys.

use super::diagnostic::Sink;
use super::{FILE_SCHEMA, parse, read_dag, read_group, read_task, yaml};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn schema() -> Value {
    serde_json::from_str(FILE_SCHEMA).unwrap()
}

fn json(text: &str) -> Value {
    match yaml::load(text, &mut Sink::new()) {
        yaml::Loaded::Whole(root) => root.to_json(),
        _ => panic!("not one YAML document:\n{text}"),
    }
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            out.push(path);
        }
    }
}

#[test]
fn the_schema_accepts_every_dag_file_that_the_parser_accepts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    files(&root.join("tests/dag"), &mut paths);
    files(&root.join("../../examples"), &mut paths);
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let mut accepted = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        if parse(&text).dag.is_some() {
            let dag = json(&text);
            let reasons: Vec<String> = validator
                .iter_errors(&dag)
                .map(|error| format!("{error} at {}", error.instance_path()))
                .collect();
            assert_eq!(reasons, Vec::<String>::new(), "{}", path.display());
            accepted += 1;
        }
    }
    assert!(accepted >= 5, "only {accepted} files were compared");
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let schema = schema();
    let keys = |pointer: &str| -> BTreeSet<String> {
        let members = schema.pointer(pointer).unwrap().as_object().unwrap();
        members.keys().cloned().collect()
    };
    let known =
        |list: &[&str]| -> BTreeSet<String> { list.iter().map(|key| (*key).to_owned()).collect() };
    assert_eq!(keys("/properties"), known(&read_dag::KEYS));
    assert_eq!(keys("/$defs/task/properties"), known(&read_task::KEYS));
    assert_eq!(
        keys("/$defs/task_group/properties"),
        known(&read_group::KEYS)
    );
    let mut defaults = known(&read_task::KEYS);
    for key in read_task::NO_DEFAULT {
        assert!(defaults.remove(key), "{key}");
    }
    assert_eq!(keys("/$defs/default_args/properties"), defaults);
}
