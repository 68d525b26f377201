//! Mails of the outbox: what they say is put together here, the `email` room hands them in. A server that stumbles is asked again
//! a few times. It refuses to keep a mail for ever.

use super::{LogStream, Parts};
use crate::email::{EmailError, Report};
use crate::scheduler::{CallbackCall, CallbackKind, CallbackWork};
use std::sync::{Arc, Once};
use std::time::Duration;

/// How often a mail is handed in before it is given up.
const TRIES_MAX: u32 = 4;
/// The wait before the second time; each further one is `WAIT_FACTOR` times as long.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_FACTOR: u32 = 4;
/// Lines of the log that a mail shows.
const LOG_LINES_MAX: usize = 20;
/// Characters of a line of the log that a mail shows.
const LOG_LINE_CHARS_MAX: usize = 500;

/// That there is no mail server is told once a process.
static NO_SERVER: Once = Once::new();

/// Hands one mail in. Without a mail server that is said once, and the mail is dropped.
pub(super) async fn carry_out(parts: &Arc<Parts>, call: &CallbackCall) -> Result<(), String> {
    let CallbackWork::Email(to) = &call.work else {
        return Err("it is no mail".to_owned());
    };
    let Some(mailer) = parts.mailer.clone() else {
        NO_SERVER.call_once(|| {
            tracing::warn!(
                "no mail is sent: no mail server is set; give AIRLOCK_SMTP_URL, or smtp_url in airlock.toml"
            );
        });
        return Ok(());
    };
    let email = report(parts, call).email(to.clone());
    let mut wait = WAIT_FIRST;
    for tried in 1..=TRIES_MAX {
        let (mailer, email) = (mailer.clone(), email.clone());
        let sent = tokio::task::spawn_blocking(move || mailer.send(&email)).await;
        let sent: Result<(), EmailError> = sent.map_err(|error| error.to_string())?;
        match sent {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() && tried < TRIES_MAX => {
                tracing::info!(%error, "a mail is handed in again");
            }
            Err(error) => return Err(format!("the mail is given up: {error}")),
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(WAIT_FACTOR);
    }
    Ok(())
}

fn report(parts: &Parts, call: &CallbackCall) -> Report {
    let text = |name: &str| {
        let value = call.details.get(name).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    let (what, error) = match call.kind {
        CallbackKind::OnRetry => ("will be tried again", text("exception")),
        CallbackKind::SlaMiss => {
            let (tasks, blocking) = (text("task_list"), text("blocking_task_list"));
            let error = format!("Late:\n{tasks}\n\nNot in success:\n{blocking}");
            ("missed its SLA", error)
        }
        _ => ("failed", text("exception")),
    };
    Report {
        what: what.to_owned(),
        dag_id: call.dag_id.to_string(),
        run_id: call.run_id.to_string(),
        task_id: call.task_id.as_ref().map(ToString::to_string),
        map_index: call.map_index,
        try_number: call.try_number,
        at: call.at.to_string(),
        error,
        log: last_lines(parts, call),
    }
}

/// The end of the try's log. A mail without it is better than none.
fn last_lines(parts: &Parts, call: &CallbackCall) -> String {
    let Some(task_id) = &call.task_id else {
        return String::new();
    };
    let stream = LogStream {
        dag_id: &call.dag_id,
        run_id: &call.run_id,
        task_id,
        map_index: call.map_index,
    };
    let log = parts.logs.read(&stream, Some(call.try_number));
    let log = log.unwrap_or_else(|error| format!("(the log cannot be read: {error})"));
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES_MAX);
    let cut = |line: &&str| line.chars().take(LOG_LINE_CHARS_MAX).collect::<String>();
    let last: Vec<String> = lines.iter().skip(from).map(cut).collect();
    last.join("\n")
}
