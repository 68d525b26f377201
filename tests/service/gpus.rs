//! GPUs as a resource. The cards are only listed: no driver is asked.

use super::{begin, instance, probe, until_run};
use airlock_tests::Airlock;
use serde_json::{Value, json};

/// A machine with one H100 and two A100, and pools of kind gpu.
fn machine() -> Airlock {
    let airlock = Airlock::new();
    let card = |uuid: &str, name: &str, gib: u64, compute: [u8; 2]| json!({"uuid": uuid, "name": name, "memory": gib << 30, "compute": compute});
    let cards = json!([
        card("GPU-0", "NVIDIA A100-SXM4-40GB", 40, [8, 0]),
        card("GPU-1", "NVIDIA A100-SXM4-40GB", 40, [8, 0]),
        card("GPU-2", "NVIDIA H100 80GB HBM3", 80, [9, 0]),
    ]);
    airlock.file("gpus.json", &cards.to_string());
    airlock.file("airlock.toml", "gpu_list = \"gpus.json\"\n");
    airlock
}

fn holds(task_id: &str, pool: &str, gpu: &Value) -> Value {
    let mut task = probe(task_id, &json!({"sleep": "1h"}), &[]);
    task["pool"] = json!(pool);
    task["gpu"] = gpu.clone();
    task
}

#[test]
fn m4_a_task_waits_for_a_card_that_fits_and_the_commands_say_who_holds_it() {
    let airlock = machine();
    airlock.dag_file(&json!({"dag_id": "training", "tasks": [
        holds("first", "gpu", &json!({"name": "h100"})),
        holds("second", "gpu", &json!({"min_memory": "64GiB"})),
        holds("third", "gpu", &json!({"share": 0.5})),
    ]}));
    let _service = airlock.serve();
    airlock.ok(&["pools", "set", "gpu", "-1", "--kind", "gpu"]);
    begin(&airlock, "training", "one", &[]);
    let run = airlock.until(&["runs", "show", "training", "one"], |run| {
        let state = |task_id| &instance(run, task_id)["state"];
        state("third") == "running" && state("first") != state("second")
    });
    let (running, waiting) = if instance(&run, "first")["state"] == "running" {
        ("first", "second")
    } else {
        ("second", "first")
    };
    let gpus = airlock.ok(&["gpus", "--json"]).json();
    assert_eq!(
        gpus[2]["holders"],
        json!([format!("training/one/{running}")]),
        "{gpus}"
    );
    assert_eq!(
        (&gpus[2]["taken"], &gpus[0]["taken"]),
        (&json!(1_000), &json!(500))
    );
    let deps = airlock.ok(&["tasks", "failed-deps", "training", "one", waiting]);
    assert!(deps.stdout.contains("GPU Available"), "{}", deps.stdout);
    let table = airlock.ok(&["gpus"]).stdout;
    assert!(
        table.contains("NVIDIA H100 80GB HBM3") && table.contains("80 GiB"),
        "{table}"
    );
    airlock.ok(&["runs", "cancel", "training", "one"]);
    until_run(&airlock, "training", "one", "failed");
}

#[test]
fn a_wish_that_no_card_can_meet_is_refused_before_there_is_a_run() {
    let airlock = machine();
    let dag = |gpu: Value| json!({"dag_id": "training", "tasks": [holds("fit", "a100", &gpu)]});
    airlock.ok(&[
        "pools",
        "set",
        "a100",
        "-1",
        "--kind",
        "gpu",
        "--gpu-name",
        "A100",
    ]);
    for (gpu, there) in [
        (
            json!({"count": 3}),
            "wants 3 GPUs; pool a100 has NVIDIA A100-SXM4-40GB",
        ),
        (json!({"name": "H100"}), "wants 1 GPU named \"H100\""),
        (
            json!({"min_compute": "9.0"}),
            "with compute capability 9.0 or later",
        ),
    ] {
        let file = airlock.file("training.yaml", &dag(gpu).to_string());
        let refused = airlock.run(&["dags", "trigger", file.to_str().unwrap()]);
        assert_eq!(refused.code, 7, "{}", refused.stderr);
        assert!(refused.stderr.contains(there), "{}", refused.stderr);
    }
    airlock.ok(&["pools", "set", "a100", "-1"]);
    let file = airlock.file("training.yaml", &dag(json!(true)).to_string());
    let refused = airlock.run(&["dags", "trigger", file.to_str().unwrap()]);
    assert!(
        refused.stderr.contains("is not of kind gpu"),
        "{}",
        refused.stderr
    );
}
