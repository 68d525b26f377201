//! Compares a challenger with the champion, and picks the best of several results. It refuses to deploy anything.

use airlock_sdk::models::{self, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::{tracking, xcom};
use serde_json::Map;

/// Whom to compare, and by how much the challenger must win.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Evaluate {
    /// The registered model whose Production version is the champion.
    model_name: String,
    /// What the training task returned: an object (or its JSON text) with `run_id` and the metric.
    challenger: Value,
    /// The metric to compare; more is better.
    #[serde(default = "metric_default")]
    metric: String,
    /// The improvement from which on the challenger is deployed.
    #[serde(default = "margin_default")]
    margin: f64,
}

fn metric_default() -> String {
    "val_auc".into()
}

fn margin_default() -> f64 {
    0.005
}

/// Decides whether the challenger beats the champion by the margin.
#[operator]
fn evaluate(config: Evaluate) -> Result<Value, TaskError> {
    let challenger = object("challenger", config.challenger)?;
    let challenger_auc = number("challenger", &challenger, &config.metric)?;
    let run_id = challenger
        .get("run_id")
        .and_then(Value::as_str)
        .ok_or_else(|| TaskError::invalid("challenger", "needs a text `run_id`"))?
        .to_owned();
    let mut evaluation = challenger;
    let mut set = |key: &str, value: Value| evaluation.insert(key.to_owned(), value);
    set("challenger_auc", json!(challenger_auc));
    set("challenger_run_id", json!(run_id));

    let champion = models::latest(&config.model_name, Stage::Production)?;
    let (champion_auc, should_deploy, reason) = match &champion {
        None => (0.0, true, "no_champion_exists"),
        // A repeated run of a challenger that was deployed: deploying it again changes nothing.
        Some(champion) if champion.run_id == run_id => {
            (challenger_auc, true, "already_in_production")
        }
        Some(champion) => {
            let champion_auc = logged(&champion.run_id, &config.metric)?;
            if challenger_auc - champion_auc >= config.margin {
                (champion_auc, true, "improvement_above_threshold")
            } else {
                (champion_auc, false, "improvement_below_threshold")
            }
        }
    };
    let improvement = challenger_auc - champion_auc;
    set("champion_auc", json!(champion_auc));
    set(
        "champion_version",
        json!(champion.map(|version| version.version)),
    );
    set("improvement", json!(improvement));
    set("should_deploy", json!(should_deploy));
    set("reason", json!(reason));

    info!("Champion {}: {champion_auc:.4}", config.metric);
    info!("Challenger {}: {challenger_auc:.4}", config.metric);
    info!(
        "Improvement: {improvement:+.4} (needed {:+.4})",
        config.margin
    );
    info!("Deploy: {should_deploy} ({reason})");
    xcom::push("evaluation", &evaluation)?;
    Ok(Value::Object(evaluation))
}

/// The metric of a champion; one that was never logged counts as 0, so that a challenger can replace it.
fn logged(run_id: &str, metric: &str) -> Result<f64, TaskError> {
    let run = tracking::get_run(run_id)?;
    let found = run.metrics.iter().find(|there| there.key == metric);
    Ok(found.map_or_else(
        || {
            warn!("The champion's run {run_id} has no metric `{metric}`: counted as 0");
            0.0
        },
        |found| found.value,
    ))
}

fn object(field: &str, value: Value) -> Result<Map<String, Value>, TaskError> {
    match value {
        Value::Object(members) => Ok(members),
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| TaskError::invalid(field, format!("is no JSON object: {error}"))),
        other => Err(TaskError::invalid(
            field,
            format!("must be what the training task returned, not {other}"),
        )),
    }
}

fn number(field: &str, members: &Map<String, Value>, key: &str) -> Result<f64, TaskError> {
    members
        .get(key)
        .and_then(Value::as_f64)
        .ok_or_else(|| TaskError::invalid(field, format!("needs a number `{key}`")))
}

/// Which of several results is best.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SelectBest {
    /// Objects, usually what a mapped task returned.
    results: Vec<Value>,
    /// The member to compare.
    #[serde(default = "metric_default")]
    metric: String,
    /// Whether less is better.
    #[serde(default)]
    minimize: bool,
}

/// Returns the result with the best metric.
#[operator]
fn select_best(config: SelectBest) -> Result<Value, TaskError> {
    let mut best: Option<(f64, Map<String, Value>)> = None;
    for (place, result) in config.results.into_iter().enumerate() {
        let field = format!("results[{place}]");
        // A skipped or failed instance of a mapped task leaves no value.
        if result.is_null() {
            warn!("{field} has no value: left out");
            continue;
        }
        let result = object(&field, result)?;
        let value = number(&field, &result, &config.metric)?;
        let better = best.as_ref().is_none_or(|(than, _)| {
            if config.minimize {
                value < *than
            } else {
                value > *than
            }
        });
        info!("{field}: {} {value:.4}", config.metric);
        if better {
            best = Some((value, result));
        }
    }
    let (value, result) =
        best.ok_or_else(|| TaskError::invalid("results", "there is nothing to choose from"))?;
    info!("Best {}: {value:.4}", config.metric);
    Ok(Value::Object(result))
}

airlock_sdk::plugin!(operators: [evaluate, select_best]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    fn decide(host: &Host, auc: f64) -> Value {
        let config = json!({
            "model_name": "churn",
            "challenger": {"run_id": "run-new", "val_auc": auc, "model_version": 7},
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

    #[test]
    fn the_first_model_is_deployed() {
        let host = Host::new();
        let evaluation = decide(&host, 0.81);
        assert_eq!(evaluation["reason"], "no_champion_exists");
        assert_eq!(evaluation["should_deploy"], true);
        assert_eq!(evaluation["champion_auc"], 0.0);
        assert_eq!(evaluation["model_version"], 7);
        assert_eq!(host.pushed("evaluation"), Some(evaluation));
    }

    #[test]
    fn the_margin_decides() {
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
    fn a_repeated_run_deploys_itself_again() {
        let host = Host::new();
        host.put_version("churn", Stage::Production, "run-new");
        let evaluation = decide(&host, 0.8);
        assert_eq!(evaluation["reason"], "already_in_production");
        assert_eq!(evaluation["should_deploy"], true);
    }

    #[test]
    fn json_text_is_taken_and_nonsense_is_named() {
        let host = Host::new();
        let run = |challenger: Value| {
            host.run::<evaluate>(json!({"model_name": "churn", "challenger": challenger}))
        };
        assert!(run(json!(r#"{"run_id": "r", "val_auc": 0.7}"#)).is_ok());
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
        let results = json!([{"val_auc": 0.7, "n": 1}, null, {"val_auc": 0.9, "n": 2}, {"val_auc": 0.9, "n": 3}]);
        let run = |minimize: bool| {
            host.run::<select_best>(json!({"results": results, "minimize": minimize}))
        };
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
}
