//! The weekly retraining: what is deployed, what is not, and what is told.

use crate::{House, Run, example_file, number};
use serde_json::{Value, json};

pub(crate) const MODEL: &str = "churn_prediction";
pub(crate) const WEEKLY: &str = "weekly_churn_model_training";

impl House {
    /// The daily run of a date and then the weekly one, with fewer rows and rounds than the example has.
    pub(crate) fn week(&self, date: &str, events: &Value) -> Run {
        let mut conf = json!({"rows": 4000});
        for (key, value) in events.as_object().unwrap() {
            conf[key] = value.clone();
        }
        self.triggered("churn/daily_feature_engineering.yaml", date, &conf)
            .ok();
        let conf = json!({"min_rows": 3000, "n_estimators": 40});
        self.triggered("churn/weekly_churn_model_training.yaml", date, &conf)
    }

    /// A run of an example, recorded and carried out here.
    pub(crate) fn triggered(&self, example: &str, date: &str, conf: &Value) -> Run {
        let (file, conf) = (example_file(example), conf.to_string());
        let arguments = ["dags", "trigger", &file, "--logical-date", date];
        let done = self.run(&[&arguments[..], &["--conf", &conf, "--json"]].concat());
        let summary = done.json();
        assert!(
            summary.is_object(),
            "{example}: {}{}",
            done.stdout,
            done.stderr
        );
        let text = |key: &str| summary[key].as_str().unwrap().to_owned();
        Run {
            shown: self.shown(&text("dag_id"), &text("run_id")),
            code: done.code,
        }
    }
}

#[test]
fn m8_only_what_beats_the_champion_is_deployed_and_every_week_says_why() {
    let house = House::new();
    let first = house
        .week("2026-01-05T02:00:00Z", &json!({"signal": 0.8}))
        .ok();
    assert_eq!(first.value("evaluate")["reason"], "no_champion_exists");
    assert_eq!(house.stages(MODEL), ["Production"]);

    let better = house
        .week("2026-01-12T02:00:00Z", &json!({"signal": 2.0}))
        .ok();
    let evaluation = better.value("evaluate");
    assert_eq!(evaluation["reason"], "improvement_above_threshold");
    assert_eq!(
        evaluation["champion_auc"],
        first.value("evaluate")["challenger_auc"]
    );
    assert!(number(better.value("shadow_evaluate"), "shadow_auc") > 0.8);
    assert_eq!(house.stages(MODEL), ["Archived", "Production"]);

    let worse = house
        .week(
            "2026-01-19T02:00:00Z",
            &json!({"signal": 2.0, "label_noise": 0.2}),
        )
        .ok();
    assert_eq!(worse.states("deploy"), ["skipped"]);
    let told = worse.value("log_no_deployment").as_str().unwrap();
    assert!(told.contains("0.005 is needed"), "{told}");
    assert_eq!(house.stages(MODEL), ["Archived", "Production", "Staging"]);
    // The reason is with the version's run, for whoever asks later.
    let kept = &house.model(MODEL)["versions"][2]["run"]["tags"];
    assert_eq!(kept["evaluation.reason"], "improvement_below_threshold");
    assert_eq!(kept["evaluation.champion_version"], "2");

    let summaries = [first, better, worse].map(|run| run.value("pipeline_summary").clone());
    for (summary, decision) in summaries.iter().zip(["DEPLOYED", "DEPLOYED", "SKIPPED"]) {
        let summary = summary.as_str().unwrap();
        assert!(
            summary.contains(&format!("Decision: {decision}")),
            "{summary}"
        );
    }
}

#[test]
fn m9_a_challenger_that_fails_on_the_shadow_set_is_not_deployed() {
    let house = House::new();
    house
        .week("2026-01-05T02:00:00Z", &json!({"signal": 2.0}))
        .ok();
    // The champion is good already: whatever the validation rows say, this asks for more on the shadow set than there can be.
    let date = "2026-01-12T02:00:00Z";
    house
        .triggered(
            "churn/daily_feature_engineering.yaml",
            date,
            &json!({"rows": 4000, "signal": 2.0}),
        )
        .ok();
    let file =
        std::fs::read_to_string(example_file("churn/weekly_churn_model_training.yaml")).unwrap();
    let strict = file.replace("margin: \"{{ -params.max_shadow_loss }}\"", "margin: 0.5");
    assert_ne!(file, strict);
    let path = house.airlock.file("strict.yaml", &strict);
    let conf = json!({"min_rows": 3000, "n_estimators": 40, "min_improvement": -1}).to_string();
    let arguments = [
        "dags",
        "trigger",
        path.to_str().unwrap(),
        "--logical-date",
        date,
    ];
    let done = house.run(&[&arguments[..], &["--conf", &conf]].concat());
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let run = Run {
        shown: house.shown(WEEKLY, "latest"),
        code: 0,
    };
    assert_eq!(run.value("evaluate")["should_deploy"], true);
    let shadow = run.value("shadow_evaluate");
    assert_eq!(shadow["reason"], "shadow_improvement_below_threshold");
    assert_eq!(run.states("deploy"), ["skipped"]);
    assert_eq!(house.stages(MODEL), ["Production", "Staging"]);
    let kept = &house.model(MODEL)["versions"][1]["run"];
    assert_eq!(kept["tags"]["shadow.passed"], "false");
    assert_eq!(kept["name"], "churn_2026-01-12");
}

#[test]
fn a_closed_gate_skips_the_rest_keeps_the_champion_and_is_told() {
    let house = House::new();
    let spoiled = json!({"corrupt": "nulls", "corrupt_fraction": 0.3});
    let run = house.week("2026-01-05T02:00:00Z", &spoiled).ok();
    for task_id in [
        "train_model",
        "shadow_features",
        "evaluate",
        "deploy",
        "pipeline_summary",
    ] {
        assert_eq!(run.states(task_id), ["skipped"], "{task_id}");
    }
    let model = house.airlock.run(&["models", "show", MODEL]);
    assert_eq!(model.code, 3, "nothing was registered");
    let run_id = run.shown["run_id"].as_str().unwrap();
    let logs = ["runs", "logs", WEEKLY, run_id, "validate_data"];
    let log = house.airlock.ok(&logs).stdout;
    assert!(log.contains("GATE CLOSED, [max_null_rate]"), "{log}");
}

#[test]
fn m18_a_run_that_fails_before_its_summary_is_told() {
    let house = House::new();
    let date = "2026-01-05T02:00:00Z";
    let daily = "churn/daily_feature_engineering.yaml";
    house.triggered(daily, date, &json!({"rows": 4000})).ok();
    let conf = json!({"min_rows": 3000, "learning_rate": 0});
    let run = house.triggered("churn/weekly_churn_model_training.yaml", date, &conf);
    assert_eq!(run.code, 10);
    assert_eq!(run.states("train_model"), ["failed"]);
    assert_eq!(run.states("pipeline_summary"), ["upstream_failed"]);
    let run_id = run.shown["run_id"].as_str().unwrap();
    let log = house.airlock.ok(&["runs", "logs", WEEKLY, run_id]).stdout;
    let told = format!("{WEEKLY} of 2026-01-05 failed: task_failure");
    assert!(log.contains(&told), "{log}");
}
