//! `cargo xtask demo`: the churn pipeline on real input, four Mondays in a row. It only calls the `airlock` program, as a
//! person would.

use crate::shell::{cargo, root, say};
use crate::{guests, shell};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One week of the story.
struct Week {
    date: &'static str,
    story: &'static str,
    conf: Value,
}

fn weeks() -> [Week; 4] {
    let week = |date, story, conf| Week { date, story, conf };
    [
        week(
            "2026-01-05T02:00:00Z",
            "the first model",
            json!({"signal": 0.8}),
        ),
        week(
            "2026-01-12T02:00:00Z",
            "clearer behaviour",
            json!({"signal": 1.3}),
        ),
        week(
            "2026-01-19T02:00:00Z",
            "noisier behaviour",
            json!({"signal": 1.3, "label_noise": 0.15}),
        ),
        week(
            "2026-01-26T02:00:00Z",
            "corrupted data",
            json!({"signal": 1.3, "corrupt": "nulls", "corrupt_fraction": 0.3}),
        ),
    ]
}

const DAILY: &str = "examples/churn/daily_feature_engineering.yaml";
const WEEKLY: &str = "examples/churn/weekly_churn_model_training.yaml";

/// Where the demo keeps its state.
fn folder() -> PathBuf {
    root().join("target/demo")
}

fn airlock(arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("target/debug/airlock"));
    command.current_dir(root()).args(arguments);
    command
        .arg("--data")
        .arg(folder().join("data"))
        .arg("--storage-root")
        .arg(folder().join("files"));
    command
}

pub(crate) fn run() -> Result<()> {
    say("building the plugins and airlock (the first time takes some minutes)");
    guests::run()?;
    shell::run(&mut cargo(&["build", "--workspace", "--bins", "--quiet"]))?;
    if folder().exists() {
        std::fs::remove_dir_all(folder()).context("cannot clear target/demo")?;
    }
    std::fs::create_dir_all(folder().join("files")).context("cannot make target/demo")?;
    step(&["pools", "set", "gpu", "1"])?;

    let started = Instant::now();
    for (week, number) in weeks().iter().zip(1..) {
        say(&format!("week {number}, {}: {}", week.date, week.story));
        let conf = week.conf.to_string();
        step(&[
            "dags",
            "trigger",
            DAILY,
            "--logical-date",
            week.date,
            "--conf",
            &conf,
        ])?;
        step(&["dags", "trigger", WEEKLY, "--logical-date", week.date])?;
    }
    println!("\n{}", summary()?);
    println!(
        "four weeks took {:.1} s. Look around:",
        started.elapsed().as_secs_f64()
    );
    let options = "--data target/demo/data";
    println!("  target/debug/airlock {options} models show churn_prediction");
    println!("  target/debug/airlock {options} runs show weekly_churn_model_training latest");
    println!(
        "  target/debug/airlock {options} runs logs weekly_churn_model_training latest validate_data"
    );
    Ok(())
}

fn step(arguments: &[&str]) -> Result<()> {
    let status = airlock(arguments)
        .stdout(Stdio::null())
        .status()
        .context("cannot start airlock")?;
    if !status.success() {
        bail!("`airlock {}` failed: {status}", arguments.join(" "));
    }
    Ok(())
}

fn query(arguments: &[&str]) -> Result<Value> {
    let output = airlock(arguments)
        .arg("--json")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start airlock")?;
    if !output.status.success() {
        bail!(
            "`airlock {}` failed: {}",
            arguments.join(" "),
            output.status
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    at(value, key).as_str().unwrap_or_default()
}

fn line([week, run, challenger, champion, shadow, decision, why]: [&str; 7]) -> String {
    let aucs = format!("{challenger:>12}{champion:>10}{shadow:>8}");
    let line = format!("{week:12}{run:10}{aucs}  {decision:14}{why}");
    format!("{}\n", line.trim_end())
}

/// The decisions, read back from the store.
fn summary() -> Result<String> {
    let mut summary = line([
        "week",
        "run",
        "challenger",
        "champion",
        "shadow",
        "decision",
        "why",
    ]);
    for week in weeks() {
        summary.push_str(&decision(&week)?);
    }
    let model = query(&["models", "show", "churn_prediction"])?;
    summary.push_str("\nmodel churn_prediction:");
    for version in at(&model, "versions").as_array().into_iter().flatten() {
        let version = at(version, "version");
        summary.push_str(&format!(
            "  v{} {}",
            at(version, "version"),
            text(version, "stage")
        ));
    }
    summary.push('\n');
    Ok(summary)
}

fn decision(week: &Week) -> Result<String> {
    let run_id = format!("manual__{}+00:00", week.date.trim_end_matches('Z'));
    let run = query(&["runs", "show", "weekly_churn_model_training", &run_id])?;
    let xcom = |task: &str, key: &str| {
        let mut xcoms = at(&run, "xcoms").as_array().into_iter().flatten();
        let found = xcoms.find(|xcom| text(xcom, "task_id") == task && text(xcom, "key") == key);
        found.map(|xcom| at(xcom, "value").clone())
    };
    let date = week.date.get(..10).unwrap_or(week.date);
    let state = text(&run, "state");
    let Some(evaluation) = xcom("evaluate", "return_value") else {
        let reason = xcom("validate_data", "reason").unwrap_or_default();
        let reason = reason.as_str().unwrap_or_default();
        return Ok(line([date, state, "-", "-", "-", "GATE CLOSED", reason]));
    };
    let auc = |key: &str| {
        let auc = at(&evaluation, key).as_f64().filter(|auc| *auc > 0.0);
        auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}"))
    };
    let deployed = xcom("deploy", "return_value").is_some();
    let decision = if deployed { "DEPLOYED" } else { "NOT DEPLOYED" };
    let (challenger, champion) = (auc("challenger_auc"), auc("champion_auc"));
    let shadow = xcom("shadow_evaluate", "return_value").unwrap_or_default();
    // What the validation rows promised and the shadow set did not hold.
    let judge = match at(&evaluation, "should_deploy").as_bool() {
        Some(true) if !deployed => &shadow,
        _ => &evaluation,
    };
    let shadow = at(&shadow, "shadow_auc").as_f64();
    let shadow = shadow.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}"));
    Ok(line([
        date,
        state,
        &challenger,
        &champion,
        &shadow,
        decision,
        text(judge, "reason"),
    ]))
}
