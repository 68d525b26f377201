//! Built against the contract as it was released in 0.1.0, and never changed again: what it does must work on every later host.
//! It touches an interface of each kind, so that all of them are linked.

wit_bindgen::generate!({
    path: "../../../wit/since-0.1.0",
    world: "operator",
});

use airlock::operator::{calendar, dag_state, dataset, log, models, progress, storage, tracking, xcom};
use airlock::operator::types::{CapabilityError, OperatorInfo, OperatorKind};
use exports::airlock::operator::guest::{Guest, Outcome, PluginInfo, TaskContext, TaskError};

struct Old;

impl Guest for Old {
    fn describe() -> PluginInfo {
        let operator = |name: &str, kind| OperatorInfo {
            name: name.into(),
            summary: "From the first release.".into(),
            kind,
            config_schema: r#"{"type": "object"}"#.into(),
        };
        PluginInfo {
            name: "old".into(),
            version: "0.1.0".into(),
            operators: vec![
                operator("work", OperatorKind::Operator),
                operator("wait", OperatorKind::Sensor),
            ],
            dags: vec![],
        }
    }

    fn run(context: TaskContext) -> Result<Outcome, TaskError> {
        if context.operator == "wait" {
            return Ok(match context.poke_number {
                1 => Outcome::NotYet,
                _ => Outcome::Success(None),
            });
        }
        work(&context).map_err(|error| TaskError::Permanent(format!("{error:?}")))
    }
}

fn work(context: &TaskContext) -> Result<Outcome, CapabilityError> {
    log::log(log::Level::Info, &format!("in {}", context.task_id));
    progress::report(Some(0.5), "half");
    xcom::push("key", "[1, 2]")?;
    let pulled = xcom::pull(&context.task_id, "key", None)?.unwrap_or_default();
    let writer = storage::create("file://./old/x.csv")?;
    writer.write(b"a,b\n1,2\n3,4\n")?;
    writer.finish()?;
    let rows = dataset::Table::open("file://./old/x.csv")?.rows();
    let run = tracking::start_run("old", "run")?;
    tracking::log_params(&run, &[("rows".into(), rows.to_string())])?;
    tracking::end_run(&run, tracking::RunStatus::Finished)?;
    let day = calendar::to_local("2026-01-05T02:00:00Z", Some("Europe/London"))?.iso_weekday;
    let none = models::get_version("old", 1)?.is_none();
    // A denial is a value, in every version.
    let denied = matches!(
        dag_state::run_states("other", "2026-01-05T02:00:00Z"),
        Err(CapabilityError::Denied(_))
    );
    Ok(Outcome::Success(Some(format!(
        r#"{{"pulled": {pulled}, "rows": {rows}, "weekday": {day}, "none": {none}, "denied": {denied}}}"#
    ))))
}

export!(Old);
