//! Against the fake host.

use super::*;
use airlock_sdk::models::Stage;
use airlock_sdk::testing::Host;

/// A challenger's run with its metric, evaluated.
fn decide(host: &Host, auc: f64) -> Value {
    let run_id = host.put_run("weekly", "churn_new", "val_auc", auc);
    evaluated(host, &run_id, auc)
}

fn evaluated(host: &Host, run_id: &str, auc: f64) -> Value {
    let config = json!({
        "model_name": "churn",
        "challenger": {"run_id": run_id, "val_auc": auc, "model_version": 7},
    });
    match host.run::<evaluate>(config) {
        Ok(Outcome::Success(value)) => value,
        other => panic!("expected a value, got {other:?}"),
    }
}

fn with_champion(auc: f64) -> Host {
    let host = Host::new();
    let run_id = host.put_run("weekly", "churn_old", "val_auc", auc);
    host.put_version("churn", Stage::Production, &run_id);
    host
}

/// A tag and a metric of a run, as they are kept.
fn kept(host: &Host, run_id: &str, tag: &str, metric: &str) -> (Option<String>, Option<f64>) {
    let runs = host.runs();
    let run = runs.iter().find(|run| run.run_id == run_id).unwrap();
    let tag = run.tags.iter().find(|(key, _)| key == tag);
    let metric = run.metrics.iter().find(|there| there.key == metric);
    (
        tag.map(|(_, value)| value.clone()),
        metric.map(|there| there.value),
    )
}

#[test]
fn m8_the_first_model_is_deployed() {
    let host = Host::new();
    let evaluation = decide(&host, 0.81);
    assert_eq!(evaluation["reason"], "no_champion_exists");
    assert_eq!(evaluation["should_deploy"], true);
    assert_eq!(evaluation["champion_auc"], 0.0);
    assert_eq!(evaluation["improvement"], 0.81);
    assert_eq!(evaluation["model_version"], 7);
    assert_eq!(host.pushed("evaluation"), Some(evaluation));
}

#[test]
fn m8_the_margin_decides() {
    let host = with_champion(0.5);
    let above = decide(&host, 0.75);
    assert_eq!(above["reason"], "improvement_above_threshold");
    assert_eq!(above["improvement"], 0.25);
    assert_eq!(above["champion_version"], 1);
    let below = decide(&host, 0.504);
    assert_eq!(below["should_deploy"], false);
    assert_eq!(below["reason"], "improvement_below_threshold");
    assert_eq!(decide(&host, 0.4)["should_deploy"], false);
}

#[test]
fn m8_the_reason_is_kept_with_the_challengers_run() {
    let host = with_champion(0.5);
    let run_id = host.put_run("weekly", "churn_new", "val_auc", 0.4);
    evaluated(&host, &run_id, 0.4);
    let reason = kept(&host, &run_id, "evaluation.reason", "champion_val_auc");
    let expected = (Some("improvement_below_threshold".to_owned()), Some(0.5));
    assert_eq!(reason, expected);
    let decision = kept(&host, &run_id, "evaluation.should_deploy", "improvement");
    assert_eq!(decision.0, Some("false".to_owned()));
    assert!((decision.1.unwrap() + 0.1).abs() < 1e-12);
}

#[test]
fn a_repeated_run_deploys_itself_again_and_keeps_its_reason() {
    let host = Host::new();
    let first = decide(&host, 0.8);
    let run_id = first["run_id"].as_str().unwrap();
    host.put_version("churn", Stage::Production, run_id);
    let evaluation = evaluated(&host, run_id, 0.8);
    assert_eq!(evaluation["reason"], "already_in_production");
    assert_eq!(evaluation["should_deploy"], true);
    let reason = kept(&host, run_id, "evaluation.reason", "champion_val_auc");
    assert_eq!(reason, (Some("no_champion_exists".to_owned()), Some(0.0)));
}

#[test]
fn a_threshold_fails_for_good_after_its_metric_was_pushed() {
    let run = |host: &Host, accuracy: f64, bounds: Value| {
        let mut config =
            json!({"result": {"val_accuracy": accuracy, "run_id": "r"}, "metric": "val_accuracy"});
        for (key, value) in bounds.as_object().unwrap() {
            config[key] = value.clone();
        }
        host.run::<threshold>(config)
    };
    let host = Host::new();
    let passed = run(&host, 0.8, json!({"min": 0.8, "max": 1.0})).unwrap();
    assert!(matches!(passed, Outcome::Success(value) if value["run_id"] == "r"));
    for (bounds, told) in [
        (json!({"min": 0.9}), "below the threshold 0.9"),
        (json!({"max": 0.7}), "above the threshold 0.7"),
    ] {
        let host = Host::new();
        let failed = run(&host, 0.8, bounds);
        assert!(
            matches!(&failed, Err(TaskError::Permanent(text)) if text.contains(told)),
            "{failed:?}"
        );
        assert_eq!(host.pushed("metrics"), Some(json!({"val_accuracy": 0.8})));
    }
    for (bounds, field) in [(json!({}), "min"), (json!({"min": "high"}), "min")] {
        let wrong = run(&host, 0.8, bounds);
        assert!(
            matches!(&wrong, Err(TaskError::InvalidInput { field: named, .. }) if named == field),
            "{wrong:?}"
        );
    }
}

#[test]
fn json_text_is_taken_and_nonsense_is_named() {
    let host = Host::new();
    let run_id = host.put_run("weekly", "churn_new", "val_auc", 0.7);
    let run = |challenger: Value| {
        host.run::<evaluate>(json!({"model_name": "churn", "challenger": challenger}))
    };
    let text = json!({"run_id": run_id, "val_auc": 0.7}).to_string();
    assert!(run(json!(text)).is_ok());
    for wrong in [
        json!("x"),
        json!(3),
        json!({"run_id": "r"}),
        json!({"val_auc": 0.7}),
    ] {
        let ended = run(wrong);
        assert!(
            matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == "challenger"),
            "{ended:?}"
        );
    }
}

#[test]
fn the_best_is_selected() {
    let host = Host::new();
    let results =
        json!([{"val_auc": 0.7, "n": 1}, null, {"val_auc": 0.9, "n": 2}, {"val_auc": 0.9, "n": 3}]);
    let run =
        |minimize: bool| host.run::<select_best>(json!({"results": results, "minimize": minimize}));
    assert_eq!(
        run(false),
        Ok(Outcome::Success(json!({"val_auc": 0.9, "n": 2})))
    );
    assert_eq!(
        run(true),
        Ok(Outcome::Success(json!({"val_auc": 0.7, "n": 1})))
    );
    assert!(host.run::<select_best>(json!({"results": []})).is_err());
}
