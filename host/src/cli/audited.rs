//! What a command changes is written into the audit trail before it is changed: who (`cli:USER`), what, and with which arguments but
//! without secrets. It owns which command is a change; `settings::open` calls it where every command gets its application. It leaves
//! out tokens and models, whose own lines are in the commits of the changes, and refuses to let a command change anything whose
//! note could not be written.

use super::args::{Command, Dags, Plugins, Runs, Tasks};
use super::args_admin::{Connections, Pools, Variables};
use super::args_plugins::PluginLife;
use super::args_service::{Assets, Backfill, RunsArgs};
use super::session;
use crate::app::{App, ChangeNote, HIDDEN};
use crate::error::{ErrorKind, UserError};
use crate::tracking::{Actor, ActorKind};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;

/// The change that this thread's command is about to make.
struct Pending {
    note: ChangeNote,
    /// Where it was written down.
    noted: Option<Arc<App>>,
}

thread_local! {
    static PENDING: RefCell<Option<Pending>> = const { RefCell::new(None) };
}

/// Who works at the terminal, as the audit trail names them.
pub(super) fn who() -> String {
    format!("cli:{}", session::user())
}

fn actor() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: who(),
    }
}

/// Carries a command out, and writes a second line if its change was refused.
pub(super) fn carry_out(
    command: Command,
    work: impl FnOnce(Command) -> Result<(), UserError>,
) -> Result<(), UserError> {
    let pending = change(&command).map(|note| Pending { note, noted: None });
    PENDING.set(pending);
    let done = work(command);
    let pending = PENDING.take();
    let Err(error) = &done else { return done };
    // A run that was made and failed was made.
    let is_refused = !matches!(
        error.kind,
        ErrorKind::RunFailed | ErrorKind::Cancelled | ErrorKind::TimedOut
    );
    if let Some(Pending {
        note,
        noted: Some(app),
    }) = pending
        && is_refused
    {
        let refused = ChangeNote {
            event: format!("{}.refused", note.event),
            extra: Value::from(error.message.clone()),
            ..note
        };
        // The refusal is what the person must hear.
        if let Err(error) = app.note_request(&actor(), &refused) {
            tracing::error!(%error, "a refused change could not be written down");
        }
    }
    done
}

/// The application of this thread's command is open: its change is written down, once.
pub(super) fn opened(app: &Arc<App>) -> Result<(), UserError> {
    PENDING.with_borrow_mut(|pending| match pending {
        Some(pending) if pending.noted.is_none() => {
            app.note_request(&actor(), &pending.note)?;
            pending.noted = Some(app.clone());
            Ok(())
        }
        _ => Ok(()),
    })
}

/// What a command changes; none where it only reads, or its change writes its own line.
fn change(command: &Command) -> Option<ChangeNote> {
    match command {
        Command::Dags(command) => of_dags(command),
        Command::Runs(command) => of_runs(command),
        Command::Tasks(command) => of_tasks(command),
        Command::Backfill(command) => of_backfill(command),
        Command::Assets(command) => of_assets(command),
        Command::Pools(command) => of_pools(command),
        Command::Variables(command) => of_variables(command),
        Command::Connections(command) => of_connections(command),
        Command::Plugins(Plugins::Life(PluginLife::Tighten(args))) if !args.dry_run => {
            let subject = format!("plugin/{}", args.plugin);
            Some(note("plugin.tighten", &subject, Value::Null))
        }
        _ => None,
    }
}

fn note(event: &str, subject: &str, extra: Value) -> ChangeNote {
    ChangeNote {
        event: event.to_owned(),
        subject: subject.to_owned(),
        extra,
        ..ChangeNote::default()
    }
}

fn of_dag(event: &str, dag_id: &str, extra: Value) -> ChangeNote {
    ChangeNote {
        dag_id: Some(dag_id.to_owned()),
        ..note(event, dag_id, extra)
    }
}

fn of_run(event: &str, (dag_id, run_id): (&str, &str), extra: Value) -> ChangeNote {
    ChangeNote {
        run_id: Some(run_id.to_owned()),
        subject: format!("{dag_id}/{run_id}"),
        ..of_dag(event, dag_id, extra)
    }
}

fn of_dags(command: &Dags) -> Option<ChangeNote> {
    let paused = |dag_ids: &[String], is_paused: bool| {
        let extra = json!({"is_paused": is_paused, "dag_ids": dag_ids});
        match dag_ids {
            [dag_id] => of_dag("patch_dag", dag_id, extra),
            _ => note("patch_dag", &dag_ids.join(" "), extra),
        }
    };
    Some(match command {
        Dags::Pause { dag_ids } => paused(dag_ids, true),
        Dags::Unpause { dag_ids } => paused(dag_ids, false),
        Dags::Trigger(args) => {
            let extra = json!({
                "logical_date": args.logical_date, "conf": args.conf, "run_id": args.run_id, "note": args.note,
            });
            if crate::app::is_file(&args.dag) {
                note("trigger_dag_run", &args.dag, extra)
            } else {
                of_dag("trigger_dag_run", &args.dag, extra)
            }
        }
        Dags::Delete(args) => of_dag("delete_dag", &args.dag_id, Value::Null),
        _ => return None,
    })
}

fn of_runs(command: &Runs) -> Option<ChangeNote> {
    let run = |event, args: &super::args::RunArgs, extra| {
        of_run(event, (&args.dag_id, &args.run_id), extra)
    };
    let state = |state: &str| json!({"state": state});
    Some(match command {
        Runs::Cancel(args) => run("patch_dag_run", args, state("cancelled")),
        Runs::MarkSuccess(args) => run("patch_dag_run", args, state("success")),
        Runs::MarkFailed(args) => run("patch_dag_run", args, state("failed")),
        Runs::Delete(args) => run("delete_dag_run", &args.run, Value::Null),
        Runs::Clear(args) if !args.flags.dry_run => of_choice(
            "clear_dag_run",
            &args.runs,
            &json!({"only_failed": args.flags.only_failed}),
        ),
        _ => return None,
    })
}

/// Of the runs that somebody chose.
fn of_choice(event: &str, runs: &RunsArgs, more: &Value) -> ChangeNote {
    let extra = json!({
        "from": runs.from, "to": runs.to, "past": runs.past, "future": runs.future, "asked": more,
    });
    of_run(event, (&runs.dag_id, &runs.run_id), extra)
}

fn of_tasks(command: &Tasks) -> Option<ChangeNote> {
    let mark = |args: &super::args_service::TasksMark, state: &str| {
        let asked = json!({"new_state": state, "task_ids": args.task_ids});
        of_choice("patch_task_instance", &args.runs, &asked)
    };
    let of_instance = |event, instance: &super::args_service::InstanceArgs, extra| {
        let run = &instance.run;
        ChangeNote {
            task_id: Some(instance.task_id.clone()),
            map_index: Some(instance.map_index),
            ..of_run(event, (&run.dag_id, &run.run_id), extra)
        }
    };
    Some(match command {
        Tasks::Clear(args) if !args.flags.dry_run => of_choice(
            "post_clear_task_instances",
            &args.runs,
            &json!({"task_ids": args.task_ids}),
        ),
        Tasks::MarkSuccess(args) => mark(args, "success"),
        Tasks::MarkFailed(args) => mark(args, "failed"),
        Tasks::Answer(args) => of_instance("update_hitl_detail", &args.instance, Value::Null),
        Tasks::SetXcom { instance, key, .. } => {
            of_instance("update_xcom_entry", instance, json!({"key": key}))
        }
        Tasks::DeleteXcom { instance, key } => {
            of_instance("delete_xcom_entry", instance, json!({"key": key}))
        }
        _ => return None,
    })
}

fn of_backfill(command: &Backfill) -> Option<ChangeNote> {
    let one = |event: &str, id: &u64| note(event, &format!("backfill {id}"), json!({"id": id}));
    Some(match command {
        Backfill::Create(args) if !args.dry_run => {
            let extra = json!({"from_date": args.from_date, "to_date": args.to_date, "dag_run_conf": args.dag_run_conf});
            of_dag("create_backfill", &args.dag_id, extra)
        }
        Backfill::Pause { backfill_id } => one("pause_backfill", backfill_id),
        Backfill::Unpause { backfill_id } => one("unpause_backfill", backfill_id),
        Backfill::Cancel { backfill_id } => one("cancel_backfill", backfill_id),
        _ => return None,
    })
}

fn of_assets(command: &Assets) -> Option<ChangeNote> {
    Some(match command {
        Assets::Materialize { uri, conf, .. } => note(
            "materialize_asset",
            &format!("asset/{uri}"),
            json!({"conf": conf}),
        ),
        Assets::CreateEvent { uri, extra } => note(
            "create_asset_event",
            &format!("asset/{uri}"),
            json!({"extra": extra}),
        ),
        _ => return None,
    })
}

fn of_pools(command: &Pools) -> Option<ChangeNote> {
    Some(match command {
        Pools::Set { name, slots, .. } => note(
            "post_pool",
            &format!("pool/{name}"),
            json!({"slots": slots}),
        ),
        Pools::Delete { name } => note("delete_pool", &format!("pool/{name}"), Value::Null),
        Pools::Import(args) => note("bulk_pools", &args.file.display().to_string(), Value::Null),
        _ => return None,
    })
}

fn of_variables(command: &Variables) -> Option<ChangeNote> {
    Some(match command {
        Variables::Set { key, .. } => note(
            "post_variable",
            &format!("variable/{key}"),
            json!({"value": HIDDEN}),
        ),
        Variables::Delete { key } => {
            note("delete_variable", &format!("variable/{key}"), Value::Null)
        }
        Variables::Import(args) => note(
            "bulk_variables",
            &args.file.display().to_string(),
            Value::Null,
        ),
        _ => return None,
    })
}

/// A connection's members may be secret, each in its own way: none is written.
fn of_connections(command: &Connections) -> Option<ChangeNote> {
    Some(match command {
        Connections::Set(args) => note(
            "post_connection",
            &format!("connection/{}", args.conn_id),
            Value::Null,
        ),
        Connections::Delete { conn_id } => note(
            "delete_connection",
            &format!("connection/{conn_id}"),
            Value::Null,
        ),
        Connections::Import(args) => note(
            "bulk_connections",
            &args.file.display().to_string(),
            Value::Null,
        ),
        _ => return None,
    })
}
