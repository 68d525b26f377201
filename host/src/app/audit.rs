//! The audit trail as people read it, and the notes of what was asked for over the network or from a terminal. A note is durable
//! before what it is about is done.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::store::hex;
use crate::tracking::{Actor, Audit, AuditEvent};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Events read at once.
const PAGE: usize = 1_000;
/// The member of a note that holds what was asked.
const ASKED: &str = "asked";

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeNote {
    /// Airflow's name of the change, for example `trigger_dag_run`.
    pub event: String,
    /// Of what, as one text.
    pub subject: String,
    /// Of which DAG.
    pub dag_id: Option<String>,
    /// Of which run.
    pub run_id: Option<String>,
    /// Of which task.
    pub task_id: Option<String>,
    /// Of which task instance.
    pub map_index: Option<i32>,
    /// What was asked, without secrets.
    pub extra: Value,
}

/// A line of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditRow {
    /// Its place in the trail, from 0.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What was done.
    pub event: String,
    /// To what, as one text.
    pub subject: String,
    /// Who did it.
    pub owner: String,
    /// Of which DAG.
    pub dag_id: Option<String>,
    /// Of which run.
    pub run_id: Option<String>,
    /// Of which task.
    pub task_id: Option<String>,
    /// Of which task instance.
    pub map_index: Option<i32>,
    /// From what to what, or what was asked.
    pub extra: Value,
}

/// What the beginning of the trail hashes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditDigest {
    /// Of how many lines.
    pub lines: u64,
    /// The last hash of the chain, in hex.
    pub sha256: String,
}

impl App {
    /// Writes a note into the trail, durably.
    ///
    /// # Errors
    /// When the store takes no commit; then what the note is about must not be done.
    pub fn note_request(&self, by: &Actor, note: &ChangeNote) -> Result<(), UserError> {
        let mut to = Map::new();
        let members = [
            ("dag_id", note.dag_id.clone().map(Value::from)),
            ("run_id", note.run_id.clone().map(Value::from)),
            ("task_id", note.task_id.clone().map(Value::from)),
            ("map_index", note.map_index.map(Value::from)),
            (ASKED, Some(note.extra.clone())),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                to.insert(name.to_owned(), value);
            }
        }
        let event = AuditEvent {
            at_ms: Timestamp::now().as_millisecond(),
            actor: by.clone(),
            action: note.event.clone(),
            subject: note.subject.clone(),
            from: Value::Null,
            to: Value::Object(to),
        };
        self.store.commit(event.commit()?)?;
        Ok(())
    }

    /// The trail as a chain of hashes: each is the SHA-256 of the one before and the next line. Whoever keeps a number and its
    /// digest elsewhere can ask for it again later: a line before it that was changed, removed or put in gives another one.
    pub fn audit_digest(&self, through: Option<u64>) -> Result<AuditDigest, UserError> {
        let audit = Audit::new(self.store.clone());
        let (mut lines, mut digest, mut from) = (0_u64, [0_u8; 32], 0);
        loop {
            let page = audit.read(from, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            from = last + 1;
            for (number, event) in &page {
                if through.is_some_and(|end| *number >= end) {
                    break;
                }
                let line = serde_json::to_vec(event);
                let line = line.map_err(|error| UserError::new(ErrorKind::Bug, error))?;
                digest = Sha256::new()
                    .chain_update(digest)
                    .chain_update(line)
                    .finalize()
                    .into();
                lines += 1;
            }
        }
        if let Some(end) = through.filter(|end| *end > lines) {
            let message = format!("the audit trail has {lines} lines, and not {end}");
            return Err(UserError::new(ErrorKind::NotFound, message)
                .hint("if it had more when you noted the number, lines were removed"));
        }
        Ok(AuditDigest {
            lines,
            sha256: hex(&digest),
        })
    }

    /// The whole trail, the oldest first.
    pub fn audit_rows(&self) -> Result<Vec<AuditRow>, UserError> {
        let audit = Audit::new(self.store.clone());
        let (mut rows, mut from) = (Vec::new(), 0);
        loop {
            let page = audit.read(from, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(rows);
            };
            from = last + 1;
            rows.extend(page.into_iter().map(|(number, event)| row(number, event)));
        }
    }
}

fn row(number: u64, event: AuditEvent) -> AuditRow {
    let AuditEvent {
        at_ms,
        actor,
        action,
        subject,
        from,
        to,
    } = event;
    let text = |name: &str| to.get(name)?.as_str().map(str::to_owned);
    let index = to.get("map_index").and_then(Value::as_i64);
    let asked = to.get(ASKED).cloned();
    AuditRow {
        number,
        at: Timestamp::from_millisecond(at_ms).unwrap_or_default(),
        event: action,
        owner: actor.id,
        dag_id: text("dag_id"),
        run_id: text("run_id"),
        task_id: text("task_id"),
        map_index: index.and_then(|index| i32::try_from(index).ok()),
        extra: match asked {
            Some(asked) => serde_json::json!({"subject": subject, "asked": asked}),
            None => serde_json::json!({"subject": subject, "from": from, "to": to}),
        },
        subject,
    }
}
