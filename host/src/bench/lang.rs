//! What a task costs in each language that operators are written in: the same operator, from compiled code that is there already.
//! It measures and asserts nothing; all languages are measured in one run, so that their ratios mean something.

use super::{Orchestrated, bare_calls, dag, run};
use crate::app::App;
use crate::error::{ErrorKind, UserError};
use airlock_core::dag::spec::{Expand, ExpandSource};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// CPU that the bare calls of one language are to take, milliseconds.
const BARE_CPU_MS: f64 = 500.0;
/// Calls that are made to find out how many these are.
const PROBE_CALLS: u32 = 100;
/// The fewest and the most calls.
const CALLS: (f64, f64) = (200.0, 10_000.0);

/// One language.
#[derive(Debug, Clone, Serialize)]
pub struct LangFigures {
    /// The plugin.
    pub name: String,
    /// Instantiate, call and drop on bare wasmtime: CPU a call, milliseconds.
    pub bare_cpu_ms: f64,
    /// `bare_cpu_ms` to that of the first language.
    pub to_first: f64,
    /// A mapped task of the operator, every attempt durable.
    pub orchestrated: Orchestrated,
    /// `orchestrated.cpu_ms_per_task / bare_cpu_ms`.
    pub orchestrated_to_bare: f64,
}

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct LangReport {
    /// In the order asked for.
    pub languages: Vec<LangFigures>,
    /// What could not be measured, and why.
    pub left_out: Vec<String>,
}

/// Measures the only operator of each of these plugins, which takes the config `{"name": TEXT}`.
///
/// # Errors
/// When a plugin cannot be loaded, or a run does not end in success.
pub async fn lang(
    app: &App,
    names: &[String],
    left_out: Vec<String>,
) -> Result<LangReport, UserError> {
    let mut languages: Vec<LangFigures> = Vec::new();
    for name in names {
        let figures = measure(app, name, languages.first().map(|first| first.bare_cpu_ms)).await?;
        languages.push(figures);
    }
    Ok(LangReport {
        languages,
        left_out,
    })
}

async fn measure(app: &App, name: &str, first: Option<f64>) -> Result<LangFigures, UserError> {
    let plugin = app.plugins().load(name)?;
    let [operator] = plugin.operators() else {
        let message = format!("plugin {name} has more than one operator; one is measured");
        return Err(UserError::new(ErrorKind::Usage, message));
    };
    let bare = |calls: u32| {
        bare_calls(
            app.sandbox(),
            &plugin,
            (&operator.name, r#"{"name": "Ada"}"#),
            (1, calls),
        )
    };
    let (_, about_ms) = bare(PROBE_CALLS)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the bounds are small and positive"
    )]
    let calls = (BARE_CPU_MS / about_ms.max(0.001)).clamp(CALLS.0, CALLS.1) as u32;
    let (_, bare_cpu_ms) = bare(calls)?;
    let operator = format!("{name}.{}", operator.name);
    // Once, so that no figure holds the first page faults.
    run(
        app,
        mapped(&format!("bench_warm_{name}"), &operator, PROBE_CALLS)?,
    )
    .await?;
    let (orchestrated, _) = run(app, mapped(&format!("bench_{name}"), &operator, calls)?).await?;
    Ok(LangFigures {
        name: name.to_owned(),
        to_first: bare_cpu_ms / first.unwrap_or(bare_cpu_ms),
        orchestrated_to_bare: orchestrated.cpu_ms_per_task / bare_cpu_ms,
        bare_cpu_ms,
        orchestrated,
    })
}

/// The list goes in after parsing: a file may not hold one of this length, an XCom may.
fn mapped(
    dag_id: &str,
    operator: &str,
    elements: u32,
) -> Result<(airlock_core::dag::spec::Dag, u32), UserError> {
    let task = json!({"task_id": "hello", "operator": operator, "pool": "bench"});
    let mut dag = dag(&json!({"dag_id": dag_id, "max_active_tasks": 1_000_000, "tasks": [task]}))?;
    let list = (0..elements).map(|index| Value::from(format!("n{index}")));
    let list = ExpandSource::Literal(list.collect());
    for task in &mut dag.tasks {
        task.expand = Some(Expand::Product(vec![("name".to_owned(), list.clone())]));
    }
    Ok((dag, elements))
}

impl LangReport {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.languages {
            // A string takes everything.
            let _ = writeln!(
                text,
                "{:12} bare {:8.3} ms of CPU a call ({:6.2} of the first)   orchestrated {:8.3} ms a task ({:5.2} of bare)",
                one.name,
                one.bare_cpu_ms,
                one.to_first,
                one.orchestrated.cpu_ms_per_task,
                one.orchestrated_to_bare
            );
        }
        for reason in &self.left_out {
            let _ = writeln!(text, "left out: {reason}");
        }
        text
    }
}
