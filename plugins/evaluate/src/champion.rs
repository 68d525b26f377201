//! A challenger against the champion. The decision and its reason are kept with the challenger's run, so that whoever finds the
//! version years later finds why it is, or is not, in Production.

use crate::{number, object, val_auc};
use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::tracking::{self, Run};
use airlock_sdk::xcom;

/// Metrics of a decision are logged as of this step: a repeated evaluation replaces them.
const STEP: i64 = 0;

/// Whom to compare, and by how much the challenger must win.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluate {
    /// The registered model whose Production version is the champion.
    model_name: String,
    /// What the training task returned: an object (or its JSON text) with `run_id` and the metric.
    challenger: Value,
    /// The metric to compare; more is better.
    #[serde(default = "val_auc")]
    metric: String,
    /// The improvement from which on the challenger is deployed.
    #[serde(default = "margin")]
    margin: f64,
}

fn margin() -> f64 {
    0.005
}

/// What was found and decided.
struct Decision {
    challenger: f64,
    champion: Option<(ModelVersion, f64)>,
    should_deploy: bool,
    reason: &'static str,
}

/// Decides whether the challenger beats the champion by the margin.
#[operator]
pub(crate) fn evaluate(config: Evaluate) -> Result<Value, TaskError> {
    let metric = &config.metric;
    let mut evaluation = object("challenger", config.challenger)?;
    let challenger = number("challenger", &evaluation, metric)?;
    let run_id = evaluation
        .get("run_id")
        .and_then(Value::as_str)
        .ok_or_else(|| TaskError::invalid("challenger", "needs a text `run_id`"))?
        .to_owned();
    let champion = models::latest(&config.model_name, Stage::Production)?;
    let decision = decide(metric, config.margin, (&run_id, challenger), champion)?;
    // A version that is in use keeps the reason that brought it there.
    if decision.reason != ALREADY {
        decision.record(metric, config.margin, run_id.clone())?;
    }
    let champion_auc = decision.champion_metric();
    for (key, value) in [
        ("challenger_auc", json!(challenger)),
        ("challenger_run_id", json!(run_id)),
        ("champion_auc", json!(champion_auc)),
        ("champion_version", json!(decision.champion_version())),
        ("improvement", json!(challenger - champion_auc)),
        ("should_deploy", json!(decision.should_deploy)),
        ("reason", json!(decision.reason)),
    ] {
        evaluation.insert(key.to_owned(), value);
    }
    decision.tell(metric, config.margin);
    xcom::push("evaluation", &evaluation)?;
    Ok(Value::Object(evaluation))
}

/// Why a challenger is deployed that is the champion: a repeated run, whose deployment changes nothing.
const ALREADY: &str = "already_in_production";

fn decide(
    metric: &str,
    margin: f64,
    (run_id, challenger): (&str, f64),
    champion: Option<ModelVersion>,
) -> Result<Decision, TaskError> {
    let decision = |champion, should_deploy, reason| Decision {
        challenger,
        champion,
        should_deploy,
        reason,
    };
    let Some(champion) = champion else {
        return Ok(decision(None, true, "no_champion_exists"));
    };
    if champion.run_id == run_id {
        return Ok(decision(Some((champion, challenger)), true, ALREADY));
    }
    let before = logged(&champion.run_id, metric)?;
    let better = challenger - before >= margin;
    let reason = if better {
        "improvement_above_threshold"
    } else {
        "improvement_below_threshold"
    };
    Ok(decision(Some((champion, before)), better, reason))
}

impl Decision {
    fn champion_metric(&self) -> f64 {
        self.champion.as_ref().map_or(0.0, |(_, value)| *value)
    }

    fn champion_version(&self) -> Option<u32> {
        self.champion.as_ref().map(|(version, _)| version.version)
    }

    /// Keeps the decision with the challenger's run.
    fn record(&self, metric: &str, margin: f64, run_id: String) -> Result<(), TaskError> {
        let run = Run { id: run_id };
        let champion = self.champion_metric();
        run.metric(&format!("champion_{metric}"), champion, STEP)?;
        run.metric("improvement", self.challenger - champion, STEP)?;
        let version = self.champion_version();
        run.tags([
            ("evaluation.should_deploy", self.should_deploy.to_string()),
            ("evaluation.reason", self.reason.to_owned()),
            ("evaluation.metric", metric.to_owned()),
            ("evaluation.margin", margin.to_string()),
            (
                "evaluation.champion_version",
                version.map_or_else(String::new, |version| version.to_string()),
            ),
        ])?;
        Ok(())
    }

    fn tell(&self, metric: &str, margin: f64) {
        let (challenger, champion) = (self.challenger, self.champion_metric());
        info!("Champion {metric}: {champion:.4}");
        info!("Challenger {metric}: {challenger:.4}");
        let improvement = challenger - champion;
        info!("Improvement: {improvement:+.4} (needed {margin:+.4})");
        info!("Deploy: {} ({})", self.should_deploy, self.reason);
    }
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
