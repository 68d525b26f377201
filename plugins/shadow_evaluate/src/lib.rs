//! Scores the challenger and the champion over recent rows that neither learnt from, keeps the figures with the challenger's run and
//! says whether it may go on. It refuses to move a version: `deploy.promote` does that.

mod curve;
mod judgement;
mod rows;

use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;
use airlock_sdk::time::Timestamp;
use airlock_sdk::tracking::{self, Run};
use airlock_sdk::{progress, xcom};
use judgement::{ALREADY, Judgement, Thresholds};
use rows::{Columns, Figures, Window};

/// Metrics are logged as of this step: a repeated evaluation replaces them.
const STEP: i64 = 0;

/// What to score on what, and what is good enough.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShadowEvaluate {
    /// The registered model.
    model_name: String,
    /// The challenger's version; absent: the newest in Staging.
    version: Option<u32>,
    /// One table with features and label, or several (a table for each of the last days): all rows count together.
    features: Tables,
    /// The column with what really happened, 0 or 1; absent: the one that the model was trained for.
    label: Option<String>,
    /// Only rows whose time, in this column, is in the last `last_days` days before `as_of`.
    timestamp_column: Option<String>,
    /// See `timestamp_column`.
    #[serde(default = "last_days")]
    last_days: u32,
    /// The end of the last days; absent: the end of the run's data interval.
    as_of: Option<Timestamp>,
    /// The challenger's AUC at least.
    min_auc: Option<f64>,
    /// The challenger's average precision at least.
    min_average_precision: Option<f64>,
    /// By how much the challenger's AUC must be above the champion's; below 0: by how much it may be worse.
    #[serde(default)]
    margin: f64,
    /// Fewer rows are no evaluation: the task fails.
    #[serde(default = "min_rows")]
    min_rows: usize,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Tables {
    One(String),
    Many(Vec<String>),
}

fn last_days() -> u32 {
    7
}

fn min_rows() -> usize {
    100
}

/// Scores the challenger and the champion over recent rows and decides by thresholds.
#[operator]
fn shadow_evaluate(config: ShadowEvaluate, task: &Task) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let challenger = challenger(name, config.version)?;
    let champion = models::latest(name, Stage::Production)?;
    let window = window(&config, task)?;
    let uris = match config.features {
        Tables::One(uri) => vec![uri],
        Tables::Many(uris) => uris,
    };
    let score = |version: &ModelVersion| {
        let columns = columns(version, config.label.as_deref())?;
        rows::figures(&uris, &columns, window.as_ref(), version)
    };
    let own = score(&challenger)?;
    if own.rows < config.min_rows {
        return Err(TaskError::permanent(format!(
            "{} rows to score on, at least {} are needed: look at `features` and `last_days`, or lower `min_rows`",
            own.rows, config.min_rows
        )));
    }
    progress::report(0.5, "the challenger is scored");
    let theirs = match &champion {
        Some(champion) if champion.version == challenger.version => Some(own.clone()),
        Some(champion) => Some(score(champion)?),
        None => None,
    };
    let thresholds = Thresholds {
        min_auc: config.min_auc,
        min_average_precision: config.min_average_precision,
        margin: config.margin,
    };
    let is_champion = champion
        .as_ref()
        .is_some_and(|champion| champion.version == challenger.version);
    let judgement = judgement::judge(&own, theirs.as_ref(), is_champion, &thresholds);
    record(&challenger, &own, theirs.as_ref(), &judgement)?;
    let result = told(
        &challenger,
        champion.as_ref(),
        &own,
        theirs.as_ref(),
        &judgement,
    );
    xcom::push("evaluation", &result)?;
    Ok(result)
}

fn challenger(name: &str, version: Option<u32>) -> Result<ModelVersion, TaskError> {
    match version {
        Some(version) => models::get_version(name, version)?.ok_or_else(|| {
            TaskError::invalid("version", format!("{name} has no version {version}"))
        }),
        None => models::latest(name, Stage::Staging)?
            .ok_or_else(|| TaskError::permanent(format!("{name} has no version in Staging"))),
    }
}

fn window(config: &ShadowEvaluate, task: &Task) -> Result<Option<Window>, TaskError> {
    let Some(column) = config.timestamp_column.clone() else {
        return Ok(None);
    };
    let end = config.as_of.or(task.data_interval_end);
    let end = end
        .or(task.logical_date)
        .ok_or_else(|| TaskError::invalid("as_of", "this run has no date: name one"))?;
    Ok(Some(Window::before(column, end, config.last_days)))
}

/// What a version was trained on, as its run says.
fn columns(version: &ModelVersion, label: Option<&str>) -> Result<Columns, TaskError> {
    let run = tracking::get_run(&version.run_id)?;
    let param = |wanted: &str| {
        let found = run.params.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            TaskError::permanent(format!(
                "{} v{}: its run {} has no param `{wanted}`, so what to score it on is not known",
                version.name, version.version, version.run_id
            ))
        })
    };
    let label = match label {
        Some(label) => label.to_owned(),
        None => param("label")?,
    };
    let features = param("feature_columns")?;
    Ok(Columns {
        features: features.split(',').map(str::to_owned).collect(),
        label,
    })
}

/// Keeps the figures with the run that made the challenger. The reason of a version that is in use already stays.
fn record(
    challenger: &ModelVersion,
    own: &Figures,
    theirs: Option<&Figures>,
    judgement: &Judgement,
) -> Result<(), TaskError> {
    let run = Run {
        id: challenger.run_id.clone(),
    };
    run.metric("shadow_auc", own.auc, STEP)?;
    run.metric("shadow_average_precision", own.average_precision, STEP)?;
    if judgement.reason == ALREADY {
        return Ok(());
    }
    if let Some(theirs) = theirs {
        run.metric("champion_shadow_auc", theirs.auc, STEP)?;
    }
    run.tags([
        ("shadow.passed", judgement.passed.to_string()),
        ("shadow.reason", judgement.reason.to_owned()),
        ("shadow.rows", own.rows.to_string()),
        ("shadow.digests", own.digests.join(",")),
    ])?;
    Ok(())
}

fn told(
    challenger: &ModelVersion,
    champion: Option<&ModelVersion>,
    own: &Figures,
    theirs: Option<&Figures>,
    judgement: &Judgement,
) -> Value {
    info!(
        "Challenger v{} over {} rows: AUC {:.4}, average precision {:.4}",
        challenger.version, own.rows, own.auc, own.average_precision
    );
    if let (Some(champion), Some(theirs)) = (champion, theirs) {
        info!(
            "Champion v{}: AUC {:.4}, average precision {:.4}",
            champion.version, theirs.auc, theirs.average_precision
        );
    }
    info!("Passed: {} ({})", judgement.passed, judgement.reason);
    json!({
        "model_name": challenger.name,
        "version": challenger.version,
        "run_id": challenger.run_id,
        "rows": own.rows,
        "shadow_auc": own.auc,
        "shadow_average_precision": own.average_precision,
        "champion_version": champion.map(|champion| champion.version),
        "champion_shadow_auc": theirs.map(|theirs| theirs.auc),
        "champion_shadow_average_precision": theirs.map(|theirs| theirs.average_precision),
        "shadow_improvement": own.auc - theirs.map_or(0.0, |theirs| theirs.auc),
        "passed": judgement.passed,
        "reason": judgement.reason,
    })
}

airlock_sdk::plugin!(operators: [shadow_evaluate]);

#[cfg(test)]
mod tests;
